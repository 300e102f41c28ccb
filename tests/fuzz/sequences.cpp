// SPDX-License-Identifier: LGPL-2.1-or-later
// sequences SECONDS [SEED [COUNT]]: a real vdoninjasrc, on a real WebSocket, is told what
// script.cpp makes up, in whatever state it is in. For at least so many seconds, and
// COUNT sequences (1000). It ends at the first warning of GLib; a stop that hangs, an
// element or anything else that stays is an error. Each sequence is made of a seed of its
// own, and every 16th has a publisher that plays, over whose data channel messages come
// as well.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <thread>

#include "footprint.h"
#include "handshake-server.h"
#include "publisher.h"
#include "script.h"
#include "strict-log.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr unsigned kWorkers = 16;
constexpr unsigned kPublishedEvery = 16;
constexpr auto kLimit = 30s; // for what takes a second on an idle machine
// Threads of GStreamer's pool and of GLib's come and go.
// A session that stays has seven descriptors.
constexpr unsigned kSpareThreads = 20, kSpareFiles = 6;

struct Worker {
  std::atomic<uint64_t> seed{0};
  std::atomic<gint64> began_us{0}; // monotonic; 0: at rest
};
std::array<Worker, kWorkers> workers;

[[noreturn]] void give_up(const char *what, uint64_t seed) {
  std::fprintf(stderr, "sequences: seed %" G_GUINT64_FORMAT ": %s\n", seed, what);
  std::abort();
}

class Sequence {
public:
  Sequence(uint64_t seed, bool published)
      : seed_(seed), published_(published), random_(seed),
        dialect_(random_.chance(70) ? Dialect::kHosted : Dialect::kCustom),
        stream_("cam"), room_(random_.chance(30) ? "room" : ""), server_(options()),
        script_(random_, dialect_, stream_, room_) {
    if (!server_.start(nullptr))
      give_up("the server does not start", seed_);
  }

  void run() {
    if (published_)
      publish();
    make();
    gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
    if (publisher_)
      publisher_->wait(5s, [](const auto &state) {
        return std::any_of(state.viewers.begin(), state.viewers.end(),
                           [](const auto &viewer) { return viewer.status.channel_open; });
      });
    for (unsigned steps = 1 + random_.below(40); steps > 0; steps--)
      step();
    end();
  }

private:
  HandshakeServer::Options options() const {
    HandshakeServer::Options result;
    result.routing.dialect = dialect_;
    result.routing.fan_out = seed_ % 2;
    return result;
  }

  void publish() {
    PublisherConfig config;
    config.server = server_.url();
    config.dialect = dialect_;
    config.stream_id = stream_;
    config.room = room_;
    config.video.codec = Codec::kVp8;
    config.video.width = 64;
    config.video.height = 48;
    config.video.fps = 15;
    config.video.kbps = 100;
    config.channel_first = random_.chance(50);
    publisher_ = std::make_unique<Publisher>(config);
    if (!publisher_->start(nullptr))
      give_up("the publisher does not start", seed_);
  }

