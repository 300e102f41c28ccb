// SPDX-License-Identifier: LGPL-2.1-or-later
// Rows of pixels between a frame and shared memory, either way. Thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace vdn {

// Strides and `row_bytes`, of which neither is less, are bytes. Touches nothing behind
// the last row.
inline void copy_plane(const uint8_t *from, size_t from_stride, uint8_t *to,
                       size_t to_stride, size_t row_bytes, uint32_t rows) {
  if (from_stride == to_stride) {
    memcpy(to, from, from_stride * (rows - 1) + row_bytes);
    return;
  }
  for (uint32_t y = 0; y < rows; y++)
    memcpy(to + y * to_stride, from + y * from_stride, row_bytes);
}

} // namespace vdn
