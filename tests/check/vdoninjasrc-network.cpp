// SPDX-License-Identifier: LGPL-2.1-or-later
// Loss, jitter, reordering, and paths that move: frames keep coming.
#include <memory>
#include <vector>

#include "relayed-lane.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr unsigned kSeed = 5;
constexpr unsigned kFrames = 60; // four seconds of them

using Lanes = std::vector<std::unique_ptr<Lane>>;

// What arrived is whole, in order, and from the session that was there at first.
void assert_undisturbed(Lane &lane) {
  const auto state = lane.player().state();
  const auto &arrived = state.sinks.at("sink");
  lane.player().assert_seamless(0);
  fail_unless_equals_int(lane.publisher().state().sessions, 1);
  fail_unless_equals_int(arrived.unstamped, 0);
  fail_unless_equals_int(arrived.stamps.backwards + arrived.stamps.repeated, 0);
}

unsigned keyframe_requests(const Publisher::State &state) {
  unsigned sum = 0;
  for (const auto &viewer : state.viewers)
    sum += viewer.status.keyframe_requests;
  return sum;
}

// Asks until one comes through: RTCP is lost as everything else is.
void assert_keyframe_request_arrives(Lane &lane) {
  const unsigned before = keyframe_requests(lane.publisher().state());
  bool arrived = false;
  for (int i = 0; i < 10 && !arrived; i++) {
    g_signal_emit_by_name(lane.player().source(), "request-keyframe");
    arrived = lane.publisher().wait(
        1s, [&](const auto &state) { return keyframe_requests(state) > before; });
  }
  fail_unless(arrived, "no keyframe request arrived");
}

void assert_survived_loss(Lane &lane, double loss) {
  const auto stamps = lane.arrived().stamps;
  const auto relayed = lane.relay.state();
  const auto &to_viewer = relayed.towards(End::kViewer);
  g_print("loss of %g, seed %u: %u frames came, %u are missing; %u packets came, "
          "%u were lost\n",
          loss, lane.seed, stamps.frames, stamps.missing, to_viewer.passed,
          to_viewer.lost);
  fail_unless(to_viewer.lost > 0);
  fail_unless(to_viewer.passed >= stamps.frames, "frames came past the relay");
  // One that was lost in spite of retransmission takes others with it, up to the keyframe
  // that is then asked for.
  fail_unless(stamps.missing == 0 ||
              keyframe_requests(lane.publisher().state()) > lane.requests_before);
  assert_undisturbed(lane);
  // Requests and keyframes are lost, too, five times in a row if it has to be.
  for (const auto &warning : lane.player().state().warnings)
    fail_unless(warning.text.find("no keyframe arrives") != std::string::npos, "%s",
                lane.player().describe().c_str());
}

} // namespace

GST_START_TEST(test_network_loss_in_both_directions) {
  const double losses[] = {0.05, 0.1, 0.2};
  Lanes lanes;
  for (size_t i = 0; i < G_N_ELEMENTS(losses); i++) {
    lanes.push_back(std::make_unique<Lane>(kSeed + i));
    lanes[i]->requests_before = keyframe_requests(lanes[i]->publisher().state());
    PathConditions conditions;
    conditions.loss = losses[i];
    lanes[i]->relay.set(conditions);
  }
  for (size_t i = 0; i < lanes.size(); i++) {
    lanes[i]->player().expect_buffers("sink", kFrames);
    assert_keyframe_request_arrives(*lanes[i]);
    lanes[i]->player().expect_buffers("sink", kFrames);
    assert_survived_loss(*lanes[i], losses[i]);
  }
  // Little goes that way: on the best lane perhaps none of it was lost.
  unsigned lost_to_publishers = 0;
  for (const auto &lane : lanes)
    lost_to_publishers += lane->relay.state().towards(End::kPublisher).lost;
  fail_unless(lost_to_publishers > 0);
}
GST_END_TEST

GST_START_TEST(test_network_jitter_and_reordering) {
  Lanes lanes;
  for (const char *latency : {"latency=400", ""}) {
    lanes.push_back(std::make_unique<Lane>(kSeed, latency));
    PathConditions conditions;
    conditions.delay_ms = 20;
    conditions.jitter_ms = 200;
    conditions.reorder = 0.1;
    lanes.back()->relay.set(conditions);
  }
  for (const auto &lane : lanes) {
    lane->player().expect_buffers("sink", kFrames);
    const auto stamps = lane->arrived().stamps;
    g_print("jitter of 200 ms, seed %u: %u frames came, %u are missing\n", lane->seed,
            stamps.frames, stamps.missing);
    assert_undisturbed(*lane);
    fail_unless(lane->player().state().warnings.empty(), "%s",
                lane->player().describe().c_str());
  }
  // A buffer that matches the jitter has them all; one that does not delivers the rest.
  const auto stamps = lanes[0]->arrived().stamps;
  fail_unless(stamps.missing < stamps.frames / 10, "%u frames of %u are missing",
              stamps.missing, stamps.frames);
}
GST_END_TEST

// Each end in turn sees the other somewhere else, as behind a NAT that forgot it.
GST_START_TEST(test_network_path_moves) {
  Lanes lanes;
  for (const End end : {End::kViewer, End::kPublisher}) {
    lanes.push_back(std::make_unique<Lane>(kSeed));
    lanes.back()->relay.rebind(end);
  }
  const gint64 moved = g_get_monotonic_time();
  for (const auto &lane : lanes) {
    // Not of what was on its way, but of what came by the new path.
    lane->player().expect("frames by the new path", [&](const Player::State &state) {
      const auto &sink = state.sinks.at("sink");
      return sink.gap_to_us > moved && sink.gap_to_us - sink.gap_from_us > G_USEC_PER_SEC;
    });
    lane->player().expect_buffers("sink", kFrames);
    lane->player().assert_seamless(lane->publisher().state().sessions > 1);
    fail_unless(lane->player().state().warnings.size() <= 1, "%s",
                lane->player().describe().c_str());
  }
}
GST_END_TEST

GST_START_TEST(test_network_path_is_dead_for_good) {
  Lane lane(kSeed);
  lane.relay.abandon();
  lane.player().expect("a new session to play", [&](const Player::State &state) {
    return state.saw_state("reconnecting") && state.states.back() == "playing";
  });
  lane.player().expect_buffers("sink", kFrames);
  lane.player().assert_seamless(1);
  fail_unless_equals_int(lane.player().state().warnings.size(), 1);
  fail_unless(lane.relay.state().paths >= 2);
}
GST_END_TEST

static Suite *network_suite() {
  Suite *suite = suite_create("vdoninjasrc-network");
  TCase *tc = tcase_create("network");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 120);
  tcase_add_test(tc, test_network_loss_in_both_directions);
  tcase_add_test(tc, test_network_jitter_and_reordering);
  tcase_add_test(tc, test_network_path_moves);
  tcase_add_test(tc, test_network_path_is_dead_for_good);
  return suite;
}

GST_CHECK_MAIN(network);
