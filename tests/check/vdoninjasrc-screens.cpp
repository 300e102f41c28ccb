// SPDX-License-Identifier: LGPL-2.1-or-later
// Screens that a publisher shares beside its camera, in the same session.
#include "loopback.h"

using namespace vdn;

namespace {

constexpr int kScreenWidth = 480; // the camera's is another

std::string video_sink(unsigned pad, const char *name) {
  return " src.video_" + std::to_string(pad) +
         " ! video/x-raw,format=I420 ! fakesink sync=false async=false name=" + name;
}

void share_screen(Publisher &publisher, TrackConfig screen) {
  screen.width = kScreenWidth;
  GError *error = nullptr;
  fail_unless(publisher.add_screen(screen, &error), "%s", error ? error->message : "");
}

void expect_screen(const Player &player, const char *sink) {
  player.expect_buffers(sink, 5);
  const std::string caps = player.state().sinks.at(sink).caps;
  fail_unless(caps.find("width=(int)" + std::to_string(kScreenWidth)) !=
                  std::string::npos,
              "%s", caps.c_str());
}

// Camera first, then a screen that is shared while it plays.
void play_both(bool channel_first) {
  auto config = small_picture();
  config.channel_first = channel_first;
  Loopback loopback(config);
  loopback.publish();
  Player player(loopback.server.source("stream-id=cam,cam:s") + video_sink(0, "sink") +
                    video_sink(1, "screen"),
                {"sink", "screen"});
  player.play();
  player.expect_buffers("sink", 5);
  share_screen(*loopback.publisher, loopback.config.video);
  expect_screen(player, "screen");
  player.expect_buffers("sink", 5);
  const auto state = player.state();
  fail_unless(state.errors.empty(), "%s", player.describe().c_str());
  fail_unless_equals_int(state.sinks.at("sink").stream_starts, 1);
  player.assert_stream("video_0", "cam");
  player.assert_stream("video_1", "cam:s");
}

} // namespace

GST_START_TEST(test_screens_beside_the_camera_have_a_pad_of_their_own) {
  play_both(false);
}
GST_END_TEST

GST_START_TEST(test_screens_beside_the_camera_of_a_web_client) {
  play_both(true);
}
GST_END_TEST

GST_START_TEST(test_screens_alone_leave_the_camera_out) {
  for (const char *what : {"stream-id=cam:s", "location=vdoninja:?view=cam:s"}) {
    Loopback loopback;
    loopback.publish();
    share_screen(*loopback.publisher, loopback.config.video);
    Player player(loopback.server.source(what) + video_sink(0, "sink"));
    player.play();
    expect_screen(player, "sink");
    player.assert_stream("video_0", "cam:s");
    // Neither the camera's picture nor its sound.
    fail_unless_equals_int(player.state().pads.size(), 1);
    fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
  }
}
GST_END_TEST

// given a publisher that sends the picture of its camera although that was refused, when
// its screen comes later, then the session is still the same.
GST_START_TEST(test_screens_alone_wait_beside_a_refused_camera) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.server.source("stream-id=cam:s") + video_sink(0, "sink"));
  player.play();
  loopback.await("the data channel", [](const auto &state) {
    return !state.viewers.empty() && state.viewers.front().status.channel_open;
  });
  Watched<unsigned> sent;
  PublisherHooks hooks;
  hooks.media.packets = [&](Packets &) { sent.update([](unsigned &count) { count++; }); };
  loopback.publisher->set_hooks(hooks);
  fail_unless(sent.wait(kLoopbackLimit, [](unsigned count) { return count >= 10; }));
  loopback.publisher->set_hooks({});
  share_screen(*loopback.publisher, loopback.config.video);
  expect_screen(player, "sink");
  fail_if(player.state().saw_state("reconnecting"), "%s", player.describe().c_str());
}
GST_END_TEST

GST_START_TEST(test_screens_are_not_asked_for_unless_wanted) {
  Loopback loopback;
  loopback.publish();
  share_screen(*loopback.publisher, loopback.config.video);
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 10);
  fail_unless_equals_int(player.state().pads.size(), 2);
  const auto received = loopback.publisher->state().received;
  fail_unless(!received.empty() &&
              received.front().find("\"allowscreenvideo\":false") != std::string::npos);
}
GST_END_TEST

GST_START_TEST(test_screens_of_a_room_have_pads_too) {
  auto config = small_picture();
  config.room = "room1";
  config.with_audio = false;
  Loopback loopback(config);
  loopback.publish();
  share_screen(*loopback.publisher, loopback.config.video);
  Player player(loopback.server.source("room=room1") + video_sink(0, "sink") +
                    video_sink(1, "screen"),
                {"sink", "screen"});
  player.play();
  player.expect_buffers("sink", 5);
  expect_screen(player, "screen");
  player.assert_stream("video_1", "cam:s");
}
GST_END_TEST

static Suite *screens_suite() {
  Suite *suite = suite_create("vdoninjasrc-screens");
  TCase *tc = tcase_create("screens");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_screens_beside_the_camera_have_a_pad_of_their_own);
  tcase_add_test(tc, test_screens_beside_the_camera_of_a_web_client);
  tcase_add_test(tc, test_screens_alone_leave_the_camera_out);
  tcase_add_test(tc, test_screens_alone_wait_beside_a_refused_camera);
  tcase_add_test(tc, test_screens_are_not_asked_for_unless_wanted);
  tcase_add_test(tc, test_screens_of_a_room_have_pads_too);
  return suite;
}

GST_CHECK_MAIN(screens);
