// SPDX-License-Identifier: LGPL-2.1-or-later
// vdoninjasink publishes: dialects, passwords, codecs, several viewers, and the end.
#include "sending.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

// Frames of a publisher that runs already reach a viewer.
void assert_seen(const Scene &scene, const std::string &properties = "stream-id=abc",
                 unsigned frames = 10) {
  Player player(scene.line(properties));
  player.play();
  player.expect_buffers("sink", frames);
  fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
}

void assert_publishes(Dialect dialect, const std::string &more) {
  const Scene scene(dialect);
  Sending sending(small_video() + sink_line(scene, "stream-id=abc " + more));
  sending.play();
  sending.expect_published();
  assert_seen(scene, "stream-id=abc " + more);
  sending.expect_viewers(1);
  sending.expect_left(1);
  fail_unless(sending.state().warnings.empty(), "%s", sending.describe().c_str());
}

// What vdoninjasrc gets of `line`, which publishes: caps of its video pad, not decoded.
std::string codec_of(const Scene &scene, const std::string &line,
                     const std::string &takes) {
  Sending sending(line);
  sending.play();
  sending.expect_published();
  Player player(scene.source() + " ! " + takes + " ! fakesink name=sink sync=false");
  player.play();
  player.expect_buffers("sink", 10);
  return player.state().sinks.at("sink").caps;
}

} // namespace

GST_START_TEST(test_publishes_hosted) {
  assert_publishes(Dialect::kHosted, "");
}
GST_END_TEST

GST_START_TEST(test_publishes_custom) {
  assert_publishes(Dialect::kCustom, "");
}
GST_END_TEST

GST_START_TEST(test_publishes_with_password) {
  for (Dialect dialect : {Dialect::kHosted, Dialect::kCustom})
    for (const char *password : {"password=secret", "password=false"})
      assert_publishes(dialect, password);
}
GST_END_TEST

GST_START_TEST(test_publishes_in_room) {
  for (Dialect dialect : {Dialect::kHosted, Dialect::kCustom}) {
    const Scene scene(dialect);
    Sending sending(small_video() + sink_line(scene, "stream-id=abc room=show"));
    sending.play();
    sending.expect_published();
    assert_seen(scene, "room=show");
  }
}
GST_END_TEST

