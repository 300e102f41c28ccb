// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gstvdoninjasrcpad.h"

#include <vector>

#include <gst/check/gstcheck.h>
#include <gst/check/gstharness.h>

#include "gst-ptr.h"

namespace {

// An element that shows what is pushed into its sink through a pad of ours.
struct Shown {
  explicit Shown(GstStreamType type = GST_STREAM_TYPE_VIDEO) {
    GstElement *bin = gst_bin_new(nullptr);
    GstElement *source = gst_element_factory_make("identity", nullptr);
    gst_bin_add(GST_BIN(bin), source);
    auto sink = vdn::ObjPtr<GstPad>::adopt(gst_element_get_static_pad(source, "sink"));
    auto src = vdn::ObjPtr<GstPad>::adopt(gst_element_get_static_pad(source, "src"));
    gst_element_add_pad(bin, gst_ghost_pad_new("sink", sink.get()));
    auto templ = vdn::ObjPtr<GstPadTemplate>::adopt(
        gst_pad_template_new("video_%u", GST_PAD_SRC, GST_PAD_SOMETIMES, GST_CAPS_ANY));
    auto stream = vdn::ObjPtr<GstStream>::adopt(
        gst_stream_new("id", nullptr, type, GST_STREAM_FLAG_NONE));
    GstPad *pad = gst_vdoninja_src_pad_new(templ.get(), "video_0");
    gst_vdoninja_src_pad_restart(GST_VDONINJA_SRC_PAD(pad), stream.get(), 1);
    gst_vdoninja_src_pad_set_source(GST_VDONINJA_SRC_PAD(pad), src.get());
    gst_element_add_pad(bin, pad);
    harness = gst_harness_new_with_element(bin, "sink", "video_0");
    gst_object_unref(bin);
    gst_harness_set_src_caps_str(harness, "video/x-raw");
  }
  ~Shown() { gst_harness_teardown(harness); }

  // The time of what comes out for a buffer with `pts`.
  GstClockTime push(GstClockTime pts) {
    GstBuffer *buffer = gst_buffer_new();
    GST_BUFFER_PTS(buffer) = pts;
    buffer = gst_harness_push_and_pull(harness, buffer);
    const GstClockTime time = GST_BUFFER_PTS(buffer);
    gst_buffer_unref(buffer);
    return time;
  }
  void push_segment(GstClockTime start, GstClockTime position) {
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    segment.start = start;
    segment.position = position;
    gst_harness_push_event(harness, gst_event_new_segment(&segment));
  }
  guint segments() {
    guint count = 0;
    while (GstEvent *event = gst_harness_try_pull_event(harness)) {
      count += GST_EVENT_TYPE(event) == GST_EVENT_SEGMENT;
      gst_event_unref(event);
    }
    return count;
  }

  GstPad *pad() const { return GST_PAD(GST_ELEMENT(harness->element)->srcpads->data); }

  GstHarness *harness;
};

} // namespace

GST_START_TEST(test_src_pad_gives_each_buffer_a_time) {
  Shown shown;
  fail_unless_equals_uint64(shown.push(5 * GST_SECOND), 5 * GST_SECOND);
  fail_unless_equals_uint64(shown.push(GST_CLOCK_TIME_NONE), 5001 * GST_MSECOND);
  fail_unless_equals_uint64(shown.push(6 * GST_SECOND), 6 * GST_SECOND);
}
GST_END_TEST

// Pictures that arrive at once, and a recording of them: h264parse behind the pad takes
// the time from all but the first if it is the same, and mp4mux gives up.
GST_START_TEST(test_src_pad_keeps_pictures_apart) {
  Shown shown;
  for (int i = 0; i < 3; i++)
    fail_unless_equals_uint64(shown.push(5 * GST_SECOND),
                              5 * GST_SECOND + i * GST_MSECOND);
  fail_unless_equals_uint64(shown.push(4 * GST_SECOND), 4 * GST_SECOND);
}
GST_END_TEST

