// SPDX-License-Identifier: LGPL-2.1-or-later
#include "retimer.h"

#include <algorithm>

#include <gst/audio/audio.h>

#include "encoding.h"

namespace vdn {

void Retimer::set_caps(const GstCaps *caps) {
  const GstStructure *structure = gst_caps_get_structure(caps, 0);
  const EncodingFacts *encoding = encoding_of(caps);
  int n = 0, d = 1;
  usual_duration_ = GST_CLOCK_TIME_NONE;
  if (gst_structure_get_fraction(structure, "framerate", &n, &d) && n > 0 && d > 0)
    usual_duration_ = gst_util_uint64_scale_int(GST_SECOND, d, n);
  GstAudioInfo info;
  bytes_per_second_ = 0;
  if (gst_structure_has_name(structure, "audio/x-raw") &&
      gst_audio_info_from_caps(&info, caps))
    bytes_per_second_ = double(GST_AUDIO_INFO_BPF(&info)) * GST_AUDIO_INFO_RATE(&info);
  raw_ = !encoding;
  timeline_.set_reordered(encoding && encoding->video);
}

void Retimer::restart(bool anew, GstClockTime now) {
  gst_segment_init(&segment_, GST_FORMAT_UNDEFINED);
  if (anew)
    timeline_.restart_at(now);
  else
    timeline_.restart();
  last_duration_ = GST_CLOCK_TIME_NONE;
}

GstClockTime Retimer::duration_of(GstBuffer *buffer) const {
  if (GST_BUFFER_DURATION_IS_VALID(buffer))
    return GST_BUFFER_DURATION(buffer);
  if (bytes_per_second_ > 0)
    return gst_buffer_get_size(buffer) / bytes_per_second_ * GST_SECOND;
  return usual_duration_;
}

GstBuffer *Retimer::pass(GstBuffer *buffer, GstClockTime now, bool live, bool *jumped) {
  const GstClockTime duration = duration_of(buffer);
  GstClockTime pts = GST_BUFFER_PTS(buffer);
  const GstClockTime dts = GST_BUFFER_DTS(buffer);
  const bool timed = segment_.format == GST_FORMAT_TIME;
  if (!raw_ && !GST_CLOCK_TIME_IS_VALID(pts))
    pts = dts;
  if (raw_ && timed && GST_CLOCK_TIME_IS_VALID(pts)) {
    // As sinks do, or what a seek decodes on its way would be seen.
    const GstClockTime end =
        GST_CLOCK_TIME_IS_VALID(duration) && duration < GST_SECOND * 10
            ? pts + duration
            : GST_CLOCK_TIME_NONE;
    guint64 from, to;
    if (!gst_segment_clip(&segment_, GST_FORMAT_TIME, pts, end, &from, &to)) {
      gst_buffer_unref(buffer);
      return nullptr;
    }
  }
  guint64 time = GST_CLOCK_TIME_NONE, decoded = GST_CLOCK_TIME_NONE;
  if (!timed ||
      gst_segment_to_running_time_full(&segment_, GST_FORMAT_TIME, pts, &time) <= 0)
    time = GST_CLOCK_TIME_NONE;
  const int sign =
      timed ? gst_segment_to_running_time_full(&segment_, GST_FORMAT_TIME, dts, &decoded)
            : 0;
  const Timeline::Stamp stamp = timeline_.next(time, last_duration_, now, live);
  *jumped = stamp.jumped;
  last_duration_ = duration;
  buffer = gst_buffer_make_writable(buffer);
  GST_BUFFER_PTS(buffer) = stamp.time;
  GST_BUFFER_DTS(buffer) = GST_CLOCK_TIME_NONE;
  if (!raw_ && sign)
    GST_BUFFER_DTS(buffer) = std::max<GstClockTimeDiff>(
        0, (sign > 0 ? 1 : -1) * GstClockTimeDiff(decoded) + stamp.moved);
  return buffer;
}

} // namespace vdn
