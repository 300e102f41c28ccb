// SPDX-License-Identifier: LGPL-2.1-or-later
// A stream that plays is not harmed by what others say on the socket, nor by the end of
// another stream.
#include "loopback.h"
#include "offers.h"
#include "scene.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

PublisherConfig on_a_relay(const char *password) {
  PublisherConfig config = video_only();
  config.dialect = Dialect::kCustom;
  config.password = password;
  return config;
}

// A picture that plays over a server that relays, and somebody else on it.
struct Stage : Show {
  explicit Stage(const char *password)
      : Show(on_a_relay(password), std::string("password=") + password) {
    player.expect_buffers("sink", 10);
    for (const auto &one : server.state().clients)
      if (one.stream.empty())
        viewer = one;
    const auto peers = publisher->state();
    self = peers.self;
    session = peers.viewers.at(0).session;
    wire_id = Secret(password, config.salt).wire_stream_id("cam");
  }
  // A message to the viewer, `fields` without braces.
  void say(const std::string &fields) {
    server.send_text(viewer.id, "{\"UUID\":\"" + viewer.peer + "\"," + fields + "}");
  }
  void offer(const std::string &from, const std::string &id, const std::string &sdp) {
    say("\"from\":\"" + from + "\",\"session\":\"" + id + "\",\"streamID\":\"" + wire_id +
        "\",\"description\":{\"type\":\"offer\",\"sdp\":" + escaped(sdp) + "}");
  }
  static std::string escaped(const std::string &text) {
    std::string result = "\"";
    for (char c : text)
      result += c == '\r' ? "\\r" : c == '\n' ? "\\n" : std::string(1, c);
    return result + "\"";
  }
  void assert_undisturbed(const char *what) {
    player.expect_buffers("sink", 45);
    const auto state = player.state();
    fail_unless(state.errors.empty(), "%s: %s", what, player.describe().c_str());
    fail_unless(state.sinks.at("sink").disconts == 1, "%s interrupted it", what);
  }

  HandshakeServer::Client viewer;
  std::string self, session, wire_id;
};

} // namespace

GST_START_TEST(test_strangers_cannot_end_a_stream) {
  for (const char *password : {"false", "secret"}) {
    Stage stage(password);
    stage.offer("stranger", "one", "v=0\r\n");
    stage.assert_undisturbed("garbage");
    stage.offer("stranger", "one", plain_offer());
    stage.assert_undisturbed("an offer of somebody else");
    stage.offer(stage.self, stage.session, "v=0\r\n");
    stage.assert_undisturbed("garbage in the publisher's name");
    stage.offer(stage.self, stage.session, plain_offer());
    stage.assert_undisturbed("an offer in the publisher's name");
    stage.offer(stage.self, "another", plain_offer());
    stage.assert_undisturbed("another session in the publisher's name");
    stage.say("\"from\":\"" + stage.self + "\",\"bye\":true");
    stage.assert_undisturbed("a goodbye in the publisher's name");
    stage.say("\"from\":\"stranger\",\"request\":\"alert\",\"message\":\"rejected\"");
    stage.say("\"request\":\"alert\",\"message\":\"Stream ID is already in use.\"");
    stage.assert_undisturbed("an alert");
    fail_unless(stage.player.state().warnings.size() <= 1, "%s",
                stage.player.describe().c_str());
  }
}
GST_END_TEST

// On a hosted server alerts have no sender; what has one is another client's.
GST_START_TEST(test_strangers_alerts_are_not_the_server_s) {
  Show show;
  show.player.expect_buffers("sink", 5);
  for (const auto &client : show.server.state().clients)
    show.server.send_text(client.id, "{\"request\":\"alert\",\"message\":\"rejected\","
                                     "\"UUID\":\"stranger\"}");
  show.player.expect_buffers("sink", 20);
  fail_unless(show.player.state().errors.empty() && show.player.state().warnings.empty());
}
GST_END_TEST

// Everybody comes back as somebody else, and the publisher offers anew.
GST_START_TEST(test_strangers_are_all_after_the_server_restarted) {
  PublisherConfig config = on_a_relay("false");
  config.room = "room1";
  Show show(config, "room=room1 password=false");
  show.player.expect_buffers("sink", 10);
  const unsigned connects = show.publisher->state().connects;
  const unsigned joins = show.server.state().count("joinroom");
  for (const auto &client : show.server.state().clients)
    show.server.kick(client.id, false);
  show.await("the publisher", [&](const auto &state) {
    return state.online && state.connects > connects;
  });
  show.server.await("the viewer", [&](const auto &state) {
    return state.count("joinroom") >= joins + 2;
  });
  show.player.expect_buffers("sink", 60);
  fail_unless_equals_int(show.player.state().sinks.at("sink").disconts, 1);
}
GST_END_TEST

