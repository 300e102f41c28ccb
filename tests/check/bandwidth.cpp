// SPDX-License-Identifier: LGPL-2.1-or-later
// Estimator and pacer behind a bottleneck, and what is reported by who lies. No network,
// and a clock of its own.
#include "bandwidth.h"

#include <cmath>
#include <functional>
#include <random>

#include "bottleneck.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

constexpr int64_t kMs = 1000, kSecond = 1000 * kMs;
constexpr unsigned kSeeds = 20;
constexpr unsigned kMin = Bottleneck::kMin, kMax = Bottleneck::kMax;

// A line of this rate with 20 ms each way and a queue of 200 ms.
PathConditions thin(unsigned kbit_s) {
  PathConditions conditions;
  conditions.rate_kbps = kbit_s;
  conditions.queue_ms = 200;
  conditions.delay_ms = 20;
  return conditions;
}

// `count` packets of 1000 bytes, 4 ms apart, that take 20 ms; from `number` on.
std::vector<SentPacket> packets(uint16_t number, unsigned count, int64_t sent_us) {
  std::vector<SentPacket> result;
  for (unsigned i = 0; i < count; i++) {
    SentPacket packet;
    packet.number = static_cast<uint16_t>(number + i);
    packet.sent_us = sent_us + 4 * kMs * i;
    packet.received_us = packet.sent_us + 20 * kMs;
    packet.size = 1000;
    result.push_back(packet);
  }
  return result;
}

// Reports of 25 packets each 100 ms, as `change` makes them, for `seconds`.
template <typename Change>
void report(Bandwidth *bandwidth, double seconds, int64_t *now_us, Change change) {
  uint16_t number = 0;
  for (int i = 0; i < seconds * 10; i++, *now_us += 100 * kMs, number += 25) {
    auto told = packets(number, 25, *now_us);
    for (SentPacket &packet : told)
      change(&packet);
    bandwidth->on_feedback(told, *now_us + 140 * kMs);
  }
}

void as_it_is(SentPacket *) {}

} // namespace

// given a line that carries 3000 kbit/s, then 600, then 3000 again,
// then the rate is below 600 soon, the queue is not full for long, and it comes back.
GST_START_TEST(test_bandwidth_follows_a_bottleneck) {
  for (unsigned seed = 1; seed <= kSeeds; seed++) {
    Bottleneck scene(seed);
    scene.line.conditions() = thin(3000);
    scene.run(10);
    fail_unless(scene.bandwidth.kbit_s() > 0.9 * kMax, "seed %u: %u", seed,
                scene.bandwidth.kbit_s());
    scene.clear();
    scene.line.conditions() = thin(600);
    const double fell =
        scene.run_until(10, [&] { return scene.bandwidth.kbit_s() < 600; });
    fail_unless(fell <= 1.5, "seed %u: %f s", seed, fell);
    scene.run(3 - fell);
    scene.clear();
    scene.run(27);
    const Bottleneck::Seen seen = scene.seen();
    fail_unless(seen.lowest >= 300, "seed %u: %u", seed, seen.lowest);
    fail_unless(seen.highest <= 750, "seed %u: %u", seed, seen.highest);
    fail_unless(seen.longest_wait_us <= 260 * kMs);
    fail_unless(seen.worst_ratio <= 1.5, "seed %u: %f", seed, seen.worst_ratio);
    fail_unless(seen.pictures >= 27 * 30 - 2);
    scene.line.conditions() = thin(3000);
    const double rose =
        scene.run_until(40, [&] { return scene.bandwidth.kbit_s() >= 0.8 * kMax; });
    fail_unless(rose <= 10, "seed %u: %f s", seed, rose);
  }
}
GST_END_TEST

