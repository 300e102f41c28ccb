// SPDX-License-Identifier: LGPL-2.1-or-later
// Publisher, server or both are killed in every phase of a session, and come back: so do
// the frames, on the same pad, and soon. The victims are processes that get SIGKILL.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <thread>

#include "handshake-server.h"
#include "player.h"
#include "process.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr auto kLimit = 20s;
// From the return to the first frame: half of them, and every one. The longest first
// step of a back-off is 5 s, a fifth more by its jitter.
constexpr int kMedianMs = 2000;
constexpr int kSlowestMs = kMedianMs + 6000;
constexpr unsigned kAtOnce = 3;
constexpr unsigned kFreshFrames = 5;

enum class Victim { kPublisher, kServer, kBoth };
enum class Moment {
  kMessage,   // the nth on its way through the server
  kConnected, // nothing shown yet
  kFrame,     // the nth
  kMuted,
  kResized,
  kReturning // killed at frame 3, and again at the nth message of what follows
};

struct Phase {
  Victim victim;
  Dialect dialect;
  Moment moment;
  unsigned n = 0;
  bool delivered = false; // kMessage: the victim dies after it, not with it
  bool channel_first = false;
  std::string codec = "vp8";
};

struct Result {
  std::string problem; // empty: none
  std::string message; // that was on its way
  int ms = -1;         // from the return to the first frame made after the death
};

std::string describe(const Phase &phase) {
  static const char *const victims[] = {"publisher", "server", "both"};
  static const char *const moments[] = {"message", "connected", "frame",
                                        "muted",   "resized",   "returning, message"};
  std::string text = victims[static_cast<int>(phase.victim)];
  text += phase.dialect == Dialect::kHosted ? ", hosted, " : ", custom, ";
  text += phase.codec + (phase.channel_first ? ", channel first, " : ", ");
  text += moments[static_cast<int>(phase.moment)];
  if (phase.n)
    text += " " + std::to_string(phase.n);
  if (phase.moment == Moment::kMessage && phase.victim == Victim::kPublisher)
    text += phase.delivered ? " delivered" : " lost";
  return text;
}

std::string kind_of(const std::string &text) {
  for (const char *kind : {"description", "candidate", "offerSDP", "play", "seed"})
    if (text.find(std::string("\"") + kind) != std::string::npos)
      return kind;
  return "other";
}

std::vector<std::string> publisher_arguments(const Phase &phase, const std::string &url) {
  auto result = small_publisher(url, phase.dialect, phase.codec);
  if (phase.channel_first)
    result.insert(result.end(), {"--channel-first", "--socket-signaling"});
  return result;
}

std::string launch_line(const Phase &phase, const std::string &url) {
  return "vdoninjasrc name=src stream-id=abc latency=100 signaling=" +
         std::string(phase.dialect == Dialect::kHosted ? "hosted" : "custom") +
         " server=" + url + " ! video/x-raw,format=I420 ! fakesink name=sink sync=false";
}

bool is_published(const HandshakeServer::State &state) {
  return std::any_of(state.clients.begin(), state.clients.end(),
                     [](const auto &client) { return !client.stream.empty(); });
}

bool has_frames(const Player::State &state, unsigned n) {
  return state.buffers("sink") >= n;
}

// Brings a playing pipeline to a moment that is seen from its end. Fails with a text.
std::string reach(const Phase &phase, const Player &player, Process &publisher) {
  const auto frames = [&](unsigned n) {
    return player.wait(kLimit, [n](const auto &state) { return has_frames(state, n); });
  };
  switch (phase.moment) {
  case Moment::kMessage:
    return "";
  case Moment::kConnected:
    return player.wait(kLimit,
                       [](const auto &state) { return state.saw_state("playing"); })
               ? ""
               : "no connection";
  case Moment::kFrame:
    return frames(phase.n) ? "" : "no frames to begin with";
  case Moment::kReturning:
    return frames(3) ? "" : "no frames to begin with";
  case Moment::kMuted: {
    if (!frames(3))
      return "no frames to begin with";
    publisher.signal(SIGUSR1);
    const auto muted = [](const Player::State &state) {
      return std::count(state.elements.begin(), state.elements.end(),
                        "vdoninja/video-muted") > 0;
    };
    return player.wait(kLimit, muted) ? "" : "not muted";
  }
  case Moment::kResized:
    if (!frames(3))
      return "no frames to begin with";
    publisher.signal(SIGUSR2);
    return frames(player.state().buffers("sink") + 1) ? "" : "no frame after the change";
  }
  return "unknown moment";
}

