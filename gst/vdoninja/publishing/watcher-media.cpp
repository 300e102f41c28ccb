// SPDX-License-Identifier: LGPL-2.1-or-later
// What a viewer is sent: by its wishes, by its network, and as long as it is there.
#include <algorithm>
#include <utility>

#include "watcher.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

// Without a word from it: ask, send it no video, give it up. 1.22 has no consent checks,
// and calls a killed peer connected for 45 s and more.
constexpr gint64 kAskAfterUs = 3 * G_USEC_PER_SEC;
constexpr gint64 kStopAfterUs = 6 * G_USEC_PER_SEC;
constexpr gint64 kGoneAfterUs = 12 * G_USEC_PER_SEC;
constexpr gint64 kMadeWithinUs = 3 * G_USEC_PER_SEC;
constexpr gint64 kSleepsAfterUs = 2 * G_USEC_PER_SEC;
constexpr gint64 kLateWithinUs = 10 * G_USEC_PER_SEC;
constexpr gint64 kAnswerWithinUs = 15 * G_USEC_PER_SEC;
constexpr gint64 kConnectWithinUs = 20 * G_USEC_PER_SEC;
// Packets; a minute or two of video.
constexpr guint64 kMostUnreported = 20000;
constexpr double kUnreportedPerKbitS = 1.25; // packets of 1200 bytes in 12 s
constexpr gint64 kReportedWithinUs = 10 * G_USEC_PER_SEC;

bool is_video(const Feed &feed) {
  return feed.track()->is_video();
}

} // namespace

bool Medium::sleeps() const {
  return g_get_monotonic_time() - *given_us > kSleepsAfterUs;
}

bool Medium::can_be_offered() const {
  return !sleeps() && (!passes || tracks.front()->caps());
}

void Watcher::take_request(const ViewerRequest &request) {
  if (request.label)
    label_ = *request.label;
  const bool video = request.video.value_or(wants_video_);
  const bool audio = request.audio.value_or(wants_audio_);
  const int wish = request.video_bitrate.value_or(wish_kbit_s_);
  const int sound_wish = request.audio_bitrate.value_or(sound_wish_kbit_s_);
  const PictureBox box = request.box.value_or(box_);
  const bool changed = video != wants_video_ || audio != wants_audio_ ||
                       wish != wish_kbit_s_ || sound_wish != sound_wish_kbit_s_ ||
                       box != box_;
  wants_video_ = video;
  wants_audio_ = audio;
  wish_kbit_s_ = wish;
  sound_wish_kbit_s_ = sound_wish;
  box_ = box;
  if (openness_ == Openness::kWaitsForWord && (request.video || request.audio)) {
    show();
  } else if (changed && openness_ == Openness::kOpen) {
    open_feeds(KeyframeCause::kAsked);
    observer_.wishes_changed(*this);
  }
  if (request.keyframe && !closed_)
    observer_.keyframe_wanted(*this, KeyframeCause::kAsked);
}

// The first media.
void Watcher::show() {
  const auto alive = shared_from_this(); // whoever hears of it may send it away
  first_word_.stop();
  openness_ = Openness::kOpen;
  joined_ = true;
  open_feeds(KeyframeCause::kJoined);
  observer_.watcher_joined(*this);
  if (!closed_)
    observer_.wishes_changed(*this);
}

void Watcher::open_feeds(KeyframeCause cause) {
  bool keyframe = false;
  for (auto &feed : feeds_) {
    const bool wanted =
        is_video(*feed) ? wants_video_ && wish_kbit_s_ != 0 && !silent_ : hears();
    keyframe |= wanted && is_video(*feed) && !feed->is_open();
    feed->set_open(wanted);
  }
  if (keyframe)
    observer_.keyframe_wanted(*this, cause);
}

void Watcher::set_limits(const BandwidthLimits &limits) {
  config_.limits = limits;
  bandwidth_.set_limits(limits);
  tell_pacer();
}

void Watcher::set_slow(bool slow) {
  for (auto &feed : feeds_)
    feed->set_slow(slow && is_video(*feed));
}

