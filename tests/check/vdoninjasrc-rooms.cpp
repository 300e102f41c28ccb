// SPDX-License-Identifier: LGPL-2.1-or-later
// Rooms: whoever publishes gets pads of its own, who leaves keeps or loses them.
#include <algorithm>

#include "scene.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using namespace std::chrono_literals;

namespace {

using State = Player::State;

// Publishes with a width of its own, by which the stream is told on its pad.
std::unique_ptr<Publisher> join(const Scene &scene, const char *id, int width) {
  PublisherConfig config = scene.config(id);
  config.room = "room1";
  config.video.width = width;
  return scene.publish(config);
}

bool shows(const State &state, const char *sink, int width) {
  auto at = state.sinks.find(sink);
  return at != state.sinks.end() && at->second.buffers > 3 &&
         at->second.caps.find("width=(int)" + std::to_string(width)) != std::string::npos;
}

std::string branches(unsigned n) {
  std::string text;
  for (unsigned i = 0; i < n; i++)
    text += raw_sink(i);
  return text;
}

void play_everybody(Dialect dialect) {
  Scene scene(dialect);
  auto one = join(scene, "one", 320);
  Player player(scene.source("room=room1") + branches(3), {"sink0", "sink1", "sink2"});
  player.play();
  player.expect("one", [](const State &state) { return shows(state, "sink0", 320); });
  auto two = join(scene, "two", 400);
  player.expect("two", [](const State &state) { return shows(state, "sink1", 400); });
  auto three = join(scene, "three", 480);
  player.expect("three", [](const State &state) { return shows(state, "sink2", 480); });
  player.assert_stream("video_1", "two");
  fail_unless(player.state().errors.empty());
}

} // namespace

GST_START_TEST(test_room_everybody_gets_a_pad_hosted) {
  play_everybody(Dialect::kHosted);
}
GST_END_TEST

GST_START_TEST(test_room_everybody_gets_a_pad_custom) {
  play_everybody(Dialect::kCustom);
}
GST_END_TEST

GST_START_TEST(test_room_only_the_named_stream_is_played) {
  Scene scene;
  auto one = join(scene, "one", 320);
  auto two = join(scene, "two", 400);
  Player player(scene.source("room=room1 stream-id=two") + branches(1), {"sink0"});
  player.play();
  player.expect("two", [](const State &state) { return shows(state, "sink0", 400); });
  fail_unless_equals_int(player.state().pads.size(), 1);
  fail_unless_equals_int(one->state().sessions, 0);
}
GST_END_TEST

GST_START_TEST(test_room_max_streams_is_a_limit) {
  Scene scene;
  auto one = join(scene, "one", 320);
  auto two = join(scene, "two", 400);
  Player player(scene.source("room=room1 max-streams=1") + branches(2),
                {"sink0", "sink1"});
  player.play();
  player.expect_buffers("sink0", 10);
  fail_unless_equals_int(player.state().pads.size(), 1);
  fail_unless_equals_int(one->state().sessions + two->state().sessions, 1);
  (one->state().sessions ? one : two)->stop();
  player.expect_buffers("sink1", 10); // of who had found no room
}
GST_END_TEST

GST_START_TEST(test_room_who_leaves_keeps_its_pad) {
  Scene scene;
  auto one = join(scene, "one", 320);
  Player player(scene.source("room=room1") + branches(2), {"sink0", "sink1"});
  player.play();
  player.expect("one", [](const State &state) { return shows(state, "sink0", 320); });
  one->stop();
  auto two = join(scene, "two", 400);
  player.expect("two", [](const State &state) { return shows(state, "sink1", 400); });
  one = join(scene, "one", 480);
  player.expect("one again",
                [](const State &state) { return shows(state, "sink0", 480); });
  fail_unless_equals_int(player.state().pads.size(), 2);
  fail_unless(player.state().removed.empty());
}
GST_END_TEST

