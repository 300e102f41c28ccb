// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gstvdoninjasrcpad.h"

#include <gst/check/gstcheck.h>
#include <gst/check/gstharness.h>

#include "gst-ptr.h"

namespace {

// An element that shows what is pushed into its sink through a pad of ours.
struct Shown {
  Shown() {
    GstElement *bin = gst_bin_new(nullptr);
    GstElement *source = gst_element_factory_make("identity", nullptr);
    gst_bin_add(GST_BIN(bin), source);
    auto sink = vdn::ObjPtr<GstPad>::adopt(gst_element_get_static_pad(source, "sink"));
    auto src = vdn::ObjPtr<GstPad>::adopt(gst_element_get_static_pad(source, "src"));
    gst_element_add_pad(bin, gst_ghost_pad_new("sink", sink.get()));
    auto templ = vdn::ObjPtr<GstPadTemplate>::adopt(
        gst_pad_template_new("video_%u", GST_PAD_SRC, GST_PAD_SOMETIMES, GST_CAPS_ANY));
    auto stream = vdn::ObjPtr<GstStream>::adopt(
        gst_stream_new("id", nullptr, GST_STREAM_TYPE_VIDEO, GST_STREAM_FLAG_NONE));
    GstPad *pad = gst_vdoninja_src_pad_new(templ.get(), "video_0", stream.get(), 1);
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

  GstHarness *harness;
};

} // namespace

GST_START_TEST(test_src_pad_gives_each_buffer_a_time) {
  Shown shown;
  fail_unless_equals_uint64(shown.push(5 * GST_SECOND), 5 * GST_SECOND);
  fail_unless_equals_uint64(shown.push(GST_CLOCK_TIME_NONE), 5 * GST_SECOND);
  fail_unless_equals_uint64(shown.push(6 * GST_SECOND), 6 * GST_SECOND);
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

static Suite *src_pad_suite() {
  Suite *suite = suite_create("src-pad");
  TCase *tc = tcase_create("src-pad");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_src_pad_gives_each_buffer_a_time);
  tcase_add_test(tc, test_src_pad_shows_one_segment_of_many_sources);
  return suite;
}

GST_CHECK_MAIN(src_pad);