bool Watcher::waits_for_keyframe() const {
  return std::any_of(feeds_.begin(), feeds_.end(),
                     [](const auto &feed) { return is_video(*feed) && feed->waits(); });
}

bool Watcher::is_alive(gint64 us) const {
  return joined_ && g_get_monotonic_time() - heard_us_ < us;
}

ViewerRate Watcher::rate() const {
  ViewerRate rate;
  rate.estimate = config_.paced ? bandwidth_.kbit_s() : config_.limits.max_kbit_s;
  rate.wish = wish_kbit_s_ > 0 ? static_cast<unsigned>(wish_kbit_s_) : 0;
  if (described_kbit_s_ && (!rate.wish || described_kbit_s_ < rate.wish))
    rate.wish = described_kbit_s_;
  rate.video =
      openness_ == Openness::kOpen && wants_video_ && wish_kbit_s_ != 0 && !silent_;
  rate.full = bandwidth_.is_full(g_get_monotonic_time());
  return rate;
}

void Watcher::take_feedback(const std::vector<SentPacket> &packets) {
  heard();
  has_feedback_ = true;
  const gint64 now = g_get_monotonic_time();
  bandwidth_.on_feedback(packets, now);
  tell_pacer();
  observer_.estimate_changed(*this);
  GstElement *pacer = pacer_;
  if (closed_ || !pacer)
    return;
  const PacerState state = pacer_state(pacer);
  if (std::any_of(packets.begin(), packets.end(), [now](const SentPacket &packet) {
        return packet.size > 0 && now - packet.sent_us < kReportedWithinUs;
      }))
    packets_at_feedback_ = state.counts.packets;
  if (damage_.asks(state.damaged, bandwidth_.overused_us(), now))
    observer_.keyframe_wanted(*this, KeyframeCause::kDamaged);
}

// rtpsession remembers each packet until that or a later one is reported: without an end,
// for whoever promises reports and sends none, or of old packets alone.
bool Watcher::owes_reports() const {
  GstElement *pacer = pacer_;
  const guint64 limit =
      std::max<guint64>(kMostUnreported, config_.limits.max_kbit_s * kUnreportedPerKbitS);
  return transport_cc_ && pacer &&
         pacer_state(pacer).counts.packets > packets_at_feedback_ + limit;
}

void Watcher::tell_pacer() {
  if (GstElement *pacer = pacer_)
    pacer_set_rate(pacer, bandwidth_.kbit_s(), bandwidth_.round_trip_us());
}

// Receiver reports, of a viewer that does not report each packet.
void Watcher::read_reports() {
  const auto rtpbin =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(webrtc_.get()), "rtpbin"));
  ObjPtr<GObject> session;
  if (rtpbin)
    g_signal_emit_by_name(rtpbin.get(), "get-internal-session", 0u, session.out());
  if (!session)
    return;
  GstStructure *raw = nullptr;
  g_object_get(session.get(), "stats", &raw, nullptr);
  const StructurePtr stats(raw);
  const GValue *value =
      stats ? gst_structure_get_value(stats.get(), "source-stats") : nullptr;
  if (!value)
    return;
  const auto *sources = static_cast<const GValueArray *>(g_value_get_boxed(value));
  for (guint i = 0; sources && i < sources->n_values; i++) {
    const GstStructure *source = gst_value_get_structure(&sources->values[i]);
    gboolean internal = FALSE, reported = FALSE;
    guint ssrc = 0, lost = 0, round_trip = 0, highest = 0, sent = 0;
    if (gst_structure_get(source, "internal", G_TYPE_BOOLEAN, &internal, "have-rb",
                          G_TYPE_BOOLEAN, &reported, nullptr) &&
        internal && reported &&
        gst_structure_get(source, "ssrc", G_TYPE_UINT, &ssrc, "rb-fractionlost",
                          G_TYPE_UINT, &lost, "rb-round-trip", G_TYPE_UINT, &round_trip,
                          "rb-exthighestseq", G_TYPE_UINT, &highest, "rb-lsr",
                          G_TYPE_UINT, &sent, nullptr) &&
        // rtpsession has the last one until the next comes.
        std::exchange(reports_[ssrc], {highest, sent}) != std::pair(highest, sent)) {
      const gint64 now = g_get_monotonic_time();
      if (round_trip)
        bandwidth_.set_round_trip(gint64(round_trip) * G_USEC_PER_SEC / 65536);
      if (!has_feedback_)
        bandwidth_.on_receiver_report(lost / 256.0, now);
    }
  }
  tell_pacer();
}

