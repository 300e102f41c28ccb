// SPDX-License-Identifier: LGPL-2.1-or-later
#include "json-text.h"

namespace vdn {

JsonObjectPtr parse_object(std::string_view text) {
  const JsonNodePtr root = parse_json(text);
  if (!root || !JSON_NODE_HOLDS_OBJECT(root.get()))
    return nullptr;
  // What a parser gives may be sealed: callers who change it work on this shallow copy.
  JsonObjectPtr copy(json_object_new());
  json_object_foreach_member(
      json_node_get_object(root.get()),
      [](JsonObject *, const gchar *name, JsonNode *value, gpointer to) {
        json_object_set_member(static_cast<JsonObject *>(to), name,
                               json_node_copy(value));
      },
      copy.get());
  return copy;
}

std::string string_member(JsonObject *object, const char *name) {
  JsonNode *node = json_object_get_member(object, name);
  if (!node || !JSON_NODE_HOLDS_VALUE(node))
    return {};
  if (json_node_get_value_type(node) == G_TYPE_STRING)
    return json_node_get_string(node);
  if (json_node_get_value_type(node) == G_TYPE_INT64)
    return std::to_string(json_node_get_int(node));
  return {};
}

JsonObjectPtr make_object(std::initializer_list<StringMember> members) {
  JsonObjectPtr object(json_object_new());
  for (const auto &[name, value] : members)
    json_object_set_string_member(object.get(), name, std::string(value).c_str());
  return object;
}

} // namespace vdn
