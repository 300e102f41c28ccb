// SPDX-License-Identifier: LGPL-2.1-or-later
#include "publisher.h"

#include <algorithm>

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include "json-text.h"
#include "loop-call.h"
#include "random-id.h"

namespace vdn {

using namespace std::chrono_literals;

// A viewer that asks again while connecting is served anew after this time.
constexpr gint64 kConnectingUs = 3 * G_USEC_PER_SEC;
// For the farewell to leave before the connection does.
constexpr unsigned kFarewellMs = 100;

// For a server on this machine: libnice leaves loopback out unless it is told every
// address, and there may be no other.
std::vector<std::string> local_addresses(const std::string &server) {
  std::string host;
  if (!check_server_url(server.c_str(), &host, nullptr) ||
      (host != "localhost" && host.rfind("127.", 0) != 0))
    return {};
  std::vector<std::string> result{"127.0.0.1"};
  ifaddrs *all = nullptr;
  getifaddrs(&all);
  for (const ifaddrs *one = all; one; one = one->ifa_next) {
    if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET ||
        (one->ifa_flags & IFF_LOOPBACK) || !(one->ifa_flags & IFF_UP))
      continue;
    const auto address = ObjPtr<GSocketAddress>::adopt(
        g_socket_address_new_from_native(one->ifa_addr, sizeof(sockaddr_in)));
    GInetAddress *inet =
        g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(address.get()));
    result.emplace_back(StrPtr(g_inet_address_to_string(inet)).get());
  }
  freeifaddrs(all);
  return result;
}

unsigned Publisher::State::connected() const {
  return std::count_if(viewers.begin(), viewers.end(),
                       [](const Viewer &viewer) { return viewer.status.connected; });
}

Publisher::Publisher(PublisherConfig config)
    : config_(std::move(config)), secret_(config_.password.c_str(), config_.salt),
      wire_id_(secret_.wire_stream_id(sanitize_stream_id(config_.stream_id))),
      video_config_(config_.video), loop_("publisher") {
  self_.dialect = config_.dialect;
  if (!config_.room.empty())
    self_.wire_room = secret_.wire_room(sanitize_room(config_.room));
  retry_timer_ = std::make_unique<Timer>(loop_);
  farewell_timer_ = std::make_unique<Timer>(loop_);
}

Publisher::~Publisher() {
  loop_.stop([this] {
    retry_timer_.reset();
    farewell_timer_.reset();
    signaling_.reset();
    end_all(true);
    for (const TrackPtr &track : {video_, audio_, screen_})
      if (track)
        track->stop();
    for (const TrackPtr &track : alternatives_)
      track->stop();
  });
}

// --- controls ---

bool Publisher::start(GError **error) {
  return call(loop_, [this, error] {
    const auto clock = ObjPtr<GstClock>::adopt(gst_system_clock_obtain());
    epoch_ = gst_clock_get_time(clock.get());
    wanted_online_ = true;
    return start_media(error);
  });
}

void Publisher::stop() {
  call(loop_, [this] {
    wanted_online_ = false;
    say_bye();
    farewell_timer_->start(kFarewellMs, [this] {
      signaling_.reset();
      end_all(false);
      state_.update([](State &state) { state.online = false; });
    });
  });
  state_.wait(5s,
              [](const State &state) { return !state.online && state.viewers.empty(); });
}

void Publisher::kill() {
  call(loop_, [this] {
    wanted_online_ = false;
    retry_timer_->stop();
    signaling_.reset();
    end_all(true);
    state_.update([](State &state) { state.online = false; });
  });
}

bool Publisher::restart(bool bye, GError **error) {
  if (bye)
    stop();
  else
    kill();
  return call(loop_, [this, error] {
    wanted_online_ = true;
    return start_media(error);
  });
}

bool Publisher::set_video(const TrackConfig &video, GError **error) {
  return call(loop_, [this, &video, error] {
    video_config_ = video;
    return start_media(error);
  });
}

void Publisher::set_size(int width, int height) {
  call(loop_, [this, width, height] {
    video_config_.width = width;
    video_config_.height = height;
    if (video_)
      video_->set_size(width, height);
    for (const TrackPtr &track : alternatives_)
      track->set_size(width, height);
  });
}

bool Publisher::set_profile(const std::string &profile, GError **error) {
  return call(loop_, [this, &profile, error] {
    video_config_.profile = profile;
    return !video_ || video_->set_profile(profile, error);
  });
}

