// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypto.h"

#include <algorithm>
#include <climits>
#include <memory>
#include <vector>

#include <openssl/err.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

namespace vdn {

G_DEFINE_QUARK(vdn_crypto_error, crypto_error)

namespace {

constexpr char kDefaultPassword[] = "someEncryptionKey123";
constexpr char kDefaultSalt[] = "vdo.ninja";
constexpr size_t kMaxStreamId = 64;
constexpr size_t kMaxRoom = 30;
constexpr size_t kSuffixLength = 6;
constexpr size_t kWireRoomLength = 16;
constexpr size_t kBlock = 16;

using CipherPtr = std::unique_ptr<EVP_CIPHER_CTX, Releaser<EVP_CIPHER_CTX_free>>;

// A failed decryption must not leave its error in the thread's queue: the next TLS or
// DTLS call on this thread would take it for its own.
class ErrorMark {
public:
  ErrorMark() { ERR_set_mark(); }
  ~ErrorMark() { ERR_pop_to_mark(); }
};

std::string_view trim(std::string_view text) {
  while (!text.empty() && g_ascii_isspace(text.front()))
    text.remove_prefix(1);
  while (!text.empty() && g_ascii_isspace(text.back()))
    text.remove_suffix(1);
  return text;
}

std::string sanitize(std::string_view text, size_t max) {
  std::string result;
  bool in_run = false;
  for (char c : trim(text)) {
    const bool word = g_ascii_isalnum(c) || c == '_';
    if (word || !in_run)
      result.push_back(word ? c : '_');
    in_run = !word;
  }
  result.resize(std::min(result.size(), max));
  return result;
}

bool from_hex(std::string_view hex, std::vector<uint8_t> *bytes) {
  if (hex.size() % 2)
    return false;
  bytes->reserve(hex.size() / 2);
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = g_ascii_xdigit_value(hex[i]);
    const int low = g_ascii_xdigit_value(hex[i + 1]);
    if (high < 0 || low < 0)
      return false;
    bytes->push_back(static_cast<uint8_t>(high << 4 | low));
  }
  return true;
}

bool sha256(const void *data, size_t size, uint8_t *digest) {
  return EVP_Digest(data, size, digest, nullptr, EVP_sha256(), nullptr) == 1;
}

// Eight groups, with or without brackets: the only spelling of IPv6 that the web client
// recognises as an address.
bool is_full_ipv6(std::string_view host) {
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  return std::count(host.begin(), host.end(), ':') == 7 &&
         g_hostname_is_ip_address(std::string(host).c_str());
}

bool is_ipv4(const std::string &host) {
  return host.find(':') == std::string::npos && g_hostname_is_ip_address(host.c_str());
}

std::string_view last_two_labels(std::string_view host) {
  const size_t last = host.rfind('.');
  if (last == std::string_view::npos || last == 0)
    return host;
  const size_t before = host.rfind('.', last - 1);
  return before == std::string_view::npos ? host : host.substr(before + 1);
}

} // namespace

std::string sanitize_stream_id(std::string_view id) {
  return sanitize(id, kMaxStreamId);
}

std::string sanitize_room(std::string_view room) {
  return sanitize(room, kMaxRoom);
}

std::string salt_for_host(std::string_view host) {
  std::string name(host);
  for (char &c : name)
    c = g_ascii_tolower(c);
  if (name.empty() || name == "localhost" || name == "steveseguin.github.io" ||
      is_ipv4(name) || is_full_ipv6(name))
    return kDefaultSalt;
  const std::string_view domain = last_two_labels(name);
  for (const char *family :
       {"vdo.ninja", "rtc.ninja", "versus.cam", "socialstream.ninja"})
    if (domain == family)
      return family;
  return name;
}

std::string to_hex(const uint8_t *data, size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(size * 2);
  for (size_t i = 0; i < size; i++) {
    hex.push_back(kDigits[data[i] >> 4]);
    hex.push_back(kDigits[data[i] & 15]);
  }
  return hex;
}

std::string sha256_hex(const void *data, size_t size) {
  uint8_t digest[32];
  return sha256(data, size, digest) ? to_hex(digest, sizeof digest) : std::string();
}

void crypto_init() {
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);
}

