// SPDX-License-Identifier: LGPL-2.1-or-later
// Our offer as it is sent, and answers to it, usable and bent.
#include "offer-out.h"

#include "offers.h"

using namespace vdn;

namespace {

std::vector<OfferedMedium> our_media() {
  return {{MediaKind::kVideo,
           {{110, "H264", 90000, 0, {{"profile-level-id", "42e01f"}}},
            {120, "VP8", 90000, 0, {}}}},
          {MediaKind::kAudio, {{111, "OPUS", 48000, 2, {{"useinbandfec", "1"}}}}}};
}

// As webrtcbin makes it.
std::string our_offer() {
  return session_lines("video0 audio1 application2") +
         media_lines("video", "video0", "110 96",
                     "a=sendonly\r\na=rtpmap:110 H264/90000\r\n"
                     "a=fmtp:110 packetization-mode=1;profile-level-id=4280ff\r\n"
                     "a=rtcp-fb:110 nack pli\r\na=rtpmap:96 rtx/90000\r\n"
                     "a=fmtp:96 apt=110\r\n") +
         media_lines("audio", "audio1", "111",
                     "a=sendonly\r\na=rtpmap:111 OPUS/48000/2\r\n") +
         data_lines("application2");
}

std::string answered(std::string text) {
  return replace(text, "setup:actpass", "setup:active");
}

constexpr char kTakesH264[] = "a=recvonly\r\na=rtpmap:110 H264/90000\r\n"
                              "a=fmtp:110 profile-level-id=42e01f\r\n"
                              "a=rtcp-fb:110 transport-cc\r\na=extmap:1 http://www.ietf"
                              ".org/id/draft-holmer-rmcat-transport-wide-cc-extensions"
                              "-01\r\na=rtpmap:96 rtx/90000\r\n"
                              "a=fmtp:96 apt=110\r\n";
constexpr char kTakesVp8[] = "a=recvonly\r\na=rtpmap:120 VP8/90000\r\n";
constexpr char kTakesOpus[] = "a=recvonly\r\na=rtpmap:111 opus/48000/2\r\n";

std::string
answer_of(const std::string &video, const char *mids = "video0 audio1 application2",
          const std::string &audio = media_lines("audio", "audio1", "111", kTakesOpus)) {
  return answered(session_lines(mids) + video + audio + data_lines("application2"));
}

std::string usual_answer() {
  return answer_of(media_lines("video", "video0", "110 96", kTakesH264));
}

const std::vector<std::string> kMids = {"video0", "audio1", "application2"};

Answer must_take(const std::string &sdp) {
  GError *error = nullptr;
  auto answer = read_answer(sdp, kMids, our_media(), &error);
  fail_unless(answer.has_value(), "%s\n%s", error ? error->message : "", sdp.c_str());
  return *answer;
}

void assert_unusable(const std::string &sdp) {
  GError *raw = nullptr;
  const auto answer = read_answer(sdp, kMids, our_media(), &raw);
  const ErrorPtr error(raw);
  fail_if(answer.has_value(), "%s", sdp.c_str());
  fail_unless(error != nullptr);
}

} // namespace

GST_START_TEST(test_offer_out_has_all_formats) {
  const std::string text = finish_offer(our_offer(), our_media());
  for (const char *line :
       {"m=video 9 UDP/TLS/RTP/SAVPF 110 96 120\r\n", "a=rtpmap:120 VP8/90000\r\n",
        "a=fmtp:110 packetization-mode=1;profile-level-id=42e01f\r\n",
        "a=rtcp-fb:110 nack\r\n", "a=rtcp-fb:110 nack pli\r\n",
        "a=rtcp-fb:110 ccm fir\r\n", "a=rtcp-fb:110 transport-cc\r\n",
        "a=rtcp-fb:120 nack pli\r\n", "a=fmtp:111 useinbandfec=1\r\n",
        "a=rtcp-fb:111 transport-cc\r\n", "a=fmtp:96 apt=110\r\n"})
    fail_unless(contains(text, line), "%s is missing in\n%s", line, text.c_str());
  fail_if(contains(text, "a=rtcp-fb:111 nack"));
  fail_unless(mids_of(text) == kMids);
  // A viewer of ours takes it.
  const Offer offer = must_read(text);
  fail_unless_equals_int(offer.media.size(), 2);
  fail_unless_equals_int(offer.media[0].formats.size(), 2);
}
GST_END_TEST

