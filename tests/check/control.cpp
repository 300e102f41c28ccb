// SPDX-License-Identifier: LGPL-2.1-or-later
#include "control.h"

#include <gst/check/gstcheck.h>

#include "transcripts.h"

using namespace vdn;

namespace {

ViewerRequest parse(const std::string &text) {
  const auto request = parse_viewer_request(text);
  fail_unless(request.has_value(), "%s", text.c_str());
  return *request;
}

// -2: there is none.
void assert_bitrate(const char *text, int expected) {
  fail_unless(parse(text).video_bitrate.value_or(-2) == expected, "%s", text);
}

} // namespace

GST_START_TEST(test_control_bitrates) {
  assert_bitrate(R"({"bitrate":1200})", 1200);
  assert_bitrate(R"({"bitrate":0})", 0);
  assert_bitrate(R"({"bitrate":-1})", -1);
  assert_bitrate(R"({"bitrate":-500})", -1);
  assert_bitrate(R"({"bitrate":"900"})", 900);
  assert_bitrate(R"({"bitrate":1e308})", 1000000);
  assert_bitrate(R"({"bitrate":"NaN"})", -2);
  assert_bitrate(R"({"bitrate":"many"})", -2);
  assert_bitrate(R"({"bitrate":{}})", -2);
  assert_bitrate(R"({"bitrate":null})", -2);
  assert_bitrate(R"({"targetBitrate":800})", 800);
  assert_bitrate(R"({"targetBitrate":false})", -1);
  assert_bitrate(R"({"targetBitrate":0})", -2);
  // The one that pauses counts before the one that wishes.
  assert_bitrate(R"({"targetBitrate":800,"bitrate":0})", 0);
  assert_bitrate(R"({"optimizedBitrate":0})", 0);
  assert_bitrate("{}", -2);
  fail_unless(parse(R"({"audioBitrate":0})").audio_bitrate == 0);
  fail_unless(parse(R"({"targetAudioBitrate":32})").audio_bitrate == 32);
}
GST_END_TEST

GST_START_TEST(test_control_size) {
  auto assert_box = [](const char *text, unsigned width, unsigned height) {
    const auto box = parse(text).box;
    fail_unless(box && *box == PictureBox({width, height}), "%s", text);
  };
  assert_box(R"({"requestResolution":{"w":1280,"h":720,"s":true,"c":false}})", 1280, 720);
  assert_box(R"({"requestResolution":{"w":960.5,"h":"540"}})", 960, 540);
  assert_box(R"({"requestResolution":{"w":null,"h":720}})", 0, 720);
  assert_box(R"({"requestResolution":{"w":0,"h":-5}})", 0, 0);
  assert_box(R"({"requestResolution":{"w":1e308,"h":"NaN"}})", 1 << 20, 0);
  assert_box(R"({"requestResolution":{"w":[],"h":{}}})", 0, 0);
  assert_box(R"({"requestResolution":{"w":400,"h":720,"c":true}})", 0, 0); // cut off
  fail_if(parse(R"({"requestResolution":null})").box.has_value());
  fail_if(parse(R"({"requestResolution":[1280,720]})").box.has_value());
  fail_if(parse("{}").box.has_value());
}
GST_END_TEST

GST_START_TEST(test_control_first_message_of_a_web_client) {
  unsigned seen = 0;
  for_each_line_of("web-viewer-default-password.dc.jsonl",
                   [&](const TranscriptLine &line) {
                     const char *text = line.text.c_str();
                     const auto request = parse_viewer_request(text);
                     if (!request || !request->video || seen++)
                       return;
                     fail_unless(request->audio.has_value());
                   });
  fail_unless(seen > 0, "the transcript has no first message");
}
GST_END_TEST

GST_START_TEST(test_control_every_field_counts) {
  const ViewerRequest request =
      parse(R"({"keyframe":true,"requestStats":true,"hangup":false,"zoom":2,
                "requestResolution":{"w":1280,"h":720,"s":true}})");
  fail_unless(request.keyframe && request.stats);
  fail_unless_equals_int(request.refused.size(), 2);
}
GST_END_TEST

GST_START_TEST(test_control_unusable_fields_are_absent) {
  const ViewerRequest request =
      parse(R"({"video":"yes","requestResolution":{"w":0,"h":-1},"keyframe":"x",
                "info":{"label":7},"requestStatsContinuous":[]})");
  fail_if(request.video || request.keyframe || request.label || request.stats_repeated);
  for (const char *text : {"", "[]", "7", "{", "\"video\""})
    fail_if(parse_viewer_request(text).has_value(), "%s", text);
  fail_if(parse_viewer_request(std::string(600 * 1024, ' ') + "{}").has_value());
}
GST_END_TEST

GST_START_TEST(test_control_of_others_is_not_ours) {
  const ViewerRequest request = parse(
      R"({"requestAs":"x","bitrate":0,"video":false,"keyframe":true,"hangup":true})");
  fail_if(request.video || request.keyframe || request.video_bitrate);
  fail_unless(request.refused.empty());
}
GST_END_TEST

GST_START_TEST(test_control_labels_are_one_line) {
  fail_unless(parse("{\"info\":{\"label\":\"a\\nb\"}}").label == "a b");
  const std::string huge(1000, 'x');
  fail_if(parse("{\"info\":{\"label\":\"" + huge + "\"}}").label.has_value());
}
GST_END_TEST

GST_START_TEST(test_control_what_we_say) {
  PublisherInfo info;
  info.label = "Camera 1";
  info.width = 1280;
  info.height = 720;
  info.fps = 30;
  info.video_codec = "h264";
  const std::string text = encode_info(info);
  for (const char *part :
       {R"("label":"Camera 1")", R"("muted":false)", R"("video_muted_init":false)",
        R"("room_init":false)", R"("rotate_video":false)", R"("video_init_width":1280)"})
    fail_unless(text.find(part) != std::string::npos, "%s", text.c_str());
  fail_unless(encode_video_muted(true) == R"({"videoMuted":true})");
  fail_unless(encode_audio_muted(false) == R"({"muteState":false})");
  fail_unless(encode_rejected("zoom") == R"({"rejected":"zoom"})");
  fail_unless(encode_quality("bandwidth", 3) ==
              R"({"miniInfo":{"qlr":"bandwidth","out":{"c":3}}})");
  PublisherStats stats;
  stats.video_kbit_s = 900;
  fail_unless(encode_stats("w", stats).find(R"({"remoteStats":{"w":{)") == 0);
}
GST_END_TEST

static Suite *control_suite() {
  Suite *suite = suite_create("control");
  TCase *tc = tcase_create("control");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_control_bitrates);
  tcase_add_test(tc, test_control_size);
  tcase_add_test(tc, test_control_first_message_of_a_web_client);
  tcase_add_test(tc, test_control_every_field_counts);
  tcase_add_test(tc, test_control_unusable_fields_are_absent);
  tcase_add_test(tc, test_control_of_others_is_not_ours);
  tcase_add_test(tc, test_control_labels_are_one_line);
  tcase_add_test(tc, test_control_what_we_say);
  return suite;
}

GST_CHECK_MAIN(control)
