// SPDX-License-Identifier: LGPL-2.1-or-later
#include "link.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "link-query.h"

namespace vdn {

G_DEFINE_QUARK(vdn_link_error, link_error)

namespace {

bool fail(GError **error, LinkError code, const char *problem) {
  g_set_error(error, link_error_quark(), code, "link: %s", problem);
  return false;
}

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return g_ascii_iscntrl(c); });
}

bool read_query(std::string_view text, LinkQuery *query, GError **error) {
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("&?"), text.size());
    const std::string_view pair = text.substr(0, end);
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string raw_name = percent_decode(pair.substr(0, equals), true);
    const std::string raw_value =
        percent_decode(pair.substr(std::min(equals + 1, pair.size())), true);
    if (has_control(raw_name) || has_control(raw_value))
      return fail(error, LINK_ERROR_SYNTAX, "control characters are not allowed");
    if (!raw_name.empty())
      query->push_back({lower_text(StrPtr(g_utf8_make_valid(raw_name.c_str(), -1)).get()),
                        StrPtr(g_utf8_make_valid(raw_value.c_str(), -1)).get()});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return true;
}

// "host", "host:port", "[v6]:port".
bool read_authority(std::string_view text, Link *link, GError **error) {
  const size_t colon = text.rfind(':');
  std::string_view host = text;
  if (colon != std::string_view::npos &&
      text.find(']', colon) == std::string_view::npos) {
    host = text.substr(0, colon);
    if (!read_decimal(text.substr(colon + 1), 65535, &link->port))
      return fail(error, LINK_ERROR_SYNTAX, "the port is no number");
  }
  if (!text.empty() && !is_host_name(host))
    return fail(error, LINK_ERROR_SYNTAX, "the host name is malformed");
  link->host = lower_text(host);
  return true;
}

// Cuts "scheme:[//authority][path]" off the front of `text`.
bool read_location(std::string_view *text, Link *link, GError **error) {
  const size_t colon = text->find(':');
  const std::string scheme = lower_text(text->substr(0, colon));
  if (colon == std::string_view::npos ||
      (scheme != "https" && scheme != "http" && scheme != "vdoninja"))
    return fail(error, LINK_ERROR_SYNTAX, "it has to begin with https: or vdoninja:");
  text->remove_prefix(colon + 1);
  if (text->substr(0, 2) == "//") {
    text->remove_prefix(2);
    const size_t end = std::min(text->find_first_of("/?"), text->size());
    if (!read_authority(text->substr(0, end), link, error))
      return false;
    text->remove_prefix(end);
  }
  const size_t end = std::min(text->find('?'), text->size());
  std::string_view path = text->substr(0, end);
  while (!path.empty() && path.front() == '/')
    path.remove_prefix(1);
  // https://vdo.ninja/Room; folders and files of a web server look different.
  if (path.find_first_of("/.") == std::string_view::npos)
    link->room = sanitize_room(percent_decode(path, false));
  text->remove_prefix(std::min(end + 1, text->size()));
  return true;
}

} // namespace

bool take_screen_suffix(std::string *id) {
  const size_t length = strlen(kScreenSuffix);
  if (id->size() <= length ||
      id->compare(id->size() - length, length, kScreenSuffix) != 0)
    return false;
  id->resize(id->size() - length);
  return true;
}

std::string percent_decode(std::string_view text, bool plus_is_space) {
  std::string result;
  for (size_t i = 0; i < text.size(); i++) {
    const int high = i + 2 < text.size() ? g_ascii_xdigit_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? g_ascii_xdigit_value(text[i + 2]) : -1;
    if (text[i] == '%' && high >= 0 && low >= 0) {
      result.push_back(static_cast<char>(high << 4 | low));
      i += 2;
    } else {
      result.push_back(text[i] == '+' && plus_is_space ? ' ' : text[i]);
    }
  }
  return result;
}

std::string trim_text(std::string_view text) {
  while (!text.empty() && g_ascii_isspace(text.front()))
    text.remove_prefix(1);
  while (!text.empty() && g_ascii_isspace(text.back()))
    text.remove_suffix(1);
  return std::string(text);
}

std::string lower_text(std::string_view text) {
  std::string result(text);
  for (char &c : result)
    c = g_ascii_tolower(c);
  return result;
}

bool read_decimal(std::string_view value, unsigned max, std::optional<unsigned> *number) {
  unsigned result = 0;
  const char *end = value.data() + value.size();
  const auto [rest, status] = std::from_chars(value.data(), end, result);
  const bool whole = rest == end || *rest == '.';
  if (status != std::errc() || !whole)
    return false;
  *number = std::min(result, max);
  return true;
}

bool is_host_name(std::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return g_ascii_isalnum(c) || (c && strchr(".-_:[]", c));
  });
}

std::optional<Link> parse_link(std::string_view text, GError **error) {
  if (text.size() > kMaxLinkBytes) {
    fail(error, LINK_ERROR_SIZE, "it is too long");
    return std::nullopt;
  }
  const std::string trimmed = trim_text(text);
  if (has_control(trimmed)) {
    fail(error, LINK_ERROR_SYNTAX, "control characters are not allowed");
    return std::nullopt;
  }
  std::string_view rest = trimmed;
  rest = rest.substr(0, rest.find('#'));
  Link link;
  LinkQuery query;
  if (!read_location(&rest, &link, error) || !read_query(rest, &query, error))
    return std::nullopt;
  apply_link_query(query, &link);
  if (has_control(link.password)) {
    fail(error, LINK_ERROR_SYNTAX, "control characters are not allowed");
    return std::nullopt;
  }
  if (!link.salt_given)
    link.salt = salt_for_host(link.host);
  // vdoninja://ID: host names lose their case, an id must not.
  if (link.streams.empty() && link.room.empty() &&
      link.host.find('.') == std::string::npos) {
    fail(error, LINK_ERROR_SYNTAX, "it names no stream; ids go behind ?view=");
    return std::nullopt;
  }
  return link;
}

} // namespace vdn
