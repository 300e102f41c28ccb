// SPDX-License-Identifier: LGPL-2.1-or-later
// Frames that upstream writes in place: which pipelines do, what may go wrong, and that
// nobody upstream ever waits.
#include <string>

#include "shm-support.h"

#include <gst/check/gstcheck.h>
#include <gst/check/gstharness.h>
#include <gst/video/video.h>

using shmtest::Name;
using shmtest::View;

static const char *kCaps = "video/x-raw,format=RGB,width=64,height=64,framerate=30/1";
constexpr gsize kBytes = 64 * 64 * 3;

struct Counts {
  guint64 published, copied, dropped;
};

static Counts counts_of(const View &ring) {
  return {ring.header().published, ring.header().stat_copied, ring.header().stat_dropped};
}

static std::string sink_for(const Name &name) {
  return "shmnumpysink name=sink udp-port=0 slots=6 max-width=320 max-height=240 "
         "shm-name=" +
         name.text;
}

// Plays to the end and returns what the ring counted.
static Counts play(const Name &name, const std::string &before) {
  GError *error = nullptr;
  GstElement *pipeline =
      gst_parse_launch((before + " ! " + sink_for(name)).c_str(), &error);
  fail_unless(error == nullptr);
  gst_element_set_state(pipeline, GST_STATE_READY);
  const View ring(name.path(".ring"));
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  GstBus *bus = gst_element_get_bus(pipeline);
  GstMessage *message = gst_bus_timed_pop_filtered(
      bus, vdn::time_factor() * 30 * GST_SECOND,
      static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR));
  fail_unless(message != nullptr, "no end of %s", before.c_str());
  fail_unless(GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS, "%s", before.c_str());
  gst_message_unref(message);
  gst_object_unref(bus);
  const Counts counts = counts_of(ring);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(pipeline);
  return counts;
}

// videoconvert replaces the allocator of the pool that it is offered; the pool ignores
// that.
GST_START_TEST(test_shmnumpysink_pool_upstream_writes_in_place) {
  const std::string caps = std::string(" ! ") + kCaps;
  const std::string convert = "videotestsrc num-buffers=50 ! video/x-raw,format=AYUV ! "
                              "videoconvert" +
                              caps;
  for (const std::string &line : {"videotestsrc num-buffers=50" + caps, convert,
                                  convert + " ! queue max-size-buffers=2",
                                  convert + " ! identity", convert + " ! videoscale"}) {
    const Name name;
    const Counts counts = play(name, line);
    // The frame of the preroll is published once.
    fail_unless_equals_uint64(counts.published, 50);
    fail_unless(counts.copied == 0, "%s: %" G_GUINT64_FORMAT " copies", line.c_str(),
                counts.copied);
    fail_unless_equals_uint64(counts.dropped, 0);
    fail_unless(name.files().empty());
  }
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_pool_tee_and_long_queues_lose_nothing) {
  const std::string caps = std::string(" ! ") + kCaps;
  const Name name;
  for (const std::string &line :
       {"videotestsrc num-buffers=50" + caps +
            " ! tee name=t t. ! queue ! fakesink sync=false async=false t. ! queue",
        "videotestsrc num-buffers=50" + caps + " ! queue max-size-buffers=40",
        "videotestsrc num-buffers=25" + caps +
            " ! videorate ! video/x-raw,framerate=60/1 ! identity"}) {
    const Counts counts = play(name, line);
    fail_unless(counts.published >= 49, "%s", line.c_str());
    fail_unless_equals_uint64(counts.dropped, 0);
  }
}
GST_END_TEST

// A sink in a harness, and the pool that it offers to what is before it.
struct Offered {
  explicit Offered(const Name &name, const char *caps_text = kCaps) {
    harness = gst_harness_new_parse(sink_for(name).c_str());
    gst_harness_set_src_caps_str(harness, caps_text);
    GstCaps *caps = gst_caps_from_string(caps_text);
    GstQuery *query = gst_query_new_allocation(caps, TRUE);
    fail_unless(gst_pad_peer_query(harness->srcpad, query));
    fail_unless(gst_query_find_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr));
    if (gst_query_get_n_allocation_pools(query) > 0)
      gst_query_parse_nth_allocation_pool(query, 0, &pool, &size, &low, &high);
    gst_query_unref(query);
    gst_caps_unref(caps);
    if (pool)
      fail_unless(gst_buffer_pool_set_active(pool, TRUE));
  }
  ~Offered() {
    if (pool) {
      gst_buffer_pool_set_active(pool, FALSE);
      gst_object_unref(pool);
    }
    if (harness)
      gst_harness_teardown(harness);
  }
  GstBuffer *acquire() {
    GstBuffer *buffer = nullptr;
    fail_unless_equals_int(gst_buffer_pool_acquire_buffer(pool, &buffer, nullptr),
                           GST_FLOW_OK);
    return buffer;
  }
  GstHarness *harness;
  GstBufferPool *pool = nullptr;
  guint size = 0, low = 0, high = 0;
};

