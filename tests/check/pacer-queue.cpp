// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pacer-queue.h"

#include <string>
#include <vector>

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using Kind = PacerQueue::Kind;

namespace {

constexpr gint64 kMs = 1000, kSecond = 1000 * kMs;
constexpr unsigned kBytes =
    1250; // 10 kbit: 5 ms at 1000 kbit/s, which leave at twice that
constexpr unsigned kRate = 1000;

struct Left {
  Kind kind;
  uint16_t number;
  gint64 at_us;
};

// A queue on a clock of its own, which runs in steps of 1 ms.
class Road {
public:
  explicit Road(unsigned kbit_s = kRate) : queue(kbit_s) {}

  PacerQueue queue;
  gint64 now_us = 5 * kSecond;
  std::vector<Left> left;

  void push(Kind kind, unsigned count = 1, bool keyframe = false,
            unsigned bytes = kBytes) {
    for (unsigned i = 0; i < count; i++) {
      PacerQueue::Packet packet;
      packet.kind = kind;
      packet.bytes = bytes;
      packet.number = kind == Kind::kVideo ? next_++ : 0;
      packet.keyframe = keyframe && i == 0;
      packet.arrived_us = now_us;
      queue.push(std::move(packet));
    }
  }
  void run(unsigned ms) {
    for (const gint64 end_us = now_us + ms * kMs; now_us < end_us; now_us += kMs) {
      const auto due_us = queue.due_us(now_us);
      const size_t before = left.size();
      while (auto packet = queue.pop(now_us))
        left.push_back({packet->kind, packet->number, now_us});
      fail_unless((left.size() > before) == (due_us && *due_us <= now_us));
    }
  }
  // As run(), but nothing can leave.
  void stand(unsigned ms) { now_us += ms * kMs; }
  std::string kinds() const {
    std::string result;
    for (const Left &packet : left)
      result += packet.kind == Kind::kSound   ? 'S'
                : packet.kind == Kind::kVideo ? 'V'
                                              : 'R';
    return result;
  }
  uint16_t next() const { return next_; }

private:
  uint16_t next_ = 65530; // wraps soon
};

} // namespace

GST_START_TEST(test_pacer_queue_sends_at_twice_the_rate) {
  Road road;
  road.push(Kind::kVideo, 40);
  road.run(1);
  fail_unless(road.left.size() <= 3, "%zu at once", road.left.size());
  road.run(99);
  fail_unless(road.left.size() >= 19 && road.left.size() <= 22, "%zu", road.left.size());
  road.queue.set_rate(4 * kRate);
  road.run(30);
  fail_unless(road.queue.empty());
  fail_unless_equals_int(road.queue.bytes(), 0);
  for (size_t i = 1; i < road.left.size(); i++)
    fail_unless(road.left[i].number ==
                static_cast<uint16_t>(road.left[i - 1].number + 1));
  fail_unless_equals_uint64(road.queue.counts().packets, 40);
  fail_unless_equals_uint64(road.queue.counts().bytes, 40 * kBytes);
}
GST_END_TEST

GST_START_TEST(test_pacer_queue_keeps_nothing_for_longer_than_250_ms) {
  for (unsigned kbit_s : {0u, 100u, 1000u}) {
    Road road(kbit_s);
    road.push(Kind::kVideo, 400);
    road.run(50);
    fail_unless(road.left.size() < 200, "%zu in a burst", road.left.size());
    for (unsigned i = 0; i < 20; i++) {
      road.push(Kind::kVideo, 10);
      road.run(10);
    }
    road.run(2);
    fail_unless(road.left.size() >= 400, "%u kbit/s: %zu", kbit_s, road.left.size());
    road.run(250);
    fail_unless(road.queue.empty(), "%u kbit/s", kbit_s);
  }
}
GST_END_TEST

GST_START_TEST(test_pacer_queue_sound_and_repeats_go_first) {
  Road road;
  road.push(Kind::kVideo, 10);
  road.push(Kind::kRepeat, 2);
  road.push(Kind::kSound, 2);
  road.run(200);
  const std::string kinds = road.kinds();
  fail_unless_equals_string(kinds.c_str(), "SSRRVVVVVVVVVV");
  fail_unless_equals_uint64(road.queue.counts().repeats, 2);
}
GST_END_TEST

