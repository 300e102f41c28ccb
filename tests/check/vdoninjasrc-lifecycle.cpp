// SPDX-License-Identifier: LGPL-2.1-or-later
// vdoninjasrc stops at once whenever it is told to, and leaves nothing behind.
#include "footprint.h"
#include "loopback.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

// Stops at moments spread over what leads to the first frames and a little longer.
void assert_stops(const Loopback &loopback, int rounds, gint64 from_us, gint64 step_us) {
  for (int round = 0; round < rounds; round++) {
    Player player(loopback.play(), {"sink", "audio"});
    player.play();
    // The moment is the test's input; nothing is waited for.
    g_usleep(from_us + round * step_us);
    player.stop();
    fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
  }
}

// An element that takes its time to stop: until it is let go.
struct Sluggish {
  GstElement parent;
};
struct SluggishClass {
  GstElementClass parent;
};
Watched<bool> let_go;

GstStateChangeReturn stop_slowly(GstElement *element, GstStateChange transition) {
  if (transition == GST_STATE_CHANGE_READY_TO_NULL)
    let_go.wait(10s, [](bool free) { return free; });
  auto *parent = static_cast<GstElementClass *>(
      g_type_class_peek_parent(GST_ELEMENT_GET_CLASS(element)));
  return parent->change_state(element, transition);
}

GType sluggish_type() {
  static const GType type = g_type_register_static_simple(
      GST_TYPE_ELEMENT, "Sluggish", sizeof(SluggishClass),
      [](gpointer klass, gpointer) {
        GST_ELEMENT_CLASS(klass)->change_state = stop_slowly;
      },
      sizeof(Sluggish), nullptr, static_cast<GTypeFlags>(0));
  return type;
}

struct Seen {
  unsigned made = 0, gone = 0;    // webrtcbins
  std::vector<std::string> words; // of the log, about sessions
};

void note_session_words(GstDebugCategory *category, GstDebugLevel, const gchar *,
                        const gchar *, gint, GObject *, GstDebugMessage *message,
                        gpointer data) {
  if (strcmp(gst_debug_category_get_name(category), "vdoninja-session") == 0)
    static_cast<Watched<Seen> *>(data)->update(
        [message](Seen &now) { now.words.emplace_back(gst_debug_message_get(message)); });
}

} // namespace

// webrtcbin itself was seen to take a second, after its publisher was killed.
GST_START_TEST(test_lifecycle_does_not_wait_for_a_session_that_is_held_up) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  g_signal_connect(
      player.source(), "webrtcbin-ready",
      G_CALLBACK(+[](GstElement *, const gchar *, GstElement *webrtcbin, gpointer) {
        auto *child = GST_ELEMENT(g_object_new(sluggish_type(), nullptr));
        gst_bin_add(GST_BIN(webrtcbin), child);
        gst_element_sync_state_with_parent(child);
      }),
      nullptr);
  player.play();
  player.expect_buffers("sink", 3);
  player.stop();
  let_go.update([](bool &free) { free = true; });
}
GST_END_TEST

// What a session takes apart it finds by names that are webrtcbin's own affair, and says
// so where they are others.
GST_START_TEST(test_lifecycle_finds_what_it_takes_apart) {
  Watched<Seen> seen;
  gst_debug_set_threshold_for_name("vdoninja-session", GST_LEVEL_WARNING);
  // In parentheses, as a macro of that name compiles in C alone.
  (gst_debug_add_log_function)(note_session_words, &seen, nullptr);
  {
    Loopback loopback;
    loopback.publish();
    Player player(loopback.play(), {"sink", "audio"});
    g_signal_connect(
        player.source(), "webrtcbin-ready",
        G_CALLBACK(+[](GstElement *, const gchar *, GstElement *webrtcbin,
                       gpointer data) {
          static_cast<Watched<Seen> *>(data)->update([](Seen &now) { now.made++; });
          g_object_weak_ref(
              G_OBJECT(webrtcbin),
              [](gpointer of, GObject *) {
                static_cast<Watched<Seen> *>(of)->update([](Seen &now) { now.gone++; });
              },
              data);
        }),
        &seen);
    player.play();
    player.expect_buffers("sink", 5);
    player.stop();
  }
  fail_unless(seen.get().made > 0); // more on a machine that is too slow for one
  fail_unless(seen.wait(20s, [](const Seen &now) { return now.gone == now.made; }));
  fail_unless(seen.get().words.empty(), "%s", seen.get().words.at(0).c_str());
  gst_debug_remove_log_function_by_data(&seen);
}
GST_END_TEST

