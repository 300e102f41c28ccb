// SPDX-License-Identifier: LGPL-2.1-or-later
#include "publisher.h"

#include <algorithm>
#include <utility>

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr unsigned kTickMs = 1000;
// The server still has our old socket under this id, or somebody else has the id.
constexpr unsigned kConflictMs[] = {5000, 10000, 20000, 30000};
constexpr unsigned kConflictsAtFirst = 2;
constexpr unsigned kUnopposedMs = 30000;
constexpr double kBeyondPassing = 1.3;

} // namespace

Publisher::Publisher(Loop &loop, GstBin *home, std::shared_ptr<Disposer> disposer,
                     Secret secret, PublisherConfig config, PublisherObserver &observer)
    : loop_(loop), home_(home), disposer_(std::move(disposer)),
      secret_(std::move(secret)), config_(std::move(config)), observer_(observer),
      relays_(loop, config_.connection.turn_servers, config_.presence.signaling.tls_flags,
              config_.presence.signaling.tls_database,
              [this](int code, const std::string &text) {
                observer_.problem(code, text, false);
              }),
      presence_(loop, config_.presence, secret_, *this),
      rate_({config_.limits.min_kbit_s, config_.limits.max_kbit_s}), tick_(loop),
      keyframe_(loop), linger_(loop), conflict_(loop), unopposed_(loop) {}

Publisher::~Publisher() {
  for (auto &[peer, viewer] : viewers_)
    viewer.watcher->close();
  for (auto &[since, watcher] : leaving_)
    watcher->close();
}

void Publisher::connect() {
  presence_.open();
  tick();
}

// Who watches what is not made any more gets a fresh offer; once there is something else:
// until then it waits, and so does who asks.
void Publisher::set_media(std::vector<Medium> media, const Served &served) {
  const bool same =
      std::equal(media.begin(), media.end(), media_.begin(), media_.end(),
                 [](const Medium &one, const Medium &other) {
                   return one.kind == other.kind && one.tracks == other.tracks;
                 });
  if (media_.empty())
    for (Request &request : waiting_)
      request.since_us = g_get_monotonic_time(); // it waited for this
  media_ = std::move(media);
  served_ = served;
  if (!same && media_.empty()) {
    send({}, encode_video_muted(true));
    send({}, encode_audio_muted(true));
  } else if (!same) {
    std::vector<std::string> peers;
    for (const auto &[peer, viewer] : viewers_)
      peers.push_back(peer);
    for (const auto &peer : peers) {
      end(peer, false, "the media changed");
      remember(peer);
    }
  }
  told_kbit_s_ = told_sound_kbit_s_ = 0; // what encodes may be new
  if (!same)
    passing_.clear();
  apply_limits();
  announce();
}

void Publisher::set_time(ObjPtr<GstClock> clock, GstClockTime base_time) {
  if (clock_ && clock_.get() != clock.get())
    for (auto &[peer, viewer] : viewers_)
      viewer.watcher->set_time(clock.get(), base_time);
  clock_ = std::move(clock);
  config_.connection.base_time = base_time;
  announce();
}

void Publisher::admit() {
  admitted_ = true;
  announce();
}

void Publisher::set_limits(const BandwidthLimits &video, unsigned sound_kbit_s) {
  config_.limits = video;
  config_.sound_kbit_s = sound_kbit_s;
  apply_limits();
}

void Publisher::apply_limits() {
  const BandwidthLimits bounds = limits();
  if (const unsigned passing = passing_.kbit_s())
    rate_.set_limits({passing + sound_kbit_s(), passing + sound_kbit_s()});
  else
    rate_.set_limits({bounds.min_kbit_s, bounds.max_kbit_s});
  for (auto &[peer, viewer] : viewers_)
    viewer.watcher->set_limits(bounds);
  update_rate();
  update_sound();
}

unsigned Publisher::kbit_s() const {
  return config_.paced ? rate_.kbit_s() - std::min(rate_.kbit_s(), sound_kbit_s())
                       : config_.limits.max_kbit_s;
}

unsigned Publisher::sound_kbit_s() const {
  const bool sound = std::any_of(media_.begin(), media_.end(), [](const Medium &medium) {
    return medium.kind == MediaKind::kAudio;
  });
  return sound ? config_.sound_kbit_s : 0;
}

// Of all that a network carries, sound included. What passes leaves at twice the estimate
// at most: that is never what holds it up.
BandwidthLimits Publisher::limits() const {
  const auto passing = static_cast<unsigned>(kBeyondPassing * passing_.kbit_s());
  return {config_.limits.min_kbit_s + sound_kbit_s(),
          std::max(config_.limits.max_kbit_s, passing) + sound_kbit_s()};
}

const MediaTrack *Publisher::passing_video() const {
  for (const Medium &medium : media_)
    if (medium.kind == MediaKind::kVideo && medium.passes)
      return medium.tracks.front().get();
  return nullptr;
}

