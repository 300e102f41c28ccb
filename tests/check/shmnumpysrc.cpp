// SPDX-License-Identifier: LGPL-2.1-or-later
// The element: caps, times, what buffers say about themselves, what happens without a
// writer, its life. What writers may do to it is in shmnumpysrc-hostile.cpp.
#include "shmnumpy-reader.hpp"

#include "shm-sender.h"

#include <ctime>

#include <gst/video/video.h>

#include "shm-raw-writer.h"

using shmtest::Name;
using shmtest::rgb_frame;
using shmtest::Sender;
using shmtest::Source;
using shmtest::value_of;

constexpr GstClockTime kNtpEpoch = G_GUINT64_CONSTANT(2208988800) * GST_SECOND;

static shmnumpy_slot small_frame() {
  shmnumpy_slot frame = rgb_frame(16, 16);
  frame.fps_n = 30;
  frame.fps_d = 1;
  return frame;
}

GST_START_TEST(test_shmnumpysrc_properties_have_the_documented_defaults) {
  GstElement *source = gst_element_factory_make("shmnumpysrc", nullptr);
  gchar *name;
  gint timestamps, on_disconnect, state;
  guint latency, timeout;
  g_object_get(source, "shm-name", &name, "timestamps", &timestamps, "latency", &latency,
               "on-disconnect", &on_disconnect, "timeout", &timeout, "state", &state,
               nullptr);
  fail_unless(name == nullptr);
  fail_unless_equals_int(timestamps, 0);
  fail_unless_equals_int(latency, 100);
  fail_unless_equals_int(on_disconnect, 0);
  fail_unless_equals_int(timeout, 0);
  fail_unless_equals_int(state, 6);
  fail_unless(GST_OBJECT_FLAG_IS_SET(source, GST_ELEMENT_FLAG_SOURCE));
  gst_object_unref(source);
}
GST_END_TEST

// given a frame of another size and format each time, then caps, strides and pixels are
// those of the frame.
GST_START_TEST(test_shmnumpysrc_caps_are_those_of_each_frame) {
  const Name name;
  Sender sender(name);
  Source source(name.text);
  const struct {
    const char *format;
    guint width, height;
  } cases[] = {{"RGB", 1, 1},    {"RGB", 33, 17},   {"BGR", 33, 17},
               {"RGBx", 7, 5},   {"BGRx", 7, 5},    {"RGBA", 640, 480},
               {"BGRA", 1, 300}, {"GRAY8", 33, 17}, {"GRAY16_LE", 33, 17},
               {"NV12", 33, 17}, {"I420", 33, 17},  {"RGB", 7680, 4320}};
  int value = 0;
  for (const auto &c : cases) {
    GstVideoInfo info;
    gst_video_info_set_format(&info, gst_video_format_from_string(c.format), c.width,
                              c.height);
    shmnumpy_slot frame = rgb_frame(c.width, c.height);
    strcpy(frame.format, c.format);
    frame.data_bytes = info.size;
    frame.n_planes = info.finfo->n_planes;
    for (guint i = 0; i < frame.n_planes; i++)
      frame.planes[i] = {info.offset[i], static_cast<uint32_t>(info.stride[i]),
                         (c.height + (i ? 1 : 0)) >> (i ? 1 : 0)};
    sender.send(frame, ++value);
    GstBuffer *buffer = source.pull();
    GstCaps *caps = gst_pad_get_current_caps(source.harness->sinkpad);
    GstVideoInfo found;
    fail_unless(gst_video_info_from_caps(&found, caps));
    fail_unless_equals_string(GST_VIDEO_INFO_NAME(&found), c.format);
    fail_unless_equals_int(found.width, c.width);
    fail_unless_equals_int(found.height, c.height);
    fail_unless_equals_uint64(gst_buffer_get_size(buffer), info.size);
    fail_unless_equals_int(value_of(buffer), value);
    gst_caps_unref(caps);
    gst_buffer_unref(buffer);
  }
}
GST_END_TEST

