// SPDX-License-Identifier: LGPL-2.1-or-later
#include "publisher-session.h"
#include "webrtcbin-teardown.h"

namespace vdn {

// Candidates found within this time travel together.
constexpr unsigned kBundleMs = 20;
// A peer that is only disconnected may come back.
constexpr unsigned kGraceMs = 10000;
constexpr unsigned kMaxLostPings = 10;
// Beyond those that webrtcbin takes for rtx, from 96 on, or a later offer would give a
// payload type another meaning.
constexpr int kFirstPayloadType = 110;

using DescriptionPtr = std::unique_ptr<GstWebRTCSessionDescription,
                                       Releaser<gst_webrtc_session_description_free>>;
using WeakSession = std::weak_ptr<PublisherSession>;

// Runs `function(PublisherSession &)` on the loop unless the session is closed by then.
// webrtcbin's threads may do nothing else: it waits for them when it goes to NULL.
template <typename Function> void PublisherSession::post(Function function) {
  loop_.post([weak = weak_from_this(), function] {
    const auto self = weak.lock();
    if (self && self->pipeline_)
      function(*self);
  });
}

// `handler` gets a WeakSession * as its last argument.
gulong PublisherSession::connect(gpointer object, const char *signal, GCallback handler) {
  return g_signal_connect_data(
      object, signal, handler, new WeakSession(weak_from_this()),
      [](gpointer weak, GClosure *) { delete static_cast<WeakSession *>(weak); },
      GConnectFlags(0));
}

// A promise whose reply is handed to `then` on the loop.
GstPromise *
PublisherSession::promise(void (PublisherSession::*then)(const GstStructure *reply)) {
  struct Context {
    WeakSession session;
    void (PublisherSession::*then)(const GstStructure *);
  };
  return gst_promise_new_with_change_func(
      [](GstPromise *promise, gpointer data) {
        const auto *context = static_cast<Context *>(data);
        const auto self = context->session.lock();
        const GstStructure *reply = gst_promise_get_reply(promise);
        // As a shared_ptr: jobs are copyable.
        std::shared_ptr<GstStructure> copy(reply ? gst_structure_copy(reply)
                                                 : gst_structure_new_empty("none"),
                                           gst_structure_free);
        if (self)
          self->post([then = context->then, copy](PublisherSession &session) {
            (session.*then)(copy.get());
          });
        gst_promise_unref(promise);
      },
      new Context{weak_from_this(), then},
      [](gpointer data) { delete static_cast<Context *>(data); });
}

PublisherSession::PublisherSession(Loop &loop, SessionConfig config, Callbacks callbacks)
    : loop_(loop), config_(std::move(config)), callbacks_(std::move(callbacks)),
      candidate_timer_(loop), ping_timer_(loop), grace_timer_(loop) {}

PublisherSession::~PublisherSession() {
  close();
}

bool PublisherSession::start(const std::vector<TrackPtr> &tracks, GError **error) {
  if (!make_webrtcbin(error))
    return false;
  // A data channel needs webrtcbin's thread, which READY starts.
  gst_element_set_state(pipeline_.get(), GST_STATE_READY);
  if (!add_tracks(tracks, error))
    return false;
  needs_offer_ = true;
  open_channel();
  gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
  negotiate();
  return true;
}

void PublisherSession::close(bool abruptly) {
  if (!pipeline_)
    return;
  candidate_timer_.stop();
  ping_timer_.stop();
  grace_timer_.stop();
  for (Sender &sender : senders_)
    sender.track->detach(sender.source.get());
  if (abruptly)
    silence();
  for (const gulong handler : channel_handlers_)
    g_signal_handler_disconnect(channel_.get(), handler);
  channel_handlers_.clear();
  give_up_channels(webrtc_.get());
  gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
  stop_left_behind(webrtc_.get());
  // After NULL, as its source has a raw pointer to it, and before webrtcbin goes, to
  // which it has one in 1.22.0.
  channel_.reset();
  senders_.clear();
  webrtc_.reset();
  pipeline_.reset();
  status_.connected = status_.channel_open = false;
}

// DTLS and SCTP say goodbye when they stop; a killed process does not.
void PublisherSession::silence() {
  for (const auto &sink : elements_of(gst_bin_iterate_all_by_element_factory_name(
           GST_BIN(pipeline_.get()), "nicesink"))) {
    const auto pad =
        ObjPtr<GstPad>::adopt(gst_element_get_static_pad(sink.get(), "sink"));
    gst_pad_add_probe(
        pad.get(),
        GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST),
        [](GstPad *, GstPadProbeInfo *, gpointer) { return GST_PAD_PROBE_DROP; }, nullptr,
        nullptr);
  }
}

