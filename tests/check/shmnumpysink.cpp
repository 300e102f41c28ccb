// SPDX-License-Identifier: LGPL-2.1-or-later
// The element: negotiation, what frames say about themselves, its life, and its errors.
#include <string>

#include "shm-support.h"

#include <gst/check/gstcheck.h>
#include <gst/check/gstharness.h>
#include <gst/check/gsttestclock.h>
#include <gst/video/video.h>

using shmtest::Name;
using shmtest::View;

static GstHarness *harness_for(const Name &name, const char *more = "") {
  const std::string line = "shmnumpysink shm-name=" + name.text +
                           " udp-port=0 max-width=320 max-height=240 " + more;
  return gst_harness_new_parse(line.c_str());
}

static void set_caps(GstHarness *harness, const char *format, int width, int height,
                     const char *more = "") {
  const std::string caps = "video/x-raw,format=" + std::string(format) +
                           ",width=" + std::to_string(width) +
                           ",height=" + std::to_string(height) + ",framerate=30/1" + more;
  gst_harness_set_src_caps_str(harness, caps.c_str());
}

static GstBuffer *filled(gsize bytes, guint8 value, GstClockTime pts = 0) {
  GstBuffer *buffer = gst_buffer_new_allocate(nullptr, bytes, nullptr);
  gst_buffer_memset(buffer, 0, value, bytes);
  GST_BUFFER_PTS(buffer) = pts;
  return buffer;
}

static gsize size_of(const char *format, int width, int height) {
  GstVideoInfo info;
  gst_video_info_set_format(&info, gst_video_format_from_string(format), width, height);
  return info.size;
}

GST_START_TEST(test_shmnumpysink_properties_have_the_documented_defaults) {
  GstElement *sink = gst_element_factory_make("shmnumpysink", nullptr);
  gchar *name, *host;
  gint format, legacy;
  guint64 legacy_size;
  guint port, mode, slots, width, height;
  gboolean sync, qos, last;
  g_object_get(sink, "shm-name", &name, "format", &format, "legacy", &legacy,
               "legacy-size", &legacy_size, "udp-host", &host, "udp-port", &port, "mode",
               &mode, "slots", &slots, "max-width", &width, "max-height", &height, "sync",
               &sync, "qos", &qos, "enable-last-sample", &last, nullptr);
  fail_unless_equals_string(name, "psm_raspininja_streamid");
  fail_unless_equals_string(host, "127.0.0.1");
  fail_unless_equals_int(format, 0);
  fail_unless_equals_int(legacy, 0);
  fail_unless_equals_uint64(legacy_size, 6220805);
  fail_unless_equals_int(port, 12345);
  fail_unless_equals_int(mode, 0600);
  fail_unless_equals_int(slots, 0);
  fail_unless_equals_int(width, 0);
  fail_unless_equals_int(height, 0);
  fail_unless(!sync && !qos && !last);
  g_free(name);
  g_free(host);
  gst_object_unref(sink);
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_default_takes_what_decoders_make) {
  for (const char *format : {"I420", "NV12", "RGB", "BGR"})
    for (const char *wanted : {"auto", "rgb", "bgr"}) {
      const Name name;
      GstHarness *harness = harness_for(name, ("format=" + std::string(wanted)).c_str());
      set_caps(harness, format, 33, 17);
      fail_unless_equals_int(
          gst_harness_push(harness, filled(size_of(format, 33, 17), 128)), GST_FLOW_OK);
      const View ring(name.path(".ring"));
      const bool bgr = std::string(wanted) == "bgr" ||
                       (std::string(wanted) == "auto" && std::string(format) == "BGR");
      fail_unless_equals_string(ring.slot().format, bgr ? "BGR" : "RGB");
      fail_unless_equals_int(ring.slot().width, 33);
      fail_unless_equals_int(ring.slot().height, 17);
      // Gray stays gray: luma 128 of 16 to 235 is 130.
      const int expected = *format == 'I' || *format == 'N' ? 130 : 128;
      fail_unless(std::abs(ring.pixels()[0] - expected) <= 2);
      gst_harness_teardown(harness);
      fail_unless(name.files().empty());
    }
}
GST_END_TEST

