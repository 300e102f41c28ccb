// SPDX-License-Identifier: LGPL-2.1-or-later
// What size is asked for, on a clock of the test's own.
#include "overload.h"

#include <cmath>

#include <gst/check/gstcheck.h>

using vdn::Overload;

namespace {

// A decoder that takes `cost` of the time for pictures of full size, and measurements
// each two seconds.
struct Decoder {
  Overload overload;
  double cost = 0.3, share = 1;
  gint64 now = G_USEC_PER_SEC;
  unsigned changes = 0;

  double load() const { return std::min(cost * share * share, 1.0); }
  void run(unsigned seconds) {
    for (unsigned i = 0; i < seconds / 2; i++) {
      now += 2 * G_USEC_PER_SEC;
      if (auto wanted = overload.judge(load() >= 1, load(), now)) {
        share = *wanted;
        changes++;
      }
    }
  }
};

} // namespace

GST_START_TEST(test_overload_who_copes_asks_for_nothing) {
  Decoder decoder;
  decoder.cost = 0.85;
  decoder.run(600);
  fail_unless_equals_int(decoder.changes, 0);
}
GST_END_TEST

GST_START_TEST(test_overload_a_moment_is_forgiven) {
  Decoder decoder;
  for (int i = 0; i < 100; i++) {
    decoder.cost = 1.5;
    decoder.run(2);
    decoder.cost = 0.3;
    decoder.run(2);
  }
  fail_unless_equals_int(decoder.changes, 0);
}
GST_END_TEST

// 50 ms a picture at 30 frames/s: one and a half times what there is.
GST_START_TEST(test_overload_a_smaller_picture_is_asked_for_in_time) {
  Decoder decoder;
  decoder.cost = 1.5;
  decoder.run(4);
  fail_unless(std::fabs(decoder.share - 0.75) < 1e-9, "%f", decoder.share);
  decoder.run(26);
  fail_unless(decoder.load() < 0.9, "%f", decoder.load());
}
GST_END_TEST

GST_START_TEST(test_overload_goes_down_to_a_quarter_and_no_further) {
  Decoder decoder;
  decoder.cost = 100;
  decoder.run(600);
  fail_unless_equals_int(decoder.changes, 5);
  fail_unless(decoder.share > 0.2 && decoder.share < 0.25, "%f", decoder.share);
}
GST_END_TEST

GST_START_TEST(test_overload_comes_back_after_a_minute_of_calm) {
  Decoder decoder;
  decoder.cost = 1.5;
  decoder.run(30);
  fail_unless(decoder.overload.is_relieved());
  decoder.cost = 0.4;
  decoder.run(58);
  fail_unless(decoder.share < 1);
  decoder.run(6);
  fail_unless(decoder.share == 1);
  fail_if(decoder.overload.is_relieved());
}
GST_END_TEST

// One that copes at three quarters alone does not go back and forth.
GST_START_TEST(test_overload_a_step_back_that_failed_is_not_tried_soon) {
  Decoder decoder;
  decoder.cost = 1.5;
  decoder.run(30);
  // Calm at three quarters, and yet too much at full size.
  for (int i = 0; i < 35; i++) {
    decoder.now += 2 * G_USEC_PER_SEC;
    if (auto wanted = decoder.overload.judge(false, 0.4, decoder.now))
      decoder.share = *wanted;
  }
  fail_unless(decoder.share == 1);
  decoder.run(20);
  fail_unless(decoder.share < 1);
  const unsigned before = decoder.changes;
  decoder.cost = 0.4;
  decoder.run(560);
  fail_unless_equals_int(decoder.changes, before);
  decoder.run(60);
  fail_unless(decoder.changes > before);
}
GST_END_TEST

static Suite *overload_suite() {
  Suite *suite = suite_create("overload");
  TCase *tc = tcase_create("overload");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_overload_who_copes_asks_for_nothing);
  tcase_add_test(tc, test_overload_a_moment_is_forgiven);
  tcase_add_test(tc, test_overload_a_smaller_picture_is_asked_for_in_time);
  tcase_add_test(tc, test_overload_goes_down_to_a_quarter_and_no_further);
  tcase_add_test(tc, test_overload_comes_back_after_a_minute_of_calm);
  tcase_add_test(tc, test_overload_a_step_back_that_failed_is_not_tried_soon);
  return suite;
}

GST_CHECK_MAIN(overload);
