// SPDX-License-Identifier: LGPL-2.1-or-later
#include "rate.h"

#include "rate-meter.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

constexpr int64_t kSecond = 1000000;

// Viewers by name, with updates each 0.1 s. With several, the floor is 600.
class Show {
public:
  SharedRate rate{{150, 2400}};

  void set(const std::string &name, unsigned estimate, unsigned wish = 0,
           bool video = true) {
    rate.set(name, {estimate, wish, video});
  }
  unsigned after(double seconds) {
    for (int i = 0; i < seconds * 10; i++, now_us_ += kSecond / 10)
      changed += rate.update(now_us_);
    return rate.kbit_s();
  }
  bool changes() { return rate.update(now_us_); }
  unsigned changed = 0; // how often

private:
  int64_t now_us_ = 50 * kSecond;
};

} // namespace

GST_START_TEST(test_rate_lowest_healthy_viewer_decides) {
  Show show;
  fail_unless_equals_int(show.rate.kbit_s(), 2400);
  show.set("a", 2400);
  show.set("b", 1500);
  show.set("c", 2000);
  fail_unless_equals_int(show.after(0.1), 1500);
  show.rate.remove("b");
  fail_unless_equals_int(show.after(2), 2000);
}
GST_END_TEST

GST_START_TEST(test_rate_goes_down_at_once_and_up_each_second) {
  Show show;
  show.set("a", 2000);
  fail_unless(show.changes());
  fail_unless_equals_int(show.rate.kbit_s(), 2000);
  show.set("a", 1000);
  fail_unless(show.changes());
  fail_unless_equals_int(show.rate.kbit_s(), 1000);
  fail_if(show.changes());
  show.set("a", 1100);
  fail_unless_equals_int(show.after(0.9), 1000);
  show.set("a", 1200);
  fail_unless_equals_int(show.after(0.3), 1200);
  show.set("a", 1300);
  fail_unless_equals_int(show.after(0.5), 1200);
}
GST_END_TEST

// An estimate creeps, and some encoders make a keyframe of each change.
GST_START_TEST(test_rate_little_is_no_change) {
  Show show;
  for (unsigned i = 0; i < 600; i++) {
    show.set("a", 1000 + i);
    show.after(0.1);
  }
  fail_unless(show.changed <= 8, "%u", show.changed);
  const unsigned rate = show.rate.kbit_s();
  fail_unless(rate >= 1480, "%u", rate);
  show.set("a", rate - rate / 50);
  fail_unless_equals_int(show.after(5), rate);
  show.set("a", 5000);
  fail_unless_equals_int(show.after(2), 2400);
}
GST_END_TEST

GST_START_TEST(test_rate_one_viewer_may_be_as_slow_as_it_likes) {
  Show show;
  show.set("a", 160);
  fail_unless_equals_int(show.after(10), 160);
  fail_if(show.rate.is_slow("a"));
  show.set("nobody looks", 10, 0, false); // it does not make them several
  fail_unless_equals_int(show.after(10), 160);
}
GST_END_TEST

GST_START_TEST(test_rate_slow_viewer_lets_the_others_be) {
  Show show;
  show.set("a", 2400);
  show.set("b", 2400);
  show.set("slow", 300);
  fail_unless_equals_int(show.after(1.9), 2400);
  fail_if(show.rate.is_slow("slow"));
  show.after(0.2);
  fail_unless(show.rate.is_slow("slow"));
  fail_if(show.rate.is_slow("a"));
  fail_if(show.rate.is_slow("unknown"));
  // Above the threshold, but not of the floor: still slow.
  show.set("slow", 550);
  show.after(20);
  fail_unless(show.rate.is_slow("slow"));
  show.set("slow", 700);
  fail_unless_equals_int(show.after(4.9), 2400);
  fail_unless(show.rate.is_slow("slow"));
  fail_unless_equals_int(show.after(0.2), 700);
  fail_if(show.rate.is_slow("slow"));
}
GST_END_TEST

// Nobody has seen that its network carries no more.
GST_START_TEST(test_rate_low_estimate_alone_is_not_slow) {
  Show show;
  show.set("a", 2400);
  show.rate.set("b", {200, 0, true, false});
  show.after(10);
  fail_if(show.rate.is_slow("b"));
  show.rate.set("b", {200, 0, true, true});
  show.after(3);
  fail_unless(show.rate.is_slow("b"));
}
GST_END_TEST

