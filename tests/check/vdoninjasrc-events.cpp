// SPDX-License-Identifier: LGPL-2.1-or-later
// What comes with the data of vdoninjasrc's pads: stream ids, collection, tags, times,
// and the end; and what becomes of one pad when the other's sink ends or fails.
#include "loopback.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr GstClockTimeDiff kMostLate = 3 * GST_SECOND;
constexpr GstClockTimeDiff kMostEarly = 100 * GST_MSECOND;

// Everything that reached one sink, besides what Player counts.
class Witness {
public:
  struct Seen {
    std::string stream_id, stream_of_event, title, codec, orientation;
    ObjPtr<GstStream> stream;
    bool stream_has_caps = false, stream_has_tags = false;
    guint group = 0, bitrate = 0, streams = 0;
    bool listed = false; // our stream is in the collection
    // How far buffers lie behind the pipeline's clock.
    GstClockTimeDiff earliest = G_MAXINT64, latest = G_MININT64;
  };

  Witness(Player &player, const char *sink)
      : pipeline_(ObjPtr<GstElement>::ref(player.pipeline())) {
    auto element =
        ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(player.pipeline()), sink));
    pad_ = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(element.get(), "sink"));
    gst_pad_add_probe(
        pad_.get(),
        GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
        on_data, this, nullptr);
  }
  Seen get() const { return seen_.get(); }
  Seen expect(const char *what, const std::function<bool(const Seen &)> &ready) const {
    fail_unless(seen_.wait(20s, ready), "in vain for: %s", what);
    return seen_.get();
  }

private:
  static GstPadProbeReturn on_data(GstPad *pad, GstPadProbeInfo *info, gpointer self) {
    auto *witness = static_cast<Witness *>(self);
    witness->seen_.update([&](Seen &seen) {
      if (info->type & GST_PAD_PROBE_TYPE_BUFFER)
        witness->see_time(seen, pad, gst_pad_probe_info_get_buffer(info));
      else
        see_event(seen, gst_pad_probe_info_get_event(info));
    });
    return GST_PAD_PROBE_OK;
  }

  void see_time(Seen &seen, GstPad *pad, GstBuffer *buffer) const {
    EventPtr event(gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0));
    const GstSegment *segment = nullptr;
    fail_unless(event != nullptr, "a buffer before its segment");
    gst_event_parse_segment(event.get(), &segment);
    const GstClockTime time =
        gst_segment_to_running_time(segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer));
    const GstClockTimeDiff lag =
        GST_CLOCK_DIFF(time, gst_element_get_current_running_time(pipeline_.get()));
    seen.earliest = std::min(seen.earliest, lag);
    seen.latest = std::max(seen.latest, lag);
  }

  static void see_event(Seen &seen, GstEvent *event) {
    if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS) {
      const auto caps = CapsPtr(gst_stream_get_caps(seen.stream.get()));
      seen.stream_has_caps = caps != nullptr;
    } else if (GST_EVENT_TYPE(event) == GST_EVENT_STREAM_START) {
      const gchar *id = nullptr;
      gst_event_parse_stream_start(event, &id);
      gst_event_parse_group_id(event, &seen.group);
      ObjPtr<GstStream> stream;
      gst_event_parse_stream(event, stream.out());
      seen.stream_id = id;
      seen.stream = stream;
      seen.stream_of_event = stream ? gst_stream_get_stream_id(stream.get()) : "";
    } else if (GST_EVENT_TYPE(event) == GST_EVENT_STREAM_COLLECTION) {
      ObjPtr<GstStreamCollection> all;
      gst_event_parse_stream_collection(event, all.out());
      seen.streams = gst_stream_collection_get_size(all.get());
      for (guint i = 0; i < seen.streams; i++)
        seen.listed |=
            seen.stream_id ==
            gst_stream_get_stream_id(gst_stream_collection_get_stream(all.get(), i));
    } else if (GST_EVENT_TYPE(event) == GST_EVENT_TAG) {
      GstTagList *tags = nullptr;
      gst_event_parse_tag(event, &tags);
      auto text = [tags](const char *name) {
        gchar *value = nullptr;
        gst_tag_list_get_string(tags, name, &value);
        return std::string(value ? StrPtr(value).get() : "");
      };
      seen.title = text(GST_TAG_TITLE);
      seen.codec = text(GST_TAG_VIDEO_CODEC) + text(GST_TAG_AUDIO_CODEC);
      seen.stream_has_tags =
          MiniPtr<GstTagList>(gst_stream_get_tags(seen.stream.get())) != nullptr;
      seen.orientation = text(GST_TAG_IMAGE_ORIENTATION);
      gst_tag_list_get_uint(tags, GST_TAG_BITRATE, &seen.bitrate);
    }
  }

  ObjPtr<GstElement> pipeline_;
  ObjPtr<GstPad> pad_;
  Watched<Seen> seen_;
};

