// SPDX-License-Identifier: LGPL-2.1-or-later
// libyuv against videoconvert: every matrix and range, both layouts, both byte orders.
// videoconvert 1.22 rounds down inside its 8-bit sums and is off the definition by up to
// 6 levels, so what is compared to it is where it is right; the definition decides
// everywhere.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <gst/check/gstcheck.h>
#include <gst/video/video.h>

#include "yuv-convert.h"

using vdn::PackedOrder;
using vdn::YuvMatrix;
using vdn::YuvPicture;

// Patches of one colour each, as chroma between two colours is a matter of taste: libyuv
// repeats it, videoconvert may interpolate.
constexpr gint kPatch = 16;
constexpr gint kColumns = 32;
constexpr gint kRows = 16;
constexpr gint kWidth = kPatch * kColumns;
constexpr gint kHeight = kPatch * kRows;
constexpr double kTolerance = 2;

struct Colorimetry {
  const char *text;
  YuvMatrix matrix;
  bool full_range;
  double red; // share of luma
  double blue;
};

static const Colorimetry kColorimetries[] = {
    {"2:4:5:4", YuvMatrix::Bt601, false, 0.299, 0.114},
    {"1:4:5:4", YuvMatrix::Bt601, true, 0.299, 0.114},
    {"2:3:5:1", YuvMatrix::Bt709, false, 0.2126, 0.0722},
    {"1:3:5:1", YuvMatrix::Bt709, true, 0.2126, 0.0722},
    {"2:6:13:7", YuvMatrix::Bt2020, false, 0.2627, 0.0593},
    {"1:6:13:7", YuvMatrix::Bt2020, true, 0.2627, 0.0593},
};

// Y, U and V of a colour that exists, its corners included.
static void random_color(GRand *random, const Colorimetry &colorimetry, guint8 *yuv) {
  double rgb[3];
  for (double &value : rgb)
    value = std::clamp(g_rand_double_range(random, -0.3, 1.3), 0.0, 1.0);
  const double luma = colorimetry.red * rgb[0] + colorimetry.blue * rgb[2] +
                      (1 - colorimetry.red - colorimetry.blue) * rgb[1];
  const double u = (rgb[2] - luma) / (2 * (1 - colorimetry.blue));
  const double v = (rgb[0] - luma) / (2 * (1 - colorimetry.red));
  const bool full = colorimetry.full_range;
  yuv[0] = static_cast<guint8>(full ? luma * 255 + 0.5 : 16 + luma * 219 + 0.5);
  yuv[1] = static_cast<guint8>(std::min(128 + u * (full ? 255 : 224) + 0.5, 255.0));
  yuv[2] = static_cast<guint8>(std::min(128 + v * (full ? 255 : 224) + 0.5, 255.0));
}

using Colors = guint8[kRows][kColumns][3];

static void random_colors(const Colorimetry &colorimetry, guint seed, Colors &colors) {
  GRand *random = g_rand_new_with_seed(seed);
  for (auto &row : colors)
    for (auto &patch : row)
      random_color(random, colorimetry, patch);
  g_rand_free(random);
}

// Red, green, blue in 0 to 255 of a patch, by the definition of the colour space.
static void exact_color(const Colorimetry &colorimetry, const guint8 *yuv, double *rgb) {
  const bool full = colorimetry.full_range;
  const double luma = full ? yuv[0] / 255.0 : (yuv[0] - 16) / 219.0;
  const double u = (yuv[1] - 128) / (full ? 255.0 : 224.0);
  const double v = (yuv[2] - 128) / (full ? 255.0 : 224.0);
  rgb[0] = luma + 2 * (1 - colorimetry.red) * v;
  rgb[2] = luma + 2 * (1 - colorimetry.blue) * u;
  rgb[1] = (luma - colorimetry.red * rgb[0] - colorimetry.blue * rgb[2]) /
           (1 - colorimetry.red - colorimetry.blue);
  for (gint c = 0; c < 3; c++)
    rgb[c] = std::clamp(rgb[c], 0.0, 1.0) * 255;
}