GST_START_TEST(test_shmnumpysrc_caps_tell_rate_shape_and_colour) {
  const Name name;
  Sender sender(name);
  Source source(name.text);
  shmnumpy_slot frame = small_frame();
  frame.par_n = 4;
  frame.par_d = 3;
  strcpy(frame.colorimetry, "1:1:7:1");
  sender.send(frame);
  gst_buffer_unref(source.pull());
  GstCaps *caps = gst_pad_get_current_caps(source.harness->sinkpad);
  GstCaps *expected = gst_caps_from_string(
      "video/x-raw,format=RGB,framerate=30/1,pixel-aspect-ratio=4/3,colorimetry=sRGB");
  fail_unless(gst_caps_can_intersect(caps, expected), "%s", gst_caps_to_string(caps));
  gst_caps_unref(expected);
  gst_caps_unref(caps);
}
GST_END_TEST

// given a pool whose rows are longer than those of the ring, then each row is where the
// pool wants it.
GST_START_TEST(test_shmnumpysrc_rows_are_where_the_pool_wants_them) {
  const Name name;
  Sender sender(name);
  Source source(name.text);
  GstStructure *meta = gst_structure_new_empty("video");
  gst_harness_add_propose_allocation_meta(source.harness, GST_VIDEO_META_API_TYPE, meta);
  GstAllocationParams params;
  gst_allocation_params_init(&params);
  params.align = 255;
  gst_harness_set_propose_allocator(source.harness, nullptr, &params);
  gst_structure_free(meta);
  shmnumpy_slot frame = rgb_frame(10, 4, 64); // GStreamer's own rows have 32 bytes
  sender.send(frame, 9);
  GstBuffer *buffer = source.pull();
  fail_unless_equals_uint64(gst_buffer_get_size(buffer), 32 * 4);
  for (int row = 0; row < 4; row++) {
    guint8 pixels[30];
    gst_buffer_extract(buffer, row * 32, pixels, sizeof(pixels));
    for (guint8 byte : pixels)
      fail_unless_equals_int(byte, 9);
  }
  gst_buffer_unref(buffer);
}
GST_END_TEST

// given frames that say when they were due, then their time is that on the running time
// of this pipeline, wherever it started; those that lie, or say nothing, have the time of
// their arrival.
GST_START_TEST(test_shmnumpysrc_echoes_times_that_make_sense) {
  const Name name;
  Sender sender(name);
  Source source(name.text);
  shmnumpy_slot frame = small_frame();
  GstClockTime last = 0;
  const auto send = [&](int64_t due) {
    frame.due_monotonic = static_cast<uint64_t>(due);
    sender.send(frame);
    GstBuffer *buffer = source.pull();
    const GstClockTime pts = GST_BUFFER_PTS(buffer);
    gst_buffer_unref(buffer);
    fail_unless(pts > last, "not after the one before");
    last = pts;
    return pts + source.base_time;
  };
  const auto base = static_cast<int64_t>(source.base_time);
  const auto now = [] { return static_cast<int64_t>(vdn::shm::monotonic_ns()); };
  for (int i = 1; i <= 5; i++)
    fail_unless_equals_uint64(send(base + i * 2 * GST_MSECOND),
                              base + i * 2 * GST_MSECOND);
  for (int64_t due :
       {int64_t{0}, int64_t{-1}, G_MININT64, G_MAXINT64, int64_t{1},
        now() - int64_t{11 * GST_SECOND}, now() + int64_t{30 * GST_SECOND}}) {
    const int64_t before = now();
    const auto pts = static_cast<int64_t>(send(due));
    // Not before it was sent; each is at least 1 ms after the other.
    fail_unless(pts >= before && pts <= now() + 20 * int64_t{GST_MSECOND});
  }
  fail_unless_equals_uint64(source.counted("frames"), 12);
}
GST_END_TEST

GST_START_TEST(test_shmnumpysrc_arrival_ignores_what_frames_say) {
  const Name name;
  Sender sender(name);
  Source source(name.text, "timestamps=arrival");
  shmnumpy_slot frame = small_frame();
  frame.due_monotonic = source.base_time;
  const uint64_t before = vdn::shm::monotonic_ns();
  sender.send(frame);
  GstBuffer *buffer = source.pull();
  fail_unless(GST_BUFFER_PTS(buffer) + source.base_time >= before);
  gst_buffer_unref(buffer);
}
GST_END_TEST