// given red frames, then the order of the bytes is as the format says.
GST_START_TEST(test_shmnumpysink_red_is_where_the_format_says) {
  struct Row {
    const char *format, *wanted;
    guint8 first[3]; // of the frame that goes in: bytes, or Y, U, V
    int red;         // byte of the pixel
  };
  for (const Row &row : {Row{"RGB", "auto", {255, 0, 0}, 0},
                         {"BGR", "auto", {0, 0, 255}, 2},
                         {"BGR", "rgb", {0, 0, 255}, 0},
                         {"RGB", "bgr", {255, 0, 0}, 2},
                         {"I420", "auto", {81, 90, 240}, 0},
                         {"I420", "bgr", {81, 90, 240}, 2}}) {
    const Name name;
    GstHarness *harness =
        harness_for(name, ("format=" + std::string(row.wanted)).c_str());
    set_caps(harness, row.format, 2, 2, ",colorimetry=bt601");
    GstBuffer *buffer = filled(size_of(row.format, 2, 2), 0);
    if (*row.format == 'I') {
      gst_buffer_memset(buffer, 0, row.first[0], 8);
      gst_buffer_memset(buffer, 8, row.first[1], 4);
      gst_buffer_memset(buffer, 12, row.first[2], 4);
    } else {
      gst_buffer_fill(buffer, 0, row.first, 3);
    }
    fail_unless_equals_int(gst_harness_push(harness, buffer), GST_FLOW_OK);
    const View ring(name.path(".ring"));
    for (int byte = 0; byte < 3; byte++)
      fail_unless(std::abs(ring.pixels()[byte] - (byte == row.red ? 255 : 0)) <= 2,
                  "%s to %s, byte %d is %d", row.format, row.wanted, byte,
                  ring.pixels()[byte]);
    gst_harness_teardown(harness);
  }
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_native_passes_each_format) {
  for (const char *format : {"RGB", "BGR", "RGBx", "BGRx", "RGBA", "BGRA", "GRAY8",
                             "GRAY16_LE", "NV12", "I420"}) {
    const Name name;
    GstHarness *harness = harness_for(name, "format=native");
    set_caps(harness, format, 35, 21);
    GstVideoInfo info;
    gst_video_info_set_format(&info, gst_video_format_from_string(format), 35, 21);
    GstBuffer *buffer = gst_buffer_new_allocate(nullptr, info.size, nullptr);
    GstMapInfo map;
    gst_buffer_map(buffer, &map, GST_MAP_WRITE);
    for (gsize i = 0; i < map.size; i++)
      map.data[i] = static_cast<guint8>(i * 31);
    gst_buffer_unmap(buffer, &map);
    fail_unless_equals_int(gst_harness_push(harness, buffer), GST_FLOW_OK);
    const View ring(name.path(".ring"));
    const shmnumpy_slot &slot = ring.slot();
    fail_unless_equals_string(slot.format, format);
    fail_unless_equals_int(slot.n_planes, info.finfo->n_planes);
    for (guint plane = 0; plane < slot.n_planes; plane++) {
      fail_unless_equals_uint64(slot.planes[plane].offset, info.offset[plane]);
      fail_unless_equals_int(slot.planes[plane].stride, info.stride[plane]);
      fail_unless_equals_int(slot.planes[plane].rows, plane ? 11 : 21);
    }
    fail_unless_equals_uint64(slot.data_bytes, info.size);
    for (guint plane = 0; plane < slot.n_planes; plane++) {
      const gsize begin = slot.planes[plane].offset;
      const gsize end = begin + slot.planes[plane].stride * slot.planes[plane].rows;
      for (gsize i = begin; i < end; i++)
        fail_unless_equals_int(ring.pixels()[i], static_cast<guint8>(i * 31));
    }
    gst_harness_teardown(harness);
  }
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_frames_carry_times_and_flags) {
  const Name name;
  GstHarness *harness = harness_for(name);
  set_caps(harness, "RGB", 16, 16, ",pixel-aspect-ratio=4/3,colorimetry=sRGB");
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  segment.start = 10 * GST_SECOND;
  segment.base = 3 * GST_SECOND;
  gst_harness_push_event(harness, gst_event_new_segment(&segment));
  GstBuffer *buffer = filled(768, 1, 12 * GST_SECOND);
  GST_BUFFER_DURATION(buffer) = 33 * GST_MSECOND;
  GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DISCONT | GST_BUFFER_FLAG_CORRUPTED);
  GstCaps *ntp = gst_caps_from_string("timestamp/x-ntp");
  const GstClockTime captured = G_GUINT64_CONSTANT(1700000000) * GST_SECOND + 5;
  gst_buffer_add_reference_timestamp_meta(
      buffer, ntp, captured + G_GUINT64_CONSTANT(2208988800) * GST_SECOND,
      GST_CLOCK_TIME_NONE);
  gst_caps_unref(ntp);
  fail_unless_equals_int(gst_harness_push(harness, buffer), GST_FLOW_OK);
  const View ring(name.path(".ring"));
  const shmnumpy_slot stamped = ring.slot();
  fail_unless_equals_int64(stamped.pts, 12 * GST_SECOND);
  fail_unless_equals_int64(stamped.duration, 33 * GST_MSECOND);
  fail_unless_equals_int64(stamped.running_time, 5 * GST_SECOND);
  fail_unless_equals_int64(stamped.capture_utc, captured);
  fail_unless_equals_int(stamped.flags,
                         SHMNUMPY_FRAME_DISCONT | SHMNUMPY_FRAME_CORRUPTED);
  fail_unless_equals_int(stamped.fps_n, 30);
  fail_unless_equals_int(stamped.par_n, 4);
  fail_unless_equals_int(stamped.par_d, 3);
  fail_unless_equals_string(stamped.colorimetry, "sRGB");
  fail_unless_equals_uint64(stamped.frame_no, 1);

  fail_unless_equals_int(gst_harness_push(harness, filled(768, 1, GST_CLOCK_TIME_NONE)),
                         GST_FLOW_OK);
  const shmnumpy_slot plain = ring.slot();
  fail_unless_equals_int64(plain.pts, SHMNUMPY_NO_TIME);
  fail_unless_equals_int64(plain.running_time, SHMNUMPY_NO_TIME);
  fail_unless_equals_int64(plain.capture_utc, SHMNUMPY_NO_TIME);
  fail_unless_equals_int(plain.flags, 0);
  fail_unless_equals_uint64(plain.frame_no, 2);
  gst_harness_teardown(harness);
}
GST_END_TEST

