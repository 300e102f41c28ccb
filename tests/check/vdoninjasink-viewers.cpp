// SPDX-License-Identifier: LGPL-2.1-or-later
// What viewers of vdoninjasink say and do, and what it does to them.
#include "elements-of.h"
#include "show.h"
#include "test-client.h"

using namespace vdn;
using namespace std::chrono_literals;

GST_START_TEST(test_viewer_says_what_it_wants) {
  Show show;
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 5);
  expect(viewer, "our name", [](const auto &state) { return heard(state, "\"info\""); });
  viewer.send(R"({"hangup":true,"requestStats":true})");
  expect(viewer, "a refusal",
         [](const auto &state) { return heard(state, R"({"rejected":"hangup"})"); });
  expect(viewer, "statistics",
         [](const auto &state) { return heard(state, "remoteStats"); });
  viewer.send(R"({"requestStatsContinuous":true})");
  expect(viewer, "statistics again and again", [](const auto &state) {
    return std::count_if(state.received.begin(), state.received.end(),
                         [](const auto &one) {
                           return one.find("remoteStats") != std::string::npos;
                         }) > 2;
  });
  expect(viewer, "what limits the picture",
         [](const auto &state) { return heard(state, "\"qlr\""); });
  expect_pong(viewer, 12345);
}
GST_END_TEST

GST_START_TEST(test_viewer_pauses_and_goes_on) {
  Show show;
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 5);
  viewer.send(R"({"bitrate":0})");
  // Other viewers are not paused: two seconds of their frames tell how long it was.
  Player other(show.scene.line(show.play()));
  other.play();
  other.expect_buffers("sink", 15);
  const unsigned before = frames(viewer.state());
  other.expect_buffers("sink", 30);
  fail_unless(frames(viewer.state()) <= before, "it was sent frames while it had paused");
  viewer.send(R"({"bitrate":1000})");
  expect_frames(viewer, 5);
}
GST_END_TEST

GST_START_TEST(test_muting_is_told) {
  Shown show;
  Player &player = show.player;
  g_object_set(show.sending.sink(), "mute-video", TRUE, nullptr);
  player.expect("the word that it is muted", [](const Player::State &state) {
    return std::count(state.elements.begin(), state.elements.end(),
                      "vdoninja/video-muted") > 1;
  });
  g_object_set(show.sending.sink(), "mute-video", FALSE, nullptr);
  player.expect_buffers("sink", 15);
}
GST_END_TEST

GST_START_TEST(test_size_may_change) {
  Show show("", "videotestsrc is-live=true ! capsfilter name=size caps=\"video/x-raw,"
                "width=320,height=180,framerate=15/1\" ! ");
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect_caps("sink", "width=(int)320");
  const auto size = ObjPtr<GstElement>::adopt(
      gst_bin_get_by_name(GST_BIN(show.sending.pipeline()), "size"));
  gst_util_set_object_arg(G_OBJECT(size.get()), "caps",
                          "video/x-raw,width=640,height=360,framerate=15/1");
  player.expect_caps("sink", "width=(int)640");
  player.expect_buffers("sink", 15);
}
GST_END_TEST

// The picture is as large as the largest that somebody has room for.
GST_START_TEST(test_size_is_what_viewers_have_room_for) {
  Show show;
  TestViewer viewer(show.viewer());
  auto expect_width = [&](int width) {
    expect(viewer, std::to_string(width).c_str(),
           [=](const auto &state) { return state.width == width; });
  };
  expect_width(320);
  viewer.send(R"({"requestResolution":{"w":160,"h":100,"s":true,"c":false}})");
  expect_width(160);
  viewer.send(R"({"requestResolution":{"w":200,"h":130,"s":true,"c":false}})");
  expect_width(240);
  {
    TestViewer other(show.viewer()); // does not say
    expect_frames(other, 5);
    expect_width(320);
  }
  expect_width(240);
  viewer.send(R"({"requestResolution":{"w":null,"h":null}})");
  expect_width(320);
  fail_unless(show.sending.state().warnings.empty());
}
GST_END_TEST

// 15 pictures a second are more than it can decode: it asks for smaller ones, and gets
// them.
GST_START_TEST(test_viewer_that_is_too_slow_gets_smaller_pictures) {
  Show show;
  Player slow(show.scene.line(
      show.play() + " video-decoder=\"avdec_h264 ! identity sleep-time=90000\""));
  slow.play();
  slow.expect_caps("sink", "width=(int)320");
  slow.expect_caps("sink", "width=(int)240");
}
GST_END_TEST

