// SPDX-License-Identifier: LGPL-2.1-or-later
// The requests for lost packets that leave a webrtcbin.
#pragma once

#include <functional>
#include <string>

#include <gst/rtp/gstrtcpbuffer.h>

#include "gst-ptr.h"

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

inline GstPadProbeReturn on_rtcp(GstPad *, GstPadProbeInfo *info, gpointer on_nack) {
  GstRTCPBuffer rtcp = GST_RTCP_BUFFER_INIT;
  GstRTCPPacket packet;
  if (gst_rtcp_buffer_map(GST_PAD_PROBE_INFO_BUFFER(info), GST_MAP_READ, &rtcp)) {
    for (gboolean more = gst_rtcp_buffer_get_first_packet(&rtcp, &packet); more;
         more = gst_rtcp_packet_move_to_next(&packet))
      read_nacks(&packet, *static_cast<OnNack *>(on_nack));
    gst_rtcp_buffer_unmap(&rtcp);
  }
  return GST_PAD_PROBE_OK;
}

// Watches each session of `webrtc` that is made from now on.
inline void watch_nacks(GstElement *webrtc, OnNack on_nack) {
  auto added = [](GstBin *, GstElement *child, gpointer data) {
    auto pad_added = [](GstElement *, GstPad *pad, gpointer on_nack_) {
      if (g_str_equal(GST_PAD_NAME(pad), "send_rtcp_src"))
        gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_rtcp, on_nack_, nullptr);
    };
    if (g_str_has_prefix(GST_OBJECT_NAME(child), "rtpsession"))
      g_signal_connect(child, "pad-added", G_CALLBACK(+pad_added), data);
  };
  const auto rtpbin =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(webrtc), "rtpbin"));
  g_signal_connect_data(
      rtpbin.get(), "element-added", G_CALLBACK(+added), new OnNack(std::move(on_nack)),
      [](gpointer data, GClosure *) { delete static_cast<OnNack *>(data); },
      static_cast<GConnectFlags>(0));
}

} // namespace vdn
