// SPDX-License-Identifier: LGPL-2.1-or-later
#include "offer.h"

#include <random>

#include "offers.h"

using namespace vdn;

namespace {

constexpr unsigned kSeed = 20260702;

void assert_text(const std::string &actual, const char *expected) {
  fail_unless_equals_string(actual.c_str(), expected);
}

int chosen(const Offer &offer, const std::vector<std::string> &encodings) {
  const Format *format = choose_format(offer.media[0], encodings);
  return format ? format->payload_type : -1;
}

} // namespace

GST_START_TEST(test_offer_chromium_without_media) {
  const Offer offer = must_read(recorded_offer(kChromiumSocket));
  fail_unless(offer.media.empty());
  fail_unless_equals_int(offer.data_mline, 0);
  assert_text(offer.ice_ufrag, "WNAo");
  fail_unless(offer.fingerprint.rfind("sha-256 21:6E:", 0) == 0);
}
GST_END_TEST

GST_START_TEST(test_offer_chromium_with_video) {
  const Offer offer = must_read(recorded_offer(kChromiumChannel));
  fail_unless_equals_int(offer.media.size(), 1);
  fail_unless_equals_int(offer.mids.size(), 2);
  const MediaLine &video = offer.media[0];
  fail_unless_equals_int(video.index, 1);
  fail_unless(video.active && video.kind == MediaKind::kVideo);
  assert_text(video.mid, "1");
  // VP8, six H.264, AV1, two VP9; neither rtx nor red nor ulpfec
  fail_unless_equals_int(video.formats.size(), 10);
  fail_unless_equals_int(video.extensions.size(), 1);
  fail_unless(video.extensions.count(4) == 1);
  fail_if(contains(offer.sdp, "video-orientation"));
  fail_if(contains(offer.sdp, "goog-remb"));
  fail_unless(contains(offer.sdp, "a=rtpmap:97 rtx/90000"));

  // packetization-mode 1 and constrained baseline are payload type 108
  fail_unless_equals_int(chosen(offer, {"H264", "VP8"}), 108);
  fail_unless_equals_int(chosen(offer, {"H265", "VP9", "H264"}), 98);
  fail_unless_equals_int(chosen(offer, {"AV1"}), 45);
  fail_unless_equals_int(chosen(offer, {"H265"}), -1);
  fail_unless_equals_int(chosen(offer, {}), -1);
}
GST_END_TEST

GST_START_TEST(test_offer_raspberry) {
  const Offer offer = must_read(recorded_offer(kRaspberry));
  fail_unless_equals_int(offer.media.size(), 1);
  fail_unless(offer.media[0].active);
  fail_unless(offer.media[0].extensions.empty());
  fail_unless_equals_int(offer.media[0].formats.size(), 1);
  // port 0, but bundle-only
  fail_unless_equals_int(offer.data_mline, 1);
}
GST_END_TEST

GST_START_TEST(test_offer_every_recorded_one_is_taken) {
  int offers = 0;
  for_each_transcript_line([&](const TranscriptLine &line) {
    JsonObject *plain = line.plain ? line.plain : line.raw;
    if (!json_object_has_member(plain, "description"))
      return;
    JsonObject *inner = json_object_get_object_member(plain, "description");
    if (!g_str_equal(vector_string(inner, "type"), "offer"))
      return;
    offers++;
    const Offer offer = must_read(vector_string(inner, "sdp"));
    // What is clean stays as it is.
    assert_text(must_read(offer.sdp).sdp, offer.sdp.c_str());
  });
  fail_unless(offers > 20, "%d", offers);
}
GST_END_TEST

