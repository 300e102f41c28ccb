// SPDX-License-Identifier: LGPL-2.1-or-later
// Which packet leaves for a viewer when: at twice the rate that its network carries, so
// that a keyframe does not fill the queues on the way, sound and repeats first. Nothing
// waits for longer than 250 ms unless the way out is blocked; then video is dropped from
// keyframe to keyframe. Times are told, so that it can be tried on any clock. Thread: one
// at a time; the owner locks.
#pragma once

#include <deque>
#include <optional>

#include "gst-ptr.h"

namespace vdn {

class PacerQueue {
public:
  enum class Kind { kSound, kVideo, kRepeat };
  struct Packet {
    Kind kind = Kind::kVideo;
    unsigned bytes = 0;
    uint16_t number = 0;   // RTP; not needed of repeats
    bool keyframe = false; // the first of one
    int64_t arrived_us = 0;
    BufferPtr buffer;
  };
  struct Counts {
    uint64_t packets = 0, bytes = 0;                // that left, repeats included
    uint64_t repeats = 0, refused = 0, dropped = 0; // packets
  };
  static constexpr int64_t kLongestWaitUs = 250000;

  explicit PacerQueue(unsigned kbit_s) { set_rate(kbit_s); }

  // That the network carries; 0 counts as 1. It fills the allowance for repeats, too.
  void set_rate(unsigned kbit_s) { kbit_s_ = kbit_s > 0 ? kbit_s : 1; }
  void set_round_trip(int64_t us) { round_trip_us_ = us; }

  // Takes it, unless it is video of a picture that cannot be decoded any more.
  void push(Packet packet);
  // The next that may leave now; nullopt while there is none, or while it is of another
  // kind than `only`.
  std::optional<Packet> pop(int64_t now_us, std::optional<Kind> only = std::nullopt);
  // When pop() has one; nullopt while nothing waits.
  std::optional<int64_t> due_us(int64_t now_us) const;
  void clear();
  bool empty() const { return sound_.empty() && repeats_.empty() && video_.empty(); }

  // Whether a packet that the viewer misses may be sent again; it is expected with push()
  // then. From 25 % of the rate, and not twice within a round trip.
  bool allow_repeat(uint32_t ssrc, uint16_t number, int64_t now_us);

  // What the viewer has cannot be completed: repeats were refused or video was dropped.
  // Until the next keyframe.
  bool damaged() const { return damaged_; }
  // Video is dropped up to the next keyframe.
  bool skipping() const { return skipping_; }
  // Video waits for longer than 250 ms, or would at twice the rate.
  bool backlogged(int64_t now_us) const;
  size_t bytes() const { return bytes_; } // that wait
  const Counts &counts() const { return counts_; }

private:
  struct Repeat {
    uint32_t ssrc;
    uint16_t number;
    int64_t at_us;
  };
  using Packets = std::deque<Packet>;

  Packets *next(int64_t now_us);
  const Packets *next(int64_t now_us) const;
  double bytes_per_us(int64_t now_us) const;
  double normal_bytes_per_us() const { return 2.0 * kbit_s_ / 8000; }
  bool takes_video(const Packet &packet);
  void relieve(int64_t now_us);
  void drop(Packets *packets, Packets::iterator end);
  bool is_dropped(uint16_t number) const;
  void fill_tokens(int64_t now_us);

  unsigned kbit_s_ = 1;
  int64_t round_trip_us_ = 200000;
  Packets sound_, repeats_, video_;
  size_t bytes_ = 0;
  int64_t next_us_ = INT64_MIN; // when the line is free
  bool bursting_ = false;

  double tokens_ = 0; // bytes
  int64_t filled_us_ = INT64_MIN;
  double packet_bytes_ = 1200;  // of video, on average
  std::deque<Repeat> repeated_; // within a round trip

  bool damaged_ = false;
  bool skipping_ = false; // video, up to a keyframe
  // Video before that was dropped, and is not sent again either.
  std::optional<uint16_t> kept_from_;
  Counts counts_;
};

} // namespace vdn