// given a stream that is not encoded here, and a line that carries a third of it,
// then the viewer is slow soon, and gets keyframes and sound, none of it late,
// and all of it again when the line does.
GST_START_TEST(test_bandwidth_of_a_stream_that_is_what_it_is) {
  for (unsigned seed = 1; seed <= kSeeds; seed++) {
    Bottleneck scene(seed);
    scene.pass(3000);
    scene.line.conditions() = thin(1000);
    const double slow = scene.run_until(10, [&] { return scene.is_slow(); });
    fail_unless(slow <= 4, "seed %u: %f s", seed, slow);
    scene.run(3);
    scene.clear();
    scene.run(30);
    const Bottleneck::Seen seen = scene.seen();
    fail_unless(scene.is_slow() && seen.pictures >= 15, "seed %u: %u", seed,
                seen.pictures);
    fail_unless(seen.longest_wait_us <= 510 * kMs);
    scene.line.conditions() = thin(6000);
    const double back = scene.run_until(60, [&] { return !scene.is_slow(); });
    fail_unless(back <= 30, "seed %u: %f s", seed, back);
    scene.run(2);
    scene.clear();
    scene.run(10);
    fail_unless(!scene.is_slow() && scene.seen().pictures >= 298, "seed %u: %u", seed,
                scene.seen().pictures);
  }
}
GST_END_TEST

// given a calm scene and a spike on the line, so that the estimate is as low as the calm,
// then a viewer whose line has room is sent all that moves.
GST_START_TEST(test_bandwidth_of_a_stream_that_wakes_up) {
  for (unsigned seed = 1; seed <= kSeeds; seed++) {
    Bottleneck scene(seed);
    scene.pass(200);
    scene.line.conditions() = thin(20000);
    scene.run(20);
    scene.line.conditions() = thin(100);
    scene.run(1);
    scene.line.conditions() = thin(20000);
    scene.run(30);
    scene.pass(4000);
    scene.clear();
    for (int i = 0; i < 20; i++) {
      scene.run(1);
      fail_if(scene.is_slow(), "seed %u, after %d s", seed, i);
    }
    fail_unless(scene.seen().pictures >= 598, "seed %u: %u", seed, scene.seen().pictures);
  }
}
GST_END_TEST

// However much that is, whoever has room for it gets it at once.
GST_START_TEST(test_bandwidth_of_a_stream_that_passes_holds_up_nothing) {
  for (unsigned seed = 1; seed <= kSeeds; seed++)
    for (unsigned kbit_s : {300, 3000, 12000}) {
      Bottleneck scene(seed);
      scene.pass(kbit_s);
      scene.line.conditions() = thin(2 * kbit_s + 300);
      scene.run(3);
      scene.clear();
      for (int i = 0; i < 60; i++) {
        scene.run(1);
        fail_if(scene.is_slow(), "seed %u, %u kbit/s, after %d s", seed, kbit_s, i);
      }
      // The keyframe of five pictures' size takes its time.
      fail_unless(scene.seen().longest_wait_us <= 110 * kMs, "seed %u, %u kbit/s: %d us",
                  seed, kbit_s, static_cast<int>(scene.seen().longest_wait_us));
    }
}
GST_END_TEST

GST_START_TEST(test_bandwidth_random_loss_keeps_the_rate) {
  for (unsigned seed = 1; seed <= kSeeds; seed++) {
    Bottleneck scene(seed);
    scene.line.conditions().delay_ms = 20;
    scene.line.conditions().loss = 0.05;
    scene.run(60);
    fail_unless(scene.seen().lowest >= 0.8 * kMax, "seed %u: %u", seed,
                scene.seen().lowest);
    fail_unless(scene.seen().keyframes <= 6, "seed %u: %u", seed, scene.seen().keyframes);
  }
}
GST_END_TEST

// given a line that loses 5 %, and was full for a while,
GST_START_TEST(test_bandwidth_comes_back_in_spite_of_random_loss) {
  for (unsigned seed = 1; seed <= kSeeds; seed++) {
    Bottleneck scene(seed);
    scene.line.conditions() = thin(600);
    scene.line.conditions().loss = 0.05;
    scene.run(20);
    fail_unless(scene.bandwidth.kbit_s() < 700, "seed %u: %u", seed,
                scene.bandwidth.kbit_s());
    scene.line.conditions() = thin(3000);
    scene.line.conditions().loss = 0.05;
    const double rose =
        scene.run_until(90, [&] { return scene.bandwidth.kbit_s() >= 0.8 * kMax; });
    fail_unless(rose <= 60, "seed %u: %f s", seed, rose);
  }
}
GST_END_TEST

