// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crypto.h"

#include <openssl/err.h>

#include "vectors.h"

using namespace vdn;

namespace {

constexpr char kFile[] = "crypto.json";

void assert_text(const std::string &actual, const char *expected) {
  fail_unless_equals_string(actual.c_str(), expected);
  fail_unless_equals_int(actual.size(), strlen(expected));
}

Iv iv_of(const char *hex) {
  Iv iv{};
  for (size_t i = 0; i < iv.size(); i++)
    iv[i] = static_cast<uint8_t>(g_ascii_xdigit_value(hex[2 * i]) << 4 |
                                 g_ascii_xdigit_value(hex[2 * i + 1]));
  return iv;
}

void assert_refused(const Secret &secret, std::string_view cipher, std::string_view iv,
                    CryptoError code) {
  GError *raw = nullptr;
  fail_if(secret.decrypt(cipher, iv, &raw).has_value());
  const ErrorPtr error(raw);
  fail_unless(g_error_matches(raw, crypto_error_quark(), code), "%s", raw->message);
}

constexpr char kVector[] = "000102030405060708090a0b0c0d0e0f";

} // namespace

GST_START_TEST(test_crypto_vectors_sanitize) {
  for_each_vector(kFile, "sanitize", [](JsonObject *v) {
    const char *input = vector_string(v, "input");
    assert_text(g_str_equal(vector_string(v, "kind"), "room") ? sanitize_room(input)
                                                              : sanitize_stream_id(input),
                vector_string(v, "output"));
  });
  assert_text(sanitize_stream_id(""), "");
  assert_text(sanitize_stream_id(" \t\n"), "");
  assert_text(sanitize_stream_id("!!!"), "_");
  assert_text(sanitize_stream_id(std::string_view("a\0b", 3)), "a_b");
  assert_text(sanitize_stream_id("\xff\xfe!x"), "_x");
}
GST_END_TEST

GST_START_TEST(test_crypto_vectors_salts) {
  for_each_vector(kFile, "salts", [](JsonObject *v) {
    assert_text(salt_for_host(vector_string(v, "host")), vector_string(v, "salt"));
  });
  assert_text(salt_for_host(""), "vdo.ninja");
  assert_text(salt_for_host("VDO.Ninja"), "vdo.ninja");
  assert_text(salt_for_host("notvdo.ninja"), "notvdo.ninja");
  assert_text(salt_for_host("2001:db8:0:0:0:0:0:1"), "vdo.ninja");
  assert_text(salt_for_host("[2001:db8:0:0:0:0:0:1]"), "vdo.ninja");
  assert_text(salt_for_host("[2001:db8::1]"), "[2001:db8::1]");
  assert_text(salt_for_host("."), ".");
  assert_text(salt_for_host("host"), "host");
}
GST_END_TEST

// Given a password, when a room is hashed, then the input is room, encoded password,
// salt.
GST_START_TEST(test_crypto_vectors_passwords) {
  for_each_vector(kFile, "passwords", [](JsonObject *v) {
    const Secret secret(vector_string(v, "input"), "salt");
    const bool enabled = json_object_get_boolean_member(v, "enabled");
    fail_unless_equals_int(secret.enabled(), enabled);
    if (!enabled)
      return;
    const std::string input = std::string("room") + vector_string(v, "encoded") + "salt";
    assert_text(secret.wire_room("room"),
                sha256_hex(input.data(), input.size()).substr(0, 16).c_str());
  });
}
GST_END_TEST

GST_START_TEST(test_crypto_custom_tells_chosen_passwords) {
  fail_if(Secret(nullptr, "vdo.ninja").custom());
  fail_if(Secret("  ", "vdo.ninja").custom());
  fail_if(Secret("someEncryptionKey123", "vdo.ninja").custom());
  fail_if(Secret("Off", "vdo.ninja").custom());
  fail_unless(Secret("hunter2", "vdo.ninja").custom());
  fail_unless(Secret("true", "vdo.ninja").custom());
}
GST_END_TEST

GST_START_TEST(test_crypto_vectors_streams) {
  for_each_vector(kFile, "streams", [](JsonObject *v) {
    const std::string id = sanitize_stream_id(vector_string(v, "id"));
    const Secret secret(vector_string(v, "password"), vector_string(v, "salt"));
    assert_text(id, vector_string(v, "sanitized"));
    assert_text(secret.wire_stream_id(id), vector_string(v, "wire"));
    const auto plain = secret.plain_stream_id(vector_string(v, "wire"));
    fail_unless(plain.has_value());
    assert_text(*plain, id.substr(0, kMaxWireIdLength).c_str());
  });
}
GST_END_TEST

GST_START_TEST(test_crypto_plain_stream_id_of_other_password_is_refused) {
  const Secret secret("hunter2", "vdo.ninja");
  fail_if(secret.plain_stream_id("mystream808d64").has_value());
  fail_if(secret.plain_stream_id("1c2bdc").has_value());
  fail_if(secret.plain_stream_id("bdc").has_value());
  fail_if(secret.plain_stream_id("").has_value());
  fail_if(Secret("0", "x").plain_stream_id("").has_value());
}
GST_END_TEST

