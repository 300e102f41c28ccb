// SPDX-License-Identifier: LGPL-2.1-or-later
#include "freezes.h"

#include <cmath>

#include <gst/check/gstcheck.h>

#include "decode-times.h"

using vdn::Freezes;

namespace {

constexpr gint64 kMs = 1000;

// A picture each `ms`, from where the one before ended.
struct Show {
  Freezes freezes;
  gint64 now = kMs;

  void pass(unsigned pictures, gint64 ms) {
    while (pictures--)
      freezes.shown(now += ms * kMs);
  }
};

} // namespace

GST_START_TEST(test_freezes_of_a_steady_picture_are_none) {
  Show show;
  show.pass(1000, 33);
  show.pass(1, 180);
  show.pass(1000, 33);
  fail_unless_equals_int(show.freezes.count(), 0);
  fail_unless_equals_int(show.freezes.longest(), 180 * kMs);
  fail_unless(std::fabs(show.freezes.rate() - 1000.0 / 33) < 0.1);
}
GST_END_TEST

GST_START_TEST(test_freezes_are_counted) {
  Show show;
  for (int i = 0; i < 3; i++) {
    show.pass(60, 33);
    show.pass(1, 200);
  }
  fail_unless_equals_int(show.freezes.count(), 3);
  fail_unless_equals_int(show.freezes.total(), 600 * kMs);
}
GST_END_TEST

// At two pictures a second half a second is nothing; neither is the beginning.
GST_START_TEST(test_freezes_depend_on_what_is_usual) {
  Show slow;
  slow.pass(100, 500);
  slow.pass(1, 1400);
  fail_unless_equals_int(slow.freezes.count(), 0);
  slow.pass(1, 1700);
  fail_unless_equals_int(slow.freezes.count(), 1);
  Show beginning;
  beginning.pass(10, 33);
  beginning.pass(1, 900);
  fail_unless_equals_int(beginning.freezes.count(), 0);
}
GST_END_TEST

GST_START_TEST(test_freezes_do_not_count_a_pause) {
  Show show;
  show.pass(100, 33);
  show.freezes.interrupt();
  show.pass(1, 5000);
  show.pass(100, 33);
  fail_unless_equals_int(show.freezes.count(), 0);
  fail_unless_equals_int(show.freezes.longest(), 33 * kMs);
}
GST_END_TEST

// The second of three goes in before the first comes out, one is never shown, and of one
// it is not known when it went in.
GST_START_TEST(test_freezes_decoding_takes_from_in_to_out) {
  vdn::DecodeTimes times;
  fail_unless_equals_int(times.p95(), 0);
  times.given(0, 10 * kMs);
  times.given(1, 12 * kMs);
  times.came_out(0, 15 * kMs);
  times.given(2, 16 * kMs);
  times.given(3, 17 * kMs);
  times.came_out(1, 20 * kMs);
  times.came_out(3, 19 * kMs);
  times.came_out(9, 99 * kMs);
  fail_unless_equals_int(times.p95(), 8 * kMs);
  for (GstClockTime pts = 100; pts < 1000; pts++) // none of them comes out
    times.given(pts, 0);
  times.came_out(100, 3600 * 1000 * kMs);
  fail_unless_equals_int(times.p95(), 8 * kMs);
}
GST_END_TEST

static Suite *freezes_suite() {
  Suite *suite = suite_create("freezes");
  TCase *tc = tcase_create("freezes");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_freezes_of_a_steady_picture_are_none);
  tcase_add_test(tc, test_freezes_are_counted);
  tcase_add_test(tc, test_freezes_do_not_count_a_pause);
  tcase_add_test(tc, test_freezes_depend_on_what_is_usual);
  tcase_add_test(tc, test_freezes_decoding_takes_from_in_to_out);
  return suite;
}

GST_CHECK_MAIN(freezes);
