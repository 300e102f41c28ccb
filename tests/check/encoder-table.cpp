// SPDX-License-Identifier: LGPL-2.1-or-later
// What encoders are set to. Those that need a device are stand-ins that write it down.
#include "encoder-table.h"

#include <algorithm>

#include "stand-in-decoder.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

// The macro of GstCheck keeps pointers into what is temporary.
void assert_text(const std::string &is, const std::string &expected) {
  fail_unless(is == expected, "'%s' is not '%s'", is.c_str(), expected.c_str());
}

ObjPtr<GstElement> make(const char *factory) {
  auto made = ObjPtr<GstElement>::adopt(gst_element_factory_make(factory, nullptr));
  fail_unless(made, "%s is missing", factory);
  return made;
}

EncoderNumbers numbers(unsigned cores = 2) {
  EncoderNumbers result;
  result.kbps = 2500;
  result.fps = 30;
  result.keyframe_seconds = 10;
  result.cores = cores;
  return result;
}

// As a launch line has it.
std::string value(const ObjPtr<GstElement> &element, const char *property) {
  GValue now = G_VALUE_INIT;
  GParamSpec *spec =
      g_object_class_find_property(G_OBJECT_GET_CLASS(element.get()), property);
  fail_unless(spec, "no property %s", property);
  g_object_get_property(G_OBJECT(element.get()), property,
                        g_value_init(&now, G_PARAM_SPEC_VALUE_TYPE(spec)));
  const StrPtr text(gst_value_serialize(&now));
  g_value_unset(&now);
  return text.get();
}

// Whether a property is as if a launch line had set it to `text`.
void assert_is(const ObjPtr<GstElement> &element, const char *property,
               const char *text) {
  auto other = ObjPtr<GstElement>::adopt(
      gst_element_factory_create(gst_element_get_factory(element.get()), nullptr));
  gst_util_set_object_arg(G_OBJECT(other.get()), property, text);
  assert_text(value(element, property), value(other, property));
}

void assert_set(const char *factory, unsigned cores,
                const std::vector<std::pair<const char *, const char *>> &expected) {
  auto element = make(factory);
  set_up_encoder(element.get(), numbers(cores));
  for (const auto &[property, text] : expected)
    assert_is(element, property, text);
}

// Every setting of a row names a property that the element has: the rows are no wishes.
void assert_known(const char *factory) {
  auto element = make(factory);
  const EncoderRow &row = encoder_row(element.get());
  fail_unless(g_pattern_match_simple(row.factory, factory) &&
              !g_str_equal(row.factory, "*"));
  for (const auto &[property, text] : row.settings)
    fail_unless(g_object_class_find_property(G_OBJECT_GET_CLASS(element.get()), property),
                "%s has no %s", factory, property);
}

StandIn stand_in(const char *name) {
  StandIn what;
  what.name = name;
  what.decoder = "openh264enc";
  what.caps = "video/x-raw";
  what.makes = "video/x-h264";
  what.klass = "Codec/Encoder/Video/Hardware";
  what.rank = GST_RANK_NONE;
  return what;
}

std::string last_setting(StandInCounts &counts) {
  std::lock_guard<std::mutex> lock(counts.mutex);
  return counts.settings.empty() ? "" : counts.settings.back();
}

bool has(const std::string &text, const char *part) {
  return text.find(part) != std::string::npos;
}

} // namespace

GST_START_TEST(test_encoder_table_sets_the_installed_encoders_up) {
  // A slice a picture, and none that waits for the next.
  assert_set("x264enc", 2,
             {{"bitrate", "2500"},
              {"threads", "1"},
              {"key-int-max", "300"},
              {"vbv-buf-capacity", "200"},
              {"bframes", "0"},
              {"b-adapt", "false"},
              {"speed-preset", "ultrafast"},
              {"tune", "zerolatency"}});
  assert_set("x264enc", 4, {{"speed-preset", "superfast"}});
  assert_set("openh264enc", 2,
             {{"bitrate", "2500000"},
              {"rate-control", "bitrate"},
              {"gop-size", "300"},
              {"num-slices", "1"},
              {"scene-change-detection", "false"}});
  for (const char *name : {"vp8enc", "vp9enc"})
    assert_set(name, 8,
               {{"target-bitrate", "2500000"},
                {"deadline", "1"},
                {"cpu-used", "8"},
                {"threads", "4"},
                {"lag-in-frames", "0"},
                {"end-usage", "cbr"},
                {"keyframe-max-dist", "300"}});
  assert_set("vp8enc", 1, {{"threads", "1"}});
  assert_set("opusenc", 2,
             {{"frame-size", "20"},
              {"inband-fec", "true"},
              {"packet-loss-percentage", "5"},
              {"perfect-timestamp", "true"},
              {"tolerance", "10000000"}});
}
GST_END_TEST

GST_START_TEST(test_encoder_table_names_properties_that_exist) {
  for (const char *factory :
       {"x264enc", "openh264enc", "vp8enc", "vp9enc", "x265enc", "opusenc"})
    assert_known(factory);
}
GST_END_TEST

GST_START_TEST(test_encoder_table_leaves_what_the_user_has_set) {
  auto bin = ObjPtr<GstElement>::adopt(gst_parse_bin_from_description(
      "x264enc speed-preset=slow key-int-max=15 bitrate=77 ! identity", TRUE, nullptr));
  set_up_encoder(bin.get(), numbers());
  auto encoder = find_encoder(bin.get());
  assert_is(encoder, "speed-preset", "slow");
  assert_text(value(encoder, "key-int-max"), "15");
  assert_is(encoder, "tune", "zerolatency");
  // The rate is not the description's to say: the network's.
  assert_text(value(encoder, "bitrate"), "2500");
  set_encoder_rate(bin.get(), 300);
  assert_text(value(encoder, "bitrate"), "300");
  fail_unless(makes(bin.get(), Encoding::kH264) && !makes(bin.get(), Encoding::kVp8));
}
GST_END_TEST

