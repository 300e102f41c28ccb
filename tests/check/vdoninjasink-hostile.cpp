// SPDX-License-Identifier: LGPL-2.1-or-later
// What viewers of vdoninjasink must not be able to do to it and to each other.
#include "show.h"
#include "test-client.h"

using namespace vdn;
using namespace std::chrono_literals;

// Pausing and going on is no way to more keyframes than others may have.
GST_START_TEST(test_pauses_without_end_are_no_keyframes) {
  Show show("keyframe-interval=0");
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 5);
  const auto keyframes = [&show] {
    guint count = 0;
    gst_structure_get_uint(show.sending.stats().get(), "keyframes", &count);
    return count;
  };
  const guint before = keyframes();
  for (int i = 0; i < 50; i++) {
    viewer.send(R"({"bitrate":0})");
    viewer.send(R"({"bitrate":1000})");
    g_usleep(100000);
  }
  fail_unless(keyframes() <= before + 6, "%u keyframes", keyframes() - before);
  expect_frames(viewer, 5);
}
GST_END_TEST

// What it does not take is refused, and not kept.
GST_START_TEST(test_messages_without_end) {
  Show show;
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 1);
  show.sending.expect_viewers(1);
  const std::string text = R"({"chat":")" + std::string(50000, 'x') + "\"}";
  unsigned refused = 0;
  for (int i = 0; i < 400; i++) {
    gboolean sent = FALSE;
    g_signal_emit_by_name(show.sending.sink(), "send-message", nullptr, text.c_str(),
                          &sent);
    refused += !sent;
  }
  fail_unless(refused > 0);
  expect_frames(viewer, 15);
}
GST_END_TEST

// A server that only relays lets anybody say to be anybody.
GST_START_TEST(test_others_cannot_restart_a_viewer) {
  Shown show;
  Player &player = show.player;
  show.sending.expect_viewers(1);
  const std::string id = show.sending.state().joined.front();
  TestClient client(show.scene.server->url());
  fail_unless(client.wait_open());
  client.send(R"({"from":"mallory"})");
  for (int i = 0; i < 10; i++)
    client.send(R"({"iceRestartRequest":true,"from":")" + id + "\"}");
  player.expect_buffers("sink", 15);
  fail_unless(show.sending.state().left.empty());
  player.assert_seamless(0);
}
GST_END_TEST

// Whoever asks and does not answer costs a handshake, and only so many at once.
GST_START_TEST(test_requests_without_end) {
  Shown show;
  Player &player = show.player;
  TestClient client(show.scene.server->url());
  fail_unless(client.wait_open());
  for (int i = 0; i < 200; i++)
    client.send(request_of("ghost" + std::to_string(i % 50)));
  client.send(request_of("ghost0", "joinroom"));
  player.expect_buffers("sink", 30);
  fail_unless(offers(show.scene) <= 1 + 8, "%u offers", offers(show.scene));
  player.assert_seamless(0);
  fail_unless(show.sending.state().errors.empty(), "%s", show.sending.describe().c_str());
}
GST_END_TEST

// A connection costs more than asking for one.
GST_START_TEST(test_restarts_without_end) {
  const Scene scene;
  Sending sending(small_video() + sink_line(scene, "stream-id=abc password=false"));
  sending.play();
  sending.expect_published();
  TestClient client(scene.server->url());
  fail_unless(client.wait_open());
  client.send(R"({"request":"play","streamID":"abc"})");
  const auto count = [](const TestClient::State &state) {
    return std::count_if(
        state.messages.begin(), state.messages.end(),
        [](const auto &text) { return text.find("m=application") != std::string::npos; });
  };
  fail_unless(client.wait([&](const auto &state) { return count(state) > 0; }));
  std::string publisher;
  for (size_t i = 0; publisher.empty(); i++)
    publisher = client.member(i, "UUID");
  for (int i = 0; i < 200; i++) {
    client.send(R"({"iceRestartRequest":true,"UUID":")" + publisher + "\"}");
    g_usleep(10000);
  }
  Player player(scene.line("stream-id=abc password=false"));
  player.play();
  player.expect_buffers("sink", 15);
  const auto made = count(client.state());
  fail_unless(made > 1 && made < 100, "%d connections", static_cast<int>(made));
}
GST_END_TEST

// Handshakes that do not get on make way for whoever comes after them.
GST_START_TEST(test_ghosts_do_not_keep_others_out) {
  Show show;
  TestClient client(show.scene.server->url());
  fail_unless(client.wait_open());
  for (int i = 0; i < 8; i++)
    client.send(request_of("ghost" + std::to_string(i)));
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect(
      "frames", [](const Player::State &state) { return state.buffers("sink") > 0; }, 8s);
}
GST_END_TEST

// Each channel costs the publisher a thread.
GST_START_TEST(test_channels_without_end) {
  Shown show;
  Player &player = show.player;
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 1);
  viewer.open_channels(100);
  show.sending.expect_left(1);
  player.expect_buffers("sink", 15);
  player.assert_seamless(0);
}
GST_END_TEST