// given a frame of half a second ago, then it says when that was on the clock that all
// processes share, whether or not the pipeline's clock is that one.
GST_START_TEST(test_shmnumpysink_frames_say_when_they_were_due) {
  for (bool shared : {true, false}) {
    const Name name;
    GstHarness *harness = harness_for(name);
    GstElement *sink = gst_harness_find_element(harness, "shmnumpysink");
    GstClock *monotonic = gst_system_clock_obtain();
    GstClock *another = gst_test_clock_new_with_start_time(2 * GST_SECOND);
    gst_element_set_clock(sink, shared ? monotonic : another);
    const GstClockTime now = gst_clock_get_time(monotonic);
    const GstClockTime base = shared ? now - GST_SECOND : GST_SECOND;
    gst_element_set_base_time(sink, base);
    set_caps(harness, "RGB", 16, 16);
    fail_unless_equals_int(gst_harness_push(harness, filled(768, 1, GST_SECOND / 2)),
                           GST_FLOW_OK);
    const GstClockTime due = View(name.path(".ring")).slot().due_monotonic;
    if (shared) {
      fail_unless_equals_uint64(due, base + GST_SECOND / 2);
    } else {
      fail_unless(due >= now - GST_SECOND / 2 &&
                  due <= gst_clock_get_time(monotonic) - GST_SECOND / 2);
    }
    fail_unless_equals_int(gst_harness_push(harness, filled(768, 1, GST_CLOCK_TIME_NONE)),
                           GST_FLOW_OK);
    fail_unless_equals_uint64(View(name.path(".ring")).slot().due_monotonic, 0);
    gst_object_unref(sink);
    gst_object_unref(another);
    gst_object_unref(monotonic);
    gst_harness_teardown(harness);
  }
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_frames_say_how_to_turn_them) {
  const Name name;
  GstHarness *harness = harness_for(name);
  set_caps(harness, "RGB", 16, 16);
  const struct {
    const char *tag;
    unsigned degrees;
  } cases[] = {{nullptr, 0}, {"rotate-90", 90}, {"flip-rotate-90", 90}, {"rotate-0", 0}};
  for (const auto &c : cases) {
    if (c.tag)
      gst_harness_push_event(harness, gst_event_new_tag(gst_tag_list_new(
                                          GST_TAG_IMAGE_ORIENTATION, c.tag, nullptr)));
    fail_unless_equals_int(gst_harness_push(harness, filled(768, 1)), GST_FLOW_OK);
    fail_unless_equals_int(View(name.path(".ring")).slot().orientation, c.degrees);
  }
  gst_harness_teardown(harness);
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_caps_may_change_with_each_frame) {
  const Name name;
  GstHarness *harness = harness_for(name, "legacy=always");
  const int sides[] = {1, 2, 3, 17, 64, 101, 240, 1, 500, 33};
  guint64 number = 0;
  for (int side : sides) {
    for (const char *format : {"I420", "RGB", "NV12", "BGR"}) {
      set_caps(harness, format, side, side);
      fail_unless_equals_int(
          gst_harness_push(harness, filled(size_of(format, side, side), 100)),
          GST_FLOW_OK);
      const View ring(name.path(".ring"));
      fail_unless_equals_uint64(ring.number(), ++number);
      fail_unless_equals_int(ring.slot().width, side);
      fail_unless_equals_string(ring.slot().format, *format == 'B' ? "BGR" : "RGB");
      const View legacy(name.path());
      fail_unless_equals_int(legacy.data[0] * 255 + legacy.data[1], side);
      fail_unless_equals_int(legacy.data[2] * 255 + legacy.data[3], side);
    }
  }
  gst_harness_teardown(harness);
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_8k_frame_is_published) {
  const Name name;
  GstHarness *harness = harness_for(name, "format=native");
  set_caps(harness, "GRAY8", 7680, 4320);
  fail_unless_equals_int(
      gst_harness_push(harness, filled(size_of("GRAY8", 7680, 4320), 9)), GST_FLOW_OK);
  const View ring(name.path(".ring"));
  fail_unless_equals_int(ring.slot().width, 7680);
  fail_unless_equals_int(ring.pixels()[7680 * 4320 - 1], 9);
  fail_unless_equals_int(ring.header().slot_count, 4);
  gst_harness_teardown(harness);
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_state_word_follows_the_stream) {
  const Name name;
  GstHarness *harness = harness_for(name);
  set_caps(harness, "RGB", 16, 16);
  const auto reconnecting = [&](gboolean active) {
    gst_harness_push_event(
        harness,
        gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM_OOB,
                             gst_structure_new("vdoninja/reconnecting", "active",
                                               G_TYPE_BOOLEAN, active, nullptr)));
  };
  const View ring(name.path(".ring"));
  fail_unless_equals_int(ring.state(), SHMNUMPY_STATE_INIT);
  gst_harness_push(harness, filled(768, 1));
  fail_unless_equals_int(ring.state(), SHMNUMPY_STATE_LIVE);
  reconnecting(TRUE);
  fail_unless_equals_int(ring.state(), SHMNUMPY_STATE_RECONNECTING);
  reconnecting(FALSE);
  fail_unless_equals_int(ring.state(), SHMNUMPY_STATE_LIVE);
  reconnecting(TRUE);
  gst_harness_push(harness, filled(768, 1));
  fail_unless_equals_int(ring.state(), SHMNUMPY_STATE_LIVE);
  gst_harness_push_event(harness, gst_event_new_eos());
  fail_unless_equals_int(ring.state(), SHMNUMPY_STATE_EOS);
  gst_harness_teardown(harness);
  fail_unless_equals_int(ring.state(), SHMNUMPY_STATE_STOPPED);
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_starts_and_stops_twenty_times) {
  const Name name;
  GstElement *pipeline =
      gst_parse_launch(("videotestsrc ! shmnumpysink name=s udp-port=0 "
                        "max-width=320 max-height=240 shm-name=" +
                        name.text)
                           .c_str(),
                       nullptr);
  for (int round = 0; round < 20; round++) {
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    fail_unless(gst_element_get_state(pipeline, nullptr, nullptr,
                                      vdn::time_factor() * 20 * GST_SECOND) ==
                GST_STATE_CHANGE_SUCCESS);
    fail_unless_equals_int(name.files().size(), 4);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    fail_unless(name.files().empty());
  }
  gst_object_unref(pipeline);
}
GST_END_TEST

