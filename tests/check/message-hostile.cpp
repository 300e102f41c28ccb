// SPDX-License-Identifier: LGPL-2.1-or-later
// What an ill-meaning server or peer could send.
#include <random>

#include "message.h"
#include "transcripts.h"

using namespace vdn;

namespace {

const Address kHosted;
constexpr unsigned kSeed = 20260701;

const Secret &secret() {
  static const Secret value(nullptr, "vdo.ninja");
  return value;
}

// Both readings, with the promise that a failure comes with an error and nothing else.
bool survives(std::string_view text) {
  bool parsed = false;
  for (const Address *me : {&kHosted, static_cast<const Address *>(nullptr)}) {
    GError *raw = nullptr;
    const auto message = parse_message(text, me, secret(), &raw);
    const ErrorPtr error(raw);
    fail_unless(message.has_value() == (raw == nullptr));
    parsed |= message.has_value();
  }
  return parsed;
}

void assert_refused(const std::string &text, MessageError code) {
  GError *raw = nullptr;
  fail_if(parse_message(text, &kHosted, secret(), &raw).has_value(), "%.200s",
          text.c_str());
  const ErrorPtr error(raw);
  fail_unless(g_error_matches(raw, message_error_quark(), code), "%s: %.200s",
              raw->message, text.c_str());
}

std::string repeat(const char *text, int count) {
  std::string result;
  while (count--)
    result += text;
  return result;
}

} // namespace

GST_START_TEST(test_message_hostile_syntax) {
  for (const char *text : {"",
                           " ",
                           "null",
                           "[]",
                           "\"x\"",
                           "7",
                           "{",
                           "}",
                           "{]",
                           "{\"a\":1}}",
                           "{\"a\":}",
                           "{a:1}",
                           "{'a':1}",
                           "{\"a\":1",
                           "{\"a\":\"",
                           "{\"a\":\"\\",
                           "var x = {}",
                           "{\"a\":1}/*",
                           "//",
                           "{/*\"*/\"a\":[]}",
                           "{\"a\":1,}x",
                           "{} {}",
                           "\xef\xbb\xbf{}",
                           "{\"a\":\"\xff\"}",
                           "{\"\xc3\":1}"})
    assert_refused(text, MESSAGE_ERROR_SYNTAX);
  assert_refused(std::string("{\"a\":\"b\0c\"}", 11), MESSAGE_ERROR_SYNTAX);
  assert_refused(std::string("{}\0", 3), MESSAGE_ERROR_SYNTAX);
}
GST_END_TEST

GST_START_TEST(test_message_hostile_types) {
  for (const char *text :
       {R"({"request":7})", R"({"UUID":{}})", R"({"streamID":[]})", R"({"session":5})",
        R"({"roomid":true})", R"({"description":[]})", R"({"description":7})",
        R"({"description":{}})", R"({"description":{"type":"offer"}})",
        R"({"description":{"type":"rollback","sdp":""}})",
        R"({"description":{"type":7,"sdp":"v=0"}})",
        R"({"description":{"type":"offer","sdp":{}}})", R"({"candidates":{}})",
        R"({"candidates":7})", R"({"candidate":[]})", R"({"description":"00"})",
        R"({"description":"00","vector":7})",
        R"({"description":"zz","vector":"000102030405060708090a0b0c0d0e0f"})",
        R"({"candidates":"00112233445566778899aabbccddeeff","vector":"00"})"})
    assert_refused(text, MESSAGE_ERROR_TYPE);
}
GST_END_TEST

GST_START_TEST(test_message_hostile_types_elsewhere_count_as_absent) {
  for (const char *key :
       {"list", "listing", "director", "message", "error", "id", "audio", "video",
        "bitrate", "info", "muteState", "videoMuted", "screen", "rotate_video",
        "screenShareState", "changeLabel", "value", "type"})
    for (const char *value : {"null", "7", "-1.5e300", "true", "\"x\"", "[]", "{}",
                              "[[1]]", "{\"label\":{},\"muted\":[]}"})
      fail_unless(survives(std::string("{\"") + key + "\":" + value + "}"), "%s %s", key,
                  value);
}
GST_END_TEST

GST_START_TEST(test_message_hostile_nesting_is_bounded) {
  for (int depth : {5, 30})
    fail_unless(survives("{\"a\":" + repeat("[", depth) + repeat("]", depth) + "}"));
  for (int depth : {33, 1000, 250000})
    assert_refused("{\"a\":" + repeat("[", depth) + repeat("]", depth) + "}",
                   MESSAGE_ERROR_SYNTAX);
  assert_refused(repeat("{\"a\":", 50000), MESSAGE_ERROR_SYNTAX);
  // Brackets in text do not count; a quote behind a backslash does not end it.
  fail_unless(survives("{\"a\":\"" + repeat("\\\"[{", 5000) + "\"}"));
}
GST_END_TEST

