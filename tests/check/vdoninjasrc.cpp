// SPDX-License-Identifier: LGPL-2.1-or-later
// The element as such: properties, states, and what it says without a publisher.
#include "handshake-server.h"
#include "player.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using namespace std::chrono_literals;

namespace {

struct Server : HandshakeServer {
  explicit Server(Dialect dialect = Dialect::kHosted, Door door = {})
      : HandshakeServer(options(dialect)) {
    set_door(door);
    GError *error = nullptr;
    fail_unless(start(&error), "%s", error ? error->message : "");
  }
  static Options options(Dialect dialect) {
    Options result;
    result.routing.dialect = dialect;
    return result;
  }
  std::string launch(const std::string &properties = "stream-id=abc") const {
    return "vdoninjasrc name=src signaling=hosted server=" + url() + " " + properties;
  }
};

} // namespace

GST_START_TEST(test_vdoninjasrc_has_the_documented_defaults) {
  GstElement *src = gst_element_factory_make("vdoninjasrc", nullptr);
  gchar *stream_id = nullptr, *server = nullptr;
  guint bitrate = 1;
  gint latency = 0;
  gboolean video = FALSE, audio = FALSE;
  gint state = -1;
  g_object_get(src, "stream-id", &stream_id, "server", &server, "latency", &latency,
               "video-bitrate", &bitrate, "enable-video", &video, "enable-audio", &audio,
               "state", &state, nullptr);
  fail_unless(stream_id == nullptr);
  fail_unless_equals_string(server, "wss://wss.vdo.ninja:443");
  fail_unless_equals_int(latency, -1);
  fail_unless_equals_int(bitrate, 0);
  fail_unless(video && audio && state == 0);
  g_free(server);
  gst_object_unref(src);
}
GST_END_TEST

GST_START_TEST(test_vdoninjasrc_is_a_source_and_no_sink) {
  GstElement *src = gst_element_factory_make("vdoninjasrc", nullptr);
  fail_unless(GST_OBJECT_FLAG_IS_SET(src, GST_ELEMENT_FLAG_SOURCE));
  fail_if(GST_OBJECT_FLAG_IS_SET(src, GST_ELEMENT_FLAG_SINK));
  gst_object_unref(src);
}
GST_END_TEST

GST_START_TEST(test_vdoninjasrc_keeps_the_password_to_itself) {
  GstElement *src = gst_element_factory_make("vdoninjasrc", nullptr);
  g_object_set(src, "password", "secret", nullptr);
  GParamSpec *spec = g_object_class_find_property(G_OBJECT_GET_CLASS(src), "password");
  fail_if(spec->flags & G_PARAM_READABLE);
  gst_object_unref(src);
}
GST_END_TEST

GST_START_TEST(test_vdoninjasrc_takes_lists_and_null_strings) {
  GstElement *src = gst_element_factory_make("vdoninjasrc", nullptr);
  gst_util_set_object_arg(G_OBJECT(src), "video-codecs", "<H264,vp8>");
  GValue codecs = G_VALUE_INIT;
  g_value_init(&codecs, GST_TYPE_ARRAY);
  g_object_get_property(G_OBJECT(src), "video-codecs", &codecs);
  fail_unless_equals_int(gst_value_array_get_size(&codecs), 2);
  fail_unless_equals_string(g_value_get_string(gst_value_array_get_value(&codecs, 1)),
                            "vp8");
  g_value_unset(&codecs);
  for (const char *name : {"stream-id", "password", "room", "salt", "label", "server",
                           "stun-server", "video-decoder"})
    g_object_set(src, name, nullptr, nullptr);
  gchar *server = nullptr;
  g_object_get(src, "server", &server, nullptr);
  fail_unless_equals_string(server, "wss://wss.vdo.ninja:443");
  g_free(server);
  gst_object_unref(src);
}
GST_END_TEST

GST_START_TEST(test_vdoninjasrc_is_live_and_never_prerolls) {
  Server server;
  Player player(server.launch());
  fail_unless_equals_int(gst_element_set_state(player.source(), GST_STATE_PAUSED),
                         GST_STATE_CHANGE_NO_PREROLL);
  fail_unless_equals_int(gst_element_set_state(player.source(), GST_STATE_PLAYING),
                         GST_STATE_CHANGE_SUCCESS);
  fail_unless_equals_int(gst_element_set_state(player.source(), GST_STATE_PAUSED),
                         GST_STATE_CHANGE_NO_PREROLL);
}
GST_END_TEST