// Nobody can make less of what passes: who carries less than it takes is slow.
void Publisher::measure() {
  const MediaTrack *video = passing_video();
  if (!video)
    return;
  const unsigned before = passing_.kbit_s();
  passing_.set(video->bytes(), g_get_monotonic_time());
  if (passing_.kbit_s() != before)
    apply_limits();
}

void Publisher::set_muted(std::optional<bool> video, std::optional<bool> audio) {
  if (video) {
    config_.info.video_muted = *video;
    send({}, encode_video_muted(*video));
  }
  if (audio) {
    config_.info.audio_muted = *audio;
    send({}, encode_audio_muted(*audio));
  }
}

bool Publisher::send(const std::string &viewer, const std::string &json) {
  bool sent = false;
  for (auto &[peer, one] : viewers_)
    if (viewer.empty() || viewer == peer)
      sent |= one.watcher->send(json);
  return sent;
}

bool Publisher::kick(const std::string &viewer) {
  const bool known = viewers_.count(viewer) > 0;
  if (known)
    end(viewer, true, "it was sent away");
  return known;
}

bool Publisher::leave() {
  left_ = true;
  presence_.rest();
  conflict_.stop();
  unopposed_.stop();
  bool heard = false;
  for (auto &[peer, viewer] : viewers_)
    heard |= viewer.watcher->send(encode_bye());
  return heard;
}

void Publisher::come_back() {
  if (!std::exchange(left_, false))
    return;
  end_all();
  seeded_ = false;
  if (presence_.is_open())
    announce();
  else
    presence_.open();
}

void Publisher::end_all() {
  while (!viewers_.empty())
    end(std::string(viewers_.begin()->first), false, "the stream ended");
}

size_t Publisher::viewers() const {
  return std::count_if(viewers_.begin(), viewers_.end(), [](const auto &entry) {
    return entry.second.watcher->is_connected();
  });
}

// ---------------------------------------------------------------------------------
// socket

void Publisher::socket_opened() {
  GST_INFO_OBJECT(home_, "connected to the server");
  seeded_ = false;
  presence_.enter();
}

void Publisher::entered() {
  announce();
}

// Once there is something to watch. Who came before is served now.
void Publisher::announce() {
  if (!is_ready() || !presence_.is_open() || conflict_.active())
    return;
  if (!std::exchange(seeded_, true)) {
    presence_.send(encode_seed(presence_.address(), config_.presence.wire_id));
    unopposed_.start(kUnopposedMs, [this] { id_is_ours(); });
    if (!std::exchange(was_seeded_, true))
      observer_.published();
  }
  update_state();
  serve_waiting();
}

void Publisher::socket_failed(const std::string &why) {
  seeded_ = false;
  unopposed_.stop();
  GST_INFO_OBJECT(home_, "%s", why.c_str());
  observer_.problem(GST_RESOURCE_ERROR_OPEN_READ_WRITE, why, false);
}

void Publisher::message_ignored(const std::string &why) {
  GST_WARNING_OBJECT(home_, "ignoring a message of the server: %s", why.c_str());
}

void Publisher::undecryptable(const std::string &why) {
  observer_.problem(GST_RESOURCE_ERROR_NOT_AUTHORIZED, why, false);
}

// Before we ever had the id, a run of ours may have it that has just ended, and later our
// own dead socket.
void Publisher::alerted(Alert alert, const std::string &text) {
  if (alert != Alert::kTerminal) {
    observer_.problem(GST_RESOURCE_ERROR_BUSY, "the server says: " + text, false);
    return;
  }
  const bool gives_up =
      !config_.retries_conflict || (!was_ours_ && conflicts_ >= kConflictsAtFirst);
  if (!gives_up) {
    retry_later(text);
    return;
  }
  failed_ = true;
  presence_.rest();
  update_state();
  observer_.problem(GST_RESOURCE_ERROR_BUSY,
                    "the server says: " + text +
                        "; another publisher has this stream-id, choose another one",
                    true);
}

void Publisher::retry_later(const std::string &text) {
  if (conflict_.active())
    return;
  if (conflicts_ == 0)
    observer_.problem(GST_RESOURCE_ERROR_BUSY,
                      "the server says: " + text + " (trying again)", false);
  unopposed_.stop();
  const unsigned step = std::min<unsigned>(conflicts_++, G_N_ELEMENTS(kConflictMs) - 1);
  seeded_ = false;
  update_state();
  conflict_.start(kConflictMs[step], [this] { announce(); });
}

void Publisher::id_is_ours() {
  was_ours_ = true;
  conflicts_ = 0;
  unopposed_.stop();
}

bool Publisher::is_for_our_stream(const Message &message) const {
  return !message.stream_id.empty() && message.stream_id == config_.presence.wire_id;
}

