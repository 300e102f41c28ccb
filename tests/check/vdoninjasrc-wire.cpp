// SPDX-License-Identifier: LGPL-2.1-or-later
// What vdoninjasrc says to a publisher, on the socket and on the data channel.
#include <algorithm>

#include <unistd.h>

#define GST_USE_UNSTABLE_API
#include <gst/webrtc/webrtc.h>

#include "elements-of.h"
#include "json-text.h"
#include "loopback.h"
#include "webrtcbin-teardown.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

unsigned count(const std::vector<std::string> &texts, const std::string &part) {
  return std::count_if(texts.begin(), texts.end(), [&](const std::string &text) {
    return text.find(part) != std::string::npos;
  });
}

void await_frames(const Player &player) {
  player.expect_buffers("sink", 3);
}

// The data channel of a player's session.
struct Channel {
  GstElement *webrtcbin = nullptr;
  GObject *object = nullptr;
  Watched<bool> closed{false};
  Watched<GstState> freed_at{GST_STATE_VOID_PENDING}; // what webrtcbin was in then

  explicit Channel(const Player &player) {
    g_signal_connect(player.pipeline(), "deep-element-added", G_CALLBACK(on_element),
                     this);
  }
  // sctpenc, by which it sends.
  ObjPtr<GstElement> sender() const {
    auto encoders = elements_of(
        gst_bin_iterate_all_by_element_factory_name(GST_BIN(webrtcbin), "sctpenc"));
    fail_unless_equals_int(encoders.size(), 1);
    return std::move(encoders[0]);
  }
  // Of that, to which it is linked.
  ObjPtr<GstPad> sctp_pad() const {
    return ObjPtr<GstPad>::ref(static_cast<GstPad *>(sender()->sinkpads->data));
  }
  // Threads: the loop's, webrtcbin's and the pool's.
  static void on_element(GstBin *, GstBin *, GstElement *element, Channel *self) {
    if (!g_str_equal(G_OBJECT_TYPE_NAME(element), "GstWebRTCBin"))
      return;
    self->webrtcbin = element;
    g_signal_connect(element, "on-data-channel", G_CALLBACK(on_channel), self);
  }
  static void on_channel(GstElement *, GObject *channel, Channel *self) {
    self->object = channel;
    g_signal_connect(channel, "on-close", G_CALLBACK(on_close), self);
    g_object_weak_ref(channel, on_freed, self);
  }
  static void on_close(GObject *, Channel *self) {
    self->closed.update([](bool &closed) { closed = true; });
  }
  static void on_freed(gpointer data, GObject *) {
    auto *self = static_cast<Channel *>(data);
    const GstState now = GST_STATE(self->webrtcbin);
    self->freed_at.update([now](GstState &state) { state = now; });
  }
};

// A session in which both sides have spoken on the channel.
struct Talk {
  Talk() {
    loopback.publish();
    player.play();
    await_frames(player);
    loopback.await("a first text",
                   [](const auto &state) { return !state.received.empty(); });
  }
  Loopback loopback;
  Player player{loopback.play(), {"sink", "audio"}};
  Channel channel{player};
};

} // namespace

GST_START_TEST(test_wire_first_message_is_sent_once_with_the_label) {
  for (bool channel_first : {false, true}) {
    PublisherConfig config = small_picture();
    config.channel_first = channel_first;
    Loopback loopback(config);
    loopback.publish();
    Player player(loopback.play("label=\"Küche 1\" video-codecs=<VP8>"),
                  {"sink", "audio"});
    player.play();
    await_frames(player);
    // Pings pass both ways before we count.
    loopback.publisher->send("{\"ping\":\"after\"}");
    loopback.await("a pong",
                   [](const auto &state) { return count(state.received, "after") > 0; });
    const auto received = loopback.publisher->state().received;
    fail_unless_equals_int(count(received, "\"downloads\""), 1);
    const JsonObjectPtr init = parse_object(received.at(0));
    fail_unless(init && json_object_get_boolean_member(init.get(), "video") &&
                json_object_get_boolean_member(init.get(), "audio"));
    JsonObject *info = json_object_get_object_member(init.get(), "info");
    const std::string label = string_member(info, "label");
    fail_unless_equals_string(label.c_str(), "Küche 1");
  }
}
GST_END_TEST

