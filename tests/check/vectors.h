// SPDX-License-Identifier: LGPL-2.1-or-later
// Reads the JSON files of tests/vectors. Every failure ends the test.
#pragma once

#include <string>
#include <utility>

#include <gst/check/gstcheck.h>
#include <json-glib/json-glib.h>

#include "glib-ptr.h"

namespace vdn {

inline std::string vector_path(const char *name) {
  const char *root = g_getenv("SOURCE_ROOT");
  fail_unless(root != nullptr, "SOURCE_ROOT is not set: run the test through meson");
  return std::string(root) + "/tests/vectors/" + name;
}

inline std::string read_vector_file(const char *name) {
  gchar *text = nullptr;
  gsize size = 0;
  fail_unless(g_file_get_contents(vector_path(name).c_str(), &text, &size, nullptr),
              "cannot read %s", name);
  const StrPtr owner(text);
  return std::string(text, size);
}

// Calls `each` with every object of the array `member` of a file.
template <typename Each>
void for_each_vector(const char *file, const char *member, Each each) {
  const auto parser = ObjPtr<JsonParser>::adopt(json_parser_new());
  fail_unless(
      json_parser_load_from_file(parser.get(), vector_path(file).c_str(), nullptr));
  JsonObject *root = json_node_get_object(json_parser_get_root(parser.get()));
  JsonArray *array = json_object_get_array_member(root, member);
  fail_unless(array && json_array_get_length(array) > 0, "%s lacks %s", file, member);
  for (guint i = 0; i < json_array_get_length(array); i++)
    each(json_array_get_object_element(array, i));
}

// NULL for JSON null.
inline const char *vector_string(JsonObject *object, const char *member) {
  fail_unless(json_object_has_member(object, member), "vector lacks %s", member);
  return json_object_get_null_member(object, member)
             ? nullptr
             : json_object_get_string_member(object, member);
}

} // namespace vdn