GST_START_TEST(test_publishes_sound) {
  const Scene scene;
  Sending sending(sink_line(scene) + " " + small_video() + "out. " + tone() + "out.");
  sending.play();
  Player player(scene.source() + " src. ! video/x-raw ! fakesink name=sink sync=false "
                                 "src. ! audio/x-raw ! fakesink name=audio sync=false",
                {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 10);
  player.expect_buffers("audio", 25);
}
GST_END_TEST

GST_START_TEST(test_publishes_sound_alone) {
  const Scene scene;
  Sending sending(tone() + sink_line(scene));
  sending.play();
  Player player(scene.source() + " ! audio/x-raw ! fakesink name=sink sync=false");
  player.play();
  player.expect_buffers("sink", 25);
}
GST_END_TEST

// Raw video can be had in each codec that is offered, in its form at once.
GST_START_TEST(test_viewer_chooses_the_codec) {
  const Scene scene;
  const std::string line = small_video() + sink_line(scene);
  fail_unless(codec_of(scene, line, "video/x-h264").find("video/x-h264") == 0);
  fail_unless(codec_of(scene, line, "video/x-vp8").find("video/x-vp8") == 0);
}
GST_END_TEST

GST_START_TEST(test_encoded_media_pass) {
  const Scene scene;
  for (const auto &[encoder, media] : std::vector<std::pair<std::string, std::string>>{
           {"x264enc tune=zerolatency key-int-max=15 ! video/x-h264", "video/x-h264"},
           {"vp8enc deadline=1 keyframe-max-dist=15", "video/x-vp8"},
           {"vp9enc deadline=1 keyframe-max-dist=15", "video/x-vp9"}}) {
    const std::string line = small_video() + encoder + " ! " + sink_line(scene);
    fail_unless(codec_of(scene, line, media).find(media) == 0);
  }
}
GST_END_TEST

GST_START_TEST(test_viewers_do_not_disturb_each_other) {
  const Scene scene;
  Sending sending(small_video() + sink_line(scene));
  sending.play();
  Player first(scene.line());
  first.play();
  first.expect_buffers("sink", 10);
  for (int i = 0; i < 3; i++)
    assert_seen(scene);
  sending.expect_viewers(4);
  sending.expect_left(3);
  first.expect_buffers("sink", 10);
  first.assert_seamless(0);
}
GST_END_TEST

// The sink ends by itself, and its viewers hear that it does.
GST_START_TEST(test_eos_ends_with_a_goodbye) {
  const Scene scene;
  Sending sending(small_video() + sink_line(scene));
  sending.play();
  Player player(scene.line("stream-id=abc on-disconnect=eos"));
  player.play();
  player.expect_buffers("sink", 5);
  gst_element_send_event(sending.pipeline(), gst_event_new_eos());
  sending.expect("EOS", [](const Sending::State &state) { return state.eos; });
  player.expect("the end", [](const Player::State &state) { return state.eos; });
}
GST_END_TEST

// As players do that play a file again and again.
GST_START_TEST(test_seeking_back_after_the_end) {
  const Scene scene;
  Sending sending("videotestsrc ! video/x-raw,width=320,height=180,framerate=15/1 ! " +
                  sink_line(scene));
  sending.play();
  Player player(scene.line());
  player.play();
  for (unsigned ends = 1; ends <= 2; ends++) {
    player.expect_buffers("sink", 5);
    gst_element_send_event(sending.pipeline(), gst_event_new_eos());
    sending.expect("EOS", [=](const Sending::State &state) { return state.eos == ends; });
    sending.expect_left(ends);
    fail_unless(gst_element_seek_simple(sending.pipeline(), GST_FORMAT_TIME,
                                        GST_SEEK_FLAG_FLUSH, 0));
  }
  player.expect_buffers("sink", 5);
}
GST_END_TEST

// What is left when a pad goes is at its end already.
GST_START_TEST(test_eos_when_the_last_live_pad_is_released) {
  const Scene scene;
  Sending sending("videotestsrc is-live=true num-buffers=15 ! video/x-raw,width=320,"
                  "height=180,framerate=15/1 ! out.video_0 audiotestsrc is-live=true "
                  "name=sound ! out.audio_0 " +
                  sink_line(scene));
  Watched<bool> ended;
  const auto pad =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(sending.sink(), "video_0"));
  gst_pad_add_probe(
      pad.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
      [](GstPad *, GstPadProbeInfo *info, gpointer to) {
        if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_EOS)
          static_cast<Watched<bool> *>(to)->update([](bool &yes) { yes = true; });
        return GST_PAD_PROBE_OK;
      },
      &ended, nullptr);
  sending.play();
  fail_unless(ended.wait(20s, [](bool yes) { return yes; }));
  const auto source = ObjPtr<GstElement>::adopt(
      gst_bin_get_by_name(GST_BIN(sending.pipeline()), "sound"));
  gst_element_set_locked_state(source.get(), TRUE);
  gst_element_set_state(source.get(), GST_STATE_NULL);
  const auto sound =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(sending.sink(), "audio_0"));
  const auto peer = ObjPtr<GstPad>::adopt(gst_pad_get_peer(sound.get()));
  gst_pad_unlink(peer.get(), sound.get());
  gst_element_release_request_pad(sending.sink(), sound.get());
  sending.expect("EOS", [](const Sending::State &state) { return state.eos; });
}
GST_END_TEST

GST_START_TEST(test_one_pad_of_each_kind) {
  const auto sink =
      ObjPtr<GstElement>::adopt(gst_element_factory_make("vdoninjasink", nullptr));
  const auto first =
      ObjPtr<GstPad>::adopt(gst_element_request_pad_simple(sink.get(), "video_%u"));
  fail_unless(first && g_str_equal(GST_OBJECT_NAME(first.get()), "video_0"));
  fail_unless(gst_element_request_pad_simple(sink.get(), "video_%u") == nullptr);
  gst_element_release_request_pad(sink.get(), first.get());
  const auto again =
      ObjPtr<GstPad>::adopt(gst_element_request_pad_simple(sink.get(), "video_%u"));
  fail_unless(again);
  gst_element_release_request_pad(sink.get(), again.get());
}
GST_END_TEST

GST_START_TEST(test_null_says_goodbye) {
  const Scene scene;
  Sending sending(small_video() + sink_line(scene));
  sending.play();
  Player player(scene.line("stream-id=abc on-disconnect=eos"));
  player.play();
  player.expect_buffers("sink", 5);
  sending.stop();
  player.expect(
      "the end", [](const Player::State &state) { return state.eos; }, 5s);
}
GST_END_TEST