GST_START_TEST(test_shmnumpysrc_buffers_say_what_frames_said) {
  const Name name;
  Sender sender(name);
  Source source(name.text);
  shmnumpy_slot frame = small_frame();
  frame.duration = 33 * GST_MSECOND;
  frame.capture_utc = 1700000000 * int64_t{GST_SECOND} + 5;
  frame.orientation = 90;
  sender.send(frame);
  GstBuffer *buffer = source.pull();
  fail_unless(GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT));
  fail_unless_equals_uint64(GST_BUFFER_DURATION(buffer), 33 * GST_MSECOND);
  GstReferenceTimestampMeta *meta =
      gst_buffer_get_reference_timestamp_meta(buffer, nullptr);
  fail_unless(meta != nullptr);
  fail_unless_equals_uint64(meta->timestamp, frame.capture_utc + kNtpEpoch);
  gst_buffer_unref(buffer);
  GstEvent *tag = source.event(GST_EVENT_TAG);
  fail_unless(tag != nullptr);
  GstTagList *tags = nullptr;
  gst_event_parse_tag(tag, &tags);
  const gchar *text = nullptr;
  fail_unless(gst_tag_list_peek_string_index(tags, GST_TAG_IMAGE_ORIENTATION, 0, &text));
  fail_unless_equals_string(text, "rotate-90");
  gst_event_unref(tag);

  frame = small_frame();
  frame.flags = SHMNUMPY_FRAME_GAP | SHMNUMPY_FRAME_CORRUPTED;
  sender.send(frame);
  buffer = source.pull();
  fail_unless(GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_GAP));
  fail_unless(GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_CORRUPTED));
  fail_if(GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT));
  fail_unless(gst_buffer_get_reference_timestamp_meta(buffer, nullptr) == nullptr);
  gst_buffer_unref(buffer);
}
GST_END_TEST

// given a writer that is three frames ahead, then the next one is marked.
GST_START_TEST(test_shmnumpysrc_frames_that_were_missed_are_a_discontinuity) {
  rawshm::Writer writer;
  Source source(writer.name);
  for (bool ahead : {false, false, true}) {
    writer.number += ahead ? 3 : 0;
    writer.publish();
    GstBuffer *buffer = source.pull();
    const bool first = writer.number == 1;
    fail_unless(GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT) ==
                (first || ahead));
    gst_buffer_unref(buffer);
  }
  fail_unless_equals_uint64(source.counted("missed"), 3);
}
GST_END_TEST

GST_START_TEST(test_shmnumpysrc_is_live_and_tells_its_latency) {
  const struct {
    const char *more;
    GstClockTime least;
  } cases[] = {{"latency=70", 70 * GST_MSECOND}, {"timestamps=arrival", 0}};
  for (const auto &c : cases) {
    const Name name;
    const std::string line = "shmnumpysrc name=source shm-name=" + name.text + " " +
                             c.more + " ! fakesink name=sink";
    GstElement *pipeline = gst_parse_launch(line.c_str(), nullptr);
    fail_unless_equals_int(gst_element_set_state(pipeline, GST_STATE_PAUSED),
                           GST_STATE_CHANGE_NO_PREROLL);
    GstElement *source = gst_bin_get_by_name(GST_BIN(pipeline), "source");
    GstQuery *query = gst_query_new_latency();
    fail_unless(gst_element_query(source, query));
    gboolean live;
    GstClockTime least, most;
    gst_query_parse_latency(query, &live, &least, &most);
    fail_unless(live);
    fail_unless_equals_uint64(least, c.least);
    // Nothing waits inside.
    fail_unless_equals_uint64(most, c.least);
    gst_query_unref(query);
    gst_object_unref(source);
    gst_element_set_state(pipeline, GST_STATE_NULL);
    gst_object_unref(pipeline);
  }
}
GST_END_TEST

// given no writer, or one that sends nothing, then NULL is reached at once.
GST_START_TEST(test_shmnumpysrc_stops_at_once_twenty_times) {
  for (int round = 0; round < 20; round++) {
    const Name name;
    std::unique_ptr<Sender> sender;
    if (round % 2)
      sender = std::make_unique<Sender>(name);
    Source source(name.text);
    if (round % 4 == 3) {
      sender->send(small_frame());
      gst_buffer_unref(source.pull());
    }
    const uint64_t start = vdn::shm::monotonic_ns();
    gst_element_set_state(source.element, GST_STATE_NULL);
    const uint64_t limit = vdn::time_factor() * 200 * GST_MSECOND;
    fail_unless(vdn::shm::monotonic_ns() - start < limit);
  }
}
GST_END_TEST

