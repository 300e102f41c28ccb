// SPDX-License-Identifier: LGPL-2.1-or-later
// Names and secrets of VDO.Ninja: id clean-up, wire hashes, AES-256-CBC envelopes.
// Pure functions of their arguments: no I/O, clock, randomness or logging. Thread: any.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "glib-ptr.h"

namespace vdn {

using Iv = std::array<uint8_t, 16>;

// Ids longer than this do not interoperate between client families (docs/protocol.md).
constexpr size_t kMaxWireIdLength = 44;

// The form in which web publishers announce `id`: trimmed, each run of characters outside
// [A-Za-z0-9_] replaced by one '_', at most 64 characters. Empty when nothing is left.
std::string sanitize_stream_id(std::string_view id);
// The same for room names, at most 30 characters.
std::string sanitize_room(std::string_view room);

// The salt that the web client of `host` (a page's host name, no port) uses.
std::string salt_for_host(std::string_view host);

// Lower-case hex of `data`.
std::string to_hex(const uint8_t *data, size_t size);

// SHA-256 of `data`, lower-case hex.
std::string sha256_hex(const void *data, size_t size);

// Once per process, before anything else uses OpenSSL: its clean-up at exit crashes when
// threads of a DTLS connection are still ending. The system takes the memory back anyway.
void crypto_init();

enum CryptoError { CRYPTO_ERROR_DISABLED, CRYPTO_ERROR_FORMAT, CRYPTO_ERROR_PASSWORD };
GQuark crypto_error_quark();

// What a password and a salt stand for. Copyable; never prints or returns the password.
class Secret {
public:
  // NULL or blank: VDO.Ninja's default password. "false", "0" and "off" (any case):
  // neither hashing nor encryption. Anything else is trimmed and taken literally.
  Secret(const char *password, std::string_view salt);

  bool enabled() const { return enabled_; }
  // True when the user chose another password than the default; a plain-text offer is
  // then refused.
  bool custom() const { return custom_; }

  // `id` (sanitised) as it travels: cut to kMaxWireIdLength, then the 6-character suffix.
  std::string wire_stream_id(std::string_view id) const;
  // `room` (sanitised) as it travels; `token` is that of a room link with `&token=`.
  std::string wire_room(std::string_view room, std::string_view token = {}) const;
  // The id within a wire id, nullopt when it was made with another password or salt.
  std::optional<std::string> plain_stream_id(std::string_view wire_id) const;

  // AES-256-CBC with PKCS#7 padding; result in lower-case hex. Empty on failure.
  std::string encrypt(std::string_view plain, const Iv &iv) const;
  // `iv_hex`: the `vector` field, 32 hex characters. nullopt and `error` when the text is
  // no hex, the padding is wrong (another password) or encryption is switched off.
  std::optional<std::string> decrypt(std::string_view cipher_hex, std::string_view iv_hex,
                                     GError **error) const;

private:
  std::string suffix() const;

  bool enabled_ = true;
  bool custom_ = false;
  std::string phrase_; // encoded password and salt, the input of every hash
  std::array<uint8_t, 32> key_{};
};

} // namespace vdn
