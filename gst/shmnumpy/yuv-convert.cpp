// SPDX-License-Identifier: LGPL-2.1-or-later
#include "yuv-convert.h"

#include <libyuv.h>

namespace vdn {

namespace {

using libyuv::YuvConstants;

// What U adds to blue, times 64, where it is more than the 128 at which libyuv's own
// tables end (up to 16 levels too dark for BT.2020). The arithmetic takes more: libyuv
// has the same values under LIBYUV_UNLIMITED_DATA, source/row_common.cc.
constexpr int kBlueBt601 = 129;
constexpr int kBlueBt709 = 135;
constexpr int kBlueBt2020 = 137;

// The tables look different for Intel and ARM; the overload that compiles is the right
// one.
template <typename Table>
auto set_blue(Table *table, bool swapped, int blue) -> decltype(table->kUVToB, void()) {
  auto &factors = swapped ? table->kUVToR : table->kUVToB;
  for (int i = swapped ? 1 : 0; i < 32; i += 2)
    factors[i] = static_cast<uint8_t>(blue);
}

template <typename Table>
auto set_blue(Table *table, bool swapped, int blue) -> decltype(table->kUVCoeff, void()) {
  const int factor = swapped ? 1 : 0;
  const int bias = swapped ? 3 : 1;
  table->kRGBCoeffBias[bias] = static_cast<int16_t>(
      table->kRGBCoeffBias[bias] + (blue - table->kUVCoeff[factor]) * 128);
  table->kUVCoeff[factor] = static_cast<uint8_t>(blue);
}

YuvConstants with_blue(YuvConstants table, bool swapped, int blue) {
  set_blue(&table, swapped, blue);
  return table;
}

// libyuv makes only BGR (which it calls RGB24). Exchanging U and V, and the constants for
// them, exchanges blue and red: that is how libyuv itself makes RGB (which it calls RAW).
const YuvConstants *constants_for(YuvMatrix matrix, bool full_range, bool bgr) {
  static const YuvConstants bt601[] = {
      with_blue(libyuv::kYuvI601Constants, false, kBlueBt601),
      with_blue(libyuv::kYvuI601Constants, true, kBlueBt601)};
  static const YuvConstants bt709[] = {
      with_blue(libyuv::kYuvH709Constants, false, kBlueBt709),
      with_blue(libyuv::kYvuH709Constants, true, kBlueBt709)};
  static const YuvConstants bt2020[] = {
      with_blue(libyuv::kYuv2020Constants, false, kBlueBt2020),
      with_blue(libyuv::kYvu2020Constants, true, kBlueBt2020)};
  const int swapped = bgr ? 0 : 1;
  switch (matrix) {
  case YuvMatrix::Bt709:
    if (full_range)
      return bgr ? &libyuv::kYuvF709Constants : &libyuv::kYvuF709Constants;
    return &bt709[swapped];
  case YuvMatrix::Bt2020:
    if (full_range)
      return bgr ? &libyuv::kYuvV2020Constants : &libyuv::kYvuV2020Constants;
    return &bt2020[swapped];
  case YuvMatrix::Bt601:
    break;
  }
  if (full_range)
    return bgr ? &libyuv::kYuvJPEGConstants : &libyuv::kYvuJPEGConstants;
  return &bt601[swapped];
}

} // namespace

bool convert_yuv(const YuvPicture &picture, PackedOrder order, uint8_t *out,
                 int out_stride) {
  const YuvPicture &p = picture;
  const bool bgr = order == PackedOrder::Bgr;
  const YuvConstants *matrix = constants_for(p.matrix, p.full_range, bgr);
  if (!p.v) {
    const auto convert = bgr ? libyuv::NV12ToRGB24Matrix : libyuv::NV21ToRGB24Matrix;
    return convert(p.y, p.y_stride, p.u, p.u_stride, out, out_stride, matrix, p.width,
                   p.height) == 0;
  }
  if (bgr)
    return libyuv::I420ToRGB24Matrix(p.y, p.y_stride, p.u, p.u_stride, p.v, p.v_stride,
                                     out, out_stride, matrix, p.width, p.height) == 0;
  return libyuv::I420ToRGB24Matrix(p.y, p.y_stride, p.v, p.v_stride, p.u, p.u_stride, out,
                                   out_stride, matrix, p.width, p.height) == 0;
}

bool swap_red_and_blue(const uint8_t *in, int in_stride, uint8_t *out, int out_stride,
                       int width, int height) {
  return libyuv::RAWToRGB24(in, in_stride, out, out_stride, width, height) == 0;
}

} // namespace vdn
