// SPDX-License-Identifier: LGPL-2.1-or-later
// Links, and the URIs made of them.
#include "link.h"
#include "strict-log.h"

using namespace vdn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  GError *raw = nullptr;
  const auto link =
      parse_link(std::string_view(reinterpret_cast<const char *>(data), size), &raw);
  const ErrorPtr error(raw);
  g_assert(link.has_value() == (raw == nullptr));
  if (!link)
    return 0;
  const std::string uri = link_to_uri(*link);
  g_assert(g_utf8_validate(uri.c_str(), -1, nullptr));
  if (const auto again = parse_link(uri, nullptr))
    g_assert(link_to_uri(*again) == uri);
  return 0;
}