void assert_in_time(const Witness::Seen &seen) {
  fail_unless(seen.earliest > -kMostEarly && seen.latest < kMostLate,
              "buffers lie %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT
              " ms behind the clock",
              seen.earliest / 1000000, seen.latest / 1000000);
}

std::string sink(const char *name, const char *more = "") {
  return std::string(" fakesink name=") + name + " sync=false async=false " + more;
}

} // namespace

// Two sources of one name, in bins of their own, play the same stream.
GST_START_TEST(test_events_stream_ids_are_unique_and_listed) {
  Loopback loopback;
  loopback.publish();
  auto bin = [&](const char *name) {
    return "( " + loopback.source() + " ! video/x-raw !" + sink(name) + " ) ";
  };
  Player player(bin("one") + bin("two"), {"one", "two"});
  Witness one(player, "one"), two(player, "two");
  player.play();
  auto complete = [](const Witness::Seen &s) { return s.streams == 2; };
  const auto first = one.expect("a collection", complete);
  const auto second = two.expect("a collection", complete);
  for (const auto &seen : {first, second})
    fail_unless(seen.listed && seen.stream_of_event == seen.stream_id);
  fail_unless(first.stream_id != second.stream_id && first.group != second.group, "%s",
              first.stream_id.c_str());
}
GST_END_TEST

// A phone that is turned says so.
GST_START_TEST(test_events_rotation_is_a_tag) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  Witness video(player, "sink");
  player.play();
  player.expect_buffers("sink", 5);
  for (const char *degrees : {"90", "270", "0"}) {
    loopback.publisher->send(std::string("{\"rotate_video\":") + degrees + "}");
    video.expect("the orientation", [&](const Witness::Seen &seen) {
      return seen.orientation == std::string("rotate-") + degrees;
    });
  }
}
GST_END_TEST

GST_START_TEST(test_events_tags_tell_title_codec_and_bitrate) {
  PublisherConfig config = small_picture(Codec::kVp8);
  config.label = "Front door";
  if (has_element("x264enc"))
    config.alternatives = {Codec::kX264};
  Loopback loopback(config);
  loopback.publish();
  for (const char *format : {"raw", "encoded", "rtp"}) {
    for (const char *codec : {"VP8", "H264"}) {
      if (config.alternatives.empty() && g_str_equal(codec, "H264"))
        continue;
      Player player(loopback.source(std::string("output-format=") + format +
                                    " video-codecs=<" + codec + ">") +
                        " src.video_0 !" + sink("sink") + " src.audio_0 !" +
                        sink("audio"),
                    {"sink", "audio"});
      Witness video(player, "sink"), audio(player, "audio");
      player.play();
      auto complete = [](const Witness::Seen &s) {
        return s.title == "Front door" && !s.codec.empty() && s.bitrate > 0;
      };
      const auto picture = video.expect("tags of the picture", complete);
      fail_unless(picture.stream_has_caps && picture.stream_has_tags);
      const auto sound = audio.expect("tags of the sound", complete);
      const std::string name = g_str_equal(codec, "H264") ? "H.264" : "VP8";
      fail_unless(picture.codec.find(name) == 0, "%s: %s", format, picture.codec.c_str());
      fail_unless(sound.codec.find("Opus") == 0, "%s: %s", format, sound.codec.c_str());
      fail_unless(picture.bitrate < 4000000 && sound.bitrate < 200000, "%u, %u",
                  picture.bitrate, sound.bitrate);
    }
  }
}
GST_END_TEST

GST_START_TEST(test_events_times_are_right_from_the_first_buffer_and_across_a_gap) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  Witness video(player, "sink"), audio(player, "audio");
  player.play();
  player.expect_buffers("sink", 5);
  player.expect_buffers("audio", 5);
  const std::string id = video.get().stream_id;
  fail_unless(loopback.publisher->restart(true, nullptr));
  loopback.await("the viewer again",
                 [](const auto &state) { return state.sessions == 2; });
  player.expect_buffers("sink", 10);
  player.expect_buffers("audio", 10);
  assert_in_time(video.get());
  assert_in_time(audio.get());
  const auto state = player.state();
  for (const char *name : {"sink", "audio"}) {
    const auto &arrived = state.sinks.at(name);
    fail_unless_equals_int(arrived.backwards, 0);
    fail_unless_equals_int(arrived.stream_starts, 1);
    fail_unless(arrived.disconts >= 2);
  }
  fail_unless(video.get().stream_id == id && audio.get().stream_id != id);
  fail_unless_equals_int(video.get().group, audio.get().group);
}
GST_END_TEST