GST_START_TEST(test_wire_ping_comes_back_unchanged) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  await_frames(player);
  for (const char *value : {"1700000000123", "\"text with \\\" quote\"", "0", "1.5"}) {
    loopback.publisher->send(std::string("{\"ping\":") + value + "}");
    loopback.await(value, [&](const auto &state) {
      return count(state.received, std::string("\"pong\":") + value + "}") == 1;
    });
  }
}
GST_END_TEST

GST_START_TEST(test_wire_candidates_are_bundled_and_name_both_indices) {
  PublisherConfig config = small_picture();
  config.password = "false"; // readable as they are
  Loopback loopback(config);
  loopback.publish();
  Player player(loopback.play("password=false"), {"sink", "audio"});
  player.play();
  await_frames(player);
  unsigned messages = 0, candidates = 0;
  for (const auto &record : loopback.server.state().records) {
    const JsonObjectPtr object = parse_object(record.text);
    if (!record.received || !object || string_member(object.get(), "type") != "remote")
      continue;
    messages++;
    JsonArray *list = json_object_get_array_member(object.get(), "candidates");
    fail_unless(list != nullptr, "%s", record.text.c_str());
    for (guint i = 0; i < json_array_get_length(list); i++) {
      JsonObject *one = json_array_get_object_element(list, i);
      fail_unless(json_object_has_member(one, "sdpMid") &&
                      json_object_has_member(one, "sdpMLineIndex") &&
                      json_object_has_member(one, "candidate"),
                  "%s", record.text.c_str());
      candidates++;
    }
  }
  // UDP, TCP active and passive of at least one address.
  fail_unless(candidates >= 3 && messages >= 1 && messages <= 3,
              "%u candidates in %u messages", candidates, messages);
}
GST_END_TEST

GST_START_TEST(test_wire_negotiation_moves_to_the_data_channel) {
  PublisherConfig config = small_picture();
  config.channel_first = true;
  Loopback loopback(config);
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  await_frames(player);
  unsigned answers = 0;
  for (const auto &message : loopback.from_viewers())
    answers += message.description.has_value();
  fail_unless_equals_int(answers, 1); // to the first offer
  const auto state = loopback.publisher->state();
  fail_unless(state.viewers.at(0).status.answers >= 2);
  fail_unless(count(state.received, "\"description\"") >= 1);
}
GST_END_TEST

// webrtcbin lets go of a channel that is closed, and the session when it ends, but the
// channel's elements, which point to it, run until webrtcbin stops.
GST_START_TEST(test_wire_data_channel_outlives_its_elements) {
  Talk talk;
  auto &[loopback, player, channel] = talk;
  g_signal_emit_by_name(channel.object, "close");
  fail_unless(channel.closed.wait(kLoopbackLimit, [](bool closed) { return closed; }));
  player.stop();
  fail_unless(channel.freed_at.wait(
      kLoopbackLimit, [](GstState state) { return state != GST_STATE_VOID_PENDING; }));
  fail_unless_equals_int(channel.freed_at.get(), GST_STATE_NULL);
}
GST_END_TEST

// One that is closed before anybody is told of it is gone otherwise while its elements,
// which point to it, run.
GST_START_TEST(test_wire_data_channel_is_kept_from_its_beginning) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  GObject *channel = nullptr; // until it goes
  auto ready = [](GstElement *, const char *, GstElement *webrtc, gpointer data) {
    const auto other =
        ObjPtr<GstElement>::adopt(gst_element_factory_make("webrtcbin", nullptr));
    gst_element_set_state(other.get(), GST_STATE_READY);
    {
      ObjPtr<GObject> made;
      g_signal_emit_by_name(other.get(), "create-data-channel", "any", nullptr,
                            made.out());
      *static_cast<GObject **>(data) = made.get();
      g_object_add_weak_pointer(made.get(), static_cast<gpointer *>(data));
      g_signal_emit_by_name(webrtc, "prepare-data-channel", made.get(), FALSE);
    }
    gst_element_set_state(other.get(), GST_STATE_NULL);
  };
  g_signal_connect(player.source(), "webrtcbin-ready", G_CALLBACK(+ready), &channel);
  player.play();
  await_frames(player);
  fail_unless(channel != nullptr);
  player.stop();
  fail_unless(channel == nullptr);
}
GST_END_TEST

