// SPDX-License-Identifier: LGPL-2.1-or-later
// What a stream that nobody here encodes takes, over the last seconds in which something
// came: keyframes and calm pictures in one. Times are told. Thread: one at a time.
#pragma once

#include <deque>

#include <cstdint>

namespace vdn {

class RateMeter {
public:
  // `bytes`: of all its frames up to now; each second or so.
  void set(uint64_t bytes, int64_t now_us);
  void clear() { marks_.clear(); }
  // 0: not known.
  unsigned kbit_s() const;

private:
  struct Mark {
    int64_t at_us; // without the time in which nothing came
    uint64_t bytes;
  };
  std::deque<Mark> marks_;
  int64_t set_us_ = 0, quiet_us_ = 0;
};

} // namespace vdn
