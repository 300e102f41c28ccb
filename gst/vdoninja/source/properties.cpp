// SPDX-License-Identifier: LGPL-2.1-or-later
// Properties of vdoninjasrc.
#include "element.h"
#include "properties.h"

#define GST_CAT_DEFAULT vdoninja_src_debug

namespace vdn {

namespace {

enum {
  PROP_LOCATION = kFirstOwnProperty,
  PROP_STREAM_ID,
  PROP_LATENCY,
  PROP_VIDEO_CODECS,
  PROP_VIDEO_DECODER,
  PROP_OUTPUT_FORMAT,
  PROP_CONCEAL_ERRORS,
  PROP_ENABLE_VIDEO,
  PROP_ENABLE_AUDIO,
  PROP_VIDEO_BITRATE,
  PROP_MAX_STREAMS,
  PROP_TIMEOUT,
  PROP_ON_DISCONNECT,
  PROP_ON_LEAVE,
  PROP_STATE,
  PROP_STATS
};

void store_location(SourceSettings &settings, const GValue *value) {
  settings.location_error.clear();
  settings.location.clear();
  GError *raw = nullptr;
  const char *text = g_value_get_string(value);
  if (text && !apply_link(text, &settings, &raw))
    settings.location_error = raw->message; // told when the element starts
  ErrorPtr error(raw);
}

bool store(SourceSettings &settings, guint id, const GValue *value) {
  if (store_connection_property(&settings, id, value))
    return true;
  switch (id) {
  case PROP_LOCATION:
    store_location(settings, value);
    break;
  case PROP_STREAM_ID:
    settings.stream_id = text_of(value);
    break;
  case PROP_VIDEO_DECODER:
    settings.video_decoder = text_of(value);
    break;
  case PROP_LATENCY:
    settings.latency = g_value_get_int(value);
    break;
  case PROP_VIDEO_CODECS:
    settings.video_codecs = list_of(value);
    break;
  case PROP_OUTPUT_FORMAT:
    settings.output_format = static_cast<FormChoice>(g_value_get_enum(value));
    break;
  case PROP_CONCEAL_ERRORS:
    settings.conceal_errors = g_value_get_boolean(value);
    break;
  case PROP_ENABLE_VIDEO:
    settings.enable_video = g_value_get_boolean(value);
    break;
  case PROP_ENABLE_AUDIO:
    settings.enable_audio = g_value_get_boolean(value);
    break;
  case PROP_VIDEO_BITRATE:
    settings.video_bitrate = g_value_get_uint(value);
    break;
  case PROP_MAX_STREAMS:
    settings.max_streams = g_value_get_uint(value);
    break;
  case PROP_TIMEOUT:
    settings.timeout_s = g_value_get_uint(value);
    break;
  case PROP_ON_DISCONNECT:
    settings.on_disconnect = static_cast<OnDisconnect>(g_value_get_enum(value));
    break;
  case PROP_ON_LEAVE:
    settings.on_leave = static_cast<OnLeave>(g_value_get_enum(value));
    break;
  default:
    return false;
  }
  return true;
}

void set_property(GObject *object, guint id, const GValue *value, GParamSpec *pspec) {
  auto *self = GST_VDONINJA_SRC(object);
  std::shared_ptr<Receiver> receiver;
  {
    Lock lock(self->impl->mutex);
    receiver = self->impl->receiver;
    bool live = id == PROP_LATENCY || id == PROP_VIDEO_BITRATE;
    if (receiver && !live) {
      GST_WARNING_OBJECT(self, "%s takes effect when the element starts again",
                         pspec->name);
    }
    if (!store(self->impl->settings, id, value))
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
  }
  if (receiver && id == PROP_LATENCY)
    receiver->set_latency(g_value_get_int(value));
  if (receiver && id == PROP_VIDEO_BITRATE)
    receiver->set_video_bitrate(g_value_get_uint(value));
}

void load(const SourceSettings &settings, guint id, GValue *value) {
  switch (id) {
  case PROP_LOCATION:
    set_text(value, settings.location);
    break;
  case PROP_STREAM_ID:
    set_text(value, settings.stream_id);
    break;
  case PROP_VIDEO_DECODER:
    set_text(value, settings.video_decoder);
    break;
  case PROP_LATENCY:
    g_value_set_int(value, settings.latency);
    break;
  case PROP_VIDEO_CODECS:
    set_list(value, settings.video_codecs);
    break;
  case PROP_OUTPUT_FORMAT:
    g_value_set_enum(value, static_cast<int>(settings.output_format));
    break;
  case PROP_CONCEAL_ERRORS:
    g_value_set_boolean(value, settings.conceal_errors);
    break;
  case PROP_ENABLE_VIDEO:
    g_value_set_boolean(value, settings.enable_video);
    break;
  case PROP_ENABLE_AUDIO:
    g_value_set_boolean(value, settings.enable_audio);
    break;
  case PROP_VIDEO_BITRATE:
    g_value_set_uint(value, settings.video_bitrate);
    break;
  case PROP_MAX_STREAMS:
    g_value_set_uint(value, settings.max_streams);
    break;
  case PROP_TIMEOUT:
    g_value_set_uint(value, settings.timeout_s);
    break;
  case PROP_ON_DISCONNECT:
    g_value_set_enum(value, static_cast<int>(settings.on_disconnect));
    break;
  case PROP_ON_LEAVE:
    g_value_set_enum(value, static_cast<int>(settings.on_leave));
    break;
  default:
    break;
  }
}

void get_property(GObject *object, guint id, GValue *value, GParamSpec *) {
  auto *self = GST_VDONINJA_SRC(object);
  SourceSettings settings = copy_settings(self);
  GstVdoNinjaState state;
  {
    Lock lock(self->impl->mutex);
    state = self->impl->state;
  }
  if (id == PROP_STATE)
    g_value_set_enum(value, state);
  else if (id == PROP_STATS)
    g_value_take_boxed(value, read_stats(self, {}).release());
  else if (!load_connection_property(settings, id, value))
    load(settings, id, value);
}

void install_what_and_when(GObjectClass *klass) {
  install_text(
      klass, PROP_LOCATION, "location", "Location",
      "Link to view, as pasted (https://vdo.ninja/?view=ID&password=...) or "
      "vdoninja:?view=ID; sets the other properties. Read back without its password");
  install_text(klass, PROP_STREAM_ID, "stream-id", "Stream id",
               "Stream to play, as in ?push=ID of the publisher's link; ID:s is the "
               "screen it shares; several are separated by commas");
  g_object_class_install_property(
      klass, PROP_LATENCY,
      g_param_spec_int(
          "latency", "Latency",
          "Delay in milliseconds; -1: as much as hides what the network does, 0: none, "
          "else that of a sink with sync=true",
          kAdaptiveLatency, kMaxLatency, kAdaptiveLatency, kLiveFlags));
  install_enum(klass, PROP_ON_DISCONNECT, "on-disconnect", "On disconnect",
               "What to do when a stream that played is interrupted",
               GST_TYPE_VDONINJA_ON_DISCONNECT, GST_VDONINJA_ON_DISCONNECT_RECONNECT);
  install_enum(klass, PROP_ON_LEAVE, "on-leave", "On leave",
               "What becomes of the pads when a publisher leaves the room",
               GST_TYPE_VDONINJA_ON_LEAVE, GST_VDONINJA_ON_LEAVE_KEEP);
  install_number(klass, PROP_MAX_STREAMS, "max-streams", "Maximum of streams",
                 "How many publishers of a room are played at most, 0: no limit",
                 kMaxStreamsLimit, 0, kReadyFlags);
  install_number(
      klass, PROP_TIMEOUT, "timeout", "Timeout",
      "How many seconds to wait for the first picture or sound before an error "
      "ends the stream, 0: for ever",
      G_MAXUINT, 0, kReadyFlags);
}

void install_media(GObjectClass *klass) {
  install_list(
      klass, PROP_VIDEO_CODECS, "video-codecs", "Video codecs",
      "Codecs to accept, best first, as in <H264,VP8>; empty: what downstream takes "
      "and the installed decoders can",
      "video-codec");
  install_text(klass, PROP_VIDEO_DECODER, "video-decoder", "Video decoder",
               "Decoder to use: an element or a bin description; unset: by rank");
  install_enum(klass, PROP_OUTPUT_FORMAT, "output-format", "Output format",
               "What the pads deliver; auto asks downstream, and prefers raw",
               GST_TYPE_VDONINJA_OUTPUT_FORMAT, GST_VDONINJA_OUTPUT_FORMAT_AUTO);
  install_flag(klass, PROP_CONCEAL_ERRORS, "conceal-errors", "Conceal errors",
               "After loss show damaged pictures instead of waiting for a keyframe",
               FALSE);
  install_flag(klass, PROP_ENABLE_VIDEO, "enable-video", "Enable video",
               "Whether publishers are asked for video", TRUE);
  install_flag(klass, PROP_ENABLE_AUDIO, "enable-audio", "Enable audio",
               "Whether publishers are asked for audio", TRUE);
  install_number(klass, PROP_VIDEO_BITRATE, "video-bitrate", "Video bitrate",
                 "Highest video bitrate that publishers are asked to send, in kbit/s, 0: "
                 "their own limit",
                 100000, 0, kLiveFlags);
  install_enum(klass, PROP_STATE, "state", "State", "How far the connection has come",
               GST_TYPE_VDONINJA_STATE, GST_VDONINJA_STATE_DISCONNECTED, kReadableFlags);
  install_structure(klass, PROP_STATS, "stats", "Statistics",
                    "What arrives, for each stream");
}

} // namespace

void install_src_properties(GObjectClass *object_class) {
  object_class->set_property = set_property;
  object_class->get_property = get_property;
  install_connection_properties(
      object_class, {"Room to join; without stream-id everybody in it is played",
                     "Name under which the publisher sees us"});
  install_what_and_when(object_class);
  install_media(object_class);
  for (GType type : {GST_TYPE_VDONINJA_ON_DISCONNECT, GST_TYPE_VDONINJA_ON_LEAVE,
                     GST_TYPE_VDONINJA_OUTPUT_FORMAT, GST_TYPE_VDONINJA_STATE})
    gst_type_mark_as_plugin_api(type, static_cast<GstPluginAPIFlags>(0));
}

} // namespace vdn
