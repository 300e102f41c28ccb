// SPDX-License-Identifier: LGPL-2.1-or-later
// Properties that both elements have, and what it takes to install any.
#pragma once

#include "connection-settings.h"

G_BEGIN_DECLS

typedef enum {
  GST_VDONINJA_SIGNALING_AUTO,
  GST_VDONINJA_SIGNALING_HOSTED,
  GST_VDONINJA_SIGNALING_CUSTOM
} GstVdoNinjaSignaling; // in the order of vdn::SignalingChoice

#define GST_TYPE_VDONINJA_SIGNALING (gst_vdoninja_signaling_get_type())
GType gst_vdoninja_signaling_get_type(void);

G_END_DECLS

namespace vdn {

// Those of ConnectionSettings. An element's own begin at kFirstOwnProperty.
enum ConnectionProperty : guint {
  PROP_PASSWORD = 1,
  PROP_ROOM,
  PROP_SERVER,
  PROP_SIGNALING,
  PROP_SALT,
  PROP_LABEL,
  PROP_STUN_SERVER,
  PROP_TURN_SERVERS,
  PROP_ICE_TRANSPORT_POLICY,
  PROP_TLS_VALIDATION_FLAGS,
  PROP_TLS_DATABASE,
  kFirstOwnProperty
};

// What these mean differs: sentences for gst-inspect-1.0.
struct ConnectionBlurbs {
  const char *room, *label;
};
void install_connection_properties(GObjectClass *klass, const ConnectionBlurbs &blurbs);
// False when `id` is none of them.
bool store_connection_property(ConnectionSettings *settings, guint id,
                               const GValue *value);
bool load_connection_property(const ConnectionSettings &settings, guint id,
                              GValue *value);

constexpr auto kReadyFlags = static_cast<GParamFlags>(
    G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY);
constexpr auto kLiveFlags = static_cast<GParamFlags>(
    G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING);
constexpr auto kReadableFlags =
    static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

void install_text(GObjectClass *klass, guint id, const char *name, const char *nick,
                  const char *blurb, const char *initial = nullptr,
                  GParamFlags flags = kReadyFlags);
void install_list(GObjectClass *klass, guint id, const char *name, const char *nick,
                  const char *blurb, const char *item);
void install_enum(GObjectClass *klass, guint id, const char *name, const char *nick,
                  const char *blurb, GType type, int initial,
                  GParamFlags flags = kReadyFlags);
void install_number(GObjectClass *klass, guint id, const char *name, const char *nick,
                    const char *blurb, guint max, guint initial, GParamFlags flags);
void install_flag(GObjectClass *klass, guint id, const char *name, const char *nick,
                  const char *blurb, gboolean initial, GParamFlags flags = kReadyFlags);
void install_structure(GObjectClass *klass, guint id, const char *name, const char *nick,
                       const char *blurb); // readable

std::string text_of(const GValue *value);
void set_text(GValue *value, const std::string &text); // "" as NULL
std::vector<std::string> list_of(const GValue *value);
void set_list(GValue *value, const std::vector<std::string> &list);

} // namespace vdn
