// SPDX-License-Identifier: LGPL-2.1-or-later
#include "session.h"

#include <algorithm>

#include <sys/random.h>

GST_DEBUG_CATEGORY(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr size_t kMaxQueuedOffers = 8;
// What decoding sound may take of the declared latency.
constexpr unsigned kDecodingMs = 20;

Iv fresh_iv() {
  Iv iv{};
  if (getrandom(iv.data(), iv.size(), 0) != static_cast<ssize_t>(iv.size()))
    g_error("the system has no random numbers");
  return iv;
}

StrPtr error_text(const GstStructure *reply) {
  GError *error = nullptr;
  gst_structure_get(reply, "error", G_TYPE_ERROR, &error, nullptr);
  ErrorPtr owner(error);
  return StrPtr(g_strdup(error ? error->message : "no reason given"));
}

} // namespace

GQuark session_error_quark() {
  return g_quark_from_static_string("vdoninja-session-error");
}

void session_debug_init() {
  GST_DEBUG_CATEGORY_INIT(vdoninja_session_debug, "vdoninja-session", 0,
                          "VDO.Ninja sessions");
}

void Session::run_later(const std::weak_ptr<Session> &weak,
                        const std::shared_ptr<Loop> &loop,
                        std::function<void(Session &)> job) {
  loop->post([weak, job = std::move(job)] {
    auto self = weak.lock();
    if (self && !self->closed_)
      job(*self);
  });
}

Session::Session(Loop &loop, GstBin *bin, std::shared_ptr<Disposer> disposer,
                 const Address &me, const Secret &secret, SessionConfig config,
                 Callbacks callbacks)
    : loop_(loop), bin_(ObjPtr<GstBin>::ref(bin)), disposer_(std::move(disposer)),
      me_(me), secret_(secret), config_(std::move(config)),
      callbacks_(std::move(callbacks)), bundle_timer_(loop) {}

Session::~Session() {
  g_warn_if_fail(closed_);
}

std::shared_ptr<Session> Session::create(Loop &loop, GstBin *bin,
                                         std::shared_ptr<Disposer> disposer,
                                         const Address &me, const Secret &secret,
                                         SessionConfig config, Callbacks callbacks,
                                         GError **error) {
  std::shared_ptr<Session> self(new Session(loop, bin, std::move(disposer), me, secret,
                                            std::move(config), std::move(callbacks)));
  if (self->setup(error))
    return self;
  self->close();
  return nullptr;
}

bool Session::setup(GError **error) {
  webrtc_ = ObjPtr<GstElement>::adopt(gst_element_factory_make("webrtcbin", nullptr));
  if (!webrtc_) {
    g_set_error(error, session_error_quark(), SESSION_ERROR_WEBRTC,
                "element webrtcbin is missing; install gstreamer1.0-plugins-bad");
    return false;
  }
  gst_util_set_object_arg(G_OBJECT(webrtc_.get()), "bundle-policy", "max-bundle");
  set_latency(config_.latency);
  setup_ice();
  set_up_jitterbuffers();

  hook(webrtc_.get(), "on-new-transceiver", G_CALLBACK(on_new_transceiver));
  hook(webrtc_.get(), "pad-added", G_CALLBACK(on_pad_added));
  hook(webrtc_.get(), "element-added", G_CALLBACK(on_element_added));
  hook(webrtc_.get(), "on-ice-candidate",
       G_CALLBACK(+[](GstElement *, guint, gchar *text, gpointer data) {
         auto *at = static_cast<Hook *>(data);
         run_later(at->session, at->loop, [text = std::string(text)](Session &self) {
           self.local_candidate(text);
         });
       }));
  hook(webrtc_.get(), "on-data-channel",
       G_CALLBACK(+[](GstElement *webrtc, GstWebRTCDataChannel *channel, gpointer data) {
         keep_channel(webrtc, channel);
         auto *at = static_cast<Hook *>(data);
         if (auto self = at->session.lock())
           self->channel_arrived(ObjPtr<GstWebRTCDataChannel>::ref(channel));
       }));
  auto changed = +[](GObject *, GParamSpec *, gpointer data) {
    auto *at = static_cast<Hook *>(data);
    run_later(at->session, at->loop, [](Session &self) { self.update_link_state(); });
  };
  hook(webrtc_.get(), "notify::connection-state", G_CALLBACK(changed));
  hook(webrtc_.get(), "notify::ice-connection-state", G_CALLBACK(changed));
  hook(webrtc_.get(), "notify::ice-gathering-state",
       G_CALLBACK(+[](GObject *, GParamSpec *, gpointer data) {
         auto *at = static_cast<Hook *>(data);
         run_later(at->session, at->loop,
                   [](Session &self) { self.gathering_changed(); });
       }));

  // It plays while the element is in PAUSED: connections stay up, and what is said at the
  // end, when states go down by PAUSED, leaves. Then running time goes on, too.
  gst_element_set_locked_state(webrtc_.get(), TRUE);
  gst_bin_add(bin_.get(), webrtc_.get());
  gst_element_set_base_time(webrtc_.get(), config_.base_time);
  if (gst_element_set_state(webrtc_.get(), GST_STATE_PLAYING) != GST_STATE_CHANGE_FAILURE)
    return true;
  g_set_error(error, session_error_quark(), SESSION_ERROR_WEBRTC,
              "webrtcbin does not start; GST_DEBUG=webrtcbin:5 says why");
  return false;
}

