// SPDX-License-Identifier: LGPL-2.1-or-later
#include "player.h"

#include <algorithm>

#include <gst/check/gstcheck.h>
#include <gst/video/video.h>

namespace vdn {

namespace {

std::string name_of(gpointer object) {
  return StrPtr(gst_object_get_name(GST_OBJECT(object))).get();
}

struct Watch {
  Player *player;
  std::string sink;
};

void ignore(const char *domain, GLogLevelFlags level, const char *pattern) {
  gst_check_add_log_filter(
      domain, level,
      g_regex_new(pattern, GRegexCompileFlags(0), GRegexMatchFlags(0), nullptr), nullptr,
      nullptr, nullptr);
}

// What GStreamer says of its own races, and what harms nobody.
void ignore_races() {
  // rtpsession lets go of its lock in a walk over its sources, which ends early when one
  // joins at that moment (1.22 to 1.28: rtpsession.c, schedule_remaining_nacks()).
  ignore("GLib", G_LOG_LEVEL_CRITICAL,
         "g_hash_table_foreach: assertion 'version == hash_table->version' failed");
  // Packets come while an offer takes effect; Repair does what webrtcbin misses then.
  ignore(nullptr, G_LOG_LEVEL_WARNING,
         "jitter_buffer_set_retransmission: code should not be reached");
}

} // namespace

unsigned Player::State::buffers(const std::string &sink) const {
  auto at = sinks.find(sink);
  return at == sinks.end() ? 0 : at->second.buffers;
}

bool Player::State::saw_state(const std::string &nick) const {
  return std::find(states.begin(), states.end(), nick) != states.end();
}

bool Player::State::shows_since(const std::string &sink, uint32_t ms) const {
  auto at = sinks.find(sink);
  return at != sinks.end() && at->second.stamps.frames > 0 &&
         stamp_age_ms(at->second.stamps.last, ms) < 0;
}

Player::Player(const std::string &launch, std::vector<std::string> sinks) {
  ignore_races();
  GError *raw = nullptr;
  GstElement *made =
      gst_parse_launch_full(launch.c_str(), nullptr, GST_PARSE_FLAG_FATAL_ERRORS, &raw);
  ErrorPtr error(raw);
  fail_unless(made != nullptr, "cannot launch %s: %s", launch.c_str(),
              error ? error->message : "?");
  if (!GST_IS_PIPELINE(made)) {
    GstElement *pipeline = gst_pipeline_new(nullptr);
    gst_bin_add(GST_BIN(pipeline), made);
    made = pipeline;
  }
  pipeline_ = ObjPtr<GstElement>::adopt(made);
  GstIterator *all = gst_bin_iterate_recurse(GST_BIN(made));
  GValue item = G_VALUE_INIT;
  while (gst_iterator_next(all, &item) == GST_ITERATOR_OK) {
    auto *element = GST_ELEMENT(g_value_get_object(&item));
    auto *factory = gst_element_get_factory(element);
    if (factory && g_str_equal(GST_OBJECT_NAME(factory), "vdoninjasrc"))
      source_ = ObjPtr<GstElement>::ref(element);
    if (std::find(sinks.begin(), sinks.end(), name_of(element)) != sinks.end())
      watch(element);
    g_value_reset(&item);
  }
  g_value_unset(&item);
  gst_iterator_free(all);
  fail_unless(source_.get() != nullptr, "no vdoninjasrc in %s", launch.c_str());
  auto note = [&](const char *signal, GCallback handler) {
    g_signal_connect(source_.get(), signal, handler, this);
  };
  note("pad-added", G_CALLBACK(+[](GstElement *, GstPad *pad, gpointer self) {
         static_cast<Player *>(self)->state_.update(
             [&](State &state) { state.pads.push_back(name_of(pad)); });
       }));
  note("pad-removed", G_CALLBACK(+[](GstElement *, GstPad *pad, gpointer self) {
         static_cast<Player *>(self)->state_.update(
             [&](State &state) { state.removed.push_back(name_of(pad)); });
       }));
  note("no-more-pads", G_CALLBACK(+[](GstElement *, gpointer self) {
         static_cast<Player *>(self)->state_.update(
             [](State &state) { state.no_more_pads++; });
       }));
  auto bus = ObjPtr<GstBus>::adopt(gst_element_get_bus(made));
  gst_bus_set_sync_handler(bus.get(), on_message, this, nullptr);
}

Player::~Player() {
  stop();
  auto bus = ObjPtr<GstBus>::adopt(gst_element_get_bus(pipeline_.get()));
  gst_bus_set_sync_handler(bus.get(), nullptr, nullptr, nullptr);
  g_signal_handlers_disconnect_by_data(source_.get(), this);
}

void Player::watch(GstElement *sink) {
  auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(sink, "sink"));
  gst_pad_add_probe(pad.get(),
                    static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER |
                                                 GST_PAD_PROBE_TYPE_BUFFER_LIST |
                                                 GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
                    on_data, new Watch{this, name_of(sink)},
                    [](gpointer data) { delete static_cast<Watch *>(data); });
}

