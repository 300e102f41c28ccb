// SPDX-License-Identifier: LGPL-2.1-or-later
// What vdoninjasrc answers to offers, and asks for: read from what went over the server.
#include <set>

#include "loopback.h"
#include "sdp-lines.h"

using namespace vdn;

namespace {

// The answer to the publisher `config`, and nothing else of interest.
std::string answer_to(const PublisherConfig &config, const std::string &more = "") {
  Loopback loopback(config);
  loopback.publish();
  Player player(loopback.play(more), {"sink", "audio"});
  player.play();
  loopback.await("an answer", [](const auto &state) {
    return !state.viewers.empty() && state.viewers[0].status.answers > 0;
  });
  const std::string answer = loopback.answer();
  fail_unless(answer.find("v=0") == 0, "no answer went over the server");
  return answer;
}

SdpSection section(const std::string &sdp, const char *kind) {
  const auto text = split_sdp(sdp);
  fail_unless(text.has_value());
  for (const auto &media : text->media)
    if (media.lines[0].rfind(std::string("m=") + kind + " ", 0) == 0)
      return media;
  fail("no %s in %s", kind, sdp.c_str());
  return {};
}

bool has(const SdpSection &media, const std::string &part) {
  for (const auto &line : media.lines)
    if (line.find(part) != std::string::npos)
      return true;
  return false;
}

// The payload types of the m= line.
std::set<std::string> payloads(const SdpSection &media) {
  const auto words = split_words(media.lines[0]);
  std::set<std::string> result;
  for (size_t i = 3; i < words.size(); i++)
    result.emplace(words[i]);
  return result;
}

} // namespace

GST_START_TEST(test_answer_makes_browsers_send_well) {
  for (Codec codec : {Codec::kVp8, Codec::kX264}) {
    if (codec == Codec::kX264 && !has_element("x264enc"))
      continue;
    const std::string answer = answer_to(small_picture(codec));
    const SdpSection video = section(answer, "video");
    for (const char *line :
         {"a=rtcp-fb:110 nack", "a=rtcp-fb:110 nack pli", " rtx/90000", "apt=110",
          "transport-cc", "x-google-start-bitrate", "a=recvonly"})
      fail_unless(has(video, line), "no %s in %s", line, answer.c_str());
    fail_if(has(video, "video-orientation"), "%s", answer.c_str());
    fail_if(has(video, "b=AS"), "%s", answer.c_str());
    fail_unless(has(section(answer, "audio"), "a=recvonly"));
  }
}
GST_END_TEST

// Extensions that would have us rotate pictures are declined.
GST_START_TEST(test_answer_declines_video_orientation) {
  Loopback loopback;
  PublisherHooks hooks;
  hooks.offer = [](std::string &sdp) {
    const size_t at = sdp.find("a=mid:video0");
    sdp.insert(at, "a=extmap:13 urn:3gpp:video-orientation\r\n");
  };
  loopback.publisher->set_hooks(hooks);
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 3);
  const std::string answer = loopback.answer();
  fail_if(answer.empty());
  fail_unless(answer.find("video-orientation") == std::string::npos, "%s",
              answer.c_str());
}
GST_END_TEST

GST_START_TEST(test_answer_takes_payload_types_from_the_offer) {
  Loopback loopback;
  std::string offer;
  PublisherHooks hooks;
  hooks.offer = [&offer](std::string &sdp) { offer = sdp; };
  loopback.publisher->set_hooks(hooks);
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 3);
  const std::string answer = loopback.answer();
  loopback.publisher->set_hooks({}); // `offer` is ours now
  for (const char *kind : {"video", "audio"}) {
    const auto offered = payloads(section(offer, kind));
    for (const auto &payload : payloads(section(answer, kind)))
      fail_unless(offered.count(payload) == 1, "%s was not offered\n%s", payload.c_str(),
                  answer.c_str());
  }
}
GST_END_TEST

GST_START_TEST(test_answer_keeps_the_h264_profile_of_the_offer) {
  if (!has_element("x264enc"))
    return;
  const std::string answer = answer_to(small_picture(Codec::kX264));
  const SdpSection video = section(answer, "video");
  fail_unless(has(video, "profile-level-id=42"), "%s", answer.c_str());
  fail_unless(has(video, "packetization-mode=1"), "%s", answer.c_str());
}
GST_END_TEST

// An offer of two codecs; the answer begins with the one that is wanted.
GST_START_TEST(test_answer_respects_the_order_of_video_codecs) {
  constexpr struct {
    const char *codecs;
    const char *first; // payload type
  } kOrders[] = {{"<VP9,VP8>", "100"}, {"<vp8,vp9>", "110"}, {"<VP9>", "100"}};
  for (const auto &order : kOrders) {
    Loopback loopback;
    PublisherHooks hooks;
    hooks.offer = [](std::string &sdp) {
      const size_t line = sdp.find("SAVPF 110");
      sdp.insert(line + 9, " 100");
      sdp.insert(sdp.find("a=rtpmap:110"), "a=rtpmap:100 VP9/90000\r\n"
                                           "a=rtcp-fb:100 nack\r\n"
                                           "a=rtcp-fb:100 nack pli\r\n");
    };
    loopback.publisher->set_hooks(hooks);
    loopback.publish();
    Player player(loopback.play(std::string("video-codecs=") + order.codecs),
                  {"sink", "audio"});
    player.play();
    // Read anew after each message: an answer with VP9 this publisher cannot follow.
    std::string answer;
    loopback.server.await("an answer", [&](const HandshakeServer::State &state) {
      return state.received > 0 && !(answer = loopback.answer_in(state)).empty();
    });
    const auto video = section(answer, "video"); // the words are views into it
    const auto words = split_words(video.lines[0]);
    fail_unless(words.size() > 3 && words[3] == order.first, "%s: %s", order.codecs,
                answer.c_str());
    player.stop();
  }
}
GST_END_TEST

GST_START_TEST(test_answer_limits_the_bitrate) {
  const std::string answer = answer_to(small_picture(), "video-bitrate=1234");
  const SdpSection video = section(answer, "video");
  for (const char *line :
       {"b=AS:1234", "x-google-max-bitrate=1234", "x-google-start-bitrate"})
    fail_unless(has(video, line), "no %s in %s", line, answer.c_str());
}
GST_END_TEST

static Suite *answer_suite() {
  Suite *suite = suite_create("vdoninjasrc-answer");
  TCase *tc = tcase_create("answer");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_answer_makes_browsers_send_well);
  tcase_add_test(tc, test_answer_declines_video_orientation);
  tcase_add_test(tc, test_answer_takes_payload_types_from_the_offer);
  tcase_add_test(tc, test_answer_keeps_the_h264_profile_of_the_offer);
  tcase_add_test(tc, test_answer_respects_the_order_of_video_codecs);
  tcase_add_test(tc, test_answer_limits_the_bitrate);
  return suite;
}

GST_CHECK_MAIN(answer);
