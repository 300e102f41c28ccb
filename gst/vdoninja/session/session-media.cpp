// SPDX-License-Identifier: LGPL-2.1-or-later
// What arrives: RTP pads of webrtcbin, and the check of the certificate behind them.
#include "session.h"

#include "rtp-pad.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr guint kFastStartPackets = 2;

// The DTLS transport; all bundled media and the data channel share it.
ObjPtr<GObject> dtls_transport(GstElement *webrtc) {
  ObjPtr<GObject> sctp, dtls;
  g_object_get(webrtc, "sctp-transport", sctp.out(), nullptr);
  if (sctp)
    g_object_get(sctp.get(), "transport", dtls.out(), nullptr);
  if (dtls)
    return dtls;
  GArray *transceivers = nullptr;
  g_signal_emit_by_name(webrtc, "get-transceivers", &transceivers);
  for (guint i = 0; transceivers && i < transceivers->len && !dtls; i++) {
    ObjPtr<GObject> receiver;
    g_object_get(g_array_index(transceivers, GObject *, i), "receiver", receiver.out(),
                 nullptr);
    if (receiver)
      g_object_get(receiver.get(), "transport", dtls.out(), nullptr);
  }
  if (transceivers)
    g_array_unref(transceivers);
  return dtls;
}

using Elements = std::vector<ObjPtr<GstElement>>;

// Those of `found`, which is freed, for which `wanted` holds.
template <typename Wanted> Elements elements_of(GstIterator *found, Wanted wanted) {
  struct Search {
    Elements elements;
    Wanted wanted;
  } search{{}, wanted};
  gst_iterator_foreach(
      found,
      [](const GValue *item, gpointer data) {
        auto *into = static_cast<Search *>(data);
        auto *element = static_cast<GstElement *>(g_value_get_object(item));
        if (into->wanted(element))
          into->elements.push_back(ObjPtr<GstElement>::ref(element));
      },
      &search);
  gst_iterator_free(found);
  return search.elements;
}

// Of a transport.
bool is_receiving_bin(GstElement *child) {
  return g_str_equal(G_OBJECT_TYPE_NAME(child), "TransportReceiveBin");
}

Elements receiving_bins(GstElement *webrtc) {
  return elements_of(gst_bin_iterate_elements(GST_BIN(webrtc)), is_receiving_bin);
}

// Nothing flows out of a receiving bin any longer. Its own order of going down lets
// packets through to pads that have been reset, of which DTLS and SRTP complain.
void dry_up(GstElement *receiving_bin) {
  for (const char *factory : {"nicesrc", "queue"})
    for (const auto &child : elements_of(
             gst_bin_iterate_all_by_element_factory_name(GST_BIN(receiving_bin), factory),
             [](GstElement *) { return true; })) {
      gst_element_set_locked_state(child.get(), TRUE);
      gst_element_set_state(child.get(), GST_STATE_NULL);
    }
}

// Whatever comes to `pad`, of the same bin as `other`, as long as that is not linked.
void drop_until_linked(GstPad *pad, GstPad *other) {
  gst_pad_add_probe(
      pad,
      static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER |
                                   GST_PAD_PROBE_TYPE_BUFFER_LIST),
      [](GstPad *, GstPadProbeInfo *, gpointer data) {
        return gst_pad_is_linked(static_cast<GstPad *>(data)) ? GST_PAD_PROBE_REMOVE
                                                              : GST_PAD_PROBE_DROP;
      },
      other, nullptr);
}

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
  g_signal_connect(rtpbin.get(), "new-jitterbuffer",
                   G_CALLBACK(+[](GstElement *, GstElement *buffer, guint, guint) {
                     g_object_set(buffer, "faststart-min-packets", kFastStartPackets,
                                  "add-reference-timestamp-meta", TRUE, "rtx-next-seqnum",
                                  FALSE, nullptr);
                   }),
                   nullptr);
}