bool PublisherSession::make_webrtcbin(GError **error) {
  webrtc_ = ObjPtr<GstElement>::adopt(gst_element_factory_make("webrtcbin", nullptr));
  if (!webrtc_) {
    g_set_error(error, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN,
                "webrtcbin is missing: install gstreamer1.0-plugins-bad");
    return false;
  }
  pipeline_ = ObjPtr<GstElement>::adopt(gst_pipeline_new(nullptr));
  set_up_inside(pipeline_.get());
  hook_rtcp(webrtc_.get(), config_.media_hooks);
  gst_bin_add(GST_BIN(pipeline_.get()), webrtc_.get());
  const auto clock = ObjPtr<GstClock>::adopt(gst_system_clock_obtain());
  gst_pipeline_use_clock(GST_PIPELINE(pipeline_.get()), clock.get());
  gst_element_set_base_time(pipeline_.get(), config_.epoch);
  gst_element_set_start_time(pipeline_.get(), GST_CLOCK_TIME_NONE);
  gst_util_set_object_arg(G_OBJECT(webrtc_.get()), "bundle-policy", "max-bundle");
  if (!config_.stun_server.empty())
    g_object_set(webrtc_.get(), "stun-server", config_.stun_server.c_str(), nullptr);
  set_up_ice();

  connect(webrtc_.get(), "on-ice-candidate",
          G_CALLBACK(+[](GstElement *, guint mline, gchar *text, WeakSession *weak) {
            if (const auto self = weak->lock())
              self->post([mline, copy = std::string(text)](PublisherSession &session) {
                session.local_candidate(mline, copy);
              });
          }));
  connect(webrtc_.get(), "notify::connection-state",
          G_CALLBACK(+[](GstElement *, GParamSpec *, WeakSession *weak) {
            if (const auto self = weak->lock())
              self->post([](PublisherSession &session) { session.connection_changed(); });
          }));
  const auto bus = ObjPtr<GstBus>::adopt(gst_element_get_bus(pipeline_.get()));
  gst_bus_set_sync_handler(
      bus.get(),
      [](GstBus *, GstMessage *message, gpointer weak) {
        const auto self = static_cast<WeakSession *>(weak)->lock();
        if (self && GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR)
          self->post([](PublisherSession &session) { session.fail("pipeline error"); });
        // Sender reports need to know it.
        if (self && GST_MESSAGE_TYPE(message) == GST_MESSAGE_LATENCY)
          self->post([](PublisherSession &session) {
            gst_bin_recalculate_latency(GST_BIN(session.pipeline_.get()));
          });
        gst_message_unref(message);
        return GST_BUS_DROP;
      },
      new WeakSession(weak_from_this()),
      [](gpointer weak) { delete static_cast<WeakSession *>(weak); });
  return true;
}

void PublisherSession::set_up_ice() {
  ObjPtr<GObject> ice, agent;
  g_object_get(webrtc_.get(), "ice-agent", ice.out(), nullptr);
  g_object_get(ice.get(), "agent", agent.out(), nullptr);
  g_object_set(agent.get(), "upnp", FALSE, nullptr);
  for (const std::string &address : config_.local_addresses) {
    gboolean added = FALSE;
    g_signal_emit_by_name(ice.get(), "add-local-ip-address", address.c_str(), &added);
  }
}