// Thread: streaming.
void Player::saw_buffer(Arrived &arrived, GstPad *pad, GstBuffer *buffer) {
  const gint64 now = g_get_monotonic_time();
  if (arrived.buffers > 0 &&
      now - arrived.last_us > arrived.gap_to_us - arrived.gap_from_us) {
    arrived.gap_from_us = arrived.last_us;
    arrived.gap_to_us = now;
  }
  arrived.last_us = now;
  arrived.buffers++;
  arrived.disconts += GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT) != 0;
  EventPtr event(gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0));
  const GstSegment *segment = nullptr;
  if (event)
    gst_event_parse_segment(event.get(), &segment);
  if (segment && GST_BUFFER_PTS_IS_VALID(buffer)) {
    GstClockTime time =
        gst_segment_to_running_time(segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer));
    arrived.backwards +=
        GST_CLOCK_TIME_IS_VALID(arrived.last_time) && time < arrived.last_time;
    arrived.last_time = time;
  }
  CapsPtr caps(gst_pad_get_current_caps(pad));
  GstVideoInfo info;
  GstVideoFrame frame;
  if (!caps || !gst_video_info_from_caps(&info, caps.get()) ||
      GST_VIDEO_INFO_FORMAT(&info) != GST_VIDEO_FORMAT_I420 ||
      !gst_video_frame_map(&frame, &info, buffer, GST_MAP_READ))
    return;
  auto *luma = static_cast<uint8_t *>(GST_VIDEO_FRAME_PLANE_DATA(&frame, 0));
  auto stamp =
      read_stamp({luma, GST_VIDEO_INFO_WIDTH(&info), GST_VIDEO_INFO_HEIGHT(&info),
                  GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 0), 1});
  gst_video_frame_unmap(&frame);
  if (stamp)
    arrived.stamps.see(*stamp);
  else
    arrived.unstamped++;
}

GstPadProbeReturn Player::on_data(GstPad *pad, GstPadProbeInfo *info, gpointer data) {
  auto *watch = static_cast<Watch *>(data);
  watch->player->state_.update([&](State &state) {
    Arrived &arrived = state.sinks[watch->sink];
    if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
      watch->player->saw_buffer(arrived, pad, gst_pad_probe_info_get_buffer(info));
      return;
    }
    if (info->type & GST_PAD_PROBE_TYPE_BUFFER_LIST) {
      auto *list = gst_pad_probe_info_get_buffer_list(info);
      for (guint i = 0; i < gst_buffer_list_length(list); i++)
        watch->player->saw_buffer(arrived, pad, gst_buffer_list_get(list, i));
      return;
    }
    GstEvent *event = gst_pad_probe_info_get_event(info);
    if (GST_EVENT_TYPE(event) == GST_EVENT_EOS)
      arrived.eos = true;
    if (GST_EVENT_TYPE(event) == GST_EVENT_STREAM_START)
      arrived.stream_starts++;
    if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS) {
      GstCaps *caps = nullptr;
      gst_event_parse_caps(event, &caps);
      arrived.caps = StrPtr(gst_caps_to_string(caps)).get();
      arrived.all_caps.push_back(arrived.caps);
    }
  });
  return GST_PAD_PROBE_OK;
}

// Thread: whoever posts.
GstBusSyncReply Player::on_message(GstBus *, GstMessage *message, gpointer self) {
  auto trouble = [&](auto parse) {
    GError *raw = nullptr;
    gchar *debug = nullptr;
    parse(message, &raw, &debug);
    ErrorPtr error(raw);
    g_free(debug);
    return Trouble{error->domain, error->code, error->message};
  };
  static_cast<Player *>(self)->state_.update([&](State &state) {
    switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_ERROR:
      state.errors.push_back(trouble(gst_message_parse_error));
      break;
    case GST_MESSAGE_WARNING:
      state.warnings.push_back(trouble(gst_message_parse_warning));
      break;
    case GST_MESSAGE_EOS:
      state.eos = true;
      break;
    case GST_MESSAGE_PROGRESS: {
      gchar *text = nullptr;
      gst_message_parse_progress(message, nullptr, nullptr, &text);
      state.progress.emplace_back(StrPtr(text).get());
      break;
    }
    case GST_MESSAGE_ELEMENT: {
      const GstStructure *s = gst_message_get_structure(message);
      state.elements.emplace_back(gst_structure_get_name(s));
      if (gst_structure_has_name(s, "vdoninja/state-changed"))
        state.states.emplace_back(gst_structure_get_string(s, "new"));
      break;
    }
    default:
      break;
    }
  });
  // Nobody takes messages from the bus: in there they would keep alive what posted them.
  gst_message_unref(message);
  return GST_BUS_DROP;
}

