// SPDX-License-Identifier: LGPL-2.1-or-later
#include "keyframes.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

constexpr int64_t kMs = 1000, kSecond = 1000 * kMs;
constexpr auto kAsked = KeyframeCause::kAsked;

// An encoder that needs 50 ms for a keyframe, and viewers that ask, in steps of 10 ms.
class Studio {
public:
  Keyframes keyframes;
  int64_t now_us = 7 * kSecond;
  unsigned made = 0;

  template <typename Ask> void run(double seconds, Ask ask) {
    const int64_t end_us = now_us + static_cast<int64_t>(seconds * kSecond);
    for (; now_us < end_us; now_us += 10 * kMs) {
      ask();
      const auto due_us = keyframes.due_us();
      const bool taken = keyframes.take(now_us);
      fail_unless(taken == (due_us && *due_us <= now_us));
      if (taken)
        comes_us_ = now_us + 50 * kMs;
      if (now_us != comes_us_)
        continue;
      fail_if(made > 0 && now_us - came_us_ < 300 * kMs, "too soon");
      keyframes.came(now_us);
      came_us_ = now_us;
      made++;
    }
  }
  void run(double seconds) {
    run(seconds, [] {});
  }
  bool request(const char *viewer, KeyframeCause cause = kAsked) {
    return keyframes.request(viewer, cause, now_us);
  }

private:
  int64_t comes_us_ = -1, came_us_ = -1;
};

} // namespace

GST_START_TEST(test_keyframes_one_serves_all) {
  Studio studio;
  for (unsigned i = 0; i < 8; i++) {
    fail_unless(studio.request(std::to_string(i).c_str(), KeyframeCause::kJoined));
    studio.run(0.01);
  }
  studio.run(5);
  fail_unless(studio.made <= 2, "%u", studio.made);
  fail_unless_equals_int(studio.keyframes.counts().asked, 8);
  fail_unless_equals_int(studio.keyframes.counts().made, studio.made);
}
GST_END_TEST

// The first at once, the next 300 ms later: a request that comes too early is kept.
GST_START_TEST(test_keyframes_early_request_is_kept) {
  Studio studio;
  studio.request("a");
  studio.run(0.1);
  fail_unless_equals_int(studio.made, 1);
  studio.request("b");
  studio.run(0.2);
  fail_unless_equals_int(studio.made, 1);
  studio.run(0.3);
  fail_unless_equals_int(studio.made, 2);
  studio.run(10);
  fail_unless_equals_int(studio.made, 2);
}
GST_END_TEST

// Three, and one each 5 s; the others are not held up.
GST_START_TEST(test_keyframes_who_asks_all_the_time_gets_few) {
  Studio studio;
  studio.run(20, [&] { studio.request("greedy"); });
  fail_unless(studio.made >= 6 && studio.made <= 7, "%u", studio.made);
  const auto counts = studio.keyframes.counts("greedy");
  fail_unless_equals_int(counts.asked, 2000);
  fail_unless(counts.refused > 1500, "%u", counts.refused);
  fail_unless_equals_int(counts.made, studio.made);
  fail_unless(studio.request("b"));
  studio.run(0.4);
  fail_unless(studio.made >= 7);
  fail_unless_equals_int(studio.keyframes.counts("nobody").asked, 0);
}
GST_END_TEST

GST_START_TEST(test_keyframes_allowance_fills_up_to_three) {
  Studio studio;
  const auto ask = [&] {
    const bool allowed = studio.request("a");
    studio.run(0.5);
    return allowed;
  };
  fail_unless(ask() && ask() && ask());
  fail_if(ask());
  studio.run(5);
  fail_unless(ask());
  fail_if(ask());
  studio.run(60);
  fail_unless(ask() && ask() && ask());
  fail_if(ask());
  fail_unless(studio.request("a", KeyframeCause::kJoined)); // costs none
}
GST_END_TEST

// One that is on its way serves everybody, and costs nobody anything.
GST_START_TEST(test_keyframes_on_its_way_costs_nothing) {
  Studio studio;
  for (unsigned i = 0; i < 20; i++) {
    fail_unless(studio.request("a", KeyframeCause::kJoined));
    fail_unless(studio.request("b"));
    studio.run(0.5);
  }
  fail_unless_equals_int(studio.made, 20);
}
GST_END_TEST

GST_START_TEST(test_keyframes_slow_viewer_gets_one_each_four_seconds) {
  Studio studio;
  studio.run(20, [&] { studio.request("slow", KeyframeCause::kSlow); });
  fail_unless_equals_int(studio.made, 5);
  fail_unless(studio.request("slow")); // the allowance is another
}
GST_END_TEST

// However many there are, and whenever they became slow.
GST_START_TEST(test_keyframes_slow_viewers_share_theirs) {
  Studio studio;
  const int64_t begun_us = studio.now_us;
  studio.run(20, [&] {
    for (unsigned i = 0; i < 4; i++)
      if (studio.now_us - begun_us >= i * kSecond)
        studio.request(std::to_string(i).c_str(), KeyframeCause::kSlow);
  });
  fail_unless_equals_int(studio.made, 5);
}
GST_END_TEST

GST_START_TEST(test_keyframes_encoder_that_does_not_hear_is_asked_again) {
  Keyframes keyframes;
  fail_if(keyframes.take(0));
  keyframes.request("a", kAsked, 0);
  fail_unless(keyframes.take(0));
  keyframes.request("a", kAsked, 900 * kMs);
  fail_if(keyframes.take(900 * kMs));
  keyframes.request("a", kAsked, 1100 * kMs);
  fail_unless(keyframes.take(1100 * kMs));
  // One that nobody asked for serves as well.
  keyframes.came(3 * kSecond);
  keyframes.request("a", kAsked, 3100 * kMs);
  keyframes.came(3200 * kMs);
  fail_if(keyframes.due_us().has_value());
  keyframes.remove("a");
  fail_unless_equals_int(keyframes.counts("a").asked, 0);
}
GST_END_TEST

GST_START_TEST(test_damage_is_mended_when_the_line_is_free) {
  DamageWatch watch;
  const int64_t never = -1000 * kSecond;
  fail_if(watch.asks(false, never, 0));
  fail_if(watch.asks(true, 0, 149 * kMs));
  fail_unless(watch.asks(true, 0, 150 * kMs));
  fail_if(watch.asks(true, 0, 1149 * kMs)); // once a second
  fail_if(watch.asks(false, 0, 1200 * kMs));
  fail_unless(watch.asks(true, 0, 1300 * kMs));
}
GST_END_TEST

static Suite *keyframes_suite(void) {
  Suite *suite = suite_create("keyframes");
  TCase *cases = tcase_create("keyframes");
  suite_add_tcase(suite, cases);
  tcase_add_test(cases, test_keyframes_one_serves_all);
  tcase_add_test(cases, test_keyframes_early_request_is_kept);
  tcase_add_test(cases, test_keyframes_who_asks_all_the_time_gets_few);
  tcase_add_test(cases, test_keyframes_allowance_fills_up_to_three);
  tcase_add_test(cases, test_keyframes_on_its_way_costs_nothing);
  tcase_add_test(cases, test_keyframes_slow_viewer_gets_one_each_four_seconds);
  tcase_add_test(cases, test_keyframes_slow_viewers_share_theirs);
  tcase_add_test(cases, test_keyframes_encoder_that_does_not_hear_is_asked_again);
  tcase_add_test(cases, test_damage_is_mended_when_the_line_is_free);
  return suite;
}

GST_CHECK_MAIN(keyframes);