// The bins around a channel's elements follow a bare pointer to it at an error; a channel
// that was closed before it was open is gone by then. So they hear of none.
GST_START_TEST(test_wire_data_channel_ignores_errors_of_its_elements) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  Channel channel(player);
  player.play();
  await_frames(player);
  unsigned posted = 0;
  for (const char *factory : {"appsrc", "appsink"})
    for (const auto &element : elements_of(gst_bin_iterate_all_by_element_factory_name(
             GST_BIN(player.pipeline()), factory))) {
      GST_ELEMENT_ERROR(element.get(), STREAM, FAILED, (nullptr), ("a test's"));
      posted++;
    }
  fail_unless_equals_int(posted, 2);
  await_frames(player);
  GstWebRTCDataChannelState state = GST_WEBRTC_DATA_CHANNEL_STATE_CLOSED;
  g_object_get(channel.object, "ready-state", &state, nullptr);
  fail_unless_equals_int(state, GST_WEBRTC_DATA_CHANNEL_STATE_OPEN);
}
GST_END_TEST

// Given a channel, when the connection ends, then it is parted from sctpenc before that
// leaves PLAYING, and frees what a channel that closes would ask for a reset.
GST_START_TEST(test_wire_channel_is_unlinked_before_the_association_goes) {
  Talk talk;
  auto &[loopback, player, channel] = talk;
  const auto pad = channel.sctp_pad();
  GstState state = GST_STATE_VOID_PENDING;
  g_signal_connect(pad.get(), "unlinked",
                   G_CALLBACK(+[](GstPad *unlinked, GstPad *, GstState *at) {
                     *at = GST_STATE(GST_OBJECT_PARENT(unlinked));
                   }),
                   &state);
  player.stop();
  fail_unless_equals_int(state, GST_STATE_PLAYING);
}
GST_END_TEST

// Given an unlinked channel, when its peer closes it, then sctpenc hears nothing of it.
GST_START_TEST(test_wire_unlinked_channel_closes_by_itself) {
  Talk talk;
  auto &[loopback, player, channel] = talk;
  const auto encoder = channel.sender();
  std::atomic<unsigned> removed{0};
  g_signal_connect(
      encoder.get(), "pad-removed",
      G_CALLBACK(+[](GstElement *, GstPad *, std::atomic<unsigned> *count) { ++*count; }),
      &removed);
  unlink_channels(encoder.get());
  loopback.publisher->close_channels();
  fail_unless(channel.closed.wait(kLoopbackLimit, [](bool closed) { return closed; }));
  fail_unless_equals_int(removed, 0);
  player.stop();
  fail_unless_equals_int(removed, 1);
}
GST_END_TEST

// Given a channel that webrtcbin's thread closes, as its peer did, when channels are
// unlinked, then that waits for it.
GST_START_TEST(test_wire_channel_that_closes_is_waited_for) {
  Talk talk;
  auto &[loopback, player, channel] = talk;
  struct Release {
    Watched<bool> began{false}, went_on{false};
    bool overlapped = false;
  } release;
  // Thread: webrtcbin's, with its lock. That somebody waits for it cannot be seen, so it
  // takes a moment in which nobody may go on.
  g_signal_connect(channel.sctp_pad().get(), "unlinked",
                   G_CALLBACK(+[](GstPad *, GstPad *, Release *seen) {
                     seen->began.update([](bool &began) { began = true; });
                     seen->overlapped =
                         seen->went_on.wait(200ms, [](bool went_on) { return went_on; });
                   }),
                   &release);
  loopback.publisher->close_channels();
  fail_unless(release.began.wait(kLoopbackLimit, [](bool began) { return began; }));
  give_up_channels(channel.webrtcbin);
  release.went_on.update([](bool &went_on) { went_on = true; });
  fail_unless(channel.closed.wait(kLoopbackLimit, [](bool closed) { return closed; }));
  fail_if(release.overlapped);
}
GST_END_TEST

