// SPDX-License-Identifier: LGPL-2.1-or-later
// What is inside of webrtcbin: what its receiving bin lets through, and how it stops.
#include "connection.h"
#include "elements-of.h"
#include "mutex.h"
#include "webrtcbin-teardown.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr char kKeptChannels[] = "vdoninja-channels";
// Whoever is on the other side needs one, and the web client one more for each file.
constexpr unsigned kMostChannels = 64;
constexpr unsigned kBinsOfChannel = 2;
// Camera, microphone and screen, repeats, and what they were before a change.
constexpr unsigned kMostSsrcs = 256;

class KeptChannels {
public:
  void add(GstWebRTCDataChannel *channel) {
    Lock lock(mutex_);
    channels_.push_back(ObjPtr<GstWebRTCDataChannel>::ref(channel));
  }
  void clear() {
    std::vector<ObjPtr<GstWebRTCDataChannel>> going;
    Lock lock(mutex_);
    going.swap(channels_);
  }

private:
  Mutex mutex_;
  std::vector<ObjPtr<GstWebRTCDataChannel>> channels_ GUARDED_BY(mutex_);
};

// Of a transport.
bool is_receiving_bin(GstElement *child) {
  return g_str_equal(G_OBJECT_TYPE_NAME(child), "TransportReceiveBin");
}

// Around the source or the sink of a data channel.
bool is_channel_bin(GstElement *child) {
  return g_str_equal(G_OBJECT_TYPE_NAME(child), "WebRTCErrorIgnoreBin");
}

Elements receiving_bins(GstElement *webrtc) {
  return elements_of(gst_bin_iterate_elements(GST_BIN(webrtc)), is_receiving_bin);
}

// Nothing flows out of a receiving bin any longer. Its own order of going down lets
// packets through to pads that have been reset, of which DTLS and SRTP complain.
void dry_up(GstElement *receiving_bin) {
  for (const char *factory : {"nicesrc", "queue"})
    for (const auto &child : elements_of(gst_bin_iterate_all_by_element_factory_name(
             GST_BIN(receiving_bin), factory))) {
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

// When an element of a data channel posts an error, its bin tells the channel, to which
// it has a bare pointer (1.22 to 1.28). One that was closed before it was open is gone by
// then. So errors reach no bus: the connection ends by other signs.
void cut_from_channel(GstElement *channel_bin) {
  for (const auto &child : elements_of(gst_bin_iterate_elements(GST_BIN(channel_bin))))
    gst_element_set_bus(child.get(), nullptr);
}

} // namespace

void Connection::set_base_time(GstClockTime time) {
  config_.base_time = time;
  gst_element_set_base_time(webrtc_.get(), time);
  for (const auto &element : elements_of(gst_bin_iterate_recurse(GST_BIN(webrtc_.get()))))
    gst_element_set_base_time(element.get(), time);
}

ObjPtr<GObject> Connection::dtls_transport(GstElement *webrtc) {
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

// webrtcbin links what a receiving bin has for media once a line of them is wanted, and
// for data once a line asks for data. A packet that comes without, as the peer
// likes, would be not-linked: that ends the source of the transport, and with it the data
// channel. RTCP must not come before the media are linked either: rtpbin (1.22 to 1.26)
// makes pads for its SSRC then, to which it never links anything (gstrtpbin.c: only
// complete_session_receiver connects to new-ssrc-pad). Who only sends gets reports alone,
// and no media are ever linked. Thread: webrtcbin's.
void Connection::on_element_added(GstBin *, GstElement *child, gpointer receives) {
  if (is_channel_bin(child))
    cut_from_channel(child);
  if (!is_receiving_bin(child))
    return;
  const auto media = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(child, "rtp_src"));
  const auto reports =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(child, "rtcp_src"));
  const auto data = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(child, "data_src"));
  drop_until_linked(media.get(), media.get());
  drop_until_linked(reports.get(), receives ? media.get() : reports.get());
  drop_until_linked(data.get(), data.get());
}

