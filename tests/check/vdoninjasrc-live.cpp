// SPDX-License-Identifier: LGPL-2.1-or-later
// A live picture never falls behind: whoever is slow or waits misses pictures, and what
// comes then is of now.
#include <algorithm>
#include <atomic>

#include "loopback.h"
#include "time-factor.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr int kOldestMs = 1500;

bool has_h264() {
  return has_element("x264enc") && has_element("avdec_h264");
}

Player::Arrived arrived(const Player &player) {
  return player.state().sinks.at("sink");
}

// The packets of a publisher's video.
struct Sent {
  explicit Sent(Publisher &publisher) {
    PublisherHooks hooks;
    hooks.media.packets = [count = count](Packets &) {
      count->update([](unsigned &value) { value++; });
    };
    publisher.set_hooks(std::move(hooks));
  }
  void await(unsigned more) const {
    const unsigned goal = count->get() + more;
    fail_unless(count->wait(30s, [&](unsigned value) { return value >= goal; }));
  }
  std::shared_ptr<Watched<unsigned>> count = std::make_shared<Watched<unsigned>>();
};

guint64 dropped(const Player &player) {
  guint64 value = 0;
  gst_structure_get_uint64(player.pad_stats("cam").get(), "dropped", &value);
  return value;
}

// Something in it takes 50 ms for each picture, of 30 a second.
void assert_keeps_up(Codec codec, const std::string &properties, const std::string &sink,
                     const char *warning) {
  Loopback show(video_only(codec));
  show.publish();
  Player player(show.source(properties) + sink);
  player.play();
  player.expect_buffers("sink", 5);
  for (int round = 0; round < 10; round++) {
    player.expect_buffers("sink", 15);
    fail_unless(arrived(player).stamps.last_age_ms < kOldestMs * time_factor(),
                "%d ms old", arrived(player).stamps.last_age_ms);
  }
  fail_unless(dropped(player) > 0);
  player.expect_warning(warning);
  const auto state = player.state();
  fail_unless_equals_int(state.warnings.size(), 1);
  fail_unless_equals_int(show.publisher->state().sessions, 1);
  fail_unless_equals_int(arrived(player).backwards, 0);
}

} // namespace

GST_START_TEST(test_live_decoder_is_too_slow) {
  if (has_h264())
    assert_keeps_up(Codec::kX264,
                    "video-decoder=\"avdec_h264 ! identity sleep-time=50000\"",
                    video_sink(), "video-decoder of video_0 is slower");
  assert_keeps_up(Codec::kVp8, "video-decoder=\"vp8dec ! identity sleep-time=50000\"",
                  video_sink(), "video-decoder of video_0 is slower");
}
GST_END_TEST

GST_START_TEST(test_live_downstream_is_too_slow) {
  assert_keeps_up(Codec::kVp8, "",
                  " src.video_0 ! video/x-raw,format=I420 ! identity sleep-time=50000 ! "
                  "fakesink name=sink sync=false async=false",
                  "what is linked to video_0 is slower");
}
GST_END_TEST

// Takes 50 ms for a picture of 320x180, and less for less. Thread: streaming.
static GstPadProbeReturn work_on(GstPad *pad, GstPadProbeInfo *, gpointer) {
  const CapsPtr caps(gst_pad_get_current_caps(pad));
  gint width = 0, height = 0;
  gst_structure_get(gst_caps_get_structure(caps.get(), 0), "width", G_TYPE_INT, &width,
                    "height", G_TYPE_INT, &height, nullptr);
  g_usleep(50000ul * static_cast<unsigned>(width * height) / (320 * 180));
  return GST_PAD_PROBE_OK;
}

GST_START_TEST(test_live_decoder_that_is_too_slow_gets_smaller_pictures) {
  Loopback show(video_only());
  show.publish();
  Player player(show.source("video-decoder=\"vp8dec ! identity name=work\"") +
                video_sink());
  // Emitted more than once for what is in bins that move.
  g_signal_connect(player.source(), "deep-element-added",
                   G_CALLBACK(+[](GstBin *, GstBin *, GstElement *element, gpointer) {
                     if (!g_str_equal(GST_OBJECT_NAME(element), "work") ||
                         g_object_get_data(G_OBJECT(element), "watched"))
                       return;
                     g_object_set_data(G_OBJECT(element), "watched", element);
                     const auto pad = ObjPtr<GstPad>::adopt(
                         gst_element_get_static_pad(element, "src"));
                     gst_pad_add_probe(pad.get(), GST_PAD_PROBE_TYPE_BUFFER, work_on,
                                       nullptr, nullptr);
                   }),
                   nullptr);
  player.play();
  fail_unless(show.publisher->wait(30s, [](const auto &state) {
    return std::any_of(state.received.begin(), state.received.end(),
                       [](const auto &text) {
                         return text.find(R"("requestResolution":{"w":240,"h":135,)") !=
                                std::string::npos;
                       });
  }));
  player.expect("the message", [](const Player::State &state) {
    return std::count(state.elements.begin(), state.elements.end(), "vdoninja/quality");
  });
  show.publisher->set_size(240, 136);
  player.expect_caps("sink", "width=(int)240");
  player.expect_buffers("sink", 30);
  const guint64 before = dropped(player);
  player.expect_buffers("sink", 60);
  fail_unless_equals_uint64(dropped(player), before);
}
GST_END_TEST

