// SPDX-License-Identifier: LGPL-2.1-or-later
#include "json.h"

#include <cstring>

namespace vdn {

namespace {

// Characters of JSON outside of strings. json-glib would also take comments and
// assignments, in which quotes could hide brackets from the scan below.
bool is_json_char(char c) {
  return g_ascii_isalnum(c) || (c && strchr("{}[],:+-. \t\r\n", c));
}

// One object or array with nothing behind it: json-glib would skip a second value.
bool is_bounded_json(std::string_view text) {
  int depth = 0;
  bool in_string = false, complete = false;
  for (size_t i = 0; i < text.size(); i++) {
    const char c = text[i];
    if (complete && !g_ascii_isspace(c))
      return false;
    if (c == '"')
      in_string = !in_string;
    else if (in_string)
      i += c == '\\';
    else if (!is_json_char(c))
      return false;
    else if (c == '{' || c == '[')
      depth++;
    else if (c == '}' || c == ']')
      complete = --depth <= 0;
    if (depth > kMaxJsonDepth)
      return false;
  }
  return complete && depth == 0;
}

std::string to_ascii(const char *json) {
  std::string result;
  // Parsed escapes may have spelled lone surrogates.
  const StrPtr valid(g_utf8_make_valid(json, -1));
  for (const char *p = valid.get(); *p; p = g_utf8_next_char(p)) {
    const gunichar c = g_utf8_get_char(p);
    char escaped[16];
    if (c < 0x80)
      result.push_back(static_cast<char>(c));
    else if (c < 0x10000)
      result.append(escaped, g_snprintf(escaped, sizeof escaped, "\\u%04x", c));
    else
      result.append(escaped,
                    g_snprintf(escaped, sizeof escaped, "\\u%04x\\u%04x",
                               0xD800 + ((c - 0x10000) >> 10), 0xDC00 + (c & 0x3FF)));
  }
  return result;
}

} // namespace

JsonNodePtr parse_json(std::string_view text) {
  if (!g_utf8_validate_len(text.data(), text.size(), nullptr) || !is_bounded_json(text))
    return nullptr;
  const auto parser = ObjPtr<JsonParser>::adopt(json_parser_new());
  // The scanner looks one character past the end.
  const std::string copy(text);
  if (!json_parser_load_from_data(parser.get(), copy.c_str(),
                                  static_cast<gssize>(copy.size()), nullptr))
    return nullptr;
  return JsonNodePtr(json_parser_steal_root(parser.get()));
}

std::string to_json(JsonNode *node) {
  return to_ascii(StrPtr(json_to_string(node, FALSE)).get());
}

std::string to_json(JsonObject *object) {
  const JsonNodePtr node(json_node_init_object(json_node_alloc(), object));
  return to_json(node.get());
}

} // namespace vdn
