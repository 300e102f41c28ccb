// SPDX-License-Identifier: LGPL-2.1-or-later
// What viewers of vdoninjasink say and do, what it does to them, and what they must not
// be able to do to each other.
#include "sending.h"
#include "test-client.h"
#include "test-viewer.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

// Custom, in clear: what passes can be read and bent.
struct Show {
  explicit Show(const std::string &more = "", const std::string &source = small_video())
      : sending(source + sink_line(scene, "stream-id=abc password=false " + more)) {
    sending.play();
    sending.expect_published();
  }
  ViewerConfig viewer() const {
    ViewerConfig config;
    config.server = scene.server->url();
    config.dialect = Dialect::kCustom;
    config.stream_id = "abc";
    config.password = "false";
    return config;
  }
  std::string play() const { return "stream-id=abc password=false"; }

  const Scene scene{Dialect::kCustom};
  Sending sending;
};

void expect(const TestViewer &viewer, const char *what,
            const std::function<bool(const TestViewer::State &)> &ready) {
  fail_unless(viewer.wait(20s, ready), "waited in vain for: %s", what);
}

// Frames of the test picture have no stamp.
unsigned frames(const TestViewer::State &state) {
  return state.unreadable;
}

void expect_frames(const TestViewer &viewer, unsigned more) {
  const unsigned before = frames(viewer.state());
  expect(viewer, "frames",
         [=](const auto &state) { return frames(state) >= before + more; });
}

bool heard(const TestViewer::State &state, const std::string &part) {
  return std::any_of(state.received.begin(), state.received.end(), [&](const auto &text) {
    return text.find(part) != std::string::npos;
  });
}

std::string request_of(const std::string &from, const char *request = "play") {
  return std::string(R"({"request":")") + request + R"(","streamID":"abc","from":")" +
         from + "\"}";
}

// Offers that came by the server.
unsigned offers(const Scene &scene) {
  unsigned count = 0;
  for (const Record &record : scene.server->state().records)
    count += record.received && record.text.find("m=application") != std::string::npos &&
             record.text.find("\"offer\"") != std::string::npos;
  return count;
}

} // namespace

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
  viewer.send(R"({"ping":12345})");
  expect(viewer, "a pong", [](const auto &state) { return heard(state, "12345"); });
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

// Pausing and going on is no way to more keyframes than others may have.
GST_START_TEST(test_pauses_without_end_are_no_keyframes) {
  Show show("keyframe-interval=0");
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 5);
  const auto keyframes = [&show] {
    guint count = 0;
    gst_structure_get_uint(show.sending.stats().get(), "keyframes", &count);
    return count;
  };
  const guint before = keyframes();
  for (int i = 0; i < 50; i++) {
    viewer.send(R"({"bitrate":0})");
    viewer.send(R"({"bitrate":1000})");
    g_usleep(100000);
  }
  fail_unless(keyframes() <= before + 6, "%u keyframes", keyframes() - before);
  expect_frames(viewer, 5);
}
GST_END_TEST

// What it does not take is refused, and not kept.
GST_START_TEST(test_messages_without_end) {
  Show show;
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 1);
  show.sending.expect_viewers(1);
  const std::string text = R"({"chat":")" + std::string(50000, 'x') + "\"}";
  unsigned refused = 0;
  for (int i = 0; i < 400; i++) {
    gboolean sent = FALSE;
    g_signal_emit_by_name(show.sending.sink(), "send-message", nullptr, text.c_str(),
                          &sent);
    refused += !sent;
  }
  fail_unless(refused > 0);
  expect_frames(viewer, 15);
}
GST_END_TEST

// A server that only relays lets anybody say to be anybody.
GST_START_TEST(test_others_cannot_restart_a_viewer) {
  Show show;
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect_buffers("sink", 5);
  show.sending.expect_viewers(1);
  const std::string id = show.sending.state().joined.front();
  TestClient client(show.scene.server->url());
  fail_unless(client.wait_open());
  client.send(R"({"from":"mallory"})");
  for (int i = 0; i < 10; i++)
    client.send(R"({"iceRestartRequest":true,"from":")" + id + "\"}");
  player.expect_buffers("sink", 15);
  fail_unless(show.sending.state().left.empty());
  player.assert_seamless(0);
}
GST_END_TEST