GST_START_TEST(test_bandwidth_jitter_is_no_overuse) {
  for (unsigned seed = 1; seed <= kSeeds; seed++)
    for (bool overtaking : {false, true}) {
      Bottleneck scene(seed);
      scene.line.conditions().delay_ms = 20;
      scene.line.conditions().jitter_ms = 20;
      scene.line.conditions().overtaking = overtaking;
      scene.run(60);
      fail_unless(scene.seen().overuses == 0, "seed %u, %d: %u", seed, overtaking,
                  scene.seen().overuses);
      fail_unless(scene.seen().lowest == kMax, "seed %u, %d: %u", seed, overtaking,
                  scene.seen().lowest);
    }
}
GST_END_TEST

// What it sends meanwhile, and the two pictures that it has when it goes on, say nothing
// about the line.
GST_START_TEST(test_bandwidth_encoder_that_stalls_lowers_nothing) {
  for (unsigned seed = 1; seed <= kSeeds; seed++) {
    Bottleneck scene(seed);
    scene.line.conditions() = thin(3000);
    scene.run(5);
    scene.clear();
    for (double stall : {0.3, 1.0, 4.0}) {
      scene.encoder_stalls = true;
      scene.run(stall);
      scene.encoder_stalls = false;
      scene.run(3);
    }
    // They make a queue, which may be seen.
    fail_unless(scene.seen().lowest >= 0.8 * kMax, "seed %u: %u", seed,
                scene.seen().lowest);
  }
}
GST_END_TEST

// A third of the packets: down to the floor, and back.
GST_START_TEST(test_bandwidth_heavy_loss_ends) {
  Bottleneck scene(1);
  scene.line.conditions().delay_ms = 20;
  scene.line.conditions().loss = 0.3;
  scene.run(10);
  fail_unless(scene.bandwidth.kbit_s() <= 2 * kMin, "%u", scene.bandwidth.kbit_s());
  scene.line.conditions().loss = 0;
  const double rose =
      scene.run_until(60, [&] { return scene.bandwidth.kbit_s() >= 0.8 * kMax; });
  fail_unless(rose <= 20, "%f s", rose);
}
GST_END_TEST

// Those that were overtaken are reported as lost first.
GST_START_TEST(test_bandwidth_what_came_late_is_not_lost) {
  Bandwidth bandwidth({kMin, kMax}, kMax);
  auto told = packets(0, 100, 0);
  for (unsigned i = 0; i < 5; i++)
    told[i * 20].lost = true;
  bandwidth.on_feedback(told, 500 * kMs);
  bandwidth.on_feedback({}, 500 * kMs);
  fail_unless(bandwidth.loss() == 0.05, "%f", bandwidth.loss());
  std::vector<SentPacket> late;
  for (unsigned i = 0; i < 2; i++) {
    SentPacket packet;
    packet.number = static_cast<uint16_t>(i * 20);
    late.push_back(packet);
    late.push_back(packet); // twice
  }
  bandwidth.on_feedback(late, 501 * kMs);
  fail_unless(bandwidth.loss() == 0.03, "%f", bandwidth.loss());
}
GST_END_TEST

// given reports of half the packets lost,
// then what was sent before the rate went down does not lower it again.
GST_START_TEST(test_bandwidth_loss_is_held_against_the_rate_once) {
  Bandwidth bandwidth({kMin, kMax}, kMax);
  const auto lose = [&](int64_t sent_us, int64_t now_us) {
    auto told = packets(0, 100, sent_us);
    for (unsigned i = 0; i < 100; i += 2)
      told[i].lost = true;
    bandwidth.on_feedback(told, now_us);
    bandwidth.on_feedback({}, now_us);
    return bandwidth.kbit_s();
  };
  fail_unless_equals_int(lose(0, 500 * kMs), 0.75 * kMax);
  const unsigned later = lose(50 * kMs, 900 * kMs);
  fail_unless(later >= 0.75 * kMax, "%u", later);
  fail_unless(lose(1000 * kMs, 1500 * kMs) < 0.8 * later);
}
GST_END_TEST