  void make() {
    pipeline_ = ObjPtr<GstElement>::adopt(gst_pipeline_new(nullptr));
    source_ = gst_element_factory_make("vdoninjasrc", nullptr);
    if (!source_)
      give_up("no vdoninjasrc in GST_PLUGIN_PATH", seed_);
    g_object_set(source_, "server", server_.url().c_str(), "signaling",
                 dialect_ == Dialect::kHosted ? 1 : 2, nullptr);
    if (!room_.empty())
      g_object_set(source_, "room", room_.c_str(), nullptr);
    if (room_.empty() || random_.chance(50))
      g_object_set(source_, "stream-id",
                   random_.chance(80) ? stream_.c_str() : "cam,cam:s,other", nullptr);
    gst_bin_add(GST_BIN(pipeline_.get()), source_);
    if (random_.chance(70))
      g_signal_connect(
          source_, "pad-added", G_CALLBACK(+[](GstElement *, GstPad *pad, gpointer bin) {
            GstElement *sink = gst_element_factory_make("fakesink", nullptr);
            g_object_set(sink, "async", FALSE, "sync", FALSE, nullptr);
            gst_bin_add(GST_BIN(bin), sink);
            gst_element_sync_state_with_parent(sink);
            auto into = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(sink, "sink"));
            gst_pad_link(pad, into.get());
          }),
          pipeline_.get());
    auto bus = ObjPtr<GstBus>::adopt(gst_element_get_bus(pipeline_.get()));
    gst_bus_set_flushing(bus.get(), TRUE);
  }

  // The connection of our viewer, 0 while there is none.
  ClientId viewer() {
    ClientId found = 0;
    server_.wait(100ms, [&](const HandshakeServer::State &state) {
      for (const auto &client : state.clients)
        if (client.stream.empty()) {
          found = client.id;
          script_.set_viewer(client.peer);
        }
      return found != 0;
    });
    return found;
  }

  void step() {
    const unsigned kind = random_.below(100);
    if (kind < 6)
      disturb_server();
    else if (kind < 14)
      use_element();
    else if (publisher_ && kind < 60)
      publisher_->send(script_.next(true));
    else if (const ClientId client = viewer())
      kind < 97 ? server_.send_text(client, script_.next(false))
                : server_.send_binary(client, script_.next(false));
    // Now and then what was said has time to have consequences.
    if (random_.chance(20))
      g_usleep(random_.below(20000));
  }

  void disturb_server() {
    static constexpr Door::Kind kKinds[] = {Door::Kind::kOpen, Door::Kind::kRefuse,
                                            Door::Kind::kSilent, Door::Kind::kCloseAtOnce,
                                            Door::Kind::kDeaf};
    if (random_.chance(30))
      server_.set_door({random_.chance(60) ? Door::Kind::kOpen : random_.pick(kKinds)});
    else if (const ClientId client = viewer())
      server_.kick(client, random_.chance(50));
  }

  void use_element() {
    static constexpr GstState kStates[] = {GST_STATE_NULL, GST_STATE_READY,
                                           GST_STATE_PAUSED};
    static constexpr const char *kSwitches[] = {"latency", "video-bitrate"};
    gboolean sent = FALSE;
    switch (random_.below(6)) {
    case 0:
      set_state(random_.pick(kStates));
      set_state(GST_STATE_PLAYING);
      break;
    case 1:
      g_signal_emit_by_name(source_, "reconnect");
      break;
    case 2:
      g_signal_emit_by_name(source_, "send-message", nullptr, "{\"chat\":\"x\"}", &sent);
      break;
    case 3: {
      GstStructure *stats = nullptr;
      g_signal_emit_by_name(source_, "get-stats", nullptr, &stats);
      gst_structure_free(stats);
      break;
    }
    case 4:
      g_object_set(source_, random_.pick(kSwitches), random_.below(1000), nullptr);
      break;
    default:
      if (random_.chance(20))
        gst_element_send_event(source_, gst_event_new_eos());
      g_signal_emit_by_name(source_, "request-keyframe");
    }
  }

  void set_state(GstState state) {
    if (gst_element_set_state(pipeline_.get(), state) == GST_STATE_CHANGE_FAILURE)
      give_up("a change of state failed", seed_);
  }

  void end() {
    set_state(GST_STATE_NULL);
    publisher_.reset();
    struct Gone {
      Watched<bool> yes{false};
    } gone;
    g_object_weak_ref(
        G_OBJECT(source_),
        [](gpointer data, GObject *) {
          static_cast<Gone *>(data)->yes.update([](bool &yes) { yes = true; });
        },
        &gone);
    pipeline_.reset();
    if (!gone.yes.wait(kLimit, [](bool yes) { return yes; }))
      give_up("the element is still there after NULL", seed_);
  }

  const uint64_t seed_;
  const bool published_;
  Random random_;
  const Dialect dialect_;
  const std::string stream_, room_;
  HandshakeServer server_;
  Script script_;
  std::unique_ptr<Publisher> publisher_;
  ObjPtr<GstElement> pipeline_;
  GstElement *source_ = nullptr; // the pipeline's
};

