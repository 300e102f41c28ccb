// SPDX-License-Identifier: LGPL-2.1-or-later
// What writers and settings may do to shmnumpysrc: each is an error that names value and
// remedy, or is lived through; nothing crashes, and no frame is torn.
#include "shmnumpy-reader.hpp"

#include "shm-sender.h"

#include <atomic>
#include <functional>

#include <gst/video/video.h>

#include "shm-raw-writer.h"

using rawshm::Writer;
using shmtest::Name;
using shmtest::rgb_frame;
using shmtest::Sender;
using shmtest::Source;
using shmtest::value_of;

// The error that keeps `line` from reaching READY.
static std::string refusal_of(const std::string &line) {
  GstElement *element = gst_parse_launch(line.c_str(), nullptr);
  GstBus *bus = gst_bus_new();
  gst_element_set_bus(element, bus);
  fail_unless_equals_int(gst_element_set_state(element, GST_STATE_PLAYING),
                         GST_STATE_CHANGE_FAILURE);
  GstMessage *message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
  fail_unless(message != nullptr);
  GError *error = nullptr;
  gst_message_parse_error(message, &error, nullptr);
  const std::string text = error->message;
  g_error_free(error);
  gst_message_unref(message);
  fail_unless(gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR) == nullptr, "two errors");
  gst_element_set_state(element, GST_STATE_NULL);
  gst_element_set_bus(element, nullptr);
  gst_object_unref(element);
  gst_object_unref(bus);
  return text;
}

static bool has(const std::string &text, const char *part) {
  return text.find(part) != std::string::npos;
}

GST_START_TEST(test_shmnumpysrc_bad_names_are_refused_with_the_remedy) {
  fail_unless(has(refusal_of("shmnumpysrc"), "shmnumpysink shm-name=NAME"));
  fail_unless(has(refusal_of("shmnumpysrc shm-name=\"\""), "shmnumpy.create"));
  const std::string text = refusal_of("shmnumpysrc shm-name=a/b");
  fail_unless(has(text, "'a/b'") && has(text, "without a slash"), "%s", text.c_str());
  const std::string longer(SHMNUMPY_MAX_NAME + 1, 'x');
  fail_unless(has(refusal_of("shmnumpysrc shm-name=" + longer), "1 to 244 bytes"));
}
GST_END_TEST

GST_START_TEST(test_shmnumpysrc_timeout_names_the_ring_and_how_to_fill_it) {
  const Name name;
  Source source(name.text, "timeout=1");
  const std::string text = source.error();
  fail_unless(has(text, name.text.c_str()) && has(text, "1 s") &&
                  has(text, "shmnumpy.create"),
              "%s", text.c_str());
}
GST_END_TEST

GST_START_TEST(test_shmnumpysrc_lying_descriptor_is_an_error) {
  const struct {
    const char *text;
    std::function<void(shmnumpy_slot &)> damage;
  } cases[] = {
      {"outside", [](auto &s) { s.data_offset = ~0ull; }},
      {"outside", [](auto &s) { s.data_bytes = ~0ull; }},
      {"61x40", [](auto &s) { s.width = 61; }},
      {"outside", [](auto &s) { s.height = 0; }},
      {"outside", [](auto &s) { s.planes[0].stride = 0xffffffff; }},
      {"P010_10LE", [](auto &s) { strcpy(s.format, "P010_10LE"); }},
      {"unknown format", [](auto &s) { memset(s.format, 0xff, sizeof(s.format)); }},
  };
  for (const auto &c : cases) {
    Writer writer;
    writer.begin();
    writer.fill(60, 40, 180);
    c.damage(writer.slot(1));
    Source source(writer.name);
    writer.finish();
    const std::string text = source.error();
    fail_unless(has(text, c.text) && has(text, writer.name.c_str()) &&
                    has(text, "mode=0660") && g_utf8_validate(text.c_str(), -1, nullptr),
                "%s", text.c_str());
  }
}
GST_END_TEST