GST_START_TEST(test_offer_line_ends) {
  const Offer crlf = must_read(plain_offer());
  assert_text(must_read(replace(plain_offer(), "\r\n", "\n")).sdp, crlf.sdp.c_str());
  assert_text(must_read(replace(plain_offer(), "\r\n", "\r\n\r\n")).sdp,
              crlf.sdp.c_str());
  assert_refused(replace(plain_offer(), "\r\n", "\r"), OFFER_ERROR_SYNTAX);
  assert_refused(replace_first(plain_offer(), "nack", std::string("na\0ck", 5)),
                 OFFER_ERROR_SYNTAX);
  assert_refused(replace_first(plain_offer(), "nack", "na\x1bz"), OFFER_ERROR_SYNTAX);
  assert_refused(replace_first(plain_offer(), "nack", "na\xffz"), OFFER_ERROR_SYNTAX);
}
GST_END_TEST

GST_START_TEST(test_offer_sizes_are_bounded) {
  assert_refused(plain_offer() + repeat("a=x\r\n", 200000), OFFER_ERROR_SIZE);
  assert_refused(plain_offer() + repeat("a=x\n", 4000), OFFER_ERROR_SIZE);
  assert_refused(plain_offer() + "a=" + repeat("x", 5000) + "\r\n", OFFER_ERROR_SIZE);
  assert_refused(session_lines("0") + repeat("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", 33),
                 OFFER_ERROR_SIZE);
}
GST_END_TEST

GST_START_TEST(test_offer_malformed) {
  for (const char *text :
       {"", "v=0\r\n", "v=1\r\nm=audio 9 x 0\r\n", "hello", "v=0\r\nx\r\n",
        "v=0\r\nA=b\r\nm=audio 9 x 0\r\n", "m=audio 9 x 0\r\n"})
    assert_refused(text, OFFER_ERROR_SYNTAX);
  for (const char *head : {"m=video", "m=video 9", "m=video 9 UDP", "m=video x UDP 96",
                           "m=video 99999 UDP 96", "m=video -1 UDP 96", "m=text 9 UDP 96",
                           "m=video 9 UDP 128", "m=video 9 UDP 96 x"})
    assert_refused(replace(plain_offer(), "m=video 9 UDP/TLS/RTP/SAVPF 96", head),
                   OFFER_ERROR_SYNTAX);
  for (const char *map :
       {"a=rtpmap:96", "a=rtpmap:x VP8/90000", "a=rtpmap:96 VP8", "a=rtpmap:96 VP8/0",
        "a=rtpmap:96 VP8/x", "a=rtpmap:999 VP8/90000"})
    assert_refused(replace(plain_offer(), "a=rtpmap:96 VP8/90000", map),
                   OFFER_ERROR_SYNTAX);
}
GST_END_TEST

GST_START_TEST(test_offer_each_mline_needs_its_transport) {
  for (const char *line : {"a=mid:1\r\n", "a=ice-ufrag:ufrag\r\n", "a=setup:actpass\r\n",
                           "a=ice-pwd:passwordpasswordpassword\r\n"}) {
    assert_refused(replace_first(plain_offer(), line, ""), OFFER_ERROR_SYNTAX);
    assert_refused(replace_first(plain_offer(), line, std::string(line) + line),
                   OFFER_ERROR_SYNTAX);
  }
  assert_refused(replace_first(plain_offer(), "setup:actpass", "setup:holdconn"),
                 OFFER_ERROR_SYNTAX);
  assert_refused(replace_first(plain_offer(), "ufrag:ufrag", "ufrag:other"),
                 OFFER_ERROR_SYNTAX);
  assert_refused(replace_first(plain_offer(), "a=mid:1\r\n", "a=mid:\r\n"),
                 OFFER_ERROR_SYNTAX);
  assert_refused(replace_first(plain_offer(), "a=mid:1\r\n", "a=mid:2\r\n"),
                 OFFER_ERROR_SYNTAX);
  assert_refused(
      replace_first(plain_offer(), "a=mid:1\r\n", "a=mid:" + repeat("1", 100) + "\r\n"),
      OFFER_ERROR_SYNTAX);
}
GST_END_TEST

