// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bandwidth.h"

#include <algorithm>
#include <cmath>

namespace vdn {

namespace {

constexpr int64_t kMs = 1000, kSecond = 1000 * kMs;

// What arrived is counted over so long at least, from report to report. When a queue
// grows only the latest counts: before, the network carried more, or we sent less.
constexpr int64_t kAcknowledgedUs = 500 * kMs, kAtOveruseUs = 200 * kMs;
constexpr int64_t kKeptUs = 1500 * kMs;
constexpr double kDecrease = 0.85;
constexpr int64_t kDecreaseGapUs = 200 * kMs;
constexpr double kFastPerSecond = 1.4, kSlowPerSecond = 1.08;
constexpr int64_t kSlowUs = 3 * kSecond;    // after a decrease
constexpr int64_t kMemoryUs = 10 * kSecond; // of the capacity, without overuse
constexpr double kNearCapacity = 0.9, kBeyondCapacity = 1.3;
constexpr double kPacketKbit = 9.6;
constexpr int64_t kLongestStepUs = kSecond;
constexpr int64_t kFullUs = 3 * kSecond;

constexpr int64_t kLossUs = kSecond;
constexpr unsigned kLeastPackets = 20;
constexpr double kHighLoss = 0.1, kLowLoss = 0.02;
// What a radio loses whatever is sent; a way up while delay gives no reason against it,
// or the rate would stay where the last congestion left it.
constexpr double kUsualLoss = 0.07, kRaiseInspite = 1.01;
constexpr int64_t kCalmUs = 10 * kSecond;
constexpr int64_t kLowerGapUs = 300 * kMs, kRaiseGapUs = 200 * kMs;
constexpr double kRaise = 1.05;

// Receiver reports count after so long without feedback.
constexpr int64_t kNoFeedbackUs = 3 * kSecond;
constexpr double kRaisePerReport = 1.08;

constexpr int64_t kLeastRoundTripUs = kMs, kLongestRoundTripUs = 3 * kSecond;

} // namespace

Bandwidth::Bandwidth(const BandwidthLimits &limits, unsigned start_kbit_s)
    : limits_(limits), delay_kbit_s_(start_kbit_s), loss_kbit_s_(start_kbit_s) {
  set_limits(limits);
}

double Bandwidth::clamped(double kbit_s) const {
  return std::clamp<double>(kbit_s, limits_.min_kbit_s, limits_.max_kbit_s);
}

void Bandwidth::set_limits(const BandwidthLimits &limits) {
  const double held_kbit_s = limits_.max_kbit_s;
  limits_ = limits;
  limits_.max_kbit_s = std::max(limits.max_kbit_s, limits.min_kbit_s);
  for (double *kbit_s : {&delay_kbit_s_, &loss_kbit_s_})
    if (*kbit_s >= held_kbit_s)
      *kbit_s = limits_.max_kbit_s;
  delay_kbit_s_ = clamped(delay_kbit_s_);
  loss_kbit_s_ = clamped(loss_kbit_s_);
}

unsigned Bandwidth::kbit_s() const {
  return static_cast<unsigned>(std::min(delay_kbit_s_, loss_kbit_s_));
}

bool Bandwidth::is_full(int64_t now_us) const {
  return now_us - std::max(overused_us_, lowered_us_) < kFullUs;
}

unsigned Bandwidth::acknowledged_kbit_s() const {
  return static_cast<unsigned>(arrived_kbit_s(kAcknowledgedUs));
}

// Within the last `span_us`; 0 if that is not known. What the report at its start told of
// had arrived before.
double Bandwidth::arrived_kbit_s(int64_t span_us) const {
  double bits = 0;
  for (auto report = reports_.rbegin(); report != reports_.rend(); ++report) {
    const int64_t passed_us = reports_.back().at_us - report->at_us;
    if (passed_us >= span_us)
      return bits * kMs / static_cast<double>(passed_us);
    bits += static_cast<double>(report->bytes) * 8;
  }
  return 0;
}

// Without the latest report: what it misses may have been overtaken, and be in the next.
double Bandwidth::loss() const {
  unsigned arrived = 0, lost = 0;
  for (size_t i = 0; i + 1 < tallies_.size(); i++) {
    arrived += tallies_[i].arrived;
    lost += tallies_[i].lost;
  }
  return arrived + lost < kLeastPackets ? 0 : lost / static_cast<double>(arrived + lost);
}

void Bandwidth::on_feedback(const std::vector<SentPacket> &packets, int64_t now_us) {
  Report report{now_us, 0};
  Tally tally{now_us, 0, 0};
  for (const SentPacket &packet : packets)
    take(packet, &report, &tally);
  // The latest that arrived waited for its report least.
  const auto latest =
      std::find_if(packets.rbegin(), packets.rend(), [](const SentPacket &packet) {
        return packet.size > 0 && !packet.lost;
      });
  if (latest != packets.rend()) {
    round_trip_us_ =
        std::clamp(now_us - latest->sent_us, kLeastRoundTripUs, kLongestRoundTripUs);
    feedback_us_ = now_us;
  }
  reports_.push_back(report);
  tallies_.push_back(tally);
  forget(now_us);
  follow_delay(now_us);
  follow_loss(now_us);
}

void Bandwidth::take(const SentPacket &packet, Report *report, Tally *tally) {
  if (packet.size == 0) {
    if (!packet.lost)
      arrived_late(packet.number);
    return;
  }
  // What was sent at a rate that was too high does not speak against the one now.
  const bool counts = !packet.repeat && packet.sent_us > lowered_us_;
  missing_[packet.number] = counts && packet.lost;
  if (counts)
    ++(packet.lost ? tally->lost : tally->arrived);
  if (packet.lost)
    return;
  report->bytes += packet.size;
  trend_.add(packet.sent_us, packet.received_us, packet.size);
}

// It was overtaken, and the report before was written without it.
void Bandwidth::arrived_late(uint16_t number) {
  if (!missing_[number])
    return;
  missing_[number] = false;
  const auto tally = std::find_if(tallies_.rbegin(), tallies_.rend(),
                                  [](const Tally &one) { return one.lost > 0; });
  if (tally == tallies_.rend())
    return;
  tally->lost--;
  tally->arrived++;
}

void Bandwidth::forget(int64_t now_us) {
  while (!reports_.empty() && now_us - reports_.front().at_us > kKeptUs)
    reports_.pop_front();
  while (!tallies_.empty() && now_us - tallies_.front().at_us > kLossUs)
    tallies_.pop_front();
}

void Bandwidth::follow_delay(int64_t now_us) {
  const int64_t step_us = std::clamp<int64_t>(now_us - followed_us_, 0, kLongestStepUs);
  followed_us_ = now_us;
  switch (trend_.usage()) {
  case DelayTrend::Usage::kOver:
    overused_us_ = now_us;
    if (now_us - decreased_us_ >= kDecreaseGapUs)
      decrease(now_us);
    break;
  case DelayTrend::Usage::kNormal:
    increase(now_us, static_cast<double>(step_us) / kSecond);
    break;
  case DelayTrend::Usage::kUnder:
    break; // the queue empties: let it
  }
}

// An encoder that paused a moment ago, or makes less than it may, is not the network's
// fault: what passed while packets waited there counts, if that is more.
void Bandwidth::decrease(int64_t now_us) {
  const double arrived = std::max(arrived_kbit_s(kAtOveruseUs), trend_.busy_kbit_s());
  if (arrived > 0)
    capacity_kbit_s_ = arrived;
  const double base = arrived > 0 ? arrived : delay_kbit_s_;
  delay_kbit_s_ = clamped(std::min(delay_kbit_s_, kDecrease * base));
  decreased_us_ = now_us;
}

void Bandwidth::increase(int64_t now_us, double seconds) {
  const double arrived = arrived_kbit_s(kAcknowledgedUs);
  if (arrived > kBeyondCapacity * capacity_kbit_s_ ||
      now_us - std::max(overused_us_, decreased_us_) > kMemoryUs)
    capacity_kbit_s_ = 0;
  double wanted = delay_kbit_s_;
  if (capacity_kbit_s_ > 0 && wanted > kNearCapacity * capacity_kbit_s_)
    wanted +=
        kPacketKbit * seconds * kSecond / static_cast<double>(round_trip_us_ + 100 * kMs);
  else
    wanted *= std::pow(now_us - decreased_us_ < kSlowUs ? kSlowPerSecond : kFastPerSecond,
                       seconds);
  // Nobody knows whether the network carries much more than it does. That is no reason
  // to go down, though: an encoder that pauses says nothing about it either.
  if (arrived > 0)
    wanted = std::min(wanted, std::max(delay_kbit_s_, 1.5 * arrived + 50));
  delay_kbit_s_ = clamped(wanted);
}

void Bandwidth::follow_loss(int64_t now_us) {
  const double share = loss();
  if (share > kHighLoss) {
    if (now_us - lowered_us_ >= kLowerGapUs)
      lower_for_loss(share, now_us);
    return;
  }
  const bool calm = share < kUsualLoss && now_us - overused_us_ > kCalmUs;
  if (now_us - raised_us_ < kRaiseGapUs || (share >= kLowLoss && !calm))
    return;
  loss_kbit_s_ = clamped(loss_kbit_s_ * (share < kLowLoss ? kRaise : kRaiseInspite));
  raised_us_ = now_us;
}

void Bandwidth::lower_for_loss(double loss, int64_t now_us) {
  loss_kbit_s_ = clamped(std::min(loss_kbit_s_, delay_kbit_s_) * (1 - loss / 2));
  lowered_us_ = now_us;
  raised_us_ = now_us;
  tallies_.clear();
}

void Bandwidth::on_receiver_report(double fraction_lost, int64_t now_us) {
  if (now_us - feedback_us_ < kNoFeedbackUs)
    return;
  // Delay is not known, and forbids nothing.
  loss_kbit_s_ = std::min(loss_kbit_s_, delay_kbit_s_);
  delay_kbit_s_ = limits_.max_kbit_s;
  if (fraction_lost > kHighLoss) {
    if (now_us - lowered_us_ >= kLowerGapUs)
      lower_for_loss(std::min(fraction_lost, 1.0), now_us);
  } else if (fraction_lost < kLowLoss && now_us - reported_us_ >= kRaiseGapUs) {
    const double seconds =
        static_cast<double>(std::min(now_us - reported_us_, kSecond)) / kSecond;
    loss_kbit_s_ = clamped(loss_kbit_s_ * std::pow(kRaisePerReport, seconds));
  }
  reported_us_ = now_us;
}

} // namespace vdn