// For some seconds; what comes afterwards is of then, in time with the clock, from the
// same session, which never stopped.
static void assert_pause(const std::string &sink) {
  Loopback show(video_only());
  const Sent sent(*show.publisher);
  show.publish();
  Player player(show.source() + sink);
  player.play();
  player.expect_buffers("sink", 30);
  gst_element_set_state(player.pipeline(), GST_STATE_PAUSED);
  sent.await(150);
  const auto before = arrived(player);
  const auto pinged = show.publisher->state().received.size();
  const uint32_t resumed = stamp_now_ms();
  gst_element_set_state(player.pipeline(), GST_STATE_PLAYING);
  player.expect("a picture of now", [&](const Player::State &state) {
    return state.shows_since("sink", resumed);
  });
  // But for one that the sink had in hand, and what was behind it.
  fail_unless(arrived(player).buffers - before.buffers < 15, "%u old ones",
              arrived(player).buffers - before.buffers);
  player.expect_buffers("sink", 60);
  const auto after = arrived(player);
  fail_unless(after.stamps.last_age_ms < kOldestMs * time_factor(), "%d ms old",
              after.stamps.last_age_ms);
  fail_unless_equals_int(after.backwards, 0);
  fail_unless(pinged > 0);
  const auto state = player.state();
  fail_unless(state.warnings.empty() && state.errors.empty(), "%s",
              player.describe().c_str());
  fail_unless_equals_int(show.publisher->state().sessions, 1);
}

GST_START_TEST(test_live_pause_is_not_made_up_for) {
  for (const char *sync : {"false", "true"})
    assert_pause(
        std::string(" src.video_0 ! video/x-raw,format=I420 ! fakesink name=sink "
                    "async=false sync=") +
        sync);
}
GST_END_TEST

// Nothing of what comes can be shown: the cause is told, once, and the publisher not
// flooded with requests; and when one comes, so does the picture.
GST_START_TEST(test_live_keyframe_that_never_comes_is_told) {
  Loopback show(video_only());
  PublisherHooks hooks;
  auto deaf = std::make_shared<std::atomic<bool>>(true);
  hooks.media.packets = [seen = 0u](Packets &packets) mutable {
    if (seen++ < 30) // with the only keyframe among them
      packets.clear();
  };
  hooks.media.keyframe = [deaf] { return !*deaf; };
  show.publisher->set_hooks(std::move(hooks));
  show.publish();
  Player player(show.source() + video_sink());
  player.play();
  player.expect_warning("no keyframe arrives");
  const auto state = show.publisher->state();
  const unsigned asked = state.viewers.at(0).status.keyframe_requests;
  fail_unless(asked >= 3 && asked <= 9, "%u requests", asked);
  fail_unless_equals_int(state.sessions, 1);
  *deaf = false;
  player.expect_buffers("sink", 5);
  fail_unless_equals_int(player.state().warnings.size(), 1);
  fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
}
GST_END_TEST

// What is dropped before it reaches webrtcbin cannot be sent again.
GST_START_TEST(test_live_publisher_that_repeats_nothing_is_told) {
  Loopback show(video_only());
  PublisherHooks hooks;
  auto loses = std::make_shared<std::atomic<bool>>(true);
  hooks.media.packets = [loses, seen = 0u](Packets &packets) mutable {
    if (++seen % 5 == 0 && *loses)
      packets.clear();
  };
  show.publisher->set_hooks(std::move(hooks));
  show.publish();
  Player player(show.source() + video_sink());
  player.play();
  player.expect_warning("sends none of them again");
  *loses = false;
  player.expect_buffers("sink", 5);
  fail_unless_equals_int(player.state().warnings.size(), 1);
  fail_unless_equals_int(show.publisher->state().sessions, 1);
}
GST_END_TEST