void PublisherSession::open_channel() {
  g_signal_emit_by_name(webrtc_.get(), "create-data-channel", "sendChannel", nullptr,
                        channel_.out());
  if (!channel_)
    return;
  channel_handlers_.push_back(
      connect(channel_.get(), "on-open", G_CALLBACK(+[](GObject *, WeakSession *weak) {
                if (const auto self = weak->lock())
                  self->post([](PublisherSession &session) {
                    session.status_.channel_open = true;
                    session.callbacks_.channel_open();
                    session.feed();
                    session.callbacks_.changed();
                    session.ping();
                  });
              })));
  channel_handlers_.push_back(
      connect(channel_.get(), "on-message-string",
              G_CALLBACK(+[](GObject *, gchar *text, WeakSession *weak) {
                const auto self = weak->lock();
                if (self && text)
                  self->post([copy = std::string(text)](PublisherSession &session) {
                    session.callbacks_.message(copy);
                  });
              })));
}

// --- media ---

bool PublisherSession::add_tracks(const std::vector<TrackPtr> &tracks, GError **error) {
  const size_t first = senders_.size();
  for (const TrackPtr &track : tracks)
    if (!add_sender(track, error))
      return false;
  // All pads exist before the first has caps: one offer then has them all.
  for (size_t i = first; i < senders_.size(); i++) {
    const auto bin = ObjPtr<GstObject>::adopt(
        gst_object_get_parent(GST_OBJECT(senders_[i].source.get())));
    gst_element_sync_state_with_parent(GST_ELEMENT(bin.get()));
  }
  needs_offer_ |= !tracks.empty();
  status_.tracks = senders_.size();
  return true;
}

bool PublisherSession::add_sender(const TrackPtr &track, GError **error) {
  Sender sender;
  sender.pad =
      ObjPtr<GstPad>::adopt(gst_element_request_pad_simple(webrtc_.get(), "sink_%u"));
  const int payload_type = kFirstPayloadType + static_cast<int>(senders_.size());
  if (!feed_from(sender, track, payload_type, error))
    return false;
  ObjPtr<GstWebRTCRTPTransceiver> transceiver;
  g_object_get(sender.pad.get(), "transceiver", transceiver.out(), nullptr);
  connect(sender.pad.get(), "notify::caps",
          G_CALLBACK(+[](GstPad *, GParamSpec *, WeakSession *weak) {
            if (const auto self = weak->lock())
              self->post([](PublisherSession &session) { session.negotiate(); });
          }));
  // Not for audio: Chromium refuses an offer with retransmission there.
  g_object_set(transceiver.get(), "direction",
               GST_WEBRTC_RTP_TRANSCEIVER_DIRECTION_SENDONLY, "do-nack",
               track->is_video(), nullptr);
  senders_.push_back(std::move(sender));
  return true;
}

