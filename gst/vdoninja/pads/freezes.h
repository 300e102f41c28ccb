// SPDX-License-Identifier: LGPL-2.1-or-later
// When a picture stood still for longer than an eye forgives: an interval of more than
// three times the mean of the last 30, and 150 ms more than that mean, as the W3C has it
// for browsers (webrtc-stats, freezeCount). Times are told, in microseconds. Thread: one
// at a time; the owner locks.
#pragma once

#include <cstddef>
#include <deque>

#include <glib.h>

namespace vdn {

class Freezes {
public:
  // A picture is shown.
  void shown(gint64 now);
  // That none is shown now is intended.
  void interrupt() { last_ = 0; }

  unsigned count() const { return count_; }
  gint64 total() const { return total_; }     // us
  gint64 longest() const { return longest_; } // interval, us
  double rate() const;                        // pictures a second, of the last 30

private:
  gint64 mean() const {
    return sum_ / static_cast<gint64>(intervals_.empty() ? 1 : intervals_.size());
  }

  gint64 last_ = 0;
  std::deque<gint64> intervals_;
  gint64 sum_ = 0;
  unsigned count_ = 0;
  gint64 total_ = 0, longest_ = 0;
};

} // namespace vdn