GST_START_TEST(test_offer_session_level_transport_is_copied_down) {
  const std::string lines = "a=ice-ufrag:ufrag\r\na=ice-pwd:passwordpasswordpassword\r\n"
                            "a=setup:actpass\r\n";
  const Offer offer = must_read(
      replace_first(replace(plain_offer(), lines, ""), "a=group", lines + "a=group"));
  assert_text(offer.ice_ufrag, "ufrag");
  fail_unless(offer.sdp.find("a=ice-pwd:") > offer.sdp.find("m="));
}
GST_END_TEST

GST_START_TEST(test_offer_fingerprints) {
  const std::string line = fingerprint_line("AB"), other = fingerprint_line("AC");
  const std::string none = replace(plain_offer(), line, "");
  const Offer media = must_read(plain_offer());
  // At session level, at both, twice at one m-line, in lower case: all the same.
  for (const std::string &sdp :
       {replace_first(none, "a=group", line + "a=group"),
        replace_first(plain_offer(), "a=group", line + "a=group"),
        replace_first(plain_offer(), line, line + line),
        replace(plain_offer(), "AB:AB", "ab:aB"),
        replace(plain_offer(), "sha-256", "SHA-256")}) {
    const Offer offer = must_read(sdp);
    assert_text(offer.fingerprint, media.fingerprint.c_str());
    fail_unless(offer.sdp.find("fingerprint") > offer.sdp.find("m="));
    const auto count = [&] {
      int n = 0;
      for (size_t at = 0; (at = offer.sdp.find(line, at)) != std::string::npos; at++)
        n++;
      return n;
    };
    fail_unless_equals_int(count(), 3);
  }
  assert_refused(none, OFFER_ERROR_SECURITY);
  assert_refused(replace_first(plain_offer(), line, ""), OFFER_ERROR_SECURITY);
  assert_refused(replace_first(plain_offer(), line, other), OFFER_ERROR_SECURITY);
  assert_refused(replace_first(plain_offer(), line, line + other), OFFER_ERROR_SECURITY);
  assert_refused(replace_first(plain_offer(), "a=group", other + "a=group"),
                 OFFER_ERROR_SECURITY);
  for (const char *bad : {"a=fingerprint:\r\n", "a=fingerprint\r\n",
                          "a=fingerprint:md5 AB\r\n", "a=fingerprint:sha-256 AB\r\n",
                          "a=fingerprint:sha-256\r\n", "a=fingerprint:sha-1 AB:CD\r\n"})
    assert_refused(replace(plain_offer(), line, bad), OFFER_ERROR_SECURITY);
  assert_refused(replace(plain_offer(), "AB:AB", "AB-AB"), OFFER_ERROR_SECURITY);
  assert_refused(replace(plain_offer(), "AB:AB", "AX:AB"), OFFER_ERROR_SECURITY);
}
GST_END_TEST

GST_START_TEST(test_offer_bundle) {
  for (const char *mids :
       {"BUNDLE", "BUNDLE ", "BUNDLE 0 1", "BUNDLE 0 1 2 3", "BUNDLE x", "BUNDLE 0 1 2 2",
        "BUNDLE 0 1 2\r\na=group:BUNDLE 0 1 2"})
    assert_refused(replace(plain_offer(), "BUNDLE 0 1 2", mids), OFFER_ERROR_SYNTAX);
  for (const char *none : {"", "a=group\r\n", "a=group:\r\n", "a=group: \r\n",
                           "a=group: BUNDLE 0 1 2\r\n", "a=group:BUNDLED 0 1 2\r\n"})
    assert_refused(replace(plain_offer(), "a=group:BUNDLE 0 1 2\r\n", none),
                   OFFER_ERROR_SYNTAX);
  // webrtcbin reads the first group line only.
  const Offer offer =
      must_read(replace(plain_offer(), "a=group:", "a=group:LS 1 2\r\na=group:"));
  fail_if(contains(offer.sdp, "LS 1 2"));
  must_read(replace(session_lines("0"), "a=group:BUNDLE 0\r\n", "") + data_lines("0"));
  for (const char *mids : {"2 1 0", "1 0 2"}) {
    const Offer shuffled =
        must_read(replace(plain_offer(), "BUNDLE 0 1 2", std::string("BUNDLE ") + mids));
    fail_unless(contains(shuffled.sdp, "a=group:BUNDLE 0 1 2\r\n"));
  }
}
GST_END_TEST

