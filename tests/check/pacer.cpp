// SPDX-License-Identifier: LGPL-2.1-or-later
// The thread around the queue: what passes, when, and that nothing holds it up.
#include "pacer.h"

#include <algorithm>
#include <chrono>

#include <gst/check/gstharness.h>

#include "rtp-support.h"
#include "time-factor.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

constexpr gint64 kMs = 1000, kSecond = 1000 * kMs;
constexpr unsigned kSound = 111, kVideo = 110, kRtx = 96;
constexpr unsigned kPayload = 1238; // 1250 bytes with the header
constexpr const char *kCaps = "application/x-rtp,clock-rate=90000";

PacerConfig config(unsigned kbit_s) {
  PacerConfig result;
  result.kbit_s = kbit_s;
  result.payloads.sound.set(kSound);
  return result;
}

ObjPtr<GstElement> new_pacer(PacerConfig wanted) {
  return ObjPtr<GstElement>::adopt(pacer_new(std::move(wanted)));
}

// As in webrtcbin.
ObjPtr<GstElement> behind_rtprtxsend(GstElement *pacer) {
  auto bin = ObjPtr<GstElement>::adopt(gst_bin_new(nullptr));
  GstElement *rtx = gst_element_factory_make("rtprtxsend", nullptr);
  fail_unless(rtx != nullptr);
  const StructurePtr map(
      gst_structure_new("application/x-rtp-pt-map", "110", G_TYPE_UINT, kRtx, nullptr));
  g_object_set(rtx, "payload-type-map", map.get(), nullptr);
  gst_bin_add_many(GST_BIN(bin.get()), rtx, pacer, nullptr);
  fail_unless(gst_element_link(rtx, pacer));
  const auto add_ghost = [&](GstElement *element, const char *name) {
    const auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(element, name));
    gst_element_add_pad(bin.get(), gst_ghost_pad_new(name, pad.get()));
  };
  add_ghost(rtx, "sink");
  add_ghost(pacer, "src");
  return bin;
}

class Bench {
public:
  // Of `element`: the pacer, or what it is in. `linked`: something is behind it.
  explicit Bench(GstElement *element, bool linked = true)
      : harness_(
            gst_harness_new_with_element(element, "sink", linked ? "src" : nullptr)) {
    gst_harness_set_src_caps_str(harness_, kCaps);
  }
  ~Bench() { gst_harness_teardown(harness_); }
  Bench(const Bench &) = delete;
  Bench &operator=(const Bench &) = delete;

  GstHarness *harness() const { return harness_; }
  GstFlowReturn push(unsigned payload_type, bool delta = true) {
    RtpFields fields;
    fields.payload_type = payload_type;
    fields.number = next_++;
    fields.delta = delta;
    fields.payload.resize(kPayload);
    return gst_harness_push(harness_, new_rtp(fields).release());
  }
  void push_many(unsigned payload_type, unsigned count) {
    for (; count > 0; count--)
      fail_unless_equals_int(push(payload_type), GST_FLOW_OK);
  }
  // Waits for the next; its number.
  unsigned pull(unsigned *payload_type = nullptr) const {
    BufferPtr buffer(gst_harness_pull(harness_));
    fail_unless(buffer != nullptr, "nothing came");
    GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
    fail_unless(gst_rtp_buffer_map(buffer.get(), GST_MAP_READ, &rtp));
    const unsigned number = gst_rtp_buffer_get_seq(&rtp);
    if (payload_type)
      *payload_type = gst_rtp_buffer_get_payload_type(&rtp);
    gst_rtp_buffer_unmap(&rtp);
    return number;
  }
  // How many such events have come upstream.
  unsigned upstream(const char *name) const {
    unsigned count = 0;
    while (GstEvent *given = gst_harness_try_pull_upstream_event(harness_)) {
      const EventPtr event(given);
      const GstStructure *structure = gst_event_get_structure(event.get());
      count += structure && gst_structure_has_name(structure, name);
    }
    return count;
  }
  void tell_upstream(StructurePtr structure) const {
    gst_harness_push_upstream_event(
        harness_, gst_event_new_custom(GST_EVENT_CUSTOM_UPSTREAM, structure.release()));
  }
  void ask_for(unsigned number) const {
    tell_upstream(StructurePtr(gst_structure_new("GstRTPRetransmissionRequest", "seqnum",
                                                 G_TYPE_UINT, number, "ssrc", G_TYPE_UINT,
                                                 1, nullptr)));
  }

private:
  GstHarness *const harness_;
  uint16_t next_ = 0;
};

