// SPDX-License-Identifier: LGPL-2.1-or-later
#include "candidate-line.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include <glib.h>

namespace vdn {

namespace {

constexpr std::string_view kPrefix = "candidate:";
constexpr std::string_view kMulticast = ".local";
constexpr size_t kMaxFoundation = 32;
constexpr unsigned kMaxPort = 65535;
constexpr std::string_view kComponent = "1"; // RTCP is multiplexed, there is no other
// foundation, component, transport, priority, address, port, "typ" and its value
constexpr size_t kFixedWords = 8;

// At single spaces, as libnice does it: two in a row have an empty word between them.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  for (size_t end; (end = text.find(' ')) != std::string_view::npos;
       text.remove_prefix(end + 1))
    words.push_back(text.substr(0, end));
  words.push_back(text);
  return words;
}

bool is_number(std::string_view text, unsigned max) {
  unsigned number = 0;
  const char *last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  return error == std::errc() && end == last && number <= max;
}

bool equals(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() &&
         g_ascii_strncasecmp(text.data(), lower.data(), lower.size()) == 0;
}

} // namespace

bool is_candidate_line(std::string_view text) {
  if (text.size() > kMaxCandidateBytes || text.substr(0, kPrefix.size()) != kPrefix ||
      std::any_of(text.begin(), text.end(), [](char c) { return g_ascii_iscntrl(c); }))
    return false;
  const auto words = split(text.substr(kPrefix.size()));
  if (words.size() < kFixedWords || words.size() % 2 ||
      std::any_of(words.begin(), words.end(), [](auto word) { return word.empty(); }))
    return false;
  if (words[0].size() > kMaxFoundation || words[1] != kComponent ||
      !is_number(words[3], G_MAXUINT32) || !is_number(words[5], kMaxPort) ||
      words[6] != "typ")
    return false;
  bool has_tcptype = false;
  for (size_t i = kFixedWords; i < words.size(); i += 2)
    has_tcptype |= words[i] == "tcptype";
  return has_tcptype || !equals(words[2], "tcp");
}

std::string_view hidden_address(std::string_view line) {
  const auto words = split(line);
  const std::string_view address = words.size() > 4 ? words[4] : std::string_view();
  const size_t name = address.size() - std::min(address.size(), kMulticast.size());
  return equals(address.substr(name), kMulticast) ? address : std::string_view();
}

} // namespace vdn
