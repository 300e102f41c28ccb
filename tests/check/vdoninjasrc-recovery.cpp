// SPDX-License-Identifier: LGPL-2.1-or-later
// Whatever dies comes back, behind the same pads.
#include <algorithm>

#include "scene.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using namespace std::chrono_literals;

namespace {

using State = Player::State;

void reload_twice(Dialect dialect, bool say_bye) {
  auto [scene, publisher, player] = Playing(dialect);
  for (int i = 0; i < 2; i++) {
    GError *error = nullptr;
    fail_unless(publisher->restart(say_bye, &error));
    player.expect_buffers("sink", 10);
  }
  player.assert_seamless(2);
}

} // namespace

GST_START_TEST(test_recovery_page_reload_hosted) {
  reload_twice(Dialect::kHosted, true);
}
GST_END_TEST

GST_START_TEST(test_recovery_page_reload_custom) {
  reload_twice(Dialect::kCustom, true);
}
GST_END_TEST

GST_START_TEST(test_recovery_page_reload_without_goodbye) {
  reload_twice(Dialect::kHosted, false);
  reload_twice(Dialect::kCustom, false);
}
GST_END_TEST

GST_START_TEST(test_recovery_killed_publisher_returns_with_another_codec_and_size) {
  auto [scene, publisher, player] = Playing();
  publisher->kill();
  auto config = scene.config();
  config.video.codec = Codec::kVp9;
  config.video.width = 480;
  config.video.height = 270;
  auto next = scene.publish(config);
  player.expect_caps("sink", "width=(int)480");
  player.expect_buffers("sink", 10);
  player.assert_seamless(1);
  fail_unless(player.state().saw_state("reconnecting"));
}
GST_END_TEST

GST_START_TEST(test_recovery_server_loss_leaves_media_alone) {
  auto [scene, publisher, player] = Playing();
  scene.server->stop();
  player.expect_warning("trying again");
  player.expect_buffers("sink", 20);
  GError *error = nullptr;
  fail_unless(scene.server->start(&error));
  fail_unless(
      scene.server->wait(20s, [](const auto &s) { return s.clients.size() == 2; }));
  player.expect_buffers("sink", 10);
  const State state = player.state();
  fail_unless_equals_int(state.sinks.at("sink").disconts, 1);
  fail_unless(!state.saw_state("reconnecting"));
  // And the new connection is good for the next session.
  fail_unless(publisher->restart(true, &error));
  player.expect_buffers("sink", 10);
  player.assert_seamless(1);
}
GST_END_TEST

// What is held up downstream is not taken for a sign that the publisher is back.
GST_START_TEST(test_recovery_is_told_behind_the_last_frame) {
  struct Seen {
    bool hold = false, held = false, released = false;
    std::string order; // b: a buffer, r: the event, |: what was held goes on
  };
  Watched<Seen> seen;
  Scene scene;
  auto publisher = scene.publish();
  Player player(scene.source() + " src.video_0 ! queue name=queue "
                                 "! fakesink sync=false async=false name=sink");
  player.play();
  player.expect_buffers("sink", 5);
  const auto pipeline =
      ObjPtr<GstObject>::adopt(gst_object_get_parent(GST_OBJECT(player.source())));
  const auto queue =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(pipeline.get()), "queue"));
  const auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(queue.get(), "src"));
  const auto look = [](GstPad *, GstPadProbeInfo *info, gpointer data) {
    auto &all = *static_cast<Watched<Seen> *>(data);
    const bool event = info->type & GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM;
    if (event &&
        !gst_event_has_name(GST_PAD_PROBE_INFO_EVENT(info), "vdoninja/reconnecting"))
      return GST_PAD_PROBE_OK;
    all.update([=](Seen &now) {
      now.order += event ? 'r' : 'b';
      now.held |= !event && now.hold;
    });
    if (!event && all.get().held && !all.get().released) {
      all.wait(20s, [](const Seen &now) { return now.released; });
      all.update([](Seen &now) { now.order += '|'; });
    }
    return GST_PAD_PROBE_OK;
  };
  gst_pad_add_probe(pad.get(),
                    static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER |
                                                 GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
                    look, &seen, nullptr);
  seen.update([](Seen &now) { now.hold = true; });
  fail_unless(seen.wait(20s, [](const Seen &now) { return now.held; }));
  publisher->stop();
  player.expect("reconnecting",
                [](const State &state) { return state.saw_state("reconnecting"); });
  seen.update([](Seen &now) { now.released = true; });
  const auto told = [](const Seen &now) {
    const size_t at = now.order.find('|');
    return at != std::string::npos && now.order.find('r', at) != std::string::npos;
  };
  fail_unless(seen.wait(20s, told), "%s", seen.get().order.c_str());
  player.stop();
}
GST_END_TEST

