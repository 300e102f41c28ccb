// SPDX-License-Identifier: LGPL-2.1-or-later
// JSON objects as text, for the sides of the wire that pass on what they do not know.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "json.h"

namespace vdn {

// A changeable object, NULL when `text` is not one JSON object.
JsonObjectPtr parse_object(std::string_view text);
// The member as text; a number is written out. Empty when absent or of another type.
std::string string_member(JsonObject *object, const char *name);

using StringMember = std::pair<const char *, std::string_view>;
JsonObjectPtr make_object(std::initializer_list<StringMember> members);

} // namespace vdn