// Links source and payloader for `track` to the pad of `sender`.
bool PublisherSession::feed_from(Sender &sender, const TrackPtr &track, int payload_type,
                                 GError **error) {
  const std::string line =
      "appsrc name=source is-live=true format=time leaky-type=downstream max-buffers=120 "
      "max-bytes=0 ! " +
      track->payloader(payload_type);
  GError *raw = nullptr;
  auto bin = ObjPtr<GstElement>::adopt(gst_parse_bin_from_description_full(
      line.c_str(), TRUE, nullptr, GST_PARSE_FLAG_FATAL_ERRORS, &raw));
  if (raw) {
    g_propagate_error(error, raw);
    return false;
  }
  gst_bin_add(GST_BIN(pipeline_.get()), bin.get());
  sender.track = track;
  sender.source = ObjPtr<GstAppSrc>::adopt(
      GST_APP_SRC(gst_bin_get_by_name(GST_BIN(bin.get()), "source")));
  gst_app_src_set_caps(sender.source.get(), track->caps().get());
  const auto out = ObjPtr<GstPad>::adopt(
      gst_element_get_static_pad(GST_ELEMENT(sender.source.get()), "src"));
  struct Request {
    TrackPtr track;
    WeakSession session;
    SharedMediaHooks hooks;
  };
  gst_pad_add_probe(
      out.get(), GST_PAD_PROBE_TYPE_EVENT_UPSTREAM,
      [](GstPad *, GstPadProbeInfo *info, gpointer data) {
        const auto *request = static_cast<Request *>(data);
        if (!gst_video_event_is_force_key_unit(GST_PAD_PROBE_INFO_EVENT(info)))
          return GST_PAD_PROBE_OK;
        const bool heard = request->hooks->update(
            [](MediaHooks &hooks) { return !hooks.keyframe || hooks.keyframe(); });
        if (heard)
          request->track->request_keyframe();
        if (const auto self = request->session.lock()) {
          self->keyframe_requests_++;
          self->post([](PublisherSession &session) { session.callbacks_.changed(); });
        }
        return GST_PAD_PROBE_DROP;
      },
      new Request{track, weak_from_this(), config_.media_hooks},
      [](gpointer data) { delete static_cast<Request *>(data); });
  const auto from = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(bin.get(), "src"));
  if (track->is_video())
    hook_packets(from.get(), config_.media_hooks);
  if (!sender.pad || gst_pad_link(from.get(), sender.pad.get()) != GST_PAD_LINK_OK) {
    g_set_error(error, GST_CORE_ERROR, GST_CORE_ERROR_PAD,
                "webrtcbin refuses the medium");
    return false;
  }
  return true;
}

// Media flow once the data channel is open: the other side can decrypt by then. What was
// sent before, the first keyframe above all, would be lost on the way.
void PublisherSession::feed() {
  if (!status_.connected || !status_.channel_open || negotiating_)
    return;
  for (Sender &sender : senders_) {
    if (!sender.fed)
      sender.track->attach(sender.source.get());
    sender.fed = true;
  }
}

// --- offers and answers ---

// on-negotiation-needed is no help: it comes before all media have caps, and after every
// change of resolution.
void PublisherSession::negotiate() {
  if (!needs_offer_ || negotiating_)
    return;
  for (const Sender &sender : senders_)
    if (!gst_pad_has_current_caps(sender.pad.get()))
      return;
  needs_offer_ = false;
  negotiating_ = true;
  g_signal_emit_by_name(webrtc_.get(), "create-offer", nullptr,
                        promise(&PublisherSession::offer_created));
}

void PublisherSession::offer_created(const GstStructure *reply) {
  GstWebRTCSessionDescription *raw = nullptr;
  gst_structure_get(reply, "offer", GST_TYPE_WEBRTC_SESSION_DESCRIPTION, &raw, nullptr);
  const DescriptionPtr offer(raw);
  if (!offer) {
    fail("no offer");
    return;
  }
  mids_.clear();
  for (guint i = 0; i < gst_sdp_message_medias_len(offer->sdp); i++) {
    const char *mid =
        gst_sdp_media_get_attribute_val(gst_sdp_message_get_media(offer->sdp, i), "mid");
    mids_.emplace_back(mid ? mid : "");
  }
  offer_alternatives(offer->sdp);
  g_signal_emit_by_name(webrtc_.get(), "set-local-description", offer.get(),
                        promise(&PublisherSession::offer_applied));
  status_.offers++;
  // Before any candidate: those are posted behind this job.
  callbacks_.offer(StrPtr(gst_sdp_message_as_text(offer->sdp)).get());
  callbacks_.changed();
}

void PublisherSession::offer_applied(const GstStructure *reply) {
  if (gst_structure_has_field(reply, "error"))
    fail("offer refused by webrtcbin");
}

// Made for our newest offer, by somebody who only receives: to anything else webrtcbin
// may assert (webrtcsdp.c, _get_final_direction()).
bool PublisherSession::answers_ours(const GstSDPMessage *answer) const {
  if (gst_sdp_message_medias_len(answer) != mids_.size())
    return false;
  for (guint i = 0; i < mids_.size(); i++) {
    const GstSDPMedia *media = gst_sdp_message_get_media(answer, i);
    const bool is_data = g_strcmp0(gst_sdp_media_get_media(media), "application") == 0;
    if (g_strcmp0(gst_sdp_media_get_attribute_val(media, "mid"), mids_[i].c_str()) != 0 ||
        !(is_data || gst_sdp_media_get_attribute_val(media, "recvonly") ||
          gst_sdp_media_get_attribute_val(media, "inactive")))
      return false;
  }
  return true;
}