// Nothing leaves while it exists.
class Block {
public:
  explicit Block(GstElement *pacer)
      : pad_(ObjPtr<GstPad>::adopt(gst_element_get_static_pad(pacer, "src"))),
        id_(gst_pad_add_probe(
            pad_.get(),
            static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BLOCK |
                                         GST_PAD_PROBE_TYPE_BUFFER_LIST),
            [](GstPad *, GstPadProbeInfo *, gpointer) { return GST_PAD_PROBE_OK; },
            nullptr, nullptr)) {}
  ~Block() { gst_pad_remove_probe(pad_.get(), id_); }
  Block(const Block &) = delete;
  Block &operator=(const Block &) = delete;

  // The pacer's thread stands there.
  void await() const {
    const gint64 end_us = g_get_monotonic_time() + 10 * kSecond * time_factor();
    while (!gst_pad_is_blocking(pad_.get())) {
      fail_unless(g_get_monotonic_time() < end_us, "nothing left");
      g_thread_yield();
    }
  }

private:
  const ObjPtr<GstPad> pad_;
  const gulong id_;
};

// How many packets each list has that comes out.
class Lists {
public:
  explicit Lists(GstHarness *harness) {
    gst_pad_add_probe(
        harness->sinkpad, GST_PAD_PROBE_TYPE_BUFFER_LIST,
        [](GstPad *, GstPadProbeInfo *info, gpointer data) {
          static_cast<Lists *>(data)->lengths.push_back(
              gst_buffer_list_length(GST_PAD_PROBE_INFO_BUFFER_LIST(info)));
          return GST_PAD_PROBE_OK;
        },
        this, nullptr);
  }
  std::vector<guint> lengths; // of those that were pulled
};

// How long it took, in ms.
template <typename Job> gint64 duration_ms(Job job) {
  const gint64 start_us = g_get_monotonic_time();
  job();
  return (g_get_monotonic_time() - start_us) / kMs;
}

StructurePtr new_feedback(unsigned payload_type) {
  G_GNUC_BEGIN_IGNORE_DEPRECATIONS
  StructurePtr result(gst_structure_new_empty("RTPTWCCPackets"));
  GValueArray *array = g_value_array_new(1);
  GValue packet = G_VALUE_INIT, list = G_VALUE_INIT;
  g_value_init(&packet, GST_TYPE_STRUCTURE);
  g_value_take_boxed(
      &packet, gst_structure_new("RTPTWCCPacket", "seqnum", G_TYPE_UINT, 5, "local-ts",
                                 G_TYPE_UINT64, guint64{7 * GST_SECOND}, "remote-ts",
                                 G_TYPE_UINT64, guint64{8 * GST_SECOND}, "payload-type",
                                 G_TYPE_UCHAR, payload_type, "size", G_TYPE_UINT, 1000,
                                 "lost", G_TYPE_BOOLEAN, FALSE, nullptr));
  g_value_array_append(array, &packet);
  g_value_unset(&packet);
  g_value_init(&list, g_value_array_get_type());
  g_value_take_boxed(&list, array);
  gst_structure_take_value(result.get(), "packets", &list);
  return result;
  G_GNUC_END_IGNORE_DEPRECATIONS
}

} // namespace

GST_START_TEST(test_pacer_is_as_webrtcbin_wants_it) {
  GstElement *pacer = pacer_new(config(1000));
  fail_unless(g_object_is_floating(pacer));
  gst_object_ref_sink(pacer);
  for (const char *name : {"sink", "src"}) {
    const auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(pacer, name));
    fail_unless(pad.get() != nullptr);
  }
  fail_unless(gst_element_factory_find("pacer") == nullptr);
  ASSERT_OBJECT_REFCOUNT(pacer, "pacer", 1);
  gst_object_unref(pacer);
}
GST_END_TEST

GST_START_TEST(test_pacer_passes_all_in_order) {
  const auto pacer = new_pacer(config(5000)); // they wait for their turn
  Bench bench(pacer.get());
  bench.push_many(kVideo, 100);
  fail_unless(gst_harness_push_event(bench.harness(), gst_event_new_eos()));
  for (unsigned i = 0; i < 100; i++)
    fail_unless_equals_int(bench.pull(), i);
  std::string events;
  while (events.find("eos") == std::string::npos) {
    const EventPtr event(gst_harness_pull_event(bench.harness()));
    fail_unless(event != nullptr, "only %s", events.c_str());
    events += std::string(GST_EVENT_TYPE_NAME(event.get())) + " ";
  }
  fail_unless_equals_string(events.c_str(), "stream-start caps segment eos ");
  fail_unless_equals_uint64(pacer_state(pacer.get()).counts.packets, 100);
}
GST_END_TEST

