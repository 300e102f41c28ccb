// SPDX-License-Identifier: LGPL-2.1-or-later
// A publisher with one viewer behind a bad line, on a clock of its own: encoder, pacer,
// line, reports, repeats, estimate. Only what makes frames and lets them go, line and
// viewer are models.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <vector>

#include "bad-line.h"
#include "bandwidth.h"
#include "keyframes.h"
#include "pacer-queue.h"
#include "rate.h"

namespace vdn {

class Bottleneck {
public:
  static constexpr int64_t kMs = 1000, kSecond = 1000000;
  static constexpr unsigned kMin = 150, kMax = 2500, kSoundKbit = 64;

  explicit Bottleneck(unsigned seed)
      : line(seed), bandwidth({kMin, kMax}, kMax), pacer(kMax), random_(seed) {}

  // What is not encoded here: so much, whatever anybody wishes, and a keyframe each 2 s.
  void pass(unsigned kbit_s) {
    passing_kbit_s_ = kbit_s;
    rate_.set_limits({kbit_s + kSoundKbit, kbit_s + kSoundKbit});
    bandwidth.set_limits({kMin, std::max(kMax, kbit_s * 13 / 10) + kSoundKbit});
  }
  bool is_slow() const { return rate_.is_slow("viewer"); }

  // To be read and changed between runs.
  BadLine line;
  Bandwidth bandwidth;
  PacerQueue pacer;
  int64_t back_us = 20 * kMs;   // the way of reports
  int64_t report_us = 60 * kMs; // between them
  bool encoder_stalls = false;
  bool reports_lost = false;
  int64_t now_us = 100 * kSecond;

  // What was seen since the last clear().
  struct Seen {
    unsigned lowest = UINT32_MAX, highest = 0; // estimates
    unsigned overuses = 0;
    unsigned pictures = 0;       // that were sent
    int64_t longest_wait_us = 0; // in the pacer
    int64_t longest_way_us = 0;  // of a packet that arrived, the pacer left out
    unsigned overflowed = 0, keyframes = 0;
    double worst_ratio = 0; // sent in a second, of the highest estimate in it
  };
  const Seen &seen() const { return seen_; }
  void clear() { seen_ = {}; }

  void run(double seconds) {
    const int64_t end_us = now_us + static_cast<int64_t>(seconds * kSecond);
    for (; now_us < end_us; now_us += kMs)
      step();
  }
  // Runs until `ready`, `seconds` at most; how long it took in s.
  template <typename Ready> double run_until(double seconds, Ready ready) {
    const int64_t start_us = now_us;
    while (!ready() && now_us - start_us < seconds * kSecond)
      run(0.001);
    return static_cast<double>(now_us - start_us) / kSecond;
  }

private:
  struct Sent {
    SentPacket report;
    bool video = false;
    uint16_t rtp_number = 0;
    int64_t arrives_us = INT64_MAX; // when lost
    bool told = false;              // as received or as lost
  };

  void step() {
    encode();
    while (auto packet = pacer.pop(now_us))
      send(*packet);
    report();
    while (!reports_.empty() && reports_.begin()->first <= now_us) {
      take_report(reports_.begin()->second);
      reports_.erase(reports_.begin());
    }
    while (!requests_.empty() && requests_.begin()->first <= now_us) {
      repeat(requests_.begin()->second);
      requests_.erase(requests_.begin());
    }
    watch();
  }

  void encode() {
    if (now_us >= next_sound_us_) {
      push(PacerQueue::Kind::kSound, kSoundKbit * 20 / 8, false);
      next_sound_us_ = now_us + 20 * kMs;
    }
    rate_.update(now_us);
    if (watch_.asks(pacer.damaged(), bandwidth.overused_us(), now_us))
      keyframes_.request("viewer", KeyframeCause::kDamaged, now_us);
    if (now_us < next_picture_us_)
      return;
    next_picture_us_ = std::max(next_picture_us_, now_us - kMs) + kSecond / 30;
    const bool stalled = std::exchange(stalled_, encoder_stalls);
    if (encoder_stalls)
      return;
    const unsigned kbit_s =
        passing_kbit_s_ ? passing_kbit_s_ : std::max(kMin, rate_.kbit_s() - kSoundKbit);
    double bytes = kbit_s * 1000.0 / 8 / 30;
    bytes *= 0.8 + 0.4 * (random_() / 4294967296.0);
    const bool keyframe = passing_kbit_s_ ? made_++ % 60 == 0 : keyframes_.take(now_us);
    if (passing_kbit_s_)
      bytes *= 60.0 / 64;
    if (keyframe) {
      keyframes_.came(now_us);
      seen_.keyframes++;
      bytes *= 5;
    }
    // As Feed has it.
    if (keyframe)
      flowing_ = true;
    else if (is_slow() && pacer.backlogged(now_us))
      flowing_ = false;
    if (!flowing_)
      return;
    picture(static_cast<unsigned>(bytes), keyframe);
    if (stalled)
      picture(static_cast<unsigned>(bytes), false);
  }

  void picture(unsigned bytes, bool keyframe) {
    seen_.pictures++;
    for (unsigned left = bytes; left > 0;) {
      const unsigned size = std::min(left, 1180u);
      push(PacerQueue::Kind::kVideo, size, keyframe && left == bytes);
      left -= size;
    }
  }