// The error that a sink with these properties posts when it starts, and its text.
static GError *start_error(const std::string &properties, std::string *text) {
  GstElement *sink = gst_parse_launch(("shmnumpysink " + properties).c_str(), nullptr);
  GstBus *bus = gst_bus_new();
  gst_element_set_bus(sink, bus);
  fail_unless(gst_element_set_state(sink, GST_STATE_PAUSED) == GST_STATE_CHANGE_FAILURE);
  GstMessage *message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
  fail_unless(message != nullptr);
  GError *error = nullptr;
  gst_message_parse_error(message, &error, nullptr);
  *text = error->message;
  gst_message_unref(message);
  fail_unless(gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR) == nullptr, "one error only");
  gst_element_set_state(sink, GST_STATE_NULL);
  gst_element_set_bus(sink, nullptr);
  gst_object_unref(bus);
  gst_object_unref(sink);
  return error;
}

GST_START_TEST(test_shmnumpysink_bad_settings_name_value_and_remedy) {
  struct Row {
    std::string properties;
    gint code;
    const char *says[2];
  };
  const std::string lengthy(300, 'x');
  for (const Row &row :
       {Row{"shm-name=a/b", GST_RESOURCE_ERROR_SETTINGS, {"a/b", "slash"}},
        Row{"shm-name=\"\"", GST_RESOURCE_ERROR_SETTINGS, {"''", "use letters"}},
        Row{"shm-name=" + lengthy, GST_RESOURCE_ERROR_SETTINGS, {"300", "at most 244"}},
        Row{"shm-name=vdn-check-host udp-host=no.such.host.invalid",
            GST_RESOURCE_ERROR_SETTINGS,
            {"no.such.host.invalid", "udp-port=0"}}}) {
    std::string text;
    GError *error = start_error(row.properties, &text);
    fail_unless(g_error_matches(error, GST_RESOURCE_ERROR, row.code), "%s", text.c_str());
    for (const char *part : row.says)
      fail_unless(strstr(text.c_str(), part) != nullptr, "%s", text.c_str());
    g_error_free(error);
  }
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_second_sink_with_a_name_is_refused) {
  const Name name;
  GstHarness *harness = harness_for(name);
  set_caps(harness, "RGB", 16, 16);
  std::string text;
  GError *error = start_error("shm-name=" + name.text, &text);
  fail_unless(g_error_matches(error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_BUSY));
  fail_unless(strstr(text.c_str(), name.text.c_str()) != nullptr);
  g_error_free(error);
  fail_unless_equals_int(gst_harness_push(harness, filled(768, 5)), GST_FLOW_OK);
  fail_unless_equals_uint64(View(name.path(".ring")).number(), 1);
  gst_harness_teardown(harness);
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_large_frame_warns_once_what_to_set) {
  const Name name;
  GstHarness *harness = harness_for(name, "legacy=always legacy-size=1000");
  GstBus *bus = gst_bus_new();
  GstElement *sink = gst_harness_find_element(harness, "shmnumpysink");
  gst_element_set_bus(sink, bus);
  set_caps(harness, "RGB", 64, 64);
  for (int frame = 0; frame < 5; frame++)
    fail_unless_equals_int(gst_harness_push(harness, filled(64 * 64 * 3, 1)),
                           GST_FLOW_OK);
  GstMessage *message = gst_bus_pop_filtered(bus, GST_MESSAGE_WARNING);
  fail_unless(message != nullptr);
  GError *error = nullptr;
  gst_message_parse_warning(message, &error, nullptr);
  fail_unless(strstr(error->message, "legacy-size=12293") != nullptr, "%s",
              error->message);
  g_error_free(error);
  gst_message_unref(message);
  fail_unless(gst_bus_pop_filtered(bus, GST_MESSAGE_WARNING) == nullptr);
  const guint8 zero[4] = {};
  fail_unless(memcmp(View(name.path()).data, zero, 4) == 0);
  fail_unless_equals_uint64(View(name.path(".ring")).number(), 5);
  gst_element_set_bus(sink, nullptr);
  gst_object_unref(sink);
  gst_object_unref(bus);
  gst_harness_teardown(harness);
}
GST_END_TEST

