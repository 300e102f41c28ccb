// SPDX-License-Identifier: LGPL-2.1-or-later
// One encoder for many viewers: how large its picture has to be so that nobody gets less
// than it has room for. Times are told. Thread: one at a time.
#pragma once

#include <map>
#include <string>

#include <cstdint>

#include "picture-box.h"

namespace vdn {

class SharedSize {
public:
  // What a viewer has room for. Before the next update(), for both.
  void set(const std::string &viewer, const PictureBox &box) { viewers_[viewer] = box; }
  void remove(const std::string &viewer) { viewers_.erase(viewer); }
  // At each change, and each second at least: grows at once, shrinks when less has been
  // enough for 3 s. True when it changed.
  bool update(int64_t now_us);

  const PictureBox &box() const { return box_; }

private:
  static constexpr int64_t kNone = INT64_MIN;

  PictureBox wanted() const;

  std::map<std::string, PictureBox> viewers_;
  PictureBox box_;
  int64_t less_since_us_ = kNone; // has been enough
};

} // namespace vdn