GST_START_TEST(test_encoder_table_never_makes_keyframes_when_told_so) {
  auto encoder = make("x264enc");
  EncoderNumbers never = numbers();
  never.keyframe_seconds = 0;
  set_up_encoder(encoder.get(), never);
  fail_unless(std::stoi(value(encoder, "key-int-max")) > 1000000);
  never.keyframe_seconds = G_MAXUINT;
  never.fps = G_MAXUINT;
  set_up_encoder(make("x264enc").get(), never);
}
GST_END_TEST

GST_START_TEST(test_encoder_table_sets_v4l2_by_its_controls) {
  StandIn what = stand_in("v4l2h264enc");
  what.controls = true;
  const auto counts = register_stand_in(what);
  auto encoder = make("v4l2h264enc");
  EncoderNumbers odd = numbers();
  odd.kbps = 1030;
  set_up_encoder(encoder.get(), odd);
  const std::string all = last_setting(*counts);
  for (const char *part :
       {"video_bitrate_mode=(int)1", "video_bitrate=(int)1025000",
        "h264_i_frame_period=(int)300", "repeat_sequence_header=(int)1",
        "h264_minimum_qp_value=(int)20"})
    fail_unless(has(all, part), "%s", all.c_str());
  // Refused unless whole steps of 25 000.
  set_encoder_rate(encoder.get(), 640);
  fail_unless(has(last_setting(*counts), "video_bitrate=(int)625000"));
  fail_if(has(last_setting(*counts), "repeat_sequence_header"));
  set_encoder_rate(encoder.get(), 3);
  fail_unless(has(last_setting(*counts), "video_bitrate=(int)25000"));
  request_encoder_keyframe(encoder.get(), true);
  guint major, minor, micro, nano;
  gst_version(&major, &minor, &micro, &nano);
  fail_unless_equals_int(has(last_setting(*counts), "force_key_frame=(int)1"),
                         minor < 24);
  fail_unless(has(encoder_row(encoder.get()).out_caps, "level=(string)4"));
}
GST_END_TEST

GST_START_TEST(test_encoder_table_asks_nvidias_only_when_it_runs) {
  StandIn what = stand_in("nvv4l2h264enc");
  what.force_idr = true;
  const auto counts = register_stand_in(what);
  auto encoder = make("nvv4l2h264enc");
  set_up_encoder(encoder.get(), numbers());
  assert_text(last_setting(*counts), "bitrate=2500000");
  request_encoder_keyframe(encoder.get(), false);
  assert_text(last_setting(*counts), "bitrate=2500000");
  request_encoder_keyframe(encoder.get(), true);
  assert_text(last_setting(*counts), "force-IDR");
}
GST_END_TEST

// By what their properties say of themselves.
GST_START_TEST(test_encoder_table_finds_the_unit_of_unknown_encoders) {
  static constexpr struct {
    const char *factory, *property, *set;
  } kUnknown[] = {{"avenc_mpeg4", "bitrate", "2500000"},
                  {"theoraenc", "bitrate", "2500"},
                  {"lamemp3enc", "bitrate", "320"},
                  {"av1enc", "target-bitrate", "2500"}};
  unsigned seen = 0;
  for (const auto &unknown : kUnknown) {
    auto encoder =
        ObjPtr<GstElement>::adopt(gst_element_factory_make(unknown.factory, nullptr));
    if (!encoder)
      continue;
    EncoderNumbers some = numbers();
    some.kbps = g_str_equal(unknown.factory, "lamemp3enc") ? 320 : 2500;
    set_up_encoder(encoder.get(), some);
    assert_text(value(encoder, unknown.property), unknown.set);
    seen++;
  }
  fail_unless(seen > 0);
}
GST_END_TEST

GST_START_TEST(test_encoder_table_lists_encoders_by_rank) {
  const auto names = encoders_for(Encoding::kH264);
  const auto x264 = std::find(names.begin(), names.end(), "x264enc");
  const auto openh264 = std::find(names.begin(), names.end(), "openh264enc");
  fail_unless(x264 < openh264 && openh264 != names.end());
  assert_text(encoders_for(Encoding::kVp8).front(), "vp8enc");
  assert_text(encoders_for(Encoding::kOpus).front(), "opusenc");
}
GST_END_TEST

static Suite *encoder_table_suite() {
  Suite *suite = suite_create("encoder-table");
  TCase *tc = tcase_create("encoder-table");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_encoder_table_sets_the_installed_encoders_up);
  tcase_add_test(tc, test_encoder_table_names_properties_that_exist);
  tcase_add_test(tc, test_encoder_table_leaves_what_the_user_has_set);
  tcase_add_test(tc, test_encoder_table_never_makes_keyframes_when_told_so);
  tcase_add_test(tc, test_encoder_table_sets_v4l2_by_its_controls);
  tcase_add_test(tc, test_encoder_table_asks_nvidias_only_when_it_runs);
  tcase_add_test(tc, test_encoder_table_finds_the_unit_of_unknown_encoders);
  tcase_add_test(tc, test_encoder_table_lists_encoders_by_rank);
  return suite;
}

GST_CHECK_MAIN(encoder_table);