// given nonsense in fields that are not needed to find the pixels, then the frame passes.
GST_START_TEST(test_shmnumpysrc_nonsense_beside_the_pixels_is_left_out) {
  const std::function<void(shmnumpy_slot &)> cases[] = {
      [](auto &s) { s.fps_n = s.fps_d = 0xffffffff; },
      [](auto &s) { s.fps_n = 30; },
      [](auto &s) { s.par_n = 1; },
      [](auto &s) { s.par_n = s.par_d = 0x80000000; },
      [](auto &s) { memset(s.colorimetry, 'x', sizeof(s.colorimetry)); },
      [](auto &s) { strcpy(s.colorimetry, "bt709"); },
      [](auto &s) { s.orientation = 7; },
      [](auto &s) { s.orientation = 0xffffffff; },
      [](auto &s) { s.duration = G_MAXINT64; },
      [](auto &s) { s.capture_utc = G_MININT64; },
      [](auto &s) { s.capture_utc = G_MAXINT64; },
      [](auto &s) { s.publish_monotonic = ~0ull; },
      [](auto &s) { s.flags = 0xffffffff; },
  };
  Writer writer;
  Source source(writer.name);
  for (const auto &damage : cases) {
    writer.begin();
    writer.fill(60, 40, 180);
    damage(writer.slot(writer.number));
    writer.finish();
    GstBuffer *buffer = source.pull();
    fail_unless_equals_int(value_of(buffer), writer.number);
    fail_unless(GST_BUFFER_PTS_IS_VALID(buffer));
    GstCaps *caps = gst_pad_get_current_caps(source.harness->sinkpad);
    GstVideoInfo info;
    fail_unless(gst_video_info_from_caps(&info, caps));
    fail_unless(info.fps_n == 0 && info.par_n == 1 && info.par_d == 1);
    gst_caps_unref(caps);
    gst_buffer_unref(buffer);
    memset(&writer.slot(writer.number + 1), 0, sizeof(shmnumpy_slot));
  }
}
GST_END_TEST

GST_START_TEST(test_shmnumpysrc_ring_that_shrinks_is_an_error) {
  Writer writer;
  Source source(writer.name);
  writer.publish();
  gst_buffer_unref(source.pull());
  fail_unless(!ftruncate(writer.fd, 0));
  fail_unless(has(source.error(), "shrank"));
  fail_unless(!ftruncate(writer.fd, rawshm::kSize));
}
GST_END_TEST

GST_START_TEST(test_shmnumpysrc_file_that_holds_no_frames_is_an_error) {
  const Name name;
  const int fd = open(name.path(".ring").c_str(), O_CREAT | O_RDWR, 0600);
  fail_unless(write(fd, "something else", 14) == 14);
  Source source(name.text);
  fail_unless(has(source.error(), "does not hold frames"));
  close(fd);
}
GST_END_TEST

GST_START_TEST(test_shmnumpysrc_format_that_downstream_refuses_is_named) {
  const Name name;
  Sender sender(name);
  Source source(name.text, "", "video/x-raw,format=I420");
  sender.send(rgb_frame(16, 16));
  const std::string text = source.error();
  fail_unless(has(text, "16x16") && has(text, "RGB") && has(text, "videoconvert"), "%s",
              text.c_str());
}
GST_END_TEST

// Publishes 20 frames and is killed at a step of the last.
[[noreturn]] static void write_and_die(const std::string &name, int step) {
  Writer writer(name);
  for (int i = 0; i < 20; i++)
    writer.publish();
  const std::function<void()> steps[] = {
      [&] { writer.begin(); },
      [&] { writer.fill(60, 40, 180); },
      [&] { writer.slot(writer.number).seq = 2 * writer.number; },
      [&] { writer.finish(); },
  };
  for (int i = 0; i <= step; i++)
    steps[i]();
  kill(getpid(), SIGKILL);
  abort();
}

