// SPDX-License-Identifier: LGPL-2.1-or-later
#include "message.h"

#include <algorithm>

#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

constexpr Iv kIv = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
const Address kHosted;
const Address kCustom = {Dialect::kCustom, "me", ""};
const Address kInRoom = {Dialect::kCustom, "me", "0123"};
// How the other end of a custom bus sees itself.
const Address kPeerInRoom = {Dialect::kCustom, "p", "0123"};

void assert_text(const std::string &actual, const char *expected) {
  fail_unless_equals_string(actual.c_str(), expected);
}

Message parse(const std::string &text, const Address *me, const Secret &secret) {
  GError *error = nullptr;
  auto message = parse_message(text, me, secret, &error);
  fail_unless(message.has_value(), "%s: %s", error ? error->message : "", text.c_str());
  return std::move(*message);
}

} // namespace

GST_START_TEST(test_message_encode_requests) {
  assert_text(encode_play(kHosted, "w"), R"({"request":"play","streamID":"w"})");
  assert_text(encode_play(kCustom, "w"),
              R"({"request":"play","streamID":"w","from":"me"})");
  assert_text(encode_seed(kInRoom, "w"),
              R"({"request":"seed","streamID":"w","from":"me","roomid":"0123"})");
  assert_text(encode_join(kHosted, "0123"), R"({"request":"joinroom","roomid":"0123"})");
  assert_text(encode_join(kCustom, "0123", "w"),
              R"({"request":"joinroom","streamID":"w","from":"me","roomid":"0123"})");
}
GST_END_TEST

GST_START_TEST(test_message_encode_data_channel_messages) {
  assert_text(encode_bye(), R"({"bye":true})");
  assert_text(encode_bitrate(3000), R"({"targetBitrate":3000,"bitrate":3000})");
  assert_text(encode_bitrate(0), R"({"bitrate":0})");
  assert_text(encode_resolution(960, 540),
              R"({"requestResolution":{"w":960,"h":540,"s":false,"c":false}})");
}
GST_END_TEST

GST_START_TEST(test_message_encode_init) {
  Wishes wishes;
  wishes.audio = false;
  wishes.scene = "0";
  wishes.video_codec = "h264";
  wishes.label = "Kitchen \xc3\xa4";
  wishes.version = "test/1";
  const std::string text = encode_init(wishes);
  for (const char *part : {R"("audio":false,"video":true)", R"("scene":"0")",
                           R"("preferVideoCodec":"h264")", R"("label":"Kitchen \u00e4")",
                           R"("allowchunked":false)", R"("version":"test/1")"})
    fail_unless(text.find(part) != std::string::npos, "%s lacks %s", text.c_str(), part);
  const Message m = parse(text, nullptr, Secret(nullptr, ""));
  fail_unless(m.wants_audio == false && m.wants_video == true);
  assert_text(m.news.label.value_or("?"), wishes.label.c_str());
  fail_unless(encode_init(Wishes()).find(R"("scene":false)") != std::string::npos);
  fail_unless(encode_init(Wishes()).find("scale") == std::string::npos);
}
GST_END_TEST

GST_START_TEST(test_message_encode_init_with_all_wishes) {
  Wishes wishes;
  wishes.scene = "two";
  wishes.show_director = 2;
  wishes.keyframe_interval = 4000;
  wishes.scale = 50;
  wishes.max_width = 640;
  wishes.audio_bitrate = 64;
  const std::string text = encode_init(wishes);
  for (const char *part :
       {R"("scene":"two")", R"("showDirector":2)", R"("keyframeRate":4000)",
        R"("scale":50)", R"("audioBitrate":64)",
        R"("requestResolution":{"w":640,"h":null,"s":false,"c":false})"})
    fail_unless(text.find(part) != std::string::npos, "%s lacks %s", text.c_str(), part);
  wishes.show_director = 0;
  fail_unless(encode_init(wishes).find(R"("showDirector":false)") != std::string::npos);
}
GST_END_TEST