void PublisherSession::answer(const std::string &sdp) {
  GstSDPMessage *message = nullptr;
  if (!pipeline_ || !negotiating_ ||
      gst_sdp_message_new_from_text(sdp.c_str(), &message) != GST_SDP_OK)
    return;
  const DescriptionPtr answer(
      gst_webrtc_session_description_new(GST_WEBRTC_SDP_TYPE_ANSWER, message));
  if (!answers_ours(message))
    return;
  take_choice(message);
  g_signal_emit_by_name(webrtc_.get(), "set-remote-description", answer.get(),
                        promise(&PublisherSession::answer_applied));
}

void PublisherSession::answer_applied(const GstStructure *reply) {
  if (gst_structure_has_field(reply, "error")) {
    fail("answer refused by webrtcbin");
    return;
  }
  status_.answers++;
  negotiating_ = false;
  feed();
  negotiate();
  callbacks_.changed();
}

// --- candidates ---

void PublisherSession::local_candidate(unsigned mline, const std::string &text) {
  // 1.24 and later mark the end with an empty text, which VDO.Ninja does not know.
  if (text.empty())
    return;
  const std::string mid = mline < mids_.size() ? mids_[mline] : std::string();
  candidates_.push_back({text, mid, static_cast<int>(mline)});
  if (candidate_timer_.active())
    return;
  candidate_timer_.start(
      kBundleMs, [this] { callbacks_.candidates(std::exchange(candidates_, {})); });
}

void PublisherSession::add_candidates(const std::vector<Candidate> &candidates) {
  if (!pipeline_)
    return;
  for (const Candidate &candidate : candidates) {
    int mline = candidate.mline;
    for (size_t i = 0; mline < 0 && i < mids_.size(); i++)
      if (mids_[i] == candidate.mid)
        mline = static_cast<int>(i);
    g_signal_emit_by_name(webrtc_.get(), "add-ice-candidate", std::max(mline, 0),
                          candidate.text.c_str());
  }
}

void PublisherSession::connection_changed() {
  GstWebRTCPeerConnectionState state = GST_WEBRTC_PEER_CONNECTION_STATE_NEW;
  g_object_get(webrtc_.get(), "connection-state", &state, nullptr);
  status_.connected = state == GST_WEBRTC_PEER_CONNECTION_STATE_CONNECTED;
  grace_timer_.stop();
  if (state == GST_WEBRTC_PEER_CONNECTION_STATE_FAILED) {
    fail("connection failed");
    return;
  }
  if (state == GST_WEBRTC_PEER_CONNECTION_STATE_DISCONNECTED)
    grace_timer_.start(kGraceMs, [this] { fail("disconnected"); });
  feed();
  callbacks_.changed();
}

// --- data channel ---

bool PublisherSession::send(const std::string &text) {
  if (!status_.channel_open)
    return false;
  g_signal_emit_by_name(channel_.get(), "send-string", text.c_str());
  return true;
}

void PublisherSession::ping() {
  if (config_.ping_ms == 0)
    return;
  if (status_.pings > status_.pongs + kMaxLostPings) {
    fail("pings unanswered");
    return;
  }
  status_.pings++;
  send(encode_ping(status_.pings));
  ping_timer_.start(config_.ping_ms, [this] { ping(); });
}

void PublisherSession::pong(std::string_view value) {
  if (value != std::to_string(status_.pings))
    return;
  status_.pongs++;
  callbacks_.changed();
}

PublisherSession::Status PublisherSession::status() const {
  Status result = status_;
  result.keyframe_requests = keyframe_requests_;
  return result;
}

// The owner closes us in this callback: nothing may follow a call to fail().
void PublisherSession::fail(const char *why) {
  callbacks_.failed(why);
}

} // namespace vdn
