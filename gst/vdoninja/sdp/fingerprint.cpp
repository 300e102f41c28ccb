// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fingerprint.h"

#include <cstring>

#include "glib-ptr.h"
#include "sdp-lines.h"

namespace vdn {

std::string normalize_fingerprint(std::string_view value) {
  constexpr struct {
    const char *name;
    size_t bytes;
  } kHashes[] = {{"sha-1", 20}, {"sha-256", 32}, {"sha-384", 48}, {"sha-512", 64}};
  const auto words = split_words(value);
  if (words.size() != 2)
    return {};
  for (const auto &hash : kHashes) {
    if (g_ascii_strcasecmp(std::string(words[0]).c_str(), hash.name) != 0)
      continue;
    const std::string digits = to_upper(words[1]);
    bool good = digits.size() == hash.bytes * 3 - 1;
    for (size_t i = 0; i < digits.size(); i++)
      good &= i % 3 == 2 ? digits[i] == ':' : g_ascii_isxdigit(digits[i]);
    return good ? std::string(hash.name) + " " + digits : std::string();
  }
  return {};
}

std::string certificate_fingerprint(const char *pem, std::string_view algorithm) {
  constexpr struct {
    const char *name;
    GChecksumType type;
  } kHashes[] = {{"sha-1", G_CHECKSUM_SHA1},
                 {"sha-256", G_CHECKSUM_SHA256},
                 {"sha-384", G_CHECKSUM_SHA384},
                 {"sha-512", G_CHECKSUM_SHA512}};
  constexpr char kBegin[] = "-----BEGIN CERTIFICATE-----";
  constexpr char kEnd[] = "-----END CERTIFICATE-----";
  const char *begin = pem ? strstr(pem, kBegin) : nullptr;
  const char *end = begin ? strstr(begin, kEnd) : nullptr;
  if (!end)
    return {};
  begin += strlen(kBegin);
  gsize size = 0;
  const std::string base64(begin, end);
  const std::unique_ptr<guchar, Releaser<g_free>> der(
      g_base64_decode(base64.c_str(), &size));
  if (size == 0)
    return {};
  for (const auto &hash : kHashes) {
    if (algorithm != hash.name)
      continue;
    const StrPtr hex(g_compute_checksum_for_data(hash.type, der.get(), size));
    std::string result = std::string(algorithm) + " ";
    for (size_t i = 0; hex.get()[i]; i++) {
      if (i && i % 2 == 0)
        result.push_back(':');
      result.push_back(g_ascii_toupper(hex.get()[i]));
    }
    return result;
  }
  return {};
}

} // namespace vdn
