// SPDX-License-Identifier: LGPL-2.1-or-later
#include "stream.h"

#include <algorithm>
#include <charconv>

#include "retry.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

// Between two requests: at our own pace, and when a publisher announced itself.
constexpr unsigned kShortestGapMs = 1500;
constexpr unsigned kAnnouncedGapMs = 250;
// For a goodbye to arrive, and for the server to notice that a publisher went.
constexpr unsigned kPartingMs = 250;
constexpr unsigned kUnansweredMs = 15000;
constexpr unsigned kConnectTimeoutMs = 20000;
// Connecting anew after a loss: libnice soon stops trying, and takes long to say so; a
// fresh session tries at once. Not sooner than this: publishers ignore for 3 s whoever
// asks while connecting. And not for ever.
constexpr unsigned kReconnectTimeoutMs = 3500;
constexpr gint64 kEagerUs = 120 * G_USEC_PER_SEC;
constexpr unsigned kGraceMs = 5000;
constexpr unsigned kLingerMs = 200;
constexpr unsigned kWatchMs = 250;
// Milliseconds without a packet: ping, give up on one who used to answer, or on one who
// never did.
constexpr unsigned kPingAfter = 500;
constexpr unsigned kDeadAfter = 6000;
constexpr unsigned kMuteDeadAfter = 20000;
// And on one who was seen elsewhere meanwhile.
constexpr unsigned kReplacedAfter = 2000;
// Without a packet, or without a connection, for so long: ask beside the session. A
// publisher that lives ignores it (a connecting one for 3 s), one that has come back as
// somebody else offers anew, and a hosted server keeps it for one that is yet to come.
constexpr unsigned kSilentMs = 1000;
constexpr unsigned kSupersededMs = 750; // seen elsewhere, and a ping had time
constexpr unsigned kUnconnectedMs = 2000;
// Who has not come back after so long has left without a word.
constexpr unsigned kGoneMs = 60000;
// A pong that took longer is of a clock that was set.
constexpr gint64 kLongestRoundTripMs = 10000;
// The offer of somebody else is kept for so long while the session delivers.
constexpr gint64 kRivalUs = 5 * G_USEC_PER_SEC;

std::string ping_now() {
  return encode_ping(g_get_real_time() / 1000);
}

// The round trip of a ping that came back, us; 0 when that cannot be one.
gint64 round_trip_of(const std::string &pong) {
  gint64 sent = 0;
  const char *end = pong.data() + pong.size();
  if (std::from_chars(pong.data(), end, sent).ptr != end)
    return 0;
  const gint64 now = g_get_real_time() / 1000;
  return sent > now || sent < now - kLongestRoundTripMs
             ? 0
             : std::max<gint64>((now - sent) * 1000, 1);
}

} // namespace

Stream::Stream(Loop &loop, StreamHost &host, GstBin *element, Dialect dialect,
               WantedStream wanted, std::string wire_id)
    : host_(host), element_(element), dialect_(dialect), wanted_(std::move(wanted)),
      wire_id_(std::move(wire_id)), retry_(loop), unanswered_(loop),
      connect_timeout_(loop), grace_(loop), watch_(loop), linger_(loop), gone_(loop) {}

Stream::~Stream() {
  if (session_)
    session_->close();
  if (leaving_)
    leaving_->close();
}

void Stream::set_state(StreamState state) {
  if (state == state_)
    return;
  StreamState before = std::exchange(state_, state);
  host_.state_changed(*this, before);
}

unsigned Stream::idle_ms() const {
  return static_cast<unsigned>((g_get_monotonic_time() - active_at_) / 1000);
}

bool Stream::is_served() const {
  unsigned limit = seen_elsewhere_ ? kSupersededMs : kSilentMs;
  return session_ && state_ == StreamState::kPlaying && idle_ms() < limit;
}

bool Stream::is_away() const {
  const gint64 absent_us = g_get_monotonic_time() - absent_since_;
  return !session_ && (was_playing_ || absent_us > kUnansweredMs * 1000);
}

void Stream::request() {
  ask(kShortestGapMs);
}