Secret::Secret(const char *password, std::string_view salt) {
  std::string chosen(trim(password ? password : ""));
  for (const char *off : {"false", "0", "off"})
    if (g_ascii_strcasecmp(chosen.c_str(), off) == 0)
      enabled_ = false;
  if (!enabled_)
    return;
  custom_ = !chosen.empty() && chosen != kDefaultPassword;
  if (chosen.empty())
    chosen = kDefaultPassword;
  // With these four allowed the result is that of JavaScript's encodeURIComponent().
  phrase_ = StrPtr(g_uri_escape_string(chosen.c_str(), "!*'()", FALSE)).get();
  phrase_ += salt;
  sha256(phrase_.data(), phrase_.size(), key_.data());
}

std::string Secret::suffix() const {
  return enabled_ ? to_hex(key_.data(), kSuffixLength / 2) : std::string();
}

std::string Secret::wire_stream_id(std::string_view id) const {
  if (!enabled_)
    return std::string(id);
  size_t length = std::min(id.size(), kMaxWireIdLength);
  // Not inside a UTF-8 sequence: an id may be used as typed, without clean-up.
  while (length && length < id.size() && (id[length] & 0xC0) == 0x80)
    length--;
  return std::string(id.substr(0, length)) + suffix();
}

std::string Secret::wire_room(std::string_view room, std::string_view token) const {
  if (!enabled_)
    return std::string(room);
  const std::string input = std::string(room) + phrase_ + std::string(token);
  return sha256_hex(input.data(), input.size()).substr(0, kWireRoomLength);
}

std::optional<std::string> Secret::plain_stream_id(std::string_view wire_id) const {
  const std::string end = suffix();
  if (wire_id.size() <= end.size() || wire_id.substr(wire_id.size() - end.size()) != end)
    return std::nullopt;
  return std::string(wire_id.substr(0, wire_id.size() - end.size()));
}

std::string Secret::encrypt(std::string_view plain, const Iv &iv) const {
  if (!enabled_ || plain.size() > INT_MAX - kBlock)
    return {};
  const ErrorMark mark;
  CipherPtr ctx(EVP_CIPHER_CTX_new());
  std::vector<uint8_t> out(plain.size() + kBlock);
  int size = 0, rest = 0;
  const auto *in = reinterpret_cast<const uint8_t *>(plain.data());
  if (!ctx ||
      !EVP_EncryptInit_ex(ctx.get(), EVP_aes_256_cbc(), nullptr, key_.data(),
                          iv.data()) ||
      !EVP_EncryptUpdate(ctx.get(), out.data(), &size, in,
                         static_cast<int>(plain.size())) ||
      !EVP_EncryptFinal_ex(ctx.get(), out.data() + size, &rest))
    return {};
  return to_hex(out.data(), static_cast<size_t>(size) + static_cast<size_t>(rest));
}

std::optional<std::string> Secret::decrypt(std::string_view cipher_hex,
                                           std::string_view iv_hex,
                                           GError **error) const {
  if (!enabled_) {
    g_set_error_literal(error, crypto_error_quark(), CRYPTO_ERROR_DISABLED,
                        "text is encrypted, but the password is switched off");
    return std::nullopt;
  }
  std::vector<uint8_t> cipher, iv;
  if (cipher_hex.size() > INT_MAX || !from_hex(cipher_hex, &cipher) || cipher.empty() ||
      cipher.size() % kBlock || !from_hex(iv_hex, &iv) || iv.size() != Iv().size()) {
    g_set_error_literal(
        error, crypto_error_quark(), CRYPTO_ERROR_FORMAT,
        "encrypted text is not hex of whole 16-byte blocks with a vector");
    return std::nullopt;
  }
  const ErrorMark mark;
  CipherPtr ctx(EVP_CIPHER_CTX_new());
  std::string plain(cipher.size() + kBlock, '\0');
  int size = 0, rest = 0;
  auto *out = reinterpret_cast<uint8_t *>(plain.data());
  if (!ctx ||
      !EVP_DecryptInit_ex(ctx.get(), EVP_aes_256_cbc(), nullptr, key_.data(),
                          iv.data()) ||
      !EVP_DecryptUpdate(ctx.get(), out, &size, cipher.data(),
                         static_cast<int>(cipher.size())) ||
      !EVP_DecryptFinal_ex(ctx.get(), out + size, &rest)) {
    g_set_error_literal(error, crypto_error_quark(), CRYPTO_ERROR_PASSWORD,
                        "text was encrypted with another password or salt");
    return std::nullopt;
  }
  plain.resize(static_cast<size_t>(size) + static_cast<size_t>(rest));
  return plain;
}

} // namespace vdn