GST_START_TEST(test_message_hostile_sizes_are_bounded) {
  const std::string megabytes(10 * 1024 * 1024, 'x');
  assert_refused("{\"a\":\"" + megabytes + "\"}", MESSAGE_ERROR_SIZE);
  assert_refused("{\"UUID\":\"" + megabytes.substr(0, 300) + "\"}", MESSAGE_ERROR_SIZE);
  assert_refused("{\"description\":{\"type\":\"offer\",\"sdp\":\"" +
                     megabytes.substr(0, kMaxSdpBytes + 1) + "\"}}",
                 MESSAGE_ERROR_SIZE);
  const auto alert = parse_message("{\"message\":\"" + repeat("\xc3\xa4", 5000) + "\"}",
                                   &kHosted, secret(), nullptr);
  fail_unless(alert && alert->text.size() <= 512);
  fail_unless(g_utf8_validate(alert->text.c_str(), -1, nullptr));
}
GST_END_TEST

GST_START_TEST(test_message_hostile_thousands_of_candidates) {
  const char *one = R"(,{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host"})";
  const std::string text =
      "{\"UUID\":\"p\",\"candidates\":[{}" + repeat(one, 4000) + "]}";
  const auto message = parse_message(text, &kHosted, secret(), nullptr);
  fail_unless(message.has_value());
  fail_unless(message->candidates_cut);
  fail_unless_equals_int(message->candidates.size(), kMaxCandidates - 1);
  fail_unless(survives(
      "{\"candidates\":[{\"candidate\":\"candidate:" + std::string(5000, '1') + "\"}]}"));
}
GST_END_TEST

// The errors of refused envelopes name the problem, not the text within.
GST_START_TEST(test_message_hostile_errors_tell_no_secrets) {
  const Iv iv{};
  const std::string text = "{\"description\":\"" + secret().encrypt("classified{", iv) +
                           "\",\"vector\":\"" + repeat("0", 32) + "\"}";
  GError *raw = nullptr;
  fail_if(parse_message(text, &kHosted, secret(), &raw).has_value());
  const ErrorPtr error(raw);
  fail_if(strstr(raw->message, "classified"));
}
GST_END_TEST

// No message has a proper prefix that is a message.
GST_START_TEST(test_message_hostile_every_prefix_is_refused) {
  for_each_transcript_line([&](const TranscriptLine &line) {
    // Long ones differ from each other only in hex; a few cuts do for those.
    const size_t step = line.text.size() > 2000 ? line.text.size() / 15 : 1;
    for (size_t i = 0; i < line.text.size(); i += step)
      fail_if(survives(std::string_view(line.text).substr(0, i)));
  });
}
GST_END_TEST

GST_START_TEST(test_message_hostile_mutations) {
  GST_INFO("seed %u", kSeed);
  std::mt19937 random(kSeed);
  const std::string pieces[] = {"\"",
                                "\\",
                                "{",
                                "}",
                                "[",
                                "]",
                                ",",
                                ":",
                                "null",
                                "-1",
                                "1e400",
                                "\\ud800",
                                "\\u0000",
                                "99999999999999999999",
                                std::string(1, '\0'),
                                "\xff"};
  for_each_transcript_line([&](const TranscriptLine &line) {
    for (int round = 0; round < 8; round++) {
      std::string text = line.text;
      for (unsigned i = random() % 4 + 1; i; i--) {
        const size_t at = random() % (text.size() + 1);
        const std::string &piece = pieces[random() % std::size(pieces)];
        if (random() % 2)
          text.insert(at, piece);
        else
          text.replace(at, random() % 8, piece);
      }
      survives(text);
    }
  });
}
GST_END_TEST

static Suite *message_hostile_suite(void) {
  Suite *s = suite_create("message-hostile");
  TCase *tc = tcase_create("message-hostile");
  suite_add_tcase(s, tc);
  tcase_add_test(tc, test_message_hostile_syntax);
  tcase_add_test(tc, test_message_hostile_types);
  tcase_add_test(tc, test_message_hostile_types_elsewhere_count_as_absent);
  tcase_add_test(tc, test_message_hostile_nesting_is_bounded);
  tcase_add_test(tc, test_message_hostile_sizes_are_bounded);
  tcase_add_test(tc, test_message_hostile_thousands_of_candidates);
  tcase_add_test(tc, test_message_hostile_errors_tell_no_secrets);
  tcase_add_test(tc, test_message_hostile_every_prefix_is_refused);
  tcase_add_test(tc, test_message_hostile_mutations);
  return s;
}

GST_CHECK_MAIN(message_hostile)
