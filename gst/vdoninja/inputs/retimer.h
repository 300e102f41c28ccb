// SPDX-License-Identifier: LGPL-2.1-or-later
// Buffers of any segment become buffers whose time stamps are running times. Thread:
// streaming.
#pragma once

#include "gst-ptr.h"
#include "timeline.h"

namespace vdn {

class Retimer {
public:
  Retimer() { gst_segment_init(&segment_, GST_FORMAT_UNDEFINED); }

  // What comes from now on.
  void set_caps(const GstCaps *caps);
  void set_segment(const GstSegment *segment) {
    gst_segment_copy_into(segment, &segment_);
  }
  // After a flush. `anew`, `now`: as of Timeline::restart_at().
  void restart(bool anew, GstClockTime now);

  // (transfer full), both. NULL for raw media outside of their segment. For a segment
  // that starts at 0. `now` and `live`: see Timeline.
  GstBuffer *pass(GstBuffer *buffer, GstClockTime now, bool live, bool *jumped);

private:
  GstClockTime duration_of(GstBuffer *buffer) const;

  Timeline timeline_;
  GstSegment segment_;
  bool raw_ = true;
  GstClockTime usual_duration_ = GST_CLOCK_TIME_NONE; // of a picture, by the caps
  double bytes_per_second_ = 0;                       // of raw sound
  GstClockTime last_duration_ = GST_CLOCK_TIME_NONE;
};

} // namespace vdn
