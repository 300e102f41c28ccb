// SPDX-License-Identifier: LGPL-2.1-or-later
// A pipeline that ends in an input, somebody who listens, and everything that was said.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <gst/app/app.h>
#include <gst/video/video.h>

#include "input.h"
#include "time-factor.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

namespace vdn {

struct InputNews {
  std::vector<std::string> warnings, errors, made; // made: factories of encoders
  unsigned changes = 0, ends = 0, gone = 0;        // gone: encoders that are no more
};

// Counts what a track gives; waits for it.
class Ear : public TrackListener {
public:
  struct Frame {
    GstClockTime pts;
    bool keyframe, discont;
    gint64 at; // us, monotonic
    size_t bytes;
  };
  void on_caps(GstCaps *caps) override {
    const StrPtr text(gst_caps_to_string(caps));
    std::lock_guard<std::mutex> lock(mutex_);
    caps_.emplace_back(text.get());
  }
  void on_frame(GstBuffer *buffer, bool keyframe) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      frames_.push_back({GST_BUFFER_PTS(buffer), keyframe,
                         bool(GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT)),
                         g_get_monotonic_time(), gst_buffer_get_size(buffer)});
    }
    gst_buffer_unref(buffer);
    changed_.notify_all();
  }

  std::vector<Frame> frames() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return frames_;
  }
  std::vector<std::string> caps() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return caps_;
  }
  size_t count() const { return frames().size(); }
  bool wait_for(size_t frames, std::chrono::milliseconds limit =
                                   std::chrono::seconds(20 * time_factor())) const {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, limit, [&] { return frames_.size() >= frames; });
  }
  // `more` of them than there are now.
  void expect_more(size_t more) const {
    const size_t before = count();
    fail_unless(wait_for(before + more), "%zu frames, then %zu", before, count());
  }

private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<Frame> frames_;
  std::vector<std::string> caps_;
};

inline InputConfig video_input(std::vector<Encoding> encodings = {Encoding::kH264,
                                                                  Encoding::kVp8}) {
  InputConfig config;
  config.encodings = std::move(encodings);
  config.kbps = 500;
  config.patience_us = 2 * G_USEC_PER_SEC * time_factor();
  return config;
}

inline InputConfig audio_input() {
  InputConfig config;
  config.video = false;
  config.encodings = {Encoding::kOpus};
  config.kbps = 64;
  return config;
}

class InputShow : public InputObserver {
public:
  // `source`: what is before the input, as launch text.
  explicit InputShow(const std::string &source, InputConfig config = video_input()) {
    GError *error = nullptr;
    pipeline_ = ObjPtr<GstElement>::adopt(
        gst_parse_launch((source + " ! identity name=last silent=true").c_str(), &error));
    fail_unless(pipeline_ && !error, "%s", error ? error->message : "");
    // Nobody reads the bus; its messages would keep encoders alive.
    const auto bus = ObjPtr<GstBus>::adopt(gst_element_get_bus(pipeline_.get()));
    gst_bus_set_sync_handler(
        bus.get(),
        [](GstBus *, GstMessage *message, gpointer) {
          if (GST_MESSAGE_TYPE(message) & (GST_MESSAGE_ERROR | GST_MESSAGE_EOS))
            return GST_BUS_PASS;
          gst_message_unref(message);
          return GST_BUS_DROP;
        },
        nullptr, nullptr);
    input_ = Input::create(std::move(config), *this);
    gst_bin_add(GST_BIN(pipeline_.get()), input_->element());
    fail_unless(gst_element_link(child("last").get(), input_->element()));
  }
  ~InputShow() override {
    close();
    gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
  }
  void close() {
    for (auto &[ear, track] : listening_)
      track->remove(ear);
    listening_.clear();
    input_->close();
  }