GST_START_TEST(test_offer_out_what_is_none_stays) {
  fail_unless(finish_offer("no sdp", our_media()) == "no sdp");
  fail_unless(mids_of("no sdp").empty());
}
GST_END_TEST

GST_START_TEST(test_answer_usual) {
  const Answer answer = must_take(usual_answer());
  fail_unless(answer.complete());
  fail_unless_equals_int(answer.media.size(), 2);
  const AnsweredLine &video = answer.media[0];
  fail_unless(video.accepted && video.active && video.transport_cc && video.rtx);
  fail_unless_equals_int(video.payload_type, 110);
  fail_unless(answer.fingerprint.find("sha-256 AB:AB") == 0);
}
GST_END_TEST

GST_START_TEST(test_answer_chooses_among_formats) {
  const Answer answer =
      must_take(answer_of(media_lines("video", "video0", "120", kTakesVp8)));
  fail_unless(answer.complete());
  fail_unless_equals_int(answer.media[0].payload_type, 120);
  fail_if(answer.media[0].transport_cc || answer.media[0].rtx);
  assert_unusable(answer_of(
      media_lines("video", "video0", "97", "a=recvonly\r\na=rtpmap:97 VP9/90000\r\n")));
}
GST_END_TEST

// Reports name packets by numbers, which are an extension of their own.
GST_START_TEST(test_answer_reports_need_numbers) {
  for (const char *one : {"a=rtcp-fb:110 transport-cc\r\n", "a=extmap:1 "}) {
    const std::string video =
        replace_first(kTakesH264, one, contains(one, "extmap") ? "a=x-extmap:1 " : "");
    const Answer answer =
        must_take(answer_of(media_lines("video", "video0", "110", video.c_str())));
    fail_if(answer.media[0].transport_cc);
  }
  auto media = our_media();
  media[0].transport_cc = false; // not asked for
  fail_if(contains(finish_offer(our_offer(), media), "a=rtcp-fb:110 transport-cc"));
  const auto answer = read_answer(usual_answer(), kMids, media, nullptr);
  fail_unless(answer && !answer->media[0].transport_cc);
}
GST_END_TEST

// As a Firefox does that has no H.264 yet: webrtcbin must not see it.
GST_START_TEST(test_answer_rejects_a_line) {
  for (const std::string &sdp :
       {answer_of(media_lines("video", "video0", "110", kTakesH264, "0"),
                  "audio1 application2"),
        answer_of(media_lines("video", "video0", "110", kTakesH264, "0")),
        answer_of(media_lines("video", "video0", "110", kTakesH264),
                  "audio1 application2")}) {
    const Answer answer = must_take(sdp);
    fail_if(answer.complete());
    fail_if(answer.media[0].accepted);
    fail_unless(answer.media[1].accepted);
  }
  const std::string no_sound = media_lines("audio", "audio1", "111", kTakesOpus, "0");
  for (const char *port : {"0", "9"}) {
    const Answer answer =
        must_take(answer_of(media_lines("video", "video0", "110", kTakesH264, port),
                            "video0 audio1 application2", no_sound));
    fail_if(answer.complete() || answer.media[1].accepted);
    fail_unless(answer.media[0].accepted == (*port == '9'));
  }
  fail_if(must_take(replace_first(usual_answer(), "m=application 9", "m=application 0"))
              .complete());
}
GST_END_TEST

// Whoever wants to send is answered as if it did not.
GST_START_TEST(test_answer_directions) {
  const struct {
    const char *direction;
    bool active;
    const char *becomes;
  } cases[] = {{"a=recvonly\r\n", true, "a=recvonly\r\n"},
               {"a=sendrecv\r\n", true, "a=recvonly\r\n"},
               {"", true, "a=recvonly\r\n"},
               {"a=sendonly\r\n", false, "a=inactive\r\n"},
               {"a=inactive\r\n", false, "a=inactive\r\n"}};
  for (const auto &c : cases) {
    const Answer answer = must_take(answer_of(
        media_lines("video", "video0", "110",
                    replace_first(kTakesH264, "a=recvonly\r\n", c.direction).c_str()),
        "video0 audio1 application2", media_lines("audio", "audio1", "111", kTakesOpus)));
    fail_unless_equals_int(answer.media[0].active, c.active);
    const std::string video = answer.sdp.substr(0, answer.sdp.find("m=audio"));
    fail_unless(contains(video, c.becomes), "%s", answer.sdp.c_str());
    fail_if(contains(answer.sdp, "a=send"), "%s", answer.sdp.c_str());
  }
}
GST_END_TEST