GST_START_TEST(test_shmnumpysink_pool_is_offered_where_pixels_stay) {
  const Name name;
  {
    Offered packed(name);
    fail_unless(packed.pool != nullptr);
    fail_unless_equals_int(packed.size, kBytes);
    fail_unless_equals_int(packed.high, 0);
  }
  Offered converted(name, "video/x-raw,format=I420,width=64,height=64");
  fail_unless(converted.pool == nullptr);
}
GST_END_TEST

// given a frame that readers look at, when its buffer is still held elsewhere, then its
// pixels cannot be changed there: a map for writing gives a copy.
GST_START_TEST(test_shmnumpysink_pool_published_pixels_are_read_only) {
  const Name name;
  Offered offered(name);
  const View ring(name.path(".ring"));
  GstBuffer *buffer = offered.acquire();
  gst_buffer_memset(buffer, 0, 7, kBytes);
  fail_unless_equals_int(gst_harness_push(offered.harness, gst_buffer_ref(buffer)),
                         GST_FLOW_OK);
  fail_unless_equals_uint64(counts_of(ring).copied, 0);
  fail_unless_equals_int(ring.pixels()[0], 7);
  fail_unless(gst_buffer_is_writable(buffer));
  fail_unless_equals_uint64(gst_buffer_memset(buffer, 0, 99, kBytes), kBytes);
  fail_unless_equals_int(ring.pixels()[0], 7);
  // Pushed again it is another frame, in a slot of its own.
  fail_unless_equals_int(gst_harness_push(offered.harness, buffer), GST_FLOW_OK);
  fail_unless_equals_uint64(ring.number(), 2);
  fail_unless_equals_int(ring.pixels()[0], 99);
  fail_unless_equals_uint64(counts_of(ring).copied, 1);
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_pool_same_buffer_twice_is_two_frames) {
  const Name name;
  Offered offered(name);
  const View ring(name.path(".ring"));
  GstBuffer *buffer = offered.acquire();
  gst_buffer_memset(buffer, 0, 7, kBytes);
  for (guint64 number = 1; number <= 20; number++) {
    gst_harness_push(offered.harness, gst_buffer_ref(buffer));
    fail_unless_equals_uint64(ring.number(), number);
    fail_unless_equals_uint64(ring.slot().seq, 2 * number);
    fail_unless_equals_int(ring.pixels()[kBytes - 1], 7);
  }
  gst_buffer_unref(buffer);
}
GST_END_TEST

// given an upstream that never gives buffers back, then it gets ordinary memory at once
// and each frame is still published.
GST_START_TEST(test_shmnumpysink_pool_held_buffers_starve_nobody) {
  const Name name;
  Offered offered(name);
  const View ring(name.path(".ring"));
  std::vector<GstBuffer *> held;
  for (guint number = 1; number <= 30; number++) {
    GstBuffer *buffer = offered.acquire();
    fail_unless(gst_buffer_get_video_meta(buffer) != nullptr);
    gst_buffer_memset(buffer, 0, static_cast<guint8>(number), kBytes);
    held.push_back(gst_buffer_ref(buffer));
    fail_unless_equals_int(gst_harness_push(offered.harness, buffer), GST_FLOW_OK);
    fail_unless_equals_uint64(ring.number(), number);
    fail_unless_equals_int(ring.pixels()[100], static_cast<guint8>(number));
  }
  fail_unless_equals_uint64(counts_of(ring).copied, 26);
  fail_unless_equals_uint64(counts_of(ring).dropped, 0);
  for (GstBuffer *buffer : held)
    gst_buffer_unref(buffer);
  gst_harness_push(offered.harness, offered.acquire());
  fail_unless_equals_uint64(counts_of(ring).copied, 26);
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_pool_other_layouts_are_seen) {
  const Name name;
  Offered offered(name);
  const View ring(name.path(".ring"));
  // Upstream says that its rows are longer: in place, and readers are told.
  GstBuffer *buffer = offered.acquire();
  gst_buffer_get_video_meta(buffer)->stride[0] = 64 * 3 - 12;
  gst_buffer_get_video_meta(buffer)->offset[0] = 12;
  gst_buffer_memset(buffer, 0, 3, kBytes);
  gst_harness_push(offered.harness, buffer);
  fail_unless_equals_int(ring.slot().planes[0].stride, 64 * 3 - 12);
  fail_unless_equals_uint64(ring.slot().planes[0].offset, 12);
  // Foreign memory with padded rows: copied to rows as the format has them.
  buffer = gst_buffer_new_allocate(nullptr, 64 * 256, nullptr);
  gst_buffer_memset(buffer, 0, 4, 64 * 256);
  gsize offsets[] = {0};
  gint strides[] = {256};
  gst_buffer_add_video_meta_full(buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_RGB,
                                 64, 64, 1, offsets, strides);
  gst_harness_push(offered.harness, buffer);
  fail_unless_equals_int(ring.slot().planes[0].stride, 64 * 3);
  fail_unless_equals_int(ring.pixels()[kBytes - 1], 4);
  fail_unless_equals_uint64(counts_of(ring).copied, 1);
}
GST_END_TEST

