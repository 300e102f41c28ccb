// SPDX-License-Identifier: LGPL-2.1-or-later
#include "message.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <initializer_list>

#include "json.h"

namespace vdn {

G_DEFINE_QUARK(vdn_message_error, message_error)

namespace {

constexpr size_t kMaxIdBytes = 256;
constexpr size_t kMaxTextBytes = 512;
constexpr size_t kMaxPingBytes = 1024;
constexpr size_t kMaxScreens = 32;

using Names = std::initializer_list<const char *>;

// Keys that have a meaning here; any other is the application's.
constexpr const char *kKnownKeys[] = {
    "request",      "UUID",          "uuid",       "from",
    "streamID",     "streamid",      "roomid",     "session",
    "Session",      "description",   "candidate",  "candidates",
    "vector",       "type",          "bye",        "iceRestartRequest",
    "isScene",      "screen",        "slot",       "list",
    "listing",      "director",      "claim",      "message",
    "error",        "code",          "id",         "ping",
    "pong",         "audio",         "video",      "allowscreenvideo",
    "bitrate",      "targetBitrate", "keyframe",   "info",
    "miniInfo",     "muteState",     "videoMuted", "screenShareState",
    "rotate_video", "changeLabel",   "value",      "altUUID",
    "mid",          "smid",          "rmid"};

bool fail(GError **error, MessageError code, const char *key, const char *problem) {
  g_set_error(error, message_error_quark(), code, "message: %s %s", key, problem);
  return false;
}

// The first of `names` that is present and not null.
JsonNode *find(JsonObject *object, Names names) {
  for (const char *name : names) {
    JsonNode *node = json_object_get_member(object, name);
    if (node && !JSON_NODE_HOLDS_NULL(node))
      return node;
  }
  return nullptr;
}

bool holds(JsonNode *node, GType type) {
  return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type;
}

// Escapes can spell lone surrogates, which are no UTF-8.
const char *get_text(JsonNode *node) {
  if (!holds(node, G_TYPE_STRING))
    return nullptr;
  const char *text = json_node_get_string(node);
  return g_utf8_validate(text, -1, nullptr) ? text : nullptr;
}

std::optional<bool> get_flag(JsonNode *node) {
  if (!holds(node, G_TYPE_BOOLEAN))
    return std::nullopt;
  return json_node_get_boolean(node);
}

std::optional<int> get_int(JsonNode *node) {
  if (holds(node, G_TYPE_INT64)) {
    const gint64 value = json_node_get_int(node);
    return static_cast<int>(std::clamp<gint64>(value, INT_MIN, INT_MAX));
  }
  if (!holds(node, G_TYPE_DOUBLE))
    return std::nullopt;
  const double value = json_node_get_double(node);
  return value == value ? static_cast<int>(std::clamp(value, -1e9, 1e9)) : 0;
}

// Present, and not false: how the web client reads most of its flags.
bool is_set(JsonObject *object, const char *name) {
  JsonNode *node = find(object, {name});
  return node && get_flag(node).value_or(true);
}

// For people to read: one line of bounded length.
std::string printable(const char *text) {
  size_t length = strlen(text);
  if (length > kMaxTextBytes) {
    length = kMaxTextBytes;
    while (length && (text[length] & 0xC0) == 0x80)
      length--;
  }
  std::string result(text, length);
  for (char &c : result)
    if (g_ascii_iscntrl(c))
      c = ' ';
  return result;
}

// An id goes back out as it came: it is bounded, but nothing in it is changed.
bool read_id(JsonObject *object, Names names, std::string *id, GError **error) {
  JsonNode *node = find(object, names);
  if (!node)
    return true;
  const char *text = get_text(node);
  if (!text)
    return fail(error, MESSAGE_ERROR_TYPE, *names.begin(), "is no text");
  if (strlen(text) > kMaxIdBytes)
    return fail(error, MESSAGE_ERROR_SIZE, *names.begin(), "is too long");
  *id = text;
  return true;
}

bool read_addresses(JsonObject *object, const Address *me, Message *message,
                    GError **error) {
  std::string uuid, from, session;
  if (!read_id(object, {"request"}, &message->request, error) ||
      !read_id(object, {"streamID", "streamid"}, &message->stream_id, error) ||
      !read_id(object, {"roomid"}, &message->room, error) ||
      !read_id(object, {"session", "Session"}, &session, error) ||
      !read_id(object, {"UUID", "uuid"}, &uuid, error) ||
      !read_id(object, {"from"}, &from, error))
    return false;
  for (char &c : message->request)
    c = g_ascii_tolower(c);
  if (find(object, {"session", "Session"}))
    message->session = session;
  if (me && me->dialect == Dialect::kHosted) {
    message->peer = uuid;
  } else if (me) {
    message->peer = from;
    message->target = uuid;
  }
  return true;
}

void read_member(JsonNode *node, std::vector<Member> *members) {
  Member member;
  if (const char *text = get_text(node)) {
    member.stream_id = text;
  } else if (JSON_NODE_HOLDS_OBJECT(node)) {
    JsonObject *object = json_node_get_object(node);
    if (!read_id(object, {"UUID", "uuid"}, &member.peer, nullptr) ||
        !read_id(object, {"streamID", "streamid"}, &member.stream_id, nullptr))
      return;
  }
  const bool usable = member.stream_id.size() <= kMaxIdBytes &&
                      !(member.peer.empty() && member.stream_id.empty());
  if (usable)
    members->push_back(std::move(member));
}

void read_members(JsonObject *object, Message *message) {
  JsonNode *node = find(object, {"list", "listing"});
  if (!node || !JSON_NODE_HOLDS_ARRAY(node))
    return;
  message->has_members = true;
  JsonArray *array = json_node_get_array(node);
  const guint count = json_array_get_length(array);
  for (guint i = 0; i < count && message->members.size() < kMaxListMembers; i++)
    read_member(json_array_get_element(array, i), &message->members);
}

// What a server says. On the data channel such keys are not looked for.
void read_notices(JsonObject *object, Message *message) {
  read_members(object, message);
  if (JsonNode *node = find(object, {"director"})) {
    if (const char *text = get_text(node); text && strlen(text) <= kMaxIdBytes)
      message->director = text;
    else if (get_flag(node).value_or(false))
      message->director = message->peer;
  }
  if (const char *text = get_text(find(object, {"message"})))
    message->text = printable(text);
  if (const char *text = get_text(find(object, {"error"}));
      text && message->text.empty()) {
    // Self-hosted servers put the text here and send no `request`.
    message->text = printable(text);
    if (message->request.empty())
      message->request = "error";
  }
  if (const char *text = get_text(find(object, {"id"}));
      text && strlen(text) <= kMaxIdBytes)
    message->own_id = text;
}

std::optional<std::string> read_echo(JsonObject *object, const char *name) {
  if (!json_object_has_member(object, name))
    return std::nullopt;
  std::string value = to_json(json_object_get_member(object, name));
  if (value.size() > kMaxPingBytes)
    return std::nullopt;
  return value;
}

void read_screens(JsonObject *object, Message *message) {
  JsonNode *node = find(object, {"screen"});
  if (!node || !JSON_NODE_HOLDS_ARRAY(node))
    return;
  JsonArray *array = json_node_get_array(node);
  const guint count = json_array_get_length(array);
  for (guint i = 0; i < count && message->screen.size() < kMaxScreens; i++)
    if (const auto index = get_int(json_array_get_element(array, i)))
      message->screen.push_back(*index);
}

void read_rotation(JsonNode *node, PeerNews *news) {
  if (const auto degrees = get_int(node))
    news->rotation = ((*degrees % 360) + 360) % 360;
  else if (get_flag(node) == false)
    news->rotation = 0;
}

// `info` describes the start, the keys beside it what changed since.
void read_news(JsonObject *object, PeerNews *news) {
  JsonNode *info = find(object, {"info"});
  if (info && JSON_NODE_HOLDS_OBJECT(info)) {
    JsonObject *first = json_node_get_object(info);
    if (const char *text = get_text(find(first, {"label"})))
      news->label = printable(text);
    news->audio_muted = get_flag(find(first, {"muted"}));
    news->video_muted = get_flag(find(first, {"video_muted_init"}));
    news->screen_share = get_flag(find(first, {"screenShareState"}));
    read_rotation(find(first, {"rotate_video"}), news);
  }
  if (const char *text = get_text(find(object, {"value"}));
      text && is_set(object, "changeLabel"))
    news->label = printable(text);
  const auto update = [&](const char *name, std::optional<bool> *flag) {
    if (const auto value = get_flag(find(object, {name})))
      *flag = value;
  };
  update("muteState", &news->audio_muted);
  update("videoMuted", &news->video_muted);
  update("screenShareState", &news->screen_share);
  read_rotation(find(object, {"rotate_video"}), news);
}

void read_controls(JsonObject *object, Message *message) {
  message->bye =
      is_set(object, "bye") || message->request == "cleanup" || message->request == "bye";
  message->ice_restart = is_set(object, "iceRestartRequest");
  message->scene = is_set(object, "isScene");
  message->keyframe = is_set(object, "keyframe");
  message->ping = read_echo(object, "ping");
  message->pong = read_echo(object, "pong");
  message->wants_audio = get_flag(find(object, {"audio"}));
  message->wants_video = get_flag(find(object, {"video"}));
  message->wants_screen = get_flag(find(object, {"allowscreenvideo"}));
  message->bitrate = get_int(find(object, {"bitrate"}));
  const char *type = get_text(find(object, {"type"}));
  message->from_publisher = type && g_ascii_strcasecmp(type, "local") == 0;
  read_screens(object, message);
  read_news(object, &message->news);

  JsonObjectIter iter;
  const char *name;
  json_object_iter_init(&iter, object);
  while (!message->app_data && json_object_iter_next(&iter, &name, nullptr))
    message->app_data =
        std::none_of(std::begin(kKnownKeys), std::end(kKnownKeys),
                     [name](const char *key) { return strcmp(key, name) == 0; });
}

// Sets `node` to the member `name`, decrypted when it came in an envelope, NULL when
// absent.
bool open(JsonObject *object, const char *name, const Secret &secret, JsonNodePtr *node,
          bool *encrypted, GError **error) {
  JsonNode *member = find(object, {name});
  if (!member)
    return true;
  if (!holds(member, G_TYPE_STRING)) {
    node->reset(json_node_ref(member));
    return true;
  }
  const char *vector = get_text(find(object, {"vector"}));
  if (!vector)
    return fail(error, MESSAGE_ERROR_TYPE, name, "is text without a vector");
  GError *raw = nullptr;
  const auto plain = secret.decrypt(json_node_get_string(member), vector, &raw);
  const ErrorPtr reason(raw);
  if (g_error_matches(raw, crypto_error_quark(), CRYPTO_ERROR_FORMAT))
    return fail(error, MESSAGE_ERROR_TYPE, name, raw->message);
  if (raw)
    return fail(error, MESSAGE_ERROR_PASSWORD, name, raw->message);
  // One wrong key in 256 ends in a valid padding by chance.
  *node = parse_json(*plain);
  if (!*node)
    return fail(error, MESSAGE_ERROR_PASSWORD, name, "makes no sense once decrypted");
  *encrypted = true;
  return true;
}

bool read_description(JsonNode *node, Message *message, GError **error) {
  if (!JSON_NODE_HOLDS_OBJECT(node))
    return fail(error, MESSAGE_ERROR_TYPE, "description", "is no object");
  JsonObject *object = json_node_get_object(node);
  const char *type = get_text(find(object, {"type"}));
  const char *sdp = get_text(find(object, {"sdp"}));
  const bool offer = type && g_str_equal(type, "offer");
  if (!sdp || !(offer || (type && g_str_equal(type, "answer"))))
    return fail(error, MESSAGE_ERROR_TYPE, "description", "is neither offer nor answer");
  if (strlen(sdp) > kMaxSdpBytes)
    return fail(error, MESSAGE_ERROR_SIZE, "description", "is too long");
  message->description = Description{offer, sdp};
  return true;
}

std::optional<Candidate> read_candidate(JsonNode *node) {
  if (!JSON_NODE_HOLDS_OBJECT(node))
    return std::nullopt;
  JsonObject *object = json_node_get_object(node);
  const char *text = get_text(find(object, {"candidate"}));
  if (text && g_str_has_prefix(text, "a="))
    text += 2;
  if (!text || !is_candidate_line(text))
    return std::nullopt;
  Candidate candidate;
  candidate.text = text;
  JsonNode *mid = find(object, {"sdpMid", "mid", "smid", "rmid"});
  if (const auto number = get_int(mid))
    candidate.mid = std::to_string(*number);
  else if (const char *name = get_text(mid); name && strlen(name) <= kMaxIdBytes)
    candidate.mid = name;
  candidate.mline = std::max(-1, get_int(find(object, {"sdpMLineIndex"})).value_or(-1));
  return candidate;
}

bool read_candidates(JsonNode *node, Message *message, GError **error) {
  if (!JSON_NODE_HOLDS_ARRAY(node))
    return fail(error, MESSAGE_ERROR_TYPE, "candidates", "is no array");
  JsonArray *array = json_node_get_array(node);
  const guint count = json_array_get_length(array);
  message->candidates_cut = count > kMaxCandidates;
  for (guint i = 0; i < std::min<guint>(count, kMaxCandidates); i++)
    if (auto candidate = read_candidate(json_array_get_element(array, i)))
      message->candidates.push_back(std::move(*candidate));
  return true;
}

bool read_payload(JsonObject *object, const Secret &secret, Message *message,
                  GError **error) {
  JsonNodePtr description, bundle, single;
  if (!open(object, "description", secret, &description, &message->encrypted, error) ||
      !open(object, "candidates", secret, &bundle, &message->encrypted, error) ||
      !open(object, "candidate", secret, &single, &message->encrypted, error))
    return false;
  if (description && !read_description(description.get(), message, error))
    return false;
  if (bundle && !read_candidates(bundle.get(), message, error))
    return false;
  if (single && !JSON_NODE_HOLDS_OBJECT(single.get()))
    return fail(error, MESSAGE_ERROR_TYPE, "candidate", "is no object");
  if (single)
    if (auto candidate = read_candidate(single.get()))
      message->candidates.push_back(std::move(*candidate));
  return true;
}

} // namespace

std::optional<Message> parse_message(std::string_view text, const Address *me,
                                     const Secret &secret, GError **error) {
  if (text.size() > kMaxMessageBytes) {
    fail(error, MESSAGE_ERROR_SIZE, "text", "is too long");
    return std::nullopt;
  }
  const JsonNodePtr root = parse_json(text);
  if (!root || !JSON_NODE_HOLDS_OBJECT(root.get())) {
    fail(error, MESSAGE_ERROR_SYNTAX, "text", "is no JSON object");
    return std::nullopt;
  }
  JsonObject *object = json_node_get_object(root.get());
  Message message;
  if (!read_addresses(object, me, &message, error))
    return std::nullopt;
  // What a bus carries between others may be under their password: no failure of ours.
  if (me && !is_for_us(message, *me))
    return message;
  if (me)
    read_notices(object, &message);
  read_controls(object, &message);
  if (!read_payload(object, secret, &message, error))
    return std::nullopt;
  return message;
}

bool is_for_us(const Message &message, const Address &me) {
  if (me.dialect == Dialect::kHosted)
    return true;
  return (message.peer.empty() || message.peer != me.self) &&
         (message.target.empty() || message.target == me.self) &&
         (message.room.empty() || message.room == me.wire_room);
}

} // namespace vdn
