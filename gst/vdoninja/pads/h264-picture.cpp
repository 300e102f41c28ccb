// SPDX-License-Identifier: LGPL-2.1-or-later
#include "h264-picture.h"

#include <gst/rtp/gstrtpbuffer.h>

namespace vdn {

namespace {

// NAL unit types of ITU-T H.264 table 7-1 and packet types of RFC 6184 table 1.
constexpr guint8 kTypeMask = 0x1f;
constexpr guint8 kLastSlice = 5;
constexpr guint8 kSei = 6;
constexpr guint8 kSps = 7;
constexpr guint8 kDelimiter = 9;
constexpr guint8 kFiller = 12;
constexpr guint8 kStapA = 24;
constexpr guint8 kFuA = 28;

} // namespace

struct H264Picture::Pass {
  Seen seen;
  bool write;
  bool hit = false;

  void unit(guint8 *header, guint8 type) {
    if (type >= 1 && type <= kLastSlice) {
      seen.headless |= type == kLastSlice && !seen.slice && seen.gap && !seen.sets;
      seen.slice = true;
    } else if (seen.slice && type >= kSei && type <= kDelimiter) {
      blank(header);
    } else if (type == kSps) {
      seen.sets = true;
    }
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
        guint length = data[at] << 8 | data[at + 1]; // may not be aligned
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

// What is known when a packet comes, before its payload is looked at.
H264Picture::Seen H264Picture::before(guint16 sequence, guint32 timestamp) {
  Seen seen = timestamp == timestamp_ ? seen_ : Seen();
  const bool gap = next_sequence_ >= 0 && sequence != next_sequence_;
  seen.gap |= gap && !seen.slice;
  next_sequence_ = static_cast<guint16>(sequence + 1);
  timestamp_ = timestamp;
  return seen;
}

GstBuffer *H264Picture::pass(GstBuffer *packet) {
  GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
  if (!gst_rtp_buffer_map(packet, GST_MAP_READ, &rtp))
    return packet;
  seen_ = before(gst_rtp_buffer_get_seq(&rtp), gst_rtp_buffer_get_timestamp(&rtp));
  auto walk = [&](bool write) {
    Pass pass{seen_, write};
    pass.payload(static_cast<guint8 *>(gst_rtp_buffer_get_payload(&rtp)),
                 gst_rtp_buffer_get_payload_len(&rtp));
    gst_rtp_buffer_unmap(&rtp);
    return pass;
  };
  Pass read = walk(false);
  if (read.hit) {
    packet = gst_buffer_make_writable(packet);
    if (gst_rtp_buffer_map(packet, GST_MAP_READWRITE, &rtp))
      walk(true);
  }
  seen_ = read.seen;
  if (!seen_.headless)
    return packet;
  gst_buffer_unref(packet);
  return nullptr;
}

} // namespace vdn
