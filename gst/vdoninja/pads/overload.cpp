// SPDX-License-Identifier: LGPL-2.1-or-later
#include "overload.h"

#include <cmath>

namespace vdn {

namespace {

constexpr gint64 kSecond = G_USEC_PER_SEC;
constexpr double kBusy = 0.9, kCalm = 0.45;
constexpr unsigned kBusyInARow = 2; // one may be another program's doing
constexpr double kStep = 0.75;
constexpr unsigned kSteps = 5; // to about a quarter
constexpr gint64 kBetween = 8 * kSecond;
constexpr gint64 kCalmEnough = 60 * kSecond;
// After a step back that was one too many.
constexpr gint64 kBlocked = 600 * kSecond;

} // namespace

std::optional<double> Overload::change(unsigned step, gint64 now) {
  stepped_back_ = step < step_;
  step_ = step;
  changed_ = now;
  busy_ = 0;
  calm_ = 0;
  return std::pow(kStep, step_);
}

std::optional<double> Overload::judge(bool skips, double load, gint64 now) {
  busy_ = skips || load > kBusy ? busy_ + 1 : 0;
  if (load >= kCalm || skips)
    calm_ = 0;
  else if (!calm_)
    calm_ = now;
  if (busy_ >= kBusyInARow && step_ < kSteps &&
      (!changed_ || now - changed_ >= kBetween)) {
    if (stepped_back_)
      blocked_ = now + kBlocked;
    return change(step_ + 1, now);
  }
  if (step_ && calm_ && now - calm_ >= kCalmEnough && now >= blocked_)
    return change(step_ - 1, now);
  return std::nullopt;
}

} // namespace vdn