void Stream::ask(unsigned shortest_gap) {
  if (is_served())
    return;
  gint64 now = g_get_monotonic_time();
  gint64 since = (now - asked_at_) / 1000;
  if (asked_at_ && since < shortest_gap) {
    retry_.start(shortest_gap - since, [this] { request(); });
    return;
  }
  unsigned delay = play_delay_ms(dialect_, was_playing_, attempts_, g_random_double());
  if (host_.play(*this)) {
    asked_at_ = now;
    attempts_++;
    if (state_ == StreamState::kIdle) {
      set_state(StreamState::kRequested);
      unanswered_.start(kUnansweredMs, [this] {
        host_.warn(GST_RESOURCE_ERROR_NOT_FOUND,
                   "no publisher of stream id \"" + id() + "\" has answered for " +
                       std::to_string(kUnansweredMs / 1000) +
                       " s: it is not live, or its id, password or salt differ from ours "
                       "(waiting on)");
      });
    }
  }
  if (!session_)
    retry_.start(delay, [this] { request(); });
}

// Anybody can announce a stream, so a session that still delivers stays.
void Stream::publisher_seen(const std::string &peer) {
  attempts_ = 0;
  if (session_)
    seen_elsewhere_ = !peer.empty() && peer != session_->peer();
  if (!session_ || seen_elsewhere_)
    ask(kAnnouncedGapMs);
}

void Stream::back_off(unsigned ms) {
  if (!session_)
    retry_.start(ms, [this] { request(); });
}

void Stream::handle_offer(const Message &message) {
  if (!session_) {
    start_session(message);
    return;
  }
  if (is_of_session(message)) {
    auto session = session_; // an offer may end it
    session->handle_offer(message, false);
    return;
  }
  GError *raw = nullptr;
  const bool usable = host_.check(message, &raw);
  const ErrorPtr error(raw);
  if (!usable)
    offer_refused(error.get());
  else if (is_from(message) && dialect_ == Dialect::kHosted)
    replace_session(message); // the server says who sent it
  else
    compete(message);
}

void Stream::offer_refused(const GError *error) {
  GST_INFO_OBJECT(element_, "stream %s: an offer is ignored: %s", id().c_str(),
                  error->message);
  if (!std::exchange(told_refused_, true))
    host_.warn(GST_RESOURCE_ERROR_NOT_AUTHORIZED,
               "stream \"" + id() + "\" goes on, but " + error->message);
}

void Stream::replace_session(const Message &offer) {
  GST_INFO_OBJECT(element_, "stream %s: a new publisher session replaces the old one",
                  id().c_str());
  const bool early = state_ != StreamState::kPlaying;
  end_session(false, false);
  replaced_ = early;
  start_session(offer);
}

// Somebody says that it is over: whoever lives answers a ping, and silence counts sooner.
void Stream::doubt_session() {
  seen_elsewhere_ = true;
  session_->send(ping_now());
}

// Anybody can make an offer, so a session that delivers stays; who came back as somebody
// else is served as soon as the old one has gone silent.
void Stream::compete(const Message &offer) {
  if (!is_served()) {
    replace_session(offer);
    return;
  }
  rival_ = offer;
  rival_since_ = g_get_monotonic_time();
  doubt_session();
}

// True when a rival has taken over.
bool Stream::give_way_to_rival() {
  if (rival_ && !is_served()) {
    const Message offer = *std::exchange(rival_, std::nullopt);
    replace_session(offer);
    return true;
  }
  if (rival_ && g_get_monotonic_time() - rival_since_ > kRivalUs) {
    GST_INFO_OBJECT(element_,
                    "stream %s: it plays on, the offer of another publisher is ignored",
                    id().c_str());
    rival_.reset();
    seen_elsewhere_ = false;
  }
  return false;
}

bool Stream::send_on_socket(const std::string &text) {
  return host_.send_on_socket(text);
}

std::vector<const Format *> Stream::choose(const Offer &offer) {
  return host_.choose(*this, offer);
}

void Stream::media(IncomingTrack track) {
  host_.media(*this, std::move(track));
}

void Stream::gathered(bool relayed) {
  host_.gathered(relayed);
}

// One who answers pings is missed sooner.
void Stream::channel_opened() {
  session_->send(ping_now());
}

