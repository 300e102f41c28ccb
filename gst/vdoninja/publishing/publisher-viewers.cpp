// SPDX-License-Identifier: LGPL-2.1-or-later
// The half of publisher.h that has to do with its viewers: who asks, who is served, and
// what they say.
#include <algorithm>
#include <utility>

#include "publisher.h"
#include "random-id.h"
#include "structure-list.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr size_t kMaxHandshakes = 8;
// While others wait for one, nobody is given longer to answer, or to connect.
constexpr gint64 kAnswerSoonUs = 3 * G_USEC_PER_SEC;
constexpr gint64 kConnectSoonUs = 10 * G_USEC_PER_SEC;
constexpr size_t kMaxWaiting = 100;
// Each costs a webrtcbin, whatever becomes of it, and there is no end to asking.
constexpr double kMostConnections = 32, kConnectionsPerSecond = 4;
constexpr gint64 kWaitingUs = 15 * G_USEC_PER_SEC;
constexpr unsigned kStatsEachTicks = 3, kQualityEachTicks = 5; // seconds
constexpr gint64 kTellEachUs = 60 * G_USEC_PER_SEC;
// Who asks again: heard from within so long, it is served; one that shakes hands for not
// longer than this is, too; else it is pinged, and has so long to answer.
constexpr gint64 kHeardUs = 2 * G_USEC_PER_SEC;
constexpr gint64 kHandshakeUs = 3 * G_USEC_PER_SEC;
constexpr unsigned kDoubtMs = 1500;
constexpr unsigned kLingerMs = 200;
constexpr unsigned kAwakeTicks = 4; // seconds
constexpr size_t kOffersAtOnce = 4;
constexpr gint64 kRejectEachUs = G_USEC_PER_SEC;
constexpr size_t kSessionLetters = 6;

// Anybody can make us say it.
bool is_time_to_tell(gint64 *told_us) {
  const gint64 now = g_get_monotonic_time();
  if (*told_us && now - *told_us < kTellEachUs)
    return false;
  *told_us = now;
  return true;
}

} // namespace

void Publisher::asked(const std::string &peer) {
  if (is_over() || is_served(peer))
    return;
  id_is_ours();
  if (viewers_.count(peer))
    end(peer, false, "it asked anew");
  if (is_full())
    return;
  remember(peer);
  serve_waiting();
}

bool Publisher::is_full() {
  if (!config_.max_viewers || viewers_.size() < config_.max_viewers)
    return false;
  if (!is_time_to_tell(&told_full_us_))
    return true;
  observer_.problem(GST_RESOURCE_ERROR_NO_SPACE_LEFT,
                    "more than max-viewers=" + std::to_string(config_.max_viewers) +
                        " want to watch; the others are not answered",
                    false);
  return true;
}

void Publisher::remember(const std::string &peer) {
  const bool waits = std::any_of(waiting_.begin(), waiting_.end(),
                                 [&](const auto &one) { return one.peer == peer; });
  if (!waits && waiting_.size() < kMaxWaiting)
    waiting_.push_back({peer, g_get_monotonic_time()});
}

// Whether it is to be left alone. A silent one is asked whether it lives, and replaced
// when it does not say so.
bool Publisher::is_served(const std::string &peer) {
  const auto at = viewers_.find(peer);
  if (at == viewers_.end())
    return false;
  Viewer &viewer = at->second;
  const gint64 now = g_get_monotonic_time();
  if (!viewer.watcher->is_connected())
    return !viewer.watcher->is_offered() ||
           now - viewer.watcher->begun_us() < kHandshakeUs;
  if (viewer.watcher->is_alive(kHeardUs))
    return true;
  if (!viewer.doubted_us) {
    viewer.doubted_us = now;
    viewer.watcher->send(encode_ping(g_get_real_time() / 1000));
  }
  if (now - viewer.doubted_us < kDoubtMs * 1000) {
    remember(peer); // it asks once only
    return true;
  }
  return false;
}

