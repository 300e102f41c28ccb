// SPDX-License-Identifier: LGPL-2.1-or-later
#include "media-hooks.h"

#include "made-by.h"

namespace vdn {

// Pushes past the pad itself, where the probe would see the packets again.
static GstFlowReturn send(GstPad *peer, Watched<MediaHooks> &hooks, BufferPtr packet) {
  Packets packets;
  packets.push_back(std::move(packet));
  hooks.update([&](MediaHooks &hook) {
    if (hook.packets)
      hook.packets(packets);
  });
  GstFlowReturn flow = GST_FLOW_OK;
  for (auto &out : packets)
    if (flow == GST_FLOW_OK)
      flow = gst_pad_chain(peer, out.release());
  return flow;
}

void hook_packets(GstPad *pad, SharedMediaHooks hooks) {
  gst_pad_add_probe(
      pad, GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST),
      [](GstPad *source, GstPadProbeInfo *info, gpointer data) {
        auto &hook = **static_cast<SharedMediaHooks *>(data);
        if (!hook.read([](const MediaHooks &set) { return bool(set.packets); }))
          return GST_PAD_PROBE_OK;
        const auto peer = ObjPtr<GstPad>::adopt(gst_pad_get_peer(source));
        GstFlowReturn flow = GST_FLOW_OK;
        if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
          flow = send(peer.get(), hook, BufferPtr(GST_PAD_PROBE_INFO_BUFFER(info)));
        } else {
          GstBufferList *list = GST_PAD_PROBE_INFO_BUFFER_LIST(info);
          for (guint i = 0; i < gst_buffer_list_length(list) && flow == GST_FLOW_OK; i++)
            flow = send(peer.get(), hook,
                        BufferPtr(gst_buffer_ref(gst_buffer_list_get(list, i))));
          gst_buffer_list_unref(list);
        }
        GST_PAD_PROBE_INFO_FLOW_RETURN(info) = flow;
        return GST_PAD_PROBE_HANDLED;
      },
      new SharedMediaHooks(std::move(hooks)),
      [](gpointer data) { delete static_cast<SharedMediaHooks *>(data); });
}

void hook_rtcp(GstElement *webrtc, SharedMediaHooks hooks) {
  watch_rtcp(webrtc, [hooks = std::move(hooks)](GstRTCPPacket *packet) {
    hooks->update([packet](MediaHooks &hook) {
      if (hook.rtcp)
        hook.rtcp(packet);
    });
  });
}

void set_up_inside(GstElement *pipeline) {
  g_signal_connect(pipeline, "deep-element-added",
                   G_CALLBACK(+[](GstBin *, GstBin *, GstElement *element, gpointer) {
                     if (is_made_by(GST_OBJECT(element), "srtpenc"))
                       g_object_set(element, "allow-repeat-tx", TRUE, nullptr);
                     if (is_made_by(GST_OBJECT(element), "rtpsession"))
                       g_object_set(element, "rtcp-min-interval", GST_SECOND, nullptr);
                   }),
                   nullptr);
}

} // namespace vdn
