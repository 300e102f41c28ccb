// SPDX-License-Identifier: LGPL-2.1-or-later
// What a real webrtcbin answers to sanitised offers under our preferences.
#define GST_USE_UNSTABLE_API
#include <gst/webrtc/webrtc.h>

#include "fingerprint.h"
#include "offers.h"
#include "sdp-lines.h"

using namespace vdn;

namespace {

// One webrtcbin that takes offers, each on top of the last.
class Answerer {
public:
  Answerer() {
    pipeline_ = ObjPtr<GstElement>::adopt(gst_pipeline_new(nullptr));
    webrtc_ = gst_element_factory_make("webrtcbin", nullptr);
    gst_util_set_object_arg(G_OBJECT(webrtc_), "bundle-policy", "max-bundle");
    gst_bin_add(GST_BIN(pipeline_.get()), webrtc_);
    g_signal_connect(webrtc_, "on-new-transceiver", G_CALLBACK(on_new_transceiver), this);
    gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
  }
  ~Answerer() { gst_element_set_state(pipeline_.get(), GST_STATE_NULL); }

  std::vector<std::string> encodings = {"H264", "VP8", "OPUS"};

  std::string answer(const Offer &offer) {
    offer_ = &offer;
    GstSDPMessage *sdp = nullptr;
    fail_unless(gst_sdp_message_new_from_text(offer.sdp.c_str(), &sdp) == GST_SDP_OK);
    GstWebRTCSessionDescription *remote =
        gst_webrtc_session_description_new(GST_WEBRTC_SDP_TYPE_OFFER, sdp);
    run("set-remote-description", remote);
    gst_webrtc_session_description_free(remote);

    GstPromise *promise = gst_promise_new();
    g_signal_emit_by_name(webrtc_, "create-answer", nullptr, promise);
    gst_promise_wait(promise);
    GstWebRTCSessionDescription *local = nullptr;
    fail_unless(gst_structure_get(gst_promise_get_reply(promise), "answer",
                                  GST_TYPE_WEBRTC_SESSION_DESCRIPTION, &local, nullptr));
    gst_promise_unref(promise);
    run("set-local-description", local);
    const StrPtr text(gst_sdp_message_as_text(local->sdp));
    gst_webrtc_session_description_free(local);
    return text.get();
  }

private:
  void run(const char *signal, GstWebRTCSessionDescription *description) {
    GstPromise *promise = gst_promise_new();
    g_signal_emit_by_name(webrtc_, signal, description, promise);
    gst_promise_wait(promise);
    const GstStructure *reply = gst_promise_get_reply(promise);
    GError *raw = nullptr;
    if (reply && gst_structure_has_field(reply, "error"))
      gst_structure_get(reply, "error", G_TYPE_ERROR, &raw, nullptr);
    const ErrorPtr error(raw);
    fail_unless(!raw, "%s: %s", signal, raw ? raw->message : "");
    gst_promise_unref(promise);
  }

  static void on_new_transceiver(GstElement *, GObject *transceiver, Answerer *self) {
    guint index = 0;
    g_object_get(transceiver, "mlineindex", &index, nullptr);
    for (const MediaLine &line : self->offer_->media) {
      const Format *format = choose_format(line, self->encodings);
      if (line.index != index || !format)
        continue;
      const CapsPtr caps = codec_preferences(line, *format);
      g_object_set(transceiver, "codec-preferences", caps.get(), "do-nack", TRUE,
                   nullptr);
    }
  }

  ObjPtr<GstElement> pipeline_;
  GstElement *webrtc_ = nullptr;
  const Offer *offer_ = nullptr;
};

// The lines of m-line `index`, which is in `sdp`.
std::string section(const std::string &sdp, size_t index) {
  const auto text = split_sdp(sdp);
  fail_unless(text && index < text->media.size());
  SdpText one;
  one.media.push_back(text->media[index]);
  return one.join();
}

void assert_has(const std::string &text, const char *part) {
  fail_unless(contains(text, part), "no %s in\n%s", part, text.c_str());
}

void assert_text(const std::string &actual, const std::string &expected) {
  fail_unless_equals_string(actual.c_str(), expected.c_str());
}

} // namespace

