// SPDX-License-Identifier: LGPL-2.1-or-later
#include "message.h"

#include "json.h"

namespace vdn {

namespace {

JsonObjectPtr new_object() {
  return JsonObjectPtr(json_object_new());
}

void set(const JsonObjectPtr &object, const char *name, std::string_view value) {
  json_object_set_string_member(object.get(), name, std::string(value).c_str());
}

void set_flag(const JsonObjectPtr &object, const char *name, bool value) {
  json_object_set_boolean_member(object.get(), name, value);
}

void address(const JsonObjectPtr &object, const Address *me, std::string_view peer) {
  if (!me)
    return;
  if (!peer.empty())
    set(object, "UUID", peer);
  if (me->dialect == Dialect::kHosted)
    return;
  set(object, "from", me->self);
  if (!me->wire_room.empty())
    set(object, "roomid", me->wire_room);
}

std::string encode_request(const Address &me, const char *request,
                           std::string_view wire_id) {
  const auto object = new_object();
  set(object, "request", request);
  if (!wire_id.empty())
    set(object, "streamID", wire_id);
  address(object, &me, {});
  return to_json(object.get());
}

// One flag in a message of its own.
std::string encode_flag(const char *name) {
  const auto object = new_object();
  set_flag(object, name, true);
  return to_json(object.get());
}

// Adds `value` (consumed) under `name`, encrypted when the envelope says so.
std::string enclose(const Envelope &to, JsonObjectPtr object, const char *name,
                    JsonNodePtr value) {
  address(object, to.me, to.peer);
  if (to.session)
    set(object, "session", *to.session);
  else
    json_object_set_null_member(object.get(), "session");
  if (!to.stream_id.empty())
    set(object, "streamID", to.stream_id);
  if (!to.secret) {
    json_object_set_member(object.get(), name, value.release());
    return to_json(object.get());
  }
  const std::string cipher = to.secret->encrypt(to_json(value.get()), to.iv);
  if (cipher.empty())
    return {};
  set(object, name, cipher);
  set(object, "vector", to_hex(to.iv.data(), to.iv.size()));
  return to_json(object.get());
}

JsonNodePtr node_of(JsonObjectPtr object) {
  return JsonNodePtr(json_node_init_object(json_node_alloc(), object.get()));
}

} // namespace

std::string encode_play(const Address &me, std::string_view wire_id) {
  return encode_request(me, "play", wire_id);
}

std::string encode_seed(const Address &me, std::string_view wire_id) {
  return encode_request(me, "seed", wire_id);
}

std::string encode_join(const Address &me, std::string_view wire_room,
                        std::string_view wire_id) {
  const auto object = new_object();
  set(object, "request", "joinroom");
  if (!wire_id.empty())
    set(object, "streamID", wire_id);
  address(object, &me, {});
  set(object, "roomid", wire_room);
  return to_json(object.get());
}

std::string encode_description(const Envelope &to, const Description &description) {
  auto inner = new_object();
  set(inner, "type", description.offer ? "offer" : "answer");
  set(inner, "sdp", description.sdp);
  return enclose(to, new_object(), "description", node_of(std::move(inner)));
}

std::string encode_candidates(const Envelope &to,
                              const std::vector<Candidate> &candidates,
                              bool from_publisher) {
  JsonArray *array = json_array_new();
  for (const Candidate &candidate : candidates) {
    auto inner = new_object();
    set(inner, "candidate", candidate.text);
    if (!candidate.mid.empty())
      set(inner, "sdpMid", candidate.mid);
    if (candidate.mline >= 0)
      json_object_set_int_member(inner.get(), "sdpMLineIndex", candidate.mline);
    json_array_add_object_element(array, inner.release());
  }
  JsonNodePtr node(json_node_new(JSON_NODE_ARRAY));
  json_node_take_array(node.get(), array);
  auto object = new_object();
  set(object, "type", from_publisher ? "local" : "remote");
  return enclose(to, std::move(object), "candidates", std::move(node));
}

namespace {

void set(const JsonObjectPtr &object, const char *key, std::optional<unsigned> value) {
  if (value)
    json_object_set_int_member(object.get(), key, *value);
}

// To fit into, not to cover, and never to be enlarged.
void set_resolution(const JsonObjectPtr &object, std::optional<unsigned> width,
                    std::optional<unsigned> height) {
  auto inner = new_object();
  for (const auto &[key, value] : {std::pair("w", width), std::pair("h", height)})
    if (value)
      set(inner, key, value);
    else
      json_object_set_null_member(inner.get(), key);
  set_flag(inner, "s", false);
  set_flag(inner, "c", false);
  json_object_set_object_member(object.get(), "requestResolution", inner.release());
}

} // namespace

std::string encode_init(const Wishes &wishes) {
  const auto object = new_object();
  set_flag(object, "audio", wishes.audio);
  set_flag(object, "video", wishes.video);
  set_flag(object, "allowscreenaudio", wishes.screen_audio);
  set_flag(object, "allowscreenvideo", wishes.screen_video);
  // Media by any other way than RTP, and messages that only a browser has a use for.
  for (const char *name :
       {"allowchunked", "allowmeshcast", "allowwhipout", "allowwebp", "broadcast",
        "iframe", "widget", "downloads", "allowmidi", "allowdrawing", "allowresources",
        "guest", "director", "limitaudio", "forceios"})
    set_flag(object, name, false);
  if (!wishes.scene.empty())
    set(object, "scene", wishes.scene);
  else
    set_flag(object, "scene", false);
  if (wishes.show_director <= 1)
    set_flag(object, "showDirector", wishes.show_director == 1);
  else
    set(object, "showDirector", wishes.show_director);
  set(object, "keyframeRate", wishes.keyframe_interval);
  set(object, "scale", wishes.scale);
  set(object, "audioBitrate", wishes.audio_bitrate);
  if (wishes.max_width || wishes.max_height)
    set_resolution(object, wishes.max_width, wishes.max_height);
  if (!wishes.video_codec.empty())
    set(object, "preferVideoCodec", wishes.video_codec);
  auto info = new_object();
  if (!wishes.label.empty())
    set(info, "label", wishes.label);
  set(info, "version", wishes.version);
  set(info, "useragent", "GStreamer");
  set_flag(info, "obs", false);
  json_object_set_object_member(object.get(), "info", info.release());
  return to_json(object.get());
}

std::string encode_pong(std::string_view ping_json) {
  return "{\"pong\":" + std::string(ping_json) + "}";
}

std::string encode_ping(int64_t value) {
  const auto object = new_object();
  json_object_set_int_member(object.get(), "ping", value);
  return to_json(object.get());
}

std::string encode_bye() {
  return encode_flag("bye");
}

std::string encode_resolution(unsigned width, unsigned height) {
  const auto object = new_object();
  set_resolution(object, width, height);
  return to_json(object.get());
}

std::string encode_bitrate(int kbps) {
  // A negative value reaches the encoder of a Raspberry.Ninja publisher.
  g_return_val_if_fail(kbps >= 0, std::string());
  const auto object = new_object();
  // Browsers cap `bitrate` by `targetBitrate`, which a pause must not lower.
  if (kbps > 0)
    json_object_set_int_member(object.get(), "targetBitrate", kbps);
  json_object_set_int_member(object.get(), "bitrate", kbps);
  return to_json(object.get());
}

} // namespace vdn
