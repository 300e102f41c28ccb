// SPDX-License-Identifier: LGPL-2.1-or-later
// What vdoninjasrc says about settings that cannot work, and about missing plugins.
#include <algorithm>

#include "loopback.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

// PAUSED fails, with exactly one error, which holds `part`.
void assert_refused(const std::string &properties, const char *part) {
  Player player("vdoninjasrc name=src " + properties);
  player.play(true);
  const auto state = player.state();
  fail_unless(state.errors.size() == 1, "%s", player.describe().c_str());
  fail_unless(state.errors[0].text.find(part) != std::string::npos, "no \"%s\" in: %s",
              part, state.errors[0].text.c_str());
}

// It goes on, with a warning that holds `part`, and asks for `wire_id`.
void assert_warned(const std::string &id, const char *part, const std::string &wire_id) {
  LoopbackServer server;
  Player player(server.source("password=false stream-id=\"" + id + "\""));
  player.play();
  player.expect_warning(part);
  server.await("a request", [](const auto &state) { return state.count("play") == 1; });
  const std::string text = server.state().records.back().text;
  fail_unless(text.find("\"" + wire_id + "\"") != std::string::npos, "%s", text.c_str());
  fail_unless(player.state().errors.empty());
}

// In this process, which is the test's own. Once the publisher runs: loading a plugin for
// its encoder brings the decoder back.
void remove_decoders(const char *media, const char *caps_text) {
  CapsPtr caps(gst_caps_from_string(caps_text));
  GList *all =
      gst_registry_get_feature_list(gst_registry_get(), GST_TYPE_ELEMENT_FACTORY);
  for (GList *at = all; at; at = at->next) {
    auto *factory = GST_ELEMENT_FACTORY(at->data);
    const char *klass =
        gst_element_factory_get_metadata(factory, GST_ELEMENT_METADATA_KLASS);
    if (strstr(klass, "Decoder") && strstr(klass, media) &&
        gst_element_factory_can_sink_any_caps(factory, caps.get()))
      gst_registry_remove_feature(gst_registry_get(), GST_PLUGIN_FEATURE(factory));
  }
  gst_plugin_feature_list_free(all);
}

} // namespace

GST_START_TEST(test_errors_no_stream_id) {
  assert_refused("", "stream-id");
  assert_refused("stream-id=\"\"", "stream-id");
  assert_refused("stream-id=\"  \"", "stream-id");
  assert_refused("stream-id=\",\"", "stream-id");
}
GST_END_TEST

GST_START_TEST(test_errors_stream_id_of_punctuation_only) {
  assert_refused("stream-id=\"-.!\"", "no letter or digit");
  assert_refused("stream-id=___", "no letter or digit");
}
GST_END_TEST

GST_START_TEST(test_errors_stream_id_with_forbidden_characters) {
  assert_warned("my cam-1", "looking for \"my_cam_1\"", "my_cam_1");
  assert_warned("kämera", "looking for \"k_mera\"", "k_mera");
}
GST_END_TEST

GST_START_TEST(test_errors_stream_id_that_is_long) {
  const std::string id(45, 'a');
  LoopbackServer server;
  Player player(server.source("stream-id=" + id));
  player.play();
  player.expect_warning("longer than 44");
  const std::string longest(64, 'a');
  assert_warned(longest + "bc", "too long", longest);
  // 44 are fine.
  Player fine(server.source("stream-id=" + id.substr(1)));
  fine.play();
  server.await("two requests",
               [](const auto &state) { return state.count("play") == 2; });
  fail_unless(fine.state().warnings.empty(), "%s", fine.describe().c_str());
}
GST_END_TEST

GST_START_TEST(test_errors_server_that_is_no_websocket_address) {
  for (const char *url : {"http://example.org", "https://vdo.ninja", "example.org:443",
                          "wss://", "ws://host:port"})
    assert_refused(std::string("stream-id=cam server=") + url, "wss://host:port");
}
GST_END_TEST

GST_START_TEST(test_errors_unknown_video_codec) {
  assert_refused("stream-id=cam video-codecs=<H264,divx>", "divx");
  assert_refused("stream-id=cam video-codecs=<opus>", "opus");
}
GST_END_TEST

// After an error of settings the element starts with better ones.
GST_START_TEST(test_errors_settings_can_be_mended) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.play());
  g_object_set(player.source(), "stream-id", nullptr, nullptr);
  player.play(true);
  player.stop();
  g_object_set(player.source(), "stream-id", "cam", nullptr);
  player.play();
  player.expect_buffers("sink", 3);
}
GST_END_TEST

GST_START_TEST(test_errors_missing_decoder_names_the_package) {
  Loopback loopback;
  loopback.publish();
  remove_decoders("Video", "video/x-vp8");
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  player.expect_error("install gstreamer1.0-plugins-good");
  const auto state = player.state();
  fail_unless_equals_int(state.errors.size(), 1);
  fail_unless(state.errors[0].domain == GST_CORE_ERROR &&
              state.errors[0].code == GST_CORE_ERROR_MISSING_PLUGIN);
  fail_unless_equals_int(state.buffers("sink"), 0);
  // By which players offer to install it.
  fail_unless(std::count(state.elements.begin(), state.elements.end(), "missing-plugin"));
}
GST_END_TEST