GST_START_TEST(test_offer_directions) {
  const struct {
    const char *line;
    bool active;
  } cases[] = {{"a=sendrecv\r\n", true},
               {"a=sendonly\r\n", true},
               {"a=recvonly\r\n", false},
               {"a=inactive\r\n", false},
               {"", true}};
  for (const auto &c : cases) {
    const Offer offer = must_read(replace(plain_offer(), "a=sendrecv\r\n", c.line));
    fail_unless_equals_int(offer.media[0].active, c.active);
    fail_unless(contains(offer.sdp, *c.line ? c.line : "a=sendrecv"));
  }
  assert_refused(replace(plain_offer(), "a=sendrecv", "a=sendrecv\r\na=inactive"),
                 OFFER_ERROR_SYNTAX);
  const std::string inherited = replace(plain_offer(), "a=sendrecv\r\n", "");
  fail_if(must_read(replace_first(inherited, "a=group", "a=recvonly\r\na=group"))
              .media[0]
              .active);
}
GST_END_TEST

GST_START_TEST(test_offer_removed_mline) {
  const std::string port0 = media_lines("video", "1", "96", kVp8, "0");
  const std::string audio = media_lines("audio", "2", "111", kOpus);
  // Removed lines may leave out what nobody needs, or stay in the bundle by mistake.
  for (const char *mids : {"0 2", "0 1 2"})
    for (const std::string &video :
         {port0, std::string("m=video 0 UDP/TLS/RTP/SAVPF 0\r\n"
                             "a=mid:1\r\na=inactive\r\n")}) {
      const Offer offer =
          must_read(session_lines(mids) + data_lines("0") + video + audio);
      fail_if(offer.media[0].active);
      fail_unless(offer.media[0].formats.empty());
      fail_unless(offer.media[1].active);
      fail_unless(offer.removed == std::vector<unsigned>{1});
      fail_unless_equals_int(offer.mids.size(), 3);
    }
  must_read(session_lines("0") + data_lines("0") + "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n");
  const std::string no_channel =
      replace_first(data_lines("0"), "application 9", "application 0");
  fail_unless_equals_int(must_read(session_lines("2") + no_channel + audio).data_mline,
                         -1);
  assert_refused(session_lines("1") + port0, OFFER_ERROR_SYNTAX);
  assert_refused(session_lines("0") + data_lines("0") + "m=text 0 x 0\r\n",
                 OFFER_ERROR_SYNTAX);
  const std::string bundled =
      replace_first(replace(plain_offer(), "m=video 9", "m=video 0"), "a=rtpmap:96",
                    "a=bundle-only\r\na=rtpmap:96");
  fail_unless(must_read(bundled).media[0].active);
}
GST_END_TEST

GST_START_TEST(test_offer_payload_types) {
  assert_refused(replace(plain_offer(), "SAVPF 96", "SAVPF 96 96"), OFFER_ERROR_SYNTAX);
  assert_refused(
      replace(plain_offer(), kVp8, std::string(kVp8) + "a=rtpmap:96 H264/90000\r\n"),
      OFFER_ERROR_SYNTAX);
  assert_refused(
      replace(replace(plain_offer(), "SAVPF 111", "SAVPF 96"), ":111 ", ":96 "),
      OFFER_ERROR_SYNTAX);
  // The same meaning twice is fine: camera and screen.
  must_read(session_lines("0 1") + media_lines("video", "0", "96", kVp8) +
            media_lines("video", "1", "96", kVp8));
  const Offer audio = must_read(
      session_lines("0") + media_lines("audio", "0", "63 111 0",
                                       "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n"
                                       "a=rtpmap:111 opus/48000/2\r\n"));
  fail_unless_equals_int(audio.media[0].formats.size(), 1);
  fail_unless_equals_int(chosen(audio, {"OPUS"}), 111);
}
GST_END_TEST