// Given a source of repeats that is silent for long after each loss, so that rtpsession
// forgets it and knows it anew for hours, then the connection goes on.
GST_START_TEST(test_wire_source_that_comes_and_goes_is_one) {
  Talk talk;
  auto &[loopback, player, channel] = talk;
  const auto rtpbin = ObjPtr<GstElement>::adopt(
      gst_bin_get_by_name(GST_BIN(channel.webrtcbin), "rtpbin"));
  for (const char *forgotten : {"on-timeout", "on-bye-timeout"})
    for (int i = 0; i < 300; i++) {
      g_signal_emit_by_name(rtpbin.get(), "on-new-ssrc", 0, 4711u);
      g_signal_emit_by_name(rtpbin.get(), forgotten, 0, 4711u);
    }
  player.expect_buffers("sink", 5);
  fail_unless(player.state().warnings.empty(), "%s", player.describe().c_str());
  for (guint ssrc = 0; ssrc < 300; ssrc++)
    g_signal_emit_by_name(rtpbin.get(), "on-new-ssrc", 0, ssrc);
  player.expect_warning("more than 256 sources of RTP");
}
GST_END_TEST

// Ends `talk`; what its channel sends with is freed.
void assert_sender_is_freed(Talk &talk, ObjPtr<GstElement> sender) {
  Watched<bool> freed{false};
  g_object_weak_ref(
      G_OBJECT(sender.get()),
      [](gpointer seen, GObject *) {
        static_cast<Watched<bool> *>(seen)->update([](bool &value) { value = true; });
      },
      &freed);
  sender.reset();
  talk.player.stop();
  fail_unless(freed.wait(kLoopbackLimit, [](bool value) { return value; }));
}

// Given an element that NULL passed by, as webrtcbin's thread lets it go at that moment,
// when the connection ends, then it is stopped and freed.
GST_START_TEST(test_wire_element_that_was_passed_by_is_stopped) {
  Talk talk;
  auto encoder = talk.channel.sender();
  gst_element_set_locked_state(encoder.get(), TRUE);
  assert_sender_is_freed(talk, std::move(encoder));
}
GST_END_TEST

// Given one that did not come up, as its association was in use, when the connection
// ends, then it is stopped and freed.
GST_START_TEST(test_wire_element_that_failed_is_stopped) {
  Talk talk;
  auto encoder = talk.channel.sender();
  gst_element_set_locked_state(encoder.get(), TRUE);
  gst_element_set_state(encoder.get(), GST_STATE_NULL);
  fail_unless_equals_int(gst_element_set_state(encoder.get(), GST_STATE_PLAYING),
                         GST_STATE_CHANGE_FAILURE);
  assert_sender_is_freed(talk, std::move(encoder));
}
GST_END_TEST

// Raspberry.Ninja reads answers on the socket alone.
GST_START_TEST(test_wire_null_session_is_answered_on_the_socket) {
  PublisherConfig config = small_picture();
  config.channel_first = true;
  config.null_session = true;
  Loopback loopback(config);
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  await_frames(player);
  const auto state = loopback.publisher->state();
  fail_unless_equals_int(count(state.received, "\"description\""), 0);
  unsigned answers = 0;
  for (const auto &message : loopback.from_viewers()) {
    answers += message.description.has_value();
    fail_if(message.session.has_value());
  }
  fail_unless(answers >= 2, "%u answers", answers);
}
GST_END_TEST

GST_START_TEST(test_wire_bitrate_set_while_playing_reaches_the_publisher) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  await_frames(player);
  g_object_set(player.source(), "video-bitrate", 321u, nullptr);
  loopback.await("the bitrate", [](const auto &state) {
    return count(state.received, "\"bitrate\":321") == 1;
  });
}
GST_END_TEST

