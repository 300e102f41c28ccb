// SPDX-License-Identifier: LGPL-2.1-or-later
#include "rate.h"

#include <algorithm>

namespace vdn {

namespace {

constexpr int64_t kSecond = 1000000;
constexpr int64_t kSlowAfterUs = 2 * kSecond, kFastAfterUs = 5 * kSecond;
constexpr int64_t kRaiseGapUs = kSecond;
constexpr double kMuchMore = 1.08, kMuchLess = 0.97; // less than that is no change
// Several viewers share no less than this part of the highest rate.
constexpr unsigned kSharedFloor = 4;
constexpr double kHealthy = 0.8; // of the floor

} // namespace

SharedRate::SharedRate(const RateLimits &limits) : kbit_s_(limits.max) {
  set_limits(limits);
}

void SharedRate::set_limits(const RateLimits &limits) {
  limits_ = {limits.min, std::max(limits.min, limits.max)};
  kbit_s_ = std::clamp(kbit_s_, limits_.min, limits_.max);
}

unsigned SharedRate::floor() const {
  const auto watching =
      std::count_if(viewers_.begin(), viewers_.end(),
                    [](const auto &item) { return item.second.rate.video; });
  return watching > 1 ? std::max(limits_.min, limits_.max / kSharedFloor) : limits_.min;
}

void SharedRate::judge(Viewer *viewer, unsigned least, int64_t now_us) {
  const unsigned estimate = viewer->rate.estimate;
  const bool stays = viewer->slow ? estimate < least
                                  : estimate >= kHealthy * least || !viewer->rate.full;
  if (stays || !viewer->rate.video) {
    viewer->since_us = kNone;
    return;
  }
  if (viewer->since_us == kNone)
    viewer->since_us = now_us;
  if (now_us - viewer->since_us < (viewer->slow ? kFastAfterUs : kSlowAfterUs))
    return;
  viewer->slow = !viewer->slow;
  viewer->since_us = kNone;
}

// One that is slow does not count until it is not, or it would pull the others down and
// let them go with each of its ups and downs.
unsigned SharedRate::wanted(unsigned least) const {
  unsigned lowest = limits_.max, wish = 0;
  bool healthy = false;
  for (const auto &[name, viewer] : viewers_) {
    if (!viewer.rate.video)
      continue;
    wish = std::max(wish, viewer.rate.wish == 0 ? limits_.max : viewer.rate.wish);
    if (viewer.slow || viewer.rate.estimate < kHealthy * least)
      continue;
    healthy = true;
    lowest = std::min(lowest, viewer.rate.estimate);
  }
  if (wish == 0)
    return kbit_s_; // nobody watches
  if (!healthy)
    lowest = least;
  return std::clamp(std::min(std::max(lowest, least), wish), limits_.min, limits_.max);
}

bool SharedRate::update(int64_t now_us) {
  const unsigned least = floor();
  for (auto &[name, viewer] : viewers_)
    judge(&viewer, least, now_us);
  const unsigned rate = wanted(least);
  const bool soon = changed_us_ != kNone && now_us - changed_us_ < kRaiseGapUs;
  // Some encoders make a keyframe of each change.
  const bool little = rate < limits_.max && rate > limits_.min &&
                      rate < kbit_s_ * kMuchMore && rate > kbit_s_ * kMuchLess;
  if (rate == kbit_s_ || little || (rate > kbit_s_ && soon))
    return false;
  kbit_s_ = rate;
  changed_us_ = now_us;
  return true;
}

bool SharedRate::is_slow(const std::string &viewer) const {
  const auto found = viewers_.find(viewer);
  return found != viewers_.end() && found->second.slow;
}

} // namespace vdn