GST_START_TEST(test_bandwidth_repeats_are_no_loss) {
  Bandwidth bandwidth({kMin, kMax}, kMax);
  int64_t now_us = kSecond;
  report(&bandwidth, 5, &now_us, [](SentPacket *packet) {
    packet->repeat = packet->lost = packet->number % 2 == 0;
  });
  fail_unless(bandwidth.loss() == 0);
  fail_unless_equals_int(bandwidth.kbit_s(), kMax);
}
GST_END_TEST

GST_START_TEST(test_bandwidth_limits_hold_at_once) {
  Bandwidth bandwidth({kMin, kMax}, 10000);
  fail_unless_equals_int(bandwidth.kbit_s(), kMax);
  bandwidth.set_limits({kMin, 800});
  fail_unless_equals_int(bandwidth.kbit_s(), 800);
  bandwidth.set_limits({1000, 900}); // the wrong way round
  fail_unless_equals_int(bandwidth.kbit_s(), 1000);
  bandwidth.set_limits({kMin, 5000}); // nothing else held it
  fail_unless_equals_int(bandwidth.kbit_s(), 5000);
}
GST_END_TEST

// Static pictures: nobody knows what the network would carry.
GST_START_TEST(test_bandwidth_grows_no_further_than_what_arrives) {
  Bandwidth bandwidth({kMin, 8000}, 500);
  int64_t now_us = kSecond;
  report(&bandwidth, 20, &now_us, as_it_is); // 2000 kbit/s
  fail_unless(bandwidth.kbit_s() >= 2000 && bandwidth.kbit_s() <= 3100, "%u",
              bandwidth.kbit_s());
  fail_unless(bandwidth.acknowledged_kbit_s() == 2000, "%u",
              bandwidth.acknowledged_kbit_s());
}
GST_END_TEST

GST_START_TEST(test_bandwidth_without_feedback_goes_by_receiver_reports) {
  Bandwidth bandwidth({kMin, kMax}, kMax / 2);
  int64_t now_us = 100 * kSecond;
  const auto tell = [&](double loss, unsigned reports) {
    for (; reports > 0; reports--, now_us += kSecond)
      bandwidth.on_receiver_report(loss, now_us);
  };
  tell(0, 3);
  fail_unless(bandwidth.kbit_s() < 0.7 * kMax, "%u", bandwidth.kbit_s());
  tell(0, 15);
  fail_unless_equals_int(bandwidth.kbit_s(), kMax);
  tell(0.05, 20);
  fail_unless_equals_int(bandwidth.kbit_s(), kMax);
  tell(0.5, 2);
  fail_unless(bandwidth.kbit_s() < 0.6 * kMax);
  tell(1, 30);
  fail_unless_equals_int(bandwidth.kbit_s(), kMin);
  tell(-1e308, 2);
  tell(std::nan(""), 2);
  tell(1e308, 2);
  fail_unless_equals_int(bandwidth.kbit_s(), kMin);
}
GST_END_TEST

GST_START_TEST(test_bandwidth_receiver_reports_do_not_count_beside_feedback) {
  Bandwidth bandwidth({kMin, kMax}, kMax);
  int64_t now_us = kSecond;
  report(&bandwidth, 2, &now_us, as_it_is);
  bandwidth.on_receiver_report(0.9, now_us + kSecond);
  fail_unless_equals_int(bandwidth.kbit_s(), kMax);
  bandwidth.on_receiver_report(0.9, now_us + 10 * kSecond);
  fail_unless(bandwidth.kbit_s() < 0.6 * kMax, "%u", bandwidth.kbit_s());
}
GST_END_TEST

// A clock of the viewer's that jumps, stands, runs backwards or at another pace tells
// nothing, and lowers nothing.
GST_START_TEST(test_bandwidth_clock_that_lies_lowers_nothing) {
  const std::function<void(SentPacket *)> lies[] = {
      [](SentPacket *packet) { packet->received_us = 5 * kSecond; },
      [](SentPacket *packet) { packet->received_us = -packet->received_us; },
      [](SentPacket *packet) {
        packet->received_us += packet->number / 25 % 2 * 10 * kSecond;
      },
      [](SentPacket *packet) { // wraps, as before GStreamer 1.26
        if (packet->number > 250)
          packet->received_us -= (int64_t{1} << 24) * 64 * kMs;
      },
      [](SentPacket *packet) { packet->received_us /= 2; },
      [](SentPacket *packet) { packet->size = 0; },
  };
  for (const auto &lie : lies) {
    Bandwidth bandwidth({kMin, kMax}, kMax);
    int64_t now_us = kSecond;
    report(&bandwidth, 10, &now_us, lie);
    fail_unless_equals_int(bandwidth.kbit_s(), kMax);
  }
}
GST_END_TEST