// given an element that was stopped in READY, then its time begins anew, and settings are
// those of now.
GST_START_TEST(test_shmnumpysrc_starts_anew_from_ready) {
  const Name name, other;
  Sender sender(name), another(other);
  Source source(name.text);
  const GstClockTime now = source.base_time;
  for (bool again : {false, true}) {
    gst_element_set_state(source.element, GST_STATE_READY);
    if (again)
      g_object_set(source.element, "shm-name", other.text.c_str(), nullptr);
    gst_element_set_base_time(source.element, again ? now : now - 60 * GST_SECOND);
    gst_element_set_state(source.element, GST_STATE_PLAYING);
    (again ? another : sender).send(small_frame(), 7);
    GstBuffer *buffer = source.pull();
    fail_unless((GST_BUFFER_PTS(buffer) < 60 * GST_SECOND) == again);
    gst_buffer_unref(buffer);
    fail_unless_equals_uint64(source.counted("frames"), 1);
  }
}
GST_END_TEST

// given an event that ends the wait for a frame, in any state, then it does, and no more.
GST_START_TEST(test_shmnumpysrc_takes_events_in_any_state) {
  const Name name;
  GstElement *idle = gst_element_factory_make("shmnumpysrc", nullptr);
  gst_element_send_event(idle, gst_event_new_eos());
  gst_element_send_event(idle, gst_event_new_flush_start());
  gst_object_unref(idle);
  Source source(name.text);
  gst_element_send_event(source.element, gst_event_new_eos());
  GstEvent *end = source.event(GST_EVENT_EOS);
  fail_unless(end != nullptr);
  gst_event_unref(end);
}
GST_END_TEST

GST_START_TEST(test_shmnumpysrc_state_follows_the_writer) {
  const Name name;
  Source source(name.text);
  const auto reaches = [&](const char *state) {
    return shmtest::wait_until([&] { return source.state() == state; });
  };
  fail_unless(reaches("absent"));
  auto sender = std::make_unique<Sender>(name);
  fail_unless(reaches("init"));
  sender->send(small_frame());
  fail_unless(reaches("live"));
  gst_buffer_unref(source.pull());
  sender->writer->set_state(SHMNUMPY_STATE_RECONNECTING);
  fail_unless(reaches("reconnecting"));
  GstEvent *away = nullptr;
  do {
    if (away)
      gst_event_unref(away);
    away = source.event(GST_EVENT_CUSTOM_DOWNSTREAM);
  } while (away && !gst_event_has_name(away, "vdoninja/reconnecting"));
  fail_unless(away != nullptr);
  gst_event_unref(away);
  sender->writer->set_state(SHMNUMPY_STATE_EOS);
  fail_unless(reaches("eos"));
  sender.reset();
  fail_unless(reaches("absent") || reaches("stopped"));
  // A new one starts to count again.
  sender = std::make_unique<Sender>(name);
  sender->send(small_frame());
  GstBuffer *buffer = source.pull();
  fail_unless(GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT));
  gst_buffer_unref(buffer);
}
GST_END_TEST

// given on-disconnect=eos, then the last frame is not lost, and neither end of the stream
// nor of the writer is missed.
GST_START_TEST(test_shmnumpysrc_ends_with_the_stream) {
  for (bool stops : {false, true}) {
    const Name name;
    auto sender = std::make_unique<Sender>(name);
    Source source(name.text, "on-disconnect=eos");
    fail_unless(shmtest::wait_until([&] { return source.state() == "init"; }));
    sender->send(small_frame(), 3);
    if (stops)
      sender.reset();
    else
      sender->writer->set_state(SHMNUMPY_STATE_EOS);
    GstBuffer *buffer = source.pull();
    fail_unless_equals_int(value_of(buffer), 3);
    gst_buffer_unref(buffer);
    GstEvent *end = source.event(GST_EVENT_EOS);
    fail_unless(end != nullptr, "no end, the state is %s", source.state().c_str());
    gst_event_unref(end);
  }
}
GST_END_TEST

