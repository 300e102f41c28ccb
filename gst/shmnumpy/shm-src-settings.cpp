// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shm-src-settings.h"

namespace vdn {
namespace {

using shmnumpy::State;

enum {
  PROP_0,
  PROP_SHM_NAME,
  PROP_TIMESTAMPS,
  PROP_LATENCY,
  PROP_ON_DISCONNECT,
  PROP_TIMEOUT,
  PROP_STATE,
  PROP_STATS,
};

template <typename T> constexpr gint number(T value) {
  return static_cast<gint>(value);
}

GType timestamps_type() {
  static const GEnumValue values[] = {
      {number(Timestamps::Echo), "When the frame was due where it comes from", "echo"},
      {number(Timestamps::Arrival), "When it arrives here", "arrival"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstShmNumpySrcTimestamps", values);
  return type;
}

GType on_disconnect_type() {
  static const GEnumValue values[] = {
      {number(WithoutWriter::Wait), "Nothing, until there are frames again", "wait"},
      {number(WithoutWriter::Repeat), "The last picture, again and again", "repeat"},
      {number(WithoutWriter::Eos), "The end of the stream", "eos"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstShmNumpySrcOnDisconnect", values);
  return type;
}

GType state_type() {
  static const GEnumValue values[] = {
      {number(State::Absent), "No writer came yet, or it died", "absent"},
      {number(State::Init), "A writer without a frame yet", "init"},
      {number(State::Live), "Frames come", "live"},
      {number(State::Eos), "The stream ended, another may follow", "eos"},
      {number(State::Reconnecting), "The last frame is stale", "reconnecting"},
      {number(State::Retired), "Another ring takes its place", "retired"},
      {number(State::Stopped), "The writer has left", "stopped"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstShmNumpySrcState", values);
  return type;
}

constexpr auto kSetFlags = static_cast<GParamFlags>(
    G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY);
constexpr auto kReadFlags =
    static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

void install_read_only(GObjectClass *klass) {
  g_object_class_install_property(
      klass, PROP_STATE,
      g_param_spec_enum("state", "State", "What the writer is doing", state_type(),
                        number(State::Absent), kReadFlags));
  g_object_class_install_property(klass, PROP_STATS,
                                  g_param_spec_boxed("stats", "Statistics",
                                                     "What came, and how old it was",
                                                     GST_TYPE_STRUCTURE, kReadFlags));
}

GstStructure *structure_of(const ShmSrcCounts &counts) {
  constexpr double kMs = GST_MSECOND;
  return gst_structure_new(
      "application/x-shmnumpysrc-stats", "frames", G_TYPE_UINT64, counts.frames,
      "repeated", G_TYPE_UINT64, counts.repeated, "missed", G_TYPE_UINT64, counts.missed,
      "torn", G_TYPE_UINT64, counts.torn, "late", G_TYPE_UINT64, counts.late, "age-ms",
      G_TYPE_DOUBLE, static_cast<double>(counts.age) / kMs, "transfer-ms", G_TYPE_DOUBLE,
      static_cast<double>(counts.transfer) / kMs, nullptr);
}

} // namespace

void install_shm_src_properties(GObjectClass *klass) {
  const ShmSrcSettings defaults;
  g_object_class_install_property(
      klass, PROP_SHM_NAME,
      g_param_spec_string("shm-name", "Shared memory name",
                          "Name that the writer has, as in shmnumpysink shm-name=NAME or "
                          "shmnumpy.create(NAME); needed",
                          nullptr, kSetFlags));
  g_object_class_install_property(
      klass, PROP_TIMESTAMPS,
      g_param_spec_enum("timestamps", "Timestamps",
                        "echo: when the frame was due in the pipeline that it comes "
                        "from, so that it stays in sync with what passes beside it; "
                        "arrival: now, as for frames that do not say",
                        timestamps_type(), number(defaults.timestamps), kSetFlags));
  g_object_class_install_property(
      klass, PROP_LATENCY,
      g_param_spec_uint("latency", "Latency",
                        "Milliseconds that echoed frames may take on their way, which "
                        "sinks with sync=true wait for",
                        0, 10000, defaults.latency, kSetFlags));
  g_object_class_install_property(
      klass, PROP_ON_DISCONNECT,
      g_param_spec_enum("on-disconnect", "On disconnect",
                        "What to send once the stream ended or its writer is gone",
                        on_disconnect_type(), number(defaults.on_disconnect), kSetFlags));
  g_object_class_install_property(
      klass, PROP_TIMEOUT,
      g_param_spec_uint("timeout", "Timeout",
                        "How many seconds without a frame until an error ends the "
                        "stream, 0: none does",
                        0, G_MAXUINT, defaults.timeout, kSetFlags));
  install_read_only(klass);
  for (GType type : {timestamps_type(), on_disconnect_type(), state_type()})
    gst_type_mark_as_plugin_api(type, static_cast<GstPluginAPIFlags>(0));
}

bool set_setting(ShmSrcSettings *settings, guint id, const GValue *value) {
  switch (id) {
  case PROP_SHM_NAME: {
    const gchar *text = g_value_get_string(value);
    settings->shm_name = text ? text : "";
    break;
  }
  case PROP_TIMESTAMPS:
    settings->timestamps = static_cast<Timestamps>(g_value_get_enum(value));
    break;
  case PROP_LATENCY:
    settings->latency = g_value_get_uint(value);
    break;
  case PROP_ON_DISCONNECT:
    settings->on_disconnect = static_cast<WithoutWriter>(g_value_get_enum(value));
    break;
  case PROP_TIMEOUT:
    settings->timeout = g_value_get_uint(value);
    break;
  default:
    return false;
  }
  return true;
}

bool get_setting(const ShmSrcSettings &settings, const ShmSrcCounts &counts, State state,
                 guint id, GValue *value) {
  switch (id) {
  case PROP_SHM_NAME:
    g_value_set_string(value,
                       settings.shm_name.empty() ? nullptr : settings.shm_name.c_str());
    break;
  case PROP_TIMESTAMPS:
    g_value_set_enum(value, number(settings.timestamps));
    break;
  case PROP_LATENCY:
    g_value_set_uint(value, settings.latency);
    break;
  case PROP_ON_DISCONNECT:
    g_value_set_enum(value, number(settings.on_disconnect));
    break;
  case PROP_TIMEOUT:
    g_value_set_uint(value, settings.timeout);
    break;
  case PROP_STATE:
    g_value_set_enum(value, number(state));
    break;
  case PROP_STATS:
    g_value_take_boxed(value, structure_of(counts));
    break;
  default:
    return false;
  }
  return true;
}

} // namespace vdn
