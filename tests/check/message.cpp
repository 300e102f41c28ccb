// SPDX-License-Identifier: LGPL-2.1-or-later
#include "message.h"

#include "transcripts.h"

using namespace vdn;

namespace {

constexpr Iv kIv = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
const Address kHosted;
const Address kCustom = {Dialect::kCustom, "me", "room"};

const Secret &secret() {
  static const Secret value("hunter2", "vdo.ninja");
  return value;
}

Message parse(const std::string &text, const Address *me = &kHosted) {
  GError *error = nullptr;
  auto message = parse_message(text, me, secret(), &error);
  fail_unless(message.has_value(), "%s: %s", error ? error->message : "", text.c_str());
  return std::move(*message);
}

void assert_refused(const std::string &text, MessageError code,
                    const Secret &with = secret()) {
  GError *raw = nullptr;
  fail_if(parse_message(text, &kHosted, with, &raw).has_value(), "%.200s", text.c_str());
  const ErrorPtr error(raw);
  fail_unless(g_error_matches(raw, message_error_quark(), code), "%s: %.200s",
              raw->message, text.c_str());
}

void assert_text(const std::string &actual, const char *expected) {
  fail_unless_equals_string(actual.c_str(), expected);
}

} // namespace

GST_START_TEST(test_message_server_notices) {
  Message m = parse(R"({"request":"offerSDP","UUID":"v"})");
  assert_text(m.request, "offersdp");
  assert_text(m.peer, "v");
  fail_if(m.session.has_value());

  for (const char *request :
       {"someonejoined", "videoaddedtoroom", "videoremovedfromroom"}) {
    m = parse(std::string(R"({"UUID":"p","streamID":"abc808d64","request":")") + request +
              "\"}");
    assert_text(m.request, request);
    assert_text(m.peer, "p");
    assert_text(m.stream_id, "abc808d64");
  }
  m = parse(R"({"request":"someonejoined","UUID":"p","director":true})");
  assert_text(m.director, "p");
  m = parse(R"({"request":"alert","message":"Stream ID is already\nin use."})");
  assert_text(m.text, "Stream ID is already in use.");
  m = parse(R"({"request":"error","message":"taken","code":"STREAMID_IN_USE"})");
  assert_text(m.text, "taken");
  m = parse(R"({"error":"sid already in use"})");
  assert_text(m.request, "error");
  assert_text(m.text, "sid already in use");
  assert_text(parse(R"({"request":"warn","message":"slow"})").text, "slow");
  assert_text(parse(R"({"id":"own"})").own_id, "own");
  assert_text(parse(R"({"request":"joinpending"})").request, "joinpending");
  m = parse(R"({"request":"roomclaimed","director":"d"})");
  assert_text(m.director, "d");
}
GST_END_TEST

GST_START_TEST(test_message_listing_in_every_spelling) {
  Message m = parse(R"({"request":"listing","director":"d","claim":true,"list":[
      {"UUID":"p","streamID":"a808d64"},{"UUID":"x"},{"uuid":"q","streamid":"b"},"c",
      {},7,null,[],{"UUID":5}]})");
  fail_unless(m.has_members);
  fail_unless_equals_int(m.members.size(), 4);
  assert_text(m.members[0].peer, "p");
  assert_text(m.members[0].stream_id, "a808d64");
  assert_text(m.members[1].peer, "x");
  assert_text(m.members[1].stream_id, "");
  assert_text(m.members[2].peer, "q");
  assert_text(m.members[2].stream_id, "b");
  assert_text(m.members[3].stream_id, "c");
  assert_text(m.director, "d");
  fail_unless_equals_int(
      parse(R"({"request":"transferred","listing":["c"]})").members.size(), 1);
  fail_if(parse(R"({"request":"listing"})").has_members);
  fail_unless(parse(R"({"request":"listing","list":[]})").has_members);
}
GST_END_TEST

GST_START_TEST(test_message_listing_is_bounded) {
  std::string text = R"({"request":"listing","list":["a")";
  for (int i = 0; i < 2000; i++)
    text += ",\"b\"";
  fail_unless_equals_int(parse(text + "]}").members.size(), kMaxListMembers);
}
GST_END_TEST

GST_START_TEST(test_message_peer_is_gone) {
  fail_unless(parse(R"({"request":"cleanup","UUID":"p"})").bye);
  fail_unless(parse(R"({"bye":true,"UUID":"p"})").bye);
  fail_unless(parse(R"({"request":"bye","UUID":"p"})").bye);
  fail_unless(parse(R"({"videoMuted":true,"bye":true})", nullptr).bye);
  fail_if(parse(R"({"bye":false,"UUID":"p"})").bye);
  fail_if(parse(R"({"hangup":true})", nullptr).bye);
  fail_unless(parse(R"({"iceRestartRequest":true,"UUID":"p"})").ice_restart);
}
GST_END_TEST