// Frames that were made after `killed` (a stamp's clock) arrive on the pad that was
// there.
void await_frames(const Player &player, uint32_t killed, gint64 returned,
                  Result *result) {
  const auto fresh = [killed](const Player::State &state) {
    return state.shows_since("sink", killed);
  };
  if (!player.wait(kLimit, fresh)) {
    result->problem = "no frames after the return\n" + player.describe();
    return;
  }
  result->ms = static_cast<int>((g_get_monotonic_time() - returned) / 1000);
  result->ms = std::max(result->ms, 0);
  const unsigned all = player.state().buffers("sink") + kFreshFrames;
  if (!player.wait(kLimit, [all](const auto &state) { return has_frames(state, all); }))
    result->problem = "the frames stopped again\n" + player.describe();
  const auto state = player.state();
  const auto &sink = state.sinks.at("sink");
  if (state.pads.size() != 1 || !state.removed.empty() || !state.errors.empty() ||
      state.eos || sink.eos || sink.stream_starts != 1 || sink.backwards)
    result->problem = "downstream noticed\n" + player.describe();
}

// --- a publisher dies; the server, in here, tells the moment ---

// Kills `victim` when the nth message passes.
struct Trap {
  struct State {
    bool sprung = false;
    std::string message;
  };
  void set(HandshakeServer &server, Process &victim, unsigned n, bool deliver) {
    server.set_hook([this, &victim, left = n, deliver](Passing &passing) mutable {
      if (left == 0 || --left > 0)
        return;
      victim.signal(SIGKILL);
      passing.drop = !deliver;
      state.update([&](State &now) { now = {true, kind_of(passing.text)}; });
    });
  }
  bool sprung() const {
    return state.wait(kLimit, [](const State &now) { return now.sprung; });
  }
  Watched<State> state;
};

// The publisher is back and known to the server; when.
gint64 await_return(HandshakeServer &server) {
  const bool back = server.wait(kLimit, is_published);
  return back ? g_get_monotonic_time() : 0;
}

Result kill_publisher(const Phase &phase) {
  Result result;
  HandshakeServer::Options options;
  options.routing.dialect = phase.dialect;
  HandshakeServer server(options);
  if (!server.start(nullptr))
    return {"no server", "", -1};
  Trap trap;
  auto publisher = std::make_unique<Process>("vdoninja-publisher",
                                             publisher_arguments(phase, server.url()));
  if (!await_return(server))
    return {"the publisher is not online", "", -1};
  if (phase.moment == Moment::kMessage)
    trap.set(server, *publisher, phase.n, phase.delivered);
  Player player(launch_line(phase, server.url()));
  player.play();
  result.problem = reach(phase, player, *publisher);
  if (phase.moment == Moment::kMessage && !trap.sprung())
    result.problem = "there was no such message";
  for (int death = phase.moment == Moment::kReturning ? 2 : 1; death > 0; death--) {
    if (!result.problem.empty())
      return result;
    publisher->kill();
    const uint32_t killed = stamp_now_ms();
    server.set_hook({});
    if (!server.wait(kLimit, [](const auto &state) { return !is_published(state); }))
      return {"the server did not notice", "", -1};
    publisher = std::make_unique<Process>("vdoninja-publisher",
                                          publisher_arguments(phase, server.url()));
    if (death == 2) {
      trap.set(server, *publisher, phase.n, false);
      if (!trap.sprung())
        result.problem = "there was no such message on the return";
      continue;
    }
    await_frames(player, killed, await_return(server), &result);
  }
  server.set_hook({});
  result.message = trap.state.get().message;
  return result;
}

// --- a server dies, by itself at a message, and its publisher, perhaps, with it ---

std::string server_port(const std::string &url) {
  return url.substr(url.rfind(':') + 1);
}

Result kill_server(const Phase &phase) {
  Result result;
  std::vector<std::string> arguments{
      "--dialect", phase.dialect == Dialect::kHosted ? "hosted" : "custom"};
  auto first = arguments;
  if (phase.moment == Moment::kMessage)
    first.insert(first.end(), {"--die-at", std::to_string(phase.n)});
  auto server = std::make_unique<Process>("vdoninja-handshake", first);
  const std::string url = server->read_line();
  auto publisher =
      std::make_unique<Process>("vdoninja-publisher", publisher_arguments(phase, url));
  if (publisher->read_line().find("\"ready\"") == std::string::npos)
    return {"the publisher is not online", "", -1};
  Player player(launch_line(phase, url));
  player.play();
  result.problem = reach(phase, player, *publisher);
  if (phase.moment == Moment::kMessage && !server->ended(kLimit))
    result.problem = "there was no such message";
  if (!result.problem.empty())
    return result;
  server->kill();
  if (phase.victim == Victim::kBoth)
    publisher->kill();
  const uint32_t killed = stamp_now_ms();
  arguments.insert(arguments.end(), {"--port", server_port(url)});
  server = std::make_unique<Process>("vdoninja-handshake", arguments);
  if (server->read_line() != url)
    return {"the server did not return", "", -1};
  if (phase.victim == Victim::kBoth) {
    publisher =
        std::make_unique<Process>("vdoninja-publisher", publisher_arguments(phase, url));
    publisher->read_line();
  }
  await_frames(player, killed, g_get_monotonic_time(), &result);
  return result;
}

