// SPDX-License-Identifier: LGPL-2.1-or-later
// What a picture has to fit into. Thread: none.
#pragma once

namespace vdn {

// In pixels; 0: any size.
struct PictureBox {
  unsigned width = 0, height = 0;

  bool operator==(const PictureBox &other) const {
    return width == other.width && height == other.height;
  }
  bool operator!=(const PictureBox &other) const { return !(*this == other); }
};

} // namespace vdn
