// SPDX-License-Identifier: LGPL-2.1-or-later
// Between the files of link.h: the text of a link and the meaning of its parameters.
#pragma once

#include "link.h"

namespace vdn {

struct LinkParameter {
  std::string name; // lower case
  std::string value;
};
using LinkQuery = std::vector<LinkParameter>;

// Sets what the parameters of `query` say, and lists those that say nothing to us.
void apply_link_query(const LinkQuery &query, Link *link);

// %xx to bytes; what is no such sequence stays. Source: URLSearchParams of the URL
// standard.
std::string percent_decode(std::string_view text, bool plus_is_space);

std::string trim_text(std::string_view text);
std::string lower_text(std::string_view text);
// Decimal, fractions cut off, at most `max`.
bool read_decimal(std::string_view value, unsigned max, std::optional<unsigned> *number);
bool is_host_name(std::string_view host);

} // namespace vdn
