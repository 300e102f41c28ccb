// SPDX-License-Identifier: LGPL-2.1-or-later
// What vdoninjasrc adds to decoding, packet by packet: each RTP packet that leaves the
// jitterbuffer goes through the element and through a bare chain, one after the other
// from the same thread, in turns as to which comes first. Usage: decode-beside FRAMES
// SETTLE "LAUNCH LINE with vdoninjasrc name=src" "BARE CHAIN from name=in to name=out".
// Prints one line of JSON.
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <map>
#include <vector>

#include <dirent.h>
#include <pthread.h>

#include <gst/rtp/gstrtpbuffer.h>

#include "gst-ptr.h"
#include "watched.h"

using namespace vdn;

namespace {

gint64 now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return time.tv_sec * G_GINT64_CONSTANT(1000000000) + time.tv_nsec;
}

// CPU time of the element's own thread, ns.
gint64 loop_cpu() {
  gint64 sum = 0;
  DIR *tasks = opendir("/proc/self/task");
  for (dirent *entry; (entry = readdir(tasks));) {
    const std::string folder = std::string("/proc/self/task/") + entry->d_name;
    std::string name;
    gint64 spent = 0;
    std::getline(std::ifstream(folder + "/comm"), name);
    std::ifstream(folder + "/schedstat") >> spent;
    if (name == "vdoninja")
      sum += spent;
  }
  closedir(tasks);
  return sum;
}

// What reading the clock twice adds to each figure, ns.
gint64 clock_cost() {
  constexpr int kRounds = 10000;
  gint64 sum = 0;
  for (int i = 0; i < kRounds; i++) {
    const gint64 before = now(CLOCK_THREAD_CPUTIME_ID);
    sum += now(CLOCK_THREAD_CPUTIME_ID) - before;
  }
  return sum / kRounds;
}

// One of the two ways. Pushes happen on one thread; pictures may come on another, and
// are waited for, so that the ways do not take the processor from each other.
struct Way {
  std::mutex mutex;
  std::condition_variable came;
  std::map<GstClockTime, gint64> entered; // by timestamp, when the last packet did
  std::map<GstClockTime, gint64> took;
  gint64 cpu = 0; // of the thread that pushes, and of the one that pictures come on
  const gint64 clock = clock_cost();
  pthread_t pusher{}, other{};
  bool has_pictures = false, has_other = false;

  gint64 spent() {
    gint64 sum = now(CLOCK_THREAD_CPUTIME_ID);
    std::lock_guard<std::mutex> lock(mutex);
    clockid_t of_other = 0;
    if (has_other && pthread_getcpuclockid(other, &of_other) == 0)
      sum += now(of_other);
    return sum;
  }
  template <typename Push> void push(GstClockTime time, bool last, Push push) {
    pusher = pthread_self();
    if (last) {
      std::lock_guard<std::mutex> lock(mutex);
      entered[time] = now(CLOCK_MONOTONIC);
    }
    const gint64 before = spent();
    push();
    if (last) {
      std::unique_lock<std::mutex> lock(mutex);
      came.wait_for(lock, std::chrono::milliseconds(100),
                    [&] { return !has_pictures || took.count(time); });
    }
    cpu += spent() - before - clock;
  }
  void watch(GstPad *pad) {
    gst_pad_add_probe(
        pad, GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad *, GstPadProbeInfo *info, gpointer data) {
          auto *way = static_cast<Way *>(data);
          const GstClockTime time = GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(info));
          std::lock_guard<std::mutex> lock(way->mutex);
          const auto at = way->entered.find(time);
          if (at != way->entered.end())
            way->took[time] = now(CLOCK_MONOTONIC) - at->second;
          way->has_pictures = true;
          way->has_other = !pthread_equal(pthread_self(), way->pusher);
          way->other = pthread_self();
          way->came.notify_one();
          return GST_PAD_PROBE_OK;
        },
        this, nullptr);
  }
};

struct Bench {
  unsigned settle = 0, frames = 0;
  ObjPtr<GstElement> bare;
  GstPad *feeder = nullptr;
  Way element, beside;
  Watched<unsigned> seen{0};
  gint64 loop_before = 0;
  bool started = false;

