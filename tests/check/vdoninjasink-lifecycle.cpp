// SPDX-License-Identifier: LGPL-2.1-or-later
// vdoninjasink starts, changes, stops and dies while others come and go.
#include <algorithm>
#include <atomic>

#define GST_USE_UNSTABLE_API
#include <gst/gst.h>
#include <gst/gsttracer.h>

#include "footprint.h"
#include "process.h"
#include "show.h"
#include "test-client.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

// Any value that the property may have.
void set_by_chance(GObject *object, GParamSpec *spec, GRand *random) {
  GValue value = G_VALUE_INIT;
  g_value_init(&value, spec->value_type);
  if (G_IS_PARAM_SPEC_UINT(spec)) {
    const auto *of = G_PARAM_SPEC_UINT(spec);
    const guint bounds[] = {of->minimum, of->maximum, of->default_value,
                            of->minimum + g_rand_int(random) % 5000};
    g_value_set_uint(&value,
                     std::min(bounds[g_rand_int_range(random, 0, 4)], of->maximum));
  } else if (G_IS_PARAM_SPEC_BOOLEAN(spec)) {
    g_value_set_boolean(&value, g_rand_boolean(random));
  } else if (G_IS_PARAM_SPEC_ENUM(spec)) {
    g_value_set_enum(&value, g_rand_int_range(random, 0, 2));
  } else if (G_IS_PARAM_SPEC_STRING(spec)) {
    const char *texts[] = {nullptr, "", "x", "nosuchenc ! (",
                           "https://vdo.ninja/?push=x"};
    g_value_set_string(&value, texts[g_rand_int_range(random, 0, 5)]);
  } else {
    g_value_unset(&value);
    return;
  }
  g_object_set_property(object, spec->name, &value);
  g_value_unset(&value);
}

// A hook wants somebody whom it belongs to.
struct StateTracer {
  GstTracer parent;
};
struct StateTracerClass {
  GstTracerClass parent_class;
};
G_DEFINE_TYPE(StateTracer, state_tracer, GST_TYPE_TRACER)
void state_tracer_class_init(StateTracerClass *) {}
void state_tracer_init(StateTracer *) {}

std::atomic<int> webrtcbins, started_again;

// Thread: any.
void on_state_change(GObject *, GstClockTime, GstElement *element,
                     GstStateChange transition) {
  if (transition != GST_STATE_CHANGE_NULL_TO_READY ||
      !is_made_by(GST_OBJECT(element), "webrtcbin"))
    return;
  webrtcbins++;
  started_again += g_object_get_data(G_OBJECT(element), "started") != nullptr;
  g_object_set_data(G_OBJECT(element), "started", element);
}

} // namespace

GST_START_TEST(test_starts_and_stops_a_hundred_times) {
  const Scene scene;
  Sending sending(small_video() + sink_line(scene));
  unsigned files = 0;
  for (int i = 0; i < 100; i++) {
    sending.play();
    sending.set_state(GST_STATE_READY);
    if (i == 20)
      files = Footprint().files;
  }
  const unsigned more = Footprint().files;
  fail_unless(more <= files + 10, "%u descriptors, then %u", files, more);
  sending.play();
  Player player(scene.line());
  player.play();
  player.expect_buffers("sink", 5);
  fail_unless(sending.state().errors.empty(), "%s", sending.describe().c_str());
}
GST_END_TEST

GST_START_TEST(test_webrtcbins_stop_for_good) {
  const auto tracer = ObjPtr<GstTracer>::adopt(
      GST_TRACER(g_object_new(state_tracer_get_type(), nullptr)));
  gst_tracing_register_hook(tracer.get(), "element-change-state-pre",
                            G_CALLBACK(on_state_change));
  {
    Shown show;
    show.sending.stop();
  }
  fail_unless(webrtcbins >= 2, "%d", webrtcbins.load());
  fail_unless(started_again == 0, "%d of %d", started_again.load(), webrtcbins.load());
}
GST_END_TEST

GST_START_TEST(test_null_while_sixteen_connect) {
  for (int answered : {0, 1, 4}) {
    Show show;
    std::vector<std::unique_ptr<TestViewer>> viewers;
    Watched<int> answers;
    show.scene.server->set_hook([&](Passing &passing) {
      if (passing.text.find("\"answer\"") != std::string::npos)
        answers.update([](int &n) { n++; });
    });
    for (int i = 0; i < 16; i++)
      viewers.push_back(std::make_unique<TestViewer>(show.viewer()));
    fail_unless(answers.wait(20s, [=](int n) { return n >= answered; }));
    show.sending.stop();
    show.scene.server->set_hook(nullptr);
    fail_unless(show.sending.state().errors.empty());
  }
}
GST_END_TEST

// Whatever they are set to; what is not for now is for the next start.
GST_START_TEST(test_properties_change_while_it_plays) {
  Shown show;
  Player &player = show.player;
  GRand *random = g_rand_new_with_seed(11);
  guint count = 0;
  GObject *sink = G_OBJECT(show.sending.sink());
  GParamSpec **all = g_object_class_list_properties(G_OBJECT_GET_CLASS(sink), &count);
  for (int round = 0; round < 20; round++)
    for (guint i = 0; i < count; i++)
      if (all[i]->owner_type == G_OBJECT_TYPE(sink) && all[i]->flags & G_PARAM_WRITABLE)
        set_by_chance(sink, all[i], random);
  g_free(all);
  g_rand_free(random);
  g_object_set(sink, "mute-video", FALSE, "min-video-bitrate", 150u, "video-bitrate",
               1000u, nullptr);
  player.expect_buffers("sink", 15);
  fail_unless(show.sending.state().errors.empty() && show.sending.state().left.empty(),
              "%s", show.sending.describe().c_str());
}
GST_END_TEST

