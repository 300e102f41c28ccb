// SPDX-License-Identifier: LGPL-2.1-or-later
// What is done to a source pad of webrtcbin which is not linked, and what is asked for
// upstream of it.
#pragma once

#include "gst-ptr.h"

namespace vdn {

// From now on buffers of `pad` vanish; without this, webrtcbin fails with not-linked.
// `block`: a blocking probe to be removed then, 0 if none. Returns the probe that drops.
inline gulong discard_media(GstPad *pad, gulong block) {
  gulong drop = gst_pad_add_probe(
      pad,
      static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER |
                                   GST_PAD_PROBE_TYPE_BUFFER_LIST),
      [](GstPad *, GstPadProbeInfo *, gpointer) { return GST_PAD_PROBE_DROP; }, nullptr,
      nullptr);
  if (block)
    gst_pad_remove_probe(pad, block);
  return drop;
}

// What asks upstream for a keyframe (rtpsession turns this into a PLI). (transfer full)
inline GstEvent *new_keyframe_request() {
  return gst_event_new_custom(
      GST_EVENT_CUSTOM_UPSTREAM,
      gst_structure_new("GstForceKeyUnit", "all-headers", G_TYPE_BOOLEAN, TRUE, nullptr));
}

// Asks the sender behind `pad` for one.
inline void request_keyframe(GstPad *pad) {
  gst_pad_send_event(pad, new_keyframe_request());
}

constexpr char kKeepAll[] = "vdoninja/keep-all";

// Whether every packet of `pad` is of use, however late it is repaired
// (viewing/repair.h).
inline void want_all_packets(GstPad *pad, bool wanted) {
  gst_pad_send_event(pad, gst_event_new_custom(
                              GST_EVENT_CUSTOM_UPSTREAM,
                              gst_structure_new(kKeepAll, "wanted", G_TYPE_BOOLEAN,
                                                static_cast<gboolean>(wanted), nullptr)));
}

} // namespace vdn