// Given Chromium's two offers, when both are answered, then the video line has exactly
// the chosen format with all feedback that makes it send well.
GST_START_TEST(test_offer_webrtcbin_answers_chromium) {
  Answerer answerer;
  const Offer first = must_read(recorded_offer(kChromiumSocket));
  const Offer second = must_read(recorded_offer(kChromiumChannel));
  assert_has(section(answerer.answer(first), 0), "m=application 9 ");
  // Repeated, as after a renegotiation that changed nothing.
  for (int round = 0; round < 2; round++) {
    const std::string video =
        section(finish_answer(answerer.answer(second), second, {}), 1);
    for (const char *line :
         {"m=video 9 UDP/TLS/RTP/SAVPF 108 109\r\n", "a=rtpmap:108 H264/90000\r\n",
          "a=rtcp-fb:108 nack\r\n", "a=rtcp-fb:108 nack pli\r\n",
          "a=rtcp-fb:108 ccm fir\r\n", "a=rtcp-fb:108 transport-cc\r\n",
          "a=rtpmap:109 rtx/90000\r\n", "a=fmtp:109 apt=108\r\n",
          "a=extmap:4 http://www.ietf.org/id/"
          "draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n",
          "a=recvonly\r\n", ";profile-level-id=42e01f;x-google-start-bitrate=2500\r\n"})
      assert_has(video, line);
    fail_if(contains(video, "orientation"));
    fail_if(contains(video, "goog-remb"));
    fail_if(contains(video, "b=AS"));
    // rtpjitterbuffer would wait for what is lost of them, and ask for it in vain.
    for (const char *correction : {" red/", " ulpfec/", " flexfec-03/"}) {
      fail_unless(contains(recorded_offer(kChromiumChannel), correction) ||
                  g_str_equal(correction, " flexfec-03/"));
      fail_if(contains(video, correction));
    }
  }
}
GST_END_TEST

GST_START_TEST(test_offer_webrtcbin_answers_each_codec) {
  const Offer offer = must_read(recorded_offer(kChromiumChannel));
  const struct {
    const char *encoding;
    const char *head;
    const char *hints;
  } cases[] = {
      {"VP8", "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n",
       "a=fmtp:96 x-google-start-bitrate=4000;x-google-min-bitrate=800;"
       "x-google-max-bitrate=8000\r\n"},
      {"VP9", "m=video 9 UDP/TLS/RTP/SAVPF 98 99\r\n",
       "a=fmtp:98 profile-id=0;x-google-start-bitrate=4000;"},
      {"AV1", "m=video 9 UDP/TLS/RTP/SAVPF 45 46\r\n", ";x-google-max-bitrate=8000\r\n"},
  };
  for (const auto &c : cases) {
    Answerer answerer;
    answerer.encodings = {c.encoding};
    const std::string video =
        section(finish_answer(answerer.answer(offer), offer, {8000}), 1);
    for (const char *part : {c.head, c.hints, "b=AS:8000\r\nb=TIAS:8000000\r\n"})
      assert_has(video, part);
  }
}
GST_END_TEST

GST_START_TEST(test_offer_webrtcbin_answers_raspberry) {
  Answerer answerer;
  const Offer offer = must_read(recorded_offer(kRaspberry));
  const std::string answer = finish_answer(answerer.answer(offer), offer, {});
  const std::string video = section(answer, 0);
  for (const char *line :
       {"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n", "a=rtcp-fb:96 nack\r\n",
        "a=rtcp-fb:96 nack pli\r\n", "a=rtcp-fb:96 transport-cc\r\n",
        "a=fmtp:97 apt=96\r\n", "a=recvonly\r\n", "profile-level-id=42c01f"})
    assert_has(video, line);
  assert_has(answer, "a=group:BUNDLE video0 application1\r\n");
  assert_has(section(answer, 1), "m=application 9 ");
}
GST_END_TEST

GST_START_TEST(test_offer_webrtcbin_answers_audio) {
  Answerer answerer;
  const Offer offer = must_read(plain_offer());
  const std::string plain = finish_answer(answerer.answer(offer), offer, {});
  assert_has(section(plain, 2), "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n");
  assert_has(section(plain, 2), "useinbandfec=1");
  fail_if(contains(plain, "stereo"));
  AnswerHints hints;
  hints.stereo = true;
  const std::string stereo = finish_answer(answerer.answer(offer), offer, hints);
  assert_has(section(stereo, 2), ";stereo=1;sprop-stereo=1\r\n");
  fail_if(contains(section(stereo, 1), "sprop-stereo"));
}
GST_END_TEST

// Given media that nobody wants, when it is declined, then the answer says inactive.
GST_START_TEST(test_offer_webrtcbin_answers_declined_line) {
  Answerer answerer;
  Offer offer = must_read(plain_offer());
  decline(&offer, 1);
  const std::string answer = answerer.answer(offer);
  assert_has(section(answer, 1), "a=inactive\r\n");
  assert_has(section(answer, 2), "a=recvonly\r\n");
  // Every m-line stays in the bundle and can be declined again later.
  assert_has(answer, "a=group:BUNDLE 0 1 2\r\n");
  assert_has(section(answerer.answer(offer), 1), "a=inactive\r\n");
}
GST_END_TEST

GST_START_TEST(test_offer_webrtcbin_rejects_removed_line) {
  Answerer answerer;
  const Offer offer = must_read(session_lines("0 2") + data_lines("0") +
                                media_lines("video", "1", "96", kVp8, "0") +
                                media_lines("audio", "2", "111", kOpus));
  const std::string answer = finish_answer(answerer.answer(offer), offer, {8000});
  assert_has(answer, "a=group:BUNDLE 0 2\r\n");
  assert_has(section(answer, 1), "m=video 0 ");
  fail_if(contains(section(answer, 1), "x-google"));
  assert_has(section(answer, 2), "m=audio 9 ");
  assert_has(section(answer, 2), "a=recvonly\r\n");
}
GST_END_TEST

