// SPDX-License-Identifier: LGPL-2.1-or-later
// The requests for lost packets that leave a webrtcbin.
#pragma once

#include "rtcp-out.h"

namespace vdn {

// Called for each packet that a generic NACK names, with the SSRC of its stream.
// Thread: streaming, one at a time for each session.
using OnNack = std::function<void(guint32 ssrc, guint16 number)>;

// RFC 4585, 6.2.1.
inline void read_nacks(GstRTCPPacket *packet, const OnNack &on_nack) {
  if (gst_rtcp_packet_get_type(packet) != GST_RTCP_TYPE_RTPFB ||
      gst_rtcp_packet_fb_get_type(packet) != GST_RTCP_RTPFB_TYPE_NACK)
    return;
  const guint32 ssrc = gst_rtcp_packet_fb_get_media_ssrc(packet);
  const guint8 *entry = gst_rtcp_packet_fb_get_fci(packet);
  for (unsigned left = gst_rtcp_packet_fb_get_fci_length(packet); left > 0; left--) {
    const guint16 first = GST_READ_UINT16_BE(entry);
    const guint16 others = GST_READ_UINT16_BE(entry + 2);
    on_nack(ssrc, first);
    for (unsigned bit = 0; bit < 16; bit++)
      if (others & (1u << bit))
        on_nack(ssrc, static_cast<guint16>(first + bit + 1));
    entry += 4;
  }
}

// Watches each session of `webrtc` that is made from now on.
inline void watch_nacks(GstElement *webrtc, OnNack on_nack) {
  watch_rtcp(webrtc, [on_nack = std::move(on_nack)](GstRTCPPacket *packet) {
    read_nacks(packet, on_nack);
  });
}

} // namespace vdn
