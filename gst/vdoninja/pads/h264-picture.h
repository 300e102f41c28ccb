// SPDX-License-Identifier: LGPL-2.1-or-later
// Keeps the slices of one H.264 picture together. Publishers that payload with
// `rtph264pay config-interval=-1` (Raspberry.Ninja) repeat the parameter sets before each
// slice of a keyframe; depayloader and parser take those for the start of another
// picture, and what is decoded from there on is half a picture. Browsers go by the RTP
// timestamp.
#pragma once

#include <gst/gst.h>

namespace vdn {

class H264Picture {
public:
  // (transfer full) Parameter sets, delimiters and SEI that come after a slice with the
  // same timestamp become filler, which decoders skip: sizes and sequence numbers stay.
  // Packets in order, as a jitterbuffer gives them. Copies a packet only to change it.
  // Thread: streaming.
  GstBuffer *pass(GstBuffer *packet);

private:
  guint32 timestamp_ = 0;
  bool slice_seen_ = false;
};

} // namespace vdn
