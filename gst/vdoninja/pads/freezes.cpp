// SPDX-License-Identifier: LGPL-2.1-or-later
#include "freezes.h"

#include <algorithm>
#include <utility>

namespace vdn {

namespace {

constexpr size_t kIntervals = 30;
constexpr gint64 kForgivenUs = 150000;

} // namespace

void Freezes::shown(gint64 now) {
  const gint64 before = std::exchange(last_, now);
  if (!before)
    return;
  const gint64 interval = now - before;
  longest_ = std::max(longest_, interval);
  if (intervals_.size() == kIntervals) {
    if (interval > std::max(3 * mean(), mean() + kForgivenUs)) {
      count_++;
      total_ += interval;
    }
    sum_ -= intervals_.front();
    intervals_.pop_front();
  }
  sum_ += interval;
  intervals_.push_back(interval);
}

double Freezes::rate() const {
  return sum_ > 0
             ? 1e6 * static_cast<double>(intervals_.size()) / static_cast<double>(sum_)
             : 0;
}

} // namespace vdn
