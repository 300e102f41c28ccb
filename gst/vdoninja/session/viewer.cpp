// SPDX-License-Identifier: LGPL-2.1-or-later
#include "viewer.h"

#include <algorithm>
#include <utility>

#include "random-id.h"
#include "retry.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr unsigned kListingTimeoutMs = 10000;
constexpr unsigned kSpontaneousOffersMs = 1500;
constexpr size_t kMaxEarlyMessages = 100;
constexpr size_t kMaxHeldOffers = 16;
// A socket that lived this long starts again at the shortest back-off.
constexpr gint64 kSettledUs = 60 * G_USEC_PER_SEC;
// A new identity at most this often.
constexpr gint64 kRenewGapUs = 5 * G_USEC_PER_SEC;

} // namespace

Viewer::Viewer(Loop &loop, GstBin *bin, std::shared_ptr<Disposer> disposer, Secret secret,
               ViewerConfig config, ViewerCallbacks callbacks)
    : loop_(loop), bin_(bin), disposer_(std::move(disposer)), secret_(std::move(secret)),
      config_(std::move(config)), callbacks_(std::move(callbacks)), host_(make_host()),
      reopen_(loop), enter_(loop) {
  me_.dialect = config_.dialect;
  if (!config_.room.empty())
    me_.wire_room = secret_.wire_room(config_.room, config_.room_token);
  for (const auto &wanted : config_.streams)
    add(wanted);
  open_tunnels();
}

Viewer::~Viewer() = default;

bool Viewer::leave() {
  playing_ = false;
  reopen_.stop();
  enter_.stop();
  bool heard = false;
  for (auto &stream : streams_) {
    heard |= stream->session() && stream->session()->channel_is_open();
    stream->leave();
  }
  return heard;
}

Stream::Host Viewer::make_host() {
  Stream::Host host;
  host.dialect = config_.dialect;
  host.element = bin_;
  host.play = [this](Stream &stream) {
    return playing_ && signaling_ && signaling_->send(encode_play(me_, stream.wire_id()));
  };
  host.make_session = [this](Stream &stream, const Message &offer,
                             Session::Callbacks callbacks, GError **error) {
    return make_session(stream, offer, std::move(callbacks), error);
  };
  host.check = [this](const Message &offer, GError **error) {
    return Session::read(offer, false, config_.session, secret_, error).has_value();
  };
  host.choose = [this](Stream &stream, const Offer &offer) {
    return callbacks_.choose(stream, offer);
  };
  host.track = [this](Stream &stream, Track track) {
    callbacks_.track(stream, std::move(track));
  };
  host.detach = [this](Stream &stream, bool lost) { callbacks_.detach(stream, lost); };
  host.state_changed = [this](Stream &stream, StreamState before) {
    callbacks_.stream_state(stream, before);
    if (stream.state() == StreamState::kPlaying || before == StreamState::kPlaying)
      share_bitrate();
    if (stream.state() == StreamState::kLost)
      hurry();
    update_state();
  };
  host.message = [this](Stream &stream, const Message &message, std::string_view text) {
    callbacks_.message(stream, message, text);
  };
  host.warn = [this](Stream &, int code, const std::string &text) {
    callbacks_.problem(code, text, false);
  };
  host.left = [this](Stream &stream) {
    if (config_.remove_on_leave)
      loop_.post([this, id = stream.id()] { remove(id); });
  };
  host.renew_identity = [this] { return renew_identity(); };
  return host;
}

std::shared_ptr<Session> Viewer::make_session(Stream &stream, const Message &offer,
                                              Session::Callbacks callbacks,
                                              GError **error) {
  SessionConfig config = config_.session;
  config.peer = offer.peer;
  config.id = offer.session;
  config.stream_id = stream.id();
  Wishes wishes = config_.wishes;
  wishes.screen_video = wishes.video && stream.wanted().screen;
  wishes.screen_audio = wishes.audio && stream.wanted().screen;
  config.init = encode_init(wishes);
  if (!tunnels_.empty()) {
    const bool ipv4 = Session::gathers_ipv4(config);
    for (const auto &tunnel : tunnels_)
      config.turn_servers.push_back(tunnel->uri(ipv4));
  }
  if (config_.total_bitrate)
    config.hints.video_bitrate = bitrate_of_each();
  callbacks.send = [this](const std::string &text) {
    return signaling_ && signaling_->send(text);
  };
  callbacks.gathered = [this](bool relayed) { gathered(relayed); };
  auto session = Session::create(loop_, bin_, disposer_, me_, secret_, std::move(config),
                                 std::move(callbacks), error);
  if (!session)
    return nullptr;
  callbacks_.session_ready(stream, session->webrtcbin());
  auto from_peer = [&](const Message &message) { return message.peer == offer.peer; };
  for (const auto &message : early_)
    if (from_peer(message))
      session->handle_candidates(message, false);
  early_.erase(std::remove_if(early_.begin(), early_.end(), from_peer), early_.end());
  return session;
}

