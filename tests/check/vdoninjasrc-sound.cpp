// SPDX-License-Identifier: LGPL-2.1-or-later
// Sound over a bad line: nothing is sent again, so what is lost is concealed, and nothing
// waits for it.
#include <algorithm>
#include <cmath>
#include <vector>

#include "bad-line.h"
#include "relayed-lane.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr unsigned kSeed = 3;
constexpr unsigned kBefore = 200, kBuffers = 600; // of 20 ms
// Share of 5 ms windows under a third of the level: of two lost in a row the second
// fades.
constexpr double kSilent = 0.005;
// By how much the 95th percentile may grow: where packets come as irregularly as on a
// busy machine they are waited for up to 200 ms, those of a picture 300 ms at least.
constexpr int kLaterMs = 220;
constexpr double kLevel = 0.2 / M_SQRT2;  // of the publisher's tone, RMS
constexpr unsigned kWindow = 48000 / 200; // samples

struct Heard {
  unsigned buffers = 0, windows = 0, silent = 0, channels = 0;
  std::vector<gint64> ages_us; // from presentation to arrival, on clocks of any offset
};

void hear(Heard &heard, GstPad *pad, GstBuffer *buffer) {
  heard.ages_us.push_back(g_get_monotonic_time() -
                          static_cast<gint64>(GST_BUFFER_PTS(buffer) / 1000));
  heard.buffers++;
  const CapsPtr caps(gst_pad_get_current_caps(pad));
  gint channels = 1;
  gst_structure_get_int(gst_caps_get_structure(caps.get(), 0), "channels", &channels);
  heard.channels = static_cast<unsigned>(channels);
  GstMapInfo map;
  fail_unless(gst_buffer_map(buffer, &map, GST_MAP_READ));
  const auto *samples = reinterpret_cast<const gint16 *>(map.data);
  const unsigned step = kWindow * heard.channels;
  for (size_t at = 0; (at + step) * 2 <= map.size; at += step) {
    double sum = 0;
    for (unsigned i = 0; i < step; i++)
      sum += samples[at + i] * static_cast<double>(samples[at + i]);
    heard.windows++;
    heard.silent += std::sqrt(sum / step) / 32768 < kLevel / 3;
  }
  gst_buffer_unmap(buffer, &map);
}

// From a publisher over `line`, once it plays.
struct Listening {
  explicit Listening(const Line &line)
      : relay(kSeed), scene(relayed_scene(relay)), publisher(publish()),
        player(scene.source("stream-id=abc password=false") +
                   " src.audio_0 ! audio/x-raw,format=S16LE,rate=48000 ! fakesink "
                   "name=audio sync=false async=false",
               {"audio"}) {
    relay.set(whole(line));
    player.play();
    player.expect_buffers("audio", 50);
    const auto sink = ObjPtr<GstElement>::adopt(
        gst_bin_get_by_name(GST_BIN(player.pipeline()), "audio"));
    const auto pad =
        ObjPtr<GstPad>::adopt(gst_element_get_static_pad(sink.get(), "sink"));
    gst_pad_add_probe(
        pad.get(), GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad *at, GstPadProbeInfo *info, gpointer data) {
          static_cast<Watched<Heard> *>(data)->update(
              [&](Heard &now) { hear(now, at, GST_PAD_PROBE_INFO_BUFFER(info)); });
          return GST_PAD_PROBE_OK;
        },
        &heard, nullptr);
  }
  ~Listening() { player.stop(); }
  std::unique_ptr<Publisher> publish() const {
    PublisherConfig config = relayed_config(scene);
    config.with_video = false;
    config.with_audio = true;
    return scene.publish(config);
  }
  // As it is when so many have come.
  Heard await(unsigned buffers) const {
    fail_unless(
        heard.wait(60s, [=](const Heard &now) { return now.buffers >= buffers; }));
    return heard.get();
  }

  Watched<Heard> heard;
  UdpRelay relay;
  Scene scene;
  std::unique_ptr<Publisher> publisher;
  Player player;
};

// From the quickest to all but 5 % of those from `first` on, in ms.
int spread_ms(std::vector<gint64> ages_us, unsigned first) {
  ages_us.erase(ages_us.begin(), ages_us.begin() + first);
  const auto least = std::min_element(ages_us.begin(), ages_us.end());
  const gint64 base = *least;
  const auto p95 = ages_us.begin() + ages_us.size() * 95 / 100;
  std::nth_element(ages_us.begin(), p95, ages_us.end());
  return static_cast<int>((*p95 - base) / 1000);
}

} // namespace

GST_START_TEST(test_sound_that_is_lost_is_concealed_and_not_waited_for) {
  Line line;
  fail_unless(find_line("loss5", &line));
  Listening listening(line);
  const Heard before = listening.await(kBefore);
  listening.relay.set(line);
  const Heard heard = listening.await(before.buffers + kBuffers);
  const int usual_ms = spread_ms(before.ages_us, 0);
  const int late_ms = spread_ms(heard.ages_us, before.buffers);
  const unsigned lost = listening.relay.state().towards(End::kViewer).lost;
  g_print("seed %u: %u packets lost, %u of %u windows silent, 95%% within %d ms, %d ms "
          "before\n",
          kSeed, lost, heard.silent, heard.windows, late_ms, usual_ms);
  fail_unless(lost > 10, "the line is no bad one");
  fail_unless(heard.silent <= kSilent * heard.windows, "%u of %u silent", heard.silent,
              heard.windows);
  fail_unless(listening.player.state().errors.empty());
  // Where everything takes longer, this does, too.
  if (time_factor() == 1)
    fail_unless(late_ms <= usual_ms + kLaterMs, "%d ms, %d ms before", late_ms, usual_ms);
}
GST_END_TEST

static Suite *sound_suite() {
  Suite *suite = suite_create("vdoninjasrc-sound");
  TCase *tc = tcase_create("sound");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 90);
  tcase_add_test(tc, test_sound_that_is_lost_is_concealed_and_not_waited_for);
  return suite;
}

GST_CHECK_MAIN(sound);