GST_START_TEST(test_vdoninjasrc_opens_the_socket_in_paused_and_asks_in_playing) {
  Server server;
  Player player(server.launch("stream-id=abc password=false"));
  gst_element_set_state(player.pipeline(), GST_STATE_PAUSED);
  fail_unless(server.wait(5s, [](const auto &state) { return !state.clients.empty(); }));
  fail_unless_equals_int(server.state().count("play"), 0);
  player.play();
  fail_unless(
      server.wait(5s, [](const auto &state) { return state.count("play") == 1; }));
  const std::string text = server.state().records.back().text;
  fail_unless(text.find("\"abc\"") != std::string::npos, "%s", text.c_str());
}
GST_END_TEST

// gst-launch-1.0 stays in PAUSED as long as a progress is open.
GST_START_TEST(test_vdoninjasrc_tells_no_progress_before_playing) {
  Server server;
  Player player(server.launch());
  gst_element_set_state(player.pipeline(), GST_STATE_PAUSED);
  player.expect("waiting",
                [](const Player::State &state) { return state.saw_state("waiting"); });
  fail_unless(player.state().progress.empty());
  player.play();
  player.expect("progress",
                [](const Player::State &state) { return !state.progress.empty(); });
  const std::string told = player.state().progress[0];
  fail_unless_equals_string(told.c_str(), "Waiting for the publisher");
}
GST_END_TEST

GST_START_TEST(test_vdoninjasrc_restarts_many_times) {
  Server server;
  Player player(server.launch());
  for (unsigned round = 1; round <= 20; round++) {
    player.play();
    fail_unless(
        server.wait(5s, [&](const auto &state) { return state.count("play") == round; }));
    player.stop();
  }
}
GST_END_TEST

GST_START_TEST(test_vdoninjasrc_stops_at_random_moments_without_waiting) {
  Server server;
  GRand *random = g_rand_new_with_seed(42);
  for (int round = 0; round < 60; round++) {
    Player player(server.launch());
    player.play();
    // Load rather than a wait: stop() must do well whenever it comes.
    g_usleep(g_rand_int_range(random, 0, 20000));
    player.stop();
  }
  g_rand_free(random);
}
GST_END_TEST

GST_START_TEST(test_vdoninjasrc_tells_when_nobody_answers) {
  Server server;
  Player player(server.launch("stream-id=nobody"));
  player.play();
  player.expect(
      "a hint at offline, id or password",
      [](const Player::State &state) { return !state.warnings.empty(); }, 30s);
  player.expect_warning("no publisher of stream id \"nobody\"");
  player.expect_warning("password");
  fail_unless(player.state().errors.empty());
  fail_unless(player.state().saw_state("waiting"));
}
GST_END_TEST

GST_START_TEST(test_vdoninjasrc_never_answering_server_does_not_hold_up_null) {
  Server silent(Dialect::kHosted, {Door::Kind::kSilent});
  Server deaf(Dialect::kHosted, {Door::Kind::kDeaf});
  for (auto *server : {&silent, &deaf}) {
    Player player(server->launch());
    player.play();
    fail_unless(server->wait(5s, [](const auto &state) { return state.attempts > 0; }));
    player.stop();
  }
}
GST_END_TEST

static Suite *vdoninjasrc_suite() {
  Suite *suite = suite_create("vdoninjasrc");
  TCase *tc = tcase_create("element");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_vdoninjasrc_has_the_documented_defaults);
  tcase_add_test(tc, test_vdoninjasrc_is_a_source_and_no_sink);
  tcase_add_test(tc, test_vdoninjasrc_keeps_the_password_to_itself);
  tcase_add_test(tc, test_vdoninjasrc_takes_lists_and_null_strings);
  tcase_add_test(tc, test_vdoninjasrc_is_live_and_never_prerolls);
  tcase_add_test(tc, test_vdoninjasrc_opens_the_socket_in_paused_and_asks_in_playing);
  tcase_add_test(tc, test_vdoninjasrc_tells_no_progress_before_playing);
  tcase_add_test(tc, test_vdoninjasrc_restarts_many_times);
  tcase_add_test(tc, test_vdoninjasrc_stops_at_random_moments_without_waiting);
  tcase_add_test(tc, test_vdoninjasrc_tells_when_nobody_answers);
  tcase_add_test(tc, test_vdoninjasrc_never_answering_server_does_not_hold_up_null);
  return suite;
}

GST_CHECK_MAIN(vdoninjasrc);
