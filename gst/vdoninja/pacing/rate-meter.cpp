// SPDX-License-Identifier: LGPL-2.1-or-later
#include "rate-meter.h"

namespace vdn {

namespace {

constexpr int64_t kSpanUs = 5000000;

} // namespace

void RateMeter::set(uint64_t bytes, int64_t now_us) {
  if (!marks_.empty() && bytes == marks_.back().bytes)
    quiet_us_ += now_us - set_us_;
  else
    marks_.push_back({now_us - quiet_us_, bytes});
  set_us_ = now_us;
  while (marks_.size() > 2 && marks_.back().at_us - marks_[1].at_us >= kSpanUs)
    marks_.pop_front();
}

unsigned RateMeter::kbit_s() const {
  if (marks_.size() < 2 || marks_.back().at_us <= marks_.front().at_us)
    return 0;
  const double bytes = static_cast<double>(marks_.back().bytes - marks_.front().bytes);
  const double us = static_cast<double>(marks_.back().at_us - marks_.front().at_us);
  return static_cast<unsigned>(bytes * 8000 / us);
}

} // namespace vdn
