// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backlog.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

constexpr gint64 kMs = 1000;

BacklogLimits limits(bool keyframes = true) {
  BacklogLimits result;
  result.drop_us = 80 * kMs;
  result.skip_us = 150 * kMs;
  result.ask_us = 300 * kMs;
  result.bound_us = 3000 * kMs;
  result.keyframes = keyframes;
  return result;
}

// Pictures by letter: K a keyframe, P one that others refer to, B one that none does; E
// the end, G a gap and C caps as events. They arrive 10 ms apart, the first at 0.
class Line {
public:
  explicit Line(const BacklogLimits &wanted = limits()) : backlog(wanted) {}
  void push(const std::string &kinds) {
    for (char kind : kinds) {
      Backlog::Item item;
      item.keyframe = kind == 'K';
      item.disposable = kind == 'B';
      item.arrived_us = 10 * kMs * count;
      if (kind == 'E') {
        item.event.reset(gst_event_new_eos());
      } else if (kind == 'G') {
        item.event.reset(gst_event_new_gap(0, 1));
      } else if (kind == 'C') {
        const CapsPtr caps(gst_caps_new_empty_simple("video/x-raw"));
        item.event.reset(gst_event_new_caps(caps.get()));
      } else {
        item.buffer.reset(gst_buffer_new_allocate(nullptr, size, nullptr));
        GST_BUFFER_OFFSET(item.buffer.get()) = count;
      }
      backlog.push(std::move(item));
      count++;
    }
  }
  // What is taken at `ms` until nothing is left: numbers, "E" for an event, "+" in front
  // of a DISCONT.
  std::string take(gint64 ms) {
    std::string taken;
    while (auto item = backlog.pop(ms * kMs)) {
      taken += taken.empty() ? "" : " ";
      if (item->event) {
        taken += GST_EVENT_TYPE(item->event.get()) == GST_EVENT_EOS   ? "E"
                 : GST_EVENT_TYPE(item->event.get()) == GST_EVENT_GAP ? "G"
                                                                      : "C";
        continue;
      }
      if (GST_BUFFER_FLAG_IS_SET(item->buffer.get(), GST_BUFFER_FLAG_DISCONT))
        taken += "+";
      taken += std::to_string(GST_BUFFER_OFFSET(item->buffer.get()));
    }
    return taken;
  }

  Backlog backlog;
  size_t size = 100;
  unsigned count = 0;
};

void assert_taken(Line &line, gint64 ms, const char *expected) {
  const std::string taken = line.take(ms);
  fail_unless_equals_string(taken.c_str(), expected);
}

// Of `line`, and no others.
void assert_drops(const Line &line, guint64 disposable, guint64 before_keyframe,
                  guint64 given_up) {
  const auto &drops = line.backlog.drops();
  fail_unless_equals_uint64(drops.disposable, disposable);
  fail_unless_equals_uint64(drops.before_keyframe, before_keyframe);
  fail_unless_equals_uint64(drops.given_up, given_up);
}

void assert_taken(const std::string &kinds, gint64 ms, const char *expected) {
  Line line;
  line.push(kinds);
  assert_taken(line, ms, expected);
}

} // namespace

GST_START_TEST(test_backlog_in_time_goes_through) {
  assert_taken("KPBPKPB", 70, "0 1 2 3 4 5 6");
  assert_taken("", 70, "");
}
GST_END_TEST

GST_START_TEST(test_backlog_drops_what_nobody_refers_to) {
  assert_taken("KBPBBPP", 105, "0 +2 3 4 5 6"); // 3 not by 5 ms
  assert_taken("KBPPPPP", 90, "0 1 2 3 4 5 6");
}
GST_END_TEST

GST_START_TEST(test_backlog_skips_to_the_newest_keyframe) {
  assert_taken("PPKPEPKPP", 200, "E +6 7 8");
  assert_taken("KPPPPPP", 200, "0 1 2 3 4 5 6"); // none waits
}
GST_END_TEST

GST_START_TEST(test_backlog_tells_why_it_drops) {
  Line line;
  line.push("KBPBBPP");
  line.take(105);
  assert_drops(line, 1, 0, 0);
  line.push("PPKPP");
  line.take(300);
  assert_drops(line, 1, 2, 0);
  line.backlog.clear();
  line.push("PPK"); // the two have nothing to refer to
  line.take(320);
  assert_drops(line, 1, 2, 2);
}
GST_END_TEST

GST_START_TEST(test_backlog_latency_is_no_lateness) {
  Line line;
  line.backlog.set_latency(200 * kMs);
  line.push("PPKBP");
  assert_taken(line, 270, "0 1 2 3 4");
  line.push("PPKPP");
  assert_taken(line, 420, "+7 8 9");
}
GST_END_TEST