// Buffers of the ring before: after growth they are copied, after stop they are still
// memory.
GST_START_TEST(test_shmnumpysink_pool_buffers_outlive_ring_and_element) {
  const Name name;
  Offered offered(name);
  GstBuffer *late = offered.acquire();
  GstBuffer *later = offered.acquire();
  gst_harness_set_src_caps_str(offered.harness,
                               "video/x-raw,format=RGB,width=800,height=800");
  gst_harness_push(offered.harness,
                   gst_buffer_new_allocate(nullptr, 800 * 800 * 3, nullptr));
  gst_harness_set_src_caps_str(offered.harness, kCaps);
  gst_buffer_memset(late, 0, 8, kBytes);
  fail_unless_equals_int(gst_harness_push(offered.harness, late), GST_FLOW_OK);
  {
    const View ring(name.path(".ring"));
    fail_unless_equals_uint64(ring.number(), 2);
    fail_unless_equals_int(ring.pixels()[0], 8);
    fail_unless_equals_uint64(counts_of(ring).copied, 2);
  }
  gst_harness_teardown(offered.harness);
  offered.harness = nullptr;
  fail_unless(name.files().empty());
  fail_unless_equals_uint64(gst_buffer_memset(later, 0, 9, kBytes), kBytes);
  gst_buffer_unref(later);
  gst_buffer_unref(offered.acquire());
}
GST_END_TEST

GST_START_TEST(test_shmnumpysink_pool_preroll_is_published_once) {
  const Name name;
  GstElement *pipeline =
      gst_parse_launch(("videotestsrc num-buffers=10 ! video/x-raw,width=64,"
                        "height=64 ! " +
                        sink_for(name))
                           .c_str(),
                       nullptr);
  gst_element_set_state(pipeline, GST_STATE_PAUSED);
  fail_unless(gst_element_get_state(pipeline, nullptr, nullptr,
                                    vdn::time_factor() * 20 * GST_SECOND) ==
              GST_STATE_CHANGE_SUCCESS);
  const View ring(name.path(".ring"));
  fail_unless_equals_uint64(ring.number(), 1);
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  GstBus *bus = gst_element_get_bus(pipeline);
  gst_message_unref(gst_bus_timed_pop_filtered(bus, vdn::time_factor() * 20 * GST_SECOND,
                                               GST_MESSAGE_EOS));
  gst_object_unref(bus);
  fail_unless_equals_uint64(ring.number(), 10);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(pipeline);
}
GST_END_TEST

static Suite *shmnumpysink_pool_suite(void) {
  Suite *suite = suite_create("shmnumpysink-pool");
  TCase *tcase = tcase_create("general");
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, test_shmnumpysink_pool_upstream_writes_in_place);
  tcase_add_test(tcase, test_shmnumpysink_pool_tee_and_long_queues_lose_nothing);
  tcase_add_test(tcase, test_shmnumpysink_pool_is_offered_where_pixels_stay);
  tcase_add_test(tcase, test_shmnumpysink_pool_published_pixels_are_read_only);
  tcase_add_test(tcase, test_shmnumpysink_pool_same_buffer_twice_is_two_frames);
  tcase_add_test(tcase, test_shmnumpysink_pool_held_buffers_starve_nobody);
  tcase_add_test(tcase, test_shmnumpysink_pool_other_layouts_are_seen);
  tcase_add_test(tcase, test_shmnumpysink_pool_buffers_outlive_ring_and_element);
  tcase_add_test(tcase, test_shmnumpysink_pool_preroll_is_published_once);
  return suite;
}

GST_CHECK_MAIN(shmnumpysink_pool)
