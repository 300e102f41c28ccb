// SPDX-License-Identifier: LGPL-2.1-or-later
// How late pictures come, and by how much it pays to delay all of them so that it is not
// seen. Times are told, in microseconds, so that it can be tried on any clock. Thread:
// one at a time; the owner locks.
//
// Nobody sees a picture that stands for less than about 150 ms longer than the others do;
// so only what exceeds that is hidden, and one stall in half a minute is not.
#pragma once

#include <deque>
#include <optional>

#include <glib.h>

namespace vdn {

class Lateness {
public:
  // A unit came that is to be shown `pts`. Returns when it would have come, had the
  // network been at its best of late.
  gint64 arrived(gint64 pts, gint64 now);
  // By how much to delay what is shown at once.
  gint64 delay(gint64 now);
  // By how much a sink that syncs has to delay so that next to nothing is late.
  gint64 latency(gint64 now) const;
  // Time counts anew.
  void clear() { *this = Lateness(); }

private:
  struct Stall {
    gint64 when, height;
  };
  // The least or the most of the last one to two periods.
  struct Extreme {
    gint64 before, now;
  };

  gint64 second_highest(gint64 now) const;
  void turn_buckets(gint64 now);

  bool started_ = false;
  gint64 began_ = 0, turned_ = 0, calmed_ = 0;
  Extreme base_{G_MAXINT64, G_MAXINT64};
  Extreme jitter_{0, 0};
  std::deque<Stall> stalls_; // the last may not be over
  bool is_late_ = false;
  gint64 delay_ = 0, lowered_ = 0;
};

// What sinks that sync are told to wait for: whoever is told moves all that it plays, so
// it is more at once, at most once a second, and less when it was not needed for long.
class LatencyChoice {
public:
  static constexpr unsigned kLeastMs = 25;

  // What to declare from now on instead of `declared`, ms, when `needed`, us, would do;
  // nullopt: the same.
  std::optional<unsigned> judge(unsigned declared, gint64 needed, gint64 now);
  // Something was declared.
  void told(gint64 now) { told_ = needed_ = now; }

private:
  gint64 told_ = G_MININT64 / 2, needed_ = 0;
};

} // namespace vdn