void Publisher::serve_waiting() {
  const gint64 now = g_get_monotonic_time();
  if (!is_ready())
    return;
  std::deque<Request> again;
  while (!waiting_.empty()) {
    const Request request = waiting_.front();
    waiting_.pop_front();
    const auto known = viewers_.find(request.peer);
    if (known != viewers_.end()) {
      if (known->second.watcher->is_alive(kHeardUs)) {
        known->second.doubted_us = 0; // it lives after all
        continue;
      }
      if (now - known->second.doubted_us < kDoubtMs * 1000) {
        again.push_back(request);
        continue;
      }
      end(request.peer, false, "it asked anew and does not answer");
    }
    if (now - request.since_us > kWaitingUs || is_full())
      continue;
    if (!has_free_hand()) {
      again.push_back(request);
      continue;
    }
    connections_left_ -= 1;
    serve(request.peer, {});
  }
  waiting_ = std::move(again);
}

// Whether one more handshake may begin. One that does not get on makes way.
bool Publisher::has_free_hand() {
  const gint64 now = g_get_monotonic_time();
  const double passed = static_cast<double>(now - connections_us_) / G_USEC_PER_SEC;
  connections_left_ =
      std::min(kMostConnections, connections_left_ + passed * kConnectionsPerSecond);
  connections_us_ = now;
  if (connections_left_ < 1)
    return false;
  size_t shaking = 0;
  std::string slowest;
  gint64 overdue_us = 0;
  for (const auto &[peer, viewer] : viewers_) {
    const Watcher &watcher = *viewer.watcher;
    if (watcher.is_connected())
      continue;
    shaking++;
    const gint64 overdue = now - watcher.begun_us() -
                           (watcher.is_answered() ? kConnectSoonUs : kAnswerSoonUs);
    if (overdue > overdue_us) {
      overdue_us = overdue;
      slowest = peer;
    }
  }
  if (shaking < kMaxHandshakes)
    return true;
  if (overdue_us == 0)
    return false;
  end(slowest, false, "it makes way for others");
  return true;
}

void Publisher::serve(const std::string &peer, std::vector<bool> left_over, bool misses) {
  Viewer viewer;
  viewer.left_over = std::move(left_over);
  viewer.misses = misses;
  GError *raw = nullptr;
  viewer.watcher = make_watcher(peer, viewer, &raw);
  const ErrorPtr error(raw);
  if (viewer.watcher)
    viewers_[peer] = std::move(viewer);
  else
    observer_.problem(GST_RESOURCE_ERROR_FAILED,
                      std::string("a viewer cannot be served: ") + error->message, false);
}

std::shared_ptr<Watcher> Publisher::make_watcher(const std::string &peer,
                                                 const Viewer &viewer, GError **error) {
  WatcherConfig config;
  config.connection = config_.connection;
  config.connection.peer = peer;
  config.connection.id = random_id(kSessionLetters);
  config.connection.wire_id = config_.presence.wire_id;
  config.connection.turn_servers = relays_.uris(config_.connection.gather_on_loopback);
  for (size_t i = 0; i < media_.size(); i++)
    if (viewer.left_over.empty() || viewer.left_over[i])
      config.media.push_back(media_[i]);
  PublisherInfo info = config_.info;
  info.in_room = !config_.presence.room.empty();
  info.width = served_.width;
  info.height = served_.height;
  info.fps = served_.fps;
  info.video_codec = served_.video_codec;
  info.stereo = served_.stereo;
  config.info = encode_info(info);
  config.clock = clock_;
  config.limits = limits();
  config.paced = config_.paced;
  config.refuse_plain = secret_.custom();
  WatcherObserver &observer = *this;
  auto watcher = Watcher::create(loop_, home_, disposer_, presence_.address(), secret_,
                                 std::move(config), observer, error);
  if (watcher) {
    observer_.webrtcbin_ready(peer, watcher->webrtcbin());
    watcher->negotiate();
  }
  return watcher;
}

std::map<std::string, Publisher::Viewer>::iterator
Publisher::find(const Message &message) {
  const auto at = viewers_.find(message.peer);
  if (at == viewers_.end())
    return at;
  const auto &ours = at->second.watcher->id();
  const bool other = message.session && ours && *message.session != *ours;
  return other ? viewers_.end() : at;
}

