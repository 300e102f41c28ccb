// SPDX-License-Identifier: LGPL-2.1-or-later
// A pipeline with vdoninjasink as an application sees it. Thread: the test's.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "player.h"
#include "scene.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

namespace vdn {

class Sending {
public:
  struct State {
    std::vector<std::string> states, errors, warnings;
    std::vector<std::string> joined, left; // ids of viewers
    std::string stream_id, link;           // as published
    unsigned eos = 0;
  };

  // `launch`: with one vdoninjasink, named "out".
  explicit Sending(const std::string &launch) {
    GError *raw = nullptr;
    pipeline_ = ObjPtr<GstElement>::adopt(gst_parse_launch_full(
        launch.c_str(), nullptr, GST_PARSE_FLAG_FATAL_ERRORS, &raw));
    const ErrorPtr error(raw);
    fail_unless(pipeline_ && !error, "cannot launch %s: %s", launch.c_str(),
                error ? error->message : "?");
    sink_ =
        ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(pipeline_.get()), "out"));
    const auto bus = ObjPtr<GstBus>::adopt(gst_element_get_bus(pipeline_.get()));
    gst_bus_set_sync_handler(bus.get(), on_message, this, nullptr);
  }
  ~Sending() {
    stop();
    const auto bus = ObjPtr<GstBus>::adopt(gst_element_get_bus(pipeline_.get()));
    gst_bus_set_sync_handler(bus.get(), nullptr, nullptr, nullptr);
  }
  Sending(const Sending &) = delete;
  Sending &operator=(const Sending &) = delete;

  void play() { set_state(GST_STATE_PLAYING); }
  void set_state(GstState state) {
    fail_if(gst_element_set_state(pipeline_.get(), state) == GST_STATE_CHANGE_FAILURE,
            "%s", describe().c_str());
  }
  // Fails the test when that takes a second or more.
  void stop() {
    const gint64 from = g_get_monotonic_time();
    gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
    const gint64 took = (g_get_monotonic_time() - from) / 1000;
    fail_unless(took < 1000 * time_factor(), "NULL took %" G_GINT64_FORMAT " ms", took);
  }
  State state() const { return state_.get(); }
  void expect(const char *what, const std::function<bool(const State &)> &ready,
              std::chrono::milliseconds limit = std::chrono::seconds(20)) const {
    fail_unless(state_.wait(limit, ready), "waited in vain for: %s\n%s", what,
                describe().c_str());
  }
  void expect_published() const {
    expect("published", [](const State &state) { return !state.stream_id.empty(); });
  }
  void expect_viewers(size_t joined) const {
    expect("viewers", [=](const State &state) { return state.joined.size() >= joined; });
  }
  void expect_left(size_t left) const {
    expect("viewers that left",
           [=](const State &state) { return state.left.size() >= left; });
  }
  void expect_trouble(std::vector<std::string> State::*where,
                      const std::string &part) const {
    expect(part.c_str(), [&](const State &state) {
      const auto &texts = state.*where;
      return std::any_of(texts.begin(), texts.end(), [&](const std::string &text) {
        return text.find(part) != std::string::npos;
      });
    });
  }
  StructurePtr stats() const {
    GstStructure *raw = nullptr;
    g_signal_emit_by_name(sink_.get(), "get-stats", &raw);
    return StructurePtr(raw);
  }
  // What they tell of the only viewer. (transfer full)
  StructurePtr only_viewer() const {
    const auto stats = this->stats();
    const GValue *viewers = gst_structure_get_value(stats.get(), "viewers");
    fail_unless(viewers && gst_value_list_get_size(viewers) == 1);
    return StructurePtr(gst_structure_copy(
        gst_value_get_structure(gst_value_list_get_value(viewers, 0))));
  }
  GstElement *sink() const { return sink_.get(); }
  GstElement *pipeline() const { return pipeline_.get(); }
  std::string describe() const {
    const State state = this->state();
    std::string text = "states:";
    for (const auto &one : state.states)
      text += " " + one;
    for (const auto &one : state.errors)
      text += "\nerror: " + one;
    for (const auto &one : state.warnings)
      text += "\nwarning: " + one;
    return text + "\njoined " + std::to_string(state.joined.size()) + ", left " +
           std::to_string(state.left.size());
  }

private:
  // Thread: whoever posts.
  static GstBusSyncReply on_message(GstBus *, GstMessage *message, gpointer self) {
    static_cast<Sending *>(self)->state_.update([&](State &state) {
      GError *raw = nullptr;
      if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR)
        gst_message_parse_error(message, &raw, nullptr);
      else if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_WARNING)
        gst_message_parse_warning(message, &raw, nullptr);
      const ErrorPtr error(raw);
      if (error)
        (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR ? state.errors : state.warnings)
            .emplace_back(error->message);
      state.eos += GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS;
      if (GST_MESSAGE_TYPE(message) != GST_MESSAGE_ELEMENT)
        return;
      const GstStructure *s = gst_message_get_structure(message);
      if (gst_structure_has_name(s, "vdoninja/state-changed"))
        state.states.emplace_back(gst_structure_get_string(s, "new"));
      if (gst_structure_has_name(s, "vdoninja/published")) {
        state.stream_id = gst_structure_get_string(s, "stream-id");
        state.link = gst_structure_get_string(s, "link");
      }
      if (gst_structure_has_name(s, "vdoninja/viewer-joined"))
        state.joined.emplace_back(gst_structure_get_string(s, "viewer"));
      if (gst_structure_has_name(s, "vdoninja/viewer-left"))
        state.left.emplace_back(gst_structure_get_string(s, "viewer"));
    });
    gst_message_unref(message);
    return GST_BUS_DROP;
  }

  ObjPtr<GstElement> pipeline_, sink_;
  Watched<State> state_;
};

// A small picture, quick to encode.
inline std::string small_video() {
  return "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=15/1 ! ";
}
inline std::string tone() {
  return "audiotestsrc is-live=true volume=0.2 ! ";
}

// Another source, linked while it plays. `size`: of its caps.
inline void link_picture(const Sending &sending, const std::string &size) {
  GstElement *source = gst_parse_bin_from_description(
      ("videotestsrc is-live=true ! video/x-raw," + size + ",framerate=15/1 ! identity")
          .c_str(),
      TRUE, nullptr);
  gst_bin_add(GST_BIN(sending.pipeline()), source);
  fail_unless(gst_element_link(source, sending.sink()));
  gst_element_sync_state_with_parent(source);
}

// "vdoninjasink name=out ..." for the server of `scene`.
inline std::string sink_line(const Scene &scene,
                             const std::string &properties = "stream-id=abc") {
  return "vdoninjasink name=out signaling=" +
         std::string(scene.dialect == Dialect::kHosted ? "hosted" : "custom") +
         " server=" + scene.server->url() + " " + properties;
}

} // namespace vdn
