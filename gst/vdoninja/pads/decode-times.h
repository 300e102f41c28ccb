// SPDX-License-Identifier: LGPL-2.1-or-later
// How long pictures are in a decoder: from when it is given one to when that comes out,
// whatever it has to do in between. Times are told, in microseconds. Thread: one at a
// time; the owner locks.
#pragma once

#include <algorithm>
#include <deque>
#include <utility>

#include <gst/gst.h>

#include "recent.h"

namespace vdn {

class DecodeTimes {
public:
  void given(GstClockTime pts, gint64 now) {
    // Some are never shown.
    if (inside_.size() == kMostInside)
      inside_.pop_front();
    inside_.emplace_back(pts, now);
  }
  void came_out(GstClockTime pts, gint64 now) {
    const auto at = std::find_if(inside_.begin(), inside_.end(),
                                 [pts](const auto &entry) { return entry.first == pts; });
    if (at == inside_.end())
      return;
    times_.add(now - at->second);
    inside_.erase(at);
  }
  gint64 p95() const { return times_.p95(); }

private:
  static constexpr size_t kMostInside = 32;

  std::deque<std::pair<GstClockTime, gint64>> inside_; // since when
  Recent times_;
};

} // namespace vdn
