// SPDX-License-Identifier: LGPL-2.1-or-later
#include "session.h"

#include <algorithm>

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr size_t kMaxQueuedOffers = 8;
// What decoding sound may take of the declared latency.
constexpr unsigned kDecodingMs = 20;

} // namespace

Session::Session(Loop &loop, GstBin *bin, std::shared_ptr<Disposer> disposer,
                 const Address &me, const Secret &secret, SessionConfig config,
                 SessionObserver &observer)
    : Connection(loop, bin, std::move(disposer), me, secret,
                 std::move(config.connection)),
      config_(std::move(config)), observer_(observer) {}

std::shared_ptr<Session> Session::create(Loop &loop, GstBin *bin,
                                         std::shared_ptr<Disposer> disposer,
                                         const Address &me, const Secret &secret,
                                         SessionConfig config, SessionObserver &observer,
                                         GError **error) {
  std::shared_ptr<Session> self(new Session(loop, bin, std::move(disposer), me, secret,
                                            std::move(config), observer));
  if (self->setup(error))
    return self;
  self->close();
  return nullptr;
}

bool Session::setup(GError **error) {
  if (!make_webrtcbin(error))
    return false;
  set_latency(config_.latency);
  set_up_jitterbuffers();
  hook(webrtc_.get(), "on-new-transceiver", G_CALLBACK(on_new_transceiver));
  hook(webrtc_.get(), "pad-added", G_CALLBACK(on_pad_added));
  hook(webrtc_.get(), "on-data-channel",
       G_CALLBACK(+[](GstElement *, GstWebRTCDataChannel *channel, gpointer data) {
         if (auto self = static_cast<Hook *>(data)->lock<Session>())
           self->channel_arrived(ObjPtr<GstWebRTCDataChannel>::ref(channel), true);
       }));
  watch_inside(true);
  // It plays while the element is in PAUSED: connections stay up, and what is said at the
  // end, when states go down by PAUSED, leaves. Then running time goes on, too.
  gst_element_set_locked_state(webrtc_.get(), TRUE);
  gst_bin_add(bin_.get(), webrtc_.get());
  gst_element_set_base_time(webrtc_.get(), config().base_time);
  if (gst_element_set_state(webrtc_.get(), GST_STATE_PLAYING) != GST_STATE_CHANGE_FAILURE)
    return true;
  g_set_error(error, connection_error_quark(), CONNECTION_ERROR_WEBRTC,
              "webrtcbin does not start; GST_DEBUG=webrtcbin:5 says why");
  return false;
}

void Session::stop() {
  announced_.clear();
  Connection::stop();
}

bool Session::send_on_socket(const std::string &text) {
  return observer_.send_on_socket(text);
}

void Session::channel_opened() {
  send(config_.init);
  observer_.channel_opened();
}

void Session::received(const Message &message, std::string_view text) {
  auto alive = shared_from_this();
  if (message.description && message.description->offer)
    handle_offer(message, true);
  if (!closed_ && !message.candidates.empty())
    handle_candidates(message, true);
  if (!closed_)
    observer_.received(message, text);
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
    g_set_error(error, connection_error_quark(),
                problem->code == OFFER_ERROR_SECURITY ? CONNECTION_ERROR_SECURITY
                                                      : CONNECTION_ERROR_DESCRIPTION,
                "the publisher's offer is unusable: %s", problem->message);
  } else if (!message.encrypted && !over_channel &&
             !config.allow_plain.value_or(!secret.custom())) {
    offer.reset();
    g_set_error(
        error, connection_error_quark(), CONNECTION_ERROR_SECURITY,
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
      observer_.offer_refused(error.get());
    else
      fail(static_cast<ConnectionError>(error->code), error->message);
    return;
  }
  std::string why;
  if (offer_ && !continues(*offer_, *offer, &why)) {
    bool same_certificate = offer->fingerprint == offer_->fingerprint;
    observer_.needs_new_session(message, over_channel, same_certificate, why);
    return;
  }
  if (offers_.size() >= kMaxQueuedOffers) {
    const ErrorPtr flood(
        g_error_new_literal(connection_error_quark(), CONNECTION_ERROR_DESCRIPTION,
                            "offers come faster than they can be answered"));
    observer_.offer_refused(flood.get());
    return;
  }
  mark_screens(&*offer, message.screen, offer_ ? &*offer_ : nullptr);
  set_transport(*offer);
  offer_ = offer;
  offers_.push_back({std::move(*offer), over_channel, message.encrypted});
  pump();
}

// Candidates are of the first m-line that the publisher has not removed.
void Session::set_transport(const Offer &offer) {
  unsigned mline = 0;
  while (std::count(offer.removed.begin(), offer.removed.end(), mline))
    mline++;
  transport_ = {offer.fingerprint, offer.mids[mline], mline};
}

// Applies the next offer once the one before is answered: webrtcbin wants to be stable.
void Session::pump() {
  if (negotiating_ || offers_.empty())
    return;
  negotiating_ = true;
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
                        promise(&Session::offer_applied));
  gst_webrtc_session_description_free(description);
}

// Also declines, in `offer`, the lines that are not wanted.
std::shared_ptr<const Session::Plan> Session::make_plan(Offer &offer) {
  auto formats = observer_.choose(offer);
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
  auto self = static_cast<Hook *>(data)->lock<Session>();
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

void Session::offer_applied(const GstStructure *reply) {
  if (reply_failed(reply, "webrtcbin refused the publisher's offer"))
    return;
  remote_description_set();
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
    fail(CONNECTION_ERROR_WEBRTC, "webrtcbin made no answer");
    return;
  }
  answer_ = finish_answer(StrPtr(gst_sdp_message_as_text(answer->sdp)).get(),
                          current_.offer, config_.hints);
  g_signal_emit_by_name(webrtc_.get(), "set-local-description", answer,
                        promise(&Session::answer_applied));
  gst_webrtc_session_description_free(answer);
}

void Session::answer_applied(const GstStructure *reply) {
  if (reply_failed(reply, "webrtcbin refused its own answer"))
    return;
  gate_->answered(current_.offer);
  send_answer();
  negotiating_ = false;
  pump();
}

void Session::send_answer() {
  Envelope to = envelope();
  bool over_channel = current_.over_channel && id() && channel_is_open();
  if (over_channel)
    to.me = nullptr;
  GST_LOG_OBJECT(webrtc_.get(), "answer: %s", answer_.c_str());
  if (!send_signal(encode_description(to, {false, answer_}), over_channel))
    GST_WARNING_OBJECT(webrtc_.get(), "the answer could not be sent");
}

} // namespace vdn
