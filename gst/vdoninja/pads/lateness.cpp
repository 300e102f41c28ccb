// SPDX-License-Identifier: LGPL-2.1-or-later
#include "lateness.h"

#include <algorithm>

namespace vdn {

namespace {

constexpr gint64 kMs = 1000;
constexpr gint64 kSecond = 1000 * kMs;
constexpr gint64 kBasePeriod = 5 * kSecond; // so that it follows the drift of clocks
constexpr gint64 kJitterPeriod = 15 * kSecond;
// Later than this is a stall, as long as it lasts.
constexpr gint64 kStall = 50 * kMs;
constexpr gint64 kRemembered = 30 * kSecond;
constexpr size_t kMostStalls = 256;
// The publisher probes the line, and the round trip is not known yet.
constexpr gint64 kUnsettled = 3 * kSecond;
constexpr gint64 kUnseen = 100 * kMs;
constexpr gint64 kLongestDelay = 200 * kMs;
constexpr gint64 kLoweredPerSecond = 20 * kMs;
constexpr unsigned kMostLatency = 500, kLatencyStep = 25; // ms
constexpr unsigned kMargin = 10;
constexpr gint64 kLatencyHold = 30 * kSecond;
constexpr gint64 kTellAgain = kSecond;

} // namespace

void Lateness::turn_buckets(gint64 now) {
  if (now - turned_ >= kBasePeriod) {
    base_ = {base_.now, G_MAXINT64};
    turned_ = now;
  }
  if (now - calmed_ >= kJitterPeriod) {
    jitter_ = {jitter_.now, 0};
    calmed_ = now;
  }
}

gint64 Lateness::arrived(gint64 pts, gint64 now) {
  if (!started_) {
    started_ = true;
    began_ = turned_ = calmed_ = lowered_ = now;
  }
  turn_buckets(now);
  base_.now = std::min(base_.now, now - pts);
  const gint64 ideal = pts + std::min(base_.before, base_.now);
  const gint64 late = now - ideal;
  jitter_.now = std::max(jitter_.now, std::min(late, kStall));
  while (!stalls_.empty() && now - stalls_.front().when > kRemembered)
    stalls_.pop_front();
  if (late <= kStall || now - began_ < kUnsettled) {
    is_late_ = false;
    return ideal;
  }
  if (!is_late_ || stalls_.empty())
    stalls_.push_back({now, late});
  else if (late > stalls_.back().height)
    stalls_.back() = {now, late};
  is_late_ = true;
  if (stalls_.size() > kMostStalls)
    stalls_.pop_front();
  return ideal;
}

gint64 Lateness::second_highest(gint64 now) const {
  gint64 highest = 0, second = 0;
  for (const Stall &stall : stalls_) {
    if (now - stall.when > kRemembered)
      continue;
    second = std::max(second, std::min(highest, stall.height));
    highest = std::max(highest, stall.height);
  }
  return second;
}

// Raised at once, as what is shown is late at that moment anyway; lowered slowly.
gint64 Lateness::delay(gint64 now) {
  const gint64 wanted =
      std::clamp<gint64>(second_highest(now) - kUnseen, 0, kLongestDelay);
  const gint64 passed = std::max<gint64>(now - lowered_, 0);
  lowered_ = now;
  delay_ = std::max(wanted, delay_ - kLoweredPerSecond * passed / kSecond);
  return delay_;
}

gint64 Lateness::latency(gint64 now) const {
  return std::max({second_highest(now), jitter_.before, jitter_.now});
}

std::optional<unsigned> LatencyChoice::judge(unsigned declared, gint64 needed,
                                             gint64 now) {
  const auto ms = static_cast<unsigned>(needed / kMs) + kMargin;
  const unsigned wanted = std::clamp(
      (ms + kLatencyStep - 1) / kLatencyStep * kLatencyStep, kLeastMs, kMostLatency);
  if (wanted == declared)
    needed_ = now;
  const bool more = wanted > declared && now - told_ >= kTellAgain;
  const bool less = wanted < declared && now - needed_ > kLatencyHold;
  if (!more && !less)
    return std::nullopt;
  told(now);
  return wanted;
}

} // namespace vdn
