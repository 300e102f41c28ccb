// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pacer-queue.h"

#include <algorithm>

namespace vdn {

namespace {

constexpr int64_t kMs = 1000;
// Packets leave in bursts of so much time, to wake up less often; what the thread is late
// by is made up for up to the same.
constexpr int64_t kBurstUs = 5 * kMs;
// Nothing that moves waits for so long: the way out is blocked.
constexpr int64_t kBlockedUs = 2 * PacerQueue::kLongestWaitUs;
constexpr size_t kMostBytes = 4 << 20;

constexpr double kRepeatShare = 0.25, kLeastRepeatKbit = 60;
constexpr double kLeastTokens = 5000, kMostTokens = 20000;
constexpr int64_t kLeastRepeatGapUs = 60 * kMs;
// Nobody asks for what is older: webrtcbin keeps 500.
constexpr uint16_t kRemembered = 1000;

bool is_before(uint16_t a, uint16_t b) {
  return static_cast<int16_t>(a - b) < 0;
}

} // namespace

void PacerQueue::push(Packet packet) {
  const int64_t now_us = packet.arrived_us;
  if (packet.kind == Kind::kVideo && !takes_video(packet)) {
    counts_.dropped++;
    return;
  }
  bytes_ += packet.bytes;
  switch (packet.kind) {
  case Kind::kSound:
    sound_.push_back(std::move(packet));
    break;
  case Kind::kRepeat:
    repeats_.push_back(std::move(packet));
    break;
  case Kind::kVideo:
    packet_bytes_ += (packet.bytes - packet_bytes_) / 16;
    video_.push_back(std::move(packet));
    break;
  }
  relieve(now_us);
}

bool PacerQueue::takes_video(const Packet &packet) {
  if (packet.keyframe) {
    if (skipping_)
      kept_from_ = packet.number;
    skipping_ = false;
    damaged_ = false;
  }
  if (kept_from_ && static_cast<uint16_t>(packet.number - *kept_from_) > kRemembered)
    kept_from_.reset();
  return !skipping_;
}

// Where the way out is blocked: video goes on with the newest keyframe that waits, if it
// is not old itself, or with the next.
void PacerQueue::relieve(int64_t now_us) {
  const auto old = [now_us](const Packet &packet) {
    return now_us - packet.arrived_us > kBlockedUs;
  };
  while (!sound_.empty() && old(sound_.front()))
    drop(&sound_, sound_.begin() + 1);
  const bool too_much = bytes_ > kMostBytes;
  if (!repeats_.empty() && (too_much || old(repeats_.front())))
    drop(&repeats_, repeats_.end());
  if (video_.empty() || !(too_much || old(video_.front())))
    return;
  auto newest = std::find_if(video_.rbegin(), video_.rend(), [](const Packet &packet) {
                  return packet.keyframe;
                }).base();
  if (newest != video_.begin() && !old(*(newest - 1)) && newest - 1 != video_.begin()) {
    kept_from_ = (newest - 1)->number;
    drop(&video_, newest - 1);
    return;
  }
  skipping_ = damaged_ = true;
  drop(&video_, video_.end());
}

void PacerQueue::drop(Packets *packets, Packets::iterator end) {
  for (auto packet = packets->begin(); packet != end; ++packet) {
    bytes_ -= packet->bytes;
    counts_.dropped++;
  }
  packets->erase(packets->begin(), end);
}

// Bytes each us, so that nothing waits for too long.
double PacerQueue::bytes_per_us(int64_t now_us) const {
  double needed = normal_bytes_per_us(), before = 0;
  for (const Packets *packets : {&sound_, &repeats_, &video_})
    for (const Packet &packet : *packets) {
      before += packet.bytes;
      const int64_t left_us = packet.arrived_us + kLongestWaitUs - kBurstUs - now_us;
      needed =
          std::max(needed, before / static_cast<double>(std::max(left_us, kBurstUs)));
    }
  return needed;
}

const PacerQueue::Packets *PacerQueue::next(int64_t now_us) const {
  if (!sound_.empty())
    return &sound_;
  if (repeats_.empty() && video_.empty())
    return nullptr;
  if (next_us_ > now_us + (bursting_ ? kBurstUs : 0))
    return nullptr;
  return repeats_.empty() ? &video_ : &repeats_;
}

PacerQueue::Packets *PacerQueue::next(int64_t now_us) {
  return const_cast<Packets *>(std::as_const(*this).next(now_us));
}

std::optional<PacerQueue::Packet> PacerQueue::pop(int64_t now_us,
                                                  std::optional<Kind> only) {
  Packets *const packets = next(now_us);
  bursting_ = packets != nullptr;
  if (!packets || (only && packets->front().kind != *only))
    return std::nullopt;
  const double rate = bytes_per_us(now_us);
  Packet packet = std::move(packets->front());
  packets->pop_front();
  bytes_ -= packet.bytes;
  next_us_ =
      std::max(next_us_, now_us - kBurstUs) + static_cast<int64_t>(packet.bytes / rate);
  counts_.packets++;
  counts_.bytes += packet.bytes;
  counts_.repeats += packet.kind == Kind::kRepeat;
  return packet;
}

std::optional<int64_t> PacerQueue::due_us(int64_t now_us) const {
  if (empty())
    return std::nullopt;
  return next(now_us) ? now_us : std::max(next_us_, now_us);
}

void PacerQueue::clear() {
  sound_.clear();
  repeats_.clear();
  video_.clear();
  bytes_ = 0;
  next_us_ = INT64_MIN;
  bursting_ = false;
}

void PacerQueue::fill_tokens(int64_t now_us) {
  const double kbit_s = std::max(kRepeatShare * kbit_s_, kLeastRepeatKbit);
  // What the pacer sends within 250 ms, or repeats would hold up what is new.
  const double most =
      std::clamp(normal_bytes_per_us() / 2 * kLongestWaitUs, kLeastTokens, kMostTokens);
  if (filled_us_ == INT64_MIN)
    tokens_ = most;
  else
    tokens_ += kbit_s / 8000 * static_cast<double>(now_us - filled_us_);
  tokens_ = std::min(tokens_, most);
  filled_us_ = now_us;
}

bool PacerQueue::is_dropped(uint16_t number) const {
  return skipping_ || (kept_from_ && is_before(number, *kept_from_));
}

bool PacerQueue::allow_repeat(uint32_t ssrc, uint16_t number, int64_t now_us) {
  const int64_t gap_us = std::max(round_trip_us_, kLeastRepeatGapUs);
  while (!repeated_.empty() && now_us - repeated_.front().at_us >= gap_us)
    repeated_.pop_front();
  fill_tokens(now_us);
  const bool under_way =
      std::any_of(repeated_.begin(), repeated_.end(), [&](const Repeat &repeat) {
        return repeat.ssrc == ssrc && repeat.number == number;
      });
  if (under_way || is_dropped(number) || tokens_ < packet_bytes_) {
    counts_.refused++;
    if (!under_way && !is_dropped(number))
      damaged_ = true;
    return false;
  }
  tokens_ -= packet_bytes_;
  repeated_.push_back({ssrc, number, now_us});
  return true;
}

bool PacerQueue::backlogged(int64_t now_us) const {
  if (video_.empty())
    return false;
  return now_us - video_.front().arrived_us > kLongestWaitUs ||
         static_cast<double>(bytes_) / normal_bytes_per_us() > kLongestWaitUs;
}

} // namespace vdn
