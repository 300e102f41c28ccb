// SPDX-License-Identifier: LGPL-2.1-or-later
#include "control.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>

#include "json.h"
#include "message.h"

namespace vdn {

namespace {

constexpr size_t kMaxLabelBytes = 256;
constexpr int kMaxKbits = 1000000;
constexpr int kMaxPixels = 1 << 20;
constexpr size_t kMaxRefused = 16;

// Presence counts, false too. Source: game-capture and ninja-obs-plugin, which refuse the
// same; a web client takes these from a director only.
constexpr const char *kRefused[] = {"hangup",
                                    "refreshVideo",
                                    "refreshMicrophone",
                                    "refreshConnection",
                                    "refreshAll",
                                    "restartWhip",
                                    "requestVideoHack",
                                    "requestAudioHack",
                                    "getVideoSettings",
                                    "getAudioSettings",
                                    "changeCamera",
                                    "changeMicrophone",
                                    "changeSpeaker",
                                    "remoteVideoMuted",
                                    "volume",
                                    "reload",
                                    "zoom",
                                    "focus",
                                    "pan",
                                    "tilt",
                                    "keyframeRate",
                                    "rotate",
                                    "mirrorGuestState",
                                    "obsCommand",
                                    "action",
                                    "group",
                                    "requestFile",
                                    "requestVideoRecord",
                                    "requestChangeEQ",
                                    "requestCoop",
                                    "autoSync",
                                    "lowerVolume"};

JsonNode *find(JsonObject *object, const char *name) {
  JsonNode *node = json_object_get_member(object, name);
  return node && !JSON_NODE_HOLDS_NULL(node) ? node : nullptr;
}

bool holds(JsonNode *node, GType type) {
  return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type;
}

std::optional<bool> flag(JsonNode *node) {
  if (!holds(node, G_TYPE_BOOLEAN))
    return std::nullopt;
  return json_node_get_boolean(node);
}

// A number as clients write them, text included; nullopt for NaN and all else.
std::optional<int> number(JsonNode *node, int most) {
  double value = NAN;
  if (holds(node, G_TYPE_INT64)) {
    value = static_cast<double>(json_node_get_int(node));
  } else if (holds(node, G_TYPE_DOUBLE)) {
    value = json_node_get_double(node);
  } else if (holds(node, G_TYPE_STRING)) {
    const char *text = json_node_get_string(node);
    gchar *end = nullptr;
    value = g_ascii_strtod(text, &end);
    if (end == text || *end)
      return std::nullopt;
  }
  if (std::isnan(value))
    return std::nullopt;
  return static_cast<int>(std::clamp<double>(value, -1, most));
}

// `bitrate` pauses by 0 and has no wish below; `targetBitrate` has none by false, and its
// 0 says nothing.
std::optional<int> bitrate(JsonObject *object, const char *plain, const char *target) {
  if (const auto value = number(find(object, plain), kMaxKbits))
    return value;
  JsonNode *node = find(object, target);
  if (flag(node) == false)
    return -1;
  const auto value = number(node, kMaxKbits);
  return value && *value > 0 ? value : std::nullopt;
}

// null and what cannot be are no bound. What is to cover its place is cut off at the
// sides: how large it has to be is not said.
std::optional<PictureBox> box(JsonNode *node) {
  if (!node || !JSON_NODE_HOLDS_OBJECT(node))
    return std::nullopt;
  JsonObject *object = json_node_get_object(node);
  if (flag(find(object, "c")).value_or(false))
    return PictureBox();
  auto side = [object](const char *name) {
    return static_cast<unsigned>(
        std::max(number(find(object, name), kMaxPixels).value_or(0), 0));
  };
  return PictureBox{side("w"), side("h")};
}

void read_label(JsonObject *object, ViewerRequest *request) {
  JsonNode *info = find(object, "info");
  JsonNode *label = info && JSON_NODE_HOLDS_OBJECT(info)
                        ? find(json_node_get_object(info), "label")
                        : nullptr;
  if (!holds(label, G_TYPE_STRING))
    return;
  const char *text = json_node_get_string(label);
  if (!g_utf8_validate(text, -1, nullptr) || strlen(text) > kMaxLabelBytes)
    return;
  std::string clean(text);
  for (char &c : clean)
    if (g_ascii_iscntrl(c))
      c = ' ';
  request->label = clean;
}

JsonObjectPtr new_object() {
  return JsonObjectPtr(json_object_new());
}

void set(const JsonObjectPtr &object, const char *name, std::string_view value) {
  json_object_set_string_member(object.get(), name, std::string(value).c_str());
}
void set_flag(const JsonObjectPtr &object, const char *name, bool value) {
  json_object_set_boolean_member(object.get(), name, value);
}
void set_number(const JsonObjectPtr &object, const char *name, unsigned value) {
  json_object_set_int_member(object.get(), name, value);
}

std::string with_flag(const char *name, bool value) {
  const auto object = new_object();
  set_flag(object, name, value);
  return to_json(object.get());
}

} // namespace

std::optional<ViewerRequest> parse_viewer_request(std::string_view text) {
  if (text.size() > kMaxMessageBytes)
    return std::nullopt;
  const JsonNodePtr root = parse_json(text);
  if (!root || !JSON_NODE_HOLDS_OBJECT(root.get()))
    return std::nullopt;
  JsonObject *object = json_node_get_object(root.get());
  ViewerRequest request;
  if (json_object_has_member(object, "requestAs"))
    return request; // meant for others
  request.video = flag(find(object, "video"));
  request.audio = flag(find(object, "audio"));
  request.video_bitrate = bitrate(object, "bitrate", "targetBitrate");
  if (const auto hidden = number(find(object, "optimizedBitrate"), kMaxKbits))
    request.video_bitrate = hidden;
  request.audio_bitrate = bitrate(object, "audioBitrate", "targetAudioBitrate");
  request.box = box(find(object, "requestResolution"));
  request.keyframe = flag(find(object, "keyframe")).value_or(false) ||
                     flag(find(object, "requestKeyframe")).value_or(false);
  request.stats = flag(find(object, "requestStats")).value_or(false);
  request.stats_repeated = flag(find(object, "requestStatsContinuous"));
  read_label(object, &request);
  for (const char *name : kRefused)
    if (json_object_has_member(object, name) && request.refused.size() < kMaxRefused)
      request.refused.emplace_back(name);
  return request;
}

std::string encode_info(const PublisherInfo &info) {
  auto inner = new_object();
  set(inner, "label", info.label);
  set_flag(inner, "muted", info.audio_muted);
  set_flag(inner, "video_muted_init", info.video_muted);
  set_flag(inner, "room_init", info.in_room);
  set_flag(inner, "rotate_video", false);
  set(inner, "version", info.version);
  set(inner, "useragent", "GStreamer");
  if (info.width && info.height) {
    set_number(inner, "video_init_width", info.width);
    set_number(inner, "video_init_height", info.height);
    set_number(inner, "width_url", info.width);
    set_number(inner, "height_url", info.height);
  }
  if (info.fps)
    set_number(inner, "video_init_frameRate", info.fps);
  if (!info.video_codec.empty())
    set(inner, "codec_url", info.video_codec);
  if (info.max_kbit_s)
    set_number(inner, "maxvb_url", info.max_kbit_s);
  set_flag(inner, "stereo_url", info.stereo);
  set_flag(inner, "screenShareState", false);
  set_flag(inner, "remote", false);
  set_flag(inner, "obs_control", false);
  const auto object = new_object();
  json_object_set_object_member(object.get(), "info", inner.release());
  return to_json(object.get());
}

std::string encode_quality(const char *limited_by, unsigned viewers) {
  auto out = new_object();
  set_number(out, "c", viewers);
  auto inner = new_object();
  set(inner, "qlr", limited_by);
  json_object_set_object_member(inner.get(), "out", out.release());
  const auto object = new_object();
  json_object_set_object_member(object.get(), "miniInfo", inner.release());
  return to_json(object.get());
}

std::string encode_stats(std::string_view id, const PublisherStats &stats) {
  auto ours = new_object();
  set(ours, "label", stats.label);
  set_number(ours, "video_bitrate_kbps", stats.video_kbit_s);
  set_number(ours, "audio_bitrate_kbps", stats.audio_kbit_s);
  set(ours, "resolution",
      std::to_string(stats.width) + " x " + std::to_string(stats.height));
  set(ours, "video_encoder", stats.encoder);
  set(ours, "quality_limitation_reason", stats.limited_by);
  auto all = new_object();
  json_object_set_object_member(all.get(), std::string(id).c_str(), ours.release());
  const auto object = new_object();
  json_object_set_object_member(object.get(), "remoteStats", all.release());
  return to_json(object.get());
}

std::string encode_video_muted(bool muted) {
  return with_flag("videoMuted", muted);
}

std::string encode_audio_muted(bool muted) {
  return with_flag("muteState", muted);
}

std::string encode_rejected(std::string_view control) {
  const auto object = new_object();
  set(object, "rejected", control);
  return to_json(object.get());
}

} // namespace vdn
