// SPDX-License-Identifier: LGPL-2.1-or-later
#include "yuv-convert.h"

#include <libyuv.h>

namespace vdn {

// libyuv makes only BGR (which it calls RGB24). Exchanging U and V, and the constants for
// them, exchanges blue and red: that is how libyuv itself makes RGB (which it calls RAW).
struct Constants {
  const libyuv::YuvConstants *bgr;
  const libyuv::YuvConstants *rgb;
};

static Constants constants_for(YuvMatrix matrix, bool full_range) {
  switch (matrix) {
  case YuvMatrix::Bt709:
    return full_range ? Constants{&libyuv::kYuvF709Constants, &libyuv::kYvuF709Constants}
                      : Constants{&libyuv::kYuvH709Constants, &libyuv::kYvuH709Constants};
  case YuvMatrix::Bt2020:
    return full_range
               ? Constants{&libyuv::kYuvV2020Constants, &libyuv::kYvuV2020Constants}
               : Constants{&libyuv::kYuv2020Constants, &libyuv::kYvu2020Constants};
  case YuvMatrix::Bt601:
    break;
  }
  return full_range ? Constants{&libyuv::kYuvJPEGConstants, &libyuv::kYvuJPEGConstants}
                    : Constants{&libyuv::kYuvI601Constants, &libyuv::kYvuI601Constants};
}

bool convert_yuv(const YuvPicture &picture, PackedOrder order, uint8_t *out,
                 int out_stride) {
  const YuvPicture &p = picture;
  const Constants constants = constants_for(p.matrix, p.full_range);
  const bool bgr = order == PackedOrder::Bgr;
  const libyuv::YuvConstants *matrix = bgr ? constants.bgr : constants.rgb;
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
