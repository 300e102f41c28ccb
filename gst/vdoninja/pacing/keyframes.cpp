// SPDX-License-Identifier: LGPL-2.1-or-later
#include "keyframes.h"

#include <algorithm>

namespace vdn {

namespace {

constexpr int64_t kSecond = 1000000;
constexpr int64_t kGapUs = 300000;
// An encoder that has not answered for so long has not heard.
constexpr int64_t kPatienceUs = kSecond;
constexpr double kMostTokens = 3, kTokensPerSecond = 0.2;
constexpr int64_t kSlowGapUs = 4 * kSecond;
constexpr int64_t kCalmUs = 150000, kDamageGapUs = kSecond;

} // namespace

bool Keyframes::on_the_way(int64_t now_us) const {
  return wanted_ || (asked_us_ && now_us - *asked_us_ < kPatienceUs);
}

bool Keyframes::allows(Viewer *viewer, KeyframeCause cause, int64_t now_us) const {
  switch (cause) {
  case KeyframeCause::kJoined:
    return true;
  case KeyframeCause::kSlow:
    // Each goes to all of them.
    return !latest_us_ || now_us - *latest_us_ >= kSlowGapUs;
  case KeyframeCause::kAsked:
  case KeyframeCause::kDamaged:
    break;
  }
  // One that is on its way costs nobody anything.
  if (on_the_way(now_us))
    return true;
  if (viewer->tokens < 1)
    return false;
  viewer->tokens -= 1;
  return true;
}

bool Keyframes::request(const std::string &name, KeyframeCause cause, int64_t now_us) {
  auto [found, joined] = viewers_.try_emplace(name);
  Viewer &viewer = found->second;
  if (joined) {
    viewer.filled_us = now_us;
    viewer.made_before = counts_.made;
  }
  const double passed = static_cast<double>(now_us - viewer.filled_us) / kSecond;
  viewer.tokens = std::min(kMostTokens, viewer.tokens + passed * kTokensPerSecond);
  viewer.filled_us = now_us;
  const bool allowed = allows(&viewer, cause, now_us);
  for (Counts *counts : {&viewer.counts, &counts_}) {
    counts->asked++;
    counts->refused += !allowed;
  }
  if (allowed && !on_the_way(now_us))
    wanted_ = true;
  return allowed;
}

std::optional<int64_t> Keyframes::due_us() const {
  if (!wanted_)
    return std::nullopt;
  return latest_us_ ? *latest_us_ + kGapUs : INT64_MIN;
}

bool Keyframes::take(int64_t now_us) {
  const auto due = due_us();
  if (!due || now_us < *due)
    return false;
  wanted_ = false;
  asked_us_ = latest_us_ = now_us;
  return true;
}

void Keyframes::came(int64_t now_us) {
  counts_.made++;
  wanted_ = false;
  asked_us_.reset();
  latest_us_ = now_us;
}

Keyframes::Counts Keyframes::counts(const std::string &viewer) const {
  const auto found = viewers_.find(viewer);
  if (found == viewers_.end())
    return {};
  Counts counts = found->second.counts;
  counts.made = counts_.made - found->second.made_before;
  return counts;
}

bool DamageWatch::asks(bool damaged, int64_t overused_us, int64_t now_us) {
  if (!damaged || now_us - overused_us < kCalmUs ||
      (asked_us_ && now_us - *asked_us_ < kDamageGapUs))
    return false;
  asked_us_ = now_us;
  return true;
}

} // namespace vdn
