// SPDX-License-Identifier: LGPL-2.1-or-later
// Properties of vdoninjasink.
#include "properties.h"

#include "publish-impl.h"

#define GST_CAT_DEFAULT vdoninja_sink_debug

namespace vdn {

namespace {

enum {
  PROP_LOCATION = kFirstOwnProperty,
  PROP_STREAM_ID,
  PROP_VIDEO_CODECS,
  PROP_VIDEO_ENCODER,
  PROP_AUDIO_ENCODER,
  PROP_VIDEO_BITRATE,
  PROP_MIN_VIDEO_BITRATE,
  PROP_AUDIO_BITRATE,
  PROP_CONGESTION_CONTROL,
  PROP_KEYFRAME_INTERVAL,
  PROP_MAX_VIEWERS,
  PROP_SYNC,
  PROP_ON_CONFLICT,
  PROP_H264_PROFILE_IN_SDP,
  PROP_MUTE_VIDEO,
  PROP_MUTE_AUDIO,
  PROP_VIEWERS,
  PROP_STATE,
  PROP_STATS
};

void store_location(PublishSettings &settings, const GValue *value) {
  settings.location_error.clear();
  settings.location.clear();
  GError *raw = nullptr;
  const char *text = g_value_get_string(value);
  if (text && !apply_push_link(text, &settings, &raw))
    settings.location_error = raw->message; // told when the element starts
  const ErrorPtr error(raw);
}

bool store(PublishSettings &settings, guint id, const GValue *value) {
  if (store_connection_property(&settings, id, value))
    return true;
  switch (id) {
  case PROP_LOCATION:
    store_location(settings, value);
    break;
  case PROP_STREAM_ID:
    settings.stream_id = text_of(value);
    break;
  case PROP_VIDEO_CODECS:
    settings.video_codecs = list_of(value);
    break;
  case PROP_VIDEO_ENCODER:
    settings.video_encoder = text_of(value);
    break;
  case PROP_AUDIO_ENCODER:
    settings.audio_encoder = text_of(value);
    break;
  case PROP_VIDEO_BITRATE:
    settings.video_bitrate = g_value_get_uint(value);
    break;
  case PROP_MIN_VIDEO_BITRATE:
    settings.min_video_bitrate = g_value_get_uint(value);
    break;
  case PROP_AUDIO_BITRATE:
    settings.audio_bitrate = g_value_get_uint(value);
    break;
  case PROP_CONGESTION_CONTROL:
    settings.congestion_control = static_cast<CongestionControl>(g_value_get_enum(value));
    break;
  case PROP_KEYFRAME_INTERVAL:
    settings.keyframe_interval = g_value_get_uint(value);
    break;
  case PROP_MAX_VIEWERS:
    settings.max_viewers = g_value_get_uint(value);
    break;
  case PROP_SYNC:
    settings.sync = static_cast<InputSync>(g_value_get_enum(value));
    break;
  case PROP_ON_CONFLICT:
    settings.on_conflict = static_cast<OnConflict>(g_value_get_enum(value));
    break;
  case PROP_H264_PROFILE_IN_SDP:
    settings.true_profile = g_value_get_boolean(value);
    break;
  case PROP_MUTE_VIDEO:
    settings.mute_video = g_value_get_boolean(value);
    break;
  case PROP_MUTE_AUDIO:
    settings.mute_audio = g_value_get_boolean(value);
    break;
  default:
    return false;
  }
  return true;
}

// What has an effect while it runs.
void apply(GstVdoNinjaSink *self, guint id, const PublishSettings &settings) {
  auto sender = current_sender(self);
  if (!sender)
    return;
  const bool video = id == PROP_MUTE_VIDEO, audio = id == PROP_MUTE_AUDIO;
  if (id == PROP_VIDEO_BITRATE || id == PROP_MIN_VIDEO_BITRATE ||
      id == PROP_AUDIO_BITRATE)
    sender->set_limits({settings.min_video_bitrate, settings.video_bitrate},
                       settings.audio_bitrate);
  for (const auto &input : current_inputs(self)) {
    if (video && input->is_video())
      input->set_muted(settings.mute_video);
    if (audio && !input->is_video())
      input->set_muted(settings.mute_audio);
  }
  if (video)
    sender->set_muted(settings.mute_video, std::nullopt);
  if (audio)
    sender->set_muted(std::nullopt, settings.mute_audio);
}

bool is_live(guint id) {
  return id == PROP_VIDEO_BITRATE || id == PROP_MIN_VIDEO_BITRATE ||
         id == PROP_AUDIO_BITRATE || id == PROP_MUTE_VIDEO || id == PROP_MUTE_AUDIO;
}

void set_property(GObject *object, guint id, const GValue *value, GParamSpec *pspec) {
  auto *self = GST_VDONINJA_SINK(object);
  PublishSettings settings;
  {
    Lock lock(self->impl->mutex);
    if (self->impl->sender && !is_live(id))
      GST_WARNING_OBJECT(self, "%s takes effect when the element starts again",
                         pspec->name);
    if (!store(self->impl->settings, id, value))
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    settings = self->impl->settings;
  }
  apply(self, id, settings);
}

void load(const PublishSettings &settings, guint id, GValue *value) {
  switch (id) {
  case PROP_LOCATION:
    set_text(value, settings.location);
    break;
  case PROP_STREAM_ID:
    set_text(value, settings.stream_id);
    break;
  case PROP_VIDEO_CODECS:
    set_list(value, settings.video_codecs);
    break;
  case PROP_VIDEO_ENCODER:
    set_text(value, settings.video_encoder);
    break;
  case PROP_AUDIO_ENCODER:
    set_text(value, settings.audio_encoder);
    break;
  case PROP_VIDEO_BITRATE:
    g_value_set_uint(value, settings.video_bitrate);
    break;
  case PROP_MIN_VIDEO_BITRATE:
    g_value_set_uint(value, settings.min_video_bitrate);
    break;
  case PROP_AUDIO_BITRATE:
    g_value_set_uint(value, settings.audio_bitrate);
    break;
  case PROP_CONGESTION_CONTROL:
    g_value_set_enum(value, static_cast<int>(settings.congestion_control));
    break;
  case PROP_KEYFRAME_INTERVAL:
    g_value_set_uint(value, settings.keyframe_interval);
    break;
  case PROP_MAX_VIEWERS:
    g_value_set_uint(value, settings.max_viewers);
    break;
  case PROP_SYNC:
    g_value_set_enum(value, static_cast<int>(settings.sync));
    break;
  case PROP_ON_CONFLICT:
    g_value_set_enum(value, static_cast<int>(settings.on_conflict));
    break;
  case PROP_H264_PROFILE_IN_SDP:
    g_value_set_boolean(value, settings.true_profile);
    break;
  case PROP_MUTE_VIDEO:
    g_value_set_boolean(value, settings.mute_video);
    break;
  case PROP_MUTE_AUDIO:
    g_value_set_boolean(value, settings.mute_audio);
    break;
  default:
    break;
  }
}

void get_property(GObject *object, guint id, GValue *value, GParamSpec *) {
  auto *self = GST_VDONINJA_SINK(object);
  PublishSettings settings;
  GstVdoNinjaSinkState state;
  {
    Lock lock(self->impl->mutex);
    settings = self->impl->settings;
    state = self->impl->state;
  }
  if (id == PROP_STATE) {
    g_value_set_enum(value, state);
  } else if (id == PROP_STATS) {
    g_value_take_boxed(value, read_publish_stats(self).release());
  } else if (id == PROP_VIEWERS) {
    auto sender = current_sender(self);
    g_value_set_uint(value, sender ? sender->viewers() : 0);
  } else if (!load_connection_property(settings, id, value)) {
    load(settings, id, value);
  }
}

void install_what(GObjectClass *klass) {
  install_text(klass, PROP_LOCATION, "location", "Location",
               "Link to publish, as pasted (https://vdo.ninja/?push=ID&password=...); "
               "sets the other properties. Read back without its password");
  install_text(klass, PROP_STREAM_ID, "stream-id", "Stream id",
               "Name to publish under, as in ?view=ID of the viewers' link; unset: by "
               "chance, told by the message vdoninja/published");
  install_number(klass, PROP_MAX_VIEWERS, "max-viewers", "Maximum of viewers",
                 "How many may watch at once, 0: no limit", 10000, kDefaultMaxViewers,
                 kReadyFlags);
  install_enum(klass, PROP_ON_CONFLICT, "on-conflict", "On conflict",
               "What to do while another publisher has the stream-id",
               GST_TYPE_VDONINJA_ON_CONFLICT, GST_VDONINJA_ON_CONFLICT_RETRY);
  install_enum(klass, PROP_SYNC, "sync", "Sync",
               "Whether input waits for the clock; auto: what is not live, as files",
               GST_TYPE_VDONINJA_SYNC, GST_VDONINJA_SYNC_AUTO);
  install_flag(klass, PROP_MUTE_VIDEO, "mute-video", "Mute video",
               "Whether viewers are shown no picture for now", FALSE, kLiveFlags);
  install_flag(klass, PROP_MUTE_AUDIO, "mute-audio", "Mute audio",
               "Whether viewers hear nothing for now", FALSE, kLiveFlags);
}

void install_encoding(GObjectClass *klass) {
  install_list(klass, PROP_VIDEO_CODECS, "video-codecs", "Video codecs",
               "Codecs of raw video, best first, as in <H264,VP8>, which is the default; "
               "each is encoded once for all who take it",
               "video-codec");
  install_text(klass, PROP_VIDEO_ENCODER, "video-encoder", "Video encoder",
               "Encoder to use: an element or a bin description; unset: by rank");
  install_text(klass, PROP_AUDIO_ENCODER, "audio-encoder", "Audio encoder",
               "Encoder to use: an element or a bin description; unset: by rank");
  install_number(klass, PROP_VIDEO_BITRATE, "video-bitrate", "Video bitrate",
                 "Highest video bitrate, in kbit/s", kMaxBitrate, kDefaultVideoBitrate,
                 kLiveFlags);
  install_number(klass, PROP_MIN_VIDEO_BITRATE, "min-video-bitrate",
                 "Minimal video bitrate",
                 "Lowest video bitrate that a slow network makes us send, in kbit/s",
                 kMaxBitrate, kDefaultMinBitrate, kLiveFlags);
  install_number(klass, PROP_AUDIO_BITRATE, "audio-bitrate", "Audio bitrate",
                 "Audio bitrate, in kbit/s", 510, kDefaultAudioBitrate, kLiveFlags);
  install_enum(klass, PROP_CONGESTION_CONTROL, "congestion-control", "Congestion control",
               "Whether the viewers' networks decide the bitrate",
               GST_TYPE_VDONINJA_CONGESTION_CONTROL,
               GST_VDONINJA_CONGESTION_CONTROL_SHARED);
  install_number(klass, PROP_KEYFRAME_INTERVAL, "keyframe-interval", "Keyframe interval",
                 "Seconds between keyframes that nobody asked for, 0: none", 3600,
                 kDefaultKeyframeInterval, kReadyFlags);
  install_flag(
      klass, PROP_H264_PROFILE_IN_SDP, "h264-profile-in-sdp", "H.264 profile in SDP",
      "Announce H.264 that passes as what it is, not as constrained baseline", FALSE);
}

} // namespace

void install_publish_properties(GObjectClass *object_class) {
  object_class->set_property = set_property;
  object_class->get_property = get_property;
  install_connection_properties(object_class, {"Room to join; whoever is there may watch",
                                               "Name under which viewers see us"});
  install_what(object_class);
  install_encoding(object_class);
  g_object_class_install_property(object_class, PROP_VIEWERS,
                                  g_param_spec_uint("viewers", "Viewers",
                                                    "How many watch", 0, G_MAXUINT, 0,
                                                    kReadableFlags));
  install_enum(object_class, PROP_STATE, "state", "State", "How far publishing has come",
               GST_TYPE_VDONINJA_SINK_STATE, GST_VDONINJA_SINK_STATE_DISCONNECTED,
               kReadableFlags);
  install_structure(object_class, PROP_STATS, "stats", "Statistics",
                    "What is sent, to each viewer");
  for (GType type : {GST_TYPE_VDONINJA_SINK_STATE, GST_TYPE_VDONINJA_CONGESTION_CONTROL,
                     GST_TYPE_VDONINJA_ON_CONFLICT, GST_TYPE_VDONINJA_SYNC})
    gst_type_mark_as_plugin_api(type, static_cast<GstPluginAPIFlags>(0));
}

} // namespace vdn