GST_START_TEST(test_lifecycle_stops_at_fifty_moments_of_connecting) {
  Loopback loopback;
  loopback.publish();
  assert_stops(loopback, 50, 0, 4000);
}
GST_END_TEST

GST_START_TEST(test_lifecycle_stops_at_fifty_later_moments) {
  Loopback loopback;
  loopback.publish();
  assert_stops(loopback, 50, 200000, 6000);
}
GST_END_TEST

GST_START_TEST(test_lifecycle_twenty_rounds_leave_no_threads_or_files) {
  LoopbackServer server;
  const std::string program =
      std::string(g_getenv("BUILD_ROOT")) + "/tests/support/vdoninja-publisher";
  GError *error = nullptr;
  const auto publisher = ObjPtr<GSubprocess>::adopt(
      g_subprocess_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE, &error, program.c_str(),
                       "--server", server.url().c_str(), "--stream-id", "cam", "--size",
                       "320x180", "--fps", "15", "--seconds", "110", nullptr));
  fail_unless(publisher.get() != nullptr, "%s", error ? error->message : "");
  server.await("the stream", [](const auto &state) { return state.count("seed") > 0; });
  Footprint before;
  for (int round = 0; round < 20; round++) {
    {
      Player player(server.play(), {"sink", "audio"});
      player.play();
      player.expect_buffers("sink", 1);
    }
    server.await("the socket to go",
                 [](const auto &state) { return state.clients.size() == 1; });
    if (round == 1)
      before = Footprint(); // thread pools have been filled
  }
  const Footprint after;
  g_subprocess_force_exit(publisher.get());
  fail_unless(after.threads <= before.threads + 4, "threads: %u, then %u", before.threads,
              after.threads);
  fail_unless(after.files <= before.files + 4, "files: %u, then %u", before.files,
              after.files);
}
GST_END_TEST

GST_START_TEST(test_lifecycle_one_element_plays_again_and_again) {
  Loopback loopback;
  loopback.publish();
  // gst-launch syntax links a pad once only.
  Player player("fakesink name=sink sync=false async=false " + loopback.source());
  g_signal_connect(player.source(), "pad-added",
                   G_CALLBACK(+[](GstElement *source, GstPad *pad, GstBin *pipeline) {
                     const auto sink =
                         ObjPtr<GstElement>::adopt(gst_bin_get_by_name(pipeline, "sink"));
                     if (g_str_equal(GST_PAD_NAME(pad), "video_0"))
                       gst_element_link_pads(source, "video_0", sink.get(), "sink");
                   }),
                   player.pipeline());
  for (int round = 0; round < 5; round++) {
    player.play();
    player.expect_buffers("sink", 3);
    player.stop();
  }
  const auto state = player.state();
  fail_unless_equals_int(state.no_more_pads, 5);
  // What is linked stays.
  fail_unless_equals_int(state.pads.size(), 1 + 5);
  fail_unless_equals_int(state.removed.size(), 5);
}
GST_END_TEST

// gst_parse_launch() links a pad only once: what it linked serves the next run.
GST_START_TEST(test_lifecycle_parsed_line_plays_again) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  for (int run = 0; run < 3; run++) {
    player.play();
    player.expect_buffers("sink", 5);
    player.expect_buffers("audio", 5);
    player.stop();
  }
  const auto state = player.state();
  fail_unless(state.errors.empty() && state.warnings.empty(), "%s",
              player.describe().c_str());
  fail_unless_equals_int(state.pads.size(), 2);
  fail_unless(state.removed.empty());
}
GST_END_TEST

static Suite *lifecycle_suite() {
  Suite *suite = suite_create("vdoninjasrc-lifecycle");
  TCase *tc = tcase_create("lifecycle");
  tcase_set_timeout(tc, 110);
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_lifecycle_does_not_wait_for_a_session_that_is_held_up);
  tcase_add_test(tc, test_lifecycle_finds_what_it_takes_apart);
  tcase_add_test(tc, test_lifecycle_stops_at_fifty_moments_of_connecting);
  tcase_add_test(tc, test_lifecycle_stops_at_fifty_later_moments);
  tcase_add_test(tc, test_lifecycle_twenty_rounds_leave_no_threads_or_files);
  tcase_add_test(tc, test_lifecycle_parsed_line_plays_again);
  tcase_add_test(tc, test_lifecycle_one_element_plays_again_and_again);
  return suite;
}

GST_CHECK_MAIN(lifecycle);