// Sound does not wait at all, however much waits before it, and counts all the same.
GST_START_TEST(test_pacer_queue_sound_never_waits) {
  Road road(100);
  road.push(Kind::kVideo, 30);
  for (unsigned i = 0; i < 10; i++) {
    road.push(Kind::kSound, 1, false, 160);
    fail_unless(*road.queue.due_us(road.now_us) == road.now_us);
    road.run(20);
  }
  for (const Left &packet : road.left)
    if (packet.kind == Kind::kSound)
      fail_unless((packet.at_us - 5 * kSecond) % (20 * kMs) == 0);
}
GST_END_TEST

// A thread that was late makes up for 5 ms, not for all of the time.
GST_START_TEST(test_pacer_queue_late_thread_makes_no_burst) {
  Road road;
  road.push(Kind::kVideo, 40);
  road.stand(60);
  road.run(1);
  fail_unless(road.left.size() <= 4, "%zu", road.left.size());
}
GST_END_TEST

GST_START_TEST(test_pacer_queue_repeats_have_an_allowance) {
  Road road;
  unsigned allowed = 0;
  // 250 kbit/s are 26 packets of 1200 bytes a second, and 20 kB at once 16.
  for (unsigned i = 0; i < 10000; i++) {
    if (i % 10 == 0)
      road.stand(10);
    allowed += road.queue.allow_repeat(1, static_cast<uint16_t>(i), road.now_us);
  }
  fail_unless(allowed >= 260 + 14 && allowed <= 260 + 17, "%u", allowed);
  fail_unless_equals_uint64(road.queue.counts().refused, 10000 - allowed);
  fail_unless(road.queue.damaged());
  road.push(Kind::kVideo);
  fail_unless(road.queue.damaged());
  road.push(Kind::kVideo, 1, true);
  fail_if(road.queue.damaged());
}
GST_END_TEST

// 60 kbit/s at least, on the thinnest line; what waits is no more than 250 ms of it.
GST_START_TEST(test_pacer_queue_repeats_on_a_thin_line) {
  Road road(1);
  unsigned allowed = 0;
  for (unsigned i = 0; i < 1000; i++, road.stand(10))
    allowed += road.queue.allow_repeat(1, static_cast<uint16_t>(i), road.now_us);
  fail_unless(allowed >= 60 && allowed <= 70, "%u", allowed);
}
GST_END_TEST

GST_START_TEST(test_pacer_queue_repeat_is_under_way_for_a_round_trip) {
  Road road;
  road.queue.set_round_trip(100 * kMs);
  const auto ask = [&](uint32_t ssrc, uint16_t number) {
    return road.queue.allow_repeat(ssrc, number, road.now_us);
  };
  fail_unless(ask(1, 7));
  fail_if(ask(1, 7));
  fail_unless(ask(2, 7));
  fail_unless(ask(1, 8));
  road.stand(99);
  fail_if(ask(1, 7));
  fail_if(road.queue.damaged()); // it is on its way
  road.stand(1);
  fail_unless(ask(1, 7));
  road.queue.set_round_trip(0); // 60 ms at least
  road.stand(59);
  fail_if(ask(1, 7));
  road.stand(1);
  fail_unless(ask(1, 7));
}
GST_END_TEST

// given a way out that is blocked,
// then video is dropped up to the newest keyframe that waits, and is not repeated.
GST_START_TEST(test_pacer_queue_blocked_goes_on_at_the_newest_keyframe) {
  Road road;
  const uint16_t start = road.next();
  for (unsigned i = 0; i < 52; i++) {
    road.push(Kind::kVideo, 1, i == 0 || i == 20 || i == 40);
    road.stand(10);
    fail_unless(road.queue.backlogged(road.now_us) == (i >= 25 && i < 51), "%u", i);
  }
  fail_if(road.queue.skipping() || road.queue.damaged());
  fail_unless_equals_uint64(road.queue.counts().dropped, 40);
  fail_if(road.queue.allow_repeat(1, static_cast<uint16_t>(start + 39), road.now_us));
  fail_unless(road.queue.allow_repeat(1, static_cast<uint16_t>(start + 40), road.now_us));
  fail_if(road.queue.damaged());
  road.run(300);
  fail_unless_equals_int(road.left.size(), 12);
  fail_unless_equals_int(road.left[0].number, static_cast<uint16_t>(start + 40));
  fail_if(road.queue.backlogged(road.now_us));
}
GST_END_TEST

