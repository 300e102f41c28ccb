// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ssrc-gate.h"

#include <gst/rtp/gstrtcpbuffer.h>
#include <gst/rtp/gstrtpbuffer.h>

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr auto kBuffers = static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER |
                                                       GST_PAD_PROBE_TYPE_BUFFER_LIST);

// Camera, microphone, screen and what they were before a change.
constexpr guint kMostStreams = 64;

using GatePtr = std::shared_ptr<SsrcGate>;

void free_gate(gpointer data, GClosure *) {
  delete static_cast<GatePtr *>(data);
}

void connect(GstElement *rtpbin, const char *signal, GCallback handler,
             const GatePtr &gate) {
  g_signal_connect_data(rtpbin, signal, handler, new GatePtr(gate), free_gate,
                        static_cast<GConnectFlags>(0));
}

struct Watch {
  GatePtr gate;
  guint ssrc;
  bool told = false;
};

// -1 when it is no packet.
int payload_type_of(const GstPadProbeInfo *info) {
  GstBuffer *buffer =
      info->type & GST_PAD_PROBE_TYPE_BUFFER_LIST
          ? gst_buffer_list_get(static_cast<GstBufferList *>(info->data), 0)
          : static_cast<GstBuffer *>(info->data);
  GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
  if (!gst_rtp_buffer_map(buffer, GST_MAP_READ, &rtp))
    return -1;
  const int result = gst_rtp_buffer_get_payload_type(&rtp);
  gst_rtp_buffer_unmap(&rtp);
  return result;
}

// Thread: streaming, of the jitterbuffer: nothing behind it has seen the stream yet.
GstPadProbeReturn on_stream(GstPad *pad, GstPadProbeInfo *info, gpointer data) {
  auto *watch = static_cast<Watch *>(data);
  const int payload_type = payload_type_of(info);
  if (watch->gate->admits(watch->ssrc, payload_type))
    return GST_PAD_PROBE_REMOVE;
  if (!std::exchange(watch->told, true))
    GST_INFO_OBJECT(pad,
                    "dropping what comes with SSRC %u and payload type %d, which is "
                    "no media of an m-line",
                    watch->ssrc, payload_type);
  return GST_PAD_PROBE_DROP;
}

void on_new_jitterbuffer(GstElement *, GstElement *jitterbuffer, guint, guint ssrc,
                         gpointer data) {
  const auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(jitterbuffer, "src"));
  gst_pad_add_probe(pad.get(), kBuffers, on_stream,
                    new Watch{*static_cast<GatePtr *>(data), ssrc},
                    [](gpointer watch) { delete static_cast<Watch *>(watch); });
}

bool says_bye(GstBuffer *buffer) {
  GstRTCPBuffer rtcp = GST_RTCP_BUFFER_INIT;
  if (!gst_rtcp_buffer_validate_reduced(buffer) ||
      !gst_rtcp_buffer_map(buffer, GST_MAP_READ, &rtcp))
    return false;
  GstRTCPPacket packet;
  bool bye = false;
  for (bool more = gst_rtcp_buffer_get_first_packet(&rtcp, &packet); more && !bye;
       more = gst_rtcp_packet_move_to_next(&packet))
    bye = gst_rtcp_packet_get_type(&packet) == GST_RTCP_TYPE_BYE;
  gst_rtcp_buffer_unmap(&rtcp);
  return bye;
}

// A BYE that came between a stream's first packets would make webrtcbin forget it while
// the gate has let it pass. Nobody here needs one: a stream that ends falls silent.
GstPadProbeReturn on_rtcp(GstPad *, GstPadProbeInfo *info, gpointer) {
  GstBuffer *buffer = GST_PAD_PROBE_INFO_BUFFER(info);
  return says_bye(buffer) ? GST_PAD_PROBE_DROP : GST_PAD_PROBE_OK;
}

void on_pad_added(GstElement *, GstPad *pad, gpointer) {
  if (g_str_has_prefix(GST_PAD_NAME(pad), "recv_rtcp_sink"))
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_rtcp, nullptr, nullptr);
}

void on_timeout(GstElement *, guint, guint ssrc, gpointer data) {
  (*static_cast<GatePtr *>(data))->forget(ssrc);
}

} // namespace

void SsrcGate::install(GstElement *rtpbin, const std::shared_ptr<SsrcGate> &gate) {
  // Each has a jitterbuffer with a thread, and what is dropped has one, too.
  g_object_set(rtpbin, "max-streams", kMostStreams, nullptr);
  g_signal_connect(rtpbin, "pad-added", G_CALLBACK(on_pad_added), nullptr);
  connect(rtpbin, "new-jitterbuffer", G_CALLBACK(on_new_jitterbuffer), gate);
  // webrtcbin forgets a stream at either, and has no pad for what comes of it then.
  for (const char *signal : {"on-timeout", "on-sender-timeout"})
    connect(rtpbin, signal, G_CALLBACK(on_timeout), gate);
}

void SsrcGate::offered(const Offer &offer) {
  Lock lock(mutex_);
  offered_.clear();
  for (guint ssrc : offer.ssrcs)
    if (!answered_.count(ssrc))
      offered_.insert(ssrc);
}

void SsrcGate::answered(const Offer &offer) {
  Lock lock(mutex_);
  answered_ = offer.ssrcs;
  offered_.clear();
  media_first_ = offer.data_mline != 0;
  payload_types_.clear();
  for (const MediaLine &line : offer.media)
    for (const Format &format : line.formats)
      payload_types_.insert(format.payload_type);
}

bool SsrcGate::admits(guint ssrc, int payload_type) const {
  Lock lock(mutex_);
  return payload_types_.count(payload_type) &&
         (answered_.count(ssrc) || (media_first_ && !offered_.count(ssrc)));
}

void SsrcGate::forget(guint ssrc) {
  Lock lock(mutex_);
  answered_.erase(ssrc);
}

} // namespace vdn
