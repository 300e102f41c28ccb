// SPDX-License-Identifier: LGPL-2.1-or-later
// By how much pictures are delayed, on arrivals that were recorded over bad lines:
// tests/vectors/arrivals has ms of arrival and of presentation, from a browser publishing
// 640x360 at 30 frames/s.
#include "lateness.h"

#include <algorithm>
#include <sstream>
#include <vector>

#include "vectors.h"

using vdn::LatencyChoice;
using vdn::Lateness;

namespace {

constexpr gint64 kMs = 1000;
constexpr gint64 kFrame = 33 * kMs;
constexpr gint64 kSecond = 1000 * kMs;

struct Shown {
  unsigned freezes = 0; // after the W3C's definition
  gint64 median = 0;    // of what is shown after it would have come at best, ms
  gint64 longest = 0;   // delay there ever was, ms
};

// Of what is shown from the fifth second on, as publisher and line settle first.
Shown replay(const std::string &line, bool smooth) {
  Lateness lateness;
  std::istringstream arrivals(
      vdn::read_vector_file(("arrivals/" + line + ".txt").c_str()));
  std::vector<gint64> intervals, ages;
  gint64 arrived = 0, pts = 0, last = 0;
  Shown result;
  while (arrivals >> arrived >> pts) {
    const gint64 now = arrived * kMs;
    const gint64 ideal = lateness.arrived(pts * kMs, now);
    const gint64 delay = smooth ? lateness.delay(now) : 0;
    const gint64 shown = std::max({now, ideal + delay, last});
    if (now > 5 * kSecond) {
      intervals.push_back(shown - last);
      ages.push_back((shown - ideal) / kMs);
      result.longest = std::max(result.longest, delay / kMs);
    }
    last = shown;
  }
  fail_unless(intervals.size() > 500, "%s has few arrivals", line.c_str());
  gint64 mean = 0;
  for (gint64 interval : intervals)
    mean += interval / static_cast<gint64>(intervals.size());
  for (gint64 interval : intervals)
    result.freezes += interval > std::max(3 * mean, mean + 150 * kMs);
  std::nth_element(ages.begin(), ages.begin() + ages.size() / 2, ages.end());
  result.median = ages[ages.size() / 2];
  g_print("%s: %u freezes, median %d ms, delayed by up to %d ms\n", line.c_str(),
          result.freezes, static_cast<int>(result.median),
          static_cast<int>(result.longest));
  return result;
}

struct Synced {
  unsigned pictures = 0, late = 0;
  unsigned declared = LatencyChoice::kLeastMs, changes = 0;
};

// What a sink with `sync=true` shows and drops when it follows what is declared, which is
// looked at each half second; decoding takes 5 ms. Of what comes from the fifth second
// on.
Synced replay_synced(const std::string &line) {
  constexpr gint64 kLook = 500 * kMs, kDecoding = 5 * kMs;
  constexpr gint64 kMaxLateness = 20 * kMs; // of GstVideoSink: 5 or 20
  Lateness lateness;
  LatencyChoice choice;
  std::istringstream arrivals(
      vdn::read_vector_file(("arrivals/" + line + ".txt").c_str()));
  gint64 arrived = 0, pts = 0, looked = 0, last = 0;
  Synced result;
  while (arrivals >> arrived >> pts) {
    const gint64 now = arrived * kMs;
    for (; now - looked >= kLook; looked += kLook)
      if (const auto ms = choice.judge(
              result.declared, lateness.latency(looked) + 2 * kDecoding, looked)) {
        result.declared = *ms;
        result.changes++;
      }
    const gint64 ideal = lateness.arrived(pts * kMs, now);
    const gint64 declared = result.declared * kMs;
    const gint64 held = ideal + std::min(lateness.delay(now), declared);
    last = std::max({now, held, last}) + kDecoding;
    if (now <= 5 * kSecond)
      continue;
    result.pictures++;
    result.late += last > ideal + declared + kMaxLateness;
  }
  g_print("%s: %u of %u pictures late, %u ms declared in the end, %u changes\n",
          line.c_str(), result.late, result.pictures, result.declared, result.changes);
  return result;
}

// `late` of every `nth` picture, in ms.
struct Line {
  Lateness lateness;
  gint64 pts = 0;

  gint64 come(gint64 late = 0) {
    pts += kFrame;
    lateness.arrived(pts, pts + late * kMs);
    return lateness.delay(pts + late * kMs) / kMs;
  }
  void pass(gint64 seconds) {
    for (gint64 i = 0; i < seconds * 30; i++)
      come();
  }
};

} // namespace

GST_START_TEST(test_lateness_hides_what_would_be_seen) {
  for (const char *line : {"lte", "loss5", "burst", "thin"}) {
    const Shown bare = replay(line, false), smooth = replay(line, true);
    fail_unless(smooth.freezes <= bare.freezes / 4 + 2, "%s: %u freezes", line,
                smooth.freezes);
    fail_unless(smooth.longest <= 200);
  }
  fail_unless(replay("lte", false).freezes >= 10); // or it would show nothing
}
GST_END_TEST

GST_START_TEST(test_lateness_costs_nothing_where_nothing_is_late) {
  const Shown bare = replay("lan", false), smooth = replay("lan", true);
  fail_unless_equals_int(smooth.freezes, 0);
  fail_unless(smooth.longest <= 10, "%d ms", static_cast<int>(smooth.longest));
  fail_unless(smooth.median <= bare.median + 5);
}
GST_END_TEST

