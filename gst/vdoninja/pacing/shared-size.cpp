// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shared-size.h"

#include <algorithm>

namespace vdn {

namespace {

// Windows are resized step by step, and each size costs a keyframe.
constexpr int64_t kShrinkAfterUs = 3000000;

// As 0 is more than all else.
unsigned larger(unsigned a, unsigned b) {
  return a && b ? std::max(a, b) : 0;
}

} // namespace

// Any size when nobody watches, for who comes next.
PictureBox SharedSize::wanted() const {
  if (viewers_.empty())
    return {};
  PictureBox all{1, 1};
  for (const auto &[name, box] : viewers_)
    all = {larger(all.width, box.width), larger(all.height, box.height)};
  return all;
}

bool SharedSize::update(int64_t now_us) {
  const PictureBox box = wanted();
  const bool grows = larger(box.width, box_.width) != box_.width ||
                     larger(box.height, box_.height) != box_.height;
  if (box == box_) {
    less_since_us_ = kNone;
    return false;
  }
  if (!grows) {
    if (less_since_us_ == kNone)
      less_since_us_ = now_us;
    if (now_us - less_since_us_ < kShrinkAfterUs)
      return false;
  }
  less_since_us_ = kNone;
  box_ = box;
  return true;
}

} // namespace vdn
