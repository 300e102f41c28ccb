// SPDX-License-Identifier: LGPL-2.1-or-later
// The properties of shmnumpysink.
#pragma once

#include <string>

#include <gst/gst.h>

#include "frame.h"
#include "shm-writer.h"

namespace vdn {

constexpr const char *kDefaultShmName = "psm_raspininja_streamid";
constexpr const char *kDefaultUdpHost = "127.0.0.1";
constexpr guint kDefaultMode = 0600;
constexpr guint kDefaultMaxWidth = 0;
constexpr guint kDefaultMaxHeight = 0;

struct SinkSettings {
  std::string shm_name = kDefaultShmName;
  OutputFormat format = OutputFormat::Auto;
  shm::LegacyMode legacy = shm::LegacyMode::Auto;
  guint64 legacy_size = SHMNUMPY_LEGACY_DEFAULT_BYTES;
  std::string udp_host = kDefaultUdpHost;
  guint udp_port = SHMNUMPY_LEGACY_UDP_PORT;
  guint mode = kDefaultMode;
  guint slots = 0;
  guint max_width = kDefaultMaxWidth;
  guint max_height = kDefaultMaxHeight;
};

// Thread: class_init.
void install_sink_properties(GObjectClass *klass);

// False if there is no such property. Thread: any, the caller serialises.
bool set_setting(SinkSettings *settings, guint id, const GValue *value);
bool get_setting(const SinkSettings &settings, guint id, GValue *value);

} // namespace vdn