GST_START_TEST(test_lateness_one_stall_is_forgiven) {
  Line line;
  line.pass(5);
  fail_unless_equals_int(line.come(250), 0);
  line.pass(1);
  fail_unless_equals_int(line.come(180), 80); // the second highest, less what is not seen
  line.pass(1);
  fail_unless_equals_int(line.come(400), 150);
  line.pass(5);
  fail_unless_equals_int(line.come(), 150); // while it is remembered
  line.pass(26);
  fail_unless(line.come() < 150);
  line.pass(15);
  fail_unless_equals_int(line.come(), 0);
}
GST_END_TEST

// A run of late pictures is one stall, however many there are.
GST_START_TEST(test_lateness_a_run_is_one_stall) {
  Line line;
  line.pass(5);
  for (int i = 0; i < 10; i++)
    fail_unless_equals_int(line.come(400), 0);
}
GST_END_TEST

GST_START_TEST(test_lateness_the_beginning_does_not_count) {
  Line line;
  for (int i = 0; i < 80; i++)
    fail_unless_equals_int(line.come(i % 10 ? 0 : 400), 0);
}
GST_END_TEST

GST_START_TEST(test_lateness_tells_what_a_sink_has_to_wait) {
  Line line;
  auto latency = [&] { return line.lateness.latency(line.pts) / kMs; };
  line.pass(5);
  fail_unless_equals_int(latency(), 0);
  line.come(30); // no stall, but late
  fail_unless_equals_int(latency(), 30);
  for (int i = 0; i < 2; i++) {
    line.come(240);
    line.pass(1);
  }
  fail_unless_equals_int(latency(), 240);
  line.pass(32);
  fail_unless_equals_int(latency(), 0);
}
GST_END_TEST

GST_START_TEST(test_lateness_sinks_that_sync_drop_next_to_nothing) {
  for (const char *line : {"lan", "lte", "loss5", "burst", "thin"}) {
    const Synced synced = replay_synced(line);
    fail_unless(synced.late * 200 < synced.pictures, "%s: %u of %u late", line,
                synced.late, synced.pictures);
    fail_unless(synced.declared <= 500 && synced.changes <= 20, "%u", synced.changes);
  }
}
GST_END_TEST

// More at once, but once a second; less after half a minute without need; in steps.
GST_START_TEST(test_lateness_latency_is_told_rarely) {
  LatencyChoice choice;
  gint64 now = kSecond;
  unsigned declared = LatencyChoice::kLeastMs;
  auto judge = [&](gint64 needed_ms) {
    const auto ms = choice.judge(declared, needed_ms * kMs, now);
    declared = ms.value_or(declared);
    return ms ? static_cast<int>(*ms) : -1;
  };
  fail_unless_equals_int(judge(0), -1);
  fail_unless_equals_int(judge(41), 75);
  now += 900 * kMs;
  fail_unless_equals_int(judge(300), -1); // told just now
  now += 100 * kMs;
  fail_unless_equals_int(judge(300), 325);
  now += 20 * kSecond;
  fail_unless_equals_int(judge(310), -1); // the same step
  now += 29 * kSecond;
  fail_unless_equals_int(judge(50), -1);
  now += 2 * kSecond;
  fail_unless_equals_int(judge(50), 75);
  now += 10 * kSecond;
  fail_unless_equals_int(judge(3600 * 1000), 500);
  now += 31 * kSecond;
  fail_unless_equals_int(judge(0), 25);
  now += 600 * kSecond;
  fail_unless_equals_int(judge(0), -1);
}
GST_END_TEST

// Two clocks that part by 100 ppm, and a publisher that starts its time anew.
GST_START_TEST(test_lateness_follows_clocks) {
  Line line;
  for (int i = 0; i < 30 * 600; i++) {
    line.pts += kFrame;
    const gint64 now = line.pts + i * 3;
    line.lateness.arrived(line.pts, now);
    fail_unless_equals_int(line.lateness.delay(now), 0);
  }
  Lateness jumped;
  for (gint64 i = 0; i < 30 * 60; i++) {
    const gint64 now = i * kFrame, pts = i < 300 ? now : now - 3600 * kSecond;
    jumped.arrived(pts, now);
    fail_unless(jumped.delay(now) <= 200 * kMs);
  }
  fail_unless_equals_int(jumped.delay(60 * kSecond), 0);
}
GST_END_TEST

static Suite *lateness_suite() {
  Suite *suite = suite_create("lateness");
  TCase *tc = tcase_create("lateness");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_lateness_hides_what_would_be_seen);
  tcase_add_test(tc, test_lateness_costs_nothing_where_nothing_is_late);
  tcase_add_test(tc, test_lateness_one_stall_is_forgiven);
  tcase_add_test(tc, test_lateness_a_run_is_one_stall);
  tcase_add_test(tc, test_lateness_the_beginning_does_not_count);
  tcase_add_test(tc, test_lateness_tells_what_a_sink_has_to_wait);
  tcase_add_test(tc, test_lateness_sinks_that_sync_drop_next_to_nothing);
  tcase_add_test(tc, test_lateness_latency_is_told_rarely);
  tcase_add_test(tc, test_lateness_follows_clocks);
  return suite;
}

GST_CHECK_MAIN(lateness);