static GstBuffer *make_picture(const GstVideoInfo &info, const Colors &color) {
  GstBuffer *buffer = gst_buffer_new_allocate(nullptr, info.size, nullptr);
  GstVideoFrame frame;
  fail_unless(gst_video_frame_map(&frame, const_cast<GstVideoInfo *>(&info), buffer,
                                  GST_MAP_WRITE));
  for (guint c = 0; c < 3; c++)
    for (gint y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT(&frame, c); y++)
      for (gint x = 0; x < GST_VIDEO_FRAME_COMP_WIDTH(&frame, c); x++) {
        const gint patch = c == 0 ? kPatch : kPatch / 2;
        auto *data = static_cast<guint8 *>(GST_VIDEO_FRAME_COMP_DATA(&frame, c));
        data[y * GST_VIDEO_FRAME_COMP_STRIDE(&frame, c) +
             x * GST_VIDEO_FRAME_COMP_PSTRIDE(&frame, c)] =
            color[y / patch][x / patch][c];
      }
  gst_video_frame_unmap(&frame);
  return buffer;
}

static std::vector<guint8> by_videoconvert(const GstVideoInfo &info, GstBuffer *picture,
                                           GstVideoFormat to) {
  GstVideoInfo out;
  gst_video_info_set_format(&out, to, kWidth, kHeight);
  // Only the matrix is applied, as in libyuv: no gamma, no primaries.
  out.colorimetry.transfer = info.colorimetry.transfer;
  out.colorimetry.primaries = info.colorimetry.primaries;
  GstVideoConverter *converter =
      gst_video_converter_new(const_cast<GstVideoInfo *>(&info), &out, nullptr);
  GstBuffer *result = gst_buffer_new_allocate(nullptr, out.size, nullptr);
  GstVideoFrame from, into;
  fail_unless(gst_video_frame_map(&from, const_cast<GstVideoInfo *>(&info), picture,
                                  GST_MAP_READ));
  fail_unless(gst_video_frame_map(&into, &out, result, GST_MAP_WRITE));
  gst_video_converter_frame(converter, &from, &into);
  const auto *data = static_cast<guint8 *>(GST_VIDEO_FRAME_PLANE_DATA(&into, 0));
  std::vector<guint8> pixels(data, data + out.size);
  gst_video_frame_unmap(&into);
  gst_video_frame_unmap(&from);
  gst_buffer_unref(result);
  gst_video_converter_free(converter);
  return pixels;
}

static std::vector<guint8> by_libyuv(const GstVideoInfo &info, GstBuffer *buffer,
                                     const Colorimetry &colorimetry, PackedOrder order) {
  GstVideoFrame frame;
  fail_unless(gst_video_frame_map(&frame, const_cast<GstVideoInfo *>(&info), buffer,
                                  GST_MAP_READ));
  YuvPicture picture;
  picture.y = static_cast<guint8 *>(GST_VIDEO_FRAME_PLANE_DATA(&frame, 0));
  picture.u = static_cast<guint8 *>(GST_VIDEO_FRAME_PLANE_DATA(&frame, 1));
  picture.y_stride = GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 0);
  picture.u_stride = GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 1);
  if (GST_VIDEO_FRAME_N_PLANES(&frame) == 3) {
    picture.v = static_cast<guint8 *>(GST_VIDEO_FRAME_PLANE_DATA(&frame, 2));
    picture.v_stride = GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 2);
  }
  picture.width = kWidth;
  picture.height = kHeight;
  picture.matrix = colorimetry.matrix;
  picture.full_range = colorimetry.full_range;
  std::vector<guint8> pixels(kWidth * kHeight * 3);
  fail_unless(vdn::convert_yuv(picture, order, pixels.data(), kWidth * 3));
  gst_video_frame_unmap(&frame);
  return pixels;
}

