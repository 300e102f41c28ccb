// SPDX-License-Identifier: LGPL-2.1-or-later
// What a stream that nobody here encodes takes, over the last seconds: keyframes and calm
// pictures in one. Times are told. Thread: one at a time.
#pragma once

#include <deque>

#include <cstdint>

namespace vdn {

class RateMeter {
public:
  // `bytes`: of all its frames up to now; each second or so.
  void set(uint64_t bytes, int64_t now_us);
  void clear() { marks_.clear(); }
  // 0: not known, or nothing came.
  unsigned kbit_s() const;

private:
  struct Mark {
    int64_t at_us;
    uint64_t bytes;
  };
  std::deque<Mark> marks_;
};

} // namespace vdn
