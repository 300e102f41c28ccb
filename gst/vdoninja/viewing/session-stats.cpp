// SPDX-License-Identifier: LGPL-2.1-or-later
// What webrtcbin's rtpbin counts, read directly: the statistics of webrtcbin itself are
// wrong for bundled media before 1.26, and come by a promise.
#include "session.h"

#include <utility>

#include "structure-list.h"

namespace vdn {

namespace {

constexpr const char *kFormatFields[] = {"media", "encoding-name", "clock-rate"};
// Those of rtpsession's source-stats that say something about what we receive.
constexpr const char *kSourceFields[] = {
    "packets-received", "bytes-received", "bitrate",        "packets-lost",
    "jitter",           "sent-pli-count", "sent-fir-count", "sent-nack-count"};

// rtpsession's statistics of `ssrc`; NULL when no session knows it.
StructurePtr source_stats(GstElement *rtpbin, size_t sessions, guint ssrc) {
  for (guint id = 0; id < sessions; id++) {
    ObjPtr<GObject> session;
    g_signal_emit_by_name(rtpbin, "get-internal-session", id, session.out());
    if (!session)
      continue;
    ObjPtr<GObject> source;
    g_signal_emit_by_name(session.get(), "get-source-by-ssrc", ssrc, source.out());
    GstStructure *stats = nullptr;
    if (source)
      g_object_get(source.get(), "stats", &stats, nullptr);
    if (stats)
      return StructurePtr(stats);
  }
  return nullptr;
}

// Those of `fields` that `from` has.
template <size_t N>
void copy_fields(GstStructure *to, const GstStructure *from,
                 const char *const (&fields)[N]) {
  for (const char *field : fields)
    if (const GValue *value = gst_structure_get_value(from, field))
      gst_structure_set_value(to, field, value);
}

// The caps behind a jitterbuffer, where payload types are told apart; NULL before its
// first packet.
CapsPtr format_behind(GstPad *jitterbuffer_src) {
  auto peer = ObjPtr<GstPad>::adopt(gst_pad_get_peer(jitterbuffer_src));
  auto demux =
      ObjPtr<GstElement>::adopt(peer ? gst_pad_get_parent_element(peer.get()) : nullptr);
  CapsPtr caps;
  if (demux)
    gst_element_foreach_src_pad(
        demux.get(),
        [](GstElement *, GstPad *pad, gpointer data) -> gboolean {
          auto *found = static_cast<CapsPtr *>(data);
          found->reset(gst_pad_get_current_caps(pad));
          return *found == nullptr;
        },
        &caps);
  return caps;
}

// One incoming RTP stream; NULL before its first packet.
StructurePtr rtp_stream(GstElement *rtpbin, size_t sessions, GstElement *jitterbuffer) {
  auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(jitterbuffer, "src"));
  CapsPtr own(gst_pad_get_current_caps(pad.get()));
  CapsPtr format(format_behind(pad.get()));
  guint ssrc = 0;
  if (!own || !format ||
      !gst_structure_get_uint(gst_caps_get_structure(own.get(), 0), "ssrc", &ssrc))
    return nullptr;
  StructurePtr result(gst_structure_new("rtp", "ssrc", G_TYPE_UINT, ssrc, nullptr));
  copy_fields(result.get(), gst_caps_get_structure(format.get(), 0), kFormatFields);
  if (auto source = source_stats(rtpbin, sessions, ssrc))
    copy_fields(result.get(), source.get(), kSourceFields);
  Repair::add_stats(jitterbuffer, result.get());
  GstStructure *raw = nullptr;
  g_object_get(jitterbuffer, "stats", &raw, nullptr);
  if (StructurePtr stats{raw})
    gst_structure_set(result.get(), "jitterbuffer", GST_TYPE_STRUCTURE, stats.get(),
                      nullptr);
  return result;
}

} // namespace

void Session::add_stats(GstStructure *to) {
  add_path(to);
  auto rtpbin =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(webrtc_.get()), "rtpbin"));
  if (!rtpbin || !offer_)
    return;
  StructureList streams;
  GstIterator *buffers = gst_bin_iterate_all_by_element_factory_name(
      GST_BIN(rtpbin.get()), "rtpjitterbuffer");
  GValue item = G_VALUE_INIT;
  // A change meanwhile ends the list; the next call has it whole.
  while (gst_iterator_next(buffers, &item) == GST_ITERATOR_OK) {
    streams.add(rtp_stream(rtpbin.get(), offer_->mids.size(),
                           GST_ELEMENT(g_value_get_object(&item))));
    g_value_reset(&item);
  }
  g_value_unset(&item);
  gst_iterator_free(buffers);
  streams.put(to, "rtp");
}

} // namespace vdn
