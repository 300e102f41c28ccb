// SPDX-License-Identifier: LGPL-2.1-or-later
// Set to NULL at two hundred random moments of everything that can be going on, on good
// networks and on bad ones: done within a second each, without a complaint of GLib, and
// nothing is left of it.
#include <algorithm>
#include <csignal>
#include <map>
#include <random>

#include "footprint.h"
#include "process.h"
#include "relayed.h"
#include "scene.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr int kRounds = 200;
constexpr int kWarmUp = 20; // thread pools have been filled by then

enum class Event { kNone, kReload, kServerDeath, kSocketsCut, kBlackout, kVisit, kCount };
enum class Network { kGood, kBad };

// Publishers are other processes, and the server lives on: what grows is the viewer's.
struct Stage {
  explicit Stage(Dialect dialect, Network kind = Network::kGood)
      : scene(dialect), network(kind), publisher("vdoninja-publisher", arguments("abc")) {
    await_publisher();
  }
  std::vector<std::string> arguments(const std::string &stream_id) const {
    auto result = small_publisher(scene.server->url(), scene.dialect,
                                  scene.dialect == Dialect::kHosted ? "vp8" : "h264");
    result.insert(result.end(), {"--room", "nulls", "--stream-id", stream_id});
    // In clear and on the socket: the relay has to read the candidates. From other
    // addresses it cannot be reached.
    if (network == Network::kBad)
      result.insert(result.end(), {"--password", "off", "--socket-signaling",
                                   "--local-address", "127.0.0.1"});
    return result;
  }
  std::string line(bool room) const {
    std::string properties = room ? "room=nulls" : "room=nulls stream-id=abc";
    if (network == Network::kBad)
      properties += " password=false";
    return scene.source(properties) +
           " latency=50 ! video/x-raw,format=I420 ! fakesink name=sink sync=false"
           " async=false";
  }
  // A relay keeps its paths for life: a new one, in the place of the last.
  void renew_network(unsigned seed) {
    if (network == Network::kGood)
      return;
    auto fresh = std::make_unique<UdpRelay>(seed);
    PathConditions conditions;
    conditions.loss = 0.02;
    conditions.jitter_ms = 10;
    fresh->set(conditions);
    scene.server->set_hook([&relay = *fresh](Passing &passing) {
      passing.drop |= !lead_through(relay, &passing.text);
    });
    relay = std::move(fresh);
  }
  void await_publisher() const {
    const auto published = [](const HandshakeServer::State &state) {
      return std::any_of(state.clients.begin(), state.clients.end(),
                         [](const auto &client) { return !client.stream.empty(); });
    };
    fail_unless(scene.server->wait(20s, published), "the publisher is away");
  }
  void provoke(Event event) {
    if (event == Event::kReload)
      publisher.signal(SIGHUP);
    if (event == Event::kServerDeath)
      scene.server->stop();
    if (event == Event::kSocketsCut)
      for (const auto &client : scene.server->state().clients)
        scene.server->kick(client.id, true);
    if (event == Event::kBlackout && relay)
      relay->abandon();
    if (event == Event::kVisit && !std::exchange(visitor, nullptr))
      visitor = std::make_unique<Process>("vdoninja-publisher", arguments("visitor"));
  }
  void recover() { fail_unless(scene.server->start(nullptr)); }
  void clear() {
    scene.server->set_hook(nullptr);
    relay.reset();
    visitor.reset();
  }

  Scene scene;
  const Network network;
  std::unique_ptr<UdpRelay> relay; // of a bad network
  Process publisher;
  std::unique_ptr<Process> visitor; // killed when it goes
  unsigned played = 0;              // rounds that got as far as frames
};

// Counts the objects of GStreamer that came and went since start(), by its leak tracer.
// That tells of them by name only; its list of those that are alive takes references,
// also to one that is being freed.
class Objects {
public:
  Objects() {
    GList *tracers = gst_tracing_get_active_tracers();
    for (GList *at = tracers; at; at = at->next)
      if (g_str_equal(G_OBJECT_TYPE_NAME(at->data), "GstLeaksTracer"))
        tracer_ = ObjPtr<GObject>::ref(G_OBJECT(at->data));
    g_list_free_full(tracers, gst_object_unref);
    fail_unless(tracer_, "no leak tracer");
  }
  ~Objects() { g_signal_emit_by_name(tracer_.get(), "activity-stop-tracking"); }
  Objects(const Objects &) = delete;
  Objects &operator=(const Objects &) = delete;

  void start() { g_signal_emit_by_name(tracer_.get(), "activity-start-tracking"); }
  // Each round, or what came and went fills the memory. By type: how many more there are.
  const std::map<std::string, int> &more() {
    GstStructure *raw = nullptr;
    g_signal_emit_by_name(tracer_.get(), "activity-get-checkpoint", &raw);
    const StructurePtr news(raw);
    add(news.get(), "objects-created-list", 1);
    add(news.get(), "objects-removed-list", -1);
    return more_;
  }

private:
  void add(const GstStructure *news, const char *field, int sign) {
    const GValue *list = gst_structure_get_value(news, field);
    for (guint i = 0; i < gst_value_list_get_size(list); i++)
      more_[gst_structure_get_string(
          gst_value_get_structure(gst_value_list_get_value(list, i)), "type-name")] +=
          sign;
  }