GST_START_TEST(test_offer_h264_choice) {
  constexpr char kMaps[] = "a=rtpmap:96 H264/90000\r\na=rtpmap:97 H264/90000\r\n"
                           "a=rtpmap:98 h264/90000\r\n";
  const struct {
    const char *fmtp;
    int expected;
  } cases[] = {
      {"", 96},
      {"a=fmtp:97 packetization-mode=1\r\n", 97},
      {"a=fmtp:96 profile-level-id=42e01f\r\na=fmtp:98 packetization-mode=1;"
       "profile-level-id=640c1f\r\n",
       98},
      {"a=fmtp:96 packetization-mode=1;profile-level-id=640c1f\r\n"
       "a=fmtp:97 profile-level-id=4D001F; packetization-mode=1\r\n"
       "a=fmtp:98 packetization-mode=1;profile-level-id=42001f\r\n",
       98},
      {"a=fmtp:96 packetization-mode=1;profile-level-id=42001f\r\n"
       "a=fmtp:97 packetization-mode=1;profile-level-id=42E01F\r\n"
       "a=fmtp:98 packetization-mode=1;profile-level-id=zz\r\n",
       97},
  };
  for (const auto &c : cases) {
    const std::string lines = std::string(kMaps) + c.fmtp;
    fail_unless_equals_int(chosen(with_video("96 97 98", lines.c_str()), {"H264"}),
                           c.expected);
  }
  const Offer newer =
      with_video("45 49", "a=rtpmap:45 AV1/90000\r\na=rtpmap:49 H265/90000\r\n"
                          "a=fmtp:49 level-id=93;profile-id=1;tier-flag=0\r\n");
  fail_unless_equals_int(chosen(newer, {"H265", "AV1"}), 49);
  const Offer vp9 =
      with_video("98 100", "a=rtpmap:98 VP9/90000\r\na=rtpmap:100 VP9/90000\r\n"
                           "a=fmtp:98 profile-id=2\r\na=fmtp:100 profile-id=0\r\n");
  fail_unless_equals_int(chosen(vp9, {"VP9"}), 100);
}
GST_END_TEST

GST_START_TEST(test_offer_continues) {
  const Offer current = must_read(plain_offer());
  const auto obstacle = [&](const std::string &sdp) {
    std::string why;
    return continues(current, must_read(sdp), &why) ? "" : why;
  };
  assert_text(obstacle(plain_offer()), "");
  assert_text(obstacle(replace(plain_offer(), "0 1 2", "0 1 2 3") +
                       media_lines("video", "3", "96", kVp8)),
              "");
  assert_text(obstacle(replace(plain_offer(), "a=sendrecv", "a=inactive")), "");
  fail_if(obstacle(replace(plain_offer(), "ufrag:ufrag", "ufrag:other")).empty());
  fail_if(obstacle(replace(plain_offer(), fingerprint_line("AB"), fingerprint_line("AC")))
              .empty());
  fail_if(obstacle(session_lines("0 1") + data_lines("0") +
                   media_lines("video", "1", "96", kVp8))
              .empty());
  fail_if(obstacle(replace(replace(plain_offer(), "mid:1", "mid:9"), "0 1 2", "0 9 2"))
              .empty());
  fail_if(
      obstacle(replace(replace(plain_offer(), "SAVPF 96", "SAVPF 97"), ":96 ", ":97 "))
          .empty());
  fail_if(obstacle(session_lines("0 1 2") + data_lines("0") +
                   media_lines("audio", "1", "111", kOpus) +
                   media_lines("audio", "2", "111", kOpus))
              .empty());
  // What was rtx becomes a format of a further line.
  const std::string with_rtx =
      replace(plain_offer(), "96\r\n" + transport_lines("1"),
              "96 97\r\n" + transport_lines("1") +
                  "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n");
  const std::string remapped =
      replace(replace(with_rtx, "0 1 2", "0 1 2 3"), "97", "98") +
      media_lines("video", "3", "97", "a=sendrecv\r\na=rtpmap:97 VP8/90000\r\n");
  std::string why;
  fail_if(continues(must_read(with_rtx), must_read(remapped), &why));
  assert_text(why, "a payload type has another meaning");
  const Offer muted = must_read(replace(plain_offer(), "a=sendrecv", "a=inactive"));
  fail_if(continues(muted, current, &why));
  const Offer first = must_read(recorded_offer(kChromiumSocket));
  fail_unless(continues(first, must_read(recorded_offer(kChromiumChannel)), &why), "%s",
              why.c_str());
}
GST_END_TEST

