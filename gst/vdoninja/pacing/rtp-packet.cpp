// SPDX-License-Identifier: LGPL-2.1-or-later
#include "rtp-packet.h"

#include <gst/rtp/rtp.h>

namespace vdn {

namespace {

// The first packet of a frame of VP8 that refers to no other: RFC 7741, 4.2 and 4.3.
bool starts_vp8_keyframe(const guint8 *payload, size_t size) {
  const auto byte = [&](size_t at) { return at < size ? payload[at] : 0xff; };
  if ((byte(0) & 0x17) != 0x10) // S, and partition 0
    return false;
  size_t header = 1;
  if (byte(0) & 0x80) { // X
    const guint8 extension = byte(header++);
    if (extension & 0x80) // I
      header += byte(header) & 0x80 ? 2 : 1;
    header += (extension & 0x40) != 0; // L
    header += (extension & 0x30) != 0; // T, K
  }
  return (byte(header) & 0x01) == 0; // P
}

// The same of VP9: draft-ietf-payload-vp9 (RFC 9628), 4.2: B and not P.
bool starts_vp9_keyframe(const guint8 *payload, size_t size) {
  return size > 0 && (payload[0] & 0x48) == 0x08;
}

bool starts_keyframe(GstRTPBuffer *rtp, const PacerPayloads &payloads, unsigned type) {
  const auto *payload = static_cast<const guint8 *>(gst_rtp_buffer_get_payload(rtp));
  const size_t size = gst_rtp_buffer_get_payload_len(rtp);
  if (payloads.vp8[type])
    return payload && starts_vp8_keyframe(payload, size);
  if (payloads.vp9[type])
    return payload && starts_vp9_keyframe(payload, size);
  return !GST_BUFFER_FLAG_IS_SET(rtp->buffer, GST_BUFFER_FLAG_DELTA_UNIT);
}

} // namespace

RtpPacket read_packet(BufferPtr buffer, const PacerPayloads &payloads, int64_t now_us) {
  RtpPacket result;
  PacerQueue::Packet &packet = result.packet;
  packet.arrived_us = now_us;
  packet.bytes = static_cast<unsigned>(gst_buffer_get_size(buffer.get()));
  GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
  if (gst_rtp_buffer_map(buffer.get(), GST_MAP_READ, &rtp)) {
    const unsigned type = gst_rtp_buffer_get_payload_type(&rtp); // 7 bits
    result.payload_type = type;
    packet.number = gst_rtp_buffer_get_seq(&rtp);
    if (GST_BUFFER_FLAG_IS_SET(buffer.get(), GST_RTP_BUFFER_FLAG_RETRANSMISSION))
      packet.kind = PacerQueue::Kind::kRepeat;
    else if (payloads.sound[type])
      packet.kind = PacerQueue::Kind::kSound;
    else
      packet.keyframe = starts_keyframe(&rtp, payloads, type);
    gst_rtp_buffer_unmap(&rtp);
  }
  packet.buffer = std::move(buffer);
  return result;
}

} // namespace vdn
