// SPDX-License-Identifier: LGPL-2.1-or-later
// What viewers of vdoninjasink say on their data channels, too much of it or nothing, and
// what a server and strangers say beside them.
#include "show.h"
#include "test-client.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

guint keyframes(const Show &show) {
  guint count = 0;
  gst_structure_get_uint(show.sending.stats().get(), "keyframes", &count);
  return count;
}

std::string description_of(const char *from, const char *to) {
  return std::string(R"({"UUID":")") + from + R"(","session":")" + to +
         R"(","description":{"type":"answer","sdp":"v=0\r\nm=video 0 x 1\r\n"}})";
}

} // namespace

// Raspberry.Ninja's viewers say nothing.
GST_START_TEST(test_viewer_that_never_says_what_it_wants) {
  Show show;
  ViewerConfig config = show.viewer();
  config.say_init = false;
  TestViewer viewer(config);
  expect_frames(viewer, 5);
}
GST_END_TEST

GST_START_TEST(test_viewer_says_twice_what_it_wants) {
  Show show("", small_video() + "out. " + tone() + "out. ");
  TestViewer viewer(show.viewer()); // has said that it wants both
  expect_frames(viewer, 5);
  viewer.send(R"({"audio":true,"video":false})");
  expect_pong(viewer, 1);
  const auto expect_sound = [&] {
    const unsigned sounds = viewer.state().audio_buffers;
    expect(viewer, "sound",
           [=](const auto &state) { return state.audio_buffers > sounds + 50; });
  };
  expect_sound(); // with what was on its way
  const unsigned before = frames(viewer.state());
  expect_sound();
  fail_unless_equals_int(frames(viewer.state()), before);
  for (int i = 0; i < 3; i++)
    viewer.send(R"({"audio":true,"video":true})");
  expect_frames(viewer, 10);
  fail_unless(show.sending.state().left.empty());
  fail_unless_equals_int(show.sending.state().joined.size(), 1);
}
GST_END_TEST

// It is served already.
GST_START_TEST(test_who_watches_and_asks_again_is_left_alone) {
  Show show;
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 5);
  for (int i = 0; i < 5; i++)
    viewer.play();
  expect_frames(viewer, 30);
  fail_unless_equals_int(viewer.state().offers, 1);
}
GST_END_TEST

// Whatever is muted and unmuted meanwhile.
GST_START_TEST(test_pause_is_told_as_long_as_it_lasts) {
  Show show;
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 5);
  show.sending.set_state(GST_STATE_PAUSED);
  expect(viewer, "the word that it is muted",
         [](const auto &state) { return heard(state, "\"videoMuted\":true"); });
  g_object_set(show.sending.sink(), "mute-video", TRUE, nullptr);
  g_object_set(show.sending.sink(), "mute-video", FALSE, nullptr);
  expect_pong(viewer, 1);
  fail_if(heard(viewer.state(), "\"videoMuted\":false"));
  show.sending.play();
  expect(viewer, "the word that it is not muted",
         [](const auto &state) { return heard(state, "\"videoMuted\":false"); });
  expect_frames(viewer, 5);
}
GST_END_TEST

// Keyframes cost all who watch.
GST_START_TEST(test_keyframes_asked_for_without_end) {
  Shown show("keyframe-interval=0");
  Player &player = show.player;
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 5);
  const guint before = keyframes(show);
  const gint64 from = g_get_monotonic_time();
  // Of more than a thousand that wait some are dropped, and a ping might be one.
  for (int ping = 10; ping < 18; ping++) {
    for (int i = 0; i < 250; i++)
      viewer.send(i % 2 ? R"({"keyframe":true})" : R"({"requestKeyframe":true})");
    expect_pong(viewer, ping);
  }
  player.expect_buffers("sink", 15);
  const guint made = keyframes(show) - before;
  const gint64 seconds = (g_get_monotonic_time() - from) / G_USEC_PER_SEC;
  fail_unless(made <= 4 + seconds, "%u keyframes", made);
  player.assert_seamless(0);
}
GST_END_TEST

GST_START_TEST(test_application_asks_for_a_keyframe) {
  Show show("keyframe-interval=0");
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 5);
  const guint before = keyframes(show);
  g_signal_emit_by_name(show.sending.sink(), "request-keyframe");
  for (int tries = 0; keyframes(show) == before && tries < 10; tries++)
    expect_frames(viewer, 3);
  fail_unless(keyframes(show) > before);
}
GST_END_TEST

