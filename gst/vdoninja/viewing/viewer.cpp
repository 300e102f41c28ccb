// SPDX-License-Identifier: LGPL-2.1-or-later
#include "viewer.h"

#include <algorithm>
#include <utility>

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr size_t kMaxEarlyMessages = 100;
constexpr size_t kMaxHeldOffers = 16;

} // namespace

Viewer::Viewer(Loop &loop, GstBin *bin, std::shared_ptr<Disposer> disposer, Secret secret,
               ViewerConfig config, ViewerObserver &observer)
    : loop_(loop), bin_(bin), disposer_(std::move(disposer)), secret_(std::move(secret)),
      config_(std::move(config)), observer_(observer),
      relays_(loop, config_.session.connection.turn_servers,
              config_.presence.signaling.tls_flags,
              config_.presence.signaling.tls_database,
              [this](int code, const std::string &text) { warn(code, text); }),
      presence_(loop, config_.presence, secret_, *this) {
  for (const auto &wanted : config_.streams)
    add(wanted);
}

Viewer::~Viewer() = default;

bool Viewer::leave() {
  playing_ = false;
  presence_.rest();
  bool heard = false;
  for (auto &stream : streams_) {
    heard |= stream->session() && stream->session()->channel_is_open();
    stream->leave();
  }
  return heard;
}

void Viewer::connect() {
  presence_.open();
}

void Viewer::play() {
  if (!std::exchange(playing_, true) && presence_.is_open())
    presence_.enter();
}

void Viewer::set_base_time(GstClockTime time) {
  config_.session.connection.base_time = time;
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

// ---------------------------------------------------------------------------------
// what streams need

bool Viewer::play(Stream &stream) {
  return playing_ && presence_.send(encode_play(presence_.address(), stream.wire_id()));
}

bool Viewer::send_on_socket(const std::string &text) {
  return presence_.send(text);
}

std::shared_ptr<Session> Viewer::make_session(Stream &stream, const Message &offer,
                                              GError **error) {
  SessionConfig config = config_.session;
  config.connection.peer = offer.peer;
  config.connection.id = offer.session;
  config.connection.turn_servers = relays_.uris(config.connection.gather_on_loopback);
  config.stream_id = stream.id();
  Wishes wishes = config_.wishes;
  wishes.screen_video = wishes.video && stream.wanted().screen;
  wishes.screen_audio = wishes.audio && stream.wanted().screen;
  config.init = encode_init(wishes);
  if (config_.total_bitrate)
    config.hints.video_bitrate = bitrate_of_each();
  auto session = Session::create(loop_, bin_, disposer_, presence_.address(), secret_,
                                 std::move(config), stream.observer(), error);
  if (!session)
    return nullptr;
  observer_.session_ready(stream, session->webrtcbin());
  auto from_peer = [&](const Message &message) { return message.peer == offer.peer; };
  for (const auto &message : early_)
    if (from_peer(message))
      session->handle_candidates(message, false);
  early_.erase(std::remove_if(early_.begin(), early_.end(), from_peer), early_.end());
  return session;
}

bool Viewer::check(const Message &offer, GError **error) {
  return Session::read(offer, false, config_.session, secret_, error).has_value();
}

std::vector<const Format *> Viewer::choose(Stream &stream, const Offer &offer) {
  return observer_.choose(stream, offer);
}

void Viewer::media(Stream &stream, IncomingTrack track) {
  observer_.media(stream, std::move(track));
}

void Viewer::detach(Stream &stream, bool lost) {
  observer_.detach(stream, lost);
}

void Viewer::state_changed(Stream &stream, StreamState before) {
  observer_.stream_state_changed(stream, before);
  if (stream.state() == StreamState::kPlaying || before == StreamState::kPlaying)
    share_bitrate();
  // While all streams play nobody misses the server.
  if (stream.state() == StreamState::kLost)
    presence_.hurry();
  update_state();
}

void Viewer::received(Stream &stream, const Message &message, std::string_view text) {
  observer_.received(stream, message, text);
}

void Viewer::warn(int code, const std::string &text) {
  observer_.problem(code, text, false);
}

void Viewer::left(Stream &stream, bool for_good) {
  loop_.post([this, id = stream.id(), for_good] {
    if (config_.remove_on_leave)
      remove(id, for_good);
    admit_refused();
  });
}

// A publisher ignores requests from somebody it believes to be connected with; on a new
// connection we are somebody else.
bool Viewer::renew_identity() {
  // Who is about to connect would be stranded.
  const bool busy = std::any_of(streams_.begin(), streams_.end(), [](const auto &stream) {
    return stream->state() == StreamState::kNegotiating && stream->session();
  });
  return !busy && presence_.renew_identity();
}

// ---------------------------------------------------------------------------------
// what comes on the socket

void Viewer::socket_opened() {
  GST_INFO_OBJECT(bin_, "connected to the server");
  if (playing_)
    presence_.enter();
}

// Sessions live on: they have their own way to the publisher.
void Viewer::socket_failed(const std::string &why) {
  GST_INFO_OBJECT(bin_, "%s", why.c_str());
  warn(GST_RESOURCE_ERROR_OPEN_READ_WRITE, why);
}

void Viewer::message_ignored(const std::string &why) {
  GST_WARNING_OBJECT(bin_, "ignoring a message of the server: %s", why.c_str());
}

void Viewer::undecryptable(const std::string &why) {
  warn(GST_RESOURCE_ERROR_NOT_AUTHORIZED, why);
}

// Those named by the user may arrive later; one early request does no harm.
void Viewer::entered() {
  for (auto &stream : streams_)
    stream->request();
}

void Viewer::received(const Message &message) {
  const std::string &request = message.request;
  if (message.bye) {
    publisher_gone(message);
  } else if (message.has_members) {
    for (const auto &member : message.members)
      if (auto *stream =
              member.stream_id.empty() ? nullptr : wanted(member.stream_id, true))
        stream->publisher_seen(member.peer);
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
    if (stream->is_of_session(message)) {
      stream->handle_candidates(message);
      return;
    }
  if (early_.size() >= kMaxEarlyMessages)
    early_.pop_front();
  early_.push_back(message);
}

void Viewer::alerted(Alert alert, const std::string &text) {
  if (alert == Alert::kBackOff)
    for (auto &stream : streams_)
      stream->back_off(kBackOffMs);
  if (alert == Alert::kTerminal) {
    failed_ = true;
    playing_ = false;
    presence_.rest();
    for (auto &stream : streams_)
      if (!stream->session())
        stream->leave();
    update_state();
  }
  observer_.problem(GST_RESOURCE_ERROR_BUSY, "the server says: " + text,
                    alert == Alert::kTerminal);
}

void Viewer::publisher_gone(const Message &message) {
  for (auto at = streams_.begin(); at != streams_.end(); ++at) {
    if (!(*at)->is_from(message))
      continue;
    (*at)->publisher_gone();
    return;
  }
}

} // namespace vdn