namespace {

std::string in_room(const Scene &scene, const std::string &more) {
  return scene.source("room=room1 " + more) + raw_sink(0);
}

} // namespace

// One guest's codec is of no use: that is no reason to end the others.
GST_START_TEST(test_strangers_useless_codec_is_a_warning) {
  Scene scene;
  auto one = scene.join("one");
  Player player(in_room(scene, "") + " src.video_1 ! video/x-h264 ! fakesink name=sink1 "
                                     "sync=false async=false",
                {"sink0", "sink1"});
  player.play();
  player.expect_buffers("sink0", 5);
  auto two = scene.join("two");
  player.expect_warning("no usable codec for video_1");
  player.expect_buffers("sink0", 20);
  fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
}
GST_END_TEST

// Whoever has left makes way for the next, though its pad was to be kept.
GST_START_TEST(test_strangers_who_left_makes_way) {
  Scene scene;
  auto one = scene.join("one");
  Player player(in_room(scene, "max-streams=1") + raw_sink(1), {"sink0", "sink1"});
  player.play();
  player.expect_buffers("sink0", 5);
  one->stop();
  player.expect("the loss", [](const Player::State &state) {
    return state.saw_state("reconnecting");
  });
  auto two = scene.join("two");
  player.expect_buffers("sink1", 5);
  fail_unless(player.state().errors.empty());
}
GST_END_TEST

// Of two guests one leaves: its pad ends, the other goes on.
GST_START_TEST(test_strangers_end_is_not_ours) {
  Scene scene;
  auto one = scene.join("one");
  Player player(in_room(scene, "on-disconnect=eos") + raw_sink(1), {"sink0", "sink1"});
  player.play();
  player.expect_buffers("sink0", 5);
  auto two = scene.join("two");
  player.expect_buffers("sink1", 5);
  one->stop();
  player.expect("the end of one",
                [](const Player::State &state) { return state.sinks.at("sink0").eos; });
  player.expect_buffers("sink1", 30);
  fail_if(player.state().sinks.at("sink1").eos);
  two->stop();
  player.expect("the end", [](const Player::State &state) { return state.eos; });
}
GST_END_TEST

GST_START_TEST(test_strangers_reconnecting_is_no_loss) {
  Show show(video_only(), "on-disconnect=error");
  show.player.expect_buffers("sink", 5);
  g_signal_emit_by_name(show.player.source(), "reconnect");
  show.await("another session", [](const auto &state) { return state.sessions > 1; });
  show.player.expect_buffers("sink", 20);
  fail_unless(show.player.state().errors.empty(), "%s", show.player.describe().c_str());
  // A loss it is when the publisher is killed; then downstream ends, too.
  show.publisher->kill();
  show.player.expect_error("was interrupted");
  show.player.expect(
      "the end", [](const Player::State &state) { return state.sinks.at("sink").eos; });
}
GST_END_TEST

// A handler that takes its time is no reason to keep what is said without end.
GST_START_TEST(test_strangers_words_do_not_pile_up) {
  struct Handler {
    Watched<bool> held{true};
    Watched<unsigned> heard{0};
  } handler;
  Show show;
  show.player.expect_buffers("sink", 5);
  g_signal_connect(
      show.player.source(), "on-message",
      G_CALLBACK(+[](GstElement *, const char *, const char *text, Handler *self) {
        if (strstr(text, "\"chat\"")) {
          self->heard.update([](unsigned &count) { count++; });
          self->held.wait(20s, [](bool held) { return !held; });
        }
      }),
      &handler);
  for (int i = 0; i < 3000; i++)
    show.publisher->send("{\"chat\":\"" + std::to_string(i) + "\"}");
  fail_unless(handler.heard.wait(20s, [](unsigned count) { return count > 0; }));
  show.player.expect_buffers("sink", 60); // all have arrived by then
  handler.held.update([](bool &held) { held = false; });
  show.player.expect_buffers("sink", 10);
  fail_unless(handler.heard.get() < 1500, "%u were kept", handler.heard.get());
}
GST_END_TEST

static Suite *strangers_suite() {
  Suite *suite = suite_create("vdoninjasrc-strangers");
  TCase *tc = tcase_create("strangers");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 120);
  tcase_add_test(tc, test_strangers_cannot_end_a_stream);
  tcase_add_test(tc, test_strangers_alerts_are_not_the_server_s);
  tcase_add_test(tc, test_strangers_are_all_after_the_server_restarted);
  tcase_add_test(tc, test_strangers_useless_codec_is_a_warning);
  tcase_add_test(tc, test_strangers_who_left_makes_way);
  tcase_add_test(tc, test_strangers_end_is_not_ours);
  tcase_add_test(tc, test_strangers_reconnecting_is_no_loss);
  tcase_add_test(tc, test_strangers_words_do_not_pile_up);
  return suite;
}

GST_CHECK_MAIN(strangers);
