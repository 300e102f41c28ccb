// SPDX-License-Identifier: LGPL-2.1-or-later
// One encoder for many viewers: which rate it gets, and whose network is too slow for it.
// The healthy viewers' networks decide; a viewer that wants little does not lower it for
// the others. Times are told. Thread: one at a time.
#pragma once

#include <map>
#include <string>

#include <cstdint>

namespace vdn {

// In kbit/s.
struct RateLimits {
  unsigned min = 0, max = 0;
};

struct ViewerRate {
  unsigned estimate = 0; // kbit/s that its network carries
  unsigned wish = 0;     // kbit/s at most; 0: none
  bool video = true;     // it is sent video
  bool full = true; // its network was found so lately: that is what the estimate is of
};

class SharedRate {
public:
  explicit SharedRate(const RateLimits &limits);

  // Before the next update().
  void set_limits(const RateLimits &limits);
  // Adds the viewer when there is none of that name.
  void set(const std::string &viewer, const ViewerRate &rate) {
    viewers_[viewer].rate = rate;
  }
  void remove(const std::string &viewer) { viewers_.erase(viewer); }
  // At each estimate, and each second at least: lowers the rate at once, raises it a
  // second after it changed. True when it changed.
  bool update(int64_t now_us);

  // For the encoder, within the limits; the highest at first.
  unsigned kbit_s() const { return kbit_s_; }
  // Too slow for 2 s: it gets pictures from keyframe to keyframe, until its network has
  // been good enough for 5 s. False for one that is not known.
  bool is_slow(const std::string &viewer) const;

private:
  struct Viewer {
    ViewerRate rate;
    bool slow = false;
    int64_t since_us = kNone; // for how long it would have to be the other
  };
  static constexpr int64_t kNone = INT64_MIN;

  unsigned floor() const;
  // `least`: floor(), which counts all viewers.
  static void judge(Viewer *viewer, unsigned least, int64_t now_us);
  unsigned wanted(unsigned least) const;

  RateLimits limits_;
  std::map<std::string, Viewer> viewers_;
  unsigned kbit_s_;
  int64_t changed_us_ = kNone;
};

} // namespace vdn
