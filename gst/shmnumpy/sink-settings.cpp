// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sink-settings.h"

#include "shm-layout.h"

namespace vdn {
namespace {

enum {
  PROP_0,
  PROP_SHM_NAME,
  PROP_FORMAT,
  PROP_LEGACY,
  PROP_LEGACY_SIZE,
  PROP_UDP_HOST,
  PROP_UDP_PORT,
  PROP_MODE,
  PROP_SLOTS,
  PROP_MAX_WIDTH,
  PROP_MAX_HEIGHT,
};

GType format_type() {
  static const GEnumValue values[] = {
      {static_cast<gint>(OutputFormat::Auto), "RGB or BGR as it comes, YUV becomes RGB",
       "auto"},
      {static_cast<gint>(OutputFormat::Rgb), "RGB", "rgb"},
      {static_cast<gint>(OutputFormat::Bgr), "BGR, the order of OpenCV", "bgr"},
      {static_cast<gint>(OutputFormat::Native), "Any of the formats, as it comes",
       "native"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstShmNumpySinkFormat", values);
  return type;
}

GType legacy_type() {
  static const GEnumValue values[] = {
      {static_cast<gint>(shm::LegacyMode::Auto), "Filled once somebody has opened it",
       "auto"},
      {static_cast<gint>(shm::LegacyMode::Always), "Each frame is written", "always"},
      {static_cast<gint>(shm::LegacyMode::Never), "Not made", "never"},
      {0, nullptr, nullptr}};
  static const GType type = g_enum_register_static("GstShmNumpySinkLegacy", values);
  return type;
}

} // namespace

void install_sink_properties(GObjectClass *klass) {
  const auto flags = static_cast<GParamFlags>(G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS |
                                              GST_PARAM_MUTABLE_READY);
  g_object_class_install_property(
      klass, PROP_SHM_NAME,
      g_param_spec_string("shm-name", "Shared memory name",
                          "Name of the segment under /dev/shm; the ring is NAME.ring",
                          kDefaultShmName, flags));
  g_object_class_install_property(
      klass, PROP_FORMAT,
      g_param_spec_enum("format", "Format",
                        "Pixel format of the ring (the segment NAME is BGR always)",
                        format_type(), static_cast<gint>(OutputFormat::Auto), flags));
  g_object_class_install_property(
      klass, PROP_LEGACY,
      g_param_spec_enum("legacy", "Legacy segment",
                        "When to fill the segment NAME of Raspberry.Ninja's readers",
                        legacy_type(), static_cast<gint>(shm::LegacyMode::Auto), flags));
  g_object_class_install_property(
      klass, PROP_LEGACY_SIZE,
      g_param_spec_uint64(
          "legacy-size", "Legacy segment size",
          "Bytes of the segment NAME: width * height * 3 + 5 of the largest "
          "frame",
          SHMNUMPY_LEGACY_PIXELS + 3, G_MAXINT64, SHMNUMPY_LEGACY_DEFAULT_BYTES, flags));
  g_object_class_install_property(
      klass, PROP_UDP_HOST,
      g_param_spec_string("udp-host", "UDP host",
                          "Where a datagram is sent for each frame in the segment NAME",
                          kDefaultUdpHost, flags));
  g_object_class_install_property(
      klass, PROP_UDP_PORT,
      g_param_spec_uint("udp-port", "UDP port",
                        "Port of that datagram (0 = none is sent)", 0, 65535,
                        SHMNUMPY_LEGACY_UDP_PORT, flags));
  g_object_class_install_property(
      klass, PROP_MODE,
      g_param_spec_uint(
          "mode", "Mode",
          "Permissions of the shared memory, as for chmod (0600: this user, "
          "0660: the group too)",
          0600, 0777, kDefaultMode, flags));
  g_object_class_install_property(
      klass, PROP_SLOTS,
      g_param_spec_uint(
          "slots", "Slots",
          "Frames in the ring, 3 to 60 (0 = 6, or 4 for frames over 16 MiB), fewer "
          "where /dev/shm is short: the more, the longer a reader's view lasts",
          0, SHMNUMPY_MAX_SLOTS, 0, flags));
  g_object_class_install_property(
      klass, PROP_MAX_WIDTH,
      g_param_spec_uint("max-width", "Maximum width",
                        "Pixels; the ring has room for RGB frames of this size from the "
                        "start and grows only for larger ones (0 = as the caps say)",
                        0, 32767, kDefaultMaxWidth, flags));
  g_object_class_install_property(
      klass, PROP_MAX_HEIGHT,
      g_param_spec_uint("max-height", "Maximum height",
                        "Pixels; the same, both are needed (0 = as the caps say)", 0,
                        32767, kDefaultMaxHeight, flags));
  gst_type_mark_as_plugin_api(format_type(), static_cast<GstPluginAPIFlags>(0));
  gst_type_mark_as_plugin_api(legacy_type(), static_cast<GstPluginAPIFlags>(0));
}

bool set_setting(SinkSettings *settings, guint id, const GValue *value) {
  const auto text = [value] {
    const gchar *string = g_value_get_string(value);
    return std::string(string ? string : "");
  };
  switch (id) {
  case PROP_SHM_NAME:
    settings->shm_name = text();
    break;
  case PROP_FORMAT:
    settings->format = static_cast<OutputFormat>(g_value_get_enum(value));
    break;
  case PROP_LEGACY:
    settings->legacy = static_cast<shm::LegacyMode>(g_value_get_enum(value));
    break;
  case PROP_LEGACY_SIZE:
    settings->legacy_size = g_value_get_uint64(value);
    break;
  case PROP_UDP_HOST:
    settings->udp_host = text();
    break;
  case PROP_UDP_PORT:
    settings->udp_port = g_value_get_uint(value);
    break;
  case PROP_MODE:
    settings->mode = g_value_get_uint(value);
    break;
  case PROP_SLOTS:
    settings->slots = g_value_get_uint(value);
    break;
  case PROP_MAX_WIDTH:
    settings->max_width = g_value_get_uint(value);
    break;
  case PROP_MAX_HEIGHT:
    settings->max_height = g_value_get_uint(value);
    break;
  default:
    return false;
  }
  return true;
}

bool get_setting(const SinkSettings &settings, guint id, GValue *value) {
  switch (id) {
  case PROP_SHM_NAME:
    g_value_set_string(value, settings.shm_name.c_str());
    break;
  case PROP_FORMAT:
    g_value_set_enum(value, static_cast<gint>(settings.format));
    break;
  case PROP_LEGACY:
    g_value_set_enum(value, static_cast<gint>(settings.legacy));
    break;
  case PROP_LEGACY_SIZE:
    g_value_set_uint64(value, settings.legacy_size);
    break;
  case PROP_UDP_HOST:
    g_value_set_string(value, settings.udp_host.c_str());
    break;
  case PROP_UDP_PORT:
    g_value_set_uint(value, settings.udp_port);
    break;
  case PROP_MODE:
    g_value_set_uint(value, settings.mode);
    break;
  case PROP_SLOTS:
    g_value_set_uint(value, settings.slots);
    break;
  case PROP_MAX_WIDTH:
    g_value_set_uint(value, settings.max_width);
    break;
  case PROP_MAX_HEIGHT:
    g_value_set_uint(value, settings.max_height);
    break;
  default:
    return false;
  }
  return true;
}

} // namespace vdn