GST_START_TEST(test_message_offer_in_clear) {
  const Message m = parse(R"({"UUID":"p","session":"s1","streamID":"w","isScene":false,
      "screen":[0,2,"x"],"slot":1,"description":{"type":"offer","sdp":"v=0\r\n"}})");
  fail_unless(m.description && m.description->offer);
  assert_text(m.description->sdp, "v=0\r\n");
  assert_text(m.session.value_or("?"), "s1");
  fail_if(m.encrypted);
  fail_if(m.scene);
  fail_unless_equals_int(m.screen.size(), 2);
  fail_unless_equals_int(m.screen[1], 2);
  fail_unless(parse(R"({"isScene":"0","UUID":"p"})").scene);
  fail_if(parse(R"({"session":null,"UUID":"p"})").session.has_value());
  assert_text(parse(R"({"Session":"s2","uuid":"p"})").session.value_or("?"), "s2");
}
GST_END_TEST

GST_START_TEST(test_message_candidates_in_every_spelling) {
  const Message m = parse(R"({"UUID":"p","type":"local","session":"s","candidates":[
      {"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","sdpMid":"0","sdpMLineIndex":0},
      {"candidate":"a=candidate:2 1 udp 1 192.0.2.1 9 typ host","sdpMLineIndex":1},
      {"candidate":"candidate:3 1 udp 1 192.0.2.1 9 typ host","mid":"video"},
      {"candidate":"candidate:4 1 udp 1 192.0.2.1 9 typ host","rmid":2},
      {"candidate":"candidate:5 1 udp 1 192.0.2.1 9 typ host","smid":null,"sdpMLineIndex":-7},
      {"candidate":""},{"candidate":null},null,"candidate:6 1 udp 1 192.0.2.1 9 typ host",
      {"sdpMid":"0"},
      {"candidate":"candidate:7 1 udp 1 192.0.2.1 9 typ host\r\na=x"},
      {"candidate":"end-of-candidates"}]})");
  fail_unless(m.from_publisher);
  fail_unless_equals_int(m.candidates.size(), 5);
  assert_text(m.candidates[0].text, "candidate:1 1 udp 1 192.0.2.1 9 typ host");
  assert_text(m.candidates[0].mid, "0");
  fail_unless_equals_int(m.candidates[0].mline, 0);
  assert_text(m.candidates[1].text, "candidate:2 1 udp 1 192.0.2.1 9 typ host");
  fail_unless_equals_int(m.candidates[1].mline, 1);
  assert_text(m.candidates[2].mid, "video");
  fail_unless_equals_int(m.candidates[2].mline, -1);
  assert_text(m.candidates[3].mid, "2");
  fail_unless_equals_int(m.candidates[4].mline, -1);

  const Message single = parse(R"({"UUID":"p","type":"remote",
      "candidate":{"candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host","mid":"0","sdpMid":"0"}})");
  fail_unless_equals_int(single.candidates.size(), 1);
  fail_if(single.from_publisher);
}
GST_END_TEST

GST_START_TEST(test_message_encryption_vectors_open) {
  for_each_vector("crypto.json", "encryption", [](JsonObject *v) {
    const std::string name = vector_string(v, "name");
    const bool candidate = name.rfind("candidate-", 0) == 0;
    const bool bundle = name.rfind("candidates-", 0) == 0;
    if (name.find("-") == std::string::npos || name == "exact-block" ||
        name == "empty-object")
      return;
    const Secret own(vector_string(v, "password"), vector_string(v, "salt"));
    const std::string text = std::string("{\"UUID\":\"p\",\"vector\":\"") +
                             vector_string(v, "vector") + "\",\"" +
                             (candidate ? "candidate"
                              : bundle  ? "candidates"
                                        : "description") +
                             "\":\"" + vector_string(v, "cipherHex") + "\"}";
    const auto m = parse_message(text, &kHosted, own, nullptr);
    fail_unless(m && m->encrypted, "%s", name.c_str());
    fail_unless_equals_int(m->candidates.size(), candidate || bundle);
    fail_unless(m->description.has_value() == !(candidate || bundle));
    assert_refused(text, MESSAGE_ERROR_PASSWORD, Secret("other", "vdo.ninja"));
    assert_refused(text, MESSAGE_ERROR_PASSWORD, Secret("off", "vdo.ninja"));
  });
}
GST_END_TEST

// Given a wrong key whose padding looks right by chance, when the text under it is no
// JSON, then that is a password problem too.
GST_START_TEST(test_message_envelope_with_nonsense_inside) {
  for (const char *plain : {"", "no json", "{\"type\":", "\x80"}) {
    const std::string text = "{\"description\":\"" + secret().encrypt(plain, kIv) +
                             "\",\"vector\":\"000102030405060708090a0b0c0d0e0f\"}";
    assert_refused(text, MESSAGE_ERROR_PASSWORD);
  }
}
GST_END_TEST