void Session::hook(gpointer object, const char *signal, GCallback handler) {
  auto *at = new Hook{weak_from_this(), loop_.shared_from_this()};
  gulong id = g_signal_connect_data(object, signal, handler, at, Hook::free,
                                    static_cast<GConnectFlags>(0));
  handlers_.emplace_back(ObjPtr<GObject>::ref(G_OBJECT(object)), id);
}

void Session::fail(SessionError code, const std::string &text) {
  ErrorPtr error(g_error_new_literal(session_error_quark(), code, text.c_str()));
  GST_WARNING_OBJECT(webrtc_.get(), "%s", text.c_str());
  auto failed = callbacks_.failed; // closing may free this session
  failed(error.get());
}

void Session::stop() {
  if (closed_)
    return;
  closed_ = true;
  bundle_timer_.stop();
  g_cancellable_cancel(lookups_.get());
  for (auto &[object, id] : handlers_)
    g_signal_handler_disconnect(object.get(), id);
  handlers_.clear();
  announced_.clear();
  // webrtcbin drops unanswered promises when it stops, and GLib then warns.
  for (GstPromise **promise : {&pending_, &path_promise_})
    if (*promise) {
      gst_promise_interrupt(*promise);
      g_clear_pointer(promise, gst_promise_unref);
    }
}

void Session::close() {
  stop();
  channel_.reset();
  channel_ready_ = false;
  if (webrtc_)
    disposer_->dispose(bin_.get(), std::move(webrtc_), stop_webrtcbin);
}

// How long a packet is waited for is another matter (repair.h).
void Session::set_latency(unsigned ms) {
  config_.latency = ms;
  repair_hints_->sound_wait_ms = ms - std::min(ms, kDecodingMs);
}

// ----------------------------------------------------------------------------
// negotiation

std::optional<Offer> Session::read(const Message &message, bool over_channel,
                                   const SessionConfig &config, const Secret &secret,
                                   GError **error) {
  GError *raw = nullptr;
  auto offer = read_offer(message.description->sdp, &raw);
  const ErrorPtr problem(raw);
  if (!offer) {
    g_set_error(error, session_error_quark(),
                problem->code == OFFER_ERROR_SECURITY ? SESSION_ERROR_SECURITY
                                                      : SESSION_ERROR_OFFER,
                "the publisher's offer is unusable: %s", problem->message);
  } else if (!message.encrypted && !over_channel &&
             !config.allow_plain.value_or(!secret.custom())) {
    offer.reset();
    g_set_error(
        error, session_error_quark(), SESSION_ERROR_SECURITY,
        "the publisher's offer is not encrypted although %s is set; it was refused",
        secret.custom() ? "a password" : "requireencryption");
  }
  return offer;
}

void Session::handle_offer(const Message &message, bool over_channel) {
  GError *raw = nullptr;
  auto offer = read(message, over_channel, config_, secret_, &raw);
  const ErrorPtr error(raw);
  if (!offer) {
    if (offer_)
      callbacks_.refused(error.get());
    else
      fail(static_cast<SessionError>(error->code), error->message);
    return;
  }
  std::string why;
  if (offer_ && !continues(*offer_, *offer, &why)) {
    bool same_certificate = offer->fingerprint == offer_->fingerprint;
    auto needs_new_session = callbacks_.needs_new_session;
    needs_new_session(message, over_channel, same_certificate, why);
    return;
  }
  if (offers_.size() >= kMaxQueuedOffers) {
    const ErrorPtr flood(
        g_error_new_literal(session_error_quark(), SESSION_ERROR_OFFER,
                            "offers come faster than they can be answered"));
    callbacks_.refused(flood.get());
    return;
  }
  mark_screens(&*offer, message.screen, offer_ ? &*offer_ : nullptr);
  offer_ = offer;
  offers_.push_back({std::move(*offer), over_channel, message.encrypted});
  pump();
}

