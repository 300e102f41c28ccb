// SPDX-License-Identifier: LGPL-2.1-or-later
#include "retry.h"

#include <gst/check/gstcheck.h>

using namespace vdn;

// The middle of the jitter is the plain delay.
GST_START_TEST(test_retry_reconnect_doubles_to_thirty_seconds) {
  const unsigned expected[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
  for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++)
    fail_unless_equals_int(reconnect_delay_ms(i, 0.5), expected[i]);
  fail_unless_equals_int(reconnect_delay_ms(G_MAXUINT, 0.5), 30000);
}
GST_END_TEST

GST_START_TEST(test_retry_jitter_is_a_fifth_either_way) {
  fail_unless_equals_int(reconnect_delay_ms(0, 0.0), 800);
  for (unsigned attempt = 0; attempt < 10; attempt++)
    for (double random : {0.0, 0.1, 0.9, 0.999999}) {
      const unsigned plain = reconnect_delay_ms(attempt, 0.5);
      const unsigned delay = reconnect_delay_ms(attempt, random);
      fail_unless(delay >= plain * 8 / 10 && delay <= plain * 12 / 10);
    }
}
GST_END_TEST

GST_START_TEST(test_retry_play_before_anything_was_seen) {
  // A hosted server remembers the request, but a publisher who has it may die.
  const unsigned hosted[] = {5000, 15000, 45000, 180000, 900000, 900000};
  for (unsigned i = 0; i < G_N_ELEMENTS(hosted); i++)
    fail_unless_equals_int(play_delay_ms(Dialect::kHosted, false, i, 0.5), hosted[i]);
  const unsigned custom[] = {5000, 10000, 20000, 40000, 60000, 60000};
  for (unsigned i = 0; i < G_N_ELEMENTS(custom); i++)
    fail_unless_equals_int(play_delay_ms(Dialect::kCustom, false, i, 0.5), custom[i]);
}
GST_END_TEST

GST_START_TEST(test_retry_play_after_a_loss_slows_down) {
  for (Dialect dialect : {Dialect::kHosted, Dialect::kCustom}) {
    unsigned before = 0;
    for (unsigned attempt = 0; attempt < 5; attempt++) {
      const unsigned delay = play_delay_ms(dialect, true, attempt, 0.5);
      // No server is asked twice within this, whatever the jitter.
      fail_unless(delay > before && delay >= 1500);
      before = delay;
    }
    fail_unless_equals_int(before, 180000);
    fail_unless_equals_int(play_delay_ms(dialect, true, G_MAXUINT, 0.5), 180000);
  }
}
GST_END_TEST

GST_START_TEST(test_retry_alerts) {
  const struct {
    const char *text;
    Alert expected;
  } cases[] = {
      {"Stream ID is already in use.", Alert::kTerminal},
      {"Room is already claimed by someone else.", Alert::kTerminal},
      {"DUPLICATE connection", Alert::kTerminal},
      {"transfer conflict", Alert::kTerminal},
      {"This client is not approved", Alert::kTerminal},
      {"Request rejected", Alert::kTerminal},
      {"Room is full", Alert::kBackOff},
      {"Server busy, try again shortly", Alert::kBackOff},
      {"temporarily UNAVAILABLE", Alert::kBackOff},
      {"viewer capacity reached", Alert::kBackOff},
      {"Welcome", Alert::kNote},
      {"", Alert::kNote},
  };
  for (const auto &c : cases)
    fail_unless(classify_alert(c.text) == c.expected, "%s", c.text);
  fail_unless(classify_alert(std::string_view("busybody", 3)) == Alert::kNote);
}
GST_END_TEST

static Suite *retry_suite(void) {
  Suite *s = suite_create("retry");
  TCase *tc = tcase_create("retry");
  suite_add_tcase(s, tc);
  tcase_add_test(tc, test_retry_reconnect_doubles_to_thirty_seconds);
  tcase_add_test(tc, test_retry_jitter_is_a_fifth_either_way);
  tcase_add_test(tc, test_retry_play_before_anything_was_seen);
  tcase_add_test(tc, test_retry_play_after_a_loss_slows_down);
  tcase_add_test(tc, test_retry_alerts);
  return s;
}

GST_CHECK_MAIN(retry)
