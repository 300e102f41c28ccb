// SPDX-License-Identifier: LGPL-2.1-or-later
// What is asked of publishers that lie, repeat themselves or do not answer: the real
// rtpjitterbuffer, by itself.
#include "repair.h"

#include <functional>

#include <gst/check/gstharness.h>
#include <gst/rtp/gstrtpbuffer.h>

#include "rtp-pad.h"
#include "session.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

constexpr unsigned kPayloadType = 96;

struct Asked {
  unsigned packets = 0, keyframes = 0;
};

class Bench {
public:
  explicit Bench(const char *media = "video")
      : harness_(gst_harness_new("rtpjitterbuffer")) {
    connection_debug_init();
    gst_harness_use_systemclock(harness_);
    Repair::install(harness_->element, 0, std::make_shared<RepairHints>());
    const bool video = g_str_equal(media, "video");
    gst_harness_set_src_caps_str(harness_,
                                 video ? "application/x-rtp,media=video,clock-rate=90000,"
                                         "encoding-name=VP8,payload=96"
                                       : "application/x-rtp,media=audio,clock-rate=48000,"
                                         "encoding-name=OPUS,payload=96");
    if (!video)
      answer_for("audio", 48000);
    g_object_set(harness_->element, "do-retransmission", gboolean(video), "do-lost", TRUE,
                 "rtx-next-seqnum", FALSE, "faststart-min-packets", 2,
                 nullptr); // as sessions do
  }
  ~Bench() {
    gst_harness_teardown(harness_);
    gst_clear_caps(&format_);
  }
  Bench(const Bench &) = delete;
  Bench &operator=(const Bench &) = delete;

  void push(uint16_t number, uint32_t timestamp, bool retransmitted = false) {
    GstBuffer *packet = gst_rtp_buffer_new_allocate(100, 0, 0);
    GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
    gst_rtp_buffer_map(packet, GST_MAP_WRITE, &rtp);
    gst_rtp_buffer_set_seq(&rtp, number);
    gst_rtp_buffer_set_timestamp(&rtp, timestamp);
    gst_rtp_buffer_set_payload_type(&rtp, kPayloadType);
    gst_rtp_buffer_set_ssrc(&rtp, 1);
    gst_rtp_buffer_unmap(&rtp);
    if (retransmitted)
      GST_BUFFER_FLAG_SET(packet, GST_RTP_BUFFER_FLAG_RETRANSMISSION);
    GstClock *clock = gst_element_get_clock(harness_->element);
    GST_BUFFER_DTS(packet) =
        gst_clock_get_time(clock) - gst_element_get_base_time(harness_->element);
    gst_object_unref(clock);
    fail_unless_equals_int(gst_harness_push(harness_, packet), GST_FLOW_OK);
    while (GstBuffer *out = gst_harness_try_pull(harness_)) {
      came_++;
      gst_buffer_unref(out);
    }
  }
  // Two milliseconds apart, as a publisher sends them: a picture each 16 packets.
  void send(unsigned many, const std::function<void(Bench &, uint16_t, uint32_t)> &how) {
    while (many--) {
      how(*this, next_, next_ / 16 * 2880u);
      next_++;
      g_usleep(2000); // the publisher's pace
    }
  }
  // Sound, a packet each 20 ms.
  void speak(unsigned many) {
    for (; many--; pass(1)) {
      push(next_, spoken_);
      next_++;
      g_usleep(20000); // the publisher's pace
    }
  }
  // So many times of a packet without one.
  void pass(unsigned many) { spoken_ += many * 960; }
  // The next is lost.
  void lose_spoken() {
    next_++;
    pass(1);
  }
  // So many in a row, which take so long.
  void lose(unsigned many, gulong us) {
    next_ += many;
    g_usleep(us); // the publisher's time
  }
  // Since this was asked last.
  Asked asked() {
    Asked result;
    while (GstEvent *event = gst_harness_try_pull_upstream_event(harness_)) {
      const GstStructure *s = gst_event_get_structure(event);
      result.packets += s && gst_structure_has_name(s, "GstRTPRetransmissionRequest");
      if (s && gst_structure_has_name(s, "GstForceKeyUnit")) {
        guint payload_type = 0;
        gst_structure_get_uint(s, "payload", &payload_type);
        result.keyframes += payload_type == kPayloadType;
      }
      gst_event_unref(event);
    }
    return result;
  }
  bool wish_keyframe() {
    gst_harness_push_upstream_event(
        harness_,
        gst_event_new_custom(GST_EVENT_CUSTOM_UPSTREAM,
                             gst_structure_new("GstForceKeyUnit", "payload", G_TYPE_UINT,
                                               kPayloadType, nullptr)));
    return asked().keyframes > 0;
  }
  guint64 stat(const char *name) const {
    StructurePtr stats(gst_structure_new_empty("stats"));
    Repair::add_stats(harness_->element, stats.get());
    guint64 value = 0;
    fail_unless(gst_structure_get_uint64(stats.get(), name, &value), "%s", name);
    return value;
  }
  // Whether it does, when nobody told it to and packets of `media` came.
  bool asks_for(const char *media) {
    g_object_set(harness_->element, "do-retransmission", FALSE, nullptr);
    answer_for(media, 90000);
    push(next_++, 0);
    gboolean asks = FALSE;
    g_object_get(harness_->element, "do-retransmission", &asks, nullptr);
    return asks;
  }
  unsigned wait_ms() const {
    guint ms = 0;
    g_object_get(harness_->element, "latency", &ms, nullptr);
    return ms;
  }
  void want_all_packets(bool wanted) {
    const auto src =
        ObjPtr<GstPad>::adopt(gst_element_get_static_pad(harness_->element, "src"));
    vdn::want_all_packets(src.get(), wanted);
  }
  unsigned came() const { return came_; }
  // Until so many have come.
  void await(unsigned many) {
    for (; came_ < many; came_++) {
      GstBuffer *out = gst_harness_pull(harness_);
      fail_unless(out != nullptr, "%u came", came_);
      gst_buffer_unref(out);
    }
  }

private:
  // For the format that its packets have.
  void answer_for(const char *media, gint clock_rate) {
    gst_caps_replace(
        &format_,
        CapsPtr(gst_caps_new_simple("application/x-rtp", "media", G_TYPE_STRING, media,
                                    "clock-rate", G_TYPE_INT, clock_rate, nullptr))
            .get());
    g_signal_connect(harness_->element, "request-pt-map",
                     G_CALLBACK(+[](GstElement *, guint, GstCaps *format) {
                       return gst_caps_ref(format);
                     }),
                     format_);
  }