// What may leave at once goes on at once, but for sound and video.
GST_START_TEST(test_pacer_pushes_lists_of_one_stream) {
  const auto pacer = new_pacer(config(1000000));
  Bench bench(pacer.get());
  Lists lists(bench.harness());
  {
    Block block(pacer.get());
    bench.push_many(kVideo, 1);
    block.await();
    bench.push_many(kVideo, 8);
    bench.push_many(kSound, 2);
  }
  for (unsigned number : {0u, 9u, 10u, 1u, 2u, 3u, 4u, 5u, 6u, 7u, 8u})
    fail_unless_equals_int(bench.pull(), number);
  fail_unless(lists.lengths == std::vector<guint>({1, 2, 8}));
}
GST_END_TEST

// 20 packets are 200 kbit: 100 ms at twice 1000 kbit/s, less the burst at the start.
GST_START_TEST(test_pacer_takes_its_time) {
  const auto pacer = new_pacer(config(1000));
  Bench bench(pacer.get());
  const gint64 ms = duration_ms([&] {
    bench.push_many(kVideo, 20);
    for (unsigned i = 0; i < 20; i++)
      bench.pull();
  });
  fail_unless(ms >= 80, "%d ms", static_cast<int>(ms));
}
GST_END_TEST

// given a thread that sleeps for 80 ms, until video may leave,
// then sound wakes it: in one of ten tries, as machines are busy.
GST_START_TEST(test_pacer_wakes_up_for_sound) {
  gint64 best_ms = G_MAXINT64;
  for (unsigned i = 0; i < 10; i++) {
    const auto pacer = new_pacer(config(40));
    Bench bench(pacer.get());
    bench.push_many(kVideo, 2);
    fail_unless_equals_int(bench.pull(), 0);
    best_ms = std::min(best_ms, duration_ms([&] {
                         bench.push_many(kSound, 1);
                         bench.pull();
                       }));
    fail_unless_equals_int(bench.pull(), 1);
    fail_unless_equals_int(pacer_state(pacer.get()).bytes, 0);
  }
  fail_unless(best_ms < 30, "%d ms", static_cast<int>(best_ms));
}
GST_END_TEST

GST_START_TEST(test_pacer_tells_feedback_and_which_are_repeats) {
  std::vector<SentPacket> told;
  PacerConfig wanted = config(1000);
  wanted.feedback = [&](std::vector<SentPacket> packets) { told = std::move(packets); };
  const auto pacer = new_pacer(std::move(wanted));
  const auto bin = behind_rtprtxsend(pacer.get());
  Bench bench(bin.get());
  bench.push_many(kVideo, 3);
  for (unsigned i = 0; i < 3; i++)
    bench.pull();
  bench.tell_upstream(new_feedback(kRtx)); // none has been sent
  fail_unless_equals_int(told.size(), 1);
  fail_unless(!told[0].repeat && told[0].size == 1000 && told[0].number == 5);
  fail_unless_equals_int64(told[0].sent_us, 7 * kSecond);
  bench.ask_for(1);
  unsigned payload_type = 0;
  bench.pull(&payload_type);
  fail_unless_equals_int(payload_type, kRtx);
  bench.tell_upstream(new_feedback(kRtx));
  fail_unless(told[0].repeat);
  bench.tell_upstream(new_feedback(kVideo));
  fail_if(told[0].repeat);
  fail_unless_equals_uint64(pacer_state(pacer.get()).counts.repeats, 1);
}
GST_END_TEST

// What is asked for too often ends here; everything else that comes upstream does not.
GST_START_TEST(test_pacer_requests_over_the_allowance_end_here) {
  const auto pacer = new_pacer(config(1000));
  Bench bench(pacer.get());
  bench.upstream(""); // what was told before
  bench.ask_for(3);
  bench.ask_for(3);
  fail_unless_equals_int(bench.upstream("GstRTPRetransmissionRequest"), 1);
  fail_if(pacer_state(pacer.get()).damaged);
  for (unsigned i = 0; i < 10000; i++)
    bench.ask_for(i);
  const unsigned passed = bench.upstream("GstRTPRetransmissionRequest");
  fail_unless(passed < 1000, "%u", passed);
  fail_unless(pacer_state(pacer.get()).damaged);
  fail_unless(pacer_state(pacer.get()).counts.refused + passed >= 10000);
  bench.tell_upstream(
      StructurePtr(gst_structure_new_empty("GstRTPRetransmissionRequest")));
  bench.tell_upstream(StructurePtr(gst_structure_new_empty("GstForceKeyUnit")));
  fail_unless_equals_int(bench.upstream("GstForceKeyUnit"), 1);
}
GST_END_TEST

