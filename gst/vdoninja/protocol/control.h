// SPDX-License-Identifier: LGPL-2.1-or-later
// What a viewer asks of a publisher on the data channel, and what a publisher says there.
// Messages are sets of fields, not commands: every field counts. Thread: any. Wire facts:
// docs/protocol.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "picture-box.h"

namespace vdn {

// Absent members were not in the message, or not of a form that can be used.
struct ViewerRequest {
  std::optional<bool> video, audio; // of the first message: that medium is wanted
  // kbit/s; 0: nothing for now, below 0: no wish.
  std::optional<int> video_bitrate, audio_bitrate;
  std::optional<PictureBox> box; // that its video is shown in
  bool keyframe = false;
  bool stats = false; // once
  std::optional<bool> stats_repeated;
  std::optional<std::string> label;
  // Names of controls that need an authority which the protocol does not prove.
  std::vector<std::string> refused;
};

// nullopt when `text` is no JSON object, or too long.
std::optional<ViewerRequest> parse_viewer_request(std::string_view text);

struct PublisherInfo {
  std::string label;
  bool audio_muted = false, video_muted = false;
  bool in_room = false;
  unsigned width = 0, height = 0; // 0: no video
  unsigned fps = 0;
  std::string video_codec; // lower case
  unsigned max_kbit_s = 0;
  bool stereo = false;
  std::string version; // of this software
};
std::string encode_info(const PublisherInfo &info);

// "bandwidth", "cpu" or "none": what keeps the picture from being better.
std::string encode_quality(const char *limited_by, unsigned viewers);

struct PublisherStats {
  std::string label;
  unsigned video_kbit_s = 0, audio_kbit_s = 0;
  unsigned width = 0, height = 0;
  std::string encoder;
  const char *limited_by = "none";
};
// `id`: under which our statistics stand.
std::string encode_stats(std::string_view id, const PublisherStats &stats);

std::string encode_video_muted(bool muted);
std::string encode_audio_muted(bool muted);
std::string encode_rejected(std::string_view control);

} // namespace vdn
