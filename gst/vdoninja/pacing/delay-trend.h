// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether a queue grows on the way to a receiver: packets that were sent together are a
// group, and the slope of the delay between groups tells. Trendline filter with adaptive
// threshold, as draft-ietf-rmcat-gcc-02 and libwebrtc have it. Times are told, so that it
// can be tried on any clock. Thread: one at a time.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>

#include <cstdint>

namespace vdn {

class DelayTrend {
public:
  enum class Usage { kNormal, kOver, kUnder };

  // The next packet that arrived, in the order of sending; us of the sender's and the
  // receiver's clock. The latter may say anything.
  void add(int64_t sent_us, int64_t received_us, unsigned bytes);
  Usage usage() const { return usage_; }
  // What came through lately while packets waited on the way: as much as does. 0: none
  // waited for long enough.
  double busy_kbit_s() const;

private:
  struct Group {
    int64_t first_sent_us, last_sent_us, first_received_us, last_received_us;
    uint64_t bytes;
  };
  struct Sample {
    double arrival_ms, delay_ms;
    double received_ms; // since the group before
    uint64_t bytes;
    bool waited;
  };

  bool belongs(int64_t sent_us, int64_t received_us) const;
  void complete();
  void update(double sent_ms, double received_ms, double arrival_ms);
  double slope() const;
  double floor_ms() const { return std::min(lowest_ms_, lowest_before_ms_); }
  void follow_floor(double arrival_ms);
  void judge(double trend, double sent_ms);
  void adapt(double trend, double arrival_ms);
  void restart();

  std::optional<Group> current_, previous_;
  unsigned backwards_ = 0; // groups in a row that arrived before the one before
  // The filter, from the first group of this run on.
  int64_t origin_us_ = 0; // arrival of that
  unsigned groups_ = 0;
  double delay_ms_ = 0, smoothed_ms_ = 0;
  std::deque<Sample> samples_;
  // Of the smoothed delay, in this and in the last period.
  double lowest_ms_ = 0, lowest_before_ms_ = 0, period_end_ms_ = 0;
  double last_trend_ = 0;
  double over_ms_ = -1; // for how long it has been above the threshold; -1: it is not
  unsigned over_groups_ = 0;
  double threshold_ = 12.5;
  double adapted_ms_ = -1; // arrival at which the threshold was adapted last
  Usage usage_ = Usage::kNormal;
};

} // namespace vdn
