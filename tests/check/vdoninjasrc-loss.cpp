// SPDX-License-Identifier: LGPL-2.1-or-later
// Packets that are lost come again: what a bad line loses is asked for once it is
// missing, not much more often than that, and nothing is given up.
#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include <gst/rtp/gstrtpbuffer.h>

#include "nacks.h"

#include "relayed-lane.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr unsigned kSeed = 11;
constexpr unsigned kFps = 30;
constexpr unsigned kFrames = 15 * kFps; // on the bad line
constexpr unsigned kAfter = 2 * kFps;   // until nothing is missing any more

// The bounds.
constexpr unsigned kGivenUp = 0;
constexpr double kNacksPerLoss = 1.5;
constexpr double kNacksPerLossLte = 1.6;
constexpr int kRequestP95Ms = 10;     // from the gap to the first request
constexpr double kHastyRepeats = 0.1; // share of those before an answer can be there
constexpr int kLongestGapMs = 1000;   // between two pictures

// What the relay saw of RTP on its way to the viewer.
struct Wire {
  std::map<guint32, std::set<guint16>> lost; // numbers by SSRC
  unsigned packets = 0;
};

// What the viewer saw; times are monotonic.
struct Viewed {
  guint32 ssrc = 0;   // of the picture, 0: nothing yet
  guint16 newest = 0; // number
  unsigned repaired = 0;
  unsigned given_up = 0;
  std::map<guint16, gint64> missing; // since when, of those that ever were
  std::map<guint16, gint64> asked;   // the last time
  unsigned nacks = 0;                // one for each packet that is asked for
  unsigned early = 0;                // those for packets that nothing had overtaken yet
  std::vector<gint64> first_us;      // from the gap to the first request
  std::vector<gint64> repeats_us;    // from one request to the next
};

int distance(guint16 from, guint16 to) {
  return static_cast<gint16>(to - from);
}

// RFC 3550 and 5761: version 2, and no packet type of RTCP.
void on_wire(Wire &wire, BadLine::Fate fate, const std::string &packet) {
  const auto *data = reinterpret_cast<const guint8 *>(packet.data());
  if (packet.size() < 12 || data[0] >> 6 != 2 || (data[1] >= 192 && data[1] < 224))
    return;
  wire.packets++;
  if (fate != BadLine::Fate::kPassed)
    wire.lost[GST_READ_UINT32_BE(data + 8)].insert(GST_READ_UINT16_BE(data + 2));
}

void on_packet(Viewed &viewed, GstBuffer *buffer) {
  GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
  if (!gst_rtp_buffer_map(buffer, GST_MAP_READ, &rtp))
    return;
  const guint32 ssrc = gst_rtp_buffer_get_ssrc(&rtp);
  const guint16 number = gst_rtp_buffer_get_seq(&rtp);
  gst_rtp_buffer_unmap(&rtp);
  if (viewed.ssrc != ssrc)
    viewed.newest = number;
  viewed.ssrc = ssrc;
  const gint64 now = g_get_monotonic_time();
  for (; distance(viewed.newest, number) > 0; viewed.newest++)
    if (distance(viewed.newest, number) > 1)
      viewed.missing[static_cast<guint16>(viewed.newest + 1)] = now;
  viewed.repaired += GST_BUFFER_FLAG_IS_SET(buffer, GST_RTP_BUFFER_FLAG_RETRANSMISSION);
}

GstPadProbeReturn on_arrival(GstPad *, GstPadProbeInfo *info, gpointer data) {
  static_cast<Watched<Viewed> *>(data)->update([info](Viewed &viewed) {
    if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
      on_packet(viewed, GST_PAD_PROBE_INFO_BUFFER(info));
      return;
    }
    GstBufferList *list = GST_PAD_PROBE_INFO_BUFFER_LIST(info);
    for (guint i = 0; i < gst_buffer_list_length(list); i++)
      on_packet(viewed, gst_buffer_list_get(list, i));
  });
  return GST_PAD_PROBE_OK;
}

GstPadProbeReturn on_departure(GstPad *, GstPadProbeInfo *info, gpointer data) {
  if (gst_event_has_name(GST_PAD_PROBE_INFO_EVENT(info), "GstRTPPacketLost"))
    static_cast<Watched<Viewed> *>(data)->update(
        [](Viewed &viewed) { viewed.given_up++; });
  return GST_PAD_PROBE_OK;
}

