// SPDX-License-Identifier: LGPL-2.1-or-later
#include "frame.h"

#include <algorithm>

#include "copy-plane.h"
#include "pipeline-time.h"

#ifdef HAVE_LIBYUV
#include "yuv-convert.h"
#define YUV_FORMATS ", " SHMNUMPY_YUV_FORMATS
#else
#define YUV_FORMATS ""
#endif

namespace vdn {
namespace {

const char *formats_for(OutputFormat format) {
  switch (format) {
  case OutputFormat::Native:
    return all_input_formats();
#ifdef HAVE_LIBYUV
  case OutputFormat::Rgb:
    return "{ RGB" YUV_FORMATS ", BGR }";
  case OutputFormat::Bgr:
    return "{ BGR" YUV_FORMATS ", RGB }";
#else
  case OutputFormat::Rgb:
    return "{ RGB }";
  case OutputFormat::Bgr:
    return "{ BGR }";
#endif
  case OutputFormat::Auto:
    break;
  }
  return "{ RGB, BGR" YUV_FORMATS " }";
}

GstVideoFormat output_format(GstVideoFormat in, OutputFormat format) {
  const bool packed = in == GST_VIDEO_FORMAT_RGB || in == GST_VIDEO_FORMAT_BGR;
  if (format == OutputFormat::Native || (format == OutputFormat::Auto && packed))
    return in;
  return format == OutputFormat::Bgr ? GST_VIDEO_FORMAT_BGR : GST_VIDEO_FORMAT_RGB;
}

int64_t time_or_none(GstClockTime time) {
  return GST_CLOCK_TIME_IS_VALID(time) ? static_cast<int64_t>(time) : SHMNUMPY_NO_TIME;
}

// When the frame was captured by the sender's clock, from RTCP sender reports and the
// like.
int64_t capture_utc(GstBuffer *buffer) {
  gpointer state = nullptr;
  while (GstMeta *meta = gst_buffer_iterate_meta_filtered(
             buffer, &state, GST_REFERENCE_TIMESTAMP_META_API_TYPE)) {
    const auto *reference = reinterpret_cast<GstReferenceTimestampMeta *>(meta);
    const GstStructure *kind = gst_caps_get_structure(reference->reference, 0);
    if (gst_structure_has_name(kind, "timestamp/x-ntp") &&
        reference->timestamp > kNtpEpoch)
      return time_or_none(reference->timestamp - kNtpEpoch);
    if (gst_structure_has_name(kind, "timestamp/x-unix"))
      return time_or_none(reference->timestamp);
  }
  return SHMNUMPY_NO_TIME;
}

uint32_t rows_of(const GstVideoInfo &info, guint plane) {
  gint components[GST_VIDEO_MAX_COMPONENTS];
  gst_video_format_info_component(info.finfo, plane, components);
  return static_cast<uint32_t>(GST_VIDEO_INFO_COMP_HEIGHT(&info, components[0]));
}

#ifdef HAVE_LIBYUV
YuvMatrix matrix_of(const GstVideoInfo &info) {
  switch (GST_VIDEO_INFO_COLORIMETRY(&info).matrix) {
  case GST_VIDEO_COLOR_MATRIX_BT709:
    return YuvMatrix::Bt709;
  case GST_VIDEO_COLOR_MATRIX_BT2020:
    return YuvMatrix::Bt2020;
  default:
    return YuvMatrix::Bt601;
  }
}

bool convert(const GstVideoFrame &frame, const GstVideoInfo &out, uint8_t *pixels) {
  const GstVideoInfo &in = frame.info;
  const auto plane = [&](guint i) {
    return static_cast<const uint8_t *>(GST_VIDEO_FRAME_PLANE_DATA(&frame, i));
  };
  const gint stride = GST_VIDEO_INFO_PLANE_STRIDE(&out, 0);
  if (!GST_VIDEO_INFO_IS_YUV(&in))
    return swap_red_and_blue(plane(0), GST_VIDEO_INFO_PLANE_STRIDE(&in, 0), pixels,
                             stride, in.width, in.height);
  YuvPicture picture;
  picture.y = plane(0);
  picture.u = plane(1);
  picture.y_stride = GST_VIDEO_INFO_PLANE_STRIDE(&in, 0);
  picture.u_stride = GST_VIDEO_INFO_PLANE_STRIDE(&in, 1);
  if (GST_VIDEO_INFO_FORMAT(&in) == GST_VIDEO_FORMAT_I420) {
    picture.v = plane(2);
    picture.v_stride = GST_VIDEO_INFO_PLANE_STRIDE(&in, 2);
  }
  picture.width = in.width;
  picture.height = in.height;
  picture.matrix = matrix_of(in);
  picture.full_range = in.colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255;
  const bool bgr = GST_VIDEO_INFO_FORMAT(&out) == GST_VIDEO_FORMAT_BGR;
  return convert_yuv(picture, bgr ? PackedOrder::Bgr : PackedOrder::Rgb, pixels, stride);
}
#else
bool convert(const GstVideoFrame &, const GstVideoInfo &, uint8_t *) {
  return false;
}
#endif

} // namespace

const char *all_input_formats() {
  return "{ " SHMNUMPY_PACKED_FORMATS YUV_FORMATS " }";
}

CapsPtr input_caps(OutputFormat format) {
  // No framerate, as caps without one would not be accepted then.
  const StrPtr text(g_strdup_printf(
      "video/x-raw, format=(string)%s, width=(int)[1,MAX], height=(int)[1,MAX]",
      formats_for(format)));
  return CapsPtr(gst_caps_from_string(text.get()));
}

bool output_info(const GstVideoInfo &in, OutputFormat format, GstVideoInfo *out) {
  const GstVideoFormat from = GST_VIDEO_INFO_FORMAT(&in);
  if (output_format(from, format) == from) {
    // Not the strides and offsets that `in` may have: those of the format.
    if (!gst_video_info_set_format(out, from, static_cast<guint>(in.width),
                                   static_cast<guint>(in.height)))
      return false;
    out->colorimetry = in.colorimetry;
    return true;
  }
  if (!gst_video_info_set_format(out, output_format(from, format),
                                 static_cast<guint>(in.width),
                                 static_cast<guint>(in.height)))
    return false;
  out->colorimetry.transfer = in.colorimetry.transfer;
  out->colorimetry.primaries = in.colorimetry.primaries;
  return true;
}

shmnumpy_slot describe_stream(const GstVideoInfo &in, const GstVideoInfo &out) {
  shmnumpy_slot slot{};
  slot.data_bytes = GST_VIDEO_INFO_SIZE(&out);
  slot.width = static_cast<uint32_t>(out.width);
  slot.height = static_cast<uint32_t>(out.height);
  slot.n_planes = GST_VIDEO_INFO_N_PLANES(&out);
  g_strlcpy(slot.format, GST_VIDEO_INFO_NAME(&out), sizeof(slot.format));
  for (guint i = 0; i < slot.n_planes; i++)
    slot.planes[i] = {GST_VIDEO_INFO_PLANE_OFFSET(&out, i),
                      static_cast<uint32_t>(GST_VIDEO_INFO_PLANE_STRIDE(&out, i)),
                      rows_of(out, i)};
  slot.fps_n = static_cast<uint32_t>(in.fps_n);
  slot.fps_d = static_cast<uint32_t>(in.fps_d);
  slot.par_n = static_cast<uint32_t>(in.par_n);
  slot.par_d = static_cast<uint32_t>(in.par_d);
  const StrPtr colorimetry(gst_video_colorimetry_to_string(&out.colorimetry));
  if (colorimetry)
    g_strlcpy(slot.colorimetry, colorimetry.get(), sizeof(slot.colorimetry));
  return slot;
}

void describe_buffer(GstBuffer *buffer, const GstSegment &segment, shmnumpy_slot *slot) {
  slot->pts = time_or_none(GST_BUFFER_PTS(buffer));
  slot->duration = time_or_none(GST_BUFFER_DURATION(buffer));
  slot->running_time = time_or_none(
      segment.format == GST_FORMAT_TIME
          ? gst_segment_to_running_time(&segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer))
          : GST_CLOCK_TIME_NONE);
  slot->capture_utc = capture_utc(buffer);
  slot->flags = 0;
  if (GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT))
    slot->flags |= SHMNUMPY_FRAME_DISCONT;
  if (GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_CORRUPTED))
    slot->flags |= SHMNUMPY_FRAME_CORRUPTED;
  if (GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_GAP))
    slot->flags |= SHMNUMPY_FRAME_GAP;
}

