// SPDX-License-Identifier: LGPL-2.1-or-later
#include "properties.h"

#define GST_USE_UNSTABLE_API
#include <gst/webrtc/webrtc.h>

G_DEFINE_ENUM_TYPE(GstVdoNinjaSignaling, gst_vdoninja_signaling,
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_SIGNALING_AUTO, "auto"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_SIGNALING_HOSTED, "hosted"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_SIGNALING_CUSTOM, "custom"))

namespace vdn {

namespace {

constexpr auto kSecretFlags = static_cast<GParamFlags>(
    G_PARAM_WRITABLE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY);

// NULL unless `id` is one of the plain texts.
std::string *text_field(ConnectionSettings *settings, guint id) {
  switch (id) {
  case PROP_PASSWORD:
    return &settings->password;
  case PROP_ROOM:
    return &settings->room;
  case PROP_SERVER:
    return &settings->server;
  case PROP_SALT:
    return &settings->salt;
  case PROP_LABEL:
    return &settings->label;
  case PROP_STUN_SERVER:
    return &settings->stun_server;
  default:
    return nullptr;
  }
}

void install_server(GObjectClass *klass, const ConnectionBlurbs &blurbs) {
  install_text(
      klass, PROP_PASSWORD, "password", "Password",
      "Password of the stream or room; unset: VDO.Ninja's default, \"false\": no "
      "encryption. Cannot be read back",
      nullptr, kSecretFlags);
  install_text(klass, PROP_ROOM, "room", "Room", blurbs.room);
  install_text(klass, PROP_SERVER, "server", "Server",
               "WebSocket address of the handshake server, wss://host:port",
               kDefaultServer);
  install_enum(klass, PROP_SIGNALING, "signaling", "Signaling",
               "Dialect of the server: auto takes hosted for VDO.Ninja's own servers and "
               "custom for all others",
               GST_TYPE_VDONINJA_SIGNALING, GST_VDONINJA_SIGNALING_AUTO);
  install_text(klass, PROP_SALT, "salt", "Salt",
               "Salt of ids and keys, for self-hosted web pages; unset: vdo.ninja");
  install_text(klass, PROP_LABEL, "label", "Label", blurbs.label);
  g_object_class_install_property(
      klass, PROP_TLS_VALIDATION_FLAGS,
      g_param_spec_flags(
          "tls-validation-flags", "TLS validation flags",
          "What is checked of certificates, the handshake server's and those of "
          "turns://",
          G_TYPE_TLS_CERTIFICATE_FLAGS, G_TLS_CERTIFICATE_VALIDATE_ALL, kReadyFlags));
  g_object_class_install_property(
      klass, PROP_TLS_DATABASE,
      g_param_spec_object("tls-database", "TLS database",
                          "Certificate authorities to trust; unset: the system's",
                          G_TYPE_TLS_DATABASE, kReadyFlags));
}

void install_ice(GObjectClass *klass) {
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
}

} // namespace

void install_connection_properties(GObjectClass *klass, const ConnectionBlurbs &blurbs) {
  install_server(klass, blurbs);
  install_ice(klass);
  gst_type_mark_as_plugin_api(GST_TYPE_VDONINJA_SIGNALING,
                              static_cast<GstPluginAPIFlags>(0));
}

bool store_connection_property(ConnectionSettings *settings, guint id,
                               const GValue *value) {
  if (auto *field = text_field(settings, id)) {
    *field = text_of(value);
    if (id == PROP_SERVER && field->empty())
      *field = kDefaultServer;
    if (id == PROP_STUN_SERVER)
      settings->stun_set = g_value_get_string(value) != nullptr;
    return true;
  }
  switch (id) {
  case PROP_SIGNALING:
    settings->signaling = static_cast<SignalingChoice>(g_value_get_enum(value));
    return true;
  case PROP_TURN_SERVERS:
    settings->turn_servers = list_of(value);
    return true;
  case PROP_ICE_TRANSPORT_POLICY:
    settings->relay_only =
        g_value_get_enum(value) == GST_WEBRTC_ICE_TRANSPORT_POLICY_RELAY;
    return true;
  case PROP_TLS_VALIDATION_FLAGS:
    settings->tls_flags = static_cast<GTlsCertificateFlags>(g_value_get_flags(value));
    return true;
  case PROP_TLS_DATABASE:
    settings->tls_database =
        ObjPtr<GTlsDatabase>::ref(static_cast<GTlsDatabase *>(g_value_get_object(value)));
    return true;
  default:
    return false;
  }
}

bool load_connection_property(const ConnectionSettings &settings, guint id,
                              GValue *value) {
  ConnectionSettings copy = settings;
  if (const auto *field = text_field(&copy, id)) {
    set_text(value, *field);
    return true;
  }
  switch (id) {
  case PROP_SIGNALING:
    g_value_set_enum(value, static_cast<int>(settings.signaling));
    return true;
  case PROP_TURN_SERVERS:
    set_list(value, settings.turn_servers);
    return true;
  case PROP_ICE_TRANSPORT_POLICY:
    g_value_set_enum(value, settings.relay_only ? GST_WEBRTC_ICE_TRANSPORT_POLICY_RELAY
                                                : GST_WEBRTC_ICE_TRANSPORT_POLICY_ALL);
    return true;
  case PROP_TLS_VALIDATION_FLAGS:
    g_value_set_flags(value, settings.tls_flags);
    return true;
  case PROP_TLS_DATABASE:
    g_value_set_object(value, settings.tls_database.get());
    return true;
  default:
    return false;
  }
}

void install_text(GObjectClass *klass, guint id, const char *name, const char *nick,
                  const char *blurb, const char *initial, GParamFlags flags) {
  g_object_class_install_property(klass, id,
                                  g_param_spec_string(name, nick, blurb, initial, flags));
}

void install_list(GObjectClass *klass, guint id, const char *name, const char *nick,
                  const char *blurb, const char *item) {
  g_object_class_install_property(
      klass, id,
      gst_param_spec_array(name, nick, blurb,
                           g_param_spec_string(item, item, item, nullptr, kReadyFlags),
                           kReadyFlags));
}

void install_enum(GObjectClass *klass, guint id, const char *name, const char *nick,
                  const char *blurb, GType type, int initial, GParamFlags flags) {
  g_object_class_install_property(
      klass, id, g_param_spec_enum(name, nick, blurb, type, initial, flags));
}

void install_number(GObjectClass *klass, guint id, const char *name, const char *nick,
                    const char *blurb, guint max, guint initial, GParamFlags flags) {
  g_object_class_install_property(
      klass, id, g_param_spec_uint(name, nick, blurb, 0, max, initial, flags));
}

void install_flag(GObjectClass *klass, guint id, const char *name, const char *nick,
                  const char *blurb, gboolean initial, GParamFlags flags) {
  g_object_class_install_property(
      klass, id, g_param_spec_boolean(name, nick, blurb, initial, flags));
}

void install_structure(GObjectClass *klass, guint id, const char *name, const char *nick,
                       const char *blurb) {
  g_object_class_install_property(
      klass, id,
      g_param_spec_boxed(name, nick, blurb, GST_TYPE_STRUCTURE, kReadableFlags));
}

std::string text_of(const GValue *value) {
  const char *text = g_value_get_string(value);
  return text ? text : "";
}

void set_text(GValue *value, const std::string &text) {
  g_value_set_string(value, text.empty() ? nullptr : text.c_str());
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

} // namespace vdn