// Sinks begin together; a pad that never comes has nothing for its sink.
GST_START_TEST(test_live_sink_that_is_waited_for_is_told_of) {
  for (const char *queue : {"", "queue max-size-buffers=5 ! "}) {
    Loopback show(video_only());
    show.publish();
    Player player(show.source() + " src.video_0 ! " + queue +
                  "fakesink sync=false src.audio_0 ! fakesink");
    player.play();
    player.expect_warning("which has got nothing so far; the publisher sends no sound");
    for (const auto &warning : player.state().warnings) // gst-parse has one, too
      fail_unless(warning.text.find("slower") == std::string::npos, "%s",
                  player.describe().c_str());
  }
}
GST_END_TEST

// On the way to NULL a bin passes PAUSED; the goodbye leaves all the same.
GST_START_TEST(test_live_goodbye_arrives) {
  for (GstState state : {GST_STATE_READY, GST_STATE_NULL}) {
    Show show;
    show.player.expect_buffers("sink", 5);
    gst_element_set_state(show.player.pipeline(), GST_STATE_PAUSED);
    gst_element_set_state(show.player.pipeline(), state);
    show.await("the goodbye", [](const auto &publisher) {
      return std::any_of(publisher.received.begin(), publisher.received.end(),
                         [](const std::string &text) {
                           return text.find("\"bye\"") != std::string::npos;
                         });
    });
  }
}
GST_END_TEST

namespace {

// What a pad told of gaps.
struct Gaps {
  unsigned count = 0;
  GstClockTime end = 0; // running time
};

GstPadProbeReturn on_event(GstPad *pad, GstPadProbeInfo *info, gpointer watched) {
  GstEvent *event = gst_pad_probe_info_get_event(info);
  if (GST_EVENT_TYPE(event) != GST_EVENT_GAP)
    return GST_PAD_PROBE_OK;
  GstClockTime from = 0, length = 0;
  gst_event_parse_gap(event, &from, &length);
  const EventPtr segment(gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0));
  const GstSegment *within = nullptr;
  gst_event_parse_segment(segment.get(), &within);
  static_cast<Watched<Gaps> *>(watched)->update([&](Gaps &gaps) {
    gaps.count++;
    gaps.end = gst_segment_to_running_time(within, GST_FORMAT_TIME, from + length);
  });
  return GST_PAD_PROBE_OK;
}

} // namespace

// Whoever waits for all pads is told that nothing comes, and time goes on.
GST_START_TEST(test_live_gaps_are_told_while_the_publisher_is_away) {
  ShowAndSound show;
  show.player.expect_buffers("sink", 5);
  show.player.expect_buffers("audio", 5);
  Watched<Gaps> gaps[2];
  const char *sinks[] = {"sink", "audio"};
  for (int i = 0; i < 2; i++) {
    const auto sink = ObjPtr<GstElement>::adopt(
        gst_bin_get_by_name(GST_BIN(show.player.pipeline()), sinks[i]));
    const auto pad =
        ObjPtr<GstPad>::adopt(gst_element_get_static_pad(sink.get(), "sink"));
    gst_pad_add_probe(pad.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_event, &gaps[i],
                      nullptr);
  }
  show.publisher->stop();
  for (auto &watched : gaps) {
    fail_unless(watched.wait(30s, [](const Gaps &told) { return told.count >= 3; }));
    const GstClock *clock = GST_ELEMENT_CLOCK(show.player.pipeline());
    const gint64 now = gst_clock_get_time(const_cast<GstClock *>(clock)) -
                       gst_element_get_base_time(show.player.pipeline());
    const gint64 behind = now - static_cast<gint64>(watched.get().end);
    fail_unless(behind > 0 && behind < 2 * GST_SECOND * time_factor(),
                "%" GST_STIME_FORMAT, GST_STIME_ARGS(behind));
  }
  GError *error = nullptr;
  fail_unless(show.publisher->start(&error));
  show.player.expect_buffers("sink", 5);
  fail_unless_equals_int(arrived(show.player).backwards, 0);
}
GST_END_TEST

static Suite *live_suite() {
  Suite *suite = suite_create("vdoninjasrc-live");
  TCase *tc = tcase_create("live");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 120);
  tcase_add_test(tc, test_live_decoder_is_too_slow);
  tcase_add_test(tc, test_live_downstream_is_too_slow);
  tcase_add_test(tc, test_live_decoder_that_is_too_slow_gets_smaller_pictures);
  tcase_add_test(tc, test_live_pause_is_not_made_up_for);
  tcase_add_test(tc, test_live_keyframe_that_never_comes_is_told);
  tcase_add_test(tc, test_live_publisher_that_repeats_nothing_is_told);
  tcase_add_test(tc, test_live_sink_that_is_waited_for_is_told_of);
  tcase_add_test(tc, test_live_goodbye_arrives);
  tcase_add_test(tc, test_live_gaps_are_told_while_the_publisher_is_away);
  return suite;
}

GST_CHECK_MAIN(live);