static Suite *shmnumpysink_suite(void) {
  Suite *suite = suite_create("shmnumpysink");
  TCase *tcase = tcase_create("general");
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, test_shmnumpysink_properties_have_the_documented_defaults);
  tcase_add_test(tcase, test_shmnumpysink_default_takes_what_decoders_make);
  tcase_add_test(tcase, test_shmnumpysink_red_is_where_the_format_says);
  tcase_add_test(tcase, test_shmnumpysink_native_passes_each_format);
  tcase_add_test(tcase, test_shmnumpysink_frames_carry_times_and_flags);
  tcase_add_test(tcase, test_shmnumpysink_frames_say_when_they_were_due);
  tcase_add_test(tcase, test_shmnumpysink_frames_say_how_to_turn_them);
  tcase_add_test(tcase, test_shmnumpysink_caps_may_change_with_each_frame);
  tcase_add_test(tcase, test_shmnumpysink_8k_frame_is_published);
  tcase_add_test(tcase, test_shmnumpysink_state_word_follows_the_stream);
  tcase_add_test(tcase, test_shmnumpysink_starts_and_stops_twenty_times);
  tcase_add_test(tcase, test_shmnumpysink_bad_settings_name_value_and_remedy);
  tcase_add_test(tcase, test_shmnumpysink_second_sink_with_a_name_is_refused);
  tcase_add_test(tcase, test_shmnumpysink_large_frame_warns_once_what_to_set);
  return suite;
}

GST_CHECK_MAIN(shmnumpysink)