// Applies the next offer once the one before is answered: webrtcbin wants to be stable.
void Session::pump() {
  if (busy_ || offers_.empty())
    return;
  busy_ = true;
  current_ = std::move(offers_.front());
  offers_.pop_front();
  encrypt_ = current_.encrypted;
  auto plan = make_plan(current_.offer);
  {
    Lock lock(plan_mutex_);
    plan_ = plan;
  }
  GstSDPMessage *sdp = nullptr;
  gst_sdp_message_new_from_text(current_.offer.sdp.c_str(), &sdp);
  auto *description = gst_webrtc_session_description_new(GST_WEBRTC_SDP_TYPE_OFFER, sdp);
  gate_->offered(current_.offer);
  GST_DEBUG_OBJECT(webrtc_.get(), "applying an offer with %zu media lines",
                   current_.offer.media.size());
  g_signal_emit_by_name(webrtc_.get(), "set-remote-description", description,
                        promise(&Session::remote_description_set));
  gst_webrtc_session_description_free(description);
}

// Also declines, in `offer`, the lines that are not wanted.
std::shared_ptr<const Session::Plan> Session::make_plan(Offer &offer) {
  auto formats = callbacks_.choose(offer);
  auto plan = std::make_shared<Plan>();
  std::vector<unsigned> declined;
  for (size_t i = 0; i < offer.media.size(); i++) {
    const auto &line = offer.media[i];
    if (formats[i])
      (*plan)[line.index] = {codec_preferences(line, *formats[i]),
                             line.kind == MediaKind::kVideo};
    else
      declined.push_back(line.index);
  }
  for (unsigned index : declined)
    decline(&offer, index);
  return plan;
}

// Thread: webrtcbin's, with its lock held on 1.22. Properties of the transceiver only.
void Session::on_new_transceiver(GstElement *, GstWebRTCRTPTransceiver *transceiver,
                                 gpointer data) {
  auto self = static_cast<Hook *>(data)->session.lock();
  if (!self)
    return;
  std::shared_ptr<const Plan> plan;
  {
    Lock lock(self->plan_mutex_);
    plan = self->plan_;
  }
  guint mline = 0;
  g_object_get(transceiver, "mlineindex", &mline, nullptr);
  auto wanted = plan ? plan->find(mline) : Plan::const_iterator();
  if (!plan || wanted == plan->end())
    return;
  // Without do-nack the answer loses NACK and RTX (webrtcbin 1.22 to 1.28).
  g_object_set(transceiver, "codec-preferences", wanted->second.caps.get(), "do-nack",
               static_cast<gboolean>(wanted->second.video), nullptr);
  // From 1.26 on it is recvonly already, and setting it would have webrtcbin compare all
  // transceivers with descriptions that do not have the new m-lines yet: it aborts
  // (gstwebrtcbin.c: on_transceiver_notify_direction, _check_if_negotiation_is_needed).
  GstWebRTCRTPTransceiverDirection direction;
  g_object_get(transceiver, "direction", &direction, nullptr);
  if (direction != GST_WEBRTC_RTP_TRANSCEIVER_DIRECTION_RECVONLY)
    g_object_set(transceiver, "direction", GST_WEBRTC_RTP_TRANSCEIVER_DIRECTION_RECVONLY,
                 nullptr);
}

GstPromise *Session::promise(void (Session::*step)(const GstStructure *reply)) {
  struct Waiting {
    Hook hook;
    void (Session::*step)(const GstStructure *);
  };
  auto answered = [](GstPromise *promise, gpointer data) {
    auto *waiting = static_cast<Waiting *>(data);
    if (gst_promise_wait(promise) != GST_PROMISE_RESULT_REPLIED)
      return;
    const GstStructure *reply = gst_promise_get_reply(promise);
    std::shared_ptr<GstStructure> copy(reply ? gst_structure_copy(reply)
                                             : gst_structure_new_empty("reply"),
                                       gst_structure_free);
    auto job = [copy, step = waiting->step](Session &self) {
      g_clear_pointer(&self.pending_, gst_promise_unref);
      (self.*step)(copy.get());
    };
    run_later(waiting->hook.session, waiting->hook.loop, job);
  };
  pending_ = gst_promise_new_with_change_func(
      answered, new Waiting{{weak_from_this(), loop_.shared_from_this()}, step},
      [](gpointer data) { delete static_cast<Waiting *>(data); });
  return pending_;
}