GST_START_TEST(test_muting_is_told) {
  Show show;
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect_buffers("sink", 5);
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
  GstElement *source = gst_parse_bin_from_description(
      "videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=15/1 ! "
      "identity",
      TRUE, nullptr);
  gst_bin_add(GST_BIN(sending.pipeline()), source);
  fail_unless(gst_element_link(source, sending.sink()));
  gst_element_sync_state_with_parent(source);
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
  Show show;
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect_buffers("sink", 5);
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

// Whoever asks and does not answer costs a handshake, and only so many at once.
GST_START_TEST(test_requests_without_end) {
  Show show;
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect_buffers("sink", 5);
  TestClient client(show.scene.server->url());
  fail_unless(client.wait_open());
  for (int i = 0; i < 200; i++)
    client.send(request_of("ghost" + std::to_string(i % 50)));
  client.send(request_of("ghost0", "joinroom"));
  player.expect_buffers("sink", 30);
  fail_unless(offers(show.scene) <= 1 + 8, "%u offers", offers(show.scene));
  player.assert_seamless(0);
  fail_unless(show.sending.state().errors.empty(), "%s", show.sending.describe().c_str());
}
GST_END_TEST

// A connection costs more than asking for one.
GST_START_TEST(test_restarts_without_end) {
  const Scene scene;
  Sending sending(small_video() + sink_line(scene, "stream-id=abc password=false"));
  sending.play();
  sending.expect_published();
  TestClient client(scene.server->url());
  fail_unless(client.wait_open());
  client.send(R"({"request":"play","streamID":"abc"})");
  const auto count = [](const TestClient::State &state) {
    return std::count_if(
        state.messages.begin(), state.messages.end(),
        [](const auto &text) { return text.find("m=application") != std::string::npos; });
  };
  fail_unless(client.wait([&](const auto &state) { return count(state) > 0; }));
  std::string publisher;
  for (size_t i = 0; publisher.empty(); i++)
    publisher = client.member(i, "UUID");
  for (int i = 0; i < 200; i++) {
    client.send(R"({"iceRestartRequest":true,"UUID":")" + publisher + "\"}");
    g_usleep(10000);
  }
  Player player(scene.line("stream-id=abc password=false"));
  player.play();
  player.expect_buffers("sink", 15);
  const auto made = count(client.state());
  fail_unless(made > 1 && made < 100, "%d connections", static_cast<int>(made));
}
GST_END_TEST

// Handshakes that do not get on make way for whoever comes after them.
GST_START_TEST(test_ghosts_do_not_keep_others_out) {
  Show show;
  TestClient client(show.scene.server->url());
  fail_unless(client.wait_open());
  for (int i = 0; i < 8; i++)
    client.send(request_of("ghost" + std::to_string(i)));
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect(
      "frames", [](const Player::State &state) { return state.buffers("sink") > 0; }, 8s);
}
GST_END_TEST

// What the answer of a viewer is bent to.
const std::pair<const char *, const char *> kBends[] = {
    {"m=video 9", "m=video 0"},
    {"a=mid:video0", "a=mid:else"},
    {"a=recvonly", "a=sendrecv"},
    {"a=recvonly", "a=inactive"},
    {"a=setup:active", "a=setup:no"},
    {"a=ice-ufrag:", "a=ice-ufrag:x"},
    {"sha-256", "sha-999"},
    {"a=group:BUNDLE video0", "a=group:BUNDLE"},
    {"v=0", "x=0"},
    {"m=application", "m=audio"},
    {"m=video", "m=application"},
};

GST_START_TEST(test_bent_answer_harms_nobody) {
  const auto [from, to] = kBends[__i__];
  Show show;
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect_buffers("sink", 5);
  Watched<unsigned> bent;
  show.scene.server->set_hook([&, from = from, to = to](Passing &passing) {
    if (passing.text.find("\"answer\"") == std::string::npos)
      return;
    for (size_t at = 0; (at = passing.text.find(from, at)) != std::string::npos;
         at += strlen(to)) {
      passing.text.replace(at, strlen(from), to);
      bent.update([](unsigned &n) { n++; });
    }
  });
  TestViewer viewer(show.viewer());
  fail_unless(bent.wait(20s, [](unsigned n) { return n > 0; }), "no %s in answers", from);
  player.expect_buffers("sink", 15);
  player.assert_seamless(0);
  show.scene.server->set_hook(nullptr);
}
GST_END_TEST