void on_jitterbuffer(GstElement *, GstElement *buffer, guint, guint, gpointer viewed) {
  const auto sink = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(buffer, "sink"));
  gst_pad_add_probe(
      sink.get(),
      GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_BUFFER_LIST),
      on_arrival, viewed, nullptr);
  const auto src = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(buffer, "src"));
  gst_pad_add_probe(src.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_departure, viewed,
                    nullptr);
}

void on_nack(Viewed &viewed, guint32 ssrc, guint16 number) {
  const gint64 now = g_get_monotonic_time();
  const auto gap = viewed.missing.find(number);
  const auto before = viewed.asked.find(number);
  viewed.nacks++;
  if (ssrc != viewed.ssrc || gap == viewed.missing.end())
    viewed.early++;
  else if (before == viewed.asked.end())
    viewed.first_us.push_back(now - gap->second);
  else
    viewed.repeats_us.push_back(now - before->second);
  viewed.asked[number] = now;
}

// Thread: the loop of vdoninjasrc, before anything arrives.
void on_webrtcbin(GstElement *, const char *, GstElement *webrtc, gpointer viewed) {
  watch_nacks(webrtc, [to = static_cast<Watched<Viewed> *>(viewed)](guint32 ssrc,
                                                                    guint16 number) {
    to->update([=](Viewed &seen) { on_nack(seen, ssrc, number); });
  });
  const auto rtpbin =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(webrtc), "rtpbin"));
  g_signal_connect(rtpbin.get(), "new-jitterbuffer", G_CALLBACK(on_jitterbuffer), viewed);
}

// Noise takes all the bits there are: some 250 packets a second.
PublisherConfig busy_picture(const Scene &scene) {
  PublisherConfig config = relayed_config(scene);
  config.video = TrackConfig();
  config.video.fps = kFps;
  config.video.pattern = "snow";
  config.video.codec = Codec::kX264;
  GstElementFactory *x264 = gst_element_factory_find("x264enc");
  if (x264) {
    gst_object_unref(x264);
    return config;
  }
  // Of noise it makes more than it is told to, too much for lte.
  config.video.codec = Codec::kVp8;
  config.video.width /= 2;
  config.video.height /= 2;
  return config;
}

// A publisher and a viewer who met over this line, five pictures ago.
struct Watching {
  explicit Watching(const Line &line)
      : relay(kSeed), scene(relayed_scene(relay)),
        publisher(scene.publish(busy_picture(scene))), player(relayed_line(scene)) {
    relay.set(whole(line));
    relay.set_tap([this](End to, BadLine::Fate fate, const std::string &packet) {
      if (to == End::kViewer)
        wire.update([&](Wire &seen) { on_wire(seen, fate, packet); });
    });
    g_signal_connect(player.source(), "webrtcbin-ready", G_CALLBACK(on_webrtcbin),
                     &viewed);
    player.play();
    player.expect_buffers("sink", 5);
  }
  ~Watching() { relay.set_tap({}); }
  // By what was published: how much of that arrives is another question.
  void watch(unsigned frames) {
    const unsigned until = publisher->frames() + frames;
    player.expect(
        "time to pass", [&](const auto &) { return publisher->frames() >= until; }, 60s);
  }

  Watched<Wire> wire;
  Watched<Viewed> viewed;
  UdpRelay relay;
  Scene scene;
  std::unique_ptr<Publisher> publisher;
  Player player;
  unsigned requests_before = 0; // for keyframes, on the good line
};

std::set<guint16> lost_of(const Wire &wire, guint32 ssrc) {
  const auto at = wire.lost.find(ssrc);
  return at == wire.lost.end() ? std::set<guint16>() : at->second;
}

int percentile_ms(std::vector<gint64> values, double share) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : static_cast<int>(values[values.size() * share] / 1000);
}

struct Bounds {
  double nacks_per_loss;
  int round_trip_ms; // at least
  bool keyframes;    // may be asked for
};

unsigned keyframe_requests(const Watching &watching) {
  return watching.publisher->state().viewers.at(0).status.keyframe_requests;
}

