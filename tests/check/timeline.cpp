// SPDX-License-Identifier: LGPL-2.1-or-later
// What becomes of time stamps that encoders and browsers cannot live with.
#include "timeline.h"

#include "retimer.h"
#include "running-time.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

constexpr GstClockTime kNone = GST_CLOCK_TIME_NONE;
constexpr GstClockTime kMs = GST_MSECOND;
constexpr GstClockTime kFrame = 40 * kMs;

// A timeline and the time of a clock, in ms.
struct Line : Timeline {
  explicit Line(bool live_source, bool encoded = false) : live(live_source) {
    set_reordered(encoded);
  }
  // What becomes of a frame of `ms`, -1: none, at `now`; in ms.
  gint64 at(gint64 ms, gint64 now) {
    const Stamp stamp =
        next(ms < 0 ? kNone : ms * kMs, kFrame, now < 0 ? kNone : now * kMs, live);
    jumped = stamp.jumped;
    return stamp.time / kMs;
  }
  const bool live;
  bool jumped = false;
};

struct Retimed : Retimer {
  explicit Retimed(const char *caps) {
    const CapsPtr form(gst_caps_from_string(caps));
    set_caps(form.get());
  }
  void from(GstClockTime start, GstFormat format = GST_FORMAT_TIME) {
    GstSegment segment;
    gst_segment_init(&segment, format);
    segment.start = segment.time = start;
    set_segment(&segment);
  }
  // NONE: dropped.
  BufferPtr give(GstClockTime pts, GstClockTime dts = kNone, gsize size = 4) {
    GstBuffer *buffer = gst_buffer_new_allocate(nullptr, size, nullptr);
    GST_BUFFER_PTS(buffer) = pts;
    GST_BUFFER_DTS(buffer) = dts;
    bool jumped = false;
    return BufferPtr(pass(buffer, kNone, false, &jumped));
  }
};

} // namespace

GST_START_TEST(test_timeline_leaves_good_times_alone) {
  for (const bool live : {false, true}) {
    Line line(live);
    for (gint64 ms = 500; ms < 5000; ms += 40) {
      fail_unless_equals_int64(line.at(ms, ms + 120), ms);
      fail_if(line.jumped);
    }
  }
}
GST_END_TEST

// A clip of five seconds that is repeated: each time as long, and picture and sound as
// far apart as they were. Unless the clock begins anew as well.
GST_START_TEST(test_timeline_repeats_a_clip) {
  Line picture(false), sound(false);
  gint64 now = 0;
  for (int round = 0; round < 5; round++, now += 200) {
    const gint64 begun = now;
    for (gint64 ms = 0; ms < 5000; ms += 40, now += 40) {
      fail_unless_equals_int64(picture.at(ms, now + 30), begun + ms);
      fail_unless_equals_int64(sound.at(ms + 7, now + 90), begun + ms + 7);
      fail_if(picture.jumped || sound.jumped);
    }
    for (Line *line : {&picture, &sound})
      line->restart_at((now + 200) * kMs);
  }
  fail_unless_equals_int64(picture.at(0, 20), 0);
  sound.restart_at(kNone);
  fail_unless_equals_int64(sound.at(0, 20), 0);
}
GST_END_TEST

GST_START_TEST(test_timeline_gives_times_where_there_are_none) {
  Line live(true);
  fail_unless_equals_int64(live.at(-1, 1000), 1000);
  fail_unless_equals_int64(live.at(-1, 1040), 1040);
  fail_unless_equals_int64(live.at(-1, 1040), 1041); // two at once
  Line file(false);
  fail_unless_equals_int64(file.at(-1, 1000), 1000);
  fail_unless_equals_int64(file.at(-1, 1001), 1040); // by the frame, not the clock
  Line clockless(true);
  fail_unless_equals_int64(clockless.at(-1, -1), 0);
  fail_unless_equals_int64(clockless.at(-1, -1), 40);
}
GST_END_TEST

GST_START_TEST(test_timeline_never_goes_back_for_encoders) {
  Line line(true);
  line.at(1000, 1000);
  fail_unless_equals_int64(line.at(980, 1040), 1001);
  fail_unless_equals_int64(line.at(1000, 1080), 1002);
  fail_if(line.jumped);
  fail_unless_equals_int64(line.at(1120, 1120), 1120);
}
GST_END_TEST

GST_START_TEST(test_timeline_lets_encoded_pictures_be_reordered) {
  Line line(false, true);
  line.at(1000, -1);
  fail_unless_equals_int64(line.at(1120, -1), 1120);
  fail_unless_equals_int64(line.at(1040, -1), 1040);
  fail_unless_equals_int64(line.at(1080, -1), 1080);
  fail_if(line.jumped);
}
GST_END_TEST

// The clock of a live source says where it is; what follows a jump keeps its distance.
GST_START_TEST(test_timeline_goes_on_after_jumps) {
  constexpr gint64 kHours = 5 * 3600 * 1000;
  Line live(true);
  fail_unless_equals_int64(live.at(kHours, 1000), 1000);
  fail_unless(live.jumped);
  fail_unless_equals_int64(live.at(kHours + 40, 1040), 1040);
  fail_if(live.jumped);
  fail_unless_equals_int64(live.at(20, 1080), 1080);
  fail_unless(live.jumped);
  fail_unless_equals_int64(live.at(60, 1120), 1120);
  // A gap that the clock confirms is one.
  fail_unless_equals_int64(live.at(30060, 31120), 31120);
  fail_if(live.jumped);

  Line file(false);
  fail_unless_equals_int64(file.at(0, 0), 0);
  fail_unless_equals_int64(file.at(kHours, 10), 40);
  fail_unless(file.jumped);
  fail_unless_equals_int64(file.at(kHours + 40, 20), 80);
  fail_unless_equals_int64(file.at(0, 30), 120);
  fail_unless(file.jumped);
  fail_unless_equals_int64(file.at(20000, 40), 20120); // a gap in a recording
  fail_if(file.jumped);
}
GST_END_TEST

