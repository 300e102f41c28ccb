// SPDX-License-Identifier: LGPL-2.1-or-later
// What a network does to the packets of one direction: who is lost, and when the others
// arrive. Knows no sockets and no clock. Thread: one at a time.
#pragma once

#include <random>
#include <string_view>

#include <cstddef>
#include <cstdint>

namespace vdn {

// What happens to packets in one direction.
struct PathConditions {
  double loss = 0;         // share of packets, 0 to 1
  double burst = 1;        // mean length of a run of losses; 1: each by itself
  unsigned rate_kbps = 0;  // what passes at most, headers of UDP and IP included; 0: all
  unsigned queue_ms = 300; // packets that would wait longer for their turn are dropped
  unsigned delay_ms = 0;
  unsigned jitter_ms = 0; // up to this is added to the delay of each
  bool overtaking = true; // by jitter; otherwise who comes later leaves later
  double reorder = 0;     // share of packets held back for kHeldBackMs more
  bool blackout = false;  // nothing passes; the relay's affair
};

class BadLine {
public:
  enum class Fate { kPassed, kLost, kOverflowed };
  struct Verdict {
    Fate fate = Fate::kPassed;
    int64_t due_us = 0; // when it arrives, if it does
  };
  static constexpr unsigned kHeldBackMs = 30;
  static constexpr size_t kHeaderBytes = 28; // of IPv4 and UDP

  // The same seed makes the same choices for the same packets.
  explicit BadLine(unsigned seed) : random_(seed) {}

  // From the next packet on; what waits for its turn waits on.
  PathConditions &conditions() { return conditions_; }
  const PathConditions &conditions() const { return conditions_; }
  // `now_us`: any clock that does not run backwards. `bytes`: of the datagram's payload.
  Verdict take(int64_t now_us, size_t bytes);

private:
  double chance();
  bool loses(double draw);

  PathConditions conditions_;
  std::mt19937 random_;
  bool losing_ = false;   // the last packet was lost
  int64_t busy_us_ = 0;   // until then the line is full
  int64_t latest_us_ = 0; // when the latest one is due, but for those held back
};

// A network as it is met outside, in both directions.
struct Line {
  PathConditions to_viewer, to_publisher;
};

// One by name: clean, lan, wifi, rtt100, loss2, loss5, loss10, burst, reorder, thin or
// lte. Or what is in such a line, in words, to the viewer and to the publisher, as
// "loss=0.05 delay=20|delay=20": loss, burst, delay, jitter, rate, queue as above, and
// reorder=1 if jitter lets packets overtake. False for anything else.
bool find_line(std::string_view name, Line *line);

} // namespace vdn
