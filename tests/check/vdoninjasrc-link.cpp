// SPDX-License-Identifier: LGPL-2.1-or-later
// What a pasted link or a vdoninja: URI changes.
#include <algorithm>

#include "loopback.h"

using namespace vdn;

namespace {

// A launch line that plays what the link says, but from our server.
std::string play_link(const Loopback &loopback, const std::string &query) {
  return loopback.server.source("location=\"https://vdo.ninja/?" + query + "\"") +
         video_sink() + audio_sink();
}

// The viewer's first message on the data channel.
std::string first_message(const Loopback &loopback) {
  loopback.await("the first message",
                 [](const auto &state) { return !state.received.empty(); });
  return loopback.publisher->state().received.front();
}

bool has(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

} // namespace

GST_START_TEST(test_link_wishes_reach_the_publisher) {
  Loopback loopback;
  loopback.publish();
  Player player(play_link(loopback, "view=cam&scene=two&showdirector=2&scale=50&"
                                    "viewwidth=640&keyframeinterval=4000&ab=64&l=our_tv"),
                {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 3);
  const std::string text = first_message(loopback);
  for (const char *part :
       {R"("scene":"two")", R"("showDirector":2)", R"("scale":50)",
        R"("requestResolution":{"w":640,"h":null,)", R"("keyframeRate":4000)",
        R"("audioBitrate":64)", R"("label":"our tv")"})
    fail_unless(has(text, part), "%s lacks %s", text.c_str(), part);
  fail_unless(player.state().warnings.empty(), "%s", player.describe().c_str());
}
GST_END_TEST

GST_START_TEST(test_link_stereo_is_asked_for) {
  Loopback loopback;
  loopback.publish();
  Player player(play_link(loopback, "view=cam&stereo"), {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 3);
  const std::string answer = loopback.answer();
  fail_unless(has(answer, "stereo=1"), "%s", answer.c_str());
}
GST_END_TEST

// Among those that are there, in a room whose guests nobody has named, too.
GST_START_TEST(test_link_total_bitrate_is_shared) {
  for (const char *query : {"view=cam,other", "room=room1"}) {
    PublisherConfig config = small_picture();
    config.room = strstr(query, "room") ? "room1" : "";
    Loopback loopback(config);
    loopback.publish();
    Player player(play_link(loopback, std::string(query) + "&totalbitrate=900"),
                  {"sink", "audio"});
    player.play();
    player.expect_buffers("sink", 3);
    const std::string answer = loopback.answer();
    fail_unless(has(answer, "x-google-max-bitrate=900"), "%s", answer.c_str());
    config = loopback.config;
    config.stream_id = "other";
    Publisher other(config);
    fail_unless(other.start(nullptr));
    loopback.await("half of it", [](const auto &state) {
      return std::any_of(
          state.received.begin(), state.received.end(),
          [](const std::string &text) { return has(text, "\"bitrate\":450"); });
    });
  }
}
GST_END_TEST

GST_START_TEST(test_link_excluded_stream_of_a_room_is_not_played) {
  auto config = small_picture();
  config.room = "room1";
  Loopback loopback(config);
  loopback.publish();
  auto other = loopback.config;
  other.stream_id = "other";
  Publisher another(other);
  GError *error = nullptr;
  fail_unless(another.start(&error));
  loopback.server.await("both",
                        [](const auto &state) { return state.count("seed") == 2; });
  Player player(play_link(loopback, "room=room1&exclude=other"), {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 10);
  fail_unless_equals_int(player.state().pads.size(), 2);
  fail_unless_equals_int(another.state().sessions, 0);
}
GST_END_TEST

// With the default password, which everybody knows, clear offers are taken by default.
GST_START_TEST(test_link_can_require_encryption) {
  auto config = small_picture();
  config.encrypt = false;
  Loopback loopback(config);
  loopback.publish();
  Player player(play_link(loopback, "view=cam&requireencryption"), {"sink", "audio"});
  player.play();
  player.expect_warning("not encrypted although requireencryption is set");
  fail_unless_equals_int(player.state().buffers("sink"), 0);
}
GST_END_TEST

GST_START_TEST(test_link_can_allow_offers_in_clear) {
  auto config = small_picture();
  config.password = "secret";
  config.encrypt = false;
  Loopback loopback(config);
  loopback.publish();
  Player player(play_link(loopback, "view=cam&password=secret&unsafe"),
                {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 3);
}
GST_END_TEST

GST_START_TEST(test_link_parameters_without_effect_are_named) {
  Loopback loopback;
  loopback.publish();
  Player player(play_link(loopback, "view=cam&nonsense=1&h264profile=42e01f&retry=9000"),
                {"sink", "audio"});
  player.play();
  for (const char *name : {"\"nonsense\"", "\"h264profile\"", "\"retry\""})
    player.expect_warning(name);
  player.expect_buffers("sink", 3);
}
GST_END_TEST

GST_START_TEST(test_link_password_is_never_told) {
  Loopback loopback;
  Player player(play_link(loopback, "view=cam&password=hush4711&turn=me;hush4711;"
                                    "turn:127.0.0.1:9&nonsense=hush4711"),
                {"sink", "audio"});
  player.play();
  player.expect_warning("nonsense");
  gchar *location = nullptr;
  g_object_get(player.source(), "location", &location, nullptr);
  const StrPtr shown(location);
  fail_unless(has(shown.get(), "view=cam") && !has(shown.get(), "hush4711"), "%s",
              shown.get());
  const StrPtr uri(gst_uri_handler_get_uri(GST_URI_HANDLER(player.source())));
  fail_unless(!has(uri.get(), "hush4711"));
  fail_unless(
      !(g_object_class_find_property(G_OBJECT_GET_CLASS(player.source()), "password")
            ->flags &
        G_PARAM_READABLE));
  for (const auto &warning : player.state().warnings)
    fail_unless(!has(warning.text, "hush4711"), "%s", warning.text.c_str());
}
GST_END_TEST

static Suite *link_suite() {
  Suite *suite = suite_create("vdoninjasrc-link");
  TCase *tc = tcase_create("link");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_link_wishes_reach_the_publisher);
  tcase_add_test(tc, test_link_stereo_is_asked_for);
  tcase_add_test(tc, test_link_total_bitrate_is_shared);
  tcase_add_test(tc, test_link_excluded_stream_of_a_room_is_not_played);
  tcase_add_test(tc, test_link_can_require_encryption);
  tcase_add_test(tc, test_link_can_allow_offers_in_clear);
  tcase_add_test(tc, test_link_parameters_without_effect_are_named);
  tcase_add_test(tc, test_link_password_is_never_told);
  return suite;
}

GST_CHECK_MAIN(link);