// One encoder of sound for all, too: as good as whoever wants most.
GST_START_TEST(test_sound_is_what_viewers_want_of_it) {
  Show show("", tone());
  const auto listens = [](const TestViewer::State &state) {
    return state.audio_buffers > 5;
  };
  TestViewer viewer(show.viewer());
  expect(viewer, "sound", listens);
  const auto encoders = elements_of(gst_bin_iterate_all_by_element_factory_name(
      GST_BIN(show.sending.sink()), "opusenc"));
  fail_unless_equals_int(encoders.size(), 1);
  Watched<gint> bitrate;
  g_signal_connect(encoders.front().get(), "notify::bitrate",
                   G_CALLBACK(+[](GObject *encoder, GParamSpec *, Watched<gint> *to) {
                     gint now = 0;
                     g_object_get(encoder, "bitrate", &now, nullptr);
                     to->update([now](gint &known) { known = now; });
                   }),
                   &bitrate);
  const auto expect_bitrate = [&](gint wanted) {
    fail_unless(bitrate.wait(20s, [=](gint now) { return now == wanted; }),
                "%d bit/s instead of %d", bitrate.get(), wanted);
  };
  viewer.send(R"({"audioBitrate":24})");
  expect_bitrate(24000);
  {
    TestViewer other(show.viewer()); // does not say
    expect(other, "sound", listens);
    expect_bitrate(64000);
    g_object_set(show.sending.sink(), "audio-bitrate", 48, nullptr);
    expect_bitrate(48000);
  }
  expect_bitrate(24000);
  viewer.send(R"({"audioBitrate":1})"); // less than there is
  expect_bitrate(4000);
  viewer.send(R"({"audioBitrate":-1})");
  expect_bitrate(48000);
  g_signal_handlers_disconnect_by_data(encoders.front().get(), &bitrate);
}
GST_END_TEST

GST_START_TEST(test_viewer_is_sent_away) {
  Show show;
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 1);
  show.sending.expect_viewers(1);
  const std::string id = show.sending.state().joined.front();
  gboolean was_there = FALSE;
  g_signal_emit_by_name(show.sending.sink(), "kick", "nobody", &was_there);
  fail_if(was_there);
  g_signal_emit_by_name(show.sending.sink(), "kick", id.c_str(), &was_there);
  fail_unless(was_there);
  expect(viewer, "a goodbye", [](const auto &state) { return state.byes > 0; });
  show.sending.expect_left(1);
}
GST_END_TEST

GST_START_TEST(test_application_talks_with_viewers) {
  Show show;
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 1);
  Watched<std::string> said;
  g_signal_connect(show.sending.sink(), "on-message",
                   G_CALLBACK(+[](GstElement *, const char *, const char *json,
                                  Watched<std::string> *to) {
                     to->update([json](std::string &text) { text += json; });
                   }),
                   &said);
  viewer.send(R"({"chat":"hello there"})");
  fail_unless(said.wait(20s, [](const std::string &text) {
    return text.find("hello there") != std::string::npos;
  }));
  gboolean sent = FALSE;
  g_signal_emit_by_name(show.sending.sink(), "send-message", nullptr,
                        R"({"chat":"good day"})", &sent);
  fail_unless(sent);
  expect(viewer, "our word", [](const auto &state) { return heard(state, "good day"); });
}
GST_END_TEST

// What a track is has been known since its first viewer.
GST_START_TEST(test_second_viewer_does_not_wait_for_a_keyframe) {
  Show show("keyframe-interval=0");
  Player first(show.scene.line(show.play()));
  first.play();
  first.expect_buffers("sink", 5);
  Player second(show.scene.line(show.play()));
  second.play();
  second.expect_buffers("sink", 5);
}
GST_END_TEST

GST_START_TEST(test_bitrate_changes_without_congestion_control) {
  Show show("congestion-control=none video-encoder=x264enc");
  Watched<ObjPtr<GstElement>> made;
  g_signal_connect(
      show.sending.sink(), "encoder-setup",
      G_CALLBACK(+[](GstElement *, GstElement *encoder, Watched<ObjPtr<GstElement>> *to) {
        to->update([encoder](ObjPtr<GstElement> &one) {
          one = ObjPtr<GstElement>::ref(encoder);
        });
      }),
      &made);
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect_buffers("sink", 5);
  for (guint wanted : {400u, 1200u}) {
    g_object_set(show.sending.sink(), "video-bitrate", wanted, nullptr);
    player.expect_buffers("sink", 15);
    guint bitrate = 0;
    g_object_get(made.get().get(), "bitrate", &bitrate, nullptr);
    fail_unless_equals_int(bitrate, wanted);
  }
}
GST_END_TEST

// Times of what webrtcbin is given, by kind of media.
struct Times {
  GstClockTime video = GST_CLOCK_TIME_NONE, audio = GST_CLOCK_TIME_NONE;
};

void watch_times(GstElement *, const char *, GstElement *webrtcbin, Watched<Times> *to) {
  gst_element_foreach_sink_pad(
      webrtcbin,
      [](GstElement *, GstPad *pad, gpointer data) -> gboolean {
        gst_pad_add_probe(
            pad, GST_PAD_PROBE_TYPE_BUFFER,
            [](GstPad *from, GstPadProbeInfo *info, gpointer where) {
              const CapsPtr caps(gst_pad_get_current_caps(from));
              const char *media = gst_structure_get_string(
                  gst_caps_get_structure(caps.get(), 0), "media");
              const GstClockTime time = GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(info));
              static_cast<Watched<Times> *>(where)->update([&](Times &times) {
                (g_str_equal(media, "video") ? times.video : times.audio) = time;
              });
              return GST_PAD_PROBE_OK;
            },
            data, nullptr);
        return TRUE;
      },
      to);
}