// A peer makes a channel by sending on it, as many as it likes. Each costs us a thread
// and is kept until the end. Thread: webrtcbin's.
void Connection::on_channel_bin(GstBin *, GstElement *child, gpointer data) {
  auto *at = static_cast<Hook *>(data);
  auto self = is_channel_bin(child) ? at->lock<Connection>() : nullptr;
  if (self && ++self->channel_bins_ == kMostChannels * kBinsOfChannel + 1)
    run_later<Connection>(*at, [](Connection &connection) {
      connection.fail(CONNECTION_ERROR_WEBRTC, "the other side opened more than " +
                                                   std::to_string(kMostChannels) +
                                                   " data channels");
    });
}

// rtpsession remembers each source that RTP or RTCP names, without a limit, and its
// statistics tell of all; those that are silent for long it forgets, such as the one of
// repeats on a good line, and knows anew by their next packet. Thread: webrtcbin's.
void Connection::on_new_ssrc(GstElement *, guint, guint ssrc, gpointer data) {
  auto *at = static_cast<Hook *>(data);
  const auto self = at->lock<Connection>();
  if (!self)
    return;
  Lock lock(self->ssrcs_mutex_);
  if (self->ssrcs_.insert(ssrc).second && self->ssrcs_.size() == kMostSsrcs + 1)
    run_later<Connection>(*at, [](Connection &connection) {
      connection.fail(CONNECTION_ERROR_WEBRTC, "the other side named more than " +
                                                   std::to_string(kMostSsrcs) +
                                                   " sources of RTP");
    });
}

// Thread: webrtcbin's.
void Connection::on_ssrc_forgotten(GstElement *, guint, guint ssrc, gpointer data) {
  const auto self = static_cast<Hook *>(data)->lock<Connection>();
  if (!self)
    return;
  Lock lock(self->ssrcs_mutex_);
  self->ssrcs_.erase(ssrc);
}

// The thread that sends on a channel looks at it without a reference of its own (1.22 to
// 1.26: webrtcdatachannel.c, on_appsrc_data()). When the channel is closed meanwhile, the
// last one would go, with one that nobody was told of yet, too; so one stays with
// webrtcbin until its threads have ended; not longer, since 1.22.0 has a bare pointer to
// webrtcbin in the channel.
void Connection::keep_channels(GstElement *webrtc) {
  auto *kept = new KeptChannels;
  g_object_set_data_full(G_OBJECT(webrtc), kKeptChannels, kept,
                         [](gpointer data) { delete static_cast<KeptChannels *>(data); });
  // Thread: webrtcbin's, and who makes one.
  auto prepared = [](GstElement *, GstWebRTCDataChannel *channel, gboolean, gpointer to) {
    static_cast<KeptChannels *>(to)->add(channel);
  };
  g_signal_connect(webrtc, "prepare-data-channel", G_CALLBACK(+prepared), kept);
}

// A bin that receives blocks its data until ICE is connected. When ICE changes, or a
// description comes into effect, while webrtcbin goes to NULL, the bin, which is there
// already, blocks once more, by a reference to itself: it lets go only when it goes to
// NULL again. By then nobody must tell it of ICE any longer.
void Connection::stop_webrtcbin(GstElement *webrtc) {
  ObjPtr<GObject> ice;
  if (auto dtls = dtls_transport(webrtc))
    g_object_get(dtls.get(), "transport", ice.out(), nullptr);
  for (const auto &bin : receiving_bins(webrtc)) {
    if (ice)
      g_signal_handlers_disconnect_by_data(ice.get(), bin.get());
    dry_up(bin.get());
  }
  if (ice && receiving_bins(webrtc).empty())
    GST_WARNING_OBJECT(webrtc,
                       "no receiving bin was found: another version of webrtcbin? "
                       "It may not stop cleanly");
  give_up_channels(webrtc);
  gst_element_set_state(webrtc, GST_STATE_NULL);
  stop_left_behind(webrtc);
  if (auto *kept = g_object_get_data(G_OBJECT(webrtc), kKeptChannels))
    static_cast<KeptChannels *>(kept)->clear();
  for (const auto &bin : receiving_bins(webrtc))
    GST_ELEMENT_GET_CLASS(bin.get())->change_state(bin.get(),
                                                   GST_STATE_CHANGE_READY_TO_NULL);
}

} // namespace vdn