void Publisher::handle_answer(const Message &message) {
  const auto at = find(message);
  if (at == viewers_.end())
    return;
  const auto watcher = at->second.watcher; // which may end in there
  const auto early = std::exchange(at->second.early, {});
  watcher->handle_answer(message, false);
  for (const auto &candidates : early)
    watcher->handle_candidates(candidates, false);
}

void Publisher::handle_candidates(const Message &message) {
  const auto at = find(message);
  if (at == viewers_.end() || message.from_publisher)
    return;
  if (at->second.watcher->is_answered())
    at->second.watcher->handle_candidates(message, false);
  else if ((at->second.early_candidates += message.candidates.size()) <= kMaxCandidates)
    at->second.early.push_back(message);
}

void Publisher::watcher_joined(Watcher &watcher) {
  GST_INFO_OBJECT(home_, "viewer %s watches", watcher.peer().c_str());
  rate_.set(watcher.peer(), watcher.rate());
  update_state();
  observer_.viewer_joined(watcher.peer(), watcher.label());
}

void Publisher::watcher_ended(Watcher &watcher, const std::string &why) {
  unreached_ += watcher.is_offered() && !watcher.is_connected();
  end(std::string(watcher.peer()), true, why);
}

// A fresh offer of what is left, once: webrtcbin cannot apply an answer that rejects a
// line. In an answer that takes everything there is nothing left to reject.
void Publisher::media_left_out(Watcher &watcher, const std::vector<bool> &kept) {
  const auto alive = watcher.shared_from_this(); // its end is told in here
  const std::string &peer = watcher.peer();
  const auto at = viewers_.find(peer);
  if (at == viewers_.end())
    return;
  const std::vector<bool> offered = at->second.left_over;
  std::vector<bool> left_over(media_.size());
  for (size_t i = 0, line = 0; i < media_.size() && line < kept.size(); i++) {
    if (!offered.empty() && !offered[i])
      continue;
    left_over[i] = kept[line++];
    if (!left_over[i] && media_[i].kind == MediaKind::kVideo && watcher.is_answered() &&
        is_time_to_tell(&told_codec_us_))
      observer_.problem(GST_RESOURCE_ERROR_FAILED,
                        "viewer " + peer + " takes none of our video codecs", false);
  }
  const bool any = std::find(left_over.begin(), left_over.end(), true) != left_over.end();
  end(peer, false, watcher.is_answered() ? "it rejected a medium" : "one sleeps");
  if (any && offered.empty())
    serve(peer, std::move(left_over), !watcher.is_answered());
}

// Whoever watches without is interrupted for it: once it has been awake for longer than
// it would be waited for, when the offer can be sent, and few at a time.
void Publisher::offer_what_woke() {
  if (!is_ready() || !presence_.is_open() || conflict_.active() || !waiting_.empty())
    return;
  std::vector<std::string> peers;
  for (auto &[peer, viewer] : viewers_) {
    bool awake = false;
    for (size_t i = 0; viewer.misses && i < media_.size(); i++)
      awake |= !viewer.left_over[i] && media_[i].can_be_offered();
    viewer.awake_ticks = awake ? viewer.awake_ticks + 1 : 0;
    if (viewer.awake_ticks >= kAwakeTicks && peers.size() < kOffersAtOnce)
      peers.push_back(peer);
  }
  for (const auto &peer : peers) {
    end(peer, false, "what it misses is there");
    remember(peer);
  }
}

void Publisher::watcher_message(Watcher &watcher, const Message &message,
                                const ViewerRequest &request, std::string_view text) {
  const auto alive = watcher.shared_from_this(); // its end is told in here
  const std::string &peer = watcher.peer();
  if (message.bye) {
    end(peer, false, "it left");
    return;
  }
  if (message.ice_restart) {
    end(peer, false, "it asked for a fresh connection");
    asked(peer);
    return;
  }
  const auto at = viewers_.find(peer);
  if (at == viewers_.end())
    return;
  answer_controls(at->second, request);
  if (!message.ping && !message.pong)
    observer_.received(peer, text);
}

