// SPDX-License-Identifier: LGPL-2.1-or-later
// Publishers that cannot be reached, or are gone without a word: what that costs, and
// when it is over. These take their time, so they take it together.
#include <algorithm>

#include "loopback.h"
#include "scene.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

// When each session of a player began, monotonic us.
using Times = Watched<std::vector<gint64>>;

void note_sessions(Player &player, Times *times) {
  auto ready = [](GstElement *, const char *, GstElement *, Times *began) {
    began->update([](auto &list) { list.push_back(g_get_monotonic_time()); });
  };
  g_signal_connect(player.source(), "webrtcbin-ready", G_CALLBACK(+ready), times);
}

} // namespace

// Whom nobody reaches is tried ever more rarely: the third attempt waits, after 20 s for
// each of the first two. Meanwhile, in a room, one guest is killed: its pad goes, though
// no goodbye came, and the other plays on.
GST_START_TEST(test_away_for_good) {
  PublisherConfig config = video_only();
  config.password = "false"; // readable for the server
  Loopback nowhere(config);
  nowhere.server.set_hook([](Passing &passing) {
    passing.drop |= passing.text.find("\"candidates\"") != std::string::npos;
  });
  nowhere.publish();
  Times began;
  Player waits(nowhere.source("password=false") + video_sink());
  note_sessions(waits, &began);
  waits.play();

  Scene scene;
  auto one = scene.join("one"), two = scene.join("two");
  Player player(scene.source("room=room1 on-leave=remove") + raw_sink(0) + raw_sink(1),
                {"sink0", "sink1"});
  player.play();
  player.expect_buffers("sink0", 5);
  player.expect_buffers("sink1", 5);
  one->kill();

  // A busy publisher may be asked twice at first.
  const auto rarely = [](const auto &list) {
    return std::adjacent_find(list.begin(), list.end(), [](gint64 before, gint64 next) {
             return next - before > 23 * G_USEC_PER_SEC;
           }) != list.end();
  };
  fail_unless(began.wait(120s, rarely), "%zu attempts", began.get().size());
  player.expect(
      "the end of a pad",
      [](const Player::State &state) { return state.removed.size() == 1; }, 90s);
  const bool first = player.state().removed.front() == "video_0";
  player.expect_buffers(first ? "sink1" : "sink0", 30);
  fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
}
GST_END_TEST

static Suite *away_suite() {
  Suite *suite = suite_create("vdoninjasrc-away");
  TCase *tc = tcase_create("away");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 200);
  tcase_add_test(tc, test_away_for_good);
  return suite;
}

GST_CHECK_MAIN(away);