// ---------------------------------------------------------------------------------
// relays

// What webrtcbin cannot do itself; the rest it is given as it is.
void Viewer::open_tunnels() {
  auto &servers = config_.session.turn_servers;
  std::vector<std::string> direct;
  for (const auto &text : servers) {
    auto server = read_turn_server(text, nullptr);
    if (!server || !server->tls) {
      direct.push_back(text);
      continue;
    }
    const std::string name = server->name();
    auto tunnel = std::make_unique<TlsTunnel>(
        loop_,
        TlsTunnel::Config{std::move(*server), config_.signaling.tls_flags,
                          config_.signaling.tls_database},
        [this](const std::string &problem) {
          callbacks_.problem(GST_RESOURCE_ERROR_OPEN_READ_WRITE, problem, false);
        });
    GError *raw = nullptr;
    if (tunnel->listen(&raw)) {
      tunnels_.push_back(std::move(tunnel));
      continue;
    }
    const ErrorPtr error(raw);
    callbacks_.problem(
        GST_RESOURCE_ERROR_OPEN_READ_WRITE,
        "TURN server " + name +
            " cannot be used: nothing can listen on loopback: " + error->message,
        false);
  }
  servers = std::move(direct);
}

// Told once until one gives a relay again; libnice says no more than that. Why a tunnel
// does not work it has told itself.
void Viewer::gathered(bool relayed) {
  std::string names;
  auto add_name = [&names](const std::string &name) {
    names += (names.empty() ? "" : ", ") + name;
  };
  for (const auto &text : config_.session.turn_servers)
    if (auto server = read_turn_server(text, nullptr))
      add_name(server->name());
  for (const auto &tunnel : tunnels_)
    if (!tunnel->has_failed())
      add_name(tunnel->name());
  if (relayed)
    told_unrelayed_ = false;
  else if (!names.empty() && !std::exchange(told_unrelayed_, true))
    callbacks_.problem(GST_RESOURCE_ERROR_NOT_AUTHORIZED,
                       "no relay was given by TURN server " + names +
                           "; check address, user and password",
                       false);
}

// ---------------------------------------------------------------------------------
// socket

void Viewer::connect() {
  open_socket();
}

void Viewer::play() {
  if (!std::exchange(playing_, true) && signaling_ && signaling_->is_open())
    enter();
}

void Viewer::set_base_time(GstClockTime time) {
  config_.session.base_time = time;
  for (auto &stream : streams_)
    if (stream->session())
      stream->session()->set_base_time(time);
}

void Viewer::admit_offers() {
  admits_offers_ = true;
  auto offers = std::move(held_offers_);
  for (const auto &message : offers)
    handle_offer(message);
}

// Each connection is a new client to the server: custom servers take the id from us.
void Viewer::open_socket() {
  reopen_.stop();
  enter_.stop();
  me_.self = me_.dialect == Dialect::kCustom ? random_id(20) : std::string();
  SignalingConfig config = config_.signaling;
  if (!config_.fallback_url.empty() && attempts_ % 2)
    config.url = config_.fallback_url;
  signaling_ = std::make_unique<Signaling>(
      loop_, config,
      Signaling::Callbacks{[this] { opened(); },
                           [this](std::string_view text) { handle(text); },
                           [this](const GError *error) { socket_lost(error); }});
  update_state();
  signaling_->open();
}

void Viewer::opened() {
  GST_INFO_OBJECT(bin_, "connected to %s", config_.signaling.url.c_str());
  opened_at_ = g_get_monotonic_time();
  told_.clear();
  update_state();
  if (playing_)
    enter();
}

// Sessions live on: they have their own way to the publisher.
void Viewer::socket_lost(const GError *error) {
  if (opened_at_ && g_get_monotonic_time() - opened_at_ > kSettledUs)
    attempts_ = 0;
  opened_at_ = 0;
  unsigned delay = reconnect_delay_ms(attempts_++, g_random_double());
  StrPtr text(
      g_strdup_printf("%s (trying again in %.1f s)", error->message, delay / 1000.0));
  GST_INFO_OBJECT(bin_, "%s", text.get());
  reopen_.start(delay, [this] { open_socket(); });
  update_state();
  // Once for as long as it stays the same.
  if (std::exchange(told_, error->message) != error->message)
    callbacks_.problem(GST_RESOURCE_ERROR_OPEN_READ_WRITE, text.get(), false);
}

// While all streams play nobody misses the server, and it is looked for ever more rarely.
// One that is lost needs it now.
void Viewer::hurry() {
  if (!reopen_.active())
    return;
  attempts_ = 0;
  reopen_.start(0, [this] { open_socket(); });
}