void Publisher::answer_controls(Viewer &viewer, const ViewerRequest &request) {
  const gint64 now = g_get_monotonic_time();
  if (!request.refused.empty() && now - viewer.rejected_us > kRejectEachUs) {
    viewer.rejected_us = now;
    for (const auto &name : request.refused)
      viewer.watcher->send(encode_rejected(name));
  }
  viewer.repeats_stats = request.stats_repeated.value_or(viewer.repeats_stats);
  if (request.stats || request.stats_repeated.value_or(false))
    viewer.watcher->send(stats_message());
}

std::string Publisher::stats_message() const {
  PublisherStats stats;
  stats.label = config_.info.label;
  stats.video_kbit_s = kbit_s();
  stats.width = served_.width;
  stats.height = served_.height;
  stats.encoder = served_.video_codec;
  stats.limited_by = limited_by(false);
  return encode_stats(config_.presence.wire_id, stats);
}

const char *Publisher::limited_by(bool slow) const {
  const bool less = !passing_video() && kbit_s() < config_.limits.max_kbit_s;
  return slow || less ? "bandwidth" : "none";
}

// What they are told again and again, or when it changes.
void Publisher::tell_viewers() {
  ticks_++;
  for (auto &[peer, viewer] : viewers_) {
    if (viewer.repeats_stats && ticks_ % kStatsEachTicks == 0)
      viewer.watcher->send(stats_message());
    if (ticks_ % kQualityEachTicks != 0)
      continue;
    const std::string text =
        encode_quality(limited_by(rate_.is_slow(peer)), static_cast<unsigned>(viewers()));
    if (viewer.told_quality != text && viewer.watcher->send(text))
      viewer.told_quality = text;
  }
}

void Publisher::let_go() {
  const gint64 now = g_get_monotonic_time();
  while (!leaving_.empty() && now - leaving_.front().first >= kLingerMs * 1000) {
    leaving_.front().second->close();
    leaving_.erase(leaving_.begin());
  }
  if (!leaving_.empty())
    linger_.start(kLingerMs, [this] { let_go(); });
}

void Publisher::end(const std::string &peer, bool say_bye, const std::string &why) {
  const auto at = viewers_.find(peer);
  if (at == viewers_.end())
    return;
  const auto watcher = at->second.watcher;
  const bool joined = watcher->is_connected();
  viewers_.erase(at);
  rate_.remove(peer);
  size_.remove(peer);
  keyframes_.remove(peer);
  GST_INFO_OBJECT(home_, "viewer %s: %s", peer.c_str(), why.c_str());
  const bool said = say_bye && watcher->send(encode_bye());
  watcher->stop();
  if (said) {
    leaving_.emplace_back(g_get_monotonic_time(), watcher);
    if (!linger_.active())
      linger_.start(kLingerMs, [this] { let_go(); });
  } else {
    watcher->close();
  }
  update_rate();
  update_size();
  update_sound();
  update_state();
  if (joined)
    observer_.viewer_left(peer, why);
}

void Publisher::add_stats(GstStructure *to) {
  StructureList viewers;
  for (auto &[peer, viewer] : viewers_) {
    StructurePtr about(
        gst_structure_new("viewer", "id", G_TYPE_STRING, peer.c_str(), nullptr));
    viewer.watcher->add_stats(about.get());
    const Keyframes::Counts counts = keyframes_.counts(peer);
    gst_structure_set(about.get(), "slow", G_TYPE_BOOLEAN,
                      static_cast<gboolean>(rate_.is_slow(peer)), "keyframes-asked",
                      G_TYPE_UINT, counts.asked, "keyframes-refused", G_TYPE_UINT,
                      counts.refused, nullptr);
    viewers.add(std::move(about));
  }
  gst_structure_set(to, "video-bitrate", G_TYPE_UINT, kbit_s(), "keyframes", G_TYPE_UINT,
                    keyframes_.counts().made, "unreached", G_TYPE_UINT, unreached_,
                    nullptr);
  viewers.put(to, "viewers");
}

} // namespace vdn