// Runs the sequences of `first` to `count`, and further until `end_us`; how many.
uint64_t run_all(uint64_t first, uint64_t count, bool published, gint64 end_us = 0) {
  std::atomic<uint64_t> next{0};
  std::vector<std::thread> threads;
  for (Worker &worker : workers)
    threads.emplace_back([&worker, &next, first, count, published, end_us] {
      for (;;) {
        const uint64_t index = next++;
        if (index >= count && g_get_monotonic_time() > end_us)
          break;
        worker.seed = first + index;
        worker.began_us = g_get_monotonic_time();
        std::printf("sequence %" G_GUINT64_FORMAT "\n", first + index);
        std::fflush(stdout);
        Sequence(first + index, published).run();
        worker.began_us = 0;
      }
    });
  for (auto &thread : threads)
    thread.join();
  return next - kWorkers;
}

bool is_back_at(const Footprint &before, const Footprint &now) {
  return now.threads <= before.threads + kSpareThreads &&
         now.files <= before.files + kSpareFiles;
}

// What closes its socket in the background, libsoup for one, gets its time.
Footprint settled(const Footprint &before) {
  const gint64 end = g_get_monotonic_time() + G_USEC_PER_SEC * kLimit.count();
  Footprint now;
  while (!is_back_at(before, now) && g_get_monotonic_time() < end) {
    g_usleep(G_USEC_PER_SEC / 10);
    now = Footprint();
  }
  return now;
}

// What they are says more than how many.
void print_files() {
  const std::unique_ptr<GDir, Releaser<g_dir_close>> folder(
      g_dir_open("/proc/self/fd", 0, nullptr));
  while (const char *name = g_dir_read_name(folder.get())) {
    const StrPtr target(
        g_file_read_link((std::string("/proc/self/fd/") + name).c_str(), nullptr));
    std::printf("file %s: %s\n", name, target ? target.get() : "closed");
  }
  std::fflush(stdout);
}

// Ends the program when a sequence does not.
void watch() {
  for (;;) {
    g_usleep(G_USEC_PER_SEC);
    for (const Worker &worker : workers) {
      const gint64 began = worker.began_us;
      if (began && g_get_monotonic_time() - began > 4 * G_USEC_PER_SEC * kLimit.count())
        give_up("it hangs", worker.seed);
    }
  }
}

} // namespace

int main(int argc, char **argv) {
  gst_init(nullptr, nullptr);
  const gint64 seconds = argc > 1 ? g_ascii_strtoll(argv[1], nullptr, 10) : 0;
  const uint64_t seed =
      argc > 2 ? g_ascii_strtoull(argv[2], nullptr, 10) : g_random_int();
  const uint64_t count = argc > 3 ? g_ascii_strtoull(argv[3], nullptr, 10) : 1000;
  std::printf("sequences: seed %" G_GUINT64_FORMAT "\n", seed);
  std::thread(watch).detach();
  run_all(seed, std::min<uint64_t>(count, 4 * kWorkers), false); // fills pools and caches
  const Footprint before;
  const uint64_t done =
      run_all(seed, count, false, g_get_monotonic_time() + seconds * G_USEC_PER_SEC);
  const Footprint after = settled(before);
  std::printf("sequences: %" G_GUINT64_FORMAT " from seed %" G_GUINT64_FORMAT
              "; threads %u -> %u, files %u -> %u, resident %u -> %u kB\n",
              done, seed, before.threads, after.threads, before.files, after.files,
              before.resident_kb, after.resident_kb);
  std::fflush(stdout);
  if (!is_back_at(before, after)) {
    print_files();
    give_up("threads or files stayed", seed);
  }
  const uint64_t published = run_all(seed, 1 + done / kPublishedEvery, true);
  std::printf("sequences: %" G_GUINT64_FORMAT " more with a publisher\n", published);
  return 0;
}