// given a writer that is killed at any step, then no frame that is not whole comes, the
// death is noticed, and the next writer is followed.
GST_START_TEST(test_shmnumpysrc_writer_killed_at_each_step_is_survived) {
  const Name name;
  Source source(name.text);
  const auto pull_whole = [&] {
    GstBuffer *buffer = source.pull();
    GstMapInfo map;
    gst_buffer_map(buffer, &map, GST_MAP_READ);
    const int value = map.data[0];
    for (gsize i = 1; i < map.size; i++)
      fail_unless(map.data[i] == value);
    gst_buffer_unmap(buffer, &map);
    gst_buffer_unref(buffer);
    return value;
  };
  for (int step = 0; step < 4; step++) {
    const pid_t child = fork();
    if (child == 0)
      write_and_die(name.text, step);
    waitpid(child, nullptr, 0);
    shmtest::wait_until([&] { return source.state() == "absent"; });
    Writer next(name.text);
    next.number = 100 + step;
    next.publish();
    while (pull_whole() <= 21)
      ;
    fail_unless_equals_uint64(source.counted("torn"), 0);
  }
}
GST_END_TEST

// In the writer's child: tells that it has a frame, and then whether it saw the end.
static void watch_parent(const Name &name, int told) {
  Source source(name.text);
  gst_buffer_unref(source.pull());
  bool told_all = write(told, "f", 1) == 1;
  if (shmtest::wait_until([&] { return source.state() == "absent"; }))
    told_all = write(told, "e", 1) == 1;
  _exit(told_all ? 0 : 1);
}

// given a source in a process that the writer forked, when the writer leaves or is
// killed, then that is seen: the child does not hold the writer's lock.
GST_START_TEST(test_shmnumpysrc_child_of_the_writer_sees_it_die) {
  for (bool killed : {false, true}) {
    const Name name;
    int told[2];
    fail_unless(pipe(told) == 0);
    const pid_t parent = fork();
    if (parent == 0) {
      Sender sender(name);
      sender.send(rgb_frame(16, 16), 5);
      if (fork() == 0)
        watch_parent(name, told[1]);
      close(told[1]);
      char byte;
      if (read(told[0], &byte, 1) != 1)
        _exit(1);
      if (killed)
        kill(getpid(), SIGKILL);
      sender.writer.reset();
      _exit(0);
    }
    close(told[1]);
    waitpid(parent, nullptr, 0);
    char byte = 0;
    fail_unless(read(told[0], &byte, 1) == 1 && byte == 'e', "killed: %d", killed);
    close(told[0]);
  }
}
GST_END_TEST

// given a writer that never pauses, then what comes is whole, and the newest.
GST_START_TEST(test_shmnumpysrc_unthrottled_writer_gives_no_torn_frame) {
  Writer writer;
  Source source(writer.name);
  std::atomic<bool> stop{false};
  std::thread thread([&] {
    while (!stop) {
      writer.begin();
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
      writer.fill(140, 150, 420);
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
      writer.finish();
    }
  });
  for (int i = 0; i < 300; i++) {
    GstBuffer *buffer = source.pull();
    GstMapInfo map;
    gst_buffer_map(buffer, &map, GST_MAP_READ);
    fail_unless(memcmp(map.data, map.data + 1, map.size - 1) == 0, "torn");
    gst_buffer_unmap(buffer, &map);
    gst_buffer_unref(buffer);
  }
  stop = true;
  thread.join();
}
GST_END_TEST

// given many more frames in a second than there are milliseconds, then time does not run
// ahead of the clock; those that have no place are missed.
GST_START_TEST(test_shmnumpysrc_fast_writer_does_not_run_ahead_of_the_clock) {
  Writer writer;
  Source source(writer.name);
  const guint64 kBurst = 300;
  for (guint64 i = 0; i < kBurst; i++) {
    writer.publish();
    // Each is seen, none waits for the millisecond after the one before.
    fail_unless(shmtest::wait_until([&] {
      return source.counted("frames") + source.counted("missed") == writer.number;
    }));
    while (GstBuffer *buffer = gst_harness_try_pull(source.harness)) {
      const GstClockTime due = source.base_time + GST_BUFFER_PTS(buffer);
      fail_unless(due <= vdn::shm::monotonic_ns(), "%u ns ahead",
                  static_cast<guint>(due - vdn::shm::monotonic_ns()));
      gst_buffer_unref(buffer);
    }
  }
}
GST_END_TEST