// A bin that receives blocks its data until ICE is connected. When ICE changes, or a
// description comes into effect, while webrtcbin goes to NULL, the bin, which is there
// already, blocks once more, by a reference to itself: it lets go only when it goes to
// NULL again. By then nobody must tell it of ICE any longer.
//
// The channel is kept until nothing runs any more: its source has a raw pointer to it,
// for errors that the last text may meet when the publisher closes it. And not for
// longer, as it has a raw pointer to webrtcbin (1.22.0).
void Session::stop_webrtcbin(GstElement *webrtc) {
  ObjPtr<GObject> ice;
  if (auto dtls = dtls_transport(webrtc))
    g_object_get(dtls.get(), "transport", ice.out(), nullptr);
  for (const auto &bin : receiving_bins(webrtc)) {
    if (ice)
      g_signal_handlers_disconnect_by_data(ice.get(), bin.get());
    dry_up(bin.get());
  }
  gst_element_set_state(webrtc, GST_STATE_NULL);
  g_object_set_data(G_OBJECT(webrtc), kChannelKey, nullptr);
  for (const auto &bin : receiving_bins(webrtc))
    GST_ELEMENT_GET_CLASS(bin.get())->change_state(bin.get(),
                                                   GST_STATE_CHANGE_READY_TO_NULL);
}

// webrtcbin links what a receiving bin has for media once a line of them is wanted, and
// for data once a line asks for data. A packet that comes without, as the publisher
// likes, would be not-linked: that ends the source of the transport, and with it the data
// channel. RTCP must not come before the media are linked either: rtpbin (1.22 to 1.26)
// makes pads for its SSRC then, to which it never links anything (gstrtpbin.c: only
// complete_session_receiver connects to new-ssrc-pad). Thread: webrtcbin's.
void Session::on_element_added(GstBin *, GstElement *child, gpointer) {
  if (!is_receiving_bin(child))
    return;
  const auto media = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(child, "rtp_src"));
  const auto reports =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(child, "rtcp_src"));
  const auto data = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(child, "data_src"));
  drop_until_linked(media.get(), media.get());
  drop_until_linked(reports.get(), media.get());
  drop_until_linked(data.get(), data.get());
}

// Thread: streaming.
void Session::on_pad_added(GstElement *, GstPad *pad, gpointer data) {
  auto *at = static_cast<Hook *>(data);
  if (!GST_PAD_IS_SRC(pad))
    return;
  if (auto self = at->session.lock())
    count_packets(pad, self->packets_);
  // Buffers only: the caps have to reach the pad before we look at it.
  gst_pad_add_probe(pad,
                    static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BLOCK |
                                                 GST_PAD_PROBE_TYPE_BUFFER |
                                                 GST_PAD_PROBE_TYPE_BUFFER_LIST),
                    on_first_buffer, new Hook{at->session, at->loop}, Hook::free_data);
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

// Thread: streaming. It stays blocked until the pad is linked, so that no packet is lost.
GstPadProbeReturn Session::on_first_buffer(GstPad *pad, GstPadProbeInfo *info,
                                           gpointer data) {
  auto *at = static_cast<Hook *>(data);
  if (at->session.expired())
    return GST_PAD_PROBE_DROP;
  run_later(at->session, at->loop,
            [pad = ObjPtr<GstPad>::ref(pad), id = info->id](Session &self) {
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
  Track track{line->index, kind, StrPtr(g_ascii_strup(encoding, -1)).get(), pad, probe};
  callbacks_.track(std::move(track));
}

// Compares the certificate of the DTLS handshake with the offer: webrtcbin does not,
// before 1.28.5. Media and data exist only after the handshake, so it is known by then.
bool Session::verified() {
  if (verified_)
    return true;
  auto dtls = dtls_transport(webrtc_.get());
  gchar *raw = nullptr;
  if (dtls)
    g_object_get(dtls.get(), "remote-certificate", &raw, nullptr);
  StrPtr pem(raw);
  const std::string &announced = offer_->fingerprint;
  std::string algorithm = announced.substr(0, announced.find(' '));
  verified_ = pem && certificate_fingerprint(pem.get(), algorithm) == announced;
  if (!verified_)
    fail(SESSION_ERROR_SECURITY,
         "the publisher's certificate is not the one that its offer announced; somebody "
         "may be in between");
  return verified_;
}

} // namespace vdn
