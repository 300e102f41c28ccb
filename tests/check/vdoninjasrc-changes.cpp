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
      const std::string wanted = "width=(int)" + std::to_string(width);
      player.expect("the new size", [&](const Player::State &state) {
        return state.sinks.at("sink").caps.find(wanted) != std::string::npos;
      });
      player.expect_buffers("sink", 5);
    }
    expect_whole(player);
    const auto &sink = player.state().sinks.at("sink");
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
      player->expect("the new size", [&](const Player::State &state) {
        return state.sinks.at("sink").caps.find("width=(int)" + std::to_string(width)) !=
               std::string::npos;
      });
      player->expect_buffers("sink", 5);
    }
  }
  for (Player *player : {&encoded, &avc, &rtp})
    fail_unless(player->state().errors.empty(), "%s", player->describe().c_str());
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
  auto now = [](const char *part) {
    return [part](const Player::State &state) {
      return state.sinks.at("sink").caps.find(part) != std::string::npos;
    };
  };
  encoded.expect("VP9", now("video/x-vp9"));
  rtp.expect("VP9 in RTP", now("encoding-name=(string)VP9"));
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
  tcase_add_test(tc, test_changes_of_the_codec_in_encoded_and_rtp_output);
  return suite;
}

GST_CHECK_MAIN(changes);