// Given data channels that are removed, beside a living one or none, then the answer
// takes each of them as removed.
GST_START_TEST(test_offer_webrtcbin_answers_removed_channels) {
  const std::string video = media_lines("video", "2", "96", kVp8);
  const std::string living = data_lines("1");
  const std::string removed = replace_first(data_lines("0"), " 9 ", " 0 ");
  const std::string another = replace_first(data_lines("3"), " 9 ", " 0 ");
  for (const std::string &lines :
       {removed + living + video, living + video + removed,
        removed + living + another + video, removed + another + video,
        video + removed + another}) {
    Answerer answerer;
    const bool alive = contains(lines, living.c_str());
    const Offer offer = must_read(session_lines(alive ? "1 2" : "2") + lines);
    // Twice, as what is removed stays in later offers.
    for (int round = 0; round < 2; round++) {
      const std::string answer = finish_answer(answerer.answer(offer), offer, {8000});
      assert_has(answer, alive ? "a=group:BUNDLE 1 2\r\n" : "a=group:BUNDLE 2\r\n");
      for (unsigned index : offer.removed)
        assert_has(section(answer, index), "m=application 0 ");
      if (alive)
        assert_has(section(answer, offer.data_mline), "m=application 9 ");
    }
  }
}
GST_END_TEST

// Given an m-line that is muted by the publisher for good, then webrtcbin takes that.
GST_START_TEST(test_offer_webrtcbin_takes_what_continues) {
  Answerer answerer;
  const Offer first = must_read(plain_offer());
  const Offer muted = must_read(replace(plain_offer(), "a=sendrecv", "a=inactive"));
  const Offer more = must_read(replace(muted.sdp, "0 1 2", "0 1 2 3") +
                               media_lines("video", "3", "96", kVp8));
  std::string why;
  fail_unless(continues(first, muted, &why) && continues(muted, more, &why), "%s",
              why.c_str());
  answerer.answer(first);
  assert_has(section(answerer.answer(muted), 1), "a=inactive\r\n");
  assert_has(section(answerer.answer(more), 3), "a=recvonly\r\n");
}
GST_END_TEST

GST_START_TEST(test_offer_finish_answer_leaves_nonsense_alone) {
  for (const char *text : {"", "nonsense", "v=0\r\ns=-\r\n"})
    assert_text(finish_answer(text, Offer(), {8000}), text);
}
GST_END_TEST

// Made with `openssl req -x509`; the digests are those of `openssl x509 -fingerprint`.
GST_START_TEST(test_offer_certificate_fingerprint) {
  const std::string pem = read_vector_file("certificate.pem");
  for_each_vector("certificate.json", "fingerprints", [&](JsonObject *v) {
    const std::string value = vector_string(v, "value");
    assert_text(certificate_fingerprint(pem.c_str(), value.substr(0, value.find(' '))),
                value);
  });
  assert_text(certificate_fingerprint(pem.c_str(), "md5"), "");
  for (const char *bad : {"", "-----BEGIN CERTIFICATE-----", "x"})
    assert_text(certificate_fingerprint(bad, "sha-256"), "");
  assert_text(certificate_fingerprint(nullptr, "sha-256"), "");
}
GST_END_TEST

static Suite *offer_webrtcbin_suite(void) {
  Suite *s = suite_create("offer-webrtcbin");
  TCase *tc = tcase_create("offer-webrtcbin");
  suite_add_tcase(s, tc);
  for (const char *element : {"webrtcbin", "nicesrc", "dtlsenc", "srtpenc", "sctpenc"})
    if (!gst_registry_check_feature_version(gst_registry_get(), element, 0, 0, 0)) {
      g_print("skipped: element %s is missing\n", element);
      return s;
    }
  tcase_add_test(tc, test_offer_webrtcbin_answers_chromium);
  tcase_add_test(tc, test_offer_webrtcbin_answers_each_codec);
  tcase_add_test(tc, test_offer_webrtcbin_answers_raspberry);
  tcase_add_test(tc, test_offer_webrtcbin_answers_audio);
  tcase_add_test(tc, test_offer_webrtcbin_answers_declined_line);
  tcase_add_test(tc, test_offer_webrtcbin_rejects_removed_line);
  tcase_add_test(tc, test_offer_webrtcbin_answers_removed_channels);
  tcase_add_test(tc, test_offer_webrtcbin_takes_what_continues);
  tcase_add_test(tc, test_offer_finish_answer_leaves_nonsense_alone);
  tcase_add_test(tc, test_offer_certificate_fingerprint);
  return s;
}

GST_CHECK_MAIN(offer_webrtcbin)