  ObjPtr<GObject> tracer_;
  std::map<std::string, int> more_;
};

// What is there now and was not before; empty: nothing.
std::string what_is_left(const Footprint &early, Objects &objects) {
  std::string more;
  const auto compare = [&more](const char *what, unsigned before, unsigned now) {
    if (now > before)
      more += std::string(" ") + what + " " + std::to_string(before) + " -> " +
              std::to_string(now);
  };
  for (const auto &[type, count] : objects.more())
    if (count > 0)
      more += " " + std::to_string(count) + " " + type;
  const Footprint now;
  compare("threads", early.threads, now.threads);
  compare("files", early.files, now.files);
  return more;
}

// What GStreamer 1.22 itself warns of, under load, when webrtcbin is stopped in its
// handshake: DTLS cannot send what a packet makes it send, and leaves the packet unread;
// RTCP that is on its way to a pad that has been reset.
void ignore_warnings_of_webrtcbin() {
  const std::pair<const char *, const char *> by_domain[] = {
      {nullptr, "gst_dtls_connection_process.*bio_buffer"},
      {"GStreamer", "srtpdec.*Got data flow before segment event"}};
  for (const auto &[domain, text] : by_domain)
    gst_check_add_log_filter(
        domain, G_LOG_LEVEL_WARNING,
        g_regex_new(text, G_REGEX_OPTIMIZE, G_REGEX_MATCH_NOTEMPTY, nullptr), nullptr,
        nullptr, nullptr);
}

void play_and_stop(Stage &stage, std::mt19937 &random) {
  const auto event = static_cast<Event>(random() % static_cast<unsigned>(Event::kCount));
  const bool room = random() % 2;
  stage.renew_network(random());
  // The viewer needs up to 0.4 s for its first frames, more where packets are lost: half
  // before, half after. Where everything takes longer, some rounds last as much longer.
  const unsigned times = random() % 4 ? 1 : time_factor();
  const unsigned before_us = random() % (times * (stage.relay ? 1500000 : 500000));
  const unsigned after_us = random() % 300000;
  Player player(stage.line(room));
  player.play();
  // The moments are the test's input; nothing is waited for.
  g_usleep(before_us);
  stage.provoke(event);
  if (event != Event::kNone)
    g_usleep(after_us);
  player.stop();
  stage.played += player.state().sinks["sink"].buffers > 0;
  fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
  stage.recover();
}

} // namespace

GST_START_TEST(test_null_at_two_hundred_moments) {
  g_log_set_always_fatal(
      static_cast<GLogLevelFlags>(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL));
  ignore_warnings_of_webrtcbin();
  const char *wanted = g_getenv("NULL_SEED");
  const unsigned seed = wanted ? atoi(wanted) : std::random_device()();
  g_print("NULL_SEED=%u\n", seed);
  std::mt19937 random(seed);
  Stage hosted(Dialect::kHosted), custom(Dialect::kCustom);
  Stage bad(Dialect::kHosted, Network::kBad);
  Stage *const stages[] = {&hosted, &custom, &bad};
  // So that all plugins are loaded, also where a round is over before that.
  for (const Stage *stage : {&hosted, &custom}) {
    Player player(stage->line(false));
    player.play();
    player.expect_buffers("sink", 1);
  }
  Footprint early;
  Objects objects;
  for (int round = 0; round < kRounds; round++) {
    play_and_stop(*stages[round % std::size(stages)], random);
    if (round == kWarmUp) {
      objects.start();
      early = Footprint();
    }
    if (round > kWarmUp)
      objects.more();
    if (round > kWarmUp && round <= 2 * kWarmUp)
      early.raise(Footprint());
  }
  for (Stage *stage : stages) {
    g_print("%u rounds with frames\n", stage->played);
    fail_unless(stage->played > 0);
    stage->clear();
  }
  // Sessions that were held up, and timers of DTLS, end by themselves.
  const gint64 deadline = g_get_monotonic_time() + time_factor() * 20 * G_USEC_PER_SEC;
  std::string more = what_is_left(early, objects);
  while (!more.empty() && g_get_monotonic_time() < deadline) {
    g_usleep(200000);
    more = what_is_left(early, objects);
  }
  fail_unless(more.empty(), "left behind:%s", more.c_str());
  // At the end the tracer complains of what this test has asked it for.
  _gst_check_expecting_log = TRUE;
}
GST_END_TEST

static Suite *null_suite() {
  Suite *suite = suite_create("vdoninjasrc-null");
  TCase *tc = tcase_create("null");
  tcase_set_timeout(tc, 280);
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_null_at_two_hundred_moments);
  return suite;
}

int main(int argc, char **argv) {
  g_setenv("GST_TRACERS", "leaks", TRUE);
  gst_check_init(&argc, &argv);
  return gst_check_run_suite(null_suite(), "vdoninjasrc-null", __FILE__);
}