  InputShow &play() {
    gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
    return *this;
  }
  Input &input() { return *input_; }
  GstElement *pipeline() const { return pipeline_.get(); }
  ObjPtr<GstElement> child(const char *name) const {
    return ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(pipeline_.get()), name));
  }
  // The track of `encoding`, as soon as there is one.
  std::shared_ptr<MediaTrack> track(Encoding encoding) {
    std::shared_ptr<MediaTrack> found;
    const bool ok = wait([&] {
      for (const auto &one : input_->tracks())
        if (one->encoding() == encoding)
          found = one;
      return found != nullptr;
    });
    fail_unless(ok, "no track of %s: %s", facts_of(encoding).name, describe().c_str());
    return found;
  }
  void listen(Ear &ear, Encoding encoding) {
    auto found = track(encoding);
    found->add(&ear);
    listening_[&ear] = found;
  }
  void stop_listening(Ear &ear) {
    listening_[&ear]->remove(&ear);
    listening_.erase(&ear);
  }
  InputNews news() const {
    std::lock_guard<std::mutex> lock(state_->mutex);
    return state_->news;
  }
  // Until `ready` holds, which is asked whenever something was said; false if it does
  // not.
  template <typename Ready> bool wait(Ready ready) {
    std::unique_lock<std::mutex> lock(state_->mutex);
    const auto end =
        std::chrono::steady_clock::now() + std::chrono::seconds(20 * time_factor());
    for (unsigned seen = state_->said;;) {
      lock.unlock();
      if (ready())
        return true;
      lock.lock();
      if (!state_->changed.wait_until(lock, end, [&] { return state_->said != seen; }))
        return false;
      seen = state_->said;
    }
  }
  void expect_error(const char *part) {
    fail_unless(wait([&] { return any(news().errors, part); }), "no error with '%s': %s",
                part, describe().c_str());
  }
  void expect_warning(const char *part) {
    fail_unless(wait([&] { return any(news().warnings, part); }),
                "no warning with '%s': %s", part, describe().c_str());
  }
  static bool any(const std::vector<std::string> &texts, const std::string &part) {
    for (const auto &text : texts)
      if (text.find(part) != std::string::npos)
        return true;
    return false;
  }
  // Nothing was said, by the input or on the bus, that a user would have to read.
  void assert_quiet() {
    const InputNews all = news();
    fail_unless(all.errors.empty() && all.warnings.empty(), "%s", describe().c_str());
    const auto bus = ObjPtr<GstBus>::adopt(gst_element_get_bus(pipeline_.get()));
    const MessagePtr error(gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR));
    fail_unless(error == nullptr, "an error on the bus");
  }
  // In the `encoder-setup` of an application. Before play().
  std::function<void(Input &)> then;

  std::string describe() const {
    const InputNews all = news();
    std::string text;
    for (const auto &one : all.errors)
      text += "error: " + one + "; ";
    for (const auto &one : all.warnings)
      text += "warning: " + one + "; ";
    for (const auto &one : all.made)
      text += "made: " + one + "; ";
    return text;
  }

  void tracks_changed(Input &) override {
    say([](InputNews &news) { news.changes++; });
  }
  void input_warning(Input &, const std::string &text,
                     const std::string &debug) override {
    say([&](InputNews &news) { news.warnings.push_back(text + " (" + debug + ")"); });
  }
  void input_failed(Input &, const GError &error, const std::string &debug) override {
    say([&](InputNews &news) {
      news.errors.push_back(std::string(error.message) + " (" + debug + ")");
    });
  }
  void input_resumed(Input &) override {}
  void input_eos(Input &) override {
    say([](InputNews &news) { news.ends++; });
  }
  void encoder_made(Input &input, GstElement *encoder) override {
    if (then)
      then(input);
    GstElementFactory *factory = gst_element_get_factory(encoder);
    say([&](InputNews &news) { news.made.emplace_back(GST_OBJECT_NAME(factory)); });
    using Said = std::shared_ptr<State>;
    g_object_weak_ref(
        G_OBJECT(encoder),
        [](gpointer said, GObject *) {
          say_to(**static_cast<Said *>(said), [](InputNews &news) { news.gone++; });
          delete static_cast<Said *>(said);
        },
        new Said(state_));
  }

private:
  struct State { // encoders may outlive the show
    std::mutex mutex;
    std::condition_variable changed;
    InputNews news;
    unsigned said = 0;
  };
  template <typename Change> static void say_to(State &state, Change change) {
    {
      std::lock_guard<std::mutex> lock(state.mutex);
      change(state.news);
      state.said++;
    }
    state.changed.notify_all();
  }
  template <typename Change> void say(Change change) { say_to(*state_, change); }

  const std::shared_ptr<State> state_ = std::make_shared<State>();
  ObjPtr<GstElement> pipeline_;
  std::shared_ptr<Input> input_;
  std::map<Ear *, std::shared_ptr<MediaTrack>> listening_;
};

constexpr const char *kBaselineEncoder = " ! x264enc tune=zerolatency key-int-max=30 ! "
                                         "video/x-h264,profile=constrained-baseline";

inline std::string test_picture(
    const std::string &caps = "video/x-raw,width=160,height=120,framerate=30/1") {
  return "videotestsrc name=source is-live=true ! " + caps;
}

} // namespace vdn
