// SPDX-License-Identifier: LGPL-2.1-or-later
// RTP packets for the tests of what passes them on.
#pragma once

#include <vector>

#include <gst/rtp/rtp.h>

#include "gst-ptr.h"

namespace vdn {

struct RtpFields {
  unsigned payload_type = 110;
  uint16_t number = 0;
  uint32_t ssrc = 1;
  bool delta = true, repeat = false;
  std::vector<guint8> payload = std::vector<guint8>(1000);
};

inline BufferPtr new_rtp(const RtpFields &fields) {
  BufferPtr buffer(
      gst_rtp_buffer_new_allocate(static_cast<guint>(fields.payload.size()), 0, 0));
  GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
  gst_rtp_buffer_map(buffer.get(), GST_MAP_WRITE, &rtp);
  gst_rtp_buffer_set_payload_type(&rtp, static_cast<guint8>(fields.payload_type));
  gst_rtp_buffer_set_seq(&rtp, fields.number);
  gst_rtp_buffer_set_timestamp(&rtp, 0);
  gst_rtp_buffer_set_ssrc(&rtp, fields.ssrc);
  if (!fields.payload.empty())
    memcpy(gst_rtp_buffer_get_payload(&rtp), fields.payload.data(),
           fields.payload.size());
  gst_rtp_buffer_unmap(&rtp);
  if (fields.delta)
    GST_BUFFER_FLAG_SET(buffer.get(), GST_BUFFER_FLAG_DELTA_UNIT);
  if (fields.repeat)
    GST_BUFFER_FLAG_SET(buffer.get(), GST_RTP_BUFFER_FLAG_RETRANSMISSION);
  return buffer;
}

} // namespace vdn
