// SPDX-License-Identifier: LGPL-2.1-or-later
#include "receiver.h"

#include <algorithm>

#include "dtls-key.h"
#include "structure-list.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_src_debug);

namespace vdn {

namespace {

constexpr unsigned kFarewellMs = 50;

} // namespace

Receiver::Receiver(GstElement *element, Secret secret, SourcePlan plan,
                   ReceiverObserver &observer)
    : element_(element), on_disconnect_(plan.on_disconnect), observer_(observer),
      timeout_s_(plan.timeout_s) {
  OutputsObserver &of_pads = *this;
  outputs_ = std::make_unique<Outputs>(*loop_, element_, disposer_,
                                       std::move(plan.outputs), of_pads);
  loop_->post([this, secret = std::move(secret), config = std::move(plan.viewer)] {
    ViewerObserver &of_viewer = *this;
    viewer_ = std::make_unique<Viewer>(*loop_, GST_BIN(element_), disposer_, secret,
                                       config, of_viewer);
    viewer_->set_latency(outputs_->latency());
  });
}

void Receiver::start() {
  loop_->post([this] { viewer_->connect(); });
  make_dtls_key(element_, [weak = weak_from_this()] {
    if (auto self = weak.lock())
      self->loop_->post([receiver = self.get()] { receiver->viewer_->admit_offers(); });
  });
}

void Receiver::close() {
  // A publisher that heard the goodbye stops sending at once, and serves us again at
  // once.
  loop_->run_and_linger([this] { return viewer_->leave() ? kFarewellMs : 0; });
  loop_->stop([this] {
    first_.reset();
    viewer_.reset();
  });
  outputs_->clear();
  if (!disposer_->wait())
    GST_CAT_WARNING_OBJECT(vdoninja_src_debug, element_,
                           "a session is held up and ends by itself");
}

// ---------------------------------------------------------------------------------
// what the viewer tells

std::vector<const Format *> Receiver::choose(const Stream &stream, const Offer &offer) {
  return outputs_->negotiate(stream.wanted(), stream.label(), offer);
}

void Receiver::media(const Stream &stream, IncomingTrack track) {
  outputs_->attach({stream.session(), stream.id(), track.mline, track.kind,
                    std::move(track.encoding), std::move(track.pad), track.probe});
}

void Receiver::detach(const Stream &stream, bool is_lost) {
  outputs_->detach(stream.session());
  if (is_lost && stream.was_playing())
    lost(stream);
}

void Receiver::stream_state_changed(const Stream &stream, StreamState before) {
  if (stream.state() == StreamState::kPlaying) {
    outputs_->set_reconnecting(stream.id(), false);
    observer_.peer_news(stream.id(), "peer-joined", nullptr);
  } else if (before == StreamState::kPlaying) {
    observer_.peer_news(stream.id(), "peer-left", nullptr);
  }
}

void Receiver::session_ready(const Stream &stream, GstElement *webrtcbin) {
  observer_.webrtcbin_ready(stream.id(), webrtcbin);
}

void Receiver::received(const Stream &stream, const Message &message,
                        std::string_view text) {
  peer_news(stream, message);
  if (!message.description && message.candidates.empty() && !message.ping &&
      !message.pong)
    observer_.received(stream.id(), text);
}

void Receiver::problem(int code, const std::string &text, bool fatal) {
  tell(fatal, GST_RESOURCE_ERROR, code, text);
}

// One guest's end is that of the others only when it is the last.
void Receiver::ended(const Stream &stream) {
  const auto &all = viewer_->streams();
  const bool last = std::none_of(all.begin(), all.end(), [&](const auto &other) {
    return other.get() != &stream && other->state() == StreamState::kPlaying;
  });
  if (last)
    outputs_->finish();
  else
    outputs_->remove(stream.id());
}

void Receiver::lost(const Stream &stream) {
  outputs_->set_reconnecting(stream.id(), true);
  if (on_disconnect_ == OnDisconnect::kEos)
    ended(stream);
  else if (on_disconnect_ == OnDisconnect::kError)
    problem(GST_RESOURCE_ERROR_READ,
            "stream \"" + stream.id() +
                "\" was interrupted, and on-disconnect=error is set",
            true);
}

void Receiver::peer_news(const Stream &stream, const Message &message) {
  const PeerNews &news = message.news;
  if (news.label) {
    outputs_->set_label(stream.id(), *news.label);
    observer_.peer_news(stream.id(), "label",
                        gst_structure_new("details", "label", G_TYPE_STRING,
                                          news.label->c_str(), nullptr));
  }
  auto flag = [&](const char *name, const std::optional<bool> &value) {
    if (value)
      observer_.peer_news(stream.id(), name,
                          gst_structure_new("details", "active", G_TYPE_BOOLEAN,
                                            static_cast<gboolean>(*value), nullptr));
  };
  flag("audio-muted", news.audio_muted);
  flag("video-muted", news.video_muted);
  flag("screen-share", news.screen_share);
  if (news.rotation)
    outputs_->set_rotation(stream.id(), *news.rotation);
  if (news.video_muted && !*news.video_muted)
    outputs_->request_keyframes(stream.id());
}

// ---------------------------------------------------------------------------------
// what the pads tell

void Receiver::output_problem(const GError *error, bool fatal) {
  tell(fatal, error->domain, error->code, error->message);
}

void Receiver::video_wanted(const std::string &stream_id, bool wanted) {
  if (viewer_)
    viewer_->set_video_wanted(stream_id, wanted);
}

bool Receiver::size_wanted(const std::string &stream_id, const Size &size) {
  if (!viewer_ || !viewer_->request_size(stream_id, size))
    return false;
  const auto [width, height] = size.value_or(std::pair(0u, 0u));
  observer_.peer_news(stream_id, "quality",
                      gst_structure_new("details", "width", G_TYPE_UINT, width, "height",
                                        G_TYPE_UINT, height, nullptr));
  return true;
}

void Receiver::latency_declared(unsigned ms) {
  if (viewer_)
    viewer_->set_latency(ms);
}

void Receiver::renegotiate(const std::string &stream_id) {
  loop_->post([this, stream_id] { viewer_->renegotiate(stream_id); });
}

// ---------------------------------------------------------------------------------

void Receiver::pause() {
  outputs_->pause();
}

// After an error sources end their streams, or whoever pulls would wait for ever.
void Receiver::tell(bool fatal, GQuark domain, int code, const std::string &text) {
  observer_.problem(fatal ? GST_MESSAGE_ERROR : GST_MESSAGE_WARNING, domain, code, text);
  if (fatal) // later: pads may be at work on what failed
    loop_->post([this] { outputs_->finish(); });
}

void Receiver::play() {
  auto clock = ObjPtr<GstClock>::adopt(gst_element_get_clock(element_));
  loop_->post([this, clock, base_time = gst_element_get_base_time(element_)] {
    keep_time(clock, base_time);
    outputs_->resume(GST_CLOCK_DIFF(base_time, base_time_));
    viewer_->play();
    expect_media();
  });
}

// From the first PLAYING on.
void Receiver::expect_media() {
  if (!timeout_s_ || first_)
    return;
  first_ = std::make_unique<Timer>(*loop_);
  first_->start(std::min(timeout_s_, G_MAXUINT / 1000) * 1000, [this] {
    if (outputs_->has_delivered())
      return;
    const ViewerState state = viewer_->state();
    const char *why = state == ViewerState::kConnecting ? "the server was not reached"
                      : state == ViewerState::kWaiting
                          ? "nobody publishes under this id, or with another password"
                          : "the publisher was not reached";
    problem(GST_RESOURCE_ERROR_NOT_FOUND,
            "nothing came within timeout=" + std::to_string(timeout_s_) + " s: " + why,
            true);
  });
}

// The running time of the pipeline stands still in PAUSED; that of the sessions goes on,
// also when the pipeline comes back with another clock.
void Receiver::keep_time(ObjPtr<GstClock> clock, GstClockTime base_time) {
  if (base_time_ == GST_CLOCK_TIME_NONE)
    base_time_ = base_time;
  else if (clock && clock_ && clock.get() != clock_.get())
    base_time_ += gst_clock_get_time(clock.get()) - gst_clock_get_time(clock_.get());
  clock_ = std::move(clock);
  viewer_->set_base_time(base_time_);
}

void Receiver::finish() {
  loop_->post([this] { outputs_->finish(); });
}

void Receiver::set_latency(int ms) {
  loop_->post([this, ms] { outputs_->set_latency(ms); });
}

void Receiver::set_video_bitrate(unsigned kbps) {
  loop_->post([this, kbps] { viewer_->set_video_bitrate(kbps); });
}

bool Receiver::send(const std::string &stream_id, const std::string &json) {
  bool sent = false;
  loop_->run_and_wait([&] { sent = viewer_ && viewer_->send(stream_id, json); });
  return sent;
}

StructurePtr Receiver::stats(const std::string &stream_id) {
  StructurePtr result(gst_structure_new_empty("vdoninja/stats"));
  StructureList streams;
  loop_->run_and_wait([&] {
    if (!viewer_)
      return;
    for (const auto &stream : viewer_->streams()) {
      if (!stream_id.empty() && stream->id() != stream_id)
        continue;
      StructurePtr about(gst_structure_new(
          "stream", "stream-id", G_TYPE_STRING, stream->id().c_str(), "label",
          G_TYPE_STRING, stream->label().c_str(), "connected", G_TYPE_BOOLEAN,
          static_cast<gboolean>(stream->state() == StreamState::kPlaying), "sessions",
          G_TYPE_UINT, stream->sessions(), "video-muted", G_TYPE_BOOLEAN,
          static_cast<gboolean>(stream->muted()), nullptr));
      outputs_->add_stats(stream->id(), about.get());
      if (stream->session())
        stream->session()->add_stats(about.get());
      streams.add(std::move(about));
    }
  });
  streams.put(result.get(), "streams");
  return result;
}

void Receiver::request_keyframe() {
  loop_->post([this] { outputs_->request_keyframes({}); });
}

void Receiver::reconnect() {
  loop_->post([this] { viewer_->reconnect(); });
}

void Receiver::child_failed(ObjPtr<GstObject> source, const GError *error) {
  std::shared_ptr<GError> copy(g_error_copy(error), g_error_free);
  loop_->post([this, source, copy] {
    if (!outputs_->element_failed(source.get(), copy.get()))
      viewer_->element_failed(source.get(), copy.get());
  });
}

} // namespace vdn
