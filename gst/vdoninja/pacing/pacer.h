// SPDX-License-Identifier: LGPL-2.1-or-later
// The last element on the way to one viewer, for webrtcbin's "request-aux-sender": media
// and repeats pass there and leave as pacer-queue.h says, from a thread of its own; what
// the viewer reports about them comes by. Requests for repeats over the allowance end
// here, before rtprtxsend copies packets for them. What pushes into it never waits.
#pragma once

#include <functional>
#include <vector>

#include "bandwidth.h"
#include "pacer-queue.h"
#include "rtp-packet.h"

namespace vdn {

struct PacerConfig {
  unsigned kbit_s = 0; // to begin with
  PacerPayloads payloads;
  // Thread: the one on which webrtcbin gets RTCP. It copies and posts.
  std::function<void(std::vector<SentPacket>)> feedback;
};

struct PacerState {
  bool damaged = false; // as in pacer-queue.h, for all of these
  bool skipping = false;
  bool backlogged = false;
  size_t bytes = 0;
  PacerQueue::Counts counts;
};

// Thread: any, for all. (transfer floating)
GstElement *pacer_new(PacerConfig config);
// Counts from the next packet on.
void pacer_set_rate(GstElement *pacer, unsigned kbit_s, gint64 round_trip_us);
PacerState pacer_state(GstElement *pacer);

} // namespace vdn