void Stream::needs_new_session(const Message &offer, bool over_channel,
                               bool same_certificate, const std::string &why) {
  // On a server that only relays anybody can say to be anybody.
  if (!over_channel && dialect_ == Dialect::kCustom && is_served()) {
    compete(offer);
    return;
  }
  GST_INFO_OBJECT(element_, "stream %s: fresh session needed: %s", id().c_str(),
                  why.c_str());
  // Another certificate is another peer connection, and waits for an answer to this
  // offer. The same one cannot take a second answerer: it has to let go of us first.
  end_session(same_certificate, false);
  if (!same_certificate)
    start_session(offer);
  else
    restart(why, false);
}

void Stream::start_session(const Message &offer) {
  GError *raw = nullptr;
  session_ = host_.make_session(*this, offer, &raw);
  ErrorPtr error(raw);
  if (!session_) {
    session_failed(error.get());
    return;
  }
  sessions_++;
  unanswered_.stop();
  gone_.stop();
  last_activity_ = 0;
  muted_ = false;
  answers_pings_ = false;
  seen_elsewhere_ = false;
  asked_beside_ = false;
  told_refused_ = false;
  rival_.reset();
  started_at_ = g_get_monotonic_time();
  expect_connection(connect_limit_ms());
  // Its publisher may have died. One who lives may answer with a new session, which then
  // has its time.
  if (!replaced_)
    retry_.start(kUnconnectedMs, [this] { request(); });
  set_state(StreamState::kNegotiating);
  auto session = session_; // an offer that is refused ends it
  session->handle_offer(offer, false);
}

// Slow networks get the time that they have needed before.
unsigned Stream::connect_limit_ms() const {
  if (!was_playing_ || !lost_at_ || started_at_ - lost_at_ > kEagerUs)
    return kConnectTimeoutMs;
  return std::clamp(2 * connected_after_ms_, kReconnectTimeoutMs, kConnectTimeoutMs);
}

void Stream::expect_connection(unsigned limit_ms) {
  connect_timeout_.start(limit_ms, [this, limit_ms] {
    if (limit_ms < kConnectTimeoutMs && session_->reached()) {
      expect_connection(kConnectTimeoutMs);
      return;
    }
    const bool relayed = !session_->config().turn_servers.empty();
    lost("no connection with the publisher within " + std::to_string(limit_ms / 1000) +
             " s; a firewall may be in the way, " +
             (relayed ? "and turn-servers did not help: check address, user and password"
                      : "a TURN server would help: "
                        "turn-servers='<\"turn://user:password@host:3478\">'"),
         true);
  });
}

void Stream::handle_candidates(const Message &message) {
  if (session_)
    session_->handle_candidates(message, false);
}

void Stream::link_changed(LinkState state) {
  GST_INFO_OBJECT(element_, "stream %s: link state %d", id().c_str(),
                  static_cast<int>(state));
  switch (state) {
  case LinkState::kConnected:
    connect_timeout_.stop();
    grace_.stop();
    was_playing_ = true;
    connected_after_ms_ = (g_get_monotonic_time() - started_at_) / 1000;
    lost_at_ = 0;
    attempts_ = failures_ = 0;
    retry_.stop();
    active_at_ = g_get_monotonic_time();
    if (!watch_.active())
      watch_.start(kWatchMs, [this] { watch(); });
    set_state(StreamState::kPlaying);
    break;
  case LinkState::kDisconnected:
    grace_.start(kGraceMs, [this] { lost("the connection was interrupted", true); });
    break;
  case LinkState::kFailed:
    lost("the connection failed", true);
    break;
  default:
    break;
  }
}

// Has anything come? A mute publisher still answers pings.
void Stream::watch() {
  guint64 activity = session_->activity();
  if (activity != last_activity_) {
    last_activity_ = activity;
    active_at_ = g_get_monotonic_time();
    asked_beside_ = false;
  }
  if (give_way_to_rival())
    return;
  unsigned idle = idle_ms();
  if (idle >= kPingAfter)
    session_->send(ping_now());
  if (!asked_beside_ && !is_served()) {
    asked_beside_ = true;
    request();
  }
  unsigned limit = seen_elsewhere_  ? kReplacedAfter
                   : answers_pings_ ? kDeadAfter
                                    : kMuteDeadAfter;
  if (idle >= limit && (answers_pings_ || seen_elsewhere_ || !muted_)) {
    lost("nothing was heard of the publisher for " + std::to_string(idle / 1000) + " s",
         true);
    return;
  }
  watch_.start(kWatchMs, [this] { watch(); });
}