  void push(PacerQueue::Kind kind, unsigned payload, bool keyframe,
            uint16_t rtp_number = 0) {
    PacerQueue::Packet packet;
    packet.kind = kind;
    packet.bytes = payload + kRtpBytes;
    packet.keyframe = keyframe;
    packet.arrived_us = now_us;
    packet.number = kind == PacerQueue::Kind::kVideo ? next_rtp_++ : rtp_number;
    pacer.push(std::move(packet));
  }

  void send(const PacerQueue::Packet &packet) {
    seen_.longest_wait_us = std::max(seen_.longest_wait_us, now_us - packet.arrived_us);
    Sent sent;
    sent.report.number = static_cast<uint16_t>(first_number_ + sent_.size());
    sent.report.sent_us = now_us;
    sent.report.size = packet.bytes - kRtpBytes;
    sent.report.repeat = packet.kind == PacerQueue::Kind::kRepeat;
    sent.video = packet.kind == PacerQueue::Kind::kVideo;
    sent.rtp_number = packet.number;
    const BadLine::Verdict verdict = line.take(now_us, packet.bytes);
    seen_.overflowed += verdict.fate == BadLine::Fate::kOverflowed;
    if (verdict.fate == BadLine::Fate::kPassed) {
      sent.arrives_us = verdict.due_us;
      sent.report.received_us = verdict.due_us + kOtherClockUs;
      seen_.longest_way_us = std::max(seen_.longest_way_us, verdict.due_us - now_us);
    }
    sent_.push_back(sent);
    second_.emplace_back(now_us, sent.report.size);
    second_bytes_ += sent.report.size;
  }

  // As Chromium: all up to the newest that arrived; what comes later than others is told
  // of again, which GStreamer cannot match any more.
  void report() {
    if (now_us < next_report_us_)
      return;
    next_report_us_ = now_us + report_us;
    size_t newest = sent_.size();
    while (newest > 0 && sent_[newest - 1].arrives_us > now_us)
      newest--;
    std::vector<SentPacket> told;
    for (size_t i = 0; i < newest; i++) {
      Sent &sent = sent_[i];
      const bool arrived = sent.arrives_us <= now_us;
      if (sent.told && (!arrived || !sent.report.lost))
        continue;
      SentPacket packet = sent.report;
      if (sent.told)
        packet.size = 0; // not known any more
      packet.lost = sent.report.lost = !arrived;
      if (!arrived && sent.video)
        requests_.emplace(now_us + back_us, sent.rtp_number);
      sent.told = true;
      told.push_back(packet);
    }
    while (!sent_.empty() && now_us - sent_.front().report.sent_us > kSecond) {
      sent_.pop_front();
      first_number_++;
    }
    if (!told.empty() && !reports_lost)
      reports_.emplace(now_us + back_us, std::move(told));
  }

  void take_report(const std::vector<SentPacket> &packets) {
    const int64_t before_us = bandwidth.overused_us();
    bandwidth.on_feedback(packets, now_us);
    seen_.overuses += bandwidth.overused_us() != before_us;
    pacer.set_rate(bandwidth.kbit_s());
    pacer.set_round_trip(bandwidth.round_trip_us());
    rate_.set("viewer", {bandwidth.kbit_s(), 0, true, bandwidth.is_full(now_us)});
  }

  void repeat(uint16_t number) {
    if (pacer.allow_repeat(1, number, now_us))
      push(PacerQueue::Kind::kRepeat, 1182, false, number);
  }

  void watch() {
    const unsigned estimate = bandwidth.kbit_s();
    seen_.lowest = std::min(seen_.lowest, estimate);
    seen_.highest = std::max(seen_.highest, estimate);
    estimates_.emplace_back(now_us, estimate);
    while (now_us - estimates_.front().first > kSecond)
      estimates_.pop_front();
    while (!second_.empty() && now_us - second_.front().first > kSecond) {
      second_bytes_ -= second_.front().second;
      second_.pop_front();
    }
    if (now_us % (100 * kMs) != 0)
      return;
    unsigned most = 1;
    for (const auto &[at, kbit_s] : estimates_)
      most = std::max(most, kbit_s);
    seen_.worst_ratio = std::max(seen_.worst_ratio, second_bytes_ * 8 / 1000.0 / most);
  }

  static constexpr unsigned kRtpBytes = 20;
  static constexpr int64_t kOtherClockUs = 12345 * kSecond;

  std::mt19937 random_;
  SharedRate rate_{{kMin, kMax}};
  Keyframes keyframes_;
  DamageWatch watch_;
  bool stalled_ = false, flowing_ = true;
  unsigned passing_kbit_s_ = 0, made_ = 0;
  int64_t next_sound_us_ = 0, next_picture_us_ = 0, next_report_us_ = 0;
  uint16_t next_rtp_ = 1;
  uint16_t first_number_ = 0; // of sent_.front()
  std::deque<Sent> sent_;
  std::multimap<int64_t, std::vector<SentPacket>> reports_; // by when they arrive
  std::multimap<int64_t, uint16_t> requests_;
  std::deque<std::pair<int64_t, unsigned>> estimates_, second_;
  uint64_t second_bytes_ = 0;
  Seen seen_;
};

} // namespace vdn