GST_START_TEST(test_events_sink_that_has_enough_gets_eos_and_makes_room) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.source() + " src.video_0 !" + sink("sink", "num-buffers=5") +
                    " src.audio_0 !" + sink("audio") + sink("late"),
                {"sink", "audio", "late"});
  player.play();
  player.expect("EOS", [](const auto &state) {
    return state.buffers("sink") > 0 && state.sinks.at("sink").eos;
  });
  player.expect_buffers("audio", 25);
  fail_if(player.state().sinks.at("audio").eos || player.state().eos);
  auto pad =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(player.source(), "video_0"));
  auto peer = ObjPtr<GstPad>::adopt(gst_pad_get_peer(pad.get()));
  fail_unless(gst_pad_unlink(pad.get(), peer.get()));
  auto late =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(player.pipeline()), "late"));
  fail_unless(gst_element_link_pads(player.source(), "video_0", late.get(), "sink"));
  player.expect_buffers("late", 5);
  const auto state = player.state();
  fail_if(state.sinks.at("late").eos);
  fail_unless(state.errors.empty() && state.warnings.empty(), "%s",
              player.describe().c_str());
}
GST_END_TEST

// An element behind one pad fails: it says so itself, and the other pad goes on.
GST_START_TEST(test_events_failing_sink_leaves_the_other_pad_alone) {
  Loopback loopback;
  loopback.publish();
  for (bool video_fails : {true, false}) {
    const char *failing = video_fails ? "video_0" : "audio_0";
    const char *fine = video_fails ? "audio_0" : "video_0";
    Player player(loopback.source() + " src." + failing + " ! identity error-after=5 !" +
                      sink("broken") + " src." + fine + " !" + sink("sink"),
                  {"broken", "sink"});
    player.play();
    player.expect_error("Failed after iterations as requested");
    player.expect_warning("refuses the stream");
    player.expect_buffers("sink", 15);
    fail_unless_equals_int(player.state().errors.size(), 1);
  }
}
GST_END_TEST

// Whoever is linked as soon as a pad appears hears of the end. A publisher that comes
// later changes nothing.
GST_START_TEST(test_events_eos_before_the_stream_ends_it_at_once) {
  Loopback loopback;
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  loopback.server.await("the request",
                        [](const auto &state) { return state.count("play") > 0; });
  fail_unless(gst_element_send_event(player.pipeline(), gst_event_new_eos()));
  player.expect("EOS", [](const auto &state) { return state.eos; });
  player.expect("no more pads", [](const auto &state) { return state.no_more_pads > 0; });
  fail_unless_equals_int(player.state().pads.size(), 2);
  loopback.publish();
  loopback.await("the viewer", [](const auto &state) { return state.connected() == 1; });
  const auto state = player.state();
  for (const char *sink : {"sink", "audio"}) {
    fail_unless_equals_int(state.sinks.at(sink).stream_starts, 1);
    fail_unless_equals_int(state.buffers(sink), 0);
  }
  fail_unless(state.errors.empty(), "%s", player.describe().c_str());
}
GST_END_TEST

GST_START_TEST(test_events_eos_before_the_stream_ends_what_was_asked_for) {
  LoopbackServer server;
  Player video(server.source("stream-id=cam enable-audio=false") + video_sink());
  Player audio(server.source("stream-id=cam enable-video=false") + audio_sink(),
               {"audio"});
  for (Player *player : {&video, &audio}) {
    player->play();
    fail_unless(gst_element_send_event(player->pipeline(), gst_event_new_eos()));
    player->expect("EOS", [](const auto &state) { return state.eos; });
    fail_unless_equals_int(player->state().pads.size(), 1);
  }
}
GST_END_TEST

static Suite *events_suite() {
  Suite *suite = suite_create("vdoninjasrc-events");
  TCase *tc = tcase_create("events");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_events_stream_ids_are_unique_and_listed);
  tcase_add_test(tc, test_events_tags_tell_title_codec_and_bitrate);
  tcase_add_test(tc, test_events_rotation_is_a_tag);
  tcase_add_test(tc, test_events_times_are_right_from_the_first_buffer_and_across_a_gap);
  tcase_add_test(tc, test_events_sink_that_has_enough_gets_eos_and_makes_room);
  tcase_add_test(tc, test_events_failing_sink_leaves_the_other_pad_alone);
  tcase_add_test(tc, test_events_eos_before_the_stream_ends_it_at_once);
  tcase_add_test(tc, test_events_eos_before_the_stream_ends_what_was_asked_for);
  return suite;
}

GST_CHECK_MAIN(events);
