// SPDX-License-Identifier: LGPL-2.1-or-later
// When missing packets are asked for, on a clock of the test's own.
#include "repair-timing.h"

#include <algorithm>
#include <vector>

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using vdn::RepairTiming;

namespace {

constexpr gint64 kMs = 1000;

// A stream of 30 pictures a second, each of eight packets 1 ms apart.
struct Stream {
  RepairTiming timing;
  gint64 now = 1000 * kMs;
  uint16_t next = 65000; // wraps soon
  uint32_t picture = 0;

  void tick() {
    now += next % 8 ? kMs : 26 * kMs;
    picture += next % 8 == 0;
  }
  void arrive() {
    tick();
    timing.arrived(next++, picture * 3000, false, now);
  }
  void arrive(unsigned many) {
    while (many--)
      arrive();
  }
  // The number of one that is not there.
  uint16_t lose() {
    tick();
    const uint16_t number = next++;
    arrive();
    return number;
  }
  void repair(uint16_t number, gint64 after) {
    timing.arrived(number, picture * 3000, true, now + after);
  }
  // Lost, asked for at once, and sent again.
  void lose_and_repair(gint64 after) {
    const uint16_t number = lose();
    timing.requested(number, now);
    repair(number, after);
    arrive(20);
  }
  RepairTiming::Settings settings() { return timing.settings(now); }
};

} // namespace

GST_START_TEST(test_repair_timing_asks_again_a_little_after_the_round_trip) {
  for (const gint64 round_trip : {5 * kMs, 41 * kMs, 120 * kMs, 400 * kMs}) {
    Stream stream;
    stream.arrive(10);
    fail_unless_equals_int(stream.settings().retry, 150);
    for (int i = 0; i < 30; i++)
      stream.lose_and_repair(round_trip);
    const auto retry = stream.settings().retry;
    fail_unless_equals_int(stream.timing.round_trip() / kMs, round_trip / kMs);
    fail_unless(retry >= round_trip / kMs + 15 && retry >= 30, "%u", retry);
    fail_unless(retry <= std::max<gint64>(round_trip / kMs + 16, 30), "%u", retry);
    fail_unless_equals_uint64(stream.timing.counts().repaired, 30);
    fail_unless_equals_int(stream.timing.repaired_in() / kMs, round_trip / kMs);
  }
}
GST_END_TEST

// The publisher's pacer keeps some back until its next picture: those do not count twice.
GST_START_TEST(test_repair_timing_what_is_kept_back_moves_it_little) {
  Stream stream;
  for (int i = 0; i < 100; i++)
    stream.lose_and_repair(i % 5 ? 41 * kMs : 82 * kMs);
  const auto retry = stream.settings().retry;
  fail_unless(retry >= 56 && retry <= 75, "%u", retry);
}
GST_END_TEST

GST_START_TEST(test_repair_timing_of_two_requests_the_answer_is_not_known) {
  Stream stream;
  for (int i = 0; i < 20; i++)
    stream.lose_and_repair(40 * kMs);
  const gint64 before = stream.timing.round_trip();
  const uint16_t number = stream.lose();
  stream.timing.requested(number, stream.now);
  stream.timing.requested(number, stream.now + 60 * kMs);
  stream.repair(number, 100 * kMs); // 100 ms after one, 40 after the other
  fail_unless_equals_int64(stream.timing.round_trip(), before);
}
GST_END_TEST

// The way has become longer than the time after which is asked again: every answer comes
// right after a second request.
GST_START_TEST(test_repair_timing_follows_a_way_that_becomes_longer) {
  Stream stream;
  for (int i = 0; i < 20; i++)
    stream.lose_and_repair(40 * kMs);
  for (int i = 0; i < 60; i++) {
    const gint64 retry = stream.settings().retry * kMs;
    const uint16_t number = stream.lose();
    stream.timing.requested(number, stream.now);
    if (retry < 70 * kMs)
      stream.timing.requested(number, stream.now + retry);
    stream.repair(number, 70 * kMs);
    stream.arrive(20);
  }
  fail_unless(stream.settings().retry > 70, "%u", stream.settings().retry);
}
GST_END_TEST

GST_START_TEST(test_repair_timing_a_ping_serves_until_a_packet_does) {
  Stream stream;
  stream.arrive(10);
  stream.timing.hint_round_trip(30 * kMs);
  fail_unless_equals_int(stream.settings().retry, 45);
  fail_unless_equals_int(stream.settings().wait, 1000); // its spread is not known
  stream.timing.hint_round_trip(3600 * 1000 * kMs);
  fail_unless_equals_int(stream.settings().retry, 500);
  stream.lose_and_repair(80 * kMs);
  fail_unless_equals_int(stream.timing.round_trip(), 80 * kMs);
}
GST_END_TEST