// Given each dialect, with and without password, when a description or candidates are
// sent, then the other end reads the same.
GST_START_TEST(test_message_encode_parse_round_trips) {
  const Secret hunter("hunter2", "vdo.ninja"), off("off", "");
  const Description answer = {false, "v=0\r\ns=\"\\/\xc3\xa4\xf0\x9f\x94\x92\r\n"};
  const std::vector<Candidate> candidates = {
      {"candidate:1 1 udp 1 192.0.2.1 9 typ host", "0", 0},
      {"candidate:2 1 udp 1 192.0.2.1 9 typ host", "", -1}};
  for (const Secret *secret : {&hunter, &off})
    for (const Address *me : {&kHosted, &kInRoom, static_cast<const Address *>(nullptr)})
      for (const std::optional<std::string> &session :
           {std::optional<std::string>(), std::optional<std::string>("s")}) {
        Envelope to;
        to.me = me;
        to.peer = "p";
        to.session = session;
        to.stream_id = "w";
        to.secret = secret->enabled() ? secret : nullptr;
        to.iv = kIv;
        const Address *reader = me == &kInRoom ? &kPeerInRoom : me;
        Message m = parse(encode_description(to, answer), reader, *secret);
        fail_unless(m.description && !m.description->offer);
        assert_text(m.description->sdp, answer.sdp.c_str());
        fail_unless_equals_int(m.encrypted, secret->enabled());
        fail_unless(m.session == session);
        assert_text(m.stream_id, "w");
        if (me)
          assert_text(m.peer, me == &kHosted ? "p" : "me");
        m = parse(encode_candidates(to, candidates, true), reader, *secret);
        fail_unless(m.from_publisher);
        fail_unless_equals_int(m.candidates.size(), 2);
        assert_text(m.candidates[0].mid, "0");
        fail_unless_equals_int(m.candidates[1].mline, -1);
      }
}
GST_END_TEST

// Web clients read decrypted bytes as Latin-1.
GST_START_TEST(test_message_encode_is_ascii) {
  Envelope to;
  to.peer = "\xc3\xa4";
  const std::string text =
      encode_description(to, {true, "\xf0\x9f\x94\x92 \xe7\x8c\xab"});
  fail_unless(std::all_of(text.begin(), text.end(), [](char c) { return c > 0; }));
  fail_unless(text.find("\\ud83d\\udd12 \\u732b") != std::string::npos, "%s",
              text.c_str());
}
GST_END_TEST

GST_START_TEST(test_message_encode_without_key_sends_nothing) {
  const Secret off("off", "");
  Envelope to;
  to.secret = &off;
  assert_text(encode_description(to, {false, "v=0\r\n"}), "");
  assert_text(encode_candidates(to, {}, false), "");
}
GST_END_TEST

GST_START_TEST(test_message_encode_full_bundle_is_short_enough) {
  const Secret secret("hunter2", "vdo.ninja");
  const Candidate longest = {
      "candidate:3939914568 1 udp 2122260223 "
      "2001:0db8:aaaa:bbbb:cccc:dddd:eeee:ffff 54063 typ srflx raddr "
      "2001:0db8:aaaa:bbbb:cccc:dddd:eeee:ffff rport 54063",
      "video0", 12};
  Envelope to;
  to.me = &kInRoom;
  to.secret = &secret;
  const std::string text = encode_candidates(
      to, std::vector<Candidate>(kCandidatesPerMessage, longest), false);
  fail_unless(text.size() < 25000, "%zu", text.size());
}
GST_END_TEST

static Suite *message_encode_suite(void) {
  Suite *s = suite_create("message-encode");
  TCase *tc = tcase_create("message-encode");
  suite_add_tcase(s, tc);
  tcase_add_test(tc, test_message_encode_requests);
  tcase_add_test(tc, test_message_encode_data_channel_messages);
  tcase_add_test(tc, test_message_encode_init);
  tcase_add_test(tc, test_message_encode_init_with_all_wishes);
  tcase_add_test(tc, test_message_encode_parse_round_trips);
  tcase_add_test(tc, test_message_encode_is_ascii);
  tcase_add_test(tc, test_message_encode_without_key_sends_nothing);
  tcase_add_test(tc, test_message_encode_full_bundle_is_short_enough);
  return s;
}

GST_CHECK_MAIN(message_encode)
