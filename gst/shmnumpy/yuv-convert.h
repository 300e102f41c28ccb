// SPDX-License-Identifier: LGPL-2.1-or-later
// Decoded pictures to packed RGB or BGR, by libyuv, in one pass.
#pragma once

#include <cstdint>

namespace vdn {

enum class YuvMatrix { Bt601, Bt709, Bt2020 };
enum class PackedOrder { Rgb, Bgr }; // of the bytes in memory

// I420, or NV12 where `v` is null and `u` points at the interleaved plane.
// y: uint8[height][y_stride], u and v: uint8[(height+1)/2][u_stride, v_stride].
struct YuvPicture {
  const uint8_t *y = nullptr;
  const uint8_t *u = nullptr;
  const uint8_t *v = nullptr;
  int y_stride = 0;
  int u_stride = 0;
  int v_stride = 0;
  int width = 0;
  int height = 0;
  YuvMatrix matrix = YuvMatrix::Bt601;
  bool full_range = false;
};

// out: uint8[height][out_stride], out_stride >= 3 * width. Chroma is repeated, not
// interpolated. False if libyuv refuses the dimensions. Thread: any.
bool convert_yuv(const YuvPicture &picture, PackedOrder order, uint8_t *out,
                 int out_stride);

// RGB to BGR or back. in, out: uint8[height][stride], stride >= 3 * width. Thread: any.
bool swap_red_and_blue(const uint8_t *in, int in_stride, uint8_t *out, int out_stride,
                       int width, int height);

} // namespace vdn
