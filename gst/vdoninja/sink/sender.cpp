// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sender.h"

#include <algorithm>

#include "dtls-key.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_sink_debug);

namespace vdn {

namespace {

// For a goodbye to arrive: before 1.22.3 a closing data channel loses what is queued.
constexpr unsigned kFarewellMs = 150;
// For a pad that has no caps yet, while another has.
constexpr unsigned kPatienceMs = 3000;

std::string lower(const char *text) {
  return StrPtr(g_ascii_strdown(text, -1)).get();
}

// The picture's size, as far as it is known.
void look_at_caps(const MediaTrack &track, Served *served) {
  served->video_codec = lower(facts_of(track.encoding()).name);
  const CapsPtr caps(track.caps());
  if (!caps)
    return;
  const GstStructure *s = gst_caps_get_structure(caps.get(), 0);
  gint width = 0, height = 0, n = 0, d = 1;
  gst_structure_get(s, "width", G_TYPE_INT, &width, "height", G_TYPE_INT, &height,
                    nullptr);
  gst_structure_get_fraction(s, "framerate", &n, &d);
  served->width = static_cast<unsigned>(std::max(width, 0));
  served->height = static_cast<unsigned>(std::max(height, 0));
  served->fps = d > 0 ? static_cast<unsigned>(std::max(n / d, 0)) : 0;
}

} // namespace

Sender::Sender(GstElement *element, Secret secret, PublisherConfig config,
               SenderObserver &observer)
    : element_(element), observer_(observer), muted_(config.info.video_muted) {
  loop_->post([this, secret = std::move(secret), config = std::move(config)] {
    PublisherObserver &of_publisher = *this;
    publisher_ = std::make_unique<Publisher>(*loop_, GST_BIN(element_), disposer_, secret,
                                             config, of_publisher);
  });
}

void Sender::start() {
  loop_->post([this] { publisher_->connect(); });
  make_dtls_key(element_, [weak = weak_from_this()] {
    if (auto self = weak.lock())
      self->loop_->post([sender = self.get()] { sender->publisher_->admit(); });
  });
}

void Sender::close() {
  loop_->run_and_linger([this] { return publisher_->leave() ? kFarewellMs : 0; });
  loop_->stop([this] {
    farewell_.reset();
    patience_.reset();
    publisher_.reset();
    inputs_.clear();
  });
  if (!disposer_->wait())
    GST_CAT_WARNING_OBJECT(vdoninja_sink_debug, element_,
                           "a viewer's pipeline is held up and ends by itself");
}

// Running time of the viewers goes on in PAUSED, and so does their clock.
GstClockTime Sender::play() {
  auto clock = ObjPtr<GstClock>::adopt(gst_element_get_clock(element_));
  if (!clock)
    clock = ObjPtr<GstClock>::adopt(gst_system_clock_obtain());
  if (epoch_ == GST_CLOCK_TIME_NONE)
    epoch_ = gst_element_get_base_time(element_);
  else if (clock_ && clock_.get() != clock.get()) // may be before the new one's zero
    epoch_ += gst_clock_get_time(clock.get()) - gst_clock_get_time(clock_.get());
  clock_ = clock;
  loop_->post([this, clock, epoch = epoch_] {
    publisher_->set_time(clock, epoch);
    if (std::exchange(paused_, false) && !muted_)
      publisher_->set_muted(false, std::nullopt);
    publisher_->request_keyframe();
  });
  return epoch_;
}

void Sender::pause() {
  loop_->post([this] {
    paused_ = true;
    if (!muted_)
      publisher_->set_muted(true, std::nullopt);
  });
}

void Sender::set_inputs(std::vector<std::shared_ptr<Input>> inputs) {
  loop_->post([this, inputs = std::move(inputs)]() mutable {
    inputs_ = std::move(inputs);
    size_wanted(box_);
    look_at_inputs(true);
  });
}

void Sender::inputs_changed() {
  loop_->post([this] { look_at_inputs(true); });
}

void Sender::look_at_inputs(bool complete_only) {
  std::vector<Medium> media;
  Served served;
  for (bool video : {true, false})
    for (const auto &input : inputs_) {
      auto tracks = input->tracks(); // which may be others the next time
      if (input->is_video() != video || tracks.empty())
        continue;
      if (video)
        look_at_caps(*tracks.front(), &served);
      media.push_back({video ? MediaKind::kVideo : MediaKind::kAudio, std::move(tracks),
                       !input->encodes(), input->given_us()});
    }
  if (complete_only && !media.empty() && media.size() < inputs_.size()) {
    if (!patience_) {
      patience_ = std::make_unique<Timer>(*loop_);
      patience_->start(kPatienceMs, [this] { look_at_inputs(false); });
    }
    return;
  }
  patience_.reset();
  publisher_->set_media(std::move(media), served);
}

void Sender::set_limits(const BandwidthLimits &video, unsigned sound_kbit_s) {
  loop_->post([=] { publisher_->set_limits(video, sound_kbit_s); });
}

void Sender::set_muted(std::optional<bool> video, std::optional<bool> audio) {
  loop_->post([this, video, audio] {
    muted_ = video.value_or(muted_);
    // In PAUSED it is already, and stays so.
    publisher_->set_muted(paused_ ? std::nullopt : video, audio);
  });
}

void Sender::keyframe_wanted() {
  for (const auto &input : inputs_)
    if (input->is_video())
      input->request_keyframe();
}

void Sender::bitrate_wanted(MediaKind kind, unsigned kbit_s) {
  for (const auto &input : inputs_)
    if (input->is_video() == (kind == MediaKind::kVideo))
      input->set_bitrate(kbit_s);
}

// For inputs to come, too.
void Sender::size_wanted(const PictureBox &box) {
  box_ = box;
  for (const auto &input : inputs_)
    if (input->is_video())
      input->set_box(box);
}

void Sender::problem(int code, const std::string &text, bool fatal) {
  observer_.problem(fatal ? GST_MESSAGE_ERROR : GST_MESSAGE_WARNING, GST_RESOURCE_ERROR,
                    code, text);
}

void Sender::request_keyframe() {
  loop_->post([this] { publisher_->request_keyframe(); });
}

void Sender::finish() {
  loop_->post([this] {
    farewell_ = std::make_unique<Timer>(*loop_);
    const bool heard = publisher_->leave();
    farewell_->start(heard ? kFarewellMs : 0, [this] {
      publisher_->end_all();
      observer_.ended();
    });
  });
}

void Sender::resume() {
  loop_->post([this] {
    farewell_.reset();
    publisher_->come_back();
  });
}

bool Sender::send(const std::string &viewer, const std::string &json) {
  bool sent = false;
  loop_->run_and_wait([&] { sent = publisher_ && publisher_->send(viewer, json); });
  return sent;
}

bool Sender::kick(const std::string &viewer) {
  bool known = false;
  loop_->run_and_wait([&] { known = publisher_ && publisher_->kick(viewer); });
  return known;
}

unsigned Sender::viewers() {
  size_t count = 0;
  loop_->run_and_wait([&] { count = publisher_ ? publisher_->viewers() : 0; });
  return static_cast<unsigned>(count);
}

void Sender::add_stats(GstStructure *to) {
  loop_->run_and_wait([&] {
    if (publisher_)
      publisher_->add_stats(to);
  });
}

} // namespace vdn
