// SPDX-License-Identifier: LGPL-2.1-or-later
// Keeps the slices of one H.264 picture together. Publishers that payload with
// `rtph264pay config-interval=-1` (Raspberry.Ninja) repeat the parameter sets before each
// slice of a keyframe; depayloader and parser take those for the start of another
// picture, and what is decoded from there on is half a picture. Browsers go by the RTP
// timestamp.
//
// And keeps back a keyframe whose parameter sets were lost: depayloader and parser would
// pass it with the old ones, which are wrong when the publisher changed its resolution.
#pragma once

#include <gst/gst.h>

namespace vdn {

class H264Picture {
public:
  // (transfer full) Parameter sets, delimiters and SEI that come after a slice with the
  // same timestamp become filler, which decoders skip: sizes and sequence numbers stay.
  // NULL for the packets of a keyframe that came after a gap and without parameter sets:
  // the depayloader sees the gap and asks for another.
  // Packets in order, as a jitterbuffer gives them. Copies a packet only to change it.
  // Thread: streaming.
  GstBuffer *pass(GstBuffer *packet);

private:
  struct Seen {
    bool slice = false;
    bool sets = false;     // an SPS before the first slice
    bool gap = false;      // packets are missing before the first slice
    bool headless = false; // a keyframe after a gap and without sets
  };
  struct Pass;
  Seen before(guint16 sequence, guint32 timestamp);

  int next_sequence_ = -1; // -1: any
  guint32 timestamp_ = 0;
  Seen seen_; // of the picture with that timestamp
};

} // namespace vdn
