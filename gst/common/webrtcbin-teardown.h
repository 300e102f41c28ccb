// SPDX-License-Identifier: LGPL-2.1-or-later
// What webrtcbin's own thread may do while a webrtcbin goes to NULL, and must not.
#pragma once

#include "elements-of.h"

namespace vdn {

// What a channel was given and a peer does not take is waited for without an end, in
// NULL too (1.22 to 1.26: gstsctpenc.c, gst_sctp_enc_sink_chain()), until its pad is
// flushed. That goes no further, as DTLS has a goodbye to send.
inline void give_up_unsent(GstElement *sctpenc) {
  const auto src = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(sctpenc, "src"));
  const gulong probe = gst_pad_add_probe(
      src.get(), GST_PAD_PROBE_TYPE_EVENT_FLUSH,
      [](GstPad *, GstPadProbeInfo *, gpointer) { return GST_PAD_PROBE_DROP; }, nullptr,
      nullptr);
  gst_element_foreach_sink_pad(
      sctpenc,
      [](GstElement *, GstPad *pad, gpointer) -> gboolean {
        gst_pad_send_event(pad, gst_event_new_flush_start());
        return TRUE;
      },
      nullptr);
  gst_pad_remove_probe(src.get(), probe);
}

// sctpenc frees the socket of the association in NULL. A channel that its peer has closed
// releases its pad of sctpenc at any moment, in webrtcbin's thread, and that asks the
// very socket for a reset (1.22 to 1.28: sctpassociation.c,
// gst_sctp_association_reset_stream() takes no lock). What is not linked has nothing to
// release.
inline void unlink_channels(GstElement *sctpenc) {
  gst_element_foreach_sink_pad(
      sctpenc,
      [](GstElement *, GstPad *pad, gpointer) -> gboolean {
        const auto peer = ObjPtr<GstPad>::adopt(gst_pad_get_peer(pad));
        if (peer)
          gst_pad_unlink(peer.get(), pad);
        return TRUE;
      },
      nullptr);
}

// To be called before a webrtcbin goes to NULL. Thread: any but webrtcbin's; waits for
// that.
inline void give_up_channels(GstElement *webrtcbin) {
  for (const auto &sctpenc : elements_of(
           gst_bin_iterate_all_by_element_factory_name(GST_BIN(webrtcbin), "sctpenc"))) {
    give_up_unsent(sctpenc.get());
    unlink_channels(sctpenc.get());
  }
  // One that is about to release its pad holds the lock that the signal takes.
  GArray *transceivers = nullptr;
  g_signal_emit_by_name(webrtcbin, "get-transceivers", &transceivers);
  if (transceivers)
    g_array_unref(transceivers);
}

// One that does not come up, as its association is being closed already, has started its
// task all the same, and nothing stops that (1.22 to 1.26: gstsctpenc.c,
// gst_sctp_enc_change_state()): it waits until its queue is flushed.
inline void stop_task(GstElement *sctpenc) {
  const auto src = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(sctpenc, "src"));
  gst_pad_set_active(src.get(), TRUE); // an inactive one takes no event
  gst_pad_send_event(src.get(), gst_event_new_flush_start());
  gst_pad_stop_task(src.get());
  gst_pad_set_active(src.get(), FALSE);
}

// To be called when a webrtcbin is in NULL, and with it its thread. sctpenc and sctpdec
// are locked until DTLS is connected, as dtlssrtpenc is until ICE is; when their state
// was let go while NULL had passed them by, they run on, and the last reference waits for
// their threads for ever. Thread: any but theirs.
inline void stop_left_behind(GstElement *webrtcbin) {
  for (const auto &child :
       elements_of(gst_bin_iterate_recurse(GST_BIN(webrtcbin)), [](GstElement *element) {
         return GST_STATE(element) != GST_STATE_NULL;
       }))
    gst_element_set_state(child.get(), GST_STATE_NULL);
  for (const auto &sctpenc : elements_of(
           gst_bin_iterate_all_by_element_factory_name(GST_BIN(webrtcbin), "sctpenc")))
    stop_task(sctpenc.get());
}

} // namespace vdn