GST_START_TEST(test_src_pad_leaves_sound_as_it_is) {
  Shown shown(GST_STREAM_TYPE_AUDIO);
  for (int i = 0; i < 2; i++)
    fail_unless_equals_uint64(shown.push(5 * GST_SECOND), 5 * GST_SECOND);
}
GST_END_TEST

GST_START_TEST(test_src_pad_shows_one_segment_of_many_sources) {
  Shown shown;
  shown.push(GST_SECOND);
  fail_unless_equals_int(shown.segments(), 1);
  shown.push_segment(0, 7 * GST_SECOND); // another session's jitterbuffer
  shown.push(2 * GST_SECOND);
  fail_unless_equals_int(shown.segments(), 0);
  shown.push_segment(GST_SECOND, 0);
  shown.push(3 * GST_SECOND);
  fail_unless_equals_int(shown.segments(), 1);
}
GST_END_TEST

// Live and with the latency of the element, although nothing is behind the pad.
GST_START_TEST(test_src_pad_stays_live_without_a_source) {
  Shown shown;
  auto *pad = GST_VDONINJA_SRC_PAD(shown.pad());
  gst_vdoninja_src_pad_set_latency(pad, 70 * GST_MSECOND);
  for (int round = 0; round < 2; round++) {
    vdn::MiniPtr<GstQuery> query(gst_query_new_latency());
    fail_unless(gst_pad_query(shown.pad(), query.get()));
    gboolean live = FALSE;
    GstClockTime min = 0, max = 0;
    gst_query_parse_latency(query.get(), &live, &min, &max);
    fail_unless(live);
    fail_unless_equals_uint64(min, round == 0 ? 0 : 70 * GST_MSECOND); // the harness's 0
    fail_unless_equals_uint64(max, GST_CLOCK_TIME_NONE);
    gst_vdoninja_src_pad_set_source(pad, nullptr);
  }
}
GST_END_TEST

GST_START_TEST(test_src_pad_tells_gaps) {
  Shown shown;
  auto *pad = GST_VDONINJA_SRC_PAD(shown.pad());
  gst_vdoninja_src_pad_push_gap(pad, GST_SECOND); // before the first buffer: of no use
  shown.push(GST_SECOND / 2);
  gst_vdoninja_src_pad_set_time_offset(pad, -static_cast<gint64>(GST_SECOND));
  shown.push(GST_SECOND);
  gst_vdoninja_src_pad_push_gap(pad, GST_SECOND);
  gst_vdoninja_src_pad_push_gap(pad, GST_SECOND); // once
  gst_vdoninja_src_pad_push_gap(pad, 3 * GST_SECOND);
  std::vector<std::pair<GstClockTime, GstClockTime>> gaps;
  while (GstEvent *event = gst_harness_try_pull_event(shown.harness)) {
    GstClockTime from = 0, length = 0;
    if (GST_EVENT_TYPE(event) == GST_EVENT_GAP) {
      gst_event_parse_gap(event, &from, &length);
      gaps.emplace_back(from, length);
    }
    gst_event_unref(event);
  }
  fail_unless_equals_int(gaps.size(), 2);
  fail_unless(gaps[0] ==
              std::make_pair(GstClockTime(GST_SECOND), GstClockTime(GST_SECOND)));
  fail_unless(gaps[1] ==
              std::make_pair(GstClockTime(2 * GST_SECOND), GstClockTime(2 * GST_SECOND)));
}
GST_END_TEST

static Suite *src_pad_suite() {
  Suite *suite = suite_create("src-pad");
  TCase *tc = tcase_create("src-pad");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_src_pad_gives_each_buffer_a_time);
  tcase_add_test(tc, test_src_pad_keeps_pictures_apart);
  tcase_add_test(tc, test_src_pad_leaves_sound_as_it_is);
  tcase_add_test(tc, test_src_pad_shows_one_segment_of_many_sources);
  tcase_add_test(tc, test_src_pad_stays_live_without_a_source);
  tcase_add_test(tc, test_src_pad_tells_gaps);
  return suite;
}

GST_CHECK_MAIN(src_pad);