static void compare(const Colorimetry &colorimetry, GstVideoFormat from,
                    GstVideoFormat to, guint seed) {
  GstVideoInfo info;
  gst_video_info_set_format(&info, from, kWidth, kHeight);
  fail_unless(gst_video_colorimetry_from_string(&info.colorimetry, colorimetry.text));
  Colors colors;
  random_colors(colorimetry, seed, colors);
  GstBuffer *picture = make_picture(info, colors);
  const bool rgb = to == GST_VIDEO_FORMAT_RGB;
  const std::vector<guint8> theirs = by_videoconvert(info, picture, to);
  const std::vector<guint8> ours =
      by_libyuv(info, picture, colorimetry, rgb ? PackedOrder::Rgb : PackedOrder::Bgr);
  gst_buffer_unref(picture);
  guint comparable = 0;
  for (gint row = 0; row < kRows; row++)
    for (gint column = 0; column < kColumns; column++) {
      const guint8 *yuv = colors[row][column];
      double exact[3];
      exact_color(colorimetry, yuv, exact);
      const size_t middle = static_cast<size_t>((row * kPatch + kPatch / 2) * kWidth +
                                                column * kPatch + kPatch / 2);
      for (gint c = 0; c < 3; c++) {
        const size_t at = middle * 3 + static_cast<size_t>(rgb ? c : 2 - c);
        fail_unless(std::fabs(ours[at] - exact[c]) <= kTolerance,
                    "%s %s: %d %d %d, channel %d: %d instead of %.2f", colorimetry.text,
                    gst_video_format_to_string(from), yuv[0], yuv[1], yuv[2], c, ours[at],
                    exact[c]);
        if (std::fabs(theirs[at] - exact[c]) > 1)
          continue;
        comparable++;
        fail_unless(std::abs(ours[at] - theirs[at]) <= kTolerance);
      }
    }
  fail_unless(comparable > 100, "only %u", comparable);
}

GST_START_TEST(test_yuv_convert_is_within_two_of_definition_and_videoconvert) {
  for (const Colorimetry &colorimetry : kColorimetries)
    for (GstVideoFormat from : {GST_VIDEO_FORMAT_I420, GST_VIDEO_FORMAT_NV12})
      for (GstVideoFormat to : {GST_VIDEO_FORMAT_RGB, GST_VIDEO_FORMAT_BGR})
        for (guint seed = 0; seed < 4; seed++)
          compare(colorimetry, from, to, seed);
}
GST_END_TEST

GST_START_TEST(test_yuv_convert_takes_any_size_and_keeps_to_its_rows) {
  for (int width : {1, 2, 3, 5, 17, 33, 63, 130})
    for (int height : {1, 2, 3, 7})
      for (bool nv12 : {false, true}) {
        const int chroma = (width + 1) / 2;
        const int rows = (height + 1) / 2;
        // Exactly as large as it must be, so that a sanitiser sees each byte too many.
        std::vector<guint8> y(static_cast<size_t>(width * height), 126);
        std::vector<guint8> u(static_cast<size_t>(chroma * rows * (nv12 ? 2 : 1)), 128);
        std::vector<guint8> v(static_cast<size_t>(chroma * rows), 128);
        const int stride = width * 3 + 5;
        std::vector<guint8> out(static_cast<size_t>(stride * height), 0xee);
        YuvPicture picture;
        picture.y = y.data();
        picture.u = u.data();
        picture.v = nv12 ? nullptr : v.data();
        picture.y_stride = width;
        picture.u_stride = chroma * (nv12 ? 2 : 1);
        picture.v_stride = chroma;
        picture.width = width;
        picture.height = height;
        fail_unless(vdn::convert_yuv(picture, PackedOrder::Rgb, out.data(), stride));
        for (int row = 0; row < height; row++)
          for (int x = 0; x < stride; x++) {
            const int value = out[static_cast<size_t>(row * stride + x)];
            // Luma 126 of 16 to 235 is 128.
            fail_unless(x < width * 3 ? std::abs(value - 128) <= 2 : value == 0xee,
                        "%dx%d at %d,%d: %d", width, height, x, row, value);
          }
      }
}
GST_END_TEST

GST_START_TEST(test_yuv_convert_swaps_red_and_blue) {
  const guint8 in[] = {1, 2, 3, 4, 5, 6, 99};
  guint8 out[7] = {0, 0, 0, 0, 0, 0, 77};
  fail_unless(vdn::swap_red_and_blue(in, 7, out, 7, 2, 1));
  const guint8 expected[] = {3, 2, 1, 6, 5, 4, 77};
  fail_unless(memcmp(out, expected, 7) == 0);
}
GST_END_TEST

static Suite *yuv_convert_suite(void) {
  Suite *suite = suite_create("yuv-convert");
  TCase *tcase = tcase_create("general");
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, test_yuv_convert_is_within_two_of_definition_and_videoconvert);
  tcase_add_test(tcase, test_yuv_convert_takes_any_size_and_keeps_to_its_rows);
  tcase_add_test(tcase, test_yuv_convert_swaps_red_and_blue);
  return suite;
}

GST_CHECK_MAIN(yuv_convert)