GST_START_TEST(test_errors_missing_decoder_of_an_unlinked_pad_only_warns) {
  Loopback loopback;
  loopback.publish();
  remove_decoders("Video", "video/x-vp8");
  Player player(loopback.source() + audio_sink(), {"audio"});
  player.play();
  player.expect_buffers("audio", 10);
  player.expect_warning("install gstreamer1.0-plugins-good");
  fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
}
GST_END_TEST

GST_START_TEST(test_errors_missing_audio_decoder_names_the_package) {
  Loopback loopback;
  loopback.publish();
  remove_decoders("Audio", "audio/x-opus,channel-mapping-family=(int)0");
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  player.expect_error("install gstreamer1.0-plugins-base");
}
GST_END_TEST

GST_START_TEST(test_errors_video_decoder_that_does_not_exist) {
  ShowAndSound show("video-decoder=nosuchdec");
  show.player.expect_error("nosuchdec");
  fail_unless_equals_int(show.player.state().errors.size(), 1);
}
GST_END_TEST

// None of the publisher's codecs is allowed.
GST_START_TEST(test_errors_no_codec_in_common) {
  ShowAndSound show("video-codecs=<VP9>");
  show.player.expect_error("the publisher offers VP8");
  const auto state = show.player.state();
  fail_unless_equals_int(state.errors.size(), 1);
  fail_unless(state.errors[0].domain == GST_STREAM_ERROR &&
              state.errors[0].code == GST_STREAM_ERROR_CODEC_NOT_FOUND);
}
GST_END_TEST

// Nobody publishes: whoever pulls must not wait for ever. Who came in time is not ended.
GST_START_TEST(test_errors_timeout_ends_the_wait) {
  Loopback loopback(video_only());
  Player waits(loopback.source("timeout=1") + video_sink());
  waits.play();
  waits.expect_error("nothing came within timeout=1 s: nobody publishes under this id");
  waits.expect("the end", [](const Player::State &state) { return state.eos; });
  loopback.publish();
  Player player(loopback.source("timeout=3") + video_sink());
  player.play();
  player.expect_buffers("sink", 120);
  fail_unless(player.state().errors.empty());
}
GST_END_TEST

// What cannot work is told at once, with what it should be, and never a password.
GST_START_TEST(test_errors_servers_that_are_none) {
  const struct {
    const char *property, *part;
  } cases[] = {
      {"turn-servers=<\\\"turn.example.org\\\">", "turn(s)://user:password@host:port"},
      {"turn-servers=<\\\"turn://host:3478\\\">", "turn(s)://user:password@host:port"},
      {"turn-servers=<\\\"stun://u:secret@host\\\">",
       "turn(s)://user:password@host:port"},
      {"turn-servers=<\\\"turns://u:secret@host?transport=udp\\\">", "would be DTLS"},
      {"stun-server=stun.example.org", "\"stun.example.org\" is not stun://host:port"},
      {"ice-transport-policy=relay", "set turn-servers"},
      {"location=https://vdo.ninja/?push=abc", "stream-id=abc"},
      {"location=https://vdo.ninja/?director=abc", "room=abc"},
  };
  for (const auto &c : cases) {
    const bool link = g_str_has_prefix(c.property, "location");
    Player player(std::string("vdoninjasrc name=src server=ws://127.0.0.1:1 ") +
                      (link ? "" : "stream-id=abc ") + c.property,
                  {});
    player.play(true);
    player.expect_error(c.part);
    fail_if(strstr(player.describe().c_str(), "secret"));
  }
}
GST_END_TEST

// A picture is waited for, and there is but sound: the publisher is not to blame.
GST_START_TEST(test_errors_nothing_linked_is_told) {
  PublisherConfig config = small_picture();
  config.with_video = false;
  Loopback loopback(config);
  loopback.publish();
  Player player(loopback.source() + " ! video/x-raw ! fakesink", {});
  player.play();
  player.expect_warning("nothing is linked to what the publisher sends: audio_0 (OPUS of "
                        "cam)");
}
GST_END_TEST

static Suite *errors_suite() {
  Suite *suite = suite_create("vdoninjasrc-errors");
  TCase *tc = tcase_create("errors");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_errors_no_stream_id);
  tcase_add_test(tc, test_errors_stream_id_of_punctuation_only);
  tcase_add_test(tc, test_errors_stream_id_with_forbidden_characters);
  tcase_add_test(tc, test_errors_stream_id_that_is_long);
  tcase_add_test(tc, test_errors_server_that_is_no_websocket_address);
  tcase_add_test(tc, test_errors_unknown_video_codec);
  tcase_add_test(tc, test_errors_settings_can_be_mended);
  tcase_add_test(tc, test_errors_missing_decoder_names_the_package);
  tcase_add_test(tc, test_errors_missing_decoder_of_an_unlinked_pad_only_warns);
  tcase_add_test(tc, test_errors_missing_audio_decoder_names_the_package);
  tcase_add_test(tc, test_errors_video_decoder_that_does_not_exist);
  tcase_add_test(tc, test_errors_timeout_ends_the_wait);
  tcase_add_test(tc, test_errors_servers_that_are_none);
  tcase_add_test(tc, test_errors_nothing_linked_is_told);
  tcase_add_test(tc, test_errors_no_codec_in_common);
  return suite;
}

GST_CHECK_MAIN(errors);
