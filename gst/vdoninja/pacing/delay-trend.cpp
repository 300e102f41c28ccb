// SPDX-License-Identifier: LGPL-2.1-or-later
#include "delay-trend.h"

#include <algorithm>
#include <cmath>

#include <cstdlib>

namespace vdn {

namespace {

constexpr int64_t kMs = 1000;
constexpr int64_t kGroupUs = 5 * kMs;
// What a radio held up arrives at once: groups that came together are one.
constexpr int64_t kBurstUs = 5 * kMs, kBurstLengthUs = 100 * kMs;
// The clocks of both ends never run apart by so much; one was set, or 24 bits of
// reference time wrapped (GStreamer before 1.26).
constexpr int64_t kJumpUs = 3000 * kMs;
constexpr unsigned kBackwards = 3;
constexpr unsigned kWindow = 20;    // groups
constexpr unsigned kMaxGroups = 60; // that count for the confidence
constexpr double kSmoothing = 0.9;
constexpr double kGain = 4;
constexpr double kOverMs = 10;
// A queue that is shorter is what a picture makes by itself: it leaves faster than the
// line is, and the next one comes when it has passed.
constexpr double kLeastQueueMs = 10, kPeriodMs = 2500;
constexpr double kWaitedMs = 5, kLeastBusyMs = 50;
constexpr double kMinThreshold = 6, kMaxThreshold = 600;
constexpr double kUp = 0.0087, kDown = 0.039; // per ms
constexpr double kOutlier = 15;
constexpr double kLongestStepMs = 100;

} // namespace

bool DelayTrend::belongs(int64_t sent_us, int64_t received_us) const {
  if (sent_us - current_->first_sent_us <= kGroupUs)
    return true;
  const int64_t apart = received_us - current_->last_received_us;
  const bool caught_up = apart < sent_us - current_->last_sent_us;
  return caught_up && apart >= 0 && apart <= kBurstUs &&
         received_us - current_->first_received_us < kBurstLengthUs;
}

void DelayTrend::add(int64_t sent_us, int64_t received_us, unsigned bytes) {
  if (current_ && sent_us < current_->first_sent_us)
    return; // told late: its group is complete
  if (current_ && belongs(sent_us, received_us)) {
    current_->last_sent_us = std::max(current_->last_sent_us, sent_us);
    current_->last_received_us = std::max(current_->last_received_us, received_us);
    current_->bytes += bytes;
    return;
  }
  if (current_)
    complete();
  current_ = Group{sent_us, sent_us, received_us, received_us, bytes};
}

// Compares the group that is complete with the one before it.
void DelayTrend::complete() {
  const std::optional<Group> before = previous_;
  previous_ = current_;
  if (!before)
    return;
  const int64_t sent = current_->last_sent_us - before->last_sent_us;
  const int64_t received = current_->last_received_us - before->last_received_us;
  if (received - sent > kJumpUs || sent - received > kJumpUs) {
    restart();
    return;
  }
  if (received < 0) {
    // One that was overtaken says nothing about the next ones: keep the later one.
    if (++backwards_ >= kBackwards)
      restart();
    else
      previous_ = before;
    return;
  }
  backwards_ = 0;
  if (groups_ == 0)
    origin_us_ = before->last_received_us;
  update(static_cast<double>(sent) / kMs, static_cast<double>(received) / kMs,
         static_cast<double>(current_->last_received_us - origin_us_) / kMs);
}

void DelayTrend::update(double sent_ms, double received_ms, double arrival_ms) {
  groups_ = std::min(groups_ + 1, kMaxGroups);
  delay_ms_ += received_ms - sent_ms;
  smoothed_ms_ = kSmoothing * smoothed_ms_ + (1 - kSmoothing) * delay_ms_;
  follow_floor(arrival_ms);
  samples_.push_back({arrival_ms, smoothed_ms_, received_ms, current_->bytes,
                      delay_ms_ > floor_ms() + kWaitedMs});
  if (samples_.size() > kWindow)
    samples_.pop_front();
  const double trend = samples_.size() == kWindow ? groups_ * slope() * kGain : 0;
  judge(trend, sent_ms);
  adapt(trend, arrival_ms);
}

// Least squares: ms of delay per ms.
double DelayTrend::slope() const {
  double mean_x = 0, mean_y = 0;
  for (const Sample &sample : samples_) {
    mean_x += sample.arrival_ms / kWindow;
    mean_y += sample.delay_ms / kWindow;
  }
  double above = 0, below = 0;
  for (const Sample &sample : samples_) {
    const double x = sample.arrival_ms - mean_x;
    above += x * (sample.delay_ms - mean_y);
    below += x * x;
  }
  return below > 0 ? above / below : 0;
}

double DelayTrend::busy_kbit_s() const {
  double bytes = 0, ms = 0;
  for (const Sample &sample : samples_) {
    if (!sample.waited)
      continue;
    bytes += static_cast<double>(sample.bytes);
    ms += sample.received_ms;
  }
  return ms < kLeastBusyMs ? 0 : bytes * 8 / ms;
}

void DelayTrend::follow_floor(double arrival_ms) {
  if (arrival_ms > period_end_ms_) {
    period_end_ms_ = arrival_ms + kPeriodMs;
    lowest_before_ms_ = lowest_ms_;
    lowest_ms_ = smoothed_ms_;
  }
  lowest_ms_ = std::min(lowest_ms_, smoothed_ms_);
}

void DelayTrend::judge(double trend, double sent_ms) {
  if (trend > threshold_) {
    over_ms_ = over_ms_ < 0 ? sent_ms / 2 : over_ms_ + sent_ms;
    over_groups_++;
    const double queue_ms = smoothed_ms_ - floor_ms();
    if (over_ms_ > kOverMs && over_groups_ > 1 && trend >= last_trend_ &&
        queue_ms > kLeastQueueMs) {
      over_ms_ = 0;
      over_groups_ = 0;
      usage_ = Usage::kOver;
    }
  } else {
    over_ms_ = -1;
    over_groups_ = 0;
    usage_ = trend < -threshold_ ? Usage::kUnder : Usage::kNormal;
  }
  last_trend_ = trend;
}

// Follows what the network does without anybody's doing, or a flow of TCP beside ours
// would leave us nothing.
void DelayTrend::adapt(double trend, double arrival_ms) {
  const double size = std::abs(trend);
  const double passed =
      adapted_ms_ < 0 ? 0 : std::clamp(arrival_ms - adapted_ms_, 0.0, kLongestStepMs);
  adapted_ms_ = arrival_ms;
  if (size > threshold_ + kOutlier)
    return;
  threshold_ += (size < threshold_ ? kDown : kUp) * (size - threshold_) * passed;
  threshold_ = std::clamp(threshold_, kMinThreshold, kMaxThreshold);
}

// The threshold stays: it is the network's.
void DelayTrend::restart() {
  previous_.reset();
  backwards_ = 0;
  groups_ = 0;
  delay_ms_ = smoothed_ms_ = 0;
  samples_.clear();
  lowest_ms_ = lowest_before_ms_ = period_end_ms_ = 0;
  last_trend_ = 0;
  over_ms_ = adapted_ms_ = -1;
  over_groups_ = 0;
  usage_ = Usage::kNormal;
}

} // namespace vdn
