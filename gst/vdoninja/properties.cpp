// SPDX-License-Identifier: LGPL-2.1-or-later
// Properties of vdoninjasrc.
#define GST_USE_UNSTABLE_API
#include <gst/webrtc/webrtc.h>

#include "element.h"

#define GST_CAT_DEFAULT vdoninja_src_debug

namespace vdn {

namespace {

enum {
  PROP_0,
  PROP_LOCATION,
  PROP_STREAM_ID,
  PROP_PASSWORD,
  PROP_ROOM,
  PROP_SERVER,
  PROP_SIGNALING,
  PROP_SALT,
  PROP_LABEL,
  PROP_STUN_SERVER,
  PROP_TURN_SERVERS,
  PROP_ICE_TRANSPORT_POLICY,
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
  PROP_TLS_VALIDATION_FLAGS,
  PROP_TLS_DATABASE,
  PROP_STATE,
  PROP_STATS
};

std::string text_of(const GValue *value) {
  const char *text = g_value_get_string(value);
  return text ? text : "";
}

std::vector<std::string> list_of(const GValue *value) {
  std::vector<std::string> list;
  for (guint i = 0; i < gst_value_array_get_size(value); i++) {
    const char *text = g_value_get_string(gst_value_array_get_value(value, i));
    if (text && *text)
      list.emplace_back(text);
  }
  return list;
}

void set_list(GValue *value, const std::vector<std::string> &list) {
  for (const auto &text : list) {
    GValue item = G_VALUE_INIT;
    g_value_init(&item, G_TYPE_STRING);
    g_value_set_string(&item, text.c_str());
    gst_value_array_append_and_take_value(value, &item);
  }
}

void set_text(GValue *value, const std::string &text) {
  g_value_set_string(value, text.empty() ? nullptr : text.c_str());
}

// True when `id` is one of the plain texts.
std::string *text_field(Settings &settings, guint id) {
  switch (id) {
  case PROP_STREAM_ID:
    return &settings.stream_id;
  case PROP_PASSWORD:
    return &settings.password;
  case PROP_ROOM:
    return &settings.room;
  case PROP_SERVER:
    return &settings.server;
  case PROP_SALT:
    return &settings.salt;
  case PROP_LABEL:
    return &settings.label;
  case PROP_STUN_SERVER:
    return &settings.stun_server;
  case PROP_VIDEO_DECODER:
    return &settings.video_decoder;
  default:
    return nullptr;
  }
}

void store_location(Settings &settings, const GValue *value) {
  settings.location_error.clear();
  settings.location.clear();
  GError *raw = nullptr;
  const char *text = g_value_get_string(value);
  if (text && !apply_link(text, &settings, &raw))
    settings.location_error = raw->message; // told when the element starts
  ErrorPtr error(raw);
}

bool store(Settings &settings, guint id, const GValue *value) {
  if (auto *field = text_field(settings, id)) {
    *field = text_of(value);
    if (id == PROP_SERVER && field->empty())
      *field = kDefaultServer;
    if (id == PROP_STUN_SERVER)
      settings.stun_set = g_value_get_string(value) != nullptr;
    return true;
  }
  switch (id) {
  case PROP_LOCATION:
    store_location(settings, value);
    break;
  case PROP_SIGNALING:
    settings.signaling = static_cast<GstVdoNinjaSignaling>(g_value_get_enum(value));
    break;
  case PROP_TURN_SERVERS:
    settings.turn_servers = list_of(value);
    break;
  case PROP_ICE_TRANSPORT_POLICY:
    settings.relay_only =
        g_value_get_enum(value) == GST_WEBRTC_ICE_TRANSPORT_POLICY_RELAY;
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
    settings.on_disconnect =
        static_cast<GstVdoNinjaOnDisconnect>(g_value_get_enum(value));
    break;
  case PROP_ON_LEAVE:
    settings.on_leave = static_cast<GstVdoNinjaOnLeave>(g_value_get_enum(value));
    break;
  case PROP_TLS_VALIDATION_FLAGS:
    settings.tls_flags = static_cast<GTlsCertificateFlags>(g_value_get_flags(value));
    break;
  case PROP_TLS_DATABASE:
    settings.tls_database =
        ObjPtr<GTlsDatabase>::ref(static_cast<GTlsDatabase *>(g_value_get_object(value)));
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

void load(const Settings &settings, guint id, GValue *value) {
  switch (id) {
  case PROP_SIGNALING:
    g_value_set_enum(value, settings.signaling);
    break;
  case PROP_TURN_SERVERS:
    set_list(value, settings.turn_servers);
    break;
  case PROP_ICE_TRANSPORT_POLICY:
    g_value_set_enum(value, settings.relay_only ? GST_WEBRTC_ICE_TRANSPORT_POLICY_RELAY
                                                : GST_WEBRTC_ICE_TRANSPORT_POLICY_ALL);
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
    g_value_set_enum(value, settings.on_disconnect);
    break;
  case PROP_ON_LEAVE:
    g_value_set_enum(value, settings.on_leave);
    break;
  case PROP_TLS_VALIDATION_FLAGS:
    g_value_set_flags(value, settings.tls_flags);
    break;
  case PROP_TLS_DATABASE:
    g_value_set_object(value, settings.tls_database.get());
    break;
  default:
    break;
  }
}

void get_property(GObject *object, guint id, GValue *value, GParamSpec *) {
  auto *self = GST_VDONINJA_SRC(object);
  Settings settings = copy_settings(self);
  GstVdoNinjaState state;
  {
    Lock lock(self->impl->mutex);
    state = self->impl->state;
  }
  if (id == PROP_STATE)
    g_value_set_enum(value, state);
  else if (id == PROP_STATS)
    g_value_take_boxed(value, read_stats(self, {}).release());
  else if (id == PROP_LOCATION)
    set_text(value, settings.location);
  else if (auto *field = text_field(settings, id))
    set_text(value, *field);
  else
    load(settings, id, value);
}

constexpr auto kText = static_cast<GParamFlags>(
    G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY);
constexpr auto kLive = static_cast<GParamFlags>(
    G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING);
constexpr auto kSecretText = static_cast<GParamFlags>(
    G_PARAM_WRITABLE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY);
constexpr auto kReadable =
    static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

void install_text(GObjectClass *klass, guint id, const char *name, const char *nick,
                  const char *blurb, const char *initial = nullptr,
                  GParamFlags flags = kText) {
  g_object_class_install_property(klass, id,
                                  g_param_spec_string(name, nick, blurb, initial, flags));
}

void install_list(GObjectClass *klass, guint id, const char *name, const char *nick,
                  const char *blurb, const char *item) {
  g_object_class_install_property(
      klass, id,
      gst_param_spec_array(name, nick, blurb,
                           g_param_spec_string(item, item, item, nullptr, kText), kText));
}

void install_enum(GObjectClass *klass, guint id, const char *name, const char *nick,
                  const char *blurb, GType type, int initial) {
  g_object_class_install_property(
      klass, id, g_param_spec_enum(name, nick, blurb, type, initial, kText));
}

void install_number(GObjectClass *klass, guint id, const char *name, const char *nick,
                    const char *blurb, guint max, guint initial, GParamFlags flags) {
  g_object_class_install_property(
      klass, id, g_param_spec_uint(name, nick, blurb, 0, max, initial, flags));
}

void install_flag(GObjectClass *klass, guint id, const char *name, const char *nick,
                  const char *blurb, gboolean initial) {
  g_object_class_install_property(
      klass, id, g_param_spec_boolean(name, nick, blurb, initial, kText));
}

void install_who_and_where(GObjectClass *klass) {
  install_text(
      klass, PROP_LOCATION, "location", "Location",
      "Link to view, as pasted (https://vdo.ninja/?view=ID&password=...) or "
      "vdoninja:?view=ID; sets the other properties. Read back without its password");
  install_text(klass, PROP_STREAM_ID, "stream-id", "Stream id",
               "Stream to play, as in ?push=ID of the publisher's link; ID:s is the "
               "screen it shares; several are separated by commas");
  install_text(
      klass, PROP_PASSWORD, "password", "Password",
      "Password of the stream or room; unset: VDO.Ninja's default, \"false\": no "
      "encryption. Cannot be read back",
      nullptr, kSecretText);
  install_text(klass, PROP_ROOM, "room", "Room",
               "Room to join; without stream-id everybody in it is played");
  install_text(klass, PROP_SERVER, "server", "Server",
               "WebSocket address of the handshake server, wss://host:port",
               kDefaultServer);
  install_enum(klass, PROP_SIGNALING, "signaling", "Signaling",
               "Dialect of the server: auto takes hosted for VDO.Ninja's own servers and "
               "custom for all others",
               GST_TYPE_VDONINJA_SIGNALING, GST_VDONINJA_SIGNALING_AUTO);
  install_text(klass, PROP_SALT, "salt", "Salt",
               "Salt of ids and keys, for self-hosted web pages; unset: vdo.ninja");
  install_text(klass, PROP_LABEL, "label", "Label",
               "Name under which the publisher sees us");
  g_object_class_install_property(
      klass, PROP_TLS_VALIDATION_FLAGS,
      g_param_spec_flags(
          "tls-validation-flags", "TLS validation flags",
          "What is checked of certificates, the handshake server's and those of "
          "turns://",
          G_TYPE_TLS_CERTIFICATE_FLAGS, G_TLS_CERTIFICATE_VALIDATE_ALL, kText));
  g_object_class_install_property(
      klass, PROP_TLS_DATABASE,
      g_param_spec_object("tls-database", "TLS database",
                          "Certificate authorities to trust; unset: the system's",
                          G_TYPE_TLS_DATABASE, kText));
}

void install_connection(GObjectClass *klass) {
  install_text(
      klass, PROP_STUN_SERVER, "stun-server", "STUN server",
      "stun://host:port; unset: the service's own with VDO.Ninja's servers and none "
      "with others, \"\": none");
  install_list(klass, PROP_TURN_SERVERS, "turn-servers", "TURN servers",
               "Relays to use, as in <\"turn://user:password@host:3478\">, turns:// for "
               "TLS; user and password percent-encoded",
               "turn-server");
  install_enum(klass, PROP_ICE_TRANSPORT_POLICY, "ice-transport-policy",
               "ICE transport policy", "Whether to connect directly or by relays only",
               GST_TYPE_WEBRTC_ICE_TRANSPORT_POLICY, GST_WEBRTC_ICE_TRANSPORT_POLICY_ALL);
  g_object_class_install_property(
      klass, PROP_LATENCY,
      g_param_spec_int(
          "latency", "Latency",
          "Delay in milliseconds; -1: as much as hides what the network does, 0: none, "
          "else that of a sink with sync=true",
          kAdaptiveLatency, kMaxLatency, kAdaptiveLatency, kLive));
  install_enum(klass, PROP_ON_DISCONNECT, "on-disconnect", "On disconnect",
               "What to do when a stream that played is interrupted",
               GST_TYPE_VDONINJA_ON_DISCONNECT, GST_VDONINJA_ON_DISCONNECT_RECONNECT);
  install_enum(klass, PROP_ON_LEAVE, "on-leave", "On leave",
               "What becomes of the pads when a publisher leaves the room",
               GST_TYPE_VDONINJA_ON_LEAVE, GST_VDONINJA_ON_LEAVE_KEEP);
  install_number(klass, PROP_MAX_STREAMS, "max-streams", "Maximum of streams",
                 "How many publishers of a room are played at most, 0: no limit",
                 kMaxStreamsLimit, 0, kText);
  install_number(
      klass, PROP_TIMEOUT, "timeout", "Timeout",
      "How many seconds to wait for the first picture or sound before an error "
      "ends the stream, 0: for ever",
      G_MAXUINT, 0, kText);
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
                 100000, 0, kLive);
  g_object_class_install_property(
      klass, PROP_STATE,
      g_param_spec_enum("state", "State", "How far the connection has come",
                        GST_TYPE_VDONINJA_STATE, GST_VDONINJA_STATE_DISCONNECTED,
                        kReadable));
  g_object_class_install_property(klass, PROP_STATS,
                                  g_param_spec_boxed("stats", "Statistics",
                                                     "What arrives, for each stream",
                                                     GST_TYPE_STRUCTURE, kReadable));
}

} // namespace

void install_properties(GObjectClass *object_class) {
  object_class->set_property = set_property;
  object_class->get_property = get_property;
  install_who_and_where(object_class);
  install_connection(object_class);
  install_media(object_class);
  for (GType type : {GST_TYPE_VDONINJA_SIGNALING, GST_TYPE_VDONINJA_ON_DISCONNECT,
                     GST_TYPE_VDONINJA_ON_LEAVE, GST_TYPE_VDONINJA_OUTPUT_FORMAT,
                     GST_TYPE_VDONINJA_STATE})
    gst_type_mark_as_plugin_api(type, static_cast<GstPluginAPIFlags>(0));
}

} // namespace vdn