// None comes after 190 ms: from 340 ms on those that wait are spread, until their
// latency.
GST_START_TEST(test_backlog_spreads_what_waits_over_a_silence) {
  Line line;
  line.backlog.set_delay(200 * kMs);
  line.backlog.set_latency(300 * kMs);
  line.push("KPPPPPPPPPPPPPPPPPPP");
  std::string when;
  for (gint64 ms = 0; ms < 600; ms++)
    if (!line.take(ms).empty())
      when += std::to_string(ms) + " ";
  fail_unless_equals_string(when.c_str(),
                            "200 210 220 230 240 250 260 270 280 290 300 310 320 330 "
                            "360 390 420 450 480 490 ");
}
GST_END_TEST

// What comes meanwhile ends it: what should have gone on already does so at once.
GST_START_TEST(test_backlog_spreads_no_longer_than_the_silence) {
  Line line;
  line.backlog.set_delay(200 * kMs);
  line.backlog.set_latency(300 * kMs);
  line.push("KPPPPPPPPPPPPPPPPPPP");
  assert_taken(line, 330, "0 1 2 3 4 5 6 7 8 9 10 11 12 13");
  assert_taken(line, 355, "");
  line.push("PPPP");
  assert_taken(line, 355, "14 15");
}
GST_END_TEST

GST_START_TEST(test_backlog_asks_once_a_second) {
  Line line;
  line.push("KPP");
  assert_taken(line, 200, "0 1 2");
  fail_if(line.backlog.asks(200 * kMs));
  line.push("PPP");
  line.take(400);
  fail_unless(line.backlog.asks(400 * kMs));
  fail_if(line.backlog.asks(400 * kMs));
  line.push("PPP");
  line.take(500);
  fail_if(line.backlog.asks(1399 * kMs));
  fail_unless(line.backlog.asks(1400 * kMs));
  fail_if(line.backlog.asks(9999 * kMs));
}
GST_END_TEST

GST_START_TEST(test_backlog_gives_up_beyond_the_bound) {
  Line line;
  line.push("KPPEP");
  assert_taken(line, 3020, "E"); // 0 and all that refers to it
  fail_unless(line.backlog.asks(3020 * kMs));
  line.count = 303; // of now
  line.push("PPKP");
  assert_taken(line, 3070, "+305 306");
  assert_drops(line, 0, 0, 6);
  fail_unless_equals_int(line.backlog.skips(), 1);
}
GST_END_TEST

// Packets or sound: what is late goes, and the rest is of use.
GST_START_TEST(test_backlog_without_keyframes) {
  BacklogLimits packets;
  packets.bound_us = 300 * kMs;
  Line line(packets);
  line.backlog.set_latency(50 * kMs);
  line.push("PPPP"); // at 0 to 30 ms
  line.count = 33;
  line.push("PP"); // at 330 and 340 ms
  assert_taken(line, 360, "+33 34");
  fail_unless(line.backlog.asks(360 * kMs));
}
GST_END_TEST

// Room for ten. What is too much makes way for the newest keyframe and what refers to it,
// or, when that is too much itself, for what comes next.
GST_START_TEST(test_backlog_memory_is_bounded) {
  for (bool keyframes : {true, false}) {
    BacklogLimits small = limits(keyframes);
    small.bytes = 10 * (100 + Backlog::kOverhead);
    Line line(small);
    line.push("KPPPPPPPPP");
    assert_taken(line, 0, "0 1 2 3 4 5 6 7 8 9");
    line.push("PPPPPPPPKPPP");
    assert_taken(line, 100, keyframes ? "+18 19 20 21" : "+20 21");
    line.push("PPPPPPPPPPP");
    assert_taken(line, 100, keyframes ? "" : "+32");
    line.push("PKP");
    assert_taken(line, 100, keyframes ? "+34 35" : "33 34 35");
    line.size = 10000;
    line.push("EK");
    assert_taken(line, 100, "E");
  }
}
GST_END_TEST

// given who takes nothing for an hour, held up by what is downstream, then no more is
// kept than what is of use afterwards: the last seconds, from a keyframe on.
GST_START_TEST(test_backlog_who_is_held_up_does_not_fill_memory) {
  Line line;
  line.push("CK");
  line.take(20);
  for (int second = 0; second < 3600; second++) {
    line.push(second % 2 ? "CGPPGPPGPP" : "CKPPGPPGPP");
    line.push(std::string(90, second == 3599 ? 'P' : 'G'));
  }
  fail_unless(line.backlog.drops().all() > 23000, "%u",
              static_cast<unsigned>(line.backlog.drops().all()));
  const std::string taken = line.take(10 * line.count);
  fail_unless(taken.size() < 2000, "%s", taken.c_str());
}
GST_END_TEST

