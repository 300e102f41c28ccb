// SPDX-License-Identifier: LGPL-2.1-or-later
// Without a network and by a clock of its own.
#include "bad-line.h"

#include <algorithm>
#include <cmath>
#include <vector>

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using Fate = BadLine::Fate;

namespace {

constexpr unsigned kSeed = 7;
constexpr unsigned kPackets = 20000;
constexpr size_t kPayload = 1200 - BadLine::kHeaderBytes; // 1200 bytes on the wire
constexpr int64_t kStepUs = 1000;

// What becomes of `count` packets, one each `step_us`.
std::vector<BadLine::Verdict> run(const PathConditions &conditions,
                                  unsigned count = kPackets, int64_t step_us = kStepUs,
                                  unsigned seed = kSeed) {
  BadLine line(seed);
  line.conditions() = conditions;
  std::vector<BadLine::Verdict> verdicts;
  for (unsigned i = 0; i < count; i++)
    verdicts.push_back(line.take(i * step_us, kPayload));
  return verdicts;
}

unsigned count(const std::vector<BadLine::Verdict> &verdicts, Fate fate) {
  return std::count_if(verdicts.begin(), verdicts.end(),
                       [fate](const auto &verdict) { return verdict.fate == fate; });
}

struct Runs {
  unsigned losses = 0, runs = 0;
  double share() const { return losses / double(kPackets); }
  double length() const { return losses / double(runs); }
};

Runs losses_in(const std::vector<BadLine::Verdict> &verdicts) {
  Runs result;
  bool losing = false;
  for (const auto &verdict : verdicts) {
    const bool lost = verdict.fate == Fate::kLost;
    result.losses += lost;
    result.runs += lost && !losing;
    losing = lost;
  }
  return result;
}

bool same(const std::vector<BadLine::Verdict> &a,
          const std::vector<BadLine::Verdict> &b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto &one, const auto &other) {
                      return one.fate == other.fate && one.due_us == other.due_us;
                    });
}

bool in_order(const std::vector<BadLine::Verdict> &verdicts) {
  return std::is_sorted(
      verdicts.begin(), verdicts.end(),
      [](const auto &one, const auto &other) { return one.due_us < other.due_us; });
}

PathConditions jittery(bool overtaking) {
  PathConditions conditions;
  conditions.delay_ms = 20;
  conditions.jitter_ms = 30;
  conditions.overtaking = overtaking;
  return conditions;
}

} // namespace

GST_START_TEST(test_line_without_conditions_passes_all_at_once) {
  const auto verdicts = run(PathConditions());
  for (unsigned i = 0; i < kPackets; i++)
    fail_unless(verdicts[i].fate == Fate::kPassed && verdicts[i].due_us == i * kStepUs);
}
GST_END_TEST

GST_START_TEST(test_line_loses_the_share_asked_for_one_by_one) {
  for (const double loss : {0.01, 0.05, 0.2, 0.5}) {
    PathConditions conditions;
    conditions.loss = loss;
    const Runs losses = losses_in(run(conditions));
    fail_unless(std::abs(losses.share() - loss) < 0.01, "%g lost of %g", losses.share(),
                loss);
    // As long as chance makes them.
    fail_unless(std::abs(losses.length() * (1 - loss) - 1) < 0.05, "runs of %g",
                losses.length());
  }
  PathConditions all;
  all.loss = 1;
  all.burst = 6;
  fail_unless_equals_int(count(run(all), Fate::kLost), kPackets);
}
GST_END_TEST

GST_START_TEST(test_line_loses_in_bursts_of_the_length_asked_for) {
  for (const double burst : {2, 6, 20}) {
    PathConditions conditions;
    conditions.loss = 0.1;
    conditions.burst = burst;
    const Runs losses = losses_in(run(conditions));
    fail_unless(std::abs(losses.share() - 0.1) < 0.02, "%g lost", losses.share());
    fail_unless(std::abs(losses.length() / burst - 1) < 0.15, "runs of %g, not %g",
                losses.length(), burst);
  }
}
GST_END_TEST