// While media plays without the server, that is tried more and more rarely; but at once
// when the publisher leaves.
GST_START_TEST(test_recovery_lost_stream_does_not_wait_for_the_socket) {
  auto [scene, publisher, player] = Playing();
  const unsigned attempts = scene.server->state().attempts;
  scene.server->set_door({Door::Kind::kRefuse, 503});
  for (const auto &client : scene.server->state().clients)
    scene.server->kick(client.id, true);
  // Five by the publisher, three by the viewer, whose next one is over 4 s away.
  fail_unless(scene.server->wait(
      20s, [attempts](const auto &state) { return state.attempts >= attempts + 8; }));
  scene.server->set_door({});
  GError *error = nullptr;
  fail_unless(publisher->restart(true, &error));
  const unsigned before = player.state().buffers("sink");
  player.expect(
      "new frames",
      [before](const State &state) {
        return state.sinks.at("sink").disconts == 2 && state.buffers("sink") > before;
      },
      4s);
  player.assert_seamless(1);
}
GST_END_TEST

GST_START_TEST(test_recovery_server_and_publisher_die_together) {
  auto [scene, publisher, player] = Playing(Dialect::kCustom);
  scene.server->stop();
  publisher->kill();
  player.expect("the loss noticed",
                [](const State &state) { return state.saw_state("reconnecting"); });
  GError *error = nullptr;
  fail_unless(scene.server->start(&error));
  auto next = scene.publish();
  player.expect_buffers("sink", 10);
  player.assert_seamless(1);
}
GST_END_TEST

GST_START_TEST(test_recovery_ice_restart) {
  auto [scene, publisher, player] = Playing();
  unsigned sessions = publisher->state().sessions;
  publisher->restart_ice();
  fail_unless(publisher->wait(20s, [&](const auto &s) { return s.sessions > sessions; }));
  player.expect_buffers("sink", 20);
  player.assert_seamless(0);
}
GST_END_TEST

GST_START_TEST(test_recovery_newer_publisher_of_the_same_id_takes_over) {
  auto [scene, publisher, player] = Playing(Dialect::kCustom);
  // Dead, but nobody told the viewer yet.
  publisher->kill();
  auto second = scene.publish();
  player.expect_buffers("sink", 10);
  player.assert_seamless(1);
}
GST_END_TEST

GST_START_TEST(test_recovery_on_disconnect_eos_ends_the_stream) {
  auto [scene, publisher, player] =
      Playing(Dialect::kHosted, "stream-id=abc on-disconnect=eos");
  publisher->stop();
  player.expect("EOS", [](const State &state) { return state.eos; });
  fail_unless(player.state().errors.empty());
}
GST_END_TEST

GST_START_TEST(test_recovery_on_disconnect_error_posts_one) {
  auto [scene, publisher, player] =
      Playing(Dialect::kHosted, "stream-id=abc on-disconnect=error");
  publisher->stop();
  player.expect_error("on-disconnect=error");
  fail_unless_equals_int(player.state().errors.size(), 1);
}
GST_END_TEST

GST_START_TEST(test_recovery_mute_is_no_death) {
  auto [scene, publisher, player] = Playing();
  publisher->set_video_muted(true);
  player.expect("the news", [](const State &state) {
    return std::count(state.elements.begin(), state.elements.end(),
                      "vdoninja/video-muted") > 0;
  });
  // Long enough for the watch to ask whether the publisher lives: pings are answered.
  fail_unless(publisher->wait(20s, [](const auto &state) {
    return std::count_if(state.received.begin(), state.received.end(),
                         [](const auto &text) {
                           return text.find("\"ping\"") != std::string::npos;
                         }) >= 2;
  }));
  publisher->set_video_muted(false);
  player.expect_buffers("sink", 10);
  fail_unless(!player.state().saw_state("reconnecting"));
  fail_unless_equals_int(publisher->state().sessions, 1);
}
GST_END_TEST

GST_START_TEST(test_recovery_reconnect_action_starts_over) {
  auto [scene, publisher, player] = Playing();
  g_signal_emit_by_name(player.source(), "reconnect");
  fail_unless(
      publisher->wait(20s, [](const auto &state) { return state.sessions >= 2; }));
  player.expect_buffers("sink", 10);
  player.assert_seamless(1);
}
GST_END_TEST

static Suite *recovery_suite() {
  Suite *suite = suite_create("vdoninjasrc-recovery");
  TCase *tc = tcase_create("recovery");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_recovery_page_reload_hosted);
  tcase_add_test(tc, test_recovery_page_reload_custom);
  tcase_add_test(tc, test_recovery_page_reload_without_goodbye);
  tcase_add_test(tc, test_recovery_killed_publisher_returns_with_another_codec_and_size);
  tcase_add_test(tc, test_recovery_server_loss_leaves_media_alone);
  tcase_add_test(tc, test_recovery_is_told_behind_the_last_frame);
  tcase_add_test(tc, test_recovery_server_and_publisher_die_together);
  tcase_add_test(tc, test_recovery_ice_restart);
  tcase_add_test(tc, test_recovery_newer_publisher_of_the_same_id_takes_over);
  tcase_add_test(tc, test_recovery_lost_stream_does_not_wait_for_the_socket);
  tcase_add_test(tc, test_recovery_on_disconnect_eos_ends_the_stream);
  tcase_add_test(tc, test_recovery_on_disconnect_error_posts_one);
  tcase_add_test(tc, test_recovery_mute_is_no_death);
  tcase_add_test(tc, test_recovery_reconnect_action_starts_over);
  return suite;
}

GST_CHECK_MAIN(recovery);