// A pad that is linked after a pause: sound and picture are of the same time.
GST_START_TEST(test_late_pad_is_in_time) {
  const Scene scene{Dialect::kCustom};
  Sending sending(sink_line(scene, "stream-id=abc password=false") + " " + tone() +
                  "out.");
  Watched<Times> times;
  g_signal_connect(sending.sink(), "webrtcbin-ready", G_CALLBACK(watch_times), &times);
  sending.play();
  sending.expect_published();
  sending.set_state(GST_STATE_PAUSED);
  g_usleep(2 * G_USEC_PER_SEC);
  sending.play();
  link_picture(sending, "width=320,height=180");
  Player player(scene.line("stream-id=abc password=false"));
  player.play();
  player.expect_buffers("sink", 15);
  const Times now = times.get();
  fail_unless(GST_CLOCK_TIME_IS_VALID(now.video) && GST_CLOCK_TIME_IS_VALID(now.audio));
  const GstClockTimeDiff apart = GST_CLOCK_DIFF(now.video, now.audio);
  fail_unless(ABS(apart) < GstClockTimeDiff(GST_SECOND), "%" G_GINT64_FORMAT " ms apart",
              apart / 1000000);
  player.stop();
  sending.stop();
}
GST_END_TEST

// A new viewer is served once the server is back; who watches does not notice.
GST_START_TEST(test_server_goes_and_comes) {
  Shown show;
  Player &player = show.player;
  show.scene.server->stop();
  player.expect_buffers("sink", 15);
  GError *error = nullptr;
  fail_unless(show.scene.server->start(&error));
  Player second(show.scene.line(show.play()));
  second.play();
  second.expect_buffers("sink", 5);
  player.expect_buffers("sink", 5);
  player.assert_seamless(0);
}
GST_END_TEST

// To browsers what comes under another SSRC is another stream, which is not shown.
GST_START_TEST(test_offer_names_the_ssrc_of_each_codec) {
  for (const char *codec : {"H264", "VP8"}) {
    Show show;
    Player player(show.scene.line(show.play() + " video-codecs=<" + codec + ">"));
    player.play();
    player.expect_buffers("sink", 5);
    GstStructure *raw = nullptr;
    g_signal_emit_by_name(player.source(), "get-stats", "abc", &raw);
    const StructurePtr stats(raw);
    const auto first = [](const GstStructure *in, const char *list) {
      return gst_value_get_structure(
          gst_value_list_get_value(gst_structure_get_value(in, list), 0));
    };
    guint ssrc = 0;
    fail_unless(gst_structure_get_uint(first(first(stats.get(), "streams"), "rtp"),
                                       "ssrc", &ssrc));
    const std::string line = "a=ssrc:" + std::to_string(ssrc) + " ";
    const auto state = show.scene.server->state();
    const bool named =
        std::any_of(state.records.begin(), state.records.end(), [&](const Record &one) {
          return one.text.find("\"offer\"") != std::string::npos &&
                 one.text.find(line) != std::string::npos;
        });
    fail_unless(named, "%s: no offer has %s", codec, line.c_str());
  }
}
GST_END_TEST

GST_START_TEST(test_stats_tell_of_each_viewer) {
  Show show;
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect_buffers("sink", 15);
  const auto about = show.sending.only_viewer();
  const GstStructure *viewer = about.get();
  guint64 sent = 0;
  gboolean connected = FALSE;
  fail_unless(gst_structure_get(viewer, "packets-sent", G_TYPE_UINT64, &sent, "connected",
                                G_TYPE_BOOLEAN, &connected, nullptr));
  fail_unless(sent > 0 && connected);
  fail_unless_equals_string(gst_structure_get_string(viewer, "video-codec"), "H264");
}
GST_END_TEST

static Suite *vdoninjasink_viewers_suite() {
  Suite *suite = suite_create("vdoninjasink-viewers");
  TCase *tc = tcase_create("vdoninjasink-viewers");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_viewer_says_what_it_wants);
  tcase_add_test(tc, test_viewer_pauses_and_goes_on);
  tcase_add_test(tc, test_muting_is_told);
  tcase_add_test(tc, test_size_may_change);
  tcase_add_test(tc, test_size_is_what_viewers_have_room_for);
  tcase_add_test(tc, test_viewer_that_is_too_slow_gets_smaller_pictures);
  tcase_add_test(tc, test_sound_is_what_viewers_want_of_it);
  tcase_add_test(tc, test_viewer_is_sent_away);
  tcase_add_test(tc, test_application_talks_with_viewers);
  tcase_add_test(tc, test_second_viewer_does_not_wait_for_a_keyframe);
  tcase_add_test(tc, test_bitrate_changes_without_congestion_control);
  tcase_add_test(tc, test_late_pad_is_in_time);
  tcase_add_test(tc, test_server_goes_and_comes);
  tcase_add_test(tc, test_offer_names_the_ssrc_of_each_codec);
  tcase_add_test(tc, test_stats_tell_of_each_viewer);
  return suite;
}

GST_CHECK_MAIN(vdoninjasink_viewers)
