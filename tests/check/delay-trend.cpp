// SPDX-License-Identifier: LGPL-2.1-or-later
#include "delay-trend.h"

#include <cmath>
#include <functional>

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using Usage = DelayTrend::Usage;

namespace {

constexpr int64_t kMs = 1000, kSecond = 1000 * kMs;

// Packets 10 ms apart from `from_ms` to `to_ms`; `delay_us` of each by when it was sent.
Usage send(DelayTrend *trend, unsigned from_ms, unsigned to_ms,
           const std::function<int64_t(int64_t sent_us)> &delay_us) {
  for (int64_t ms = from_ms; ms < to_ms; ms += 10)
    trend->add(ms * kMs, ms * kMs + delay_us(ms * kMs), 1000);
  return trend->usage();
}

int64_t steady(int64_t) {
  return 20 * kMs;
}

} // namespace

GST_START_TEST(test_trend_steady_is_normal) {
  DelayTrend trend;
  fail_unless(send(&trend, 0, 60000, steady) == Usage::kNormal);
}
GST_END_TEST

// A queue that grows by 10 % of the time: seen within 0.4 s. It stands: normal. It
// empties: under.
GST_START_TEST(test_trend_queue_grows_stands_and_empties) {
  DelayTrend trend;
  send(&trend, 0, 2000, steady);
  fail_unless(send(&trend, 2000, 2400, [](int64_t sent_us) {
                return 20 * kMs + (sent_us - 2 * kSecond) / 10;
              }) == Usage::kOver);
  fail_unless(send(&trend, 2400, 4000, [](int64_t) { return 60 * kMs; }) ==
              Usage::kNormal);
  fail_unless(send(&trend, 4000, 4400, [](int64_t sent_us) {
                return 60 * kMs - (sent_us - 4 * kSecond) / 10;
              }) == Usage::kUnder);
  fail_unless(send(&trend, 4400, 6000, steady) == Usage::kNormal);
}
GST_END_TEST

// 1000 bytes each 11 ms, wherever less was sent before.
GST_START_TEST(test_trend_what_passes_while_packets_wait_is_told) {
  DelayTrend trend;
  send(&trend, 0, 1000, steady);
  fail_unless(trend.busy_kbit_s() == 0);
  send(&trend, 3000, 3400,
       [](int64_t sent_us) { return 20 * kMs + (sent_us - 3 * kSecond) / 10; });
  fail_unless(std::abs(trend.busy_kbit_s() - 8000 / 11.0) < 1, "%f", trend.busy_kbit_s());
  send(&trend, 3400, 4000, steady);
  fail_unless(trend.busy_kbit_s() == 0, "%f", trend.busy_kbit_s());
}
GST_END_TEST

// What a radio holds up for 60 ms now and then, and delivers at once.
GST_START_TEST(test_trend_bursts_are_no_queue) {
  DelayTrend trend;
  for (int64_t ms = 0; ms < 20000; ms += 10) {
    const int64_t held_until_ms = ms % 500 < 60 ? ms - ms % 500 + 60 : ms;
    trend.add(ms * kMs, (held_until_ms + 20) * kMs + ms % 500, 1000);
    fail_unless(trend.usage() != Usage::kOver, "at %d ms", static_cast<int>(ms));
  }
}
GST_END_TEST

// Another way through the network, 200 ms longer, is no queue for long.
GST_START_TEST(test_trend_step_passes) {
  DelayTrend trend;
  send(&trend, 0, 2000, steady);
  send(&trend, 2000, 4000, [](int64_t) { return 220 * kMs; });
  fail_unless(trend.usage() == Usage::kNormal);
}
GST_END_TEST

GST_START_TEST(test_trend_clock_of_the_receiver_may_be_anything) {
  const std::function<int64_t(int64_t)> clocks[] = {
      [](int64_t sent_us) { return -sent_us; },     // stands
      [](int64_t sent_us) { return -2 * sent_us; }, // runs backwards
      [](int64_t sent_us) { return sent_us / kSecond % 2 * 10 * kSecond; },
      [](int64_t sent_us) { return (sent_us / kSecond % 2 - 1) * 10 * kSecond; },
      [](int64_t sent_us) { return sent_us / 10000; }, // 100 ppm fast
  };
  for (const auto &clock : clocks) {
    DelayTrend trend;
    for (unsigned ms = 0; ms < 20000; ms += 10)
      fail_unless(send(&trend, ms, ms + 10, clock) != Usage::kOver, "clock %d at %u",
                  static_cast<int>(&clock - clocks), ms);
    // It still sees a queue.
    send(&trend, 20000, 22000, steady);
    fail_unless(send(&trend, 22000, 22600, [](int64_t sent_us) {
                  return 20 * kMs + (sent_us - 22 * kSecond) / 5;
                }) == Usage::kOver);
  }
}
GST_END_TEST

static Suite *delay_trend_suite(void) {
  Suite *suite = suite_create("delay-trend");
  TCase *cases = tcase_create("delay-trend");
  suite_add_tcase(suite, cases);
  tcase_add_test(cases, test_trend_steady_is_normal);
  tcase_add_test(cases, test_trend_queue_grows_stands_and_empties);
  tcase_add_test(cases, test_trend_what_passes_while_packets_wait_is_told);
  tcase_add_test(cases, test_trend_bursts_are_no_queue);
  tcase_add_test(cases, test_trend_step_passes);
  tcase_add_test(cases, test_trend_clock_of_the_receiver_may_be_anything);
  return suite;
}

GST_CHECK_MAIN(delay_trend);
