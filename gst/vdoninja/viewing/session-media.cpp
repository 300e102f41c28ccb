// SPDX-License-Identifier: LGPL-2.1-or-later
// What arrives: RTP pads of webrtcbin.
#include "session.h"

#include "made-by.h"
#include "rtp-pad.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr guint kFastStartPackets = 2;
// RTCP may take 5 % of it; more than any stream has.
constexpr double kFeedbackBandwidth = 50e6; // as rtpsession counts it

// The m-line of an RTP pad. An unknown SSRC is attributed to the first m-line of the
// bundle, so the kind in the caps has the last word.
const MediaLine *line_of(const Offer &offer, GstPad *pad, MediaKind kind) {
  ObjPtr<GObject> transceiver;
  g_object_get(pad, "transceiver", transceiver.out(), nullptr);
  guint mline = G_MAXUINT;
  if (transceiver)
    g_object_get(transceiver.get(), "mlineindex", &mline, nullptr);
  const MediaLine *same_kind = nullptr;
  for (const auto &line : offer.media) {
    if (line.kind != kind)
      continue;
    if (line.index == mline)
      return &line;
    if (!same_kind && line.active)
      same_kind = &line;
  }
  return same_kind;
}

} // namespace

// A jitterbuffer holds the first packets back for the whole latency unless told that a
// few in a row are enough. By the publisher's sender reports it knows when they were
// captured, and says so on the buffers. With rtx-next-seqnum it guesses when the next
// packet is due, gives it up when a camera pauses for longer, and drops it when it comes:
// that is the first of a picture, with the parameter sets when the camera was changed.
void Session::set_up_jitterbuffers() {
  auto rtpbin =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(webrtc_.get()), "rtpbin"));
  if (!rtpbin)
    return;
  SsrcGate::install(rtpbin.get(), gate_);
  g_signal_connect(rtpbin.get(), "element-added", G_CALLBACK(on_rtpbin_element_added),
                   nullptr);
  repair_hints_->unanswered = [at = Hook{weak_from_this(), loop_.shared_from_this()}] {
    run_later<Session>(at, [](Session &self) { self.tell_unanswered(); });
  };
  using Hints = std::shared_ptr<RepairHints>;
  g_signal_connect_data(
      rtpbin.get(), "new-jitterbuffer",
      G_CALLBACK(+[](GstElement *, GstElement *buffer, guint id, guint, gpointer data) {
        g_object_set(buffer, "faststart-min-packets", kFastStartPackets,
                     "add-reference-timestamp-meta", TRUE, "rtx-next-seqnum", FALSE,
                     nullptr);
        Repair::install(buffer, id, *static_cast<Hints *>(data));
      }),
      new Hints(repair_hints_),
      [](gpointer data, GClosure *) { delete static_cast<Hints *>(data); },
      static_cast<GConnectFlags>(0));
}

void Session::tell_unanswered() {
  observer_.warn(GST_RESOURCE_ERROR_READ,
                 "stream \"" + config_.stream_id +
                     "\": packets that the network loses are asked for, and the "
                     "publisher sends none of them again; each loss stops the picture "
                     "until the next keyframe");
}

// A session that estimates its bandwidth rations feedback: in the first seconds one
// packet in 0.8 s, later NACKs wait behind TWCC reports until they are of no use, and are
// dropped. TWCC reports would leave for each picture and each packet of padding, 321 a
// second from a browser. Thread: webrtcbin's.
void Session::on_rtpbin_element_added(GstBin *, GstElement *child, gpointer) {
  if (!is_made_by(GST_OBJECT(child), "rtpsession"))
    return;
  g_object_set(child, "bandwidth", kFeedbackBandwidth, "rtcp-min-interval", GST_SECOND,
               nullptr);
  ObjPtr<GObject> session;
  g_object_get(child, "internal-session", session.out(), nullptr);
  g_object_set(session.get(), "twcc-feedback-interval",
               RepairTiming::Settings().report * GST_MSECOND, nullptr);
}

// Thread: streaming.
void Session::on_pad_added(GstElement *, GstPad *pad, gpointer data) {
  auto *at = static_cast<Hook *>(data);
  if (!GST_PAD_IS_SRC(pad))
    return;
  if (auto self = at->lock<Session>())
    count_packets(pad, self->packets_);
  // Buffers only: the caps have to reach the pad before we look at it.
  gst_pad_add_probe(pad,
                    static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BLOCK |
                                                 GST_PAD_PROBE_TYPE_BUFFER |
                                                 GST_PAD_PROBE_TYPE_BUFFER_LIST),
                    on_first_buffer, new Hook(*at), Hook::free_data);
}

// webrtcbin 1.22 reports a vanished peer as connected for a minute and more: packets
// tell.
void Session::count_packets(GstPad *pad, std::shared_ptr<std::atomic<guint64>> packets) {
  using Counter = std::shared_ptr<std::atomic<guint64>>;
  gst_pad_add_probe(
      pad,
      static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER |
                                   GST_PAD_PROBE_TYPE_BUFFER_LIST),
      [](GstPad *, GstPadProbeInfo *, gpointer data) {
        (*static_cast<Counter *>(data))->fetch_add(1, std::memory_order_relaxed);
        return GST_PAD_PROBE_OK;
      },
      new Counter(std::move(packets)),
      [](gpointer data) { delete static_cast<Counter *>(data); });
}

// Thread: streaming. It stays blocked until the pad is linked, so that no packet is
// lost.
GstPadProbeReturn Session::on_first_buffer(GstPad *pad, GstPadProbeInfo *info,
                                           gpointer data) {
  auto *at = static_cast<Hook *>(data);
  if (at->connection.expired())
    return GST_PAD_PROBE_DROP;
  run_later<Session>(*at, [pad = ObjPtr<GstPad>::ref(pad), id = info->id](Session &self) {
    self.pad_has_media(pad, id);
  });
  return GST_PAD_PROBE_OK;
}

void Session::pad_has_media(ObjPtr<GstPad> pad, gulong probe) {
  if (!verified())
    return;
  for (const auto &known : announced_)
    if (known.get() == pad.get())
      return;
  announced_.push_back(pad);
  CapsPtr caps(gst_pad_get_current_caps(pad.get()));
  const GstStructure *s = caps ? gst_caps_get_structure(caps.get(), 0) : nullptr;
  const char *media = s ? gst_structure_get_string(s, "media") : nullptr;
  const char *encoding = s ? gst_structure_get_string(s, "encoding-name") : nullptr;
  MediaKind kind = g_strcmp0(media, "audio") ? MediaKind::kVideo : MediaKind::kAudio;
  const MediaLine *line = offer_ ? line_of(*offer_, pad.get(), kind) : nullptr;
  if (!line || !encoding) {
    GST_WARNING_OBJECT(webrtc_.get(), "media that was not offered: %" GST_PTR_FORMAT,
                       caps.get());
    discard_media(pad.get(), probe);
    return;
  }
  look_for_path(); // 1.22 tells it by a pad alone
  IncomingTrack track{line->index, kind, StrPtr(g_ascii_strup(encoding, -1)).get(), pad,
                      probe};
  observer_.media(std::move(track));
}

} // namespace vdn