GST_START_TEST(test_rate_short_dip_is_not_slow) {
  Show show;
  show.set("a", 2400);
  for (unsigned i = 0; i < 5; i++) {
    show.set("b", 300);
    show.after(1.5);
    show.set("b", 2400);
    show.after(0.5);
    fail_if(show.rate.is_slow("b"));
  }
}
GST_END_TEST

GST_START_TEST(test_rate_floor_holds_when_all_are_slow) {
  Show show;
  show.set("a", 200);
  show.set("b", 300);
  fail_unless_equals_int(show.after(5), 600);
  // Just below the floor is healthy enough.
  show.set("a", 500);
  show.set("b", 2400);
  fail_unless_equals_int(show.after(20), 2400);
  show.set("a", 600);
  fail_unless_equals_int(show.after(6), 600);
  show.set("a", 500);
  fail_unless_equals_int(show.after(6), 600);
  fail_if(show.rate.is_slow("a"));
}
GST_END_TEST

GST_START_TEST(test_rate_largest_wish_limits) {
  Show show;
  show.set("thumbnail", 2400, 35);
  show.set("b", 2400);
  fail_unless_equals_int(show.after(2), 2400); // who wishes nothing wants all
  show.set("b", 2400, 800);
  fail_unless_equals_int(show.after(0.1), 800);
  show.set("b", 2400, 100, false); // hidden
  fail_unless_equals_int(show.after(0.1), 150);
  show.rate.remove("thumbnail");
  fail_unless_equals_int(show.after(5), 150); // nobody watches: as it was
  show.set("b", 2400);
  fail_unless_equals_int(show.after(2), 2400);
}
GST_END_TEST

GST_START_TEST(test_rate_limits_change) {
  Show show;
  show.set("a", 2400);
  show.rate.set_limits({150, 1000});
  fail_unless_equals_int(show.rate.kbit_s(), 1000);
  show.rate.set_limits({3000, 1000});
  fail_unless_equals_int(show.rate.kbit_s(), 3000);
  fail_unless_equals_int(show.after(3), 3000);
}
GST_END_TEST

// The last five seconds count, and what there is of them at first.
GST_START_TEST(test_rate_of_what_passes) {
  RateMeter meter;
  int64_t now_us = 7 * kSecond;
  uint64_t bytes = 12345;
  meter.set(bytes, now_us);
  fail_unless_equals_int(meter.kbit_s(), 0);
  auto pass = [&](int seconds, unsigned kbit_s) {
    while (seconds--)
      meter.set(bytes += kbit_s * 125, now_us += kSecond);
    return meter.kbit_s();
  };
  fail_unless_equals_int(pass(1, 800), 800);
  fail_unless_equals_int(pass(4, 800), 800);
  fail_unless_equals_int(pass(1, 5800), 1800); // a keyframe
  fail_unless_equals_int(pass(5, 800), 800);
  fail_unless_equals_int(pass(10, 0), 800); // muted, or paused
  fail_unless_equals_int(pass(1, 800), 800);
  meter.clear();
  fail_unless_equals_int(pass(1, 800), 0);
}
GST_END_TEST

static Suite *rate_suite(void) {
  Suite *suite = suite_create("rate");
  TCase *cases = tcase_create("rate");
  suite_add_tcase(suite, cases);
  tcase_add_test(cases, test_rate_little_is_no_change);
  tcase_add_test(cases, test_rate_lowest_healthy_viewer_decides);
  tcase_add_test(cases, test_rate_goes_down_at_once_and_up_each_second);
  tcase_add_test(cases, test_rate_one_viewer_may_be_as_slow_as_it_likes);
  tcase_add_test(cases, test_rate_slow_viewer_lets_the_others_be);
  tcase_add_test(cases, test_rate_low_estimate_alone_is_not_slow);
  tcase_add_test(cases, test_rate_short_dip_is_not_slow);
  tcase_add_test(cases, test_rate_floor_holds_when_all_are_slow);
  tcase_add_test(cases, test_rate_largest_wish_limits);
  tcase_add_test(cases, test_rate_limits_change);
  tcase_add_test(cases, test_rate_of_what_passes);
  return suite;
}

GST_CHECK_MAIN(rate);
