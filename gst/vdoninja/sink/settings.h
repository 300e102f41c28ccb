// SPDX-License-Identifier: LGPL-2.1-or-later
// The properties of vdoninjasink as one value, and what the layers below need made of it.
#pragma once

#include <string>
#include <vector>

#include "connection-settings.h"
#include "input.h"
#include "publisher.h"

namespace vdn {

constexpr unsigned kDefaultVideoBitrate = 2500; // kbit/s
constexpr unsigned kDefaultMinBitrate = 150;
constexpr unsigned kDefaultAudioBitrate = 64;
constexpr unsigned kMaxBitrate = 100000;
constexpr unsigned kDefaultKeyframeInterval = 10; // s
constexpr unsigned kDefaultMaxViewers = 30;

enum class CongestionControl { kShared, kNone };
enum class OnConflict { kRetry, kError };

// Copied under the element's lock; then anybody's. Empty strings stand for unset.
struct PublishSettings : ConnectionSettings {
  std::string stream_id;
  std::vector<std::string> video_codecs; // empty: H264, VP8
  std::string video_encoder, audio_encoder;
  unsigned video_bitrate = kDefaultVideoBitrate;
  unsigned min_video_bitrate = kDefaultMinBitrate;
  unsigned audio_bitrate = kDefaultAudioBitrate;
  CongestionControl congestion_control = CongestionControl::kShared;
  unsigned keyframe_interval = kDefaultKeyframeInterval;
  unsigned max_viewers = kDefaultMaxViewers;
  InputSync sync = InputSync::kAuto;
  OnConflict on_conflict = OnConflict::kRetry;
  bool true_profile = false;
  bool mute_video = false, mute_audio = false;
};

// Takes over what a pasted link (?push=...) says. False and a GST_URI_ERROR `error` when
// it publishes nothing.
bool apply_push_link(const char *text, PublishSettings *settings, GError **error);

struct PublishPlan {
  PublisherConfig publisher;
  InputConfig video, audio;
  std::string stream_id;             // as viewers type it
  std::string link;                  // to view it, without a password of the user's
  std::vector<std::string> warnings; // sentences for the user
};

// Checks `settings`. False and a GST_RESOURCE_ERROR_SETTINGS `error` when they cannot
// work. Thread: any; asks the kernel for addresses, never the network.
bool plan_publishing(const PublishSettings &settings, PublishPlan *plan, GError **error);

} // namespace vdn