// Six are lost, and when they are sent again all six once more.
GST_START_TEST(test_repair_timing_a_burst_is_one_time) {
  Stream stream;
  for (int i = 0; i < 20; i++)
    stream.lose_and_repair(40 * kMs);
  for (int burst = 0; burst < 10; burst++) {
    std::vector<uint16_t> numbers;
    for (int i = 0; i < 6; i++)
      numbers.push_back(stream.lose());
    for (const gint64 at : {gint64{0}, 60 * kMs})
      for (uint16_t number : numbers)
        stream.timing.requested(number, stream.now + at);
    for (uint16_t number : numbers)
      stream.repair(number, 100 * kMs);
    stream.arrive(20);
    stream.lose_and_repair(40 * kMs);
  }
  fail_unless_equals_int(stream.settings().retry, 55);
}
GST_END_TEST

// A ping of 5 ms on a way of 85: whatever is asked for is asked for three times.
GST_START_TEST(test_repair_timing_a_ping_may_be_wrong) {
  Stream stream;
  stream.arrive(10);
  stream.timing.hint_round_trip(5 * kMs);
  unsigned hasty = 0;
  for (int i = 0; i < 20; i++) {
    const gint64 retry = stream.settings().retry * kMs;
    const uint16_t number = stream.lose();
    for (gint64 at = 0; at < 85 * kMs; at += retry)
      stream.timing.requested(number, stream.now + at);
    hasty += retry < 85 * kMs;
    stream.repair(number, 85 * kMs);
    stream.arrive(20);
  }
  fail_unless(hasty <= 10, "%u", hasty); // three times, however many packets that was
  fail_unless_equals_int(stream.settings().retry, 100);
}
GST_END_TEST

GST_START_TEST(test_repair_timing_who_is_overtaken_is_not_asked_for) {
  Stream stream;
  stream.arrive(50);
  stream.lose_and_repair(40 * kMs); // from now on it is known how repairs look
  fail_unless_equals_int(stream.settings().delay, 0);
  for (int i = 0; i < 5; i++) {
    // Three packets in the place of one, all of one picture.
    while (stream.next % 8 != 2)
      stream.arrive();
    const uint16_t number = stream.lose();
    stream.arrive(2);
    stream.timing.requested(number, stream.now);
    stream.timing.arrived(number, stream.picture * 3000, false, stream.now + 20 * kMs);
    stream.repair(number, 60 * kMs); // what was asked for in vain
    if (i < 2)
      fail_unless_equals_int(stream.settings().delay, 0); // an accident
  }
  const auto settings = stream.settings();
  fail_unless(settings.delay >= 22 && settings.delay <= 40, "%u", settings.delay);
  fail_unless(settings.report > 100 && settings.report <= 250, "%u", settings.report);
  fail_unless_equals_uint64(stream.timing.counts().out_of_order, 5);
  fail_unless_equals_uint64(stream.timing.counts().duplicates, 5);
  fail_unless_equals_uint64(stream.timing.counts().repaired, 1);
  stream.now += 10000 * kMs;
  fail_unless_equals_int(stream.settings().delay, 0);
  fail_unless_equals_int(stream.settings().report, 50);
}
GST_END_TEST

// Where most packets overtake others, one that comes very late is not forgotten because
// many that come a little late follow it.
GST_START_TEST(test_repair_timing_the_slowest_is_remembered) {
  Stream stream;
  stream.arrive(50);
  stream.lose_and_repair(40 * kMs);
  auto overtake = [&](gint64 by) {
    while (stream.next % 8 != 2)
      stream.arrive();
    const uint16_t number = stream.lose();
    stream.timing.arrived(number, stream.picture * 3000, false, stream.now + by);
  };
  overtake(50 * kMs);
  const gint64 since = stream.now;
  for (int i = 0; i < 100; i++)
    overtake(3 * kMs);
  fail_unless(stream.now - since < 5000 * kMs);
  fail_unless(stream.settings().delay >= 50, "%u", stream.settings().delay);
}
GST_END_TEST

// Who does not negotiate RTX sends the same packet once more.
GST_START_TEST(test_repair_timing_repairs_may_look_like_the_lost) {
  Stream stream;
  stream.arrive(10);
  for (int i = 0; i < 10; i++) {
    const uint16_t number = stream.lose();
    stream.timing.requested(number, stream.now);
    stream.timing.arrived(number, stream.picture * 3000, false, stream.now + 50 * kMs);
  }
  fail_unless_equals_uint64(stream.timing.counts().repaired, 10);
  fail_unless_equals_int(stream.timing.round_trip() / kMs, 50);
  fail_unless_equals_int(stream.settings().delay, 0);
}
GST_END_TEST

