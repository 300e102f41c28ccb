// SPDX-License-Identifier: LGPL-2.1-or-later
// A publisher changes what it sends while it plays: pads stay, caps follow.
#include "loopback.h"

using namespace vdn;

GST_START_TEST(test_changes_of_the_size) {
  for (Codec codec : {Codec::kVp8, Codec::kX264}) {
    if (codec == Codec::kX264 && !has_element("x264enc"))
      continue;
    Loopback loopback(small_picture(codec));
    loopback.publish();
    Player player(loopback.play(), {"sink", "audio"});
    player.play();
    player.expect_buffers("sink", 5);
    for (int width : {640, 320}) {
      loopback.publisher->set_size(width, width * 9 / 16);
      player.expect_caps("sink", "width=(int)" + std::to_string(width));
      player.expect_buffers("sink", 5);
    }
    expect_whole(player);
    const auto sink = player.state().sinks.at("sink");
    fail_unless_equals_int(sink.stream_starts, 1);
    fail_if(sink.eos);
  }
}
GST_END_TEST

// In whatever form it leaves: decoders behind the pad follow.
GST_START_TEST(test_changes_of_the_size_in_encoded_and_rtp_output) {
  if (!has_element("x264enc") || !has_element("avdec_h264"))
    return;
  Loopback loopback(small_picture(Codec::kX264));
  loopback.publish();
  const std::string decode = " ! avdec_h264 ! video/x-raw,format=I420 ! fakesink "
                             "name=sink sync=false async=false";
  Player encoded(loopback.source() + " ! video/x-h264" + decode);
  Player avc(loopback.source() + " ! video/x-h264,stream-format=avc" + decode);
  Player rtp(loopback.source() + " ! rtph264depay" + decode);
  for (Player *player : {&encoded, &avc, &rtp}) {
    player->play();
    player->expect_buffers("sink", 3);
  }
  for (int width : {640, 320}) {
    loopback.publisher->set_size(width, width * 9 / 16);
    for (Player *player : {&encoded, &avc, &rtp}) {
      player->expect_caps("sink", "width=(int)" + std::to_string(width));
      player->expect_buffers("sink", 5);
    }
  }
  for (Player *player : {&encoded, &avc, &rtp})
    fail_unless(player->state().errors.empty(), "%s", player->describe().c_str());
}
GST_END_TEST

static void set_profile(Loopback &loopback, const char *profile) {
  GError *error = nullptr;
  fail_unless(loopback.publisher->set_profile(profile, &error), "%s",
              error ? error->message : "");
}

// Of the same size, so that only the parameter sets tell. The decoder's caps show when
// the new profile has come.
GST_START_TEST(test_changes_of_the_profile) {
  if (!has_element("x264enc") || !has_element("avdec_h264"))
    return;
  Loopback loopback(video_only(Codec::kX264, 15));
  loopback.publish();
  Player player(loopback.source("video-decoder=avdec_h264") + video_sink());
  g_signal_connect(player.source(), "decoder-setup",
                   G_CALLBACK(+[](GstElement *, GstElement *decoder, Player *watcher) {
                     gst_object_set_name(GST_OBJECT(decoder), "decoder");
                     watcher->watch(decoder);
                   }),
                   &player);
  player.play();
  player.expect_buffers("sink", 5);
  for (const char *profile : {"high", "main", "constrained-baseline"}) {
    set_profile(loopback, profile);
    player.expect_caps("decoder", std::string("profile=(string)") + profile);
    player.expect_buffers("sink", 10);
  }
  expect_whole(player);
  player.assert_seamless(0);
  const auto state = player.state();
  fail_unless_equals_int(state.sinks.at("sink").all_caps.size(), 1);
  fail_unless_equals_int(state.sinks.at("decoder").stream_starts, 1); // one for all
  fail_unless(state.warnings.empty(), "%s", player.describe().c_str());
  fail_unless_equals_int(loopback.publisher->state().sessions, 1);
}
GST_END_TEST

// The new caps arrive, in either form, and decoders behind the pad follow.
GST_START_TEST(test_changes_of_the_profile_in_encoded_output) {
  if (!has_element("x264enc") || !has_element("avdec_h264"))
    return;
  Loopback loopback(video_only(Codec::kX264, 15));
  loopback.publish();
  const std::string sinks = " ! tee name=tee ! queue ! fakesink name=encoded sync=false "
                            "async=false tee. ! queue ! avdec_h264 ! "
                            "video/x-raw,format=I420 ! fakesink name=sink sync=false "
                            "async=false";
  Player stream(loopback.source() + " ! video/x-h264,stream-format=byte-stream" + sinks,
                {"encoded", "sink"});
  Player avc(loopback.source() + " ! video/x-h264,stream-format=avc" + sinks,
             {"encoded", "sink"});
  for (Player *player : {&stream, &avc}) {
    player->play();
    player->expect_buffers("sink", 5);
  }
  for (const char *profile : {"high", "main", "constrained-baseline"}) {
    set_profile(loopback, profile);
    for (Player *player : {&stream, &avc}) {
      player->expect_caps("encoded", std::string("profile=(string)") + profile);
      player->expect_buffers("encoded", 10);
      player->expect_buffers("sink", 10);
    }
  }
  for (Player *player : {&stream, &avc}) {
    expect_whole(*player);
    player->assert_seamless(0);
    player->assert_seamless(0, "encoded");
    fail_unless(player->state().warnings.empty(), "%s", player->describe().c_str());
  }
  fail_unless_equals_int(loopback.publisher->state().sessions, 2); // of two players
}
GST_END_TEST

// A publisher returns with another codec: whoever takes any gets new caps, and whoever
// does not is told what is there.
GST_START_TEST(test_changes_of_the_codec_in_encoded_and_rtp_output) {
  Loopback loopback;
  loopback.publish();
  const std::string any = " ! fakesink name=sink sync=false async=false";
  Player encoded(loopback.source("output-format=encoded") + any);
  Player rtp(loopback.source("output-format=rtp") + any);
  Player picky(loopback.source() + " ! video/x-vp8" + any);
  for (Player *player : {&encoded, &rtp, &picky}) {
    player->play();
    player->expect_buffers("sink", 3);
  }
  TrackConfig vp9 = loopback.config.video;
  vp9.codec = Codec::kVp9;
  fail_unless(loopback.publisher->set_video(vp9, nullptr));
  encoded.expect_caps("sink", "video/x-vp9");
  rtp.expect_caps("sink", "encoding-name=(string)VP9");
  for (Player *player : {&encoded, &rtp}) {
    player->expect_buffers("sink", 5);
    fail_unless(player->state().errors.empty(), "%s", player->describe().c_str());
    fail_unless_equals_int(player->state().sinks.at("sink").stream_starts, 1);
  }
  picky.expect_error("the publisher offers VP9, downstream takes video/x-vp8");
}
GST_END_TEST

static Suite *changes_suite() {
  Suite *suite = suite_create("vdoninjasrc-changes");
  TCase *tc = tcase_create("changes");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_changes_of_the_size);
  tcase_add_test(tc, test_changes_of_the_size_in_encoded_and_rtp_output);
  tcase_add_test(tc, test_changes_of_the_profile);
  tcase_add_test(tc, test_changes_of_the_profile_in_encoded_output);
  tcase_add_test(tc, test_changes_of_the_codec_in_encoded_and_rtp_output);
  return suite;
}

GST_CHECK_MAIN(changes);