GST_START_TEST(test_message_custom_dialect_addresses) {
  Message m =
      parse(R"({"request":"seed","streamID":"w","from":"p","roomid":"room"})", &kCustom);
  assert_text(m.peer, "p");
  assert_text(m.room, "room");
  fail_unless(is_for_us(m, kCustom));
  fail_unless(is_for_us(parse(R"({"from":"p","UUID":"me"})", &kCustom), kCustom));
  fail_if(is_for_us(parse(R"({"from":"me"})", &kCustom), kCustom));
  fail_if(is_for_us(parse(R"({"from":"p","UUID":"other"})", &kCustom), kCustom));
  fail_if(is_for_us(parse(R"({"from":"p","roomid":"elsewhere"})", &kCustom), kCustom));
  const Address roomless = {Dialect::kCustom, "me", ""};
  fail_if(is_for_us(parse(R"({"from":"p","roomid":"room"})", &roomless), roomless));
}
GST_END_TEST

// Given a bus, when it carries an envelope between two others under their own password,
// then that is not taken for a failure of ours.
GST_START_TEST(test_message_custom_dialect_leaves_other_envelopes_closed) {
  const Message m =
      parse(R"({"from":"p","UUID":"other","description":"00","vector":"11"})", &kCustom);
  fail_if(is_for_us(m, kCustom));
  fail_if(m.description.has_value());
}
GST_END_TEST

// Given a hosted server, which vouches for UUID, when a peer adds a `from`, then it
// cannot pass for another peer.
GST_START_TEST(test_message_hosted_dialect_ignores_from) {
  const Message m = parse(R"({"UUID":"p","from":"victim","bye":true})");
  assert_text(m.peer, "p");
  assert_text(m.target, "");
}
GST_END_TEST

GST_START_TEST(test_message_data_channel_has_no_address) {
  const Message m = parse(
      R"({"UUID":"x","from":"y","list":["a"],"message":"m","id":"i","session":"s"})",
      nullptr);
  assert_text(m.peer, "");
  assert_text(m.target, "");
  assert_text(m.text, "");
  assert_text(m.own_id, "");
  fail_if(m.has_members);
  assert_text(m.session.value_or("?"), "s");
}
GST_END_TEST

GST_START_TEST(test_message_ping_is_echoed_unchanged) {
  for (const char *value : {"\"1795372282.9420738\"", "1700000000123", "true", "null",
                            "{\"a\":[1,2]}", "\"\\u00e4\\ud83d\\ude3a\""}) {
    const Message m = parse(std::string("{\"ping\":") + value + "}", nullptr);
    fail_unless(m.ping.has_value());
    assert_text(encode_pong(*m.ping), (std::string("{\"pong\":") + value + "}").c_str());
    fail_unless(parse(encode_pong(*m.ping), nullptr).pong == m.ping);
  }
  fail_if(
      parse("{\"ping\":\"" + std::string(5000, 'x') + "\"}", nullptr).ping.has_value());
  assert_text(encode_ping(1700000000123), "{\"ping\":1700000000123}");
}
GST_END_TEST

GST_START_TEST(test_message_news) {
  PeerNews news =
      parse(R"({"info":{"label":"Cam\t1","muted":true,"video_muted_init":false,
      "rotate_video":90,"screenShareState":false,"order":false},"miniInfo":{"out":{}}})",
            nullptr)
          .news;
  assert_text(news.label.value_or("?"), "Cam 1");
  fail_unless(news.audio_muted == true);
  fail_unless(news.video_muted == false);
  fail_unless(news.screen_share == false);
  fail_unless(news.rotation == 90);
  news = parse(R"({"info":{"label":false,"muted":null,"rotate_video":false}})", nullptr)
             .news;
  fail_if(news.label || news.audio_muted || news.video_muted || news.screen_share);
  fail_unless(news.rotation == 0);
  fail_unless(parse(R"({"muteState":false})", nullptr).news.audio_muted == false);
  fail_unless(parse(R"({"videoMuted":true})", nullptr).news.video_muted == true);
  fail_unless(parse(R"({"screenShareState":true})", nullptr).news.screen_share == true);
  fail_unless(parse(R"({"rotate_video":-90})", nullptr).news.rotation == 270);
  assert_text(
      parse(R"({"changeLabel":true,"value":"new"})", nullptr).news.label.value_or("?"),
      "new");
  fail_if(parse(R"({"value":"new"})", nullptr).news.label.has_value());
}
GST_END_TEST

