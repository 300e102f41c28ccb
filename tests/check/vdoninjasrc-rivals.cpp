// SPDX-License-Identifier: LGPL-2.1-or-later
// Two publishers that live and claim one id, on a server that keeps nobody apart.
#include "loopback.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr int kClaims = 12;

struct Rivals : Loopback {
  Rivals()
      : Loopback(claim(320), true), rival(second()), player(source() + video_sink()) {
    publish();
  }
  static PublisherConfig claim(int width) {
    PublisherConfig result = small_picture();
    result.dialect = Dialect::kCustom;
    result.with_audio = false;
    result.video.width = width;
    return result;
  }
  PublisherConfig second() const {
    PublisherConfig result = claim(480);
    result.server = server.url();
    return result;
  }
  void play() {
    player.play();
    player.expect_buffers("sink", 5);
  }
  void start_rival() {
    fail_unless(rival.start(nullptr));
    fail_unless(rival.wait(20s, [](const auto &state) { return state.online; }));
  }
  // The rival loses its socket and announces itself on the next one, over and over.
  void claim_again_and_again() {
    for (int i = 1; i <= kClaims; i++) {
      const unsigned connects = rival.state().connects;
      rival.drop_socket();
      fail_unless(rival.wait(20s, [&](const auto &state) {
        return state.online && state.connects > connects;
      }));
    }
  }

  Publisher rival;
  Player player;
};

} // namespace

GST_START_TEST(test_rivals_who_plays_goes_on_playing) {
  Rivals rivals;
  rivals.play();
  rivals.start_rival();
  rivals.claim_again_and_again();
  rivals.player.expect_buffers("sink", 20);
  const auto state = rivals.player.state();
  fail_unless_equals_int(rivals.rival.state().sessions, 0);
  fail_unless_equals_int(rivals.publisher->state().sessions, 1);
  fail_unless_equals_int(state.sinks.at("sink").disconts, 1);
  fail_unless_equals_int(state.sinks.at("sink").all_caps.size(), 1);
}
GST_END_TEST

// A request reaches both, and both offer: one of them is taken, and kept.
GST_START_TEST(test_rivals_that_both_offer_come_to_rest) {
  Rivals rivals;
  rivals.start_rival();
  rivals.play();
  rivals.claim_again_and_again();
  const unsigned before = rivals.player.state().sinks.at("sink").disconts;
  const unsigned sessions =
      rivals.rival.state().sessions + rivals.publisher->state().sessions;
  rivals.player.expect_buffers("sink", 60);
  const unsigned after =
      rivals.rival.state().sessions + rivals.publisher->state().sessions;
  fail_unless_equals_int(after, sessions);
  fail_unless_equals_int(rivals.player.state().sinks.at("sink").disconts, before);
  fail_unless(sessions <= 3, "%u sessions", sessions);
}
GST_END_TEST

// Who played dies: the rival is asked, and takes over.
GST_START_TEST(test_rivals_one_takes_over_from_the_dead) {
  Rivals rivals;
  rivals.play();
  rivals.start_rival();
  rivals.publisher->kill();
  rivals.player.expect_caps("sink", "width=(int)480"); // the rival's
  rivals.player.expect_buffers("sink", 10);
  fail_unless_equals_int(rivals.player.state().pads.size(), 1);
}
GST_END_TEST

static Suite *rivals_suite() {
  Suite *suite = suite_create("vdoninjasrc-rivals");
  TCase *tc = tcase_create("rivals");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_rivals_who_plays_goes_on_playing);
  tcase_add_test(tc, test_rivals_that_both_offer_come_to_rest);
  tcase_add_test(tc, test_rivals_one_takes_over_from_the_dead);
  return suite;
}

GST_CHECK_MAIN(rivals);