// Without one it waits for the next. The sound goes on with what is new.
GST_START_TEST(test_pacer_queue_blocked_without_keyframe_waits_for_one) {
  Road road;
  for (unsigned i = 0; i < 1000; i++) {
    road.push(Kind::kVideo, 4, i == 0);
    road.push(Kind::kSound, 1, false, 160);
    road.stand(20);
    fail_unless(road.queue.bytes() < 200000, "%zu", road.queue.bytes());
  }
  fail_unless(road.queue.skipping() && road.queue.damaged());
  fail_if(road.queue.allow_repeat(1, 1, road.now_us));
  road.run(300);
  fail_unless(road.left.size() >= 20 && road.left.size() <= 27, "%zu", road.left.size());
  fail_unless(road.kinds().find('V') == std::string::npos);
  road.push(Kind::kVideo, 4);
  fail_unless(road.queue.empty());
  road.push(Kind::kVideo, 4, true);
  road.push(Kind::kVideo, 4);
  road.run(200);
  fail_unless(road.kinds().find("VVVVVVVV") != std::string::npos);
  fail_if(road.queue.skipping() || road.queue.damaged());
}
GST_END_TEST

GST_START_TEST(test_pacer_queue_huge_picture_is_dropped) {
  Road road;
  road.push(Kind::kVideo, 20000, true);
  fail_unless(road.queue.bytes() < (5 << 20), "%zu", road.queue.bytes());
  fail_unless(road.queue.skipping());
  road.push(Kind::kVideo, 1, true);
  road.run(300);
  fail_unless(road.queue.empty());
}
GST_END_TEST

// More than would leave within 250 ms at twice the rate.
GST_START_TEST(test_pacer_queue_backlog_is_told) {
  Road road;
  road.push(Kind::kVideo, 50);
  fail_if(road.queue.backlogged(road.now_us));
  road.push(Kind::kVideo, 1);
  fail_unless(road.queue.backlogged(road.now_us));
  road.queue.set_rate(2 * kRate);
  fail_if(road.queue.backlogged(road.now_us));
  road.stand(251);
  fail_unless(road.queue.backlogged(road.now_us));
  road.queue.clear();
  fail_if(road.queue.backlogged(road.now_us));
  fail_if(road.queue.due_us(road.now_us).has_value());
}
GST_END_TEST

static Suite *pacer_queue_suite(void) {
  Suite *suite = suite_create("pacer-queue");
  TCase *cases = tcase_create("pacer-queue");
  suite_add_tcase(suite, cases);
  tcase_add_test(cases, test_pacer_queue_sends_at_twice_the_rate);
  tcase_add_test(cases, test_pacer_queue_keeps_nothing_for_longer_than_250_ms);
  tcase_add_test(cases, test_pacer_queue_sound_and_repeats_go_first);
  tcase_add_test(cases, test_pacer_queue_sound_never_waits);
  tcase_add_test(cases, test_pacer_queue_late_thread_makes_no_burst);
  tcase_add_test(cases, test_pacer_queue_repeats_have_an_allowance);
  tcase_add_test(cases, test_pacer_queue_repeats_on_a_thin_line);
  tcase_add_test(cases, test_pacer_queue_repeat_is_under_way_for_a_round_trip);
  tcase_add_test(cases, test_pacer_queue_blocked_goes_on_at_the_newest_keyframe);
  tcase_add_test(cases, test_pacer_queue_blocked_without_keyframe_waits_for_one);
  tcase_add_test(cases, test_pacer_queue_huge_picture_is_dropped);
  tcase_add_test(cases, test_pacer_queue_backlog_is_told);
  return suite;
}

GST_CHECK_MAIN(pacer_queue);
