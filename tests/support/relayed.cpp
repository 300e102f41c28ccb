// SPDX-License-Identifier: LGPL-2.1-or-later
#include "relayed.h"

#include <sstream>
#include <vector>

#include "json-text.h"

namespace vdn {

namespace {

// "candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ host ..."; empty
// unless it is one of UDP on 127.0.0.1.
std::string lead_candidate(UdpRelay &relay, const std::string &path, End end,
                           const std::string &candidate) {
  std::istringstream words(candidate);
  std::vector<std::string> fields;
  for (std::string word; words >> word;)
    fields.push_back(word);
  if (fields.size() < 8 || g_ascii_strcasecmp(fields[2].c_str(), "udp") != 0 ||
      fields[4] != "127.0.0.1" || fields[7] != "host")
    return {};
  const guint64 port = g_ascii_strtoull(fields[5].c_str(), nullptr, 10);
  const guint16 shown = relay.join(path, end, static_cast<guint16>(port));
  if (shown == 0)
    return {};
  fields[5] = std::to_string(shown);
  std::string result;
  for (const std::string &field : fields)
    result += (result.empty() ? "" : " ") + field;
  return result;
}

bool lead_candidates(UdpRelay &relay, JsonObject *message) {
  const End end =
      string_member(message, "type") == "local" ? End::kPublisher : End::kViewer;
  JsonArray *old = json_object_get_array_member(message, "candidates");
  JsonArray *led = json_array_new();
  for (guint i = 0; i < json_array_get_length(old); i++) {
    JsonObject *one = json_array_get_object_element(old, i);
    const std::string text = lead_candidate(relay, string_member(message, "session"), end,
                                            string_member(one, "candidate"));
    if (text.empty())
      continue;
    const JsonObjectPtr copy(make_object({{"candidate", text}}));
    for (const char *name : {"sdpMid", "sdpMLineIndex"})
      if (JsonNode *value = json_object_get_member(one, name))
        json_object_set_member(copy.get(), name, json_node_copy(value));
    json_array_add_object_element(led, json_object_ref(copy.get()));
  }
  const bool any = json_array_get_length(led) > 0;
  json_object_set_array_member(message, "candidates", led);
  return any;
}

void strip_candidates(JsonObject *message) {
  JsonObject *old = json_object_get_object_member(message, "description");
  std::istringstream lines(string_member(old, "sdp"));
  std::string sdp;
  for (std::string line; std::getline(lines, line);)
    if (line.rfind("a=candidate:", 0) != 0)
      sdp += line + "\n";
  JsonObjectPtr description(
      make_object({{"type", string_member(old, "type")}, {"sdp", sdp}}));
  json_object_set_object_member(message, "description", description.release());
}

bool holds(JsonObject *object, const char *name, JsonNodeType type) {
  JsonNode *node = json_object_get_member(object, name);
  return node && json_node_get_node_type(node) == type;
}

} // namespace

bool lead_through(UdpRelay &relay, std::string *text) {
  const JsonObjectPtr message = parse_object(*text);
  if (!message)
    return true;
  bool keep = true;
  if (holds(message.get(), "candidates", JSON_NODE_ARRAY))
    keep = lead_candidates(relay, message.get());
  if (holds(message.get(), "description", JSON_NODE_OBJECT))
    strip_candidates(message.get());
  *text = to_json(message.get());
  return keep;
}

} // namespace vdn
