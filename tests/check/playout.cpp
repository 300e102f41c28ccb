// SPDX-License-Identifier: LGPL-2.1-or-later
#include "playout.h"

#include <condition_variable>

#include <gst/check/gstharness.h>

#include "mutex.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

constexpr gint64 kMs = 1000;

// Sound whose sink holds up the first buffer until it is let go.
class Held {
public:
  explicit Held(const PipelineLatency &latency) {
    PlayoutConfig config;
    config.video = false;
    config.limits.bound_us = 300 * kMs;
    config.progress = std::make_shared<Progress>();
    config.broken = [](GstFlowReturn) {};
    config.pipeline_latency = latency;
    GstElement *playout = playout_new(std::move(config));
    harness_ = gst_harness_new_with_element(playout, "sink", "src");
    gst_object_unref(playout);
    gst_pad_add_probe(
        harness_->sinkpad, GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad *, GstPadProbeInfo *, gpointer held) {
          static_cast<Held *>(held)->hold();
          return GST_PAD_PROBE_OK;
        },
        this, nullptr);
    gst_harness_set_src_caps_str(harness_, "audio/x-raw");
  }
  ~Held() {
    let_go();
    gst_harness_teardown(harness_);
  }
  Held(const Held &) = delete;
  Held &operator=(const Held &) = delete;

  void push(unsigned many) {
    while (many--)
      fail_unless_equals_int(gst_harness_push(harness_, gst_buffer_new()), GST_FLOW_OK);
  }
  void let_go() {
    Lock lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  void tell_latency(GstClockTime latency) {
    gst_harness_push_upstream_event(harness_, gst_event_new_latency(latency));
  }
  // What comes out of so many that were pushed, the rest being dropped.
  guint out_of(unsigned pushed) {
    while (gst_harness_buffers_received(harness_) +
               playout_stats(harness_->element).drops.all() <
           pushed)
      g_thread_yield();
    return gst_harness_buffers_received(harness_);
  }

private:
  void hold() {
    Lock lock(mutex_);
    while (held_)
      lock.wait(changed_);
  }

  GstHarness *harness_ = nullptr;
  Mutex mutex_;
  std::condition_variable changed_;
  bool held_ GUARDED_BY(mutex_) = true;
};

} // namespace

// What sinks hold back is not late, whoever was told of it: a session that comes anew has
// a playout stage of its own, and no application tells that again.
GST_START_TEST(test_playout_knows_what_sinks_wait_for) {
  const auto latency = std::make_shared<std::atomic<gint64>>(0);
  Held(latency).tell_latency(800 * GST_MSECOND);
  fail_unless_equals_int64(*latency, 800 * kMs);
  for (const bool knows : {true, false}) {
    Held held(knows ? latency : std::make_shared<std::atomic<gint64>>(0));
    held.push(5);
    g_usleep(500 * kMs); // as sinks do
    held.let_go();
    fail_unless_equals_int(held.out_of(5) == 5, knows);
  }
}
GST_END_TEST

static Suite *playout_suite() {
  Suite *suite = suite_create("playout");
  TCase *tests = tcase_create("latency");
  tcase_add_test(tests, test_playout_knows_what_sinks_wait_for);
  suite_add_tcase(suite, tests);
  return suite;
}

GST_CHECK_MAIN(playout)
