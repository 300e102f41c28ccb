// SPDX-License-Identifier: LGPL-2.1-or-later
#include "opus-guard.h"

#include <memory>

#include "gst-ptr.h"

namespace vdn {

namespace {

constexpr GstClockTime kUnit = 2500 * GST_USECOND; // the shortest frame
constexpr unsigned kMostUnits = 48;                // in a packet
constexpr gsize kLongestFrame = 1275;              // bytes

// In units.
unsigned frame_duration(unsigned config) {
  static constexpr unsigned kSilk[] = {4, 8, 16, 24}, kCelt[] = {1, 2, 4, 8};
  if (config < 12)
    return kSilk[config % 4];
  return config < 16 ? kSilk[config % 2] : kCelt[config % 4];
}

// The bytes of a packet that are not read yet. False: there are not so many.
struct Rest {
  const guint8 *data;
  gsize size;

  bool byte(gsize *value) {
    if (size == 0)
      return false;
    *value = *data++;
    size--;
    return true;
  }
  bool drop(gsize bytes) {
    if (bytes > size)
      return false;
    size -= bytes;
    return true;
  }
  // A frame whose length stands before it, of which `size` loses the frame as well.
  bool frame() {
    gsize length = 0, more = 0;
    if (!byte(&length) || (length >= 252 && !byte(&more)))
      return false;
    return drop(length + 4 * more);
  }
  bool frames_of_one_length(gsize count) const {
    return size % count == 0 && size / count <= kLongestFrame;
  }
};

bool are_counted_frames(Rest rest, unsigned duration) {
  gsize head = 0;
  if (!rest.byte(&head))
    return false;
  const gsize count = head & 63;
  if (count == 0 || count * duration > kMostUnits)
    return false;
  for (gsize padding = head & 64 ? 255 : 0; padding == 255;)
    if (!rest.byte(&padding) || !rest.drop(padding == 255 ? 254 : padding))
      return false;
  if (!(head & 128))
    return rest.frames_of_one_length(count);
  for (gsize i = 1; i < count; i++)
    if (!rest.frame())
      return false;
  return rest.frames_of_one_length(1);
}

bool is_packet(GstBuffer *buffer) {
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_READ))
    return false;
  const bool is = is_opus_packet(map.data, map.size);
  gst_buffer_unmap(buffer, &map);
  return is;
}

// One that cannot be decoded would be tried again with each that follows.
GstPadProbeReturn on_packet(GstPadProbeInfo *info, GstClockTime *marked) {
  GstBuffer *packet = gst_pad_probe_info_get_buffer(info);
  if (!is_packet(packet))
    return GST_PAD_PROBE_DROP;
  // GstAudioDecoder forgets the time of the packet that is held, and all that follows
  // would be shown one packet too late. It takes the time of each anyway: DISCONT passes
  // by, for who comes after it.
  if (GST_BUFFER_FLAG_IS_SET(packet, GST_BUFFER_FLAG_DISCONT)) {
    *marked = GST_BUFFER_PTS(packet);
    info->data = packet = gst_buffer_make_writable(packet);
    GST_BUFFER_FLAG_UNSET(packet, GST_BUFFER_FLAG_DISCONT);
  }
  return GST_PAD_PROBE_OK;
}

// One that is too short to be concealed swallows packets, and one that is as long as a
// mute is allocated for.
GstPadProbeReturn on_event(GstPadProbeInfo *info) {
  GstEvent *event = gst_pad_probe_info_get_event(info);
  if (GST_EVENT_TYPE(event) != GST_EVENT_GAP)
    return GST_PAD_PROBE_OK;
  GstClockTime time = GST_CLOCK_TIME_NONE, duration = GST_CLOCK_TIME_NONE;
  gst_event_parse_gap(event, &time, &duration);
  if (GST_CLOCK_TIME_IS_VALID(duration) && duration < kUnit)
    return GST_PAD_PROBE_DROP;
  if (GST_CLOCK_TIME_IS_VALID(duration) && duration > kMostUnits * kUnit) {
    gst_event_unref(event);
    info->data = gst_event_new_gap(time, kMostUnits * kUnit);
  }
  return GST_PAD_PROBE_OK;
}

} // namespace

bool is_opus_packet(const guint8 *data, gsize size) {
  Rest rest{data, size};
  gsize toc = 0;
  if (!rest.byte(&toc))
    return false;
  switch (toc & 3) {
  case 0:
    return rest.frames_of_one_length(1);
  case 1:
    return rest.frames_of_one_length(2);
  case 2:
    return rest.frame() && rest.frames_of_one_length(1);
  default:
    return are_counted_frames(rest, frame_duration(toc >> 3));
  }
}

// Packets go through both pads in one thread.
void guard_opusdec(GstElement *decoder) {
  using Marked = std::shared_ptr<GstClockTime>; // the time of a packet, or none
  const auto none = std::make_shared<GstClockTime>(GST_CLOCK_TIME_NONE);
  auto probe = [&](const char *name, int type, GstPadProbeCallback see) {
    const auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(decoder, name));
    gst_pad_add_probe(pad.get(), static_cast<GstPadProbeType>(type), see,
                      new Marked(none),
                      [](gpointer data) { delete static_cast<Marked *>(data); });
  };
  probe("sink", GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
        [](GstPad *, GstPadProbeInfo *info, gpointer data) {
          if (info->type & GST_PAD_PROBE_TYPE_BUFFER)
            return on_packet(info, static_cast<Marked *>(data)->get());
          return on_event(info);
        });
  probe("src", GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad *, GstPadProbeInfo *info, gpointer data) {
          auto &marked = **static_cast<Marked *>(data);
          GstBuffer *sound = gst_pad_probe_info_get_buffer(info);
          if (GST_BUFFER_PTS(sound) == marked) {
            marked = GST_CLOCK_TIME_NONE;
            info->data = sound = gst_buffer_make_writable(sound);
            GST_BUFFER_FLAG_SET(sound, GST_BUFFER_FLAG_DISCONT);
          }
          return GST_PAD_PROBE_OK;
        });
}

} // namespace vdn
