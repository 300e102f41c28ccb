// SPDX-License-Identifier: LGPL-2.1-or-later
// What webrtcbin's own thread may do while a webrtcbin goes to NULL, and must not.
#pragma once

#include "elements-of.h"

namespace vdn {

// To be called before a webrtcbin goes to NULL, where sctpenc frees the socket of the
// association. A channel that its peer has closed releases its pad of sctpenc at any
// moment, in webrtcbin's thread, and that asks the very socket for a reset (1.22 to 1.28:
// sctpassociation.c, gst_sctp_association_reset_stream() takes no lock). What is not
// linked has nothing to release, and one that is at it holds the lock that the signal
// takes. Thread: any but webrtcbin's; waits for that.
inline void unlink_channels(GstElement *webrtcbin) {
  for (const auto &encoder : elements_of(
           gst_bin_iterate_all_by_element_factory_name(GST_BIN(webrtcbin), "sctpenc")))
    gst_element_foreach_sink_pad(
        encoder.get(),
        [](GstElement *, GstPad *pad, gpointer) -> gboolean {
          const auto peer = ObjPtr<GstPad>::adopt(gst_pad_get_peer(pad));
          if (peer)
            gst_pad_unlink(peer.get(), pad);
          return TRUE;
        },
        nullptr);
  GArray *transceivers = nullptr;
  g_signal_emit_by_name(webrtcbin, "get-transceivers", &transceivers);
  if (transceivers)
    g_array_unref(transceivers);
}

// To be called when a webrtcbin is in NULL, and with it its thread. sctpenc and sctpdec
// are locked until DTLS is connected; when their state was let go while NULL had passed
// them by, they run on, and the last reference waits for their threads for ever. Thread:
// any but theirs.
inline void stop_left_behind(GstElement *webrtcbin) {
  for (const auto &child :
       elements_of(gst_bin_iterate_elements(GST_BIN(webrtcbin)), [](GstElement *element) {
         return GST_STATE(element) != GST_STATE_NULL;
       }))
    gst_element_set_state(child.get(), GST_STATE_NULL);
}

} // namespace vdn
