// SPDX-License-Identifier: LGPL-2.1-or-later
// Picture and sound of one moment are to be presented at one time, on a good line and on
// a bad one.
#include <algorithm>
#include <cmath>
#include <vector>

#include "bad-line.h"
#include "loopback.h"
#include "relayed-lane.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr unsigned kSeed = 5;
constexpr size_t kUnsynced = 2;    // ticks until reports of both streams have come
constexpr size_t kTicks = 4;       // that are heard on each line
constexpr gint64 kApartUs = 12000; // less than a packet of sound
constexpr int kRate = 48000, kLoud = 1500; // of 6553
constexpr gint64 kSecondUs = G_USEC_PER_SEC;

// From capture to presentation, us.
struct Seen {
  std::vector<gint64> pictures, ticks;
  gint64 loud_at = 0; // presented
};

struct Watching {
  explicit Watching(GstElement *of) : pipeline(of) {}

  GstElement *const pipeline;
  Watched<Seen> seen;

  // On the system clock, which the publisher has, too.
  gint64 presented_us(GstBuffer *buffer) const {
    const GstClockTime time =
        GST_BUFFER_PTS(buffer) + gst_element_get_base_time(pipeline);
    return static_cast<gint64>(time / 1000);
  }
  void picture(GstBuffer *buffer, const GstMapInfo &map) {
    const TrackConfig size = small_picture().video;
    const auto stamp = read_stamp({map.data, size.width, size.height, size.width});
    if (!stamp)
      return;
    const gint64 captured = g_get_monotonic_time() - stamp_age_ms(*stamp) * 1000;
    seen.update(
        [&](Seen &now) { now.pictures.push_back(presented_us(buffer) - captured); });
  }
  // There is one each full second. Nothing takes half of that.
  void sound(GstBuffer *buffer, const GstMapInfo &map) {
    const auto *samples = reinterpret_cast<const gint16 *>(map.data);
    const auto *end = samples + map.size / sizeof(gint16);
    const auto *loud = std::find_if(
        samples, end, [](gint16 sample) { return std::abs(sample) > kLoud; });
    if (loud == end)
      return;
    const gint64 at = presented_us(buffer) + (loud - samples) * kSecondUs / kRate;
    seen.update([&](Seen &now) {
      if (at - now.loud_at > kSecondUs / 2)
        now.ticks.push_back((at + kSecondUs / 2) % kSecondUs - kSecondUs / 2);
      now.loud_at = at;
    });
  }
};

template <void (Watching::*see)(GstBuffer *, const GstMapInfo &)>
void on_handoff(GstElement *, GstBuffer *buffer, GstPad *, gpointer watching) {
  GstMapInfo map;
  fail_unless(gst_buffer_map(buffer, &map, GST_MAP_READ));
  (static_cast<Watching *>(watching)->*see)(buffer, map);
  gst_buffer_unmap(buffer, &map);
}

gint64 median(std::vector<gint64> values, size_t from) {
  const auto begin = values.begin() + from;
  const auto middle = begin + (values.end() - begin) / 2;
  std::nth_element(begin, middle, values.end());
  return *middle;
}

// By how much sound is later than the picture, of those from `first` on.
void assert_synced(const char *line, const Seen &first, const Seen &now) {
  const gint64 pictures = median(now.pictures, first.pictures.size());
  const gint64 ticks = median(now.ticks, first.ticks.size());
  g_print("%s: pictures %.1f ms, ticks %.1f ms after capture\n", line,
          static_cast<double>(pictures) / 1000, static_cast<double>(ticks) / 1000);
  fail_unless(std::abs(pictures - ticks) <= kApartUs, "%s: %d ms apart", line,
              static_cast<int>((ticks - pictures) / 1000));
}

} // namespace

GST_START_TEST(test_lipsync_on_a_good_line_and_on_a_bad_one) {
  Line line;
  fail_unless(find_line("loss5", &line));
  UdpRelay relay(kSeed);
  relay.set(whole(line));
  const Scene scene = relayed_scene(relay);
  PublisherConfig config = relayed_config(scene);
  config.video = small_picture().video;
  config.with_audio = config.ticks = true;
  const auto publisher = scene.publish(config);
  Player player(scene.source("stream-id=abc password=false") +
                    " src.video_0 ! video/x-raw,format=I420 ! fakesink name=sink "
                    "sync=false async=false signal-handoffs=true src.audio_0 ! "
                    "audioconvert ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! "
                    "fakesink name=audio sync=false async=false signal-handoffs=true",
                {"sink", "audio"});
  Watching watching(player.pipeline());
  auto connect = [&](const char *name, GCallback handler) {
    const auto sink =
        ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(player.pipeline()), name));
    g_signal_connect(sink.get(), "handoff", handler, &watching);
  };
  connect("sink", G_CALLBACK(on_handoff<&Watching::picture>));
  connect("audio", G_CALLBACK(on_handoff<&Watching::sound>));
  player.play();
  auto await = [&](size_t ticks) {
    fail_unless(watching.seen.wait(
        60s, [=](const Seen &now) { return now.ticks.size() >= ticks; }));
    return watching.seen.get();
  };
  const Seen unsynced = await(kUnsynced);
  const Seen good = await(kUnsynced + kTicks);
  assert_synced("no loss", unsynced, good);
  relay.set(line);
  const Seen bad = await(good.ticks.size() + kTicks);
  assert_synced("loss5", good, bad);
  player.stop(); // what is seen is ours
}
GST_END_TEST

static Suite *lipsync_suite() {
  Suite *suite = suite_create("vdoninjasrc-lipsync");
  TCase *tc = tcase_create("lipsync");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 90);
  tcase_add_test(tc, test_lipsync_on_a_good_line_and_on_a_bad_one);
  return suite;
}

GST_CHECK_MAIN(lipsync);