void Stream::received(const Message &message, std::string_view text) {
  if (message.pong) {
    answers_pings_ = true;
    session_->set_round_trip(round_trip_of(*message.pong));
  }
  if (message.news.label)
    label_ = *message.news.label;
  if (message.news.video_muted)
    muted_ = *message.news.video_muted;
  host_.received(*this, message, text);
  if (message.bye)
    handle_bye();
}

void Stream::handle_bye() {
  if (!session_)
    return;
  GST_INFO_OBJECT(element_, "stream %s: the publisher said goodbye", id().c_str());
  lost("the publisher left", false);
  host_.left(*this, true);
}

void Stream::session_failed(const GError *error) {
  int code = g_error_matches(error, connection_error_quark(), CONNECTION_ERROR_SECURITY)
                 ? GST_RESOURCE_ERROR_NOT_AUTHORIZED
                 : GST_RESOURCE_ERROR_FAILED;
  std::string text = error->message;
  end_session(true, true);
  host_.warn(code, text);
  set_state(was_playing_ ? StreamState::kLost : StreamState::kRequested);
  retry_.start(play_delay_ms(dialect_, true, std::max(attempts_, 1u), g_random_double()),
               [this] { request(); });
}

// On a server that only relays it may be anybody who says so: one who has gone is silent
// soon.
void Stream::publisher_gone() {
  if (dialect_ == Dialect::kHosted || !is_served()) {
    handle_bye();
    return;
  }
  doubt_session();
}

// Attempts to reconnect may fail, too: it is still the same loss. Whom we never reach, or
// not for long, is tried ever more rarely: each attempt costs a socket, a request and a
// webrtcbin.
void Stream::lost(const std::string &why, bool silent_peer) {
  if (rival_) {
    replace_session(*std::exchange(rival_, std::nullopt));
    return;
  }
  const bool again = lost_at_ != 0;
  if (state_ != StreamState::kPlaying)
    failures_++;
  end_session(silent_peer, true);
  if (!again) {
    lost_at_ = g_get_monotonic_time();
    host_.warn(GST_RESOURCE_ERROR_READ,
               "stream \"" + id() + "\" is interrupted: " + why + " (reconnecting)");
  }
  restart(why);
  const bool eager = was_playing_ && g_get_monotonic_time() - lost_at_ < kEagerUs;
  if (!eager && failures_ > 1) {
    retry_.start(play_delay_ms(dialect_, true, failures_ - 1, g_random_double()),
                 [this, silent_peer] {
                   if (!silent_peer || !host_.renew_identity())
                     request();
                 });
    return;
  }
  const bool renews = silent_peer && host_.renew_identity();
  if (again && !renews)
    request();
}

void Stream::restart(const std::string &why, bool lost) {
  GST_INFO_OBJECT(element_, "stream %s: asking anew: %s", id().c_str(), why.c_str());
  if (session_)
    end_session(true, lost);
  set_state(was_playing_ ? StreamState::kLost : StreamState::kRequested);
  retry_.start(kPartingMs, [this] { request(); });
}

void Stream::end_session(bool say_bye, bool lost) {
  replaced_ = false;
  connect_timeout_.stop();
  grace_.stop();
  watch_.stop();
  if (!session_)
    return;
  host_.detach(*this, lost);
  absent_since_ = g_get_monotonic_time();
  gone_.start(kGoneMs, [this] { host_.left(*this, false); });
  auto session = std::move(session_);
  session_ = nullptr;
  bool bye_sent = say_bye && session->send(encode_bye());
  session->stop();
  if (!bye_sent) {
    session->close();
    return;
  }
  if (leaving_)
    leaving_->close();
  leaving_ = std::move(session);
  linger_.start(kLingerMs, [this] {
    leaving_->close();
    leaving_ = nullptr;
  });
}

void Stream::leave() {
  retry_.stop();
  unanswered_.stop();
  end_session(true, false);
  gone_.stop();
  set_state(StreamState::kIdle);
}

} // namespace vdn