void Player::play(bool expect_failure) {
  auto result = gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
  fail_unless((result == GST_STATE_CHANGE_FAILURE) == expect_failure,
              "set PLAYING gave %s\n%s", gst_element_state_change_return_get_name(result),
              describe().c_str());
}

void Player::stop() {
  gint64 from = g_get_monotonic_time();
  gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
  gint64 took = (g_get_monotonic_time() - from) / 1000;
  fail_unless(took < 1000 * time_factor(), "NULL took %" G_GINT64_FORMAT " ms\n%s", took,
              describe().c_str());
}

std::string Player::describe() const {
  State state = state_.get();
  std::string text = "states:";
  for (const auto &nick : state.states)
    text += " " + nick;
  for (const auto &trouble : state.errors)
    text += "\nerror: " + trouble.text;
  for (const auto &trouble : state.warnings)
    text += "\nwarning: " + trouble.text;
  for (const auto &[name, sink] : state.sinks)
    text += "\n" + name + ": " + std::to_string(sink.buffers) + " buffers, " +
            std::to_string(sink.stamps.frames) + " stamped, caps " + sink.caps;
  return text;
}

void Player::expect(const char *what, const std::function<bool(const State &)> &ready,
                    std::chrono::milliseconds limit) const {
  fail_unless(state_.wait(limit, ready), "waited in vain for: %s\n%s", what,
              describe().c_str());
}

void Player::expect_buffers(const std::string &sink, unsigned more) const {
  unsigned wanted = state().buffers(sink) + more;
  expect("buffers", [&](const State &state) { return state.buffers(sink) >= wanted; });
}

void Player::expect_caps(const std::string &sink, const std::string &part) const {
  expect(("caps with \"" + part + "\"").c_str(), [&](const State &state) {
    auto at = state.sinks.find(sink);
    return at != state.sinks.end() && at->second.caps.find(part) != std::string::npos;
  });
}

void Player::expect_warning(const std::string &part) const {
  expect(("a warning with \"" + part + "\"").c_str(), [&](const State &state) {
    return std::any_of(
        state.warnings.begin(), state.warnings.end(),
        [&](const Trouble &t) { return t.text.find(part) != std::string::npos; });
  });
}

void Player::expect_error(const std::string &part) const {
  expect(("an error with \"" + part + "\"").c_str(), [&](const State &state) {
    return std::any_of(state.errors.begin(), state.errors.end(), [&](const Trouble &t) {
      return t.text.find(part) != std::string::npos;
    });
  });
}

void Player::assert_stream(const char *name, const char *id) const {
  auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(source(), name));
  fail_unless(bool(pad), "no pad %s", name);
  gchar *shown = nullptr;
  g_object_get(pad.get(), "stream-id", &shown, nullptr);
  fail_unless(g_strcmp0(shown, id) == 0, "%s shows '%s', not '%s'", name, shown, id);
  g_free(shown);
}

StructurePtr Player::pad_stats(const char *id) const {
  GstStructure *raw = nullptr;
  g_signal_emit_by_name(source(), "get-stats", id, &raw);
  const StructurePtr stats(raw);
  const auto first = [](const GstStructure *in, const char *list) {
    return gst_value_get_structure(
        gst_value_list_get_value(gst_structure_get_value(in, list), 0));
  };
  return StructurePtr(gst_structure_copy(first(first(stats.get(), "streams"), "pads")));
}

void Player::assert_seamless(unsigned gaps, const std::string &sink) const {
  const State state = this->state();
  const Arrived &arrived = state.sinks.at(sink);
  fail_unless(state.errors.empty() && !state.eos && !arrived.eos, "%s",
              describe().c_str());
  fail_unless_equals_int(state.pads.size(), 1);
  fail_unless_equals_int(state.removed.size(), 0);
  fail_unless_equals_int(arrived.stream_starts, 1);
  fail_unless_equals_int(arrived.backwards, 0);
  fail_unless(arrived.disconts > gaps, "%u DISCONT for %u gaps", arrived.disconts, gaps);
}

} // namespace vdn