const uint8_t *describe_in_place(const GstVideoFrame &frame, uint64_t capacity,
                                 shmnumpy_slot *slot) {
  if (gst_buffer_n_memory(frame.buffer) != 1 ||
      gst_buffer_peek_memory(frame.buffer, 0)->parent)
    return nullptr;
  const auto *first =
      static_cast<const uint8_t *>(GST_VIDEO_FRAME_PLANE_DATA(&frame, 0)) -
      GST_VIDEO_FRAME_PLANE_OFFSET(&frame, 0);
  uint64_t end = 0;
  for (guint i = 0; i < slot->n_planes; i++) {
    const auto *data =
        static_cast<const uint8_t *>(GST_VIDEO_FRAME_PLANE_DATA(&frame, i));
    const gint stride = GST_VIDEO_FRAME_PLANE_STRIDE(&frame, i);
    if (stride <= 0 || data < first)
      return nullptr;
    shmnumpy_plane &plane = slot->planes[i];
    plane.offset = static_cast<uint64_t>(data - first);
    plane.stride = static_cast<uint32_t>(stride);
    end = std::max(end, plane.offset + static_cast<uint64_t>(plane.stride) * plane.rows);
  }
  slot->data_bytes = end;
  return end <= capacity ? first : nullptr;
}

bool write_pixels(const GstVideoFrame &frame, const GstVideoInfo &out, uint8_t *pixels) {
  if (GST_VIDEO_FRAME_FORMAT(&frame) != GST_VIDEO_INFO_FORMAT(&out))
    return convert(frame, out, pixels);
  for (guint i = 0; i < GST_VIDEO_INFO_N_PLANES(&out); i++) {
    const auto from = static_cast<size_t>(GST_VIDEO_FRAME_PLANE_STRIDE(&frame, i));
    const auto to = static_cast<size_t>(GST_VIDEO_INFO_PLANE_STRIDE(&out, i));
    copy_plane(static_cast<const uint8_t *>(GST_VIDEO_FRAME_PLANE_DATA(&frame, i)), from,
               pixels + GST_VIDEO_INFO_PLANE_OFFSET(&out, i), to, std::min(from, to),
               rows_of(out, i));
  }
  return true;
}

} // namespace vdn