GST_START_TEST(test_room_who_leaves_loses_its_pad_if_asked) {
  Scene scene;
  auto one = join(scene, "one", 320);
  Player player(scene.source("room=room1 on-leave=remove") + branches(2),
                {"sink0", "sink1"});
  player.play();
  player.expect("one", [](const State &state) { return shows(state, "sink0", 320); });
  one->stop();
  player.expect("the pad gone", [](const State &state) {
    return state.removed == std::vector<std::string>{"video_0"} &&
           state.sinks.at("sink0").eos;
  });
  one = join(scene, "one", 400);
  player.expect("one again",
                [](const State &state) { return shows(state, "sink1", 400); });
}
GST_END_TEST

// Who was there is no reason to say that nobody came.
GST_START_TEST(test_room_that_was_full_has_no_timeout) {
  Scene scene;
  auto one = join(scene, "one", 320);
  Player player(scene.source("room=room1 on-leave=remove timeout=3") + branches(1),
                {"sink0"});
  player.play();
  player.expect_buffers("sink0", 2);
  one->stop();
  player.expect("the pad gone",
                [](const State &state) { return state.removed.size() == 1; });
  fail_if(player.wait(4s, [](const State &state) { return !state.errors.empty(); }), "%s",
          player.describe().c_str());
}
GST_END_TEST

// Keyframes are the heaviest packets: only who needs one is asked.
GST_START_TEST(test_room_unmuted_guest_alone_is_asked_for_a_keyframe) {
  Scene scene;
  auto one = join(scene, "one", 320);
  auto two = join(scene, "two", 400);
  Player player(scene.source("room=room1") + branches(2), {"sink0", "sink1"});
  player.play();
  player.expect_buffers("sink0", 10);
  player.expect_buffers("sink1", 10);
  auto asked = [](const Publisher &guest) {
    return guest.state().viewers.at(0).status.keyframe_requests;
  };
  auto news = [](const State &state) {
    return std::count(state.elements.begin(), state.elements.end(),
                      "vdoninja/video-muted");
  };
  const unsigned before = asked(*one), of_other = asked(*two);
  const auto told = news(player.state());
  one->set_video_muted(true);
  player.expect("the news", [&](const State &state) { return news(state) > told; });
  one->set_video_muted(false);
  fail_unless(one->wait(20s, [before](const auto &state) {
    return state.viewers.at(0).status.keyframe_requests > before;
  }));
  player.expect_buffers("sink0", 10);
  player.expect_buffers("sink1", 10);
  fail_unless_equals_int(asked(*two), of_other);
}
GST_END_TEST

GST_START_TEST(test_room_of_another_password_stays_dark) {
  Scene scene;
  PublisherConfig config = scene.config("one");
  config.room = "room1";
  config.password = "other";
  auto one = scene.publish(config);
  Player player(scene.source("room=room1 stream-id=one") + branches(1), {"sink0"});
  player.play();
  player.expect_warning("no publisher of stream id \"one\"");
  fail_unless(player.state().pads.empty());
}
GST_END_TEST

static Suite *rooms_suite() {
  Suite *suite = suite_create("vdoninjasrc-rooms");
  TCase *tc = tcase_create("rooms");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_room_everybody_gets_a_pad_hosted);
  tcase_add_test(tc, test_room_everybody_gets_a_pad_custom);
  tcase_add_test(tc, test_room_only_the_named_stream_is_played);
  tcase_add_test(tc, test_room_max_streams_is_a_limit);
  tcase_add_test(tc, test_room_who_leaves_keeps_its_pad);
  tcase_add_test(tc, test_room_who_leaves_loses_its_pad_if_asked);
  tcase_add_test(tc, test_room_that_was_full_has_no_timeout);
  tcase_add_test(tc, test_room_unmuted_guest_alone_is_asked_for_a_keyframe);
  tcase_add_test(tc, test_room_of_another_password_stays_dark);
  return suite;
}

GST_CHECK_MAIN(rooms);