// given reports of any kind,
// then the estimate is within its limits, and fit for honest ones afterwards.
GST_START_TEST(test_bandwidth_random_reports_do_no_harm) {
  std::mt19937_64 random(13);
  for (unsigned round = 0; round < 20; round++) {
    Bandwidth bandwidth({kMin, kMax}, kMax);
    int64_t now_us = kSecond;
    for (unsigned i = 0; i < 300; i++, now_us += random() % (300 * kMs)) {
      auto told = packets(static_cast<uint16_t>(random()), random() % 60, now_us);
      for (SentPacket &packet : told) {
        const uint64_t any = random();
        packet.lost = any % 5 == 0;
        packet.repeat = any % 7 == 0;
        if (any % 3 == 0)
          packet.received_us = static_cast<int64_t>(random() / GST_USECOND);
        if (any % 11 == 0)
          packet.sent_us -= static_cast<int64_t>(random() % (5 * kSecond));
        if (any % 13 == 0)
          packet.size = any % 2 ? 0 : UINT32_MAX;
      }
      bandwidth.on_feedback(told, now_us);
      bandwidth.on_receiver_report(static_cast<double>(random()), now_us);
      fail_unless(bandwidth.kbit_s() >= kMin && bandwidth.kbit_s() <= kMax);
      fail_unless(bandwidth.round_trip_us() > 0 &&
                  bandwidth.round_trip_us() <= 3 * kSecond);
      fail_unless(bandwidth.loss() >= 0 && bandwidth.loss() <= 1);
    }
    report(&bandwidth, 40, &now_us, as_it_is);
    fail_unless(bandwidth.kbit_s() >= 0.8 * kMax, "round %u: %u", round,
                bandwidth.kbit_s());
  }
}
GST_END_TEST

static Suite *bandwidth_suite(void) {
  Suite *suite = suite_create("bandwidth");
  TCase *cases = tcase_create("bandwidth");
  suite_add_tcase(suite, cases);
  tcase_add_test(cases, test_bandwidth_follows_a_bottleneck);
  tcase_add_test(cases, test_bandwidth_of_a_stream_that_is_what_it_is);
  tcase_add_test(cases, test_bandwidth_of_a_stream_that_wakes_up);
  tcase_add_test(cases, test_bandwidth_of_a_stream_that_passes_holds_up_nothing);
  tcase_add_test(cases, test_bandwidth_random_loss_keeps_the_rate);
  tcase_add_test(cases, test_bandwidth_comes_back_in_spite_of_random_loss);
  tcase_add_test(cases, test_bandwidth_jitter_is_no_overuse);
  tcase_add_test(cases, test_bandwidth_encoder_that_stalls_lowers_nothing);
  tcase_add_test(cases, test_bandwidth_heavy_loss_ends);
  tcase_add_test(cases, test_bandwidth_what_came_late_is_not_lost);
  tcase_add_test(cases, test_bandwidth_loss_is_held_against_the_rate_once);
  tcase_add_test(cases, test_bandwidth_repeats_are_no_loss);
  tcase_add_test(cases, test_bandwidth_limits_hold_at_once);
  tcase_add_test(cases, test_bandwidth_grows_no_further_than_what_arrives);
  tcase_add_test(cases, test_bandwidth_without_feedback_goes_by_receiver_reports);
  tcase_add_test(cases, test_bandwidth_receiver_reports_do_not_count_beside_feedback);
  tcase_add_test(cases, test_bandwidth_clock_that_lies_lowers_nothing);
  tcase_add_test(cases, test_bandwidth_random_reports_do_no_harm);
  return suite;
}

GST_CHECK_MAIN(bandwidth);