GST_START_TEST(test_shmnumpysrc_repeats_the_last_picture_until_there_is_another) {
  const Name name;
  auto sender = std::make_unique<Sender>(name);
  Source source(name.text, "on-disconnect=repeat");
  sender->send(small_frame(), 3);
  GstBuffer *buffer = source.pull();
  GstClockTime last = GST_BUFFER_PTS(buffer);
  gst_buffer_unref(buffer);
  sender->writer->set_state(SHMNUMPY_STATE_EOS);
  for (int i = 0; i < 5; i++) {
    buffer = source.pull();
    fail_unless(GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_GAP));
    fail_unless_equals_int(value_of(buffer), 3);
    // At the rate of the stream, give or take what a busy machine takes.
    fail_unless(i == 0 || GST_BUFFER_PTS(buffer) - last >= 30 * GST_MSECOND);
    last = GST_BUFFER_PTS(buffer);
    gst_buffer_unref(buffer);
  }
  sender->send(small_frame(), 4);
  bool gap = true;
  while (gap) {
    buffer = source.pull();
    gap = GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_GAP);
    fail_unless(GST_BUFFER_PTS(buffer) > last);
    fail_unless_equals_int(value_of(buffer), gap ? 3 : 4);
    last = GST_BUFFER_PTS(buffer);
    gst_buffer_unref(buffer);
  }
  fail_unless(source.counted("repeated") >= 5);
}
GST_END_TEST

// given frames again after the last picture was repeated, then waiting for one takes no
// time of the processor.
GST_START_TEST(test_shmnumpysrc_sleeps_between_frames_after_it_repeated) {
  const Name name;
  Sender sender(name);
  Source source(name.text, "on-disconnect=repeat timeout=1");
  sender.send(small_frame());
  gst_buffer_unref(source.pull());
  sender.writer->set_state(SHMNUMPY_STATE_EOS);
  gst_buffer_unref(source.pull());
  sender.send(small_frame(), 4);
  int value = 0;
  while (value != 4) {
    GstBuffer *buffer = source.pull();
    value = value_of(buffer);
    gst_buffer_unref(buffer);
  }
  const std::clock_t before = std::clock();
  source.error(); // a second later
  const double busy = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  fail_unless(busy < 0.1 * vdn::time_factor(), "busy for %.3f s of 1 s", busy);
}
GST_END_TEST

static Suite *shmnumpysrc_suite(void) {
  Suite *suite = suite_create("shmnumpysrc");
  TCase *tcase = tcase_create("general");
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, test_shmnumpysrc_properties_have_the_documented_defaults);
  tcase_add_test(tcase, test_shmnumpysrc_caps_are_those_of_each_frame);
  tcase_add_test(tcase, test_shmnumpysrc_caps_tell_rate_shape_and_colour);
  tcase_add_test(tcase, test_shmnumpysrc_rows_are_where_the_pool_wants_them);
  tcase_add_test(tcase, test_shmnumpysrc_echoes_times_that_make_sense);
  tcase_add_test(tcase, test_shmnumpysrc_arrival_ignores_what_frames_say);
  tcase_add_test(tcase, test_shmnumpysrc_buffers_say_what_frames_said);
  tcase_add_test(tcase, test_shmnumpysrc_frames_that_were_missed_are_a_discontinuity);
  tcase_add_test(tcase, test_shmnumpysrc_is_live_and_tells_its_latency);
  tcase_add_test(tcase, test_shmnumpysrc_stops_at_once_twenty_times);
  tcase_add_test(tcase, test_shmnumpysrc_starts_anew_from_ready);
  tcase_add_test(tcase, test_shmnumpysrc_takes_events_in_any_state);
  tcase_add_test(tcase, test_shmnumpysrc_state_follows_the_writer);
  tcase_add_test(tcase, test_shmnumpysrc_ends_with_the_stream);
  tcase_add_test(tcase, test_shmnumpysrc_repeats_the_last_picture_until_there_is_another);
  tcase_add_test(tcase, test_shmnumpysrc_sleeps_between_frames_after_it_repeated);
  return suite;
}

GST_CHECK_MAIN(shmnumpysrc)
