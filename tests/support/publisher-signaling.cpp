// SPDX-License-Identifier: LGPL-2.1-or-later
// The half of Publisher that talks: to the handshake server, and to viewers.
#include "publisher.h"

#include <algorithm>

#include <sys/random.h>

#include "json-text.h"
#include "random-id.h"

namespace vdn {

constexpr unsigned kFirstRetryMs = 250;
constexpr unsigned kMaxRetryMs = 5000;
// As the web client does when the id is taken.
constexpr unsigned kSeedRetryMs = 5000;
constexpr unsigned kSeedAttempts = 3;

// --- socket ---

void Publisher::go_online() {
  if (config_.dialect == Dialect::kCustom)
    self_.self = random_id(20);
  SignalingConfig config;
  config.url = config_.server;
  config.tls_flags = config_.tls_flags;
  config.user_agent = "gst-vdoninja test publisher";
  Signaling::Callbacks callbacks;
  callbacks.opened = [this] { opened(); };
  callbacks.message = [this](std::string_view text) { received(text); };
  callbacks.lost = [this](const GError *) { lost(); };
  signaling_ =
      std::make_unique<Signaling>(loop_, std::move(config), std::move(callbacks));
  signaling_->open();
}

void Publisher::opened() {
  backoff_ms_ = 0;
  seed_attempts_ = 0;
  state_.update([this](State &state) {
    state.connects++;
    state.self = self_.self;
  });
  const bool custom = config_.dialect == Dialect::kCustom;
  if (self_.wire_room.empty())
    announce();
  else
    // A hosted server wants the stream only after its listing.
    send_socket(encode_join(self_, self_.wire_room, custom ? wire_id_ : ""));
  if (custom)
    state_.update([](State &state) { state.online = true; });
}

void Publisher::announce() {
  seed_attempts_++;
  send_socket(encode_seed(self_, wire_id_));
  state_.update([](State &state) { state.online = true; });
}

void Publisher::lost() {
  state_.update([](State &state) { state.online = false; });
  if (!wanted_online_)
    return;
  backoff_ms_ = backoff_ms_ == 0 ? kFirstRetryMs : std::min(2 * backoff_ms_, kMaxRetryMs);
  retry_timer_->start(backoff_ms_, [this] {
    if (signaling_)
      signaling_->open();
  });
}

void Publisher::received(std::string_view text) {
  GError *raw = nullptr;
  const auto message = parse_message(text, &self_, secret_, &raw);
  const ErrorPtr error(raw);
  if (!message || !is_for_us(*message, self_))
    return;
  if (!message->text.empty())
    handle_alert(message->text);
  else if (message->request == "offersdp")
    request(message->peer);
  else if (message->request == "play" && message->stream_id == wire_id_)
    request(message->peer);
  else if (message->request == "joinroom" && config_.dialect == Dialect::kCustom)
    handle_join(message->peer);
  else if (message->request == "listing")
    announce();
  else
    handle_peer(message->peer, *message, false);
}

// Web clients offer to whoever enters the room, Raspberry.Ninja tells it what there is.
void Publisher::handle_join(const std::string &peer) {
  if (self_.wire_room.empty())
    return;
  if (!config_.null_session) {
    request(peer);
    return;
  }
  const JsonObjectPtr seed = parse_object(encode_seed(self_, wire_id_));
  json_object_set_string_member(seed.get(), "UUID", peer.c_str());
  send_socket(to_json(seed.get()));
}

void Publisher::handle_alert(const std::string &text) {
  state_.update([&text](State &state) { state.alert = text; });
  if (text.find("already in use") == std::string::npos)
    return;
  if (seed_attempts_ < kSeedAttempts) {
    retry_timer_->start(kSeedRetryMs, [this] { announce(); });
    return;
  }
  wanted_online_ = false;
  signaling_.reset();
  state_.update([&text](State &state) {
    state.online = false;
    state.error = text;
  });
}

void Publisher::send_socket(std::string text) {
  if (signaling_ && !text.empty() && (!hooks_.message || hooks_.message(text)))
    signaling_->send(text);
}

// --- to one viewer ---

void Publisher::send_channel(Peer &viewer, std::string text) {
  if (!text.empty() && (!hooks_.message || hooks_.message(text)))
    viewer.connection->send(text);
}

// True when the data channel is the way to `viewer`.
bool Publisher::prefers_channel(const Peer &viewer) const {
  return config_.channel_signaling && viewer.connection->status().channel_open;
}

Envelope Publisher::envelope(const std::string &peer, const Peer &viewer) const {
  Envelope result;
  result.me = prefers_channel(viewer) ? nullptr : &self_;
  result.peer = peer;
  result.session = viewer.session;
  if (config_.encrypt && secret_.enabled()) {
    result.secret = &secret_;
    if (getrandom(result.iv.data(), result.iv.size(), 0) !=
        static_cast<ssize_t>(result.iv.size()))
      g_error("no random numbers");
  }
  return result;
}

void Publisher::send_offer(const std::string &peer, std::string sdp) {
  Peer *const viewer = find(peer);
  if (!viewer)
    return;
  if (hooks_.offer)
    hooks_.offer(sdp);
  Envelope to = envelope(peer, *viewer);
  to.stream_id = wire_id_;
  std::string text = encode_description(to, {true, sdp});
  if (viewer->has_screen) {
    const JsonObjectPtr offer = parse_object(text);
    JsonArray *indexes = json_array_new();
    json_array_add_int_element(indexes, viewer->connection->status().tracks - 1);
    json_object_set_array_member(offer.get(), "screen", indexes);
    text = to_json(offer.get());
  }
  send_to(*viewer, text);
}

void Publisher::send_candidates(const std::string &peer,
                                const std::vector<Candidate> &found) {
  std::vector<Candidate> candidates;
  for (Candidate candidate : found)
    if (!hooks_.candidate || hooks_.candidate(candidate))
      candidates.push_back(std::move(candidate));
  Peer *const viewer = find(peer);
  if (viewer && !candidates.empty())
    send_to(*viewer, encode_candidates(envelope(peer, *viewer), candidates, true));
}

void Publisher::send_to(Peer &viewer, const std::string &text) {
  if (prefers_channel(viewer))
    send_channel(viewer, text);
  else
    send_socket(text);
}

void Publisher::send_info(const std::string &peer) {
  JsonObject *info = json_object_new();
  json_object_set_string_member(info, "label", config_.label.c_str());
  json_object_set_boolean_member(info, "muted", audio_muted_);
  json_object_set_boolean_member(info, "video_muted_init", video_muted_);
  json_object_set_boolean_member(info, "room_init", !config_.room.empty());
  json_object_set_boolean_member(info, "rotate_video", FALSE);
  json_object_set_string_member(info, "version", "gst-vdoninja test publisher");
  const JsonObjectPtr message(json_object_new());
  json_object_set_object_member(message.get(), "info", info);
  if (Peer *viewer = find(peer))
    send_channel(*viewer, to_json(message.get()));
}

void Publisher::publish_state() {
  std::vector<Viewer> viewers;
  for (const auto &[peer, entry] : peers_)
    viewers.push_back({peer, entry.session.value_or(""), entry.connection->status()});
  state_.update([&viewers](State &state) { state.viewers = std::move(viewers); });
}

} // namespace vdn