  GstHarness *const harness_;
  GstCaps *format_ = nullptr;
  unsigned came_ = 0;
  uint16_t next_ = 0;
  uint32_t spoken_ = 0; // RTP timestamp
};

} // namespace

// given a publisher that answers no request, on a line that loses every third packet,
// then it is not flooded with them, and asked for a keyframe now and then.
GST_START_TEST(test_repair_who_does_not_answer_is_not_flooded) {
  Bench bench;
  auto lose = [](Bench &to, uint16_t number, uint32_t timestamp) {
    if (number % 3)
      to.push(number, timestamp);
  };
  bench.send(1500, lose);
  const Asked first = bench.asked();
  fail_unless(first.keyframes >= 1 && first.keyframes <= 5, "%u", first.keyframes);
  bench.send(1000, lose); // of which 667 come
  const Asked later = bench.asked();
  fail_unless(later.packets <= 667 / 4 + 16, "%u requests", later.packets);
  fail_unless(later.packets > 100, "%u requests", later.packets); // it may have changed
  fail_unless(later.keyframes <= 3, "%u", later.keyframes);
  fail_unless(bench.came() > 500);
  fail_unless(bench.stat("given-up") > 0);
}
GST_END_TEST

// A slide show: the jitterbuffer would ask again no sooner than the next picture is due,
// and give up when that is later than it waits.
GST_START_TEST(test_repair_slow_pictures_are_asked_for_again_as_soon) {
  Bench bench;
  auto slide = [](Bench &to, uint16_t number, uint32_t) {
    if (number % 4 != 2 || number < 12)
      to.push(number, number / 4 * 90000u); // four packets each second
    g_usleep(number % 4 == 3 ? 900000 : 30000);
  };
  bench.send(16, slide);
  const Asked asked = bench.asked();
  fail_unless(asked.packets >= 3, "%u requests", asked.packets);
}
GST_END_TEST

// A wish that came too early is not lost.
GST_START_TEST(test_repair_keyframe_that_is_owed_is_asked_for) {
  Bench bench;
  bench.send(2, [](Bench &to, uint16_t number, uint32_t timestamp) {
    to.push(number, timestamp);
  });
  fail_unless(bench.wish_keyframe());
  fail_if(bench.wish_keyframe());
  bench.send(400, [](Bench &to, uint16_t number, uint32_t timestamp) {
    to.push(number, timestamp);
  });
  fail_unless_equals_int(bench.asked().keyframes, 1);
}
GST_END_TEST

// Who looks waits as long as repairs may take, who records as long as there is hope.
GST_START_TEST(test_repair_who_records_waits_longer) {
  Bench bench;
  auto lose_and_repair = [](Bench &to, uint16_t number, uint32_t timestamp) {
    if (number % 32 != 30)
      to.push(number, timestamp);
    const auto lost = static_cast<uint16_t>(number - 14);
    if (number > 32 && number % 32 == 12)
      to.push(lost, lost / 16 * 2880u, true); // after 28 ms
  };
  bench.want_all_packets(true);
  bench.send(128, lose_and_repair);
  fail_unless(bench.stat("repaired") > 0);
  fail_unless_equals_int(bench.wait_ms(), 1000);
  bench.want_all_packets(false);
  bench.send(128, lose_and_repair);
  fail_unless(bench.wait_ms() < 1000, "%u", bench.wait_ms());
  bench.want_all_packets(true);
  bench.send(128, lose_and_repair);
  fail_unless_equals_int(bench.wait_ms(), 1000);
  fail_unless_equals_int(bench.asked().keyframes, 0);
}
GST_END_TEST