bool Session::reply_failed(const GstStructure *reply, const char *what) {
  if (!gst_structure_has_field(reply, "error"))
    return false;
  fail(SESSION_ERROR_WEBRTC, std::string(what) + ": " + error_text(reply).get());
  return true;
}

void Session::remote_description_set(const GstStructure *reply) {
  if (reply_failed(reply, "webrtcbin refused the publisher's offer"))
    return;
  remote_set_ = true;
  while (!remote_candidates_.empty()) {
    add_candidate(remote_candidates_.front());
    remote_candidates_.pop_front();
  }
  g_signal_emit_by_name(webrtc_.get(), "create-answer", nullptr,
                        promise(&Session::answer_created));
}

void Session::answer_created(const GstStructure *reply) {
  if (reply_failed(reply, "webrtcbin made no answer"))
    return;
  GstWebRTCSessionDescription *answer = nullptr;
  gst_structure_get(reply, "answer", GST_TYPE_WEBRTC_SESSION_DESCRIPTION, &answer,
                    nullptr);
  if (!answer) {
    fail(SESSION_ERROR_WEBRTC, "webrtcbin made no answer");
    return;
  }
  answer_ = finish_answer(StrPtr(gst_sdp_message_as_text(answer->sdp)).get(),
                          current_.offer, config_.hints);
  g_signal_emit_by_name(webrtc_.get(), "set-local-description", answer,
                        promise(&Session::local_description_set));
  gst_webrtc_session_description_free(answer);
}

void Session::local_description_set(const GstStructure *reply) {
  if (reply_failed(reply, "webrtcbin refused its own answer"))
    return;
  gate_->answered(current_.offer);
  send_answer();
  busy_ = false;
  pump();
}

Envelope Session::envelope() const {
  Envelope to;
  to.me = &me_;
  to.peer = config_.peer;
  to.session = config_.id;
  if (encrypt_) {
    to.secret = &secret_;
    to.iv = fresh_iv();
  }
  return to;
}

// Raspberry.Ninja, known by its null session, reads answers and candidates on the socket
// only.
bool Session::send_signal(const std::string &text, bool over_channel) {
  if (text.empty())
    return false;
  return over_channel ? send(text) : callbacks_.send(text);
}

void Session::send_answer() {
  Envelope to = envelope();
  bool over_channel = current_.over_channel && config_.id && channel_ready_;
  if (over_channel)
    to.me = nullptr;
  GST_LOG_OBJECT(webrtc_.get(), "answer: %s", answer_.c_str());
  if (!send_signal(encode_description(to, {false, answer_}), over_channel))
    GST_WARNING_OBJECT(webrtc_.get(), "the answer could not be sent");
}

void Session::update_link_state() {
  GstWebRTCPeerConnectionState connection;
  GstWebRTCICEConnectionState ice;
  g_object_get(webrtc_.get(), "connection-state", &connection, "ice-connection-state",
               &ice, nullptr);
  LinkState state = LinkState::kConnecting;
  if (connection == GST_WEBRTC_PEER_CONNECTION_STATE_FAILED ||
      ice == GST_WEBRTC_ICE_CONNECTION_STATE_FAILED)
    state = LinkState::kFailed;
  else if (connection == GST_WEBRTC_PEER_CONNECTION_STATE_DISCONNECTED ||
           connection == GST_WEBRTC_PEER_CONNECTION_STATE_CLOSED ||
           ice == GST_WEBRTC_ICE_CONNECTION_STATE_DISCONNECTED)
    state = LinkState::kDisconnected;
  else if (connection == GST_WEBRTC_PEER_CONNECTION_STATE_CONNECTED)
    state = LinkState::kConnected;
  else if (connection == GST_WEBRTC_PEER_CONNECTION_STATE_NEW)
    state = LinkState::kNew;
  if (state == link_state_)
    return;
  link_state_ = state;
  if (state == LinkState::kConnected)
    look_for_path();
  callbacks_.link_state(state);
}

} // namespace vdn