GST_START_TEST(test_plays_again_after_null_and_pause) {
  const Scene scene;
  Sending sending(small_video() + sink_line(scene));
  for (int i = 0; i < 3; i++) {
    sending.play();
    Player player(scene.line());
    player.play();
    player.expect_buffers("sink", 5);
    sending.set_state(GST_STATE_PAUSED);
    sending.set_state(GST_STATE_PLAYING);
    player.expect_buffers("sink", 5);
    player.stop();
    sending.stop();
  }
}
GST_END_TEST

GST_START_TEST(test_id_by_chance_is_told) {
  const Scene scene;
  Sending sending(small_video() + sink_line(scene, ""));
  sending.play();
  sending.expect_published();
  const auto state = sending.state();
  fail_unless(state.link.find("?view=" + state.stream_id) != std::string::npos, "%s",
              state.link.c_str());
  assert_seen(scene, "stream-id=" + state.stream_id);
}
GST_END_TEST

GST_START_TEST(test_publishes_what_a_link_says) {
  const Scene scene;
  Sending sending(small_video() +
                  sink_line(scene, "location=https://vdo.ninja/?push=abc&password=secret"
                                   "&label=Camera_1"));
  sending.play();
  sending.expect_published();
  fail_unless(sending.state().link.find("secret") == std::string::npos, "%s",
              sending.state().link.c_str());
  assert_seen(scene, "stream-id=abc password=secret");
}
GST_END_TEST

GST_START_TEST(test_settings_that_cannot_work) {
  const Scene scene;
  for (const auto &[properties, part] : std::vector<std::pair<std::string, std::string>>{
           {"stream-id=!!", "no letter or digit"},
           {"stream-id=a,b", "names several streams"},
           {"video-codecs=<MJPEG>", "is not known here"},
           {"min-video-bitrate=3000 video-bitrate=1000", "is above video-bitrate=1000"},
           {"location=https://vdo.ninja/?view=abc", "it needs ?push=ID"}}) {
    Sending sending(small_video() + sink_line(scene, properties));
    gst_element_set_state(sending.pipeline(), GST_STATE_PLAYING);
    sending.expect_trouble(&Sending::State::errors, part);
  }
}
GST_END_TEST

// The first one goes on; the second one tells, tries again, and gives up.
GST_START_TEST(test_id_in_use) {
  const Scene scene;
  Sending first(small_video() + sink_line(scene));
  first.play();
  first.expect_published();
  fail_unless(scene.server->wait(
      20s, [](const HandshakeServer::State &state) { return state.count("seed") > 0; }));
  Sending patient(small_video() + sink_line(scene));
  patient.play();
  patient.expect_trouble(&Sending::State::warnings, "(trying again)");
  Sending second(small_video() + sink_line(scene, "stream-id=abc on-conflict=error"));
  second.play();
  second.expect_trouble(&Sending::State::errors, "another publisher has this stream-id");
  first.stop();
  assert_seen(scene); // by the patient one
}
GST_END_TEST

static Suite *vdoninjasink_suite() {
  Suite *suite = suite_create("vdoninjasink");
  TCase *tc = tcase_create("vdoninjasink");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_publishes_hosted);
  tcase_add_test(tc, test_publishes_custom);
  tcase_add_test(tc, test_publishes_with_password);
  tcase_add_test(tc, test_publishes_in_room);
  tcase_add_test(tc, test_publishes_sound);
  tcase_add_test(tc, test_publishes_sound_alone);
  tcase_add_test(tc, test_viewer_chooses_the_codec);
  tcase_add_test(tc, test_encoded_media_pass);
  tcase_add_test(tc, test_viewers_do_not_disturb_each_other);
  tcase_add_test(tc, test_eos_ends_with_a_goodbye);
  tcase_add_test(tc, test_seeking_back_after_the_end);
  tcase_add_test(tc, test_eos_when_the_last_live_pad_is_released);
  tcase_add_test(tc, test_one_pad_of_each_kind);
  tcase_add_test(tc, test_null_says_goodbye);
  tcase_add_test(tc, test_plays_again_after_null_and_pause);
  tcase_add_test(tc, test_id_by_chance_is_told);
  tcase_add_test(tc, test_publishes_what_a_link_says);
  tcase_add_test(tc, test_settings_that_cannot_work);
  tcase_add_test(tc, test_id_in_use);
  return suite;
}

GST_CHECK_MAIN(vdoninjasink)
