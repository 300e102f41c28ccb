// SPDX-License-Identifier: LGPL-2.1-or-later
// Walks through the recorded messages of tests/vectors/transcripts.
#pragma once

#include "crypto.h"
#include "vectors.h"

namespace vdn {

struct TranscriptLine {
  std::string file;
  bool data_channel = false;
  bool incoming = false;
  std::string text;            // as on the wire
  JsonObject *raw = nullptr;   // `text`, parsed
  JsonObject *plain = nullptr; // decrypted parts, NULL when nothing was encrypted
};

inline Secret transcript_secret(const std::string &file) {
  const bool custom = file.find("custom-password") != std::string::npos;
  const bool off = file.find("password-off") != std::string::npos;
  return Secret(custom ? "hunter2" : off ? "false" : nullptr, "vdo.ninja");
}

inline ObjPtr<JsonParser> parse_trusted(const char *text) {
  auto parser = ObjPtr<JsonParser>::adopt(json_parser_new());
  fail_unless(json_parser_load_from_data(parser.get(), text, -1, nullptr), "%s", text);
  return parser;
}

template <typename Each> int for_each_line_of(const std::string &file, Each each) {
  const std::string text = read_vector_file(("transcripts/" + file).c_str());
  int count = 0;
  for (size_t start = 0, end; (end = text.find('\n', start)) != std::string::npos;
       start = end + 1) {
    const auto outer = parse_trusted(text.substr(start, end - start).c_str());
    JsonObject *object = json_node_get_object(json_parser_get_root(outer.get()));
    TranscriptLine line;
    line.file = file;
    line.data_channel = file.find(".dc.") != std::string::npos;
    line.incoming = g_str_equal(vector_string(object, "dir"), "in");
    line.text = vector_string(object, "msg");
    const auto inner = parse_trusted(line.text.c_str());
    line.raw = json_node_get_object(json_parser_get_root(inner.get()));
    if (json_object_has_member(object, "plain"))
      line.plain = json_object_get_object_member(object, "plain");
    each(line);
    count++;
  }
  return count;
}

// Calls `each` with every TranscriptLine of every file; returns how many there were.
template <typename Each> int for_each_transcript_line(Each each) {
  GDir *dir = g_dir_open(vector_path("transcripts").c_str(), 0, nullptr);
  fail_unless(dir != nullptr);
  int count = 0;
  while (const gchar *name = g_dir_read_name(dir))
    if (g_str_has_suffix(name, ".jsonl"))
      count += for_each_line_of(name, each);
  g_dir_close(dir);
  return count;
}

} // namespace vdn
