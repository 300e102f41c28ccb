// SPDX-License-Identifier: LGPL-2.1-or-later
// An SDP as lines of text: what GstSDPMessage cannot refuse has to be seen before it, and
// lines that we leave alone stay as they came. Thread: any.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vdn {

using SdpLines = std::vector<std::string>;

// The session's lines, or those of one m-line with the m= line first.
struct SdpSection {
  SdpLines lines;

  // Values of the attribute `name`, in order; empty text for a flag. Views into `lines`.
  std::vector<std::string_view> values(std::string_view name) const;
  bool has(std::string_view name) const { return !values(name).empty(); }
  void remove_attribute(std::string_view name);
  void remove_if(const std::function<bool(std::string_view)> &unwanted);
};

struct SdpText {
  SdpSection session;
  std::vector<SdpSection> media;

  std::string join() const;
};

// Cuts `sdp` into sections. nullopt when a line does not look like `x=...`.
std::optional<SdpText> split_sdp(std::string_view sdp);

std::vector<std::string_view> split_words(std::string_view text, char separator = ' ');

std::string to_upper(std::string_view text); // of ASCII

// A decimal number from 0 to `max`, nullopt for anything else.
std::optional<unsigned> read_number(std::string_view text, unsigned max);

// The value of `name` (lower case) among `name=value` pairs separated by ';'.
std::string_view fmtp_value(std::string_view fmtp, std::string_view name);

// "96" and the rest of "96 rest": how rtpmap, fmtp, rtcp-fb and extmap values begin.
struct NumberedValue {
  unsigned number = 0;
  std::string_view rest;
};
std::optional<NumberedValue> read_numbered(std::string_view value, unsigned max);

} // namespace vdn
