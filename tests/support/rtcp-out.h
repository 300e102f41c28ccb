// SPDX-License-Identifier: LGPL-2.1-or-later
// The RTCP that leaves a webrtcbin, before it is encrypted.
#pragma once

#include <functional>

#include <gst/rtp/gstrtcpbuffer.h>

#include "gst-ptr.h"
#include "made-by.h"

namespace vdn {

// Called for each packet of a compound, which may be changed in place. Thread: streaming
// and RTCP's, one at a time for each session.
using OnRtcp = std::function<void(GstRTCPPacket *packet)>;

inline GstPadProbeReturn on_rtcp(GstPad *, GstPadProbeInfo *info, gpointer on_packet) {
  GstBuffer *buffer = gst_buffer_make_writable(GST_PAD_PROBE_INFO_BUFFER(info));
  GST_PAD_PROBE_INFO_DATA(info) = buffer;
  GstRTCPBuffer rtcp = GST_RTCP_BUFFER_INIT;
  GstRTCPPacket packet;
  if (gst_rtcp_buffer_map(buffer, GST_MAP_READWRITE, &rtcp)) {
    for (gboolean more = gst_rtcp_buffer_get_first_packet(&rtcp, &packet); more;
         more = gst_rtcp_packet_move_to_next(&packet))
      (*static_cast<OnRtcp *>(on_packet))(&packet);
    gst_rtcp_buffer_unmap(&rtcp);
  }
  return GST_PAD_PROBE_OK;
}

// Watches each session of `webrtc` that is made from now on.
inline void watch_rtcp(GstElement *webrtc, OnRtcp on_packet) {
  auto added = [](GstBin *, GstElement *child, gpointer data) {
    auto pad_added = [](GstElement *, GstPad *pad, gpointer callback) {
      if (g_str_equal(GST_PAD_NAME(pad), "send_rtcp_src"))
        gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_rtcp, callback, nullptr);
    };
    if (is_made_by(GST_OBJECT(child), "rtpsession"))
      g_signal_connect(child, "pad-added", G_CALLBACK(+pad_added), data);
  };
  const auto rtpbin =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(webrtc), "rtpbin"));
  g_signal_connect_data(
      rtpbin.get(), "element-added", G_CALLBACK(+added), new OnRtcp(std::move(on_packet)),
      [](gpointer data, GClosure *) { delete static_cast<OnRtcp *>(data); },
      static_cast<GConnectFlags>(0));
}

} // namespace vdn