// given the highest of all frame rates, then pictures are repeated a hundred times in a
// second at most.
GST_START_TEST(test_shmnumpysrc_absurd_rate_does_not_flood) {
  Writer writer;
  Source source(writer.name, "on-disconnect=repeat");
  writer.begin();
  writer.fill(60, 40, 180);
  writer.slot(1).fps_n = G_MAXINT;
  writer.slot(1).fps_d = 1;
  writer.finish();
  gst_buffer_unref(source.pull());
  writer.set_state(SHMNUMPY_STATE_EOS);
  GstClockTime last = GST_CLOCK_TIME_NONE;
  for (int i = 0; i < 5; i++) {
    GstBuffer *buffer = source.pull();
    const GstClockTime pts = GST_BUFFER_PTS(buffer);
    fail_unless(GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_GAP));
    gst_buffer_unref(buffer);
    fail_unless(i == 0 || pts - last >= 9 * GST_MSECOND);
    last = pts;
  }
}
GST_END_TEST

// Overwrites the frame that is about to be copied, and publishes one of another size.
static GstPadProbeReturn tear(GstPad *, GstPadProbeInfo *info, gpointer data) {
  if (GST_QUERY_TYPE(GST_PAD_PROBE_INFO_QUERY(info)) == GST_QUERY_ACCEPT_CAPS) {
    auto &writer = *static_cast<Writer *>(data);
    writer.slot(writer.number).seq |= 1;
    writer.publish(1 + writer.number % 60);
  }
  return GST_PAD_PROBE_OK;
}

// given a stream of which no frame is whole, then timeout ends it as one without frames.
GST_START_TEST(test_shmnumpysrc_timeout_ends_a_stream_of_torn_frames) {
  Writer writer;
  Source source(writer.name, "timeout=1");
  GstPad *pad = gst_element_get_static_pad(source.element, "src");
  gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM, tear, &writer, nullptr);
  gst_object_unref(pad);
  writer.publish();
  fail_unless(has(source.error(), "1 s"));
  fail_unless_equals_uint64(source.counted("frames"), 0);
  fail_unless(source.counted("torn") > 0);
}
GST_END_TEST

// given numbers that GStreamer has no colours for, then caps say what they say without.
GST_START_TEST(test_shmnumpysrc_colorimetry_out_of_range_is_left_out) {
  const struct {
    const char *format, *text;
  } cases[] = {{"GRAY8", "2:-9999999:1:1"}, {"GRAY8", "2:7:1:1"},  {"GRAY8", "3:3:5:1"},
               {"GRAY8", "-1:3:5:1"},       {"GRAY8", "2:2:1:99"}, {"GRAY8", "2:3:-1:1"},
               {"RGB", "1:1:99:1"},         {"RGB", "1:1:7:-1"},   {"RGB", "9:1:7:1"}};
  for (const auto &c : cases) {
    const Name name;
    Sender sender(name);
    Source source(name.text);
    shmnumpy_slot frame = rgb_frame(16, 16);
    strcpy(frame.format, c.format);
    strcpy(frame.colorimetry, c.text);
    sender.send(frame);
    gst_buffer_unref(source.pull());
    GstCaps *caps = gst_pad_get_current_caps(source.harness->sinkpad);
    GstVideoInfo found, expected;
    fail_unless(gst_video_info_from_caps(&found, caps));
    gst_video_info_set_format(&expected, GST_VIDEO_INFO_FORMAT(&found), 16, 16);
    fail_unless(gst_video_colorimetry_is_equal(&found.colorimetry, &expected.colorimetry),
                "%s in %s was taken", c.text, c.format);
    gst_caps_unref(caps);
  }
}
GST_END_TEST