GST_START_TEST(test_repair_timing_waits_as_long_as_repairs_may_take) {
  Stream stream;
  fail_unless_equals_int(stream.settings().wait, 1000);
  stream.lose_and_repair(10 * kMs);
  unsigned wait = 1000;
  for (int second = 0; second < 120; second++) {
    const auto settings = stream.settings();
    fail_unless(settings.wait == wait || settings.wait + 100 == wait, "%u after %u",
                settings.wait, wait);
    wait = settings.wait;
    stream.lose_and_repair(10 * kMs);
    stream.now += 1000 * kMs;
  }
  fail_unless_equals_int(wait, 300);
  for (int i = 0; i < 10; i++)
    stream.lose_and_repair(200 * kMs);
  fail_unless(stream.settings().wait >= 900, "%u", stream.settings().wait); // at once
}
GST_END_TEST

// Who starts anew behind where he was is not late for ever.
GST_START_TEST(test_repair_timing_a_jump_back_is_a_new_start) {
  Stream stream;
  stream.arrive(100);
  stream.next -= 5000;
  stream.arrive(20);
  const guint64 before = stream.timing.counts().missed;
  stream.lose();
  fail_unless_equals_uint64(stream.timing.counts().missed, before + 1);
}
GST_END_TEST

GST_START_TEST(test_repair_timing_transit_knows_the_slowest_way) {
  vdn::Transit transit;
  gint64 now = 0;
  auto pass = [&](unsigned packets, gint64 late) {
    while (packets--) {
      now += 20 * kMs;
      transit.arrived(now - 3600 * 1000 * kMs, now + late);
    }
  };
  fail_unless_equals_int64(transit.spread(), 0);
  pass(100, 0);
  fail_unless_equals_int64(transit.spread(), 0);
  pass(1, 90 * kMs);
  pass(400, 10 * kMs);
  fail_unless_equals_int64(transit.spread(), 90 * kMs);
  pass(1200, 10 * kMs);
  fail_unless_equals_int64(transit.spread(), 0);
}
GST_END_TEST

// The line was away for three seconds: nothing of that is asked for, and what is lost
// afterwards is, as is everything where somebody records.
GST_START_TEST(test_repair_timing_a_silence_is_not_repaired) {
  for (const bool keeps_all : {false, true}) {
    for (const unsigned lost : {1u, 700u, 5000u}) {
      Stream stream;
      stream.timing.keep_all(keeps_all);
      stream.arrive(100);
      const uint16_t oldest = stream.next;
      stream.next = static_cast<uint16_t>(stream.next + lost);
      stream.now += 3000 * kMs;
      const bool skips =
          stream.timing.arrived(stream.next, stream.picture * 3000, false, stream.now);
      const auto newest = static_cast<uint16_t>(stream.next++ - 1);
      fail_unless_equals_int(skips, !keeps_all && lost > 1);
      for (uint16_t number : {oldest, newest})
        fail_unless_equals_int(stream.timing.requested(number, stream.now), !skips);
      fail_unless(stream.timing.requested(stream.lose(), stream.now));
      fail_unless_equals_int(
          stream.timing.arrived(static_cast<uint16_t>(stream.next + 100), 0, false,
                                stream.now + kMs),
          FALSE); // as much, at once
    }
  }
}
GST_END_TEST

// A sender that starts its time anew is not late by what that is.
GST_START_TEST(test_repair_timing_transit_follows_clocks_that_jump) {
  vdn::Transit transit;
  gint64 sent = 0;
  for (gint64 i = 1; i <= 1050; i++) {
    const gint64 jump = i % 100 ? 0 : (i % 200 ? 1 : -1) * 3600 * 1000 * kMs;
    sent += 20 * kMs + jump;
    fail_unless_equals_int(transit.arrived(sent, i * 20 * kMs + i % 2 * 30 * kMs),
                           jump == 0);
    fail_unless(transit.spread() <= 30 * kMs);
  }
  fail_unless_equals_int64(transit.spread(), 30 * kMs);
}
GST_END_TEST

// On a line that does not carry what is sent, more of it does harm.
GST_START_TEST(test_repair_timing_does_not_flood_a_line) {
  Stream stream;
  stream.arrive(100);
  fail_unless_equals_int(stream.settings().max_requests, -1);
  for (int i = 0; i < 300; i++)
    stream.timing.requested(stream.lose(), stream.now);
  fail_unless_equals_int(stream.settings().max_requests, 2);
  for (int i = 0; i < 4; i++) {
    stream.arrive(400);
    stream.settings();
  }
  fail_unless_equals_int(stream.settings().max_requests, -1);
}
GST_END_TEST