GST_START_TEST(test_offer_decline) {
  Offer offer = must_read(plain_offer());
  decline(&offer, 1);
  fail_if(offer.media[0].active);
  fail_unless(offer.media[1].active);
  const Offer again = must_read(offer.sdp);
  fail_if(again.media[0].active);
  fail_unless(again.media[1].active);
}
GST_END_TEST

// Cut anywhere and bent at random, an offer is taken or refused, never trusted.
GST_START_TEST(test_offer_hostile_mutations) {
  GST_INFO("seed %u", kSeed);
  std::mt19937 random(kSeed);
  const std::string pieces[] = {"a=",
                                "m=",
                                "\r\n",
                                "\n",
                                " ",
                                ":",
                                "/",
                                "0",
                                "-1",
                                "999999999999",
                                "a=mid:1\r\n",
                                "a=group:BUNDLE",
                                "m=video 9 UDP 96\r\n",
                                "\xff"};
  for (const std::string &sdp :
       {plain_offer(), recorded_offer(kChromiumChannel), recorded_offer(kRaspberry)}) {
    for (size_t i = 0; i < sdp.size(); i += 7)
      read_offer(std::string_view(sdp).substr(0, i), nullptr);
    for (int round = 0; round < 300; round++) {
      std::string text = sdp;
      for (unsigned i = random() % 4 + 1; i; i--) {
        const size_t at = random() % text.size();
        text.replace(at, random() % 12, pieces[random() % std::size(pieces)]);
      }
      const auto offer = read_offer(text, nullptr);
      if (offer)
        must_read(offer->sdp);
    }
  }
}
GST_END_TEST

static Suite *offer_suite(void) {
  Suite *s = suite_create("offer");
  TCase *tc = tcase_create("offer");
  suite_add_tcase(s, tc);
  tcase_add_test(tc, test_offer_chromium_without_media);
  tcase_add_test(tc, test_offer_chromium_with_video);
  tcase_add_test(tc, test_offer_raspberry);
  tcase_add_test(tc, test_offer_every_recorded_one_is_taken);
  tcase_add_test(tc, test_offer_line_ends);
  tcase_add_test(tc, test_offer_sizes_are_bounded);
  tcase_add_test(tc, test_offer_malformed);
  tcase_add_test(tc, test_offer_each_mline_needs_its_transport);
  tcase_add_test(tc, test_offer_session_level_transport_is_copied_down);
  tcase_add_test(tc, test_offer_fingerprints);
  tcase_add_test(tc, test_offer_bundle);
  tcase_add_test(tc, test_offer_directions);
  tcase_add_test(tc, test_offer_removed_mline);
  tcase_add_test(tc, test_offer_payload_types);
  tcase_add_test(tc, test_offer_h264_choice);
  tcase_add_test(tc, test_offer_continues);
  tcase_add_test(tc, test_offer_decline);
  tcase_add_test(tc, test_offer_hostile_mutations);
  return s;
}

GST_CHECK_MAIN(offer)