// 50 ms a picture of 30 a second, for five minutes, with a round trip of 40 ms.
GST_START_TEST(test_backlog_slow_decoder_stays_live) {
  Backlog backlog(limits());
  std::vector<gint64> ages; // ms
  const gint64 frame = 33333, work = 50 * kMs;
  gint64 now = 0, sent = 0, keyframe_at = 0;
  gint64 early = 0, late = 0; // longest of the first ten seconds, and of the last minute
  while (now < 300000 * kMs) {
    for (; sent <= now; sent += frame) {
      Backlog::Item item;
      item.buffer.reset(gst_buffer_new_allocate(nullptr, 100, nullptr));
      item.arrived_us = sent;
      item.keyframe = sent == 0 || (keyframe_at && sent >= keyframe_at);
      if (item.keyframe)
        keyframe_at = 0;
      backlog.push(std::move(item));
    }
    const auto item = backlog.pop(now);
    if (backlog.asks(now))
      keyframe_at = now + 40 * kMs;
    now += item ? work : kMs;
    if (item) {
      ages.push_back((now - item->arrived_us) / kMs);
      if (now < 10000 * kMs)
        early = std::max(early, ages.back());
      if (now > 240000 * kMs)
        late = std::max(late, ages.back());
    }
  }
  const double rate = static_cast<double>(ages.size()) / 300;
  std::sort(ages.begin(), ages.end());
  const int p50 = static_cast<int>(ages[ages.size() / 2]);
  const int p95 = static_cast<int>(ages[ages.size() * 95 / 100]);
  g_print("%.1f pictures/s, %d ms old, p95 %d, at most %d\n", rate, p50, p95,
          static_cast<int>(ages.back()));
  fail_unless(p50 < 250 && p95 < 400, "%d, %d ms", p50, p95);
  fail_unless(late <= early + 20, "%d after %d ms", static_cast<int>(late),
              static_cast<int>(early));
  fail_unless(rate > 18, "%f", rate);
}
GST_END_TEST

GST_START_TEST(test_backlog_clear_keeps_events) {
  Line line;
  line.push("KPEP");
  line.backlog.clear();
  line.push("PK");
  assert_taken(line, 60, "E +5");
}
GST_END_TEST

// given a delay, when a picture came late, then it waits for what is left of that, and is
// not behind by what the network took.
GST_START_TEST(test_backlog_late_ones_wait_less) {
  Line line;
  line.push("K");
  Backlog::Item late;
  late.buffer.reset(gst_buffer_new_allocate(nullptr, 100, nullptr));
  GST_BUFFER_OFFSET(late.buffer.get()) = 1;
  late.arrived_us = 90 * kMs;
  late.ideal_us = 10 * kMs;
  line.backlog.push(std::move(late));
  line.backlog.set_delay(50 * kMs);
  assert_taken(line, 49, "");
  fail_unless_equals_int(*line.backlog.due(), 50 * kMs);
  assert_taken(line, 50, "0");
  fail_unless_equals_int(*line.backlog.due(), 60 * kMs);
  assert_taken(line, 90, "1");
  fail_if(line.backlog.due().has_value());
  fail_unless_equals_uint64(line.backlog.drops().all(), 0);
}
GST_END_TEST

static Suite *backlog_suite() {
  Suite *suite = suite_create("backlog");
  TCase *tc = tcase_create("backlog");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_backlog_in_time_goes_through);
  tcase_add_test(tc, test_backlog_late_ones_wait_less);
  tcase_add_test(tc, test_backlog_drops_what_nobody_refers_to);
  tcase_add_test(tc, test_backlog_skips_to_the_newest_keyframe);
  tcase_add_test(tc, test_backlog_tells_why_it_drops);
  tcase_add_test(tc, test_backlog_latency_is_no_lateness);
  tcase_add_test(tc, test_backlog_spreads_what_waits_over_a_silence);
  tcase_add_test(tc, test_backlog_spreads_no_longer_than_the_silence);
  tcase_add_test(tc, test_backlog_asks_once_a_second);
  tcase_add_test(tc, test_backlog_gives_up_beyond_the_bound);
  tcase_add_test(tc, test_backlog_without_keyframes);
  tcase_add_test(tc, test_backlog_memory_is_bounded);
  tcase_add_test(tc, test_backlog_who_is_held_up_does_not_fill_memory);
  tcase_add_test(tc, test_backlog_slow_decoder_stays_live);
  tcase_add_test(tc, test_backlog_clear_keeps_events);
  return suite;
}

GST_CHECK_MAIN(backlog);
