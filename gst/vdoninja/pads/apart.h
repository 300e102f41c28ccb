// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

namespace vdn {

// The times with which buffers of a pad leave. Pictures that arrive at once have one time
// from the jitterbuffer, and a parser takes it from all but the first: ours, or that of
// who records, whose muxer gives up then. They are kept `step` apart; others stay as they
// are, and who has no time gets one. Thread: streaming.
class Apart {
public:
  GstClockTime next(GstClockTime pts, GstClockTime step) {
    const bool known = GST_CLOCK_TIME_IS_VALID(left_);
    const bool again = pts == GST_CLOCK_TIME_NONE || (pts >= came_ && pts <= left_);
    if (pts != GST_CLOCK_TIME_NONE)
      came_ = pts;
    return left_ = known && again ? left_ + step : pts;
  }

private:
  GstClockTime came_ = GST_CLOCK_TIME_NONE, left_ = GST_CLOCK_TIME_NONE;
};

} // namespace vdn