GST_START_TEST(test_line_same_seed_makes_the_same_choices) {
  PathConditions conditions = jittery(true);
  conditions.loss = 0.1;
  conditions.burst = 3;
  fail_unless(same(run(conditions), run(conditions)));
  fail_if(same(run(conditions), run(conditions, kPackets, kStepUs, kSeed + 1)));
  // Whom it loses does not depend on anything else.
  PathConditions slow = conditions;
  slow.jitter_ms = 0;
  slow.reorder = 0.5;
  const auto fast_ones = run(conditions), slow_ones = run(slow);
  for (unsigned i = 0; i < kPackets; i++)
    fail_unless(fast_ones[i].fate == slow_ones[i].fate);
}
GST_END_TEST

GST_START_TEST(test_line_jitter_stays_within_its_bounds) {
  for (const bool overtaking : {false, true}) {
    const auto verdicts = run(jittery(overtaking));
    int64_t least = INT64_MAX, most = 0;
    for (unsigned i = 0; i < kPackets; i++) {
      least = std::min(least, verdicts[i].due_us - i * kStepUs);
      most = std::max(most, verdicts[i].due_us - i * kStepUs);
    }
    // All of the range is used; in order nobody waits for long before the one ahead.
    fail_unless(least >= 20000 && least < (overtaking ? 21000 : 50000));
    fail_unless(most > 49000 && most < 50000, "%d us", static_cast<int>(most));
  }
}
GST_END_TEST

GST_START_TEST(test_line_jitter_keeps_order_unless_told_otherwise) {
  fail_unless(in_order(run(jittery(false))));
  fail_if(in_order(run(jittery(true))));
  // Who is held back is overtaken, and holds nobody up.
  PathConditions held_back = jittery(false);
  held_back.jitter_ms = 0;
  held_back.reorder = 0.1;
  unsigned late = 0;
  const auto verdicts = run(held_back);
  for (unsigned i = 0; i < kPackets; i++) {
    const int64_t delay = verdicts[i].due_us - i * kStepUs;
    late += delay == (20 + BadLine::kHeldBackMs) * 1000;
    fail_unless(delay == 20000 || delay == (20 + BadLine::kHeldBackMs) * 1000);
  }
  fail_unless(std::abs(late / double(kPackets) - 0.1) < 0.01, "%u held back", late);
}
GST_END_TEST

GST_START_TEST(test_line_rate_spaces_packets_and_drops_at_the_end_of_the_queue) {
  PathConditions conditions;
  conditions.rate_kbps = 1200; // 8 ms for each packet
  conditions.queue_ms = 80;
  conditions.delay_ms = 20;
  // At half the rate all pass; each takes the time of its bits.
  auto verdicts = run(conditions, 100, 16000);
  for (unsigned i = 0; i < 100; i++)
    fail_unless_equals_int64(verdicts[i].due_us, i * 16000 + 8000 + 20000);
  // All at once: the first does not wait, the others up to 80 ms for their turn.
  verdicts = run(conditions, 100, 0);
  for (unsigned i = 0; i < 11; i++)
    fail_unless_equals_int64(verdicts[i].due_us, (i + 1) * 8000 + 20000);
  fail_unless_equals_int(count(verdicts, Fate::kOverflowed), 100 - 11);
  // At twice the rate every other one is dropped, once the queue is full.
  verdicts = run(conditions, 1000, 4000);
  fail_unless_equals_int(count(verdicts, Fate::kLost), 0);
  const unsigned passed = count(verdicts, Fate::kPassed);
  fail_unless(passed >= 500 && passed <= 500 + 11, "%u passed", passed);
}
GST_END_TEST

