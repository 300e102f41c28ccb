// SPDX-License-Identifier: LGPL-2.1-or-later
// A publisher's page is reloaded over and over: one pipeline plays on, one pad carries it
// all, and nothing is left of the sessions that went.
#include <algorithm>
#include <csignal>

#include "footprint.h"
#include "process.h"
#include "scene.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr unsigned kReloads = 100; // of each dialect, every other without a goodbye
constexpr unsigned kWarmUp = 10;
// Memory that 180 reloads may cost: a session that stays takes 600 kB, 108 MB in all. The
// server's records of what went over it are in here, and take some 16 MB.
constexpr unsigned kGrowthKb = 40 * 1024;

// The publisher is another process: what grows here is the viewer's.
struct Reloaded {
  Reloaded(Dialect dialect, const std::string &codec)
      : scene(dialect), publisher("vdoninja-publisher", arguments(codec)) {
    await_publisher();
    player =
        std::make_unique<Player>(scene.line("stream-id=abc room=reloads latency=100"));
    player->play();
    player->expect_buffers("sink", 5);
  }
  std::vector<std::string> arguments(const std::string &codec) const {
    auto result = small_publisher(scene.server->url(), scene.dialect, codec);
    result.insert(result.end(), {"--room", "reloads"});
    return result;
  }
  // Waits until another connection than before announced the stream.
  void await_publisher() {
    const auto publisher_of = [](const HandshakeServer::State &state) {
      for (const auto &one : state.clients)
        if (!one.stream.empty())
          return one.id;
      return 0u;
    };
    fail_unless(scene.server->wait(20s,
                                   [&](const auto &state) {
                                     const auto now = publisher_of(state);
                                     return now && now != client;
                                   }),
                "the publisher did not return");
    client = publisher_of(scene.server->state());
    returned = stamp_now_ms();
  }
  // From the return of the publisher to the first frame made after it.
  int await_frames() {
    player->expect("frames of the reloaded publisher", [this](const auto &state) {
      return state.shows_since("sink", returned);
    });
    const int took = stamp_age_ms({0, returned});
    player->expect_buffers("sink", 3);
    return took;
  }
  void assert_seamless() const {
    const auto state = player->state();
    const auto &sink = state.sinks.at("sink");
    fail_unless(state.errors.empty() && !state.eos && !sink.eos, "%s",
                player->describe().c_str());
    fail_unless_equals_int(state.pads.size(), 1);
    fail_unless_equals_int(state.removed.size(), 0);
    fail_unless_equals_int(sink.stream_starts, 1);
    fail_unless_equals_int(sink.backwards, 0);
  }

  Scene scene;
  Process publisher;
  std::unique_ptr<Player> player;
  ClientId client = 0;   // of the publisher
  uint32_t returned = 0; // a stamp's clock
};

void print(const char *when, const Footprint &footprint) {
  g_print("%s: %u threads, %u files, %u sockets, %u kB\n", when, footprint.threads,
          footprint.files, footprint.sockets, footprint.resident_kb);
}

int median(std::vector<int> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

} // namespace

GST_START_TEST(test_reload_two_hundred_times_leaves_nothing_behind) {
  Reloaded hosted(Dialect::kHosted, "vp8");
  Reloaded custom(Dialect::kCustom, "h264");
  std::vector<int> with_bye, without;
  Footprint early, late;
  for (unsigned i = 0; i < kReloads; i++) {
    const bool bye = i % 2 == 0; // as the program does it
    for (auto *one : {&hosted, &custom})
      one->publisher.signal(SIGHUP);
    for (auto *one : {&hosted, &custom})
      one->await_publisher();
    for (auto *one : {&hosted, &custom})
      (bye ? with_bye : without).push_back(one->await_frames());
    if (i == kWarmUp)
      early = Footprint();
    if (i > kWarmUp && i <= 2 * kWarmUp)
      early.lower(Footprint()); // old sessions end on threads of their own
    if (i == kReloads - kWarmUp)
      late = Footprint();
    if (i > kReloads - kWarmUp)
      late.lower(Footprint());
    if (g_getenv("RELOAD_TRACE"))
      print("now", Footprint());
  }
  hosted.assert_seamless();
  custom.assert_seamless();
  print("early", early);
  print("late", late);
  g_print("to the first frame: %d ms with goodbye, %d ms without\n", median(with_bye),
          median(without));
  fail_unless(late.threads <= early.threads + 2);
  fail_unless(late.files <= early.files + 2);
  fail_unless(late.sockets <= early.sockets + 2);
  if (g_getenv("VDN_TEST_EMULATED"))
    g_print("memory is not judged: the emulator's own grows with each thread\n");
  else
    fail_unless(late.resident_kb <= early.resident_kb + kGrowthKb);
  fail_unless(median(without) < 4000 * time_factor(), "%d ms without a goodbye",
              median(without));
}
GST_END_TEST

static Suite *reload_suite() {
  Suite *suite = suite_create("vdoninjasrc-reload");
  TCase *tc = tcase_create("reload");
  tcase_set_timeout(tc, 280);
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_reload_two_hundred_times_leaves_nothing_behind);
  return suite;
}

GST_CHECK_MAIN(reload);