GST_START_TEST(test_answer_wishes) {
  const std::string video = media_lines("video", "video0", "110", kTakesH264);
  fail_unless_equals_int(must_take(answer_of(video)).media[0].max_kbit_s, 0);
  const struct {
    const char *line;
    unsigned kbits;
  } cases[] = {{"b=AS:800\r\n", 800},
               {"b=TIAS:600000\r\n", 600},
               {"b=AS:800\r\nb=TIAS:600000\r\n", 600},
               {"b=AS:-1\r\n", 0},
               {"b=AS:99999999999\r\n", 0}};
  for (const auto &c : cases)
    fail_unless_equals_int(
        must_take(answer_of(replace_first(video, "a=recvonly",
                                          std::string(c.line) + "a=recvonly")))
            .media[0]
            .max_kbit_s,
        c.kbits);
  fail_unless_equals_int(
      must_take(answer_of(replace_first(video, "profile-level-id=42e01f",
                                        "x-google-max-bitrate=500")))
          .media[0]
          .max_kbit_s,
      500);
}
GST_END_TEST

GST_START_TEST(test_answer_without_media) {
  GError *raw = nullptr;
  fail_if(read_answer("v=0\r\na=setup:active\r\n", {}, our_media(), &raw).has_value());
  const ErrorPtr error(raw);
  fail_unless(error != nullptr);
}
GST_END_TEST

GST_START_TEST(test_answer_that_cannot_be_used) {
  const std::string good = usual_answer();
  must_take(good);
  for (const std::string &sdp :
       {std::string("no sdp"), std::string(70000, 'v'),
        replace(good, "a=mid:video0", "a=mid:other"),
        replace(good, "a=setup:active", "a=setup:actpass"),
        replace(good, "a=setup:active", "a=setup:holdconn"),
        replace_first(good, fingerprint_line("AB"), fingerprint_line("AC")),
        replace(good, fingerprint_line("AB"), ""),
        replace_first(good, fingerprint_line("AB"),
                      fingerprint_line("AB") + fingerprint_line("AC")),
        replace_first(good, "t=0 0\r\n", "t=0 0\r\n" + fingerprint_line("AC")),
        replace_first(good, "ice-ufrag:ufrag", "ice-ufrag:other"),
        replace(good, "a=ice-pwd:passwordpasswordpassword\r\n", ""),
        replace(good, "m=video", "m=application"), replace(good, "m=video", "m=audio"),
        replace(good, "m=application", "m=video"),
        good + media_lines("video", "more", "110", kTakesH264),
        good.substr(0, good.find("m=application"))})
    assert_unusable(sdp);
}
GST_END_TEST

// What webrtcbin must not be told.
GST_START_TEST(test_answer_is_sanitised) {
  const std::string sdp = replace_first(
      usual_answer(), "a=recvonly",
      "a=ssrc:1 cname:x\r\na=ts-refclk:ntp=10.0.0.1\r\na=candidate:x\r\na=recvonly");
  const Answer answer = must_take(sdp);
  for (const char *part : {"a=ssrc", "ts-refclk", "a=candidate:x"})
    fail_if(contains(answer.sdp, part), "%s", answer.sdp.c_str());
}
GST_END_TEST

static Suite *offer_out_suite() {
  Suite *suite = suite_create("offer-out");
  TCase *tc = tcase_create("offer-out");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_offer_out_has_all_formats);
  tcase_add_test(tc, test_offer_out_what_is_none_stays);
  tcase_add_test(tc, test_answer_usual);
  tcase_add_test(tc, test_answer_chooses_among_formats);
  tcase_add_test(tc, test_answer_reports_need_numbers);
  tcase_add_test(tc, test_answer_rejects_a_line);
  tcase_add_test(tc, test_answer_directions);
  tcase_add_test(tc, test_answer_wishes);
  tcase_add_test(tc, test_answer_without_media);
  tcase_add_test(tc, test_answer_that_cannot_be_used);
  tcase_add_test(tc, test_answer_is_sanitised);
  return suite;
}

GST_CHECK_MAIN(offer_out)