// The queue empties at the pace of the line when the packets end.
GST_START_TEST(test_line_queue_drains) {
  BadLine line(kSeed);
  line.conditions().rate_kbps = 1200;
  line.conditions().queue_ms = 80;
  while (line.take(0, kPayload).fate == Fate::kPassed)
    continue;
  // One has left after 8 ms: room for one.
  fail_unless(line.take(8000, kPayload).fate == Fate::kPassed);
  fail_unless(line.take(8000, kPayload).fate == Fate::kOverflowed);
  fail_unless_equals_int64(line.take(1000000, kPayload).due_us, 1008000);
}
GST_END_TEST

// From one packet to the next, up and down; what waits for its turn keeps its time.
GST_START_TEST(test_line_rate_steps) {
  BadLine line(kSeed);
  line.conditions().queue_ms = 80;
  int64_t now_us = 0;
  for (unsigned kbit_s : {2400, 600, 2400}) {
    line.conditions().rate_kbps = kbit_s;
    unsigned passed = 0;
    for (unsigned i = 0; i < 2000; i++, now_us += kStepUs)
      passed += i >= 500 && line.take(now_us, kPayload).fate == Fate::kPassed;
    // Of 9600 bits each, for 1.5 s and what the queue takes.
    fail_unless(passed >= kbit_s * 3 / 2 * 1000 / 9600 &&
                    passed <= kbit_s * 8 / 5 * 1000 / 9600,
                "%u kbit/s: %u", kbit_s, passed);
  }
  now_us += 1000000;
  fail_unless_equals_int64(line.take(now_us, kPayload).due_us, now_us + 4000);
  line.conditions().rate_kbps = 600;
  fail_unless_equals_int64(line.take(now_us, kPayload).due_us, now_us + 20000);
}
GST_END_TEST

GST_START_TEST(test_line_names_and_words) {
  Line line;
  for (const char *name : {"clean", "lan", "wifi", "rtt100", "loss2", "loss5", "loss10",
                           "burst", "reorder", "thin", "lte", "|"})
    fail_unless(find_line(name, &line), "%s", name);
  fail_unless(find_line("lte", &line));
  fail_unless(line.to_viewer.rate_kbps == 4000 && line.to_viewer.queue_ms == 300 &&
              line.to_viewer.loss == 0.01 && line.to_viewer.delay_ms == 40 &&
              line.to_viewer.jitter_ms == 40 && !line.to_viewer.overtaking);
  fail_unless(line.to_publisher.rate_kbps == 0 && line.to_publisher.loss == 0 &&
              line.to_publisher.delay_ms == 40 && line.to_publisher.jitter_ms == 20);
  fail_unless(find_line("reorder", &line) && line.to_viewer.overtaking);
  fail_unless(find_line("burst=6 loss=0.03 queue=50|", &line));
  fail_unless(line.to_viewer.burst == 6 && line.to_viewer.queue_ms == 50);
  for (const char *text : {"", "loss6", "loss=0.1", "loss|", "loss=|", "loss=2|",
                           "loss=-1|", "delay=1x|", "burst=0|", "speed=1|", "delay=nan|"})
    fail_if(find_line(text, &line), "%s was taken", text);
}
GST_END_TEST

static Suite *line_suite() {
  Suite *suite = suite_create("bad-line");
  TCase *tc = tcase_create("line");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_line_without_conditions_passes_all_at_once);
  tcase_add_test(tc, test_line_loses_the_share_asked_for_one_by_one);
  tcase_add_test(tc, test_line_loses_in_bursts_of_the_length_asked_for);
  tcase_add_test(tc, test_line_same_seed_makes_the_same_choices);
  tcase_add_test(tc, test_line_jitter_stays_within_its_bounds);
  tcase_add_test(tc, test_line_jitter_keeps_order_unless_told_otherwise);
  tcase_add_test(tc, test_line_rate_spaces_packets_and_drops_at_the_end_of_the_queue);
  tcase_add_test(tc, test_line_queue_drains);
  tcase_add_test(tc, test_line_rate_steps);
  tcase_add_test(tc, test_line_names_and_words);
  return suite;
}

GST_CHECK_MAIN(line);
