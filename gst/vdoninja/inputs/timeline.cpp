// SPDX-License-Identifier: LGPL-2.1-or-later
#include "timeline.h"

#include <algorithm>

namespace vdn {

namespace {

constexpr GstClockTimeDiff kLeast = GST_MSECOND;       // from one to the next
constexpr GstClockTimeDiff kStep = 33 * GST_MSECOND;   // where nothing tells
constexpr GstClockTimeDiff kBack = GST_SECOND;         // backwards by more is a jump
constexpr GstClockTimeDiff kAway = 10 * GST_SECOND;    // from the clock, when live
constexpr GstClockTimeDiff kAhead = 60 * GST_SECOND;   // of the one before, when not
constexpr GstClockTimeDiff kTooLong = 10 * GST_SECOND; // for one buffer

bool far_apart(GstClockTimeDiff a, GstClockTimeDiff b, GstClockTimeDiff limit) {
  return a - b > limit || b - a > limit;
}

} // namespace

Timeline::Stamp Timeline::next(GstClockTime time, GstClockTime duration, GstClockTime now,
                               bool live) {
  const bool has_time = time < GstClockTime(G_MAXINT64 / 2);
  const bool has_now = now < GstClockTime(G_MAXINT64 / 2);
  const GstClockTimeDiff step =
      duration > 0 && duration < GstClockTime(kTooLong) ? duration : kStep;
  const GstClockTimeDiff expected = started_ ? last_ + step : 0;
  if (!started_ && !live && has_now && GstClockTimeDiff(now) < moved_)
    moved_ = 0; // the clock began anew as well
  GstClockTimeDiff given = has_time ? GstClockTimeDiff(time) + moved_ : expected;
  bool jumped = false;
  if (!has_time) {
    if (has_now && (live || !started_))
      given = now;
  } else if (has_now && (live || !started_)) {
    jumped = far_apart(given, now, kAway);
    if (jumped)
      given = now;
  } else if (started_) {
    jumped = given - last_ > kAhead;
    if (jumped)
      given = expected;
  }
  if (started_ && given <= last_) {
    if (has_time && !jumped && last_ - given > kBack) {
      jumped = true;
      given = expected;
    } else if (!reordered_ || !has_time || jumped) {
      given = last_ + kLeast;
    }
  }
  given = std::max<GstClockTimeDiff>(given, 0);
  if (jumped)
    moved_ = given - GstClockTimeDiff(time);
  last_ = started_ ? std::max(last_, given) : given;
  started_ = true;
  return {GstClockTime(given), has_time ? given - GstClockTimeDiff(time) : 0, jumped};
}

} // namespace vdn