// Nobody takes the picture: it is not to cost the line anything.
GST_START_TEST(test_wire_video_that_nobody_takes_is_not_sent) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.source("video-bitrate=700") + audio_sink(), {"audio"});
  player.play();
  player.expect_buffers("audio", 5);
  loopback.await("a pause", [](const auto &state) {
    return count(state.received, "{\"bitrate\":0}") == 1;
  });
  GstElement *sink = gst_element_factory_make("fakesink", nullptr);
  gst_bin_add(GST_BIN(player.pipeline()), sink);
  gst_element_sync_state_with_parent(sink);
  fail_unless(gst_element_link_pads(player.source(), "video_0", sink, "sink"));
  loopback.await("all of it", [](const auto &state) {
    return count(state.received, "\"bitrate\":700") == 1;
  });
}
GST_END_TEST

// The end of a limit.
GST_START_TEST(test_wire_no_limit_of_bitrate_any_longer) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.play("video-bitrate=700"), {"sink", "audio"});
  player.play();
  await_frames(player);
  fail_unless(loopback.answer().find("b=AS:700") != std::string::npos);
  g_object_set(player.source(), "video-bitrate", 0u, nullptr);
  loopback.await("another session",
                 [](const auto &state) { return state.sessions == 2; });
  await_frames(player);
  fail_unless(player.state().warnings.empty());
}
GST_END_TEST

// As with DHCP, after the element has started: what there is now counts.
GST_START_TEST(test_wire_candidates_are_of_the_addresses_there_are_now) {
  const char *add = "ip address add 127.0.0.9/32 dev lo";
  PublisherConfig config = small_picture();
  config.password = "false"; // readable as they are
  Loopback loopback(config);
  Player player(loopback.play("password=false"), {"sink", "audio"});
  player.play();
  loopback.server.await("a request",
                        [](const auto &state) { return state.count("play") > 0; });
  int status = -1;
  if (geteuid() != 0 ||
      !g_spawn_command_line_sync(add, nullptr, nullptr, &status, nullptr) ||
      status != 0) {
    g_print("skipped: \"%s\" is not allowed here\n", add);
    return;
  }
  loopback.publish();
  await_frames(player);
  bool found = false;
  for (const auto &message : loopback.from_viewers())
    for (const auto &candidate : message.candidates)
      found |= candidate.text.find(" 127.0.0.9 ") != std::string::npos;
  g_spawn_command_line_sync("ip address del 127.0.0.9/32 dev lo", nullptr, nullptr,
                            nullptr, nullptr);
  fail_unless(found, "no candidate with the new address");
}
GST_END_TEST

static Suite *wire_suite() {
  Suite *suite = suite_create("vdoninjasrc-wire");
  TCase *tc = tcase_create("wire");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_wire_first_message_is_sent_once_with_the_label);
  tcase_add_test(tc, test_wire_ping_comes_back_unchanged);
  tcase_add_test(tc, test_wire_candidates_are_bundled_and_name_both_indices);
  tcase_add_test(tc, test_wire_negotiation_moves_to_the_data_channel);
  tcase_add_test(tc, test_wire_data_channel_outlives_its_elements);
  tcase_add_test(tc, test_wire_data_channel_is_kept_from_its_beginning);
  tcase_add_test(tc, test_wire_data_channel_ignores_errors_of_its_elements);
  tcase_add_test(tc, test_wire_channel_is_unlinked_before_the_association_goes);
  tcase_add_test(tc, test_wire_unlinked_channel_closes_by_itself);
  tcase_add_test(tc, test_wire_channel_that_closes_is_waited_for);
  tcase_add_test(tc, test_wire_source_that_comes_and_goes_is_one);
  tcase_add_test(tc, test_wire_element_that_was_passed_by_is_stopped);
  tcase_add_test(tc, test_wire_element_that_failed_is_stopped);
  tcase_add_test(tc, test_wire_null_session_is_answered_on_the_socket);
  tcase_add_test(tc, test_wire_video_that_nobody_takes_is_not_sent);
  tcase_add_test(tc, test_wire_no_limit_of_bitrate_any_longer);
  tcase_add_test(tc, test_wire_candidates_are_of_the_addresses_there_are_now);
  tcase_add_test(tc, test_wire_bitrate_set_while_playing_reaches_the_publisher);
  return suite;
}

GST_CHECK_MAIN(wire);