static std::string flag_text(const char *name, bool value) {
  JsonObjectPtr object(json_object_new());
  json_object_set_boolean_member(object.get(), name, value);
  return to_json(object.get());
}

void Publisher::set_video_muted(bool muted) {
  call(loop_, [this, muted] {
    video_muted_ = muted;
    if (video_)
      video_->set_muted(muted);
  });
  send(flag_text("videoMuted", muted));
}

void Publisher::set_audio_muted(bool muted) {
  call(loop_, [this, muted] {
    audio_muted_ = muted;
    if (audio_)
      audio_->set_muted(muted);
  });
  send(flag_text("muteState", muted));
}

bool Publisher::add_screen(const TrackConfig &video, GError **error) {
  return call(loop_, [this, &video, error] {
    screen_ = std::make_shared<Track>(video, epoch_,
                                      [this] { loop_.post([this] { screen_ready(); }); });
    return screen_->start(error);
  });
}

void Publisher::restart_ice() {
  call(loop_, [this] {
    std::map<std::string, std::optional<std::string>> sessions;
    for (const auto &[peer, entry] : peers_)
      sessions[peer] = entry.session;
    for (const auto &[peer, session] : sessions)
      begin(peer, session);
  });
}

void Publisher::drop_socket() {
  call(loop_, [this] {
    if (signaling_)
      signaling_->close();
    lost();
  });
}

void Publisher::send(const std::string &text) {
  call(loop_, [this, &text] {
    for (auto &item : peers_)
      send_channel(item.second, text);
  });
}

void Publisher::close_channels() {
  call(loop_, [this] {
    for (auto &item : peers_)
      item.second.connection->close_channel();
  });
}

void Publisher::set_hooks(PublisherHooks hooks) {
  call(loop_, [this, &hooks] {
    media_hooks_->update(
        [&](MediaHooks &media) { media = std::exchange(hooks.media, {}); });
    hooks_ = std::move(hooks);
  });
}

unsigned Publisher::frames() const {
  return call(loop_, [this] { return video_ ? video_->frames() : 0; });
}

// --- media ---

bool Publisher::start_media(GError **error) {
  const auto on_caps = [this] { loop_.post([this] { media_ready(); }); };
  if (config_.with_video) {
    video_ = std::make_shared<Track>(video_config_, epoch_, on_caps);
    if (!video_->start(error))
      return false;
    video_->set_muted(video_muted_);
  }
  while (alternatives_.size() < config_.alternatives.size()) {
    TrackConfig other = video_config_;
    other.codec = config_.alternatives[alternatives_.size()];
    alternatives_.push_back(std::make_shared<Track>(other, epoch_, on_caps));
    if (!alternatives_.back()->start(error))
      return false;
  }
  if (config_.with_audio && !audio_) {
    TrackConfig tone;
    tone.codec = Codec::kOpus;
    tone.ticks = config_.ticks;
    audio_ = std::make_shared<Track>(tone, epoch_, on_caps);
    if (!audio_->start(error))
      return false;
  }
  media_pending_ = true;
  loop_.post([this] { media_ready(); });
  return true;
}

// Once every track can say what it sends: whoever asked before that waits no longer.
void Publisher::media_ready() {
  std::vector<TrackPtr> all = alternatives_;
  all.insert(all.end(), {video_, audio_});
  if (!media_pending_ || std::any_of(all.begin(), all.end(), [](const TrackPtr &track) {
        return track && !track->caps();
      }))
    return;
  media_pending_ = false;
  std::vector<std::string> viewers;
  for (const auto &item : peers_)
    viewers.push_back(item.first);
  for (const std::string &peer : viewers)
    begin(peer, new_session());
  if (wanted_online_ && !signaling_)
    go_online();
}

void Publisher::screen_ready() {
  if (!screen_ || !screen_->caps())
    return;
  for (auto &[peer, entry] : peers_)
    if (entry.has_media && entry.wants_screen && !entry.has_screen)
      entry.has_screen = entry.connection->add_tracks({screen_}, nullptr);
  publish_state();
}

std::vector<Publisher::TrackPtr> Publisher::tracks(bool video, bool audio) const {
  std::vector<TrackPtr> result;
  if (video && video_)
    result.push_back(video_);
  if (audio && audio_)
    result.push_back(audio_);
  return result;
}

// --- sessions ---

std::optional<std::string> Publisher::new_session() const {
  return config_.null_session ? std::nullopt : std::make_optional(random_id(10));
}

