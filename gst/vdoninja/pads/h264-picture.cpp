// SPDX-License-Identifier: LGPL-2.1-or-later
#include "h264-picture.h"

#include <gst/rtp/gstrtpbuffer.h>

namespace vdn {

namespace {

// NAL unit types of ITU-T H.264 table 7-1 and packet types of RFC 6184 table 1.
constexpr guint8 kTypeMask = 0x1f;
constexpr guint8 kLastSlice = 5;
constexpr guint8 kSei = 6;
constexpr guint8 kDelimiter = 9;
constexpr guint8 kFiller = 12;
constexpr guint8 kStapA = 24;
constexpr guint8 kFuA = 28;

struct Pass {
  bool slice_seen;
  bool write;
  bool hit = false;

  void unit(guint8 *header, guint8 type) {
    if (type >= 1 && type <= kLastSlice)
      slice_seen = true;
    else if (slice_seen && type >= kSei && type <= kDelimiter)
      blank(header);
  }
  void blank(guint8 *header) {
    hit = true;
    if (write)
      *header = (*header & ~kTypeMask) | kFiller;
  }
  void payload(guint8 *data, guint size) {
    guint8 type = size ? data[0] & kTypeMask : 0;
    if (type == kStapA) {
      for (guint at = 1; at + 2 < size;) {
        guint length = GST_READ_UINT16_BE(data + at);
        at += 2;
        if (length == 0 || length > size - at)
          return;
        unit(data + at, data[at] & kTypeMask);
        at += length;
      }
    } else if (type == kFuA) {
      if (size > 1)
        unit(data + 1, data[1] & kTypeMask);
    } else if (type > 0 && type < kStapA) {
      unit(data, type);
    }
  }
};

} // namespace

GstBuffer *H264Picture::pass(GstBuffer *packet) {
  auto walk = [&](GstMapFlags flags, bool write) {
    Pass result{slice_seen_, write};
    GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
    if (!gst_rtp_buffer_map(packet, flags, &rtp))
      return result;
    guint32 timestamp = gst_rtp_buffer_get_timestamp(&rtp);
    if (timestamp != timestamp_) {
      timestamp_ = timestamp;
      result.slice_seen = slice_seen_ = false;
    }
    result.payload(static_cast<guint8 *>(gst_rtp_buffer_get_payload(&rtp)),
                   gst_rtp_buffer_get_payload_len(&rtp));
    gst_rtp_buffer_unmap(&rtp);
    return result;
  };
  Pass seen = walk(GST_MAP_READ, false);
  if (seen.hit) {
    packet = gst_buffer_make_writable(packet);
    walk(GST_MAP_READWRITE, true);
  }
  slice_seen_ = seen.slice_seen;
  return packet;
}

} // namespace vdn
