// SPDX-License-Identifier: LGPL-2.1-or-later
// The path between publisher and viewer goes away and comes back: so do the frames.
#include <algorithm>
#include <memory>
#include <vector>

#include "relayed-lane.h"
#include "time-factor.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr unsigned kSeed = 11;
// What is on its way when the path breaks is played, and it takes its time to arrive.
constexpr unsigned kInFlightMs = 500;
constexpr int kBackMs = 600; // 300 is the aim

// Blackouts of these lengths, side by side. Returns, in order of size, how many
// milliseconds after the end of each the frames were back.
std::vector<gint64> black_out(const std::vector<unsigned> &lengths_ms) {
  std::vector<std::unique_ptr<Lane>> lanes;
  for (size_t i = 0; i < lengths_ms.size(); i++)
    lanes.push_back(std::make_unique<Lane>(kSeed + i));
  for (size_t i = 0; i < lanes.size(); i++)
    lanes[i]->relay.black_out(lengths_ms[i]);
  std::vector<gint64> result;
  for (size_t i = 0; i < lanes.size(); i++) {
    Lane &lane = *lanes[i];
    fail_unless(lane.relay.wait(90s, [](const auto &s) { return s.returned_us > 0; }));
    const gint64 returned = lane.relay.state().returned_us;
    lane.player().expect("frames after the blackout", [&](const Player::State &state) {
      return state.sinks.at("sink").last_us > returned;
    });
    lane.player().expect_buffers("sink", 20);
    const auto arrived = lane.arrived();
    const gint64 gap = (arrived.gap_to_us - arrived.gap_from_us) / 1000;
    const gint64 back = (arrived.gap_to_us - returned) / 1000;
    const bool anew = lane.publisher().state().sessions > 1;
    g_print("blackout of %u ms: frames back after %" G_GINT64_FORMAT " ms%s\n",
            lengths_ms[i], back, anew ? " from a new session" : "");
    fail_unless(gap + kInFlightMs >= lengths_ms[i], "frames came past the relay");
    lane.player().assert_seamless(anew);
    // One for the loss, none for attempts that failed while it lasted.
    fail_unless_equals_int(lane.player().state().warnings.size(), anew);
    result.push_back(back);
  }
  std::sort(result.begin(), result.end());
  return result;
}

} // namespace

GST_START_TEST(test_blackout_short) {
  const auto back = black_out({1000, 1000, 5000, 5000});
  fail_unless(back[back.size() / 2] < 3000);
}
GST_END_TEST

// Nothing of what was lost is waited for, and a keyframe is on its way after the first
// packet.
GST_START_TEST(test_blackout_is_over_at_once) {
  const auto back = black_out({3000, 3000, 3000});
  fail_unless(back[back.size() / 2] < kBackMs * time_factor(), "%d ms",
              static_cast<int>(back[back.size() / 2]));
}
GST_END_TEST

GST_START_TEST(test_blackout_long) {
  const auto back = black_out({15000, 16000, 17000, 18000, 60000, 62000});
  // About one second where nothing else runs.
  fail_unless(back[back.size() / 2] < 3000);
  fail_unless(back.back() < 8000);
}
GST_END_TEST

static Suite *blackout_suite() {
  Suite *suite = suite_create("vdoninjasrc-blackout");
  TCase *tc = tcase_create("blackout");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 150);
  tcase_add_test(tc, test_blackout_short);
  tcase_add_test(tc, test_blackout_is_over_at_once);
  tcase_add_test(tc, test_blackout_long);
  return suite;
}

GST_CHECK_MAIN(blackout);
