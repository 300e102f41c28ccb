// SPDX-License-Identifier: LGPL-2.1-or-later
// Keeps from webrtcbin the RTP streams that it cannot attribute to an m-line, and those
// that are none of media.
//
// webrtcbin (1.22 to 1.28) finds the m-line of a new stream by the SSRCs that remote
// descriptions announce, or takes the first of the bundle, and does not look whether a
// transceiver is there: the process ends. None is there for the data channel, which
// comes first in what browsers offer, nor, before 1.26, for a line that was offered but
// not answered yet. It also forgets an SSRC that says BYE or is silent for long.
// (gstwebrtcbin.c: on_rtpbin_pad_added, remove_ssrc_entry_by_ssrc)
//
// From 1.26 on, after an offer of the data channel alone, it does not know the payload
// types of repeats before the first packet of media, and takes those that come until then
// for media: the pad of their m-line gets nothing else any more. (the same file:
// _update_transceiver_from_sdp_media, where bundle_idx is that of the data channel)
#pragma once

#include <memory>
#include <set>

#include "gst-ptr.h"
#include "mutex.h"
#include "offer.h"

namespace vdn {

class SsrcGate {
public:
  // Watches the rtpbin of a webrtcbin that does not run yet. Thread: any.
  static void install(GstElement *rtpbin, const std::shared_ptr<SsrcGate> &gate);

  // Before webrtcbin is given `offer`. Thread: any.
  void offered(const Offer &offer);
  // Once the answer to `offer` is in effect. Thread: any.
  void answered(const Offer &offer);
  // Whether webrtcbin has a transceiver for `ssrc`, and media in `payload_type`. Thread:
  // any.
  bool admits(guint ssrc, int payload_type) const;
  // webrtcbin does not know `ssrc` any more. Thread: any.
  void forget(guint ssrc);

private:
  mutable Mutex mutex_;
  std::set<guint> answered_ GUARDED_BY(mutex_);
  std::set<guint> offered_ GUARDED_BY(mutex_);     // and not answered
  std::set<int> payload_types_ GUARDED_BY(mutex_); // of media, answered
  // The first m-line of the bundle is audio or video, and takes whatever is unknown.
  bool media_first_ GUARDED_BY(mutex_) = false;
};

} // namespace vdn