// The line was away for longer than packets are kept: what comes goes on at once, and a
// keyframe is asked for instead of all that was lost.
GST_START_TEST(test_repair_goes_on_after_a_silence) {
  Bench bench;
  auto send = [](Bench &to, uint16_t number, uint32_t timestamp) {
    to.push(number, timestamp);
  };
  bench.send(200, send);
  bench.asked();
  bench.lose(500, 1100000);
  bench.send(1, send);
  const unsigned before = bench.came();
  Asked asked = bench.asked();
  fail_unless_equals_int(asked.keyframes, 1);
  bench.send(200, send); // 400 ms, where 1000 would be waited
  fail_unless(bench.came() >= before + 150, "%u came", bench.came() - before);
  asked = bench.asked();
  fail_unless_equals_int(asked.packets, 0);
  fail_unless(bench.wait_ms() >= 300, "%u", bench.wait_ms()); // as it was
}
GST_END_TEST

// Who was mute goes on, and soon a packet is lost.
GST_START_TEST(test_repair_of_sound_forgets_a_silence) {
  Bench bench("audio");
  bench.speak(20);
  g_usleep(1000000); // the publisher's silence
  bench.pass(50);
  bench.speak(3);
  bench.lose_spoken();
  const unsigned before = bench.came();
  bench.speak(10); // 200 ms, where 300 would be waited for the one that is missing
  fail_unless(bench.came() >= before + 5, "%u came", bench.came() - before);
}
GST_END_TEST

// Each packet ten times, each retransmission, too, and what nobody asked for.
GST_START_TEST(test_repair_who_repeats_himself_is_heard_once) {
  Bench bench;
  bench.send(300, [](Bench &to, uint16_t number, uint32_t timestamp) {
    for (int time = 0; time < 10; time++)
      to.push(number, timestamp, time > 0);
  });
  const Asked asked = bench.asked();
  fail_unless_equals_int(asked.packets, 0);
  fail_unless_equals_int(asked.keyframes, 0);
  fail_unless_equals_uint64(bench.stat("rtx-duplicates"), 2700);
  bench.await(300);
  fail_unless_equals_int(bench.came(), 300);
}
GST_END_TEST

// Numbers and times that jump back and forth: what is asked for stays bounded, and what
// comes afterwards arrives.
GST_START_TEST(test_repair_jumps_are_survived) {
  Bench bench;
  guint32 seed = 7;
  auto random = [&seed] { return seed = seed * 1664525u + 1013904223u; };
  bench.send(200, [](Bench &to, uint16_t number, uint32_t timestamp) {
    to.push(number, timestamp);
  });
  bench.send(300, [&](Bench &to, uint16_t, uint32_t) {
    to.push(static_cast<uint16_t>(random() >> 16), random());
  });
  bench.asked();
  const unsigned before = bench.came();
  bench.send(1500, [](Bench &to, uint16_t number, uint32_t timestamp) {
    to.push(number, timestamp);
  });
  fail_unless(bench.came() > before + 300, "%u came", bench.came() - before);
  fail_unless(bench.asked().packets <= 2000);
}
GST_END_TEST

// Whoever wants a keyframe, and however often: one each half second, and rarer when that
// goes on.
GST_START_TEST(test_repair_keyframes_are_asked_for_sparingly) {
  Bench bench;
  unsigned let_through = 0;
  bench.send(1000, [&](Bench &to, uint16_t number, uint32_t timestamp) {
    to.push(number, timestamp);
    let_through += to.wish_keyframe();
  });
  fail_unless(let_through >= 2 && let_through <= 4, "%u", let_through);
}
GST_END_TEST

// webrtcbin tells the jitterbuffer, or misses it.
GST_START_TEST(test_repair_what_is_seen_is_asked_for) {
  for (bool video : {true, false}) {
    Bench bench;
    const bool asks = bench.asks_for(video ? "video" : "audio");
    fail_unless_equals_int(asks, video);
  }
}
GST_END_TEST

static Suite *repair_suite() {
  Suite *suite = suite_create("repair");
  TCase *tc = tcase_create("repair");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_repair_who_does_not_answer_is_not_flooded);
  tcase_add_test(tc, test_repair_slow_pictures_are_asked_for_again_as_soon);
  tcase_add_test(tc, test_repair_keyframe_that_is_owed_is_asked_for);
  tcase_add_test(tc, test_repair_who_records_waits_longer);
  tcase_add_test(tc, test_repair_goes_on_after_a_silence);
  tcase_add_test(tc, test_repair_of_sound_forgets_a_silence);
  tcase_add_test(tc, test_repair_who_repeats_himself_is_heard_once);
  tcase_add_test(tc, test_repair_jumps_are_survived);
  tcase_add_test(tc, test_repair_keyframes_are_asked_for_sparingly);
  tcase_add_test(tc, test_repair_what_is_seen_is_asked_for);
  return suite;
}

GST_CHECK_MAIN(repair);