// Half of all is lost, and nobody sends it again: one request for each four packets that
// come leaves, and as many as are wanted once the publisher answers.
GST_START_TEST(test_repair_timing_requests_in_vain_are_few) {
  Stream stream;
  stream.arrive(100);
  unsigned left = 0;
  auto lose = [&](bool is_answered) {
    const uint16_t number = stream.lose();
    for (int time = 0; time < 2; time++)
      if (stream.timing.requested(number, stream.now)) {
        left++;
        if (is_answered)
          stream.repair(number, 0);
        break;
      }
    stream.settings();
  };
  for (int i = 0; i < 1000; i++)
    lose(false);
  left = 0;
  const guint64 before = stream.timing.counts().packets;
  for (int i = 0; i < 2000; i++)
    lose(false);
  const guint64 came = stream.timing.counts().packets - before;
  fail_unless(left * 4 <= came + 64, "%u for %u", left, unsigned(came));
  fail_unless_equals_int(stream.settings().max_requests, 2);
  for (int i = 0; i < 1000; i++)
    lose(true);
  fail_unless_equals_int(stream.settings().max_requests, -1);
  left = 0;
  for (int i = 0; i < 100; i++)
    lose(true);
  fail_unless_equals_int(left, 100);
}
GST_END_TEST

// given numbers that jump, return or come by the thousand, and times that run backwards,
// then nothing grows, and what is asked of the jitterbuffer stays within its bounds.
GST_START_TEST(test_repair_timing_lies_do_no_harm) {
  Stream stream;
  guint32 seed = 1;
  auto random = [&seed] { return seed = seed * 1664525u + 1013904223u; };
  for (int i = 0; i < 200000; i++) {
    const auto number = static_cast<uint16_t>(random() >> 16);
    const gint64 now = stream.now + static_cast<gint32>(random() >> 8) - 8000000;
    stream.timing.arrived(number, random(), random() % 3 == 0, now);
    if (random() % 2)
      stream.timing.requested(static_cast<uint16_t>(random() >> 16), now);
    const auto settings = stream.timing.settings(now);
    fail_unless(settings.delay <= 101 && settings.retry >= 30 && settings.retry <= 500 &&
                    settings.wait >= 300 && settings.wait <= 1000 &&
                    settings.report >= 50 && settings.report <= 250,
                "delay %u retry %u wait %u report %u", settings.delay, settings.retry,
                settings.wait, settings.report);
  }
}
GST_END_TEST

// A fifth is lost, and of the requests and repairs, too: that takes a third of the
// packets.
GST_START_TEST(test_repair_timing_what_helps_is_no_flood) {
  Stream stream;
  stream.arrive(100);
  for (int i = 0; i < 600; i++) {
    const uint16_t number = stream.lose();
    stream.timing.requested(number, stream.now);
    if (i % 3 == 0)
      stream.timing.requested(number, stream.now + 30 * kMs);
    stream.repair(number, (i % 3 == 0 ? 50 : 20) * kMs);
    stream.arrive(2);
    fail_unless_equals_int(stream.settings().max_requests, -1);
  }
}
GST_END_TEST

static Suite *repair_timing_suite() {
  Suite *suite = suite_create("repair-timing");
  TCase *tc = tcase_create("repair-timing");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_repair_timing_asks_again_a_little_after_the_round_trip);
  tcase_add_test(tc, test_repair_timing_what_is_kept_back_moves_it_little);
  tcase_add_test(tc, test_repair_timing_of_two_requests_the_answer_is_not_known);
  tcase_add_test(tc, test_repair_timing_follows_a_way_that_becomes_longer);
  tcase_add_test(tc, test_repair_timing_a_ping_serves_until_a_packet_does);
  tcase_add_test(tc, test_repair_timing_a_burst_is_one_time);
  tcase_add_test(tc, test_repair_timing_a_ping_may_be_wrong);
  tcase_add_test(tc, test_repair_timing_who_is_overtaken_is_not_asked_for);
  tcase_add_test(tc, test_repair_timing_the_slowest_is_remembered);
  tcase_add_test(tc, test_repair_timing_repairs_may_look_like_the_lost);
  tcase_add_test(tc, test_repair_timing_waits_as_long_as_repairs_may_take);
  tcase_add_test(tc, test_repair_timing_a_jump_back_is_a_new_start);
  tcase_add_test(tc, test_repair_timing_transit_knows_the_slowest_way);
  tcase_add_test(tc, test_repair_timing_a_silence_is_not_repaired);
  tcase_add_test(tc, test_repair_timing_transit_follows_clocks_that_jump);
  tcase_add_test(tc, test_repair_timing_does_not_flood_a_line);
  tcase_add_test(tc, test_repair_timing_requests_in_vain_are_few);
  tcase_add_test(tc, test_repair_timing_what_helps_is_no_flood);
  tcase_add_test(tc, test_repair_timing_lies_do_no_harm);
  return suite;
}

GST_CHECK_MAIN(repair_timing);
