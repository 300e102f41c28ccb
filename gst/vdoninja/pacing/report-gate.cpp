// SPDX-License-Identifier: LGPL-2.1-or-later
#include "report-gate.h"

#include <algorithm>

#include <gst/rtp/gstrtcpbuffer.h>

namespace vdn {

namespace {

constexpr size_t kHead = 8; // first number, how many, time, count of reports

// Bytes of its delta.
unsigned delta_bytes(unsigned status) {
  return status == 1 ? 1 : status == 2 ? 2 : 0;
}

// Whether all chunks and deltas that a report of `count` packets needs are there.
bool is_whole(const uint8_t *fci, size_t bytes, unsigned count) {
  size_t at = kHead, deltas = 0;
  for (unsigned known = 0; known < count; at += 2) {
    if (at + 2 > bytes)
      return false;
    const unsigned chunk = GST_READ_UINT16_BE(fci + at);
    const unsigned left = count - known;
    if (!(chunk & 0x8000)) { // a run
      const unsigned run = std::min(chunk & 0x1fff, left);
      if (run == 0)
        return false;
      deltas += size_t{run} * delta_bytes(chunk >> 13 & 3);
      known += run;
      continue;
    }
    const unsigned bits = chunk & 0x4000 ? 2 : 1, symbols = std::min(14 / bits, left);
    for (unsigned i = 0; i < symbols; i++)
      deltas += delta_bytes(chunk >> (14 - bits * (i + 1)) & ((1u << bits) - 1));
    known += symbols;
  }
  return at + deltas <= bytes;
}

} // namespace

bool ReportGate::admits(const uint8_t *fci, size_t bytes, int64_t now_us) {
  if (bytes < kHead)
    return false;
  const uint16_t first = GST_READ_UINT16_BE(fci), count = GST_READ_UINT16_BE(fci + 2);
  if (count == 0 || count > kMost || !is_whole(fci, bytes, count))
    return false;
  const auto end = static_cast<uint16_t>(first + count);
  // Reports overlap where packets were late, or come in another order.
  const auto ahead = static_cast<int16_t>(first - next_.value_or(first));
  const bool near = ahead < int{kMost} && ahead > -int{kMost};
  if (!near && now_us - admitted_us_ < kPatienceUs)
    return false;
  if (!near || !next_ || static_cast<int16_t>(end - *next_) > 0)
    next_ = end;
  admitted_us_ = now_us;
  return true;
}

bool ReportGate::admits(GstBuffer *rtcp, int64_t now_us) {
  GstRTCPBuffer map = GST_RTCP_BUFFER_INIT;
  if (!gst_rtcp_buffer_map(rtcp, GST_MAP_READ, &map))
    return true;
  GstRTCPPacket packet;
  bool ok = true;
  for (gboolean more = gst_rtcp_buffer_get_first_packet(&map, &packet); more && ok;
       more = gst_rtcp_packet_move_to_next(&packet))
    if (gst_rtcp_packet_get_type(&packet) == GST_RTCP_TYPE_RTPFB &&
        gst_rtcp_packet_fb_get_type(&packet) == GST_RTCP_RTPFB_TYPE_TWCC)
      ok = admits(gst_rtcp_packet_fb_get_fci(&packet),
                  gst_rtcp_packet_fb_get_fci_length(&packet) * size_t{4}, now_us);
  gst_rtcp_buffer_unmap(&map);
  return ok;
}

} // namespace vdn
