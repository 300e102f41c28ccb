// SPDX-License-Identifier: LGPL-2.1-or-later
// Gives each buffer of an input a running time that encoders and browsers can live with:
// none missing, none backwards, none hours away. No clock in here. Thread: streaming.
#pragma once

#include <gst/gst.h>

namespace vdn {

class Timeline {
public:
  // Encoded pictures, whose PTS may go back a little.
  void set_reordered(bool reordered) { reordered_ = reordered; }

  struct Stamp {
    GstClockTime time;
    GstClockTimeDiff moved = 0; // against what it said
    bool jumped = false;        // and so will be those that follow
  };
  // `time`: its running time, or NONE. `duration`: of the buffer before, or NONE.
  // `now`: running time of the clock, or NONE. `live`: buffers are expected at about
  // `now`; otherwise they may be as fast as they like.
  Stamp next(GstClockTime time, GstClockTime duration, GstClockTime now, bool live);
  // What follows starts anew, after a flush.
  void restart() { started_ = false; }
  // ... and its running time is from 0 on: at `now`, if the clock goes on, which NONE
  // says it does not.
  void restart_at(GstClockTime now) {
    restart();
    moved_ = GST_CLOCK_TIME_IS_VALID(now) ? GstClockTimeDiff(now) : 0;
  }

private:
  bool reordered_ = false;
  bool started_ = false;
  GstClockTimeDiff last_ = 0; // the greatest that was given
  GstClockTimeDiff moved_ = 0;
};

} // namespace vdn
