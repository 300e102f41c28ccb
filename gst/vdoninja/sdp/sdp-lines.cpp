// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sdp-lines.h"

#include <algorithm>
#include <charconv>

#include <glib.h>

namespace vdn {

namespace {

// The value of the attribute line `line` when it is called `name`.
std::optional<std::string_view> attribute(std::string_view line, std::string_view name) {
  if (line.substr(0, 2) != "a=" || line.substr(2, name.size()) != name)
    return std::nullopt;
  line.remove_prefix(2 + name.size());
  if (line.empty())
    return line;
  return line.front() == ':' ? std::optional(line.substr(1)) : std::nullopt;
}

} // namespace

std::vector<std::string_view> SdpSection::values(std::string_view name) const {
  std::vector<std::string_view> result;
  for (const std::string &line : lines)
    if (const auto value = attribute(line, name))
      result.push_back(*value);
  return result;
}

void SdpSection::remove_attribute(std::string_view name) {
  remove_if([name](std::string_view line) { return attribute(line, name).has_value(); });
}

void SdpSection::remove_if(const std::function<bool(std::string_view)> &unwanted) {
  lines.erase(std::remove_if(lines.begin(), lines.end(), unwanted), lines.end());
}

std::string SdpText::join() const {
  std::string result;
  const auto append = [&result](const SdpSection &section) {
    for (const std::string &line : section.lines)
      result.append(line).append("\r\n");
  };
  append(session);
  std::for_each(media.begin(), media.end(), append);
  return result;
}

std::optional<SdpText> split_sdp(std::string_view sdp) {
  SdpText text;
  for (std::string_view line : split_words(sdp, '\n')) {
    if (!line.empty() && line.back() == '\r')
      line.remove_suffix(1);
    if (line.empty())
      continue;
    const bool clean = std::none_of(
        line.begin(), line.end(), [](char c) { return g_ascii_iscntrl(c) && c != '\t'; });
    if (line.size() < 2 || !g_ascii_islower(line[0]) || line[1] != '=' || !clean)
      return std::nullopt;
    if (line[0] == 'm')
      text.media.emplace_back();
    SdpSection &section = text.media.empty() ? text.session : text.media.back();
    section.lines.emplace_back(line);
  }
  return text;
}

std::vector<std::string_view> split_words(std::string_view text, char separator) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    if (end > 0)
      words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

std::optional<unsigned> read_number(std::string_view text, unsigned max) {
  unsigned number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number > max)
    return std::nullopt;
  return number;
}

std::string_view fmtp_value(std::string_view fmtp, std::string_view name) {
  for (std::string_view pair : split_words(fmtp, ';')) {
    while (!pair.empty() && pair.front() == ' ')
      pair.remove_prefix(1);
    const size_t equals = std::min(pair.find('='), pair.size());
    if (equals == name.size() &&
        g_ascii_strncasecmp(pair.data(), name.data(), name.size()) == 0)
      return pair.substr(std::min(equals + 1, pair.size()));
  }
  return {};
}

std::optional<NumberedValue> read_numbered(std::string_view value, unsigned max) {
  const size_t end = std::min(value.find(' '), value.size());
  const auto number = read_number(value.substr(0, end), max);
  if (!number)
    return std::nullopt;
  return NumberedValue{*number, value.substr(std::min(end + 1, value.size()))};
}

std::string to_upper(std::string_view text) {
  std::string result(text);
  for (char &c : result)
    c = g_ascii_toupper(c);
  return result;
}

} // namespace vdn
