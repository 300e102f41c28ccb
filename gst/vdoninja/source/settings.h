// SPDX-License-Identifier: LGPL-2.1-or-later
// The properties of vdoninjasrc as one value, and what the layers below need made of it.
#pragma once

#include <string>
#include <vector>

#include "connection-settings.h"
#include "outputs.h"
#include "viewer.h"

namespace vdn {

constexpr int kAdaptiveLatency = -1;
constexpr int kMaxLatency = 10000;
constexpr unsigned kMaxStreamsLimit = 256;

enum class OnDisconnect { kReconnect, kEos, kError };
enum class OnLeave { kKeep, kRemove };

// Copied under the element's lock; then anybody's. Empty strings stand for unset.
struct SourceSettings : ConnectionSettings {
  std::string stream_id;
  int latency = kAdaptiveLatency; // ms
  std::vector<std::string> video_codecs;
  std::string video_decoder;
  FormChoice output_format = FormChoice::kAuto;
  bool conceal_errors = false;
  bool enable_video = true;
  bool enable_audio = true;
  unsigned video_bitrate = 0;
  unsigned max_streams = 0;
  unsigned timeout_s = 0; // 0: for ever
  OnDisconnect on_disconnect = OnDisconnect::kReconnect;
  OnLeave on_leave = OnLeave::kKeep;
  std::string published; // by the link
  // What only a link can say.
  std::vector<std::string> excluded;
  std::optional<unsigned> total_bitrate; // kbit/s, of all streams
  std::optional<bool> allow_plain;
  bool stereo = false;
  Wishes wishes;
};

// Takes over what a pasted link or vdoninja: URI says. False and a GST_URI_ERROR `error`
// when it is no such link.
bool apply_link(const char *text, SourceSettings *settings, GError **error);

struct SourcePlan {
  ViewerConfig viewer;
  OutputConfig outputs;
  unsigned timeout_s = 0;
  OnDisconnect on_disconnect = OnDisconnect::kReconnect;
  std::vector<std::string> warnings; // sentences for the user
};

// Checks `settings`. False and a GST_RESOURCE_ERROR_SETTINGS `error` when they cannot
// work. Thread: any; asks the kernel for addresses, never the network.
bool plan_source(const SourceSettings &settings, SourcePlan *plan, GError **error);

} // namespace vdn