// On a server that only relays, where anybody can say so: it tells once, and tries on.
GST_START_TEST(test_id_in_use_on_a_custom_server) {
  Show one;
  fail_unless(one.scene.server->wait(
      20s, [](const HandshakeServer::State &state) { return state.count("seed") > 0; }));
  Sending other(small_video() + sink_line(one.scene, "stream-id=abc password=false"));
  other.play();
  other.expect_trouble(&Sending::State::warnings, "(trying again)");
  Player player(one.scene.line(one.play()));
  player.play();
  player.expect_buffers("sink", 5);
  fail_unless_equals_int(one.sending.state().joined.size(), 1);
  fail_unless(other.state().errors.empty() && other.state().joined.empty());
}
GST_END_TEST

// As when a microphone comes to a camera, and goes again: the clocks have another zero.
GST_START_TEST(test_another_clock_after_a_pause) {
  const Scene scene;
  Sending sending(small_video() + sink_line(scene));
  Player player(scene.line());
  const auto pipeline =
      ObjPtr<GstObject>::adopt(gst_object_get_parent(GST_OBJECT(sending.sink())));
  for (const GstClockType type :
       {GST_CLOCK_TYPE_REALTIME, GST_CLOCK_TYPE_MONOTONIC, GST_CLOCK_TYPE_REALTIME}) {
    sending.set_state(GST_STATE_PAUSED);
    const auto clock = ObjPtr<GstClock>::adopt(
        GST_CLOCK(g_object_new(GST_TYPE_SYSTEM_CLOCK, "clock-type", type, nullptr)));
    gst_pipeline_use_clock(GST_PIPELINE(pipeline.get()), clock.get());
    sending.play();
    player.play();
    player.expect_buffers("sink", 15);
    Player fresh(scene.line());
    fresh.play();
    fresh.expect_buffers("sink", 15);
  }
}
GST_END_TEST

// It may not hear that somebody went: who asks again under the same id is served, as soon
// as it is clear that nobody is there any more. Others notice nothing.
GST_START_TEST(test_viewer_that_was_killed_comes_back) {
  Shown show;
  Player &player = show.player;
  show.sending.expect_viewers(1);
  const std::string healthy = show.sending.state().joined.front();
  const StrPtr launch(g_find_program_in_path("gst-launch-1.0"));
  if (!launch) {
    g_print("skipped: no gst-launch-1.0\n");
    return;
  }
  Process viewer(launch.get(), {"-q", "vdoninjasrc", "signaling=custom",
                                "server=" + show.scene.server->url(), "password=false",
                                "stream-id=abc", "!", "fakesink"});
  show.sending.expect_viewers(2);
  const std::string killed = show.sending.state().joined.back();
  viewer.kill();
  const gint64 from = g_get_monotonic_time();
  TestClient client(show.scene.server->url());
  fail_unless(client.wait_open());
  while (show.sending.state().left.empty() &&
         g_get_monotonic_time() - from < 20 * G_USEC_PER_SEC) {
    client.send(request_of(killed));
    player.expect_buffers("sink", 5); // a third of a second
  }
  show.sending.expect_left(1);
  const std::string left = show.sending.state().left.front();
  fail_unless_equals_string(left.c_str(), killed.c_str());
  const gint64 took = (g_get_monotonic_time() - from) / 1000;
  fail_unless(took < 6000 * time_factor(), "%" G_GINT64_FORMAT " ms", took);
  player.assert_seamless(0);
}
GST_END_TEST

// Several at once that say nothing: no video after 6 s, gone after 12.
GST_START_TEST(test_viewers_that_were_killed_go) {
  Shown show;
  Player &player = show.player;
  const StrPtr launch(g_find_program_in_path("gst-launch-1.0"));
  if (!launch) {
    g_print("skipped: no gst-launch-1.0\n");
    return;
  }
  std::vector<std::string> line{"-q"};
  for (int i = 0; i < 4; i++)
    for (const std::string &word :
         {std::string("vdoninjasrc"), std::string("signaling=custom"),
          "server=" + show.scene.server->url(), std::string("password=false"),
          std::string("stream-id=abc"), std::string("!"), std::string("fakesink")})
      line.push_back(word);
  Process viewers(launch.get(), line);
  show.sending.expect_viewers(5);
  viewers.kill();
  const gint64 from = g_get_monotonic_time();
  show.sending.expect_left(4);
  const gint64 took = (g_get_monotonic_time() - from) / 1000;
  fail_unless(took < 14000 * time_factor(), "%" G_GINT64_FORMAT " ms", took);
  player.assert_seamless(0);
}
GST_END_TEST

static Suite *vdoninjasink_lifecycle_suite() {
  Suite *suite = suite_create("vdoninjasink-lifecycle");
  TCase *tc = tcase_create("vdoninjasink-lifecycle");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 60);
  tcase_add_test(tc, test_starts_and_stops_a_hundred_times);
  tcase_add_test(tc, test_webrtcbins_stop_for_good);
  tcase_add_test(tc, test_null_while_sixteen_connect);
  tcase_add_test(tc, test_properties_change_while_it_plays);
  tcase_add_test(tc, test_another_clock_after_a_pause);
  tcase_add_test(tc, test_id_in_use_on_a_custom_server);
  tcase_add_test(tc, test_viewer_that_was_killed_comes_back);
  tcase_add_test(tc, test_viewers_that_were_killed_go);
  return suite;
}

GST_CHECK_MAIN(vdoninjasink_lifecycle)