void Publisher::received(const Message &message) {
  const std::string &request = message.request;
  const bool custom = presence_.address().dialect == Dialect::kCustom;
  if (message.peer.empty()) {
    // It may be anybody who says so: no reason to give up.
    if (custom && request == "error" && classify_alert(message.text) == Alert::kTerminal)
      retry_later(message.text);
    return;
  }
  if (message.bye) {
    if (!custom || !is_served(message.peer))
      end(message.peer, false, "it left");
  } else if (message.description) {
    if (!message.description->offer)
      handle_answer(message);
  } else if (!message.candidates.empty()) {
    handle_candidates(message);
  } else if (message.ice_restart) {
    // Where anybody can say to be anybody, whoever lives is left alone.
    if (!custom || !is_served(message.peer))
      end(message.peer, false, "it asked for a fresh connection");
    asked(message.peer);
  } else if (request == "offersdp" || request == "sendoffer") {
    asked(message.peer);
  } else if (request == "play" && is_for_our_stream(message)) {
    asked(message.peer);
  } else if (custom && request == "joinroom") {
    asked(message.peer);
  }
}

// ---------------------------------------------------------------------------------

void Publisher::update_state() {
  if (left_)
    return; // it stays as it was
  PublisherState state = PublisherState::kConnecting;
  if (failed_)
    state = PublisherState::kFailed;
  else if (viewers() > 0)
    state =
        presence_.is_open() ? PublisherState::kStreaming : PublisherState::kReconnecting;
  else if (seeded_ && presence_.is_open())
    state = PublisherState::kPublished;
  else if (was_seeded_)
    state = PublisherState::kReconnecting;
  if (std::exchange(state_, state) != state)
    observer_.state_changed(state);
}

void Publisher::tick() {
  tick_.start(kTickMs, [this] { tick(); });
  // Each may end, and with it its entry.
  std::vector<std::shared_ptr<Watcher>> all;
  for (const auto &[peer, viewer] : viewers_)
    all.push_back(viewer.watcher);
  for (const auto &watcher : all)
    watcher->tick();
  offer_what_woke();
  serve_waiting();
  measure();
  update_rate();
  update_size();
  for (const auto &[peer, viewer] : viewers_)
    if (viewer.watcher->waits_for_keyframe())
      keyframe_wanted(*viewer.watcher,
                      rate_.is_slow(peer) ? KeyframeCause::kSlow : KeyframeCause::kAsked);
  tell_viewers();
}

// ---------------------------------------------------------------------------------
// rate and keyframes

void Publisher::estimate_changed(Watcher &watcher) {
  rate_.set(watcher.peer(), watcher.rate());
  update_rate();
}

void Publisher::wishes_changed(Watcher &watcher) {
  if (watcher.rate().video)
    size_.set(watcher.peer(), watcher.box());
  else
    size_.remove(watcher.peer());
  update_size();
  update_sound();
  estimate_changed(watcher);
}

void Publisher::update_rate() {
  if (config_.paced) {
    rate_.update(g_get_monotonic_time());
    for (auto &[peer, viewer] : viewers_)
      viewer.watcher->set_slow(rate_.is_slow(peer));
  }
  if (!passing_video() && std::exchange(told_kbit_s_, kbit_s()) != kbit_s())
    observer_.bitrate_wanted(MediaKind::kVideo, kbit_s());
}

// As much as the viewer who wants most of it.
void Publisher::update_sound() {
  unsigned wanted = 0;
  for (const auto &[peer, viewer] : viewers_) {
    const unsigned wish = viewer.watcher->sound_wish();
    if (viewer.watcher->is_connected() && viewer.watcher->hears())
      wanted = std::max(wanted, wish ? wish : config_.sound_kbit_s);
  }
  if (!wanted || wanted > config_.sound_kbit_s)
    wanted = config_.sound_kbit_s;
  if (std::exchange(told_sound_kbit_s_, wanted) != wanted)
    observer_.bitrate_wanted(MediaKind::kAudio, wanted);
}

void Publisher::update_size() {
  if (!size_.update(g_get_monotonic_time()))
    return;
  GST_INFO_OBJECT(home_, "pictures of up to %u x %u are enough", size_.box().width,
                  size_.box().height);
  observer_.size_wanted(size_.box());
}

void Publisher::keyframe_wanted(Watcher &watcher, KeyframeCause cause) {
  keyframes_.request(watcher.peer(), cause, g_get_monotonic_time());
  ask_encoders();
}

void Publisher::request_keyframe() {
  keyframes_.request({}, KeyframeCause::kJoined, g_get_monotonic_time());
  ask_encoders();
}

// Each viewer tells of it.
void Publisher::keyframe_came(GstClockTime time) {
  if (std::exchange(keyframe_time_, time) != time)
    keyframes_.came(g_get_monotonic_time());
}

void Publisher::ask_encoders() {
  const gint64 now = g_get_monotonic_time();
  if (keyframes_.take(now))
    observer_.keyframe_wanted();
  if (const auto due = keyframes_.due_us())
    keyframe_.start(static_cast<unsigned>(std::max<gint64>(*due - now, 0) / 1000 + 1),
                    [this] { ask_encoders(); });
}

} // namespace vdn