// What the answer of a viewer is bent to.
const std::pair<const char *, const char *> kBends[] = {
    {"m=video 9", "m=video 0"},
    {"a=mid:video0", "a=mid:else"},
    {"a=recvonly", "a=sendrecv"},
    {"a=recvonly", "a=inactive"},
    {"a=setup:active", "a=setup:no"},
    {"a=ice-ufrag:", "a=ice-ufrag:x"},
    {"sha-256", "sha-999"},
    {"a=group:BUNDLE video0", "a=group:BUNDLE"},
    {"v=0", "x=0"},
    {"m=application", "m=audio"},
    {"m=video", "m=application"},
};

GST_START_TEST(test_bent_answer_harms_nobody) {
  const auto [from, to] = kBends[__i__];
  Shown show;
  Player &player = show.player;
  Watched<unsigned> bent;
  show.scene.server->set_hook([&, from = from, to = to](Passing &passing) {
    if (passing.text.find("\"answer\"") == std::string::npos)
      return;
    for (size_t at = 0; (at = passing.text.find(from, at)) != std::string::npos;
         at += strlen(to)) {
      passing.text.replace(at, strlen(from), to);
      bent.update([](unsigned &n) { n++; });
    }
  });
  TestViewer viewer(show.viewer());
  fail_unless(bent.wait(20s, [](unsigned n) { return n > 0; }), "no %s in answers", from);
  player.expect_buffers("sink", 15);
  player.assert_seamless(0);
  show.scene.server->set_hook(nullptr);
}
GST_END_TEST

// The certificate is not that of the answer: nothing is shown.
GST_START_TEST(test_other_certificate_gets_nothing) {
  Show show;
  constexpr char kLine[] = "a=fingerprint:sha-256 ";
  Watched<bool> answered;
  show.scene.server->set_hook([&](Passing &passing) {
    if (passing.text.find("\"answer\"") == std::string::npos)
      return;
    // Everywhere the same, or it would be refused for another reason.
    for (size_t at = 0; (at = passing.text.find(kLine, at)) != std::string::npos;
         at += strlen(kLine))
      passing.text.replace(at + strlen(kLine), 5, "00:00");
    answered.update([](bool &yes) { yes = true; });
  });
  TestViewer viewer(show.viewer());
  fail_unless(answered.wait(20s, [](bool yes) { return yes; }));
  show.scene.server->set_hook(nullptr);
  // By then it could have been shown a second of pictures.
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect_buffers("sink", 15);
  fail_unless_equals_int(frames(viewer.state()), 0);
  fail_unless_equals_int(show.sending.state().joined.size(), 1);
}
GST_END_TEST

GST_START_TEST(test_no_more_than_max_viewers) {
  Shown show("max-viewers=1");
  TestViewer viewer(show.viewer());
  show.sending.expect_trouble(&Sending::State::warnings, "more than max-viewers=1");
  fail_unless_equals_int(viewer.state().offers, 0);
}
GST_END_TEST

// Those who asked before there was anything to watch are no exception.
GST_START_TEST(test_no_more_than_max_viewers_at_once) {
  const Scene scene{Dialect::kCustom};
  Sending sending(small_video() +
                  sink_line(scene, "stream-id=abc password=false max-viewers=2"));
  sending.set_state(GST_STATE_PAUSED);
  TestClient client(scene.server->url());
  fail_unless(client.wait_open());
  fail_unless(scene.server->wait(
      20s, [](const HandshakeServer::State &state) { return state.clients.size() > 1; }));
  for (int i = 0; i < 5; i++)
    client.send(request_of("early" + std::to_string(i), "sendoffer"));
  sending.play();
  sending.expect_published();
  sending.expect_trouble(&Sending::State::warnings, "more than max-viewers=2");
  fail_unless(offers(scene) <= 2, "%u offers", offers(scene));
}
GST_END_TEST

static Suite *vdoninjasink_hostile_suite() {
  Suite *suite = suite_create("vdoninjasink-hostile");
  TCase *tc = tcase_create("vdoninjasink-hostile");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_pauses_without_end_are_no_keyframes);
  tcase_add_test(tc, test_messages_without_end);
  tcase_add_test(tc, test_others_cannot_restart_a_viewer);
  tcase_add_test(tc, test_requests_without_end);
  tcase_add_test(tc, test_restarts_without_end);
  tcase_add_test(tc, test_ghosts_do_not_keep_others_out);
  tcase_add_test(tc, test_channels_without_end);
  tcase_add_loop_test(tc, test_bent_answer_harms_nobody, 0, G_N_ELEMENTS(kBends));
  tcase_add_test(tc, test_other_certificate_gets_nothing);
  tcase_add_test(tc, test_no_more_than_max_viewers);
  tcase_add_test(tc, test_no_more_than_max_viewers_at_once);
  return suite;
}

GST_CHECK_MAIN(vdoninjasink_hostile)