GST_START_TEST(test_timeline_survives_any_numbers) {
  for (const bool live : {false, true}) {
    Line line(live);
    GstClockTime last = 0;
    GRand *random = g_rand_new_with_seed(7);
    for (int i = 0; i < 20000; i++) {
      const guint64 any = guint64(g_rand_int(random)) << (g_rand_int(random) % 40);
      const guint64 now = guint64(g_rand_int(random)) << (g_rand_int(random) % 40);
      const auto stamp = line.next(any, now, i % 3 ? now : kNone, live);
      fail_unless(i == 0 || stamp.time > last, "%d", i);
      last = stamp.time;
    }
    g_rand_free(random);
  }
}
GST_END_TEST

GST_START_TEST(test_retimer_makes_running_times_of_any_segment) {
  Retimed raw("video/x-raw,framerate=25/1");
  raw.from(1000 * 3600 * GST_SECOND);
  fail_unless_equals_uint64(
      GST_BUFFER_PTS(raw.give(1000 * 3600 * GST_SECOND + kFrame).get()), kFrame);
  // Outside of it: what a seek decodes on its way.
  fail_unless(raw.give(10 * kMs) == nullptr);
  raw.from(0, GST_FORMAT_BYTES);
  fail_unless_equals_uint64(GST_BUFFER_PTS(raw.give(123).get()), 2 * kFrame);
}
GST_END_TEST

GST_START_TEST(test_retimer_keeps_the_order_of_decoding) {
  Retimed encoded("video/x-h264");
  encoded.from(GST_SECOND);
  const auto one = encoded.give(GST_SECOND + 80 * kMs, GST_SECOND);
  const auto two = encoded.give(GST_SECOND + 40 * kMs, GST_SECOND + 40 * kMs);
  fail_unless_equals_uint64(GST_BUFFER_PTS(one.get()), 80 * kMs);
  fail_unless_equals_uint64(GST_BUFFER_DTS(one.get()), 0);
  fail_unless_equals_uint64(GST_BUFFER_PTS(two.get()), 40 * kMs);
  fail_unless_equals_uint64(GST_BUFFER_DTS(two.get()), 40 * kMs);
}
GST_END_TEST

GST_START_TEST(test_retimer_counts_sound_by_its_bytes) {
  Retimed raw("audio/x-raw,format=S16LE,rate=48000,channels=2,layout=interleaved");
  raw.from(0);
  raw.give(kNone, kNone, 48000 * 4 / 100); // 10 ms
  fail_unless_equals_uint64(GST_BUFFER_PTS(raw.give(kNone).get()), 10 * kMs);
}
GST_END_TEST

// Beside a sink that has nothing yet the pipeline does not say that it plays.
GST_START_TEST(test_timeline_of_live_input_goes_on_beside_a_sink_that_waits) {
  const auto pipeline = ObjPtr<GstElement>::adopt(gst_parse_launch(
      "videotestsrc is-live=true ! appsink name=out sync=false async=false "
      "appsrc ! fakesink",
      nullptr));
  const auto out =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(pipeline.get()), "out"));
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  for (int i = 0; i < 10; i++) {
    GstSample *raw = nullptr;
    g_signal_emit_by_name(out.get(), "pull-sample", &raw);
    fail_unless(raw != nullptr);
    const GstClockTime time = GST_BUFFER_PTS(gst_sample_get_buffer(raw));
    gst_sample_unref(raw);
    const GstClockTime now = vdn::running_time_now(out.get(), true);
    fail_unless(now >= time && now < time + 60 * GST_SECOND, "%" GST_TIME_FORMAT,
                GST_TIME_ARGS(now));
  }
  fail_unless(GST_STATE(pipeline.get()) == GST_STATE_PAUSED);
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
}
GST_END_TEST

static Suite *timeline_suite() {
  Suite *suite = suite_create("timeline");
  TCase *tc = tcase_create("timeline");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_timeline_leaves_good_times_alone);
  tcase_add_test(tc, test_timeline_repeats_a_clip);
  tcase_add_test(tc, test_timeline_gives_times_where_there_are_none);
  tcase_add_test(tc, test_timeline_never_goes_back_for_encoders);
  tcase_add_test(tc, test_timeline_lets_encoded_pictures_be_reordered);
  tcase_add_test(tc, test_timeline_goes_on_after_jumps);
  tcase_add_test(tc, test_timeline_survives_any_numbers);
  tcase_add_test(tc, test_retimer_makes_running_times_of_any_segment);
  tcase_add_test(tc, test_retimer_keeps_the_order_of_decoding);
  tcase_add_test(tc, test_retimer_counts_sound_by_its_bytes);
  tcase_add_test(tc, test_timeline_of_live_input_goes_on_beside_a_sink_that_waits);
  return suite;
}

GST_CHECK_MAIN(timeline);