// Given a raw id of two-byte characters, when it is cut, then no character is torn.
GST_START_TEST(test_crypto_wire_stream_id_cuts_between_characters) {
  const Secret secret("hunter2", "vdo.ninja");
  std::string id = "x";
  for (int i = 0; i < 30; i++)
    id += "\xc3\xa4";
  const std::string wire = secret.wire_stream_id(id);
  fail_unless(g_utf8_validate(wire.c_str(), -1, nullptr));
  fail_unless_equals_int(wire.size(), 43 + 6);
}
GST_END_TEST

GST_START_TEST(test_crypto_vectors_rooms) {
  for_each_vector(kFile, "rooms", [](JsonObject *v) {
    const std::string room = sanitize_room(vector_string(v, "room"));
    const Secret secret(vector_string(v, "password"), vector_string(v, "salt"));
    assert_text(room, vector_string(v, "sanitized"));
    assert_text(secret.wire_room(room, vector_string(v, "token")),
                vector_string(v, "wire"));
  });
}
GST_END_TEST

GST_START_TEST(test_crypto_vectors_encryption_both_ways) {
  for_each_vector(kFile, "encryption", [](JsonObject *v) {
    const Secret secret(vector_string(v, "password"), vector_string(v, "salt"));
    const char *plain = vector_string(v, "plaintext");
    const char *cipher = vector_string(v, "cipherHex");
    const char *vector = vector_string(v, "vector");
    assert_text(secret.encrypt(plain, iv_of(vector)), cipher);
    const auto decrypted = secret.decrypt(cipher, vector, nullptr);
    fail_unless(decrypted.has_value());
    assert_text(*decrypted, plain);
    const StrPtr upper(g_ascii_strup(cipher, -1));
    fail_unless(secret.decrypt(upper.get(), vector, nullptr) == decrypted);
  });
}
GST_END_TEST

GST_START_TEST(test_crypto_every_length_round_trips) {
  const Secret secret("hunter2", "vdo.ninja");
  std::string plain;
  for (int i = 0; i < 300; i++) {
    const auto back =
        secret.decrypt(secret.encrypt(plain, iv_of(kVector)), kVector, nullptr);
    fail_unless(back.has_value() && *back == plain);
    plain.push_back(static_cast<char>(i));
  }
}
GST_END_TEST

GST_START_TEST(test_crypto_decrypt_refuses_malformed_text) {
  const Secret secret("hunter2", "vdo.ninja");
  const std::string good = "594982fafad664f5625d9deab1ae50b3";
  for (size_t i = 0; i < good.size(); i++)
    assert_refused(secret, good.substr(0, i), kVector, CRYPTO_ERROR_FORMAT);
  assert_refused(secret, good.substr(0, 31) + "g", kVector, CRYPTO_ERROR_FORMAT);
  assert_refused(secret, good, "", CRYPTO_ERROR_FORMAT);
  assert_refused(secret, good, "0001", CRYPTO_ERROR_FORMAT);
  assert_refused(secret, good, std::string(kVector) + "00", CRYPTO_ERROR_FORMAT);
  assert_refused(secret, good, "zz0102030405060708090a0b0c0d0e0f", CRYPTO_ERROR_FORMAT);
}
GST_END_TEST

// Given text of another password, when decrypted, then it is refused and nothing stays in
// OpenSSL's error queue for the TLS code of this thread to stumble over.
GST_START_TEST(test_crypto_decrypt_refuses_other_password) {
  const Secret secret("hunter2", "vdo.ninja");
  const std::string cipher = secret.encrypt("{}", iv_of(kVector));
  assert_refused(Secret("hunter3", "vdo.ninja"), cipher, kVector, CRYPTO_ERROR_PASSWORD);
  assert_refused(Secret("hunter2", "rtc.ninja"), cipher, kVector, CRYPTO_ERROR_PASSWORD);
  fail_unless_equals_int(ERR_peek_error(), 0);
}
GST_END_TEST

GST_START_TEST(test_crypto_disabled_neither_encrypts_nor_decrypts) {
  const Secret off("false", "vdo.ninja");
  assert_text(off.encrypt("{}", iv_of(kVector)), "");
  assert_refused(off, "594982fafad664f5625d9deab1ae50b3", kVector, CRYPTO_ERROR_DISABLED);
  assert_text(off.wire_room("r", "token"), "r");
}
GST_END_TEST

static Suite *crypto_suite(void) {
  Suite *s = suite_create("crypto");
  TCase *tc = tcase_create("crypto");
  suite_add_tcase(s, tc);
  tcase_add_test(tc, test_crypto_vectors_sanitize);
  tcase_add_test(tc, test_crypto_vectors_salts);
  tcase_add_test(tc, test_crypto_vectors_passwords);
  tcase_add_test(tc, test_crypto_custom_tells_chosen_passwords);
  tcase_add_test(tc, test_crypto_vectors_streams);
  tcase_add_test(tc, test_crypto_plain_stream_id_of_other_password_is_refused);
  tcase_add_test(tc, test_crypto_wire_stream_id_cuts_between_characters);
  tcase_add_test(tc, test_crypto_vectors_rooms);
  tcase_add_test(tc, test_crypto_vectors_encryption_both_ways);
  tcase_add_test(tc, test_crypto_every_length_round_trips);
  tcase_add_test(tc, test_crypto_decrypt_refuses_malformed_text);
  tcase_add_test(tc, test_crypto_decrypt_refuses_other_password);
  tcase_add_test(tc, test_crypto_disabled_neither_encrypts_nor_decrypts);
  return s;
}

GST_CHECK_MAIN(crypto)