// A source that fell asleep does not keep it from the other medium; one that is only
// late, as with its first keyframe, is waited for a while.
void Watcher::leave_out_sleeping() {
  const gint64 waited = g_get_monotonic_time() - begun_us_;
  std::vector<bool> kept;
  for (size_t i = 0; i < feeds_.size(); i++)
    kept.push_back(gst_pad_has_current_caps(feeds_[i]->pad()) ||
                   (!config_.media[i].sleeps() && waited < kLateWithinUs));
  const auto count = std::count(kept.begin(), kept.end(), true);
  if (count > 0 && count < static_cast<std::ptrdiff_t>(kept.size()))
    observer_.media_left_out(*this, kept);
}

void Watcher::tick() {
  if (closed_)
    return; // who heard of another one's end sent it away
  const gint64 now = g_get_monotonic_time();
  if (!joined_) {
    if (negotiating_ && now - begun_us_ > kMadeWithinUs)
      leave_out_sleeping();
    if (closed_)
      return;
    const gint64 limit = answered_ ? kConnectWithinUs : kAnswerWithinUs;
    if (now - begun_us_ > limit)
      observer_.watcher_ended(*this, answered_      ? "it could not be reached"
                                     : negotiating_ ? "nothing was made to offer it"
                                                    : "it did not answer our offer");
    return;
  }
  const gint64 idle = now - heard_us_;
  if (owes_reports()) {
    observer_.watcher_ended(*this, "it sends none of the reports that it promised");
    return;
  }
  if (idle > kGoneAfterUs) {
    observer_.watcher_ended(*this, "nothing was heard of it");
    return;
  }
  if (idle > kAskAfterUs)
    send(encode_ping(g_get_real_time() / 1000));
  if (std::exchange(silent_, idle > kStopAfterUs) != silent_) {
    open_feeds(KeyframeCause::kAsked);
    observer_.wishes_changed(*this);
  }
  if (closed_)
    return;
  read_reports();
  observer_.estimate_changed(*this);
}

void Watcher::add_stats(GstStructure *to) {
  PacerState state;
  if (GstElement *pacer = pacer_)
    state = pacer_state(pacer);
  const ViewerRate now = rate();
  gst_structure_set(
      to, "label", G_TYPE_STRING, label_.c_str(), "connected", G_TYPE_BOOLEAN,
      static_cast<gboolean>(joined_), "video", G_TYPE_BOOLEAN,
      static_cast<gboolean>(now.video), "estimate", G_TYPE_UINT, now.estimate, "wish",
      G_TYPE_UINT, now.wish, "max-width", G_TYPE_UINT, box_.width, "max-height",
      G_TYPE_UINT, box_.height, "packets-sent", G_TYPE_UINT64,
      static_cast<guint64>(state.counts.packets), "bytes-sent", G_TYPE_UINT64,
      static_cast<guint64>(state.counts.bytes), "repeats", G_TYPE_UINT64,
      static_cast<guint64>(state.counts.repeats), "repeats-refused", G_TYPE_UINT64,
      static_cast<guint64>(state.counts.refused), "dropped", G_TYPE_UINT64,
      static_cast<guint64>(state.counts.dropped), "round-trip-ms", G_TYPE_UINT,
      static_cast<guint>(bandwidth_.round_trip_us() / 1000), "loss", G_TYPE_DOUBLE,
      bandwidth_.loss(), nullptr);
  for (const auto &feed : feeds_)
    gst_structure_set(to, is_video(*feed) ? "video-codec" : "audio-codec", G_TYPE_STRING,
                      facts_of(feed->track()->encoding()).name, nullptr);
  add_path(to);
}

} // namespace vdn
