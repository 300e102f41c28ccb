// SPDX-License-Identifier: LGPL-2.1-or-later
#include "slot-frame.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "copy-plane.h"
#include "gst-ptr.h"
#include "pipeline-time.h"

namespace vdn {
namespace {

// A clock that is read a little later than the frame was stamped, and no more.
constexpr int64_t kAhead = 100 * GST_MSECOND;
// Nothing that is seen together with something else takes so long.
constexpr int64_t kLongAgo = 10 * GST_SECOND;
// Between repeated pictures where the frame rate is unknown, and at least and at most.
constexpr int64_t kRepeat = 100 * GST_MSECOND;
constexpr int64_t kFastest = 10 * GST_MSECOND;
constexpr int64_t kSlowest = GST_SECOND;

bool is_fraction(uint32_t numerator, uint32_t denominator) {
  return numerator > 0 && denominator > 0 && numerator <= G_MAXINT &&
         denominator <= G_MAXINT;
}

// GStreamer takes any numbers from a text. Not read as enumerators before they are known
// to be some.
bool is_known(const GstVideoColorimetry &colorimetry) {
  const auto within = [](const auto &field, guint last) {
    guint value;
    static_assert(sizeof(value) == sizeof(field));
    memcpy(&value, &field, sizeof(value));
    return value <= last;
  };
  return within(colorimetry.range, GST_VIDEO_COLOR_RANGE_16_235) &&
         within(colorimetry.matrix, GST_VIDEO_COLOR_MATRIX_BT2020) &&
         within(colorimetry.transfer, GST_VIDEO_TRANSFER_BT601) &&
         within(colorimetry.primaries, GST_VIDEO_COLOR_PRIMARIES_EBU3213);
}

} // namespace

bool info_of(const shmnumpy::Frame &frame, GstVideoInfo *info) {
  if (!gst_video_info_set_format(info, gst_video_format_from_string(frame.format.c_str()),
                                 frame.width, frame.height))
    return false;
  const shmnumpy_slot &slot = frame.info;
  if (is_fraction(slot.fps_n, slot.fps_d)) {
    info->fps_n = static_cast<gint>(slot.fps_n);
    info->fps_d = static_cast<gint>(slot.fps_d);
  }
  if (is_fraction(slot.par_n, slot.par_d)) {
    info->par_n = static_cast<gint>(slot.par_n);
    info->par_d = static_cast<gint>(slot.par_d);
  }
  const std::string text(slot.colorimetry,
                         strnlen(slot.colorimetry, sizeof(slot.colorimetry)));
  GstVideoColorimetry colorimetry;
  if (!text.empty() && gst_video_colorimetry_from_string(&colorimetry, text.c_str()) &&
      is_known(colorimetry) &&
      // A matrix is for YUV, and GStreamer warns of another.
      (colorimetry.matrix == GST_VIDEO_COLOR_MATRIX_RGB) == !!GST_VIDEO_INFO_IS_RGB(info))
    info->colorimetry = colorimetry;
  return true;
}

void copy_pixels(const shmnumpy::Frame &frame, GstVideoFrame *to) {
  for (guint i = 0; i < frame.n_planes; i++) {
    const shmnumpy::Plane &from = frame.planes[i];
    copy_plane(from.data, from.stride,
               static_cast<uint8_t *>(GST_VIDEO_FRAME_PLANE_DATA(to, i)),
               static_cast<size_t>(GST_VIDEO_FRAME_PLANE_STRIDE(to, i)), from.row_bytes,
               from.rows);
  }
}

void settle_pool(GstQuery *query) {
  GstCaps *caps = nullptr;
  gst_query_parse_allocation(query, &caps, nullptr);
  GstVideoInfo info;
  if (!caps || !gst_video_info_from_caps(&info, caps))
    return; // no frame yet
  ObjPtr<GstBufferPool> pool;
  guint size = 0, min = 0, max = 0;
  const bool offered = gst_query_get_n_allocation_pools(query) > 0;
  if (offered)
    gst_query_parse_nth_allocation_pool(query, 0, pool.out(), &size, &min, &max);
  size = std::max(size, static_cast<guint>(info.size));
  if (!pool)
    pool = ObjPtr<GstBufferPool>::adopt(gst_video_buffer_pool_new());
  GstStructure *config = gst_buffer_pool_get_config(pool.get());
  gst_buffer_pool_config_set_params(config, caps, size, min, max);
  // Without it strides have to be those of the caps.
  if (gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr))
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  gst_buffer_pool_set_config(pool.get(), config);
  if (offered)
    gst_query_set_nth_allocation_pool(query, 0, pool.get(), size, min, max);
  else
    gst_query_add_allocation_pool(query, pool.get(), size, min, max);
}

bool has_due_time(const shmnumpy_slot &slot, int64_t now) {
  const auto due = static_cast<int64_t>(slot.due_monotonic);
  return due > 0 && due < now + kAhead && due > now - kLongAgo;
}

void describe_in_buffer(const shmnumpy_slot &slot, GstBuffer *buffer) {
  if (slot.duration > 0 && slot.duration < kLongAgo)
    GST_BUFFER_DURATION(buffer) = static_cast<GstClockTime>(slot.duration);
  if (slot.flags & SHMNUMPY_FRAME_CORRUPTED)
    GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_CORRUPTED);
  if (slot.flags & SHMNUMPY_FRAME_GAP)
    GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_GAP);
  if (slot.capture_utc <= 0)
    return;
  static GstStaticCaps ntp = GST_STATIC_CAPS("timestamp/x-ntp");
  const CapsPtr reference(gst_static_caps_get(&ntp));
  gst_buffer_add_reference_timestamp_meta(
      buffer, reference.get(), kNtpEpoch + static_cast<GstClockTime>(slot.capture_utc),
      GST_CLOCK_TIME_NONE);
}

int64_t repeat_period(const GstVideoInfo &info) {
  if (info.fps_n <= 0)
    return kRepeat;
  const guint64 period = gst_util_uint64_scale_int(GST_SECOND, info.fps_d, info.fps_n);
  return std::clamp(static_cast<int64_t>(period), kFastest, kSlowest);
}

GstEvent *orientation_tag(uint32_t degrees) {
  const std::string text = "rotate-" + std::to_string(degrees);
  return gst_event_new_tag(
      gst_tag_list_new(GST_TAG_IMAGE_ORIENTATION, text.c_str(), nullptr));
}

} // namespace vdn
