// SPDX-License-Identifier: LGPL-2.1-or-later
// Faults of a test publisher's media: packets of its video are changed, dropped or
// multiplied between payloader and webrtcbin, what it reports is changed behind that, so
// that whatever comes of it is encrypted and sent.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "gst-ptr.h"
#include "rtcp-out.h"
#include "watched.h"

namespace vdn {

using Packets = std::vector<BufferPtr>;

// Thread: streaming and webrtcbin's, one at a time for each publisher.
struct MediaHooks {
  // Given one packet; what is in the list afterwards is sent, in that order.
  std::function<void(Packets &packets)> packets;
  std::function<bool()> keyframe; // asked for; false: the request goes unheard
  OnRtcp rtcp;
};

using SharedMediaHooks = std::shared_ptr<Watched<MediaHooks>>;

// Sends what the payloader's source pad gives through `hooks`.
void hook_packets(GstPad *pad, SharedMediaHooks hooks);
// Sends the RTCP of `webrtc` through them.
void hook_rtcp(GstElement *webrtc, SharedMediaHooks hooks);
// Lets webrtcbins in `pipeline` encrypt a packet twice, which libsrtp refuses otherwise,
// and report each second, as browsers do.
void set_up_inside(GstElement *pipeline);

} // namespace vdn