// given a frame that comes within a millisecond of another, and then no more, then it is
// not left out.
GST_START_TEST(test_shmnumpysrc_last_frame_comes_however_soon) {
  struct Second {
    Sender &sender;
    bool sent = false;
  };
  const Name name;
  Sender sender(name);
  Source source(name.text);
  Second more{sender};
  const auto send = [](GstPad *, GstPadProbeInfo *, gpointer data) {
    auto *later = static_cast<Second *>(data);
    if (!std::exchange(later->sent, true))
      later->sender.send(rgb_frame(16, 16), 2);
    return GST_PAD_PROBE_OK;
  };
  gst_pad_add_probe(source.harness->sinkpad, GST_PAD_PROBE_TYPE_BUFFER, send, &more,
                    nullptr);
  sender.send(rgb_frame(16, 16), 1);
  for (int value : {1, 2}) {
    GstBuffer *buffer = source.pull();
    fail_unless_equals_int(value_of(buffer), value);
    gst_buffer_unref(buffer);
  }
}
GST_END_TEST

// given a frame that comes while the pipeline is paused, then it has no time that lies
// ahead afterwards, and those that follow need not wait for that.
GST_START_TEST(test_shmnumpysrc_frame_in_paused_has_a_time_of_playing) {
  const Name name;
  Sender sender(name);
  Source source(name.text);
  const auto passes = [](GstClockTime time) {
    const auto end = vdn::shm::monotonic_ns() + time;
    fail_unless(shmtest::wait_until([=] { return vdn::shm::monotonic_ns() > end; }));
  };
  sender.send(rgb_frame(16, 16), 1);
  gst_buffer_unref(source.pull());
  gst_element_set_state(source.harness->element, GST_STATE_PAUSED);
  passes(200 * GST_MSECOND);
  sender.send(rgb_frame(16, 16), 2);
  passes(100 * GST_MSECOND);
  const GstClockTime base = source.base_time + 300 * GST_MSECOND;
  gst_element_set_base_time(source.harness->element, base);
  gst_element_set_state(source.harness->element, GST_STATE_PLAYING);
  for (int value : {2, 3}) {
    GstBuffer *buffer = gst_harness_pull(source.harness);
    fail_unless_equals_int(value_of(buffer), value);
    fail_unless(GST_BUFFER_PTS(buffer) + base < vdn::shm::monotonic_ns());
    gst_buffer_unref(buffer);
    sender.send(rgb_frame(16, 16), value + 1);
  }
}
GST_END_TEST

static Suite *shmnumpysrc_hostile_suite(void) {
  Suite *suite = suite_create("shmnumpysrc-hostile");
  TCase *tcase = tcase_create("hostile");
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, test_shmnumpysrc_last_frame_comes_however_soon);
  tcase_add_test(tcase, test_shmnumpysrc_frame_in_paused_has_a_time_of_playing);
  tcase_add_test(tcase, test_shmnumpysrc_bad_names_are_refused_with_the_remedy);
  tcase_add_test(tcase, test_shmnumpysrc_timeout_names_the_ring_and_how_to_fill_it);
  tcase_add_test(tcase, test_shmnumpysrc_lying_descriptor_is_an_error);
  tcase_add_test(tcase, test_shmnumpysrc_nonsense_beside_the_pixels_is_left_out);
  tcase_add_test(tcase, test_shmnumpysrc_ring_that_shrinks_is_an_error);
  tcase_add_test(tcase, test_shmnumpysrc_file_that_holds_no_frames_is_an_error);
  tcase_add_test(tcase, test_shmnumpysrc_format_that_downstream_refuses_is_named);
  tcase_add_test(tcase, test_shmnumpysrc_writer_killed_at_each_step_is_survived);
  tcase_add_test(tcase, test_shmnumpysrc_child_of_the_writer_sees_it_die);
  tcase_add_test(tcase, test_shmnumpysrc_unthrottled_writer_gives_no_torn_frame);
  tcase_add_test(tcase, test_shmnumpysrc_fast_writer_does_not_run_ahead_of_the_clock);
  tcase_add_test(tcase, test_shmnumpysrc_absurd_rate_does_not_flood);
  tcase_add_test(tcase, test_shmnumpysrc_timeout_ends_a_stream_of_torn_frames);
  tcase_add_test(tcase, test_shmnumpysrc_colorimetry_out_of_range_is_left_out);
  return suite;
}

GST_CHECK_MAIN(shmnumpysrc_hostile)