  void copy_events(GstPad *from) {
    gst_pad_sticky_events_foreach(
        from,
        [](GstPad *, GstEvent **event, gpointer to) {
          return gst_pad_push_event(GST_PAD(to), gst_event_ref(*event));
        },
        feeder);
  }
  void packet(GstPad *from, GstPad *to, GstBuffer *buffer) {
    if (!std::exchange(started, true))
      copy_events(from);
    GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
    gst_rtp_buffer_map(buffer, GST_MAP_READ, &rtp);
    const bool last = gst_rtp_buffer_get_marker(&rtp);
    gst_rtp_buffer_unmap(&rtp);
    const GstClockTime time = GST_BUFFER_PTS(buffer);
    const unsigned number = seen.get();
    const auto through = [&] {
      element.push(time, last, [&] { gst_pad_chain(to, gst_buffer_ref(buffer)); });
    };
    // A buffer of its own, as each way may write to it.
    const auto around = [&] {
      GstBuffer *copy = gst_buffer_copy(buffer);
      beside.push(time, last, [&] { gst_pad_push(feeder, copy); });
    };
    if (number % 2)
      around();
    through();
    if (number % 2 == 0)
      around();
    if (!last)
      return;
    if (number == settle) {
      element.cpu = beside.cpu = 0;
      element.took.clear();
      beside.took.clear();
      loop_before = loop_cpu();
    }
    seen.update([](unsigned &value) { value++; });
  }
  bool make_bare(const char *chain) {
    bare = ObjPtr<GstElement>::adopt(gst_pipeline_new(nullptr));
    GstElement *bin = gst_parse_bin_from_description(chain, FALSE, nullptr);
    if (!bin)
      return false;
    gst_bin_add(GST_BIN(bare.get()), bin);
    // Where webrtcbin would answer: decoders adapt to live streams.
    feeder = gst_pad_new("feeder", GST_PAD_SRC);
    gst_pad_set_query_function(
        feeder, [](GstPad *pad, GstObject *parent, GstQuery *query) -> gboolean {
          if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY)
            return gst_pad_query_default(pad, parent, query);
          gst_query_set_latency(query, TRUE, 0, GST_CLOCK_TIME_NONE);
          return TRUE;
        });
    gst_pad_set_active(feeder, TRUE);
    const auto in = ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(bin), "in"));
    const auto first =
        ObjPtr<GstPad>::adopt(gst_element_get_static_pad(in.get(), "sink"));
    GstPad *sink = gst_ghost_pad_new("sink", first.get());
    gst_element_add_pad(bin, sink);
    gst_pad_link(feeder, sink);
    const auto out =
        ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(bare.get()), "out"));
    beside.watch(
        ObjPtr<GstPad>::adopt(gst_element_get_static_pad(out.get(), "sink")).get());
    gst_element_set_state(bare.get(), GST_STATE_PLAYING);
    return true;
  }
};

// Thread: streaming. In front of all that the element adds to webrtcbin's pad.
GstPadProbeReturn on_packet(GstPad *pad, GstPadProbeInfo *info, gpointer data) {
  const auto to = ObjPtr<GstPad>::adopt(gst_pad_get_peer(pad));
  const BufferPtr buffer(GST_PAD_PROBE_INFO_BUFFER(info));
  static_cast<Bench *>(data)->packet(pad, to.get(), buffer.get());
  GST_PAD_PROBE_INFO_FLOW_RETURN(info) = GST_FLOW_OK;
  return GST_PAD_PROBE_HANDLED;
}

void on_pad(GstElement *, GstPad *pad, gpointer bench) {
  if (!GST_PAD_IS_SRC(pad))
    return;
  const auto inner = ObjPtr<GstPad>::adopt(gst_ghost_pad_get_target(GST_GHOST_PAD(pad)));
  gst_pad_add_probe(inner.get(), GST_PAD_PROBE_TYPE_BUFFER, on_packet, bench, nullptr);
}

void print(const char *name, Way &way, unsigned frames) {
  std::vector<gint64> times;
  for (const auto &item : way.took)
    times.push_back(item.second);
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) {
    return times.empty() ? 0.0 : times[size_t(share * (times.size() - 1))] / 1e6;
  };
  printf("\"%s\": {\"pictures\": %zu, \"median\": %.4f, \"p95\": %.4f, \"cpu\": %.5f}, ",
         name, times.size(), at(0.5), at(0.95), double(way.cpu) / frames / 1e6);
}

} // namespace

int main(int argc, char **argv) {
  gst_init(&argc, &argv);
  if (argc != 5)
    return 2;
  Bench bench;
  bench.frames = static_cast<unsigned>(atoi(argv[1]));
  bench.settle = static_cast<unsigned>(atoi(argv[2]));
  const auto pipeline =
      ObjPtr<GstElement>::adopt(GST_ELEMENT(gst_parse_launch(argv[3], nullptr)));
  if (!pipeline || !bench.make_bare(argv[4]))
    return 2;
  auto whole = pipeline;
  if (!GST_IS_PIPELINE(pipeline.get())) {
    whole = ObjPtr<GstElement>::adopt(gst_pipeline_new(nullptr));
    gst_bin_add(GST_BIN(whole.get()), pipeline.get());
  }
  const auto source =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(whole.get()), "src"));
  g_signal_connect(
      source.get(), "webrtcbin-ready",
      G_CALLBACK(+[](GstElement *, const char *, GstElement *webrtcbin, gpointer data) {
        g_signal_connect(webrtcbin, "pad-added", G_CALLBACK(on_pad), data);
      }),
      &bench);
  g_signal_connect(source.get(), "pad-added",
                   G_CALLBACK(+[](GstElement *, GstPad *pad, Bench *data) {
                     data->element.watch(pad);
                   }),
                   &bench);
  gst_element_set_state(whole.get(), GST_STATE_PLAYING);
  const unsigned wanted = bench.settle + bench.frames;
  const bool done = bench.seen.wait(std::chrono::seconds(20 + wanted / 10),
                                    [&](unsigned frames) { return frames > wanted; });
  const gint64 loop = loop_cpu() - bench.loop_before;
  gst_element_set_state(whole.get(), GST_STATE_NULL);
  gst_element_set_state(bench.bare.get(), GST_STATE_NULL);
  if (!done)
    return 1;
  // The packets of the frame that was under way count for both ways.
  printf("{");
  print("element", bench.element, bench.frames);
  print("beside", bench.beside, bench.frames);
  std::vector<gint64> added;
  for (const auto &item : bench.element.took) {
    const auto other = bench.beside.took.find(item.first);
    if (other != bench.beside.took.end())
      added.push_back(item.second - other->second);
  }
  std::sort(added.begin(), added.end());
  printf("\"added\": %.4f, \"loop\": %.5f}\n",
         added.empty() ? 0 : added[added.size() / 2] / 1e6,
         double(loop) / bench.frames / 1e6);
  return 0;
}