// A publisher ignores requests from somebody it believes to be connected with; on a new
// connection we are somebody else.
bool Viewer::renew_identity() {
  gint64 now = g_get_monotonic_time();
  // Who is about to connect would be stranded.
  const bool busy = std::any_of(streams_.begin(), streams_.end(), [](const auto &stream) {
    return stream->state() == StreamState::kNegotiating && stream->session();
  });
  if (busy || !signaling_ || !signaling_->is_open() || now - renewed_at_ < kRenewGapUs)
    return false;
  renewed_at_ = now;
  reopen_.start(0, [this] { open_socket(); });
  return true;
}

void Viewer::enter() {
  if (config_.room.empty()) {
    request_all();
    return;
  }
  signaling_->send(encode_join(me_, me_.wire_room));
  // A hosted server answers with a listing; on a custom one whoever is there offers.
  unsigned wait =
      me_.dialect == Dialect::kHosted ? kListingTimeoutMs : kSpontaneousOffersMs;
  enter_.start(wait, [this] { request_all(); });
}

void Viewer::request_all() {
  for (auto &stream : streams_)
    stream->request();
}

// -------------------------------------------------------------------------------
// messages

void Viewer::handle(std::string_view text) {
  GError *raw = nullptr;
  auto message = parse_message(text, &me_, secret_, &raw);
  ErrorPtr error(raw);
  if (!message) {
    GST_WARNING_OBJECT(bin_, "ignoring a message of the server: %s", error->message);
    if (error->code == MESSAGE_ERROR_PASSWORD && undecryptable_++ == 0)
      callbacks_.problem(GST_RESOURCE_ERROR_NOT_AUTHORIZED,
                         std::string("a message cannot be decrypted: ") + error->message +
                             "; check password and salt",
                         false);
    return;
  }
  if (is_for_us(*message, me_))
    dispatch(*message);
}

void Viewer::dispatch(const Message &message) {
  const std::string &request = message.request;
  if (message.ping && message.peer.empty())
    signaling_->send(encode_pong(*message.ping));
  if (request == "alert" || request == "error" || request == "warn") {
    handle_alert(message);
  } else if (message.bye) {
    peer_gone(message);
  } else if (message.has_members) {
    handle_members(message);
  } else if (request == "someonejoined" || request == "videoaddedtoroom" ||
             request == "seed" || request == "joinroom") {
    auto *stream = message.stream_id.empty() ? nullptr : wanted(message.stream_id, true);
    if (stream && playing_)
      stream->publisher_seen(message.peer);
  } else if (message.description && message.description->offer) {
    handle_offer(message);
  } else if (!message.candidates.empty()) {
    handle_candidates(message);
  }
}

void Viewer::handle_offer(const Message &message) {
  if (message.scene || message.peer.empty() || !playing_)
    return;
  if (!admits_offers_) {
    if (held_offers_.size() < kMaxHeldOffers)
      held_offers_.push_back(message);
    return;
  }
  Stream *stream = nullptr;
  if (!message.stream_id.empty())
    stream = wanted(message.stream_id, true);
  else
    for (auto &known : streams_)
      if (known->is_from(message))
        stream = known.get();
  if (stream)
    stream->handle_offer(message);
  else
    GST_INFO_OBJECT(bin_, "ignoring an offer for a stream that is not wanted");
}

void Viewer::handle_candidates(const Message &message) {
  for (auto &stream : streams_)
    if (stream->is_from(message)) {
      stream->handle_candidates(message);
      return;
    }
  if (early_.size() >= kMaxEarlyMessages)
    early_.pop_front();
  early_.push_back(message);
}

void Viewer::handle_members(const Message &message) {
  enter_.stop();
  for (const auto &member : message.members)
    if (auto *stream =
            member.stream_id.empty() ? nullptr : wanted(member.stream_id, true))
      stream->publisher_seen(member.peer);
  // Those named by the user may arrive later; one early request does no harm.
  request_all();
}

// A server that only relays has nothing to say: whatever comes there is a client's, and
// so is on a hosted server what has a sender.
void Viewer::handle_alert(const Message &message) {
  if (me_.dialect == Dialect::kCustom || !message.peer.empty()) {
    GST_INFO_OBJECT(bin_, "ignoring an alert that is not the server's: %s",
                    message.text.c_str());
    return;
  }
  Alert alert = message.request == "warn" ? Alert::kNote : classify_alert(message.text);
  std::string text = "the server says: " + message.text;
  if (alert == Alert::kBackOff)
    for (auto &stream : streams_)
      stream->back_off(kBackOffMs);
  if (alert == Alert::kTerminal) {
    failed_ = true;
    playing_ = false;
    reopen_.stop();
    enter_.stop();
    for (auto &stream : streams_)
      if (!stream->session())
        stream->leave();
    update_state();
  }
  callbacks_.problem(GST_RESOURCE_ERROR_BUSY, text, alert == Alert::kTerminal);
}

void Viewer::peer_gone(const Message &message) {
  for (auto at = streams_.begin(); at != streams_.end(); ++at) {
    if (!(*at)->is_from(message))
      continue;
    (*at)->publisher_gone();
    return;
  }
}

} // namespace vdn