// A hosted server, whose words are believed, and others who speak through it.
GST_START_TEST(test_server_says_what_concerns_nobody) {
  const Scene scene;
  Sending sending(small_video() + sink_line(scene, "stream-id=abc password=false"));
  sending.play();
  sending.expect_published();
  Player player(scene.line("stream-id=abc password=false"));
  player.play();
  player.expect_buffers("sink", 5);
  sending.expect_viewers(1);
  const std::string viewer = sending.state().joined.front();
  const HandshakeServer::State now = scene.server->state();
  const auto *ours = now.find_stream("abc");
  fail_unless(ours != nullptr);
  std::string listing = R"({"request":"listing","list":[)";
  for (int i = 0; i < 10000; i++)
    listing += (i ? ",\"" : "\"") + std::to_string(i) + "\"";
  const std::string candidates =
      R"("candidates":[{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ host"}])";
  for (const std::string &text :
       {description_of("nobody", "none"), description_of(viewer.c_str(), "other"),
        R"({"UUID":"nobody","type":"remote",)" + candidates + "}",
        R"({"UUID":")" + viewer + R"(","session":"other","type":"remote",)" + candidates +
            "}",
        std::string(R"({"request":"cleanup","UUID":"nobody"})"),
        std::string(R"({"bye":true,"UUID":"nobody"})"), std::string(R"({"bye":true})"),
        std::string(R"({"request":"offerSDP"})"),
        std::string(R"({"request":"offerSDP","UUID":7})"),
        R"({"request":"offerSDP","UUID":")" + std::string(1000, 'u') + "\"}",
        R"({"request":"offerSDP","UUID":")" + ours->peer + "\"}",
        std::string(R"({"request":"play","streamID":"other","UUID":"nobody"})"),
        std::string(R"({"request":"offerSDP","UUID":")" + viewer + "\"}"), listing + "]}",
        std::string(R"({"request":"transferred","list":7})"), std::string("x")})
    scene.server->send_text(ours->id, text);
  scene.server->send_binary(ours->id, std::string(1000, '\0'));
  player.expect_buffers("sink", 15);
  fail_unless(sending.state().left.empty() && sending.state().errors.empty(), "%s",
              sending.describe().c_str());
  // Too long for us to read: another socket takes its place.
  const unsigned before = scene.server->state().connections;
  scene.server->send_text(ours->id, R"({"request":"offerSDP","UUID":")" +
                                        std::string(1 << 20, 'u') + "\"}");
  fail_unless(scene.server->wait(20s, [=](const HandshakeServer::State &state) {
    return state.connections > before && state.find_stream("abc");
  }));
  Player second(scene.line("stream-id=abc password=false"));
  second.play();
  second.expect_buffers("sink", 5);
  player.expect_buffers("sink", 5);
  player.assert_seamless(0);
}
GST_END_TEST

// Candidates, as many as anybody likes, of those who shake hands and of those who do not.
GST_START_TEST(test_candidates_without_end) {
  Shown show;
  Player &player = show.player;
  TestClient client(show.scene.server->url());
  fail_unless(client.wait_open());
  const auto candidates = [](const std::string &from, const std::string &text) {
    std::string list;
    for (int i = 0; i < 200; i++)
      list += std::string(i ? "," : "") + R"({"candidate":")" + text + R"("})";
    return R"({"type":"remote","from":")" + from + R"(","candidates":[)" + list + "]}";
  };
  client.send(request_of("flood"));
  for (const char *text :
       {"candidate:1 1 udp 1 127.0.0.1 9 typ host", "candidate:1 1 udp 1 :: 0 typ host",
        "candidate:1 1 tcp 1 127.0.0.1 9 typ host tcptype active",
        "candidate:1 1 udp 99999999999999 999.1.1.1 70000 typ relay",
        "candidate:", "a=", "candidate:1 1 udp 1 nobody.invalid 9 typ host"})
    for (const char *from : {"flood", "nobody"})
      for (int i = 0; i < 10; i++)
        client.send(candidates(from, text));
  player.expect_buffers("sink", 15);
  Player second(show.scene.line(show.play()));
  second.play();
  second.expect_buffers("sink", 5);
  player.assert_seamless(0);
}
GST_END_TEST

static Suite *vdoninjasink_words_suite() {
  Suite *suite = suite_create("vdoninjasink-words");
  TCase *tc = tcase_create("vdoninjasink-words");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_viewer_that_never_says_what_it_wants);
  tcase_add_test(tc, test_viewer_says_twice_what_it_wants);
  tcase_add_test(tc, test_who_watches_and_asks_again_is_left_alone);
  tcase_add_test(tc, test_pause_is_told_as_long_as_it_lasts);
  tcase_add_test(tc, test_keyframes_asked_for_without_end);
  tcase_add_test(tc, test_application_asks_for_a_keyframe);
  tcase_add_test(tc, test_server_says_what_concerns_nobody);
  tcase_add_test(tc, test_candidates_without_end);
  return suite;
}

GST_CHECK_MAIN(vdoninjasink_words)