void Publisher::request(const std::string &peer) {
  if (const Peer *known = find(peer)) {
    const bool connecting = g_get_monotonic_time() - known->since_us < kConnectingUs;
    if (known->connection->status().connected || connecting)
      return;
  }
  begin(peer, new_session());
}

void Publisher::begin(const std::string &peer, std::optional<std::string> session) {
  if (peers_.count(peer))
    end(peer, "replaced");
  SessionConfig config{epoch_,          config_.stun_server, config_.local_addresses,
                       config_.ping_ms, alternatives_,       media_hooks_};
  if (config.local_addresses.empty())
    config.local_addresses = local_addresses(config_.server);
  PublisherSession::Callbacks callbacks;
  callbacks.offer = [this, peer](const std::string &sdp) { send_offer(peer, sdp); };
  callbacks.candidates = [this, peer](const std::vector<Candidate> &candidates) {
    send_candidates(peer, candidates);
  };
  callbacks.channel_open = [this, peer] { send_info(peer); };
  callbacks.message = [this, peer](std::string_view text) { handle_channel(peer, text); };
  callbacks.changed = [this] { publish_state(); };
  callbacks.failed = [this, peer](const char *why) { end(peer, why); };

  Peer entry;
  entry.session = std::move(session);
  entry.connection =
      std::make_shared<PublisherSession>(loop_, config, std::move(callbacks));
  entry.since_us = g_get_monotonic_time();
  entry.has_media = !config_.channel_first;
  const auto connection = entry.connection;
  peers_[peer] = std::move(entry);
  state_.update([](State &state) { state.sessions++; });
  GError *raw = nullptr;
  const bool media = !config_.channel_first;
  if (!connection->start(tracks(media, media), &raw))
    end(peer, raw->message);
  const ErrorPtr error(raw);
  publish_state();
}

Publisher::Peer *Publisher::find(const std::string &peer) {
  const auto found = peers_.find(peer);
  return found == peers_.end() ? nullptr : &found->second;
}

void Publisher::end(const std::string &peer, const char *why, bool abruptly) {
  const auto found = peers_.find(peer);
  if (found == peers_.end())
    return;
  const auto connection = found->second.connection;
  state_.update([&](State &state) { state.endings.push_back(peer + ": " + why); });
  peers_.erase(found);
  connection->close(abruptly);
  publish_state();
}

void Publisher::end_all(bool abruptly) {
  while (!peers_.empty())
    end(peers_.begin()->first, abruptly ? "killed" : "stopped", abruptly);
}

void Publisher::say_bye() {
  for (auto &item : peers_)
    send_channel(item.second, encode_bye());
}

// --- from viewers ---

void Publisher::handle_channel(const std::string &peer, std::string_view text) {
  state_.update([text](State &state) {
    if (state.received.size() == kMaxReceived)
      state.received.erase(state.received.begin());
    state.received.emplace_back(text);
  });
  GError *raw = nullptr;
  const auto message = parse_message(text, nullptr, secret_, &raw);
  const ErrorPtr error(raw);
  Peer *const found = find(peer);
  if (!message || !found)
    return;
  Peer &viewer = *found;
  if (message->ping)
    send_channel(viewer, encode_pong(*message->ping));
  if (message->pong)
    viewer.connection->pong(*message->pong);
  viewer.wants_screen |= message->wants_screen.value_or(false);
  if (message->wants_audio || message->wants_video) {
    if (!viewer.has_media)
      viewer.has_media =
          viewer.connection->add_tracks(tracks(message->wants_video.value_or(false),
                                               message->wants_audio.value_or(false)),
                                        nullptr);
    screen_ready();
  }
  if (message->bitrate && *message->bitrate > 0 && video_)
    video_->set_bitrate(*message->bitrate);
  if (message->keyframe && video_)
    video_->request_keyframe();
  handle_peer(peer, *message, true);
}

// What may come by socket or channel.
void Publisher::handle_peer(const std::string &peer, const Message &message,
                            bool channel) {
  Peer *const found = find(peer);
  if (!found)
    return;
  Peer &viewer = *found;
  const bool current = !message.session || message.session == viewer.session;
  const bool deaf = config_.null_session && channel;
  if (message.description && !message.description->offer && current && !deaf) {
    if (hooks_.answer)
      hooks_.answer(message.description->sdp);
    viewer.connection->answer(message.description->sdp);
  }
  if (!message.from_publisher && current)
    viewer.connection->add_candidates(message.candidates);
  if (message.ice_restart)
    begin(peer, std::optional<std::string>(viewer.session));
  if (message.bye)
    end(peer, "bye");
}

} // namespace vdn
