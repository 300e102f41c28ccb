// SPDX-License-Identifier: LGPL-2.1-or-later
// How much the network to one viewer carries: what its reports about each packet tell of
// delay and loss, or, when there are none, what its receiver reports tell of loss. Times
// are told, all of one monotonic clock; nothing that a viewer reports takes the estimate
// out of its limits. Thread: one at a time.
//
// Rates are of payloads, without the headers of RTP, UDP and IP: what encoders of sound
// and picture may make together.
#pragma once

#include <bitset>
#include <deque>
#include <vector>

#include <cstdint>

#include "delay-trend.h"

namespace vdn {

// What a viewer's transport-wide feedback says about a packet, in the order of sending.
struct SentPacket {
  uint16_t number = 0;     // transport-wide
  int64_t sent_us = 0;     // our clock
  int64_t received_us = 0; // the receiver's clock: only differences count; 0 when lost
  unsigned size = 0; // bytes of payload; 0: never sent, or reported before, as lost maybe
  bool lost = false;
  bool repeat = false;
};

struct BandwidthLimits {
  unsigned min_kbit_s = 0, max_kbit_s = 0;
};

class Bandwidth {
public:
  Bandwidth(const BandwidthLimits &limits, unsigned start_kbit_s);

  // `max_kbit_s` is never below `min_kbit_s`; the estimate is within them at once. One
  // that nothing but the highest held goes up with it, as it begins.
  void set_limits(const BandwidthLimits &limits);
  // From receiver reports, for the time without feedback.
  void set_round_trip(int64_t us) { round_trip_us_ = us; }
  void on_feedback(const std::vector<SentPacket> &packets, int64_t now_us);
  // `fraction_lost`: 0 to 1, since the report before. Counts only while no feedback comes
  // for 3 s; where none will, it is wise to start at half.
  void on_receiver_report(double fraction_lost, int64_t now_us);

  unsigned kbit_s() const;
  // What arrived lately; 0: not known.
  unsigned acknowledged_kbit_s() const;
  // When a queue was seen to grow, the last time; before the epoch: never.
  int64_t overused_us() const { return overused_us_; }
  // Whether something was found within the last 3 s that the estimate is of: a queue that
  // grew, or too much loss. Else it may be as low as what was sent.
  bool is_full(int64_t now_us) const;
  // Of the latest packet that is known to have arrived, its report included.
  int64_t round_trip_us() const { return round_trip_us_; }
  // When a packet was last reported to have arrived; before the epoch: never. Who takes
  // transport-wide numbers and reports none has rtpsession remember all that it sends.
  int64_t feedback_us() const { return feedback_us_; }
  // Share of packets that were lost within the last second, without repeats.
  double loss() const;

private:
  struct Report {
    int64_t at_us;
    uint64_t bytes; // that arrived
  };
  struct Tally {
    int64_t at_us;
    unsigned arrived, lost;
  };
  static constexpr int64_t kNever = -1000000000;

  void take(const SentPacket &packet, Report *report, Tally *tally);
  void arrived_late(uint16_t number);
  void forget(int64_t now_us);
  double arrived_kbit_s(int64_t span_us) const;
  void follow_delay(int64_t now_us);
  void decrease(int64_t now_us);
  void increase(int64_t now_us, double seconds);
  void follow_loss(int64_t now_us);
  void lower_for_loss(double loss, int64_t now_us);
  double clamped(double kbit_s) const;

  BandwidthLimits limits_;
  double delay_kbit_s_, loss_kbit_s_;
  int64_t round_trip_us_ = 200000;
  int64_t feedback_us_ = kNever;

  DelayTrend trend_;
  std::deque<Report> reports_;
  int64_t overused_us_ = kNever, decreased_us_ = kNever, followed_us_ = kNever;
  double capacity_kbit_s_ = 0; // what arrived at the last overuse; 0: none to remember

  std::deque<Tally> tallies_;
  std::bitset<65536> missing_; // by number: reported as lost
  int64_t lowered_us_ = kNever, raised_us_ = kNever, reported_us_ = kNever;
};

} // namespace vdn