void assert_repaired(const char *name, Watching &watching, const Bounds &bounds) {
  const Viewed viewed = watching.viewed.get();
  const Wire wire = watching.wire.get();
  const auto lost = lost_of(wire, viewed.ssrc);
  const unsigned unheard = std::count_if(lost.begin(), lost.end(), [&](guint16 number) {
    return viewed.asked.count(number) == 0;
  });
  const auto arrived = watching.player.state().sinks.at("sink");
  const int gap_ms = static_cast<int>((arrived.gap_to_us - arrived.gap_from_us) / 1000);
  const double ratio = viewed.nacks / std::max(1.0, double(lost.size()));
  const int p95 = percentile_ms(viewed.first_us, 0.95);
  const unsigned hasty =
      std::count_if(viewed.repeats_us.begin(), viewed.repeats_us.end(),
                    [&](gint64 us) { return us < bounds.round_trip_ms * 1000; });
  g_print("%s, seed %u: %u packets, %zu of the picture lost, %u of them never asked for; "
          "%u requests, %.2f for each, %u early, the first after %d ms (p95 %d), %u of "
          "%zu repeats hasty; %u repaired, %u given up, %u keyframes asked for; "
          "%u pictures, %d ms without one; "
          "the relay was late by %d us at most\n",
          name, kSeed, wire.packets, lost.size(), unheard, viewed.nacks, ratio,
          viewed.early, percentile_ms(viewed.first_us, 0.5), p95, hasty,
          viewed.repeats_us.size(), viewed.repaired, viewed.given_up,
          keyframe_requests(watching) - watching.requests_before, arrived.buffers, gap_ms,
          int(watching.relay.state().late_us));
  fail_unless(lost.size() >= 10, "the line is no bad one");
  fail_unless(viewed.given_up <= kGivenUp, "%u given up", viewed.given_up);
  fail_unless(bounds.keyframes ||
              keyframe_requests(watching) == watching.requests_before);
  fail_unless_equals_int(unheard, 0);
  fail_unless_equals_int(viewed.early, 0);
  fail_unless(ratio <= bounds.nacks_per_loss, "%.2f requests for each loss", ratio);
  fail_unless_equals_int(watching.publisher->state().sessions, 1);
  // Where everything takes longer, these do, too; and a second request is not late
  // because the first one was.
  if (time_factor() > 1)
    return;
  fail_unless(hasty <= kHastyRepeats * viewed.repeats_us.size(), "%u hasty repeats",
              hasty);
  // What the relay's thread waited for a processor, others may have had to.
  const int busy_ms = static_cast<int>(watching.relay.state().late_us / 1000);
  fail_unless(p95 <= kRequestP95Ms + busy_ms, "%d ms from the gap to the request", p95);
  fail_unless(gap_ms <= kLongestGapMs, "%d ms without a picture", gap_ms);
}

// What sinks that sync are told, in ms.
unsigned declared(const Player &player) {
  guint ms = 0;
  gst_structure_get_uint(player.pad_stats("abc").get(), "latency-ms", &ms);
  return ms;
}

void test_line(const char *name, double nacks_per_loss, bool keyframes = true) {
  Line line;
  fail_unless(find_line(name, &line));
  Watching watching(line);
  watching.requests_before = keyframe_requests(watching);
  watching.relay.set(line);
  watching.watch(kFrames);
  watching.relay.set(whole(line)); // what is missing now shows, and comes
  watching.watch(kAfter);
  const int round_trip_ms = line.to_viewer.delay_ms + line.to_publisher.delay_ms;
  assert_repaired(name, watching, {nacks_per_loss, round_trip_ms, keyframes});
  // A repair takes a round trip at least, and there were several.
  fail_unless(declared(watching.player) >= static_cast<unsigned>(round_trip_ms),
              "%u ms declared", declared(watching.player));
}

} // namespace

GST_START_TEST(test_loss_of_five_percent) {
  test_line("loss5", kNacksPerLoss);
}
GST_END_TEST

GST_START_TEST(test_loss_in_bursts) {
  test_line("burst", kNacksPerLoss);
}
GST_END_TEST

GST_START_TEST(test_loss_on_a_mobile_network) {
  test_line("lte", kNacksPerLossLte, false);
}
GST_END_TEST

static Suite *loss_suite() {
  Suite *suite = suite_create("vdoninjasrc-loss");
  TCase *tc = tcase_create("loss");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 120);
  tcase_add_test(tc, test_loss_of_five_percent);
  tcase_add_test(tc, test_loss_in_bursts);
  tcase_add_test(tc, test_loss_on_a_mobile_network);
  return suite;
}

GST_CHECK_MAIN(loss);
