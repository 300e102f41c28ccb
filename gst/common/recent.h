// SPDX-License-Identifier: LGPL-2.1-or-later
// The last 64 of what is measured again and again. Thread: one at a time; the owner
// locks.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include <glib.h>

namespace vdn {

class Recent {
public:
  void add(gint64 value) { values_[many_++ % values_.size()] = value; }
  // What 95 % of them do not exceed; 0 while there are none.
  gint64 p95() const {
    const size_t many = std::min(many_, values_.size());
    if (!many)
      return 0;
    auto sorted = values_;
    const auto at = sorted.begin() + (many * 95 + 99) / 100 - 1;
    std::nth_element(sorted.begin(), at, sorted.begin() + many);
    return *at;
  }

private:
  std::array<gint64, 64> values_{};
  size_t many_ = 0;
};

} // namespace vdn