// --- all of them ---

std::vector<Phase> all_phases() {
  std::vector<Phase> result;
  for (Dialect dialect : {Dialect::kHosted, Dialect::kCustom}) {
    const auto add = [&](Victim victim, Moment moment, unsigned n, bool delivered = false,
                         bool channel_first = false) {
      result.push_back({victim, dialect, moment, n, delivered, channel_first,
                        result.size() % 3 ? "vp8" : "h264"});
    };
    // Request, offer, candidates, answer, candidates, in an order of their own.
    for (unsigned n = 1; n <= 5; n++) {
      add(Victim::kPublisher, Moment::kMessage, n, false);
      add(Victim::kPublisher, Moment::kMessage, n, true);
      add(Victim::kServer, Moment::kMessage, n);
      add(Victim::kBoth, Moment::kMessage, n);
    }
    // Sixth and seventh: the offer of media and its answer.
    for (unsigned n : {2u, 4u, 6u, 7u})
      add(Victim::kPublisher, Moment::kMessage, n, true, true);
    for (Victim victim : {Victim::kPublisher, Victim::kServer, Victim::kBoth}) {
      add(victim, Moment::kConnected, 0);
      add(victim, Moment::kFrame, 1);
      add(victim, Moment::kFrame, 20);
    }
    add(Victim::kPublisher, Moment::kMuted, 0);
    add(Victim::kBoth, Moment::kMuted, 0);
    add(Victim::kPublisher, Moment::kResized, 0);
    for (unsigned n : {1u, 2u, 4u})
      add(Victim::kPublisher, Moment::kReturning, n);
  }
  return result;
}

std::vector<Result> run(const std::vector<Phase> &phases) {
  std::vector<Result> results(phases.size());
  std::atomic<size_t> next{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kAtOnce; i++)
    threads.emplace_back([&] {
      for (size_t at = next++; at < phases.size(); at = next++)
        results[at] = phases[at].victim == Victim::kPublisher ? kill_publisher(phases[at])
                                                              : kill_server(phases[at]);
    });
  for (auto &thread : threads)
    thread.join();
  return results;
}

} // namespace

GST_START_TEST(test_kill_in_every_phase_frames_return) {
  std::vector<Phase> phases = all_phases();
  fail_unless(phases.size() >= 50);
  const char *only = g_getenv("KILL_PHASE"); // part of a description
  if (only)
    phases.erase(std::remove_if(phases.begin(), phases.end(),
                                [only](const Phase &phase) {
                                  return describe(phase).find(only) == std::string::npos;
                                }),
                 phases.end());
  const gint64 begun = g_get_monotonic_time();
  const std::vector<Result> results = run(phases);
  std::vector<int> times;
  unsigned bad = 0;
  int slowest = 0;
  for (size_t i = 0; i < phases.size(); i++) {
    g_print("%6d ms  %s%s%s%s\n", results[i].ms, describe(phases[i]).c_str(),
            results[i].message.empty() ? "" : (" (" + results[i].message + ")").c_str(),
            results[i].problem.empty() ? "" : ": ", results[i].problem.c_str());
    bad += !results[i].problem.empty();
    slowest = std::max(slowest, results[i].ms);
    // A server that dies alone often stops no frame: that would flatter the median.
    if (phases[i].victim != Victim::kServer)
      times.push_back(results[i].ms);
  }
  std::sort(times.begin(), times.end());
  const int median = times.empty() ? slowest : times[times.size() / 2];
  g_print("%zu phases in %d s: median %d ms, slowest %d ms, %u not recovered\n",
          phases.size(), static_cast<int>((g_get_monotonic_time() - begun) / 1000000),
          median, slowest, bad);
  fail_unless_equals_int(bad, 0);
  fail_unless(median <= kMedianMs * time_factor(), "median %d ms", median);
  fail_unless(slowest <= kSlowestMs * time_factor(), "slowest %d ms", slowest);
}
GST_END_TEST

static Suite *kill_suite() {
  Suite *suite = suite_create("vdoninjasrc-kill");
  TCase *tc = tcase_create("kill");
  tcase_set_timeout(tc, 280);
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_kill_in_every_phase_frames_return);
  return suite;
}

GST_CHECK_MAIN(kill);