// given a way out that is blocked,
// then what pushes never waits, what waits is bounded, and it goes on at a keyframe.
GST_START_TEST(test_pacer_blocked_drops_to_a_keyframe) {
  const auto pacer = new_pacer(config(1000));
  Bench bench(pacer.get());
  {
    const Block block(pacer.get());
    bench.push_many(kVideo, 1);
    block.await();
    bench.push_many(kVideo, 8000); // 10 MB
    const PacerState state = pacer_state(pacer.get());
    fail_unless(state.skipping && state.damaged);
    fail_unless(state.bytes < (5 << 20), "%zu", state.bytes);
    fail_unless_equals_int(bench.push(kVideo, false), GST_FLOW_OK);
    fail_if(pacer_state(pacer.get()).skipping);
  }
  fail_unless_equals_int(bench.pull(), 0);
  fail_unless_equals_int(bench.pull(), 8001);
}
GST_END_TEST

GST_START_TEST(test_pacer_flush_returns_and_it_goes_on) {
  const auto pacer = new_pacer(config(1000));
  Bench bench(pacer.get());
  for (unsigned round = 0; round < 5; round++) {
    {
      const Block block(pacer.get());
      bench.push_many(kVideo, 30);
      block.await();
      gst_harness_push_event(bench.harness(), gst_event_new_flush_start());
    }
    fail_unless_equals_int(pacer_state(pacer.get()).bytes, 0);
    fail_unless_equals_int(bench.push(kVideo), GST_FLOW_FLUSHING);
    gst_harness_push_event(bench.harness(), gst_event_new_flush_stop(TRUE));
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_harness_push_event(bench.harness(), gst_event_new_segment(&segment));
    bench.push_many(kVideo, 2);
    fail_unless_equals_int(bench.pull(), round * 33 + 31);
    fail_unless_equals_int(bench.pull(), round * 33 + 32);
  }
}
GST_END_TEST

// While it sleeps for good, sleeps for a while, and stands in a push.
GST_START_TEST(test_pacer_null_returns_at_once) {
  for (unsigned round = 0; round < 21; round++) {
    const auto pacer = new_pacer(config(40));
    Bench bench(pacer.get());
    std::optional<Block> block;
    if (round % 3 == 2)
      block.emplace(pacer.get());
    if (round % 3 > 0)
      bench.push_many(kVideo, 50);
    if (block)
      block->await();
    const gint64 ms =
        duration_ms([&] { gst_element_set_state(pacer.get(), GST_STATE_NULL); });
    fail_unless(ms < 100 * time_factor(), "round %u: %d ms", round, static_cast<int>(ms));
    fail_unless_equals_int(bench.push(kVideo), GST_FLOW_FLUSHING);
  }
}
GST_END_TEST

GST_START_TEST(test_pacer_starts_again) {
  const auto pacer = new_pacer(config(10000));
  Bench bench(pacer.get());
  for (unsigned round = 0; round < 20; round++) {
    bench.push_many(kVideo, 2);
    bench.pull();
    gst_element_set_state(pacer.get(), GST_STATE_READY);
    gst_harness_play(bench.harness());
    gst_harness_set_src_caps_str(bench.harness(), kCaps);
    while (GstBuffer *rest = gst_harness_try_pull(bench.harness()))
      gst_buffer_unref(rest);
  }
}
GST_END_TEST

// What is behind refuses: who pushes is told.
GST_START_TEST(test_pacer_tells_that_it_leads_nowhere) {
  const auto pacer = new_pacer(config(10000));
  Bench bench(pacer.get(), false);
  const gint64 end_us = g_get_monotonic_time() + 10 * kSecond * time_factor();
  GstFlowReturn flow = GST_FLOW_OK;
  while (flow == GST_FLOW_OK && g_get_monotonic_time() < end_us)
    flow = bench.push(kVideo);
  fail_unless_equals_int(flow, GST_FLOW_NOT_LINKED);
  fail_unless_equals_int(pacer_state(pacer.get()).bytes, 0);
}
GST_END_TEST

static Suite *pacer_suite(void) {
  Suite *suite = suite_create("pacer");
  TCase *cases = tcase_create("pacer");
  suite_add_tcase(suite, cases);
  tcase_add_test(cases, test_pacer_is_as_webrtcbin_wants_it);
  tcase_add_test(cases, test_pacer_passes_all_in_order);
  tcase_add_test(cases, test_pacer_pushes_lists_of_one_stream);
  tcase_add_test(cases, test_pacer_takes_its_time);
  tcase_add_test(cases, test_pacer_wakes_up_for_sound);
  tcase_add_test(cases, test_pacer_tells_feedback_and_which_are_repeats);
  tcase_add_test(cases, test_pacer_requests_over_the_allowance_end_here);
  tcase_add_test(cases, test_pacer_blocked_drops_to_a_keyframe);
  tcase_add_test(cases, test_pacer_flush_returns_and_it_goes_on);
  tcase_add_test(cases, test_pacer_null_returns_at_once);
  tcase_add_test(cases, test_pacer_starts_again);
  tcase_add_test(cases, test_pacer_tells_that_it_leads_nowhere);
  return suite;
}

GST_CHECK_MAIN(pacer);