GST_START_TEST(test_message_application_data_is_told_apart) {
  fail_unless(parse(R"({"chat":"hi"})", nullptr).app_data);
  fail_unless(parse(R"({"pipe":{"a":1}})", nullptr).app_data);
  fail_unless(parse(R"({"bye":true,"mine":0})", nullptr).app_data);
  fail_if(parse(R"({"bye":true})", nullptr).app_data);
  fail_if(parse(R"({"ping":1})", nullptr).app_data);
  fail_if(parse(R"({"info":{"anything":1}})", nullptr).app_data);
}
GST_END_TEST

GST_START_TEST(test_message_viewer_controls) {
  const Message m =
      parse(R"({"audio":false,"video":true,"bitrate":4000,"keyframe":true})", nullptr);
  fail_unless(m.wants_audio == false);
  fail_unless(m.wants_video == true);
  fail_unless(m.bitrate == 4000);
  fail_unless(m.keyframe);
  fail_unless(parse(R"({"bitrate":2500.5})", nullptr).bitrate == 2500);
  fail_unless(parse(R"({"bitrate":1e99})", nullptr).bitrate == 1000000000);
  fail_if(parse(R"({"bitrate":"much"})", nullptr).bitrate.has_value());
  fail_if(parse(R"({"audio":"yes"})", nullptr).wants_audio.has_value());
}
GST_END_TEST

// Every recorded message parses, and its envelope holds what the clients had put in it.
GST_START_TEST(test_message_transcripts) {
  int envelopes = 0;
  const int lines = for_each_transcript_line([&](const TranscriptLine &line) {
    const auto raw_text = [&](const char *key) {
      return json_object_get_string_member_with_default(line.raw, key, "");
    };
    const Address bus = {Dialect::kCustom, raw_text("UUID"), raw_text("roomid")};
    GError *error = nullptr;
    const auto m = parse_message(line.text, line.data_channel ? nullptr : &bus,
                                 transcript_secret(line.file), &error);
    fail_unless(m.has_value(), "%s: %s", line.file.c_str(), error ? error->message : "");
    fail_unless_equals_int(m->encrypted, line.plain != nullptr);
    if (!line.data_channel)
      fail_unless(is_for_us(*m, bus));
    envelopes += m->encrypted;
    JsonObject *plain = line.plain ? line.plain : line.raw;
    fail_unless_equals_int(m->description.has_value(),
                           json_object_has_member(plain, "description"));
    if (m->description) {
      JsonObject *inner = json_object_get_object_member(plain, "description");
      assert_text(m->description->sdp, vector_string(inner, "sdp"));
      assert_text(m->description->offer ? "offer" : "answer",
                  vector_string(inner, "type"));
    }
    if (!json_object_has_member(plain, "candidates"))
      return;
    JsonArray *array = json_object_get_array_member(plain, "candidates");
    fail_unless_equals_int(m->candidates.size(), json_array_get_length(array));
    for (guint i = 0; i < m->candidates.size(); i++) {
      JsonObject *inner = json_array_get_object_element(array, i);
      assert_text(m->candidates[i].text, vector_string(inner, "candidate"));
      fail_unless_equals_int(m->candidates[i].mline,
                             json_object_get_int_member(inner, "sdpMLineIndex"));
    }
  });
  fail_unless(lines > 100 && envelopes > 50, "%d lines, %d envelopes", lines, envelopes);
}
GST_END_TEST

static Suite *message_suite(void) {
  Suite *s = suite_create("message");
  TCase *tc = tcase_create("message");
  suite_add_tcase(s, tc);
  tcase_add_test(tc, test_message_server_notices);
  tcase_add_test(tc, test_message_listing_in_every_spelling);
  tcase_add_test(tc, test_message_listing_is_bounded);
  tcase_add_test(tc, test_message_peer_is_gone);
  tcase_add_test(tc, test_message_offer_in_clear);
  tcase_add_test(tc, test_message_candidates_in_every_spelling);
  tcase_add_test(tc, test_message_encryption_vectors_open);
  tcase_add_test(tc, test_message_envelope_with_nonsense_inside);
  tcase_add_test(tc, test_message_custom_dialect_addresses);
  tcase_add_test(tc, test_message_custom_dialect_leaves_other_envelopes_closed);
  tcase_add_test(tc, test_message_hosted_dialect_ignores_from);
  tcase_add_test(tc, test_message_data_channel_has_no_address);
  tcase_add_test(tc, test_message_ping_is_echoed_unchanged);
  tcase_add_test(tc, test_message_news);
  tcase_add_test(tc, test_message_application_data_is_told_apart);
  tcase_add_test(tc, test_message_viewer_controls);
  tcase_add_test(tc, test_message_transcripts);
  return s;
}

GST_CHECK_MAIN(message)
