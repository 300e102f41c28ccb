// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "pipeline-of.h"

namespace vdn {

// Running time of the pipeline that `element` is in; NONE while it is not known. One of a
// file that does not play alone knows where it will go on: a seek that flushes takes it
// to 0, and nobody tells those below. When a `live` source has something the clock runs,
// though the pipeline says that it plays only once all its sinks have something, too.
// Thread: any.
inline GstClockTime running_time_now(GstElement *element, bool live) {
  const auto clock = ObjPtr<GstClock>::adopt(gst_element_get_clock(element));
  if (!live) {
    const auto pipeline = pipeline_of(element);
    if (GST_STATE(pipeline.get()) != GST_STATE_PLAYING || !clock)
      return gst_element_get_start_time(pipeline.get());
  }
  if (!clock)
    return GST_CLOCK_TIME_NONE;
  const GstClockTime now = gst_clock_get_time(clock.get());
  const GstClockTime base = gst_element_get_base_time(element);
  return now > base ? now - base : 0;
}

} // namespace vdn