// The certificate is not that of the answer: nothing is shown.
GST_START_TEST(test_other_certificate_gets_nothing) {
  Show show;
  constexpr char kLine[] = "a=fingerprint:sha-256 ";
  Watched<bool> answered;
  show.scene.server->set_hook([&](Passing &passing) {
    if (passing.text.find("\"answer\"") == std::string::npos)
      return;
    // Everywhere the same, or it would be refused for another reason.
    for (size_t at = 0; (at = passing.text.find(kLine, at)) != std::string::npos;
         at += strlen(kLine))
      passing.text.replace(at + strlen(kLine), 5, "00:00");
    answered.update([](bool &yes) { yes = true; });
  });
  TestViewer viewer(show.viewer());
  fail_unless(answered.wait(20s, [](bool yes) { return yes; }));
  show.scene.server->set_hook(nullptr);
  // By then it could have been shown a second of pictures.
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect_buffers("sink", 15);
  fail_unless_equals_int(frames(viewer.state()), 0);
  fail_unless_equals_int(show.sending.state().joined.size(), 1);
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

GST_START_TEST(test_no_more_than_max_viewers) {
  Show show("max-viewers=1");
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect_buffers("sink", 5);
  TestViewer viewer(show.viewer());
  show.sending.expect_trouble(&Sending::State::warnings, "more than max-viewers=1");
  fail_unless_equals_int(viewer.state().offers, 0);
}
GST_END_TEST

// Those who asked before there was anything to watch are no exception.
GST_START_TEST(test_no_more_than_max_viewers_at_once) {
  const Scene scene{Dialect::kCustom};
  Sending sending(small_video() +
                  sink_line(scene, "stream-id=abc password=false max-viewers=2"));
  sending.set_state(GST_STATE_PAUSED);
  TestClient client(scene.server->url());
  fail_unless(client.wait_open());
  fail_unless(scene.server->wait(
      20s, [](const HandshakeServer::State &state) { return state.clients.size() > 1; }));
  for (int i = 0; i < 5; i++)
    client.send(request_of("early" + std::to_string(i), "sendoffer"));
  sending.play();
  sending.expect_published();
  sending.expect_trouble(&Sending::State::warnings, "more than max-viewers=2");
  fail_unless(offers(scene) <= 2, "%u offers", offers(scene));
}
GST_END_TEST

GST_START_TEST(test_stats_tell_of_each_viewer) {
  Show show;
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect_buffers("sink", 15);
  const auto stats = show.sending.stats();
  const GValue *viewers = gst_structure_get_value(stats.get(), "viewers");
  fail_unless(viewers && gst_value_list_get_size(viewers) == 1);
  const GstStructure *viewer =
      gst_value_get_structure(gst_value_list_get_value(viewers, 0));
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
  tcase_add_test(tc, test_pauses_without_end_are_no_keyframes);
  tcase_add_test(tc, test_messages_without_end);
  tcase_add_test(tc, test_others_cannot_restart_a_viewer);
  tcase_add_test(tc, test_bitrate_changes_without_congestion_control);
  tcase_add_test(tc, test_muting_is_told);
  tcase_add_test(tc, test_size_may_change);
  tcase_add_test(tc, test_viewer_is_sent_away);
  tcase_add_test(tc, test_application_talks_with_viewers);
  tcase_add_test(tc, test_second_viewer_does_not_wait_for_a_keyframe);
  tcase_add_test(tc, test_late_pad_is_in_time);
  tcase_add_test(tc, test_server_goes_and_comes);
  tcase_add_test(tc, test_requests_without_end);
  tcase_add_test(tc, test_restarts_without_end);
  tcase_add_test(tc, test_ghosts_do_not_keep_others_out);
  tcase_add_loop_test(tc, test_bent_answer_harms_nobody, 0, G_N_ELEMENTS(kBends));
  tcase_add_test(tc, test_other_certificate_gets_nothing);
  tcase_add_test(tc, test_offer_names_the_ssrc_of_each_codec);
  tcase_add_test(tc, test_no_more_than_max_viewers);
  tcase_add_test(tc, test_no_more_than_max_viewers_at_once);
  tcase_add_test(tc, test_stats_tell_of_each_viewer);
  return suite;
}

GST_CHECK_MAIN(vdoninjasink_viewers)
