// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repair-timing.h"

#include <algorithm>
#include <utility>

namespace vdn {

namespace {

constexpr gint64 kMs = 1000;
constexpr gint64 kSecond = 1000 * kMs;
constexpr gint64 kTransitPeriod = 10 * kSecond;
constexpr gint64 kClockJump = 2 * kSecond; // no network is late by that much at once
// A larger jump is a new start of the sender, not a loss.
constexpr uint16_t kLongestGap = 1000;
constexpr unsigned kFarBehind = 16; // in a row are one, too
// Publishers keep what they sent for about a second. A camera that pauses leaves no gap.
constexpr gint64 kSilence = kSecond;
constexpr uint16_t kHole = 25; // packets
constexpr size_t kMostMissing = 2048;
constexpr size_t kPictures = 64;
constexpr unsigned kFewLate = 3; // are an accident
constexpr gint64 kLatePeriod = 5 * kSecond;
constexpr gint64 kUnknownRoundTrip = 100 * kMs;
constexpr unsigned kUnclear = 3;
constexpr gint64 kOneTime = 200 * kMs;
constexpr unsigned kFirstRetry = 150, kShortestRetry = 30, kLongestRetry = 500;
constexpr gint64 kRetryMargin = 15 * kMs;
constexpr unsigned kShortestWait = 300, kLongestWait = 1000, kWaitStep = 100;
constexpr gint64 kWaitHold = 10 * kSecond;
constexpr unsigned kLongestDelay = 100;
constexpr unsigned kReport = 50, kLongestReport = 250;
// Requests beside packets, in percent, over a window.
constexpr gint64 kShareWindow = 2 * kSecond;
constexpr guint64 kTooMany = 25, kFewAgain = 10;
constexpr int kRequestsWhenFlooded = 2;
// What a packet that comes and a request that leaves are worth, and how many may leave at
// once.
constexpr unsigned kEarned = 1, kSpent = 4, kMostSaved = 16 * kSpent;

unsigned to_ms(gint64 us) {
  return static_cast<unsigned>((us + kMs - 1) / kMs);
}

} // namespace

bool Transit::arrived(gint64 sent, gint64 now) {
  const gint64 way = now - sent, last = std::exchange(last_, way);
  const bool goes_on = last == G_MAXINT64 || std::abs(way - last) <= kClockJump;
  if (!goes_on)
    ways_ = {};
  ways_.turn(now, kTransitPeriod);
  ways_.now.least = std::min(ways_.now.least, way);
  ways_.now.most = std::max(ways_.now.most, way);
  return goes_on;
}

gint64 Transit::spread() const {
  const gint64 least = std::min(ways_.before.least, ways_.now.least);
  return least == G_MAXINT64 ? 0 : std::max(ways_.before.most, ways_.now.most) - least;
}

void RepairTiming::start_over(uint16_t number) {
  started_ = true;
  far_behind_ = 0;
  highest_ = number + (guint64{1} << 16); // room for what comes late
  skipped_from_ = skipped_to_ = 0;
  missing_.clear();
}

bool RepairTiming::arrived(uint16_t number, uint32_t timestamp, bool retransmitted,
                           gint64 now) {
  counts_.packets++;
  allowance_ = std::min(allowance_ + kEarned, kMostSaved);
  // What was taken for a repair until now was late.
  if (retransmitted && !std::exchange(retransmits_, true))
    round_trip_ = below_ = deviation_ = 0;
  if (!started_)
    start_over(number);
  const auto by = static_cast<uint16_t>(number - static_cast<uint16_t>(highest_));
  const bool is_behind = by > 0x8000;
  // What is sent again may come first.
  const gint64 silence = is_behind ? 0 : now - std::exchange(arrived_, now);
  const bool is_hole = !keeps_all_ && by > kHole && silence > kSilence;
  far_behind_ =
      is_behind && static_cast<uint16_t>(-by) > kLongestGap ? far_behind_ + 1 : 0;
  if (is_hole)
    skip(by);
  else if (far_behind_ >= kFarBehind)
    start_over(number);
  else if (is_behind)
    fill(static_cast<uint16_t>(-by), timestamp, retransmitted, now);
  else if (by > kLongestGap)
    start_over(number);
  else if (by > 0)
    advance(by, now);
  else
    counts_.duplicates += retransmitted;
  if (picture_began(timestamp, -1) < 0) {
    pictures_.emplace_back(timestamp, now);
    if (pictures_.size() > kPictures)
      pictures_.pop_front();
  }
  return is_hole;
}

void RepairTiming::skip(uint16_t by) {
  missing_.clear();
  counts_.missed += by - 1u;
  skipped_from_ = highest_ + 1;
  highest_ += by;
  skipped_to_ = highest_;
}

void RepairTiming::advance(uint16_t by, gint64 now) {
  for (uint16_t i = 1; i < by; i++)
    missing_[highest_ + i] = Missing{now};
  counts_.missed += by - 1u;
  highest_ += by;
  while (missing_.size() > kMostMissing)
    missing_.erase(missing_.begin());
}

void RepairTiming::fill(uint16_t behind, uint32_t timestamp, bool retransmitted,
                        gint64 now) {
  const auto found = missing_.find(highest_ - behind);
  if (found == missing_.end()) {
    counts_.duplicates += retransmitted;
    return;
  }
  const Missing missing = found->second;
  missing_.erase(found);
  // Some send what was asked for as it was.
  if (retransmitted || (!retransmits_ && missing.requests)) {
    repair(missing, now);
    return;
  }
  counts_.out_of_order++;
  // The jitterbuffer counts from the picture, not from the gap.
  late_.turn(now, kLatePeriod);
  late_.now.count++;
  late_.now.most =
      std::max(late_.now.most, now - picture_began(timestamp, missing.since));
}

gint64 RepairTiming::picture_began(uint32_t timestamp, gint64 otherwise) const {
  const auto found =
      std::find_if(pictures_.rbegin(), pictures_.rend(),
                   [=](const auto &one) { return one.first == timestamp; });
  return found == pictures_.rend() ? otherwise : found->second;
}

// Only who was asked for once is sure to answer that request (Karn). Of two, the second
// cannot be meant when the answer comes at once. And where several times in a row all had
// to be asked for again, it was too early: each answers the first. Times, as packets are
// lost in bursts, and their repairs again.
void RepairTiming::repair(const Missing &missing, gint64 now) {
  counts_.repaired++;
  repairs_.add(now - missing.since);
  const gint64 first = now - missing.first_request, last = now - missing.last_request;
  if (missing.requests == 1) {
    unclear_ = 0;
    measure(last);
  } else if (missing.requests == 2 && last < round_trip() / 2) {
    measure(first);
  } else if (missing.requests && now - unclear_at_ >= kOneTime) {
    unclear_at_ = now;
    if (++unclear_ < kUnclear)
      return;
    unclear_ = 0;
    round_trip_ = below_ = 0;
    measure(first);
  }
}

void RepairTiming::measure(gint64 sample) {
  if (!round_trip_) {
    round_trip_ = std::max<gint64>(sample, 1);
    deviation_ = sample / 4;
    return;
  }
  const gint64 off = sample - round_trip_;
  // What the sender keeps back until its next picture says little about the network.
  const bool held_back = sample * 10 > round_trip_ * 17;
  round_trip_ = std::max<gint64>(round_trip_ + off / (held_back ? 32 : 8), 1);
  deviation_ += (std::abs(off) - deviation_) / 4;
  if (off <= 0)
    below_ += (-off - below_) / 4;
}

bool RepairTiming::requested(uint16_t number, gint64 now) {
  const auto behind = static_cast<uint16_t>(static_cast<uint16_t>(highest_) - number);
  const guint64 at = highest_ - behind;
  if (started_ && at >= skipped_from_ && at < skipped_to_)
    return false;
  const auto found = missing_.find(at);
  const bool known = started_ && found != missing_.end();
  wishes_++;
  if (is_flooded_) {
    // What was not asked for yet comes first.
    const bool again = !known || found->second.requests > 0;
    if (allowance_ < (again ? kMostSaved / 2 : kSpent))
      return false;
    allowance_ -= kSpent;
  }
  counts_.requests++;
  if (!known)
    return true;
  Missing &missing = found->second;
  if (!missing.requests++)
    missing.first_request = now;
  missing.last_request = now;
  return true;
}

void RepairTiming::gave_up() {
  counts_.given_up++;
}

RepairTiming::Settings RepairTiming::settings(gint64 now) {
  Settings result;
  const gint64 known = round_trip();
  if (known)
    result.retry = std::clamp(to_ms(known + std::max(kRetryMargin, 2 * below_)),
                              kShortestRetry, kLongestRetry);
  else
    result.retry = kFirstRetry;
  result.wait = wait(now);
  result.report = kReport;
  if (const gint64 late = latest_overtaken(now)) {
    const unsigned bound =
        std::min(kLongestDelay, to_ms(known ? known : kUnknownRoundTrip) + 20);
    result.delay = std::min(to_ms(late) + 1, bound);
    // What comes after the report on its neighbours counts as lost for good.
    result.report = std::clamp(6 * to_ms(late), kReport, kLongestReport);
  }
  count_share(now);
  result.max_requests = is_flooded_ ? kRequestsWhenFlooded : -1;
  return result;
}

// Four round trips: so many requests may be lost themselves.
unsigned RepairTiming::wait(gint64 now) {
  if (keeps_all_)
    return kLongestWait;
  if (!round_trip_)
    return wait_;
  const unsigned wanted = to_ms(4 * (round_trip_ + 4 * deviation_)) + kWaitStep;
  const unsigned next = std::clamp((wanted + kWaitStep - 1) / kWaitStep * kWaitStep,
                                   kShortestWait, kLongestWait);
  if (next > wait_ || (next < wait_ && now - wait_changed_ >= kWaitHold)) {
    wait_ = next > wait_ ? next : wait_ - kWaitStep;
    wait_changed_ = now;
  }
  return wait_;
}

// By how much, of the last 5 to 10 s, or 0 when few were.
gint64 RepairTiming::latest_overtaken(gint64 now) {
  late_.turn(now, kLatePeriod);
  return late_.before.count + late_.now.count < kFewLate
             ? 0
             : std::max(late_.before.most, late_.now.most);
}

// A line that cannot carry what is sent is not helped by more of it, nor is a publisher
// who does not answer. Where most requests are answered, they do help.
void RepairTiming::count_share(gint64 now) {
  if (now - window_.began < kShareWindow)
    return;
  const guint64 packets = counts_.packets - window_.packets;
  const guint64 requests = counts_.requests - window_.requests;
  const guint64 wishes = wishes_ - window_.wishes;
  const guint64 repaired = counts_.repaired - window_.repaired;
  const bool in_vain = 2 * repaired < requests;
  if (wishes * 100 > packets * kTooMany && in_vain)
    is_flooded_ = true;
  else if (wishes * 100 < packets * kFewAgain || !in_vain)
    is_flooded_ = false;
  window_ = {now, counts_.packets, counts_.requests, wishes_, counts_.repaired};
}

} // namespace vdn
