// SPDX-License-Identifier: LGPL-2.1-or-later
// The pads of vdoninjasrc while it plays: linked, unlinked, late; and its properties.
#include <atomic>
#include <optional>
#include <thread>

#include "elements-of.h"
#include "loopback.h"
#include "made-by.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

bool has_decoder(GstElement *bin, const char *kind) {
  GstIterator *all = gst_bin_iterate_recurse(GST_BIN(bin));
  GValue item = G_VALUE_INIT;
  bool found = false;
  while (gst_iterator_next(all, &item) == GST_ITERATOR_OK) {
    auto *factory = gst_element_get_factory(GST_ELEMENT(g_value_get_object(&item)));
    const char *klass =
        factory ? gst_element_factory_get_metadata(factory, GST_ELEMENT_METADATA_KLASS)
                : "";
    found |= strstr(klass, "Decoder") && strstr(klass, kind);
    g_value_reset(&item);
  }
  g_value_unset(&item);
  gst_iterator_free(all);
  return found;
}

// A sink of its own, for a pad that is linked by hand.
GstElement *add_sink(Player &player, const char *name) {
  GstElement *sink = gst_element_factory_make("fakesink", name);
  g_object_set(sink, "sync", FALSE, "async", FALSE, nullptr);
  gst_bin_add(GST_BIN(player.pipeline()), sink);
  gst_element_sync_state_with_parent(sink);
  player.watch(sink);
  return sink;
}

} // namespace

GST_START_TEST(test_pads_unlinked_one_costs_no_decoder_and_disturbs_nobody) {
  Show show(small_picture());
  show.player.expect_buffers("sink", 20);
  fail_unless(has_decoder(show.player.pipeline(), "Video"));
  fail_if(has_decoder(show.player.pipeline(), "Audio"));
  expect_whole(show.player);
  fail_unless_equals_int(show.player.state().pads.size(), 2);
  fail_unless_equals_int(show.player.state().no_more_pads, 1);
}
GST_END_TEST

GST_START_TEST(test_pads_without_any_link_nothing_is_decoded) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.source(), {});
  player.play();
  player.expect("playing", [](const Player::State &state) {
    return state.saw_state("playing") && state.no_more_pads == 1;
  });
  fail_if(has_decoder(player.pipeline(), "Video"));
  fail_if(has_decoder(player.pipeline(), "Audio"));
  fail_unless(player.state().errors.empty() && player.state().warnings.empty());
}
GST_END_TEST

GST_START_TEST(test_pads_linked_late_and_again_deliver) {
  Show show(small_picture());
  show.player.expect_buffers("sink", 5);
  GstElement *sink = add_sink(show.player, "late");
  for (int round = 0; round < 3; round++) {
    fail_unless(gst_element_link_pads(show.player.source(), "audio_0", sink, "sink"));
    show.player.expect_buffers("late", 10);
    gst_element_unlink_pads(show.player.source(), "audio_0", sink, "sink");
    show.player.expect_buffers("sink", 3);
  }
  expect_whole(show.player);
}
GST_END_TEST

// Whoever links does so on a thread of its own, and the element may be gone by then.
GST_START_TEST(test_pads_linked_while_the_element_stops) {
  Show show(small_picture());
  GstElement *sink = add_sink(show.player, "late");
  show.player.expect_buffers("sink", 5);
  std::atomic<bool> enough{false};
  std::thread application([&] {
    while (!enough) {
      gst_element_link_pads(show.player.source(), "audio_0", sink, "sink");
      gst_element_unlink_pads(show.player.source(), "audio_0", sink, "sink");
    }
  });
  for (int round = 0; round < 5; round++) {
    show.player.stop();
    show.player.play();
    show.player.expect_buffers("sink", 5);
  }
  enough = true;
  application.join();
  fail_unless(show.player.state().errors.empty(), "%s", show.player.describe().c_str());
}
GST_END_TEST

// A video pad waits for no keyframe of chance: it asks for one.
GST_START_TEST(test_pads_video_linked_late_and_again_delivers) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.source() + audio_sink(), {"audio"});
  player.play();
  player.expect_buffers("audio", 10);
  GstElement *sink = add_sink(player, "late");
  for (int round = 0; round < 3; round++) {
    fail_unless(gst_element_link_pads(player.source(), "video_0", sink, "sink"));
    player.expect_buffers("late", 5);
    gst_element_unlink_pads(player.source(), "video_0", sink, "sink");
    player.expect_buffers("audio", 5);
  }
  const auto state = player.state();
  fail_unless_equals_int(state.sinks.at("late").stamps.backwards, 0);
  fail_unless(state.errors.empty(), "%s", player.describe().c_str());
}
GST_END_TEST

// The codec follows who is linked, also when that changes.
GST_START_TEST(test_pads_linked_to_another_codec_ask_for_it) {
  if (!has_element("x264enc"))
    return;
  PublisherConfig config = small_picture(Codec::kVp8);
  config.alternatives = {Codec::kX264};
  Loopback loopback(config);
  loopback.publish();
  Player player(loopback.source("on-disconnect=eos") +
                    " src.video_0 ! fakesink name=sink sync=false async=false"
                    " src.audio_0 ! fakesink name=audio sync=false async=false"
                    " capsfilter name=vp8 caps=video/x-vp8 ! fakesink name=late"
                    " sync=false async=false",
                {"sink", "audio", "late"});
  player.play();
  player.expect_buffers("sink", 5);
  fail_unless(loopback.answer().find("H264") != std::string::npos);
  GstElement *sink = gst_bin_get_by_name(GST_BIN(player.pipeline()), "sink");
  GstElement *late = gst_bin_get_by_name(GST_BIN(player.pipeline()), "vp8");
  gst_element_unlink(player.source(), sink);
  fail_unless(gst_element_link_pads(player.source(), "video_0", late, "sink"));
  player.expect_buffers("late", 5);
  player.expect_buffers("audio", 5);
  const auto state = player.state();
  const auto &arrived = state.sinks.at("late");
  fail_unless(arrived.caps.find("video/x-vp8") == 0, "%s", arrived.caps.c_str());
  fail_if(arrived.eos || state.sinks.at("audio").eos);
  fail_unless_equals_int(loopback.publisher->state().sessions, 2);
  fail_unless(state.errors.empty(), "%s", player.describe().c_str());
  gst_object_unref(sink);
  gst_object_unref(late);
}
GST_END_TEST

GST_START_TEST(test_pads_linked_to_a_codec_that_is_not_offered_say_so) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.source() +
                    " src.video_0 ! fakesink name=sink sync=false async=false"
                    " capsfilter name=h264 caps=video/x-h264 ! fakesink async=false",
                {"sink"});
  player.play();
  player.expect_buffers("sink", 5);
  GstElement *sink = gst_bin_get_by_name(GST_BIN(player.pipeline()), "sink");
  GstElement *late = gst_bin_get_by_name(GST_BIN(player.pipeline()), "h264");
  gst_element_unlink(player.source(), sink);
  fail_unless(gst_element_link_pads(player.source(), "video_0", late, "sink"));
  player.expect_error("the publisher offers VP8, downstream takes video/x-h264");
  fail_unless_equals_int(player.state().errors.size(), 1);
  gst_object_unref(sink);
  gst_object_unref(late);
}
GST_END_TEST

GST_START_TEST(test_pads_disabled_media_have_none) {
  Loopback loopback;
  loopback.publish();
  Player silent(loopback.source("enable-audio=false") + video_sink());
  Player blind(loopback.source("enable-video=false") + audio_sink(), {"audio"});
  silent.play();
  blind.play();
  silent.expect_buffers("sink", 5);
  blind.expect_buffers("audio", 10);
  fail_unless(silent.state().pads == std::vector<std::string>{"video_0"});
  fail_unless(blind.state().pads == std::vector<std::string>{"audio_0"});
  fail_unless(silent.state().errors.empty() && blind.state().errors.empty());
}
GST_END_TEST

GST_START_TEST(test_pads_go_on_after_a_pause) {
  ShowAndSound show;
  show.player.expect_buffers("sink", 5);
  for (int round = 0; round < 3; round++) {
    gst_element_set_state(show.player.pipeline(), GST_STATE_PAUSED);
    show.player.play();
    show.player.expect_buffers("sink", 5);
    show.player.expect_buffers("audio", 5);
  }
  const auto state = show.player.state();
  fail_unless(state.errors.empty(), "%s", show.player.describe().c_str());
  fail_unless_equals_int(state.sinks.at("sink").stream_starts, 1);
  fail_unless_equals_int(show.publisher->state().sessions, 1);
}
GST_END_TEST

// What a pad declares, in ms; none if it is not live or has a limit.
static std::optional<unsigned> declared_by(GstElement *source, const char *name) {
  const auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(source, name));
  const MiniPtr<GstQuery> query(gst_query_new_latency());
  gboolean live = FALSE;
  GstClockTime shortest = 0, longest = 0;
  if (!gst_pad_query(pad.get(), query.get()))
    return std::nullopt;
  gst_query_parse_latency(query.get(), &live, &shortest, &longest);
  if (!live || longest != GST_CLOCK_TIME_NONE)
    return std::nullopt;
  return static_cast<unsigned>(shortest / GST_MSECOND);
}

// As the network needs it, and for both the same.
GST_START_TEST(test_pads_declare_one_latency) {
  ShowAndSound show;
  show.player.expect_buffers("sink", 5);
  show.player.expect_buffers("audio", 5);
  show.player.expect("one latency of both", [&](const Player::State &) {
    const auto ms = declared_by(show.player.source(), "video_0");
    return ms && *ms >= 25 && ms == declared_by(show.player.source(), "audio_0");
  });
}
GST_END_TEST

// How long a packet is waited for is not what is declared: sinks would wait, too.
GST_START_TEST(test_pads_latency_is_live) {
  ShowAndSound show("latency=50");
  auto declares = [&](const char *name, unsigned ms) {
    return declared_by(show.player.source(), name) == ms;
  };
  show.player.expect_buffers("sink", 5);
  show.player.expect_buffers("audio", 5);
  fail_unless(declares("video_0", 50) && declares("audio_0", 50));
  g_object_set(show.player.source(), "latency", 120u, nullptr);
  show.player.expect("the other latency", [&](const Player::State &) {
    return declares("video_0", 120) && declares("audio_0", 120);
  });
  show.player.expect_buffers("sink", 5);
  fail_unless(show.player.state().errors.empty());
}
GST_END_TEST

// How long jitterbuffers wait changes often, and makes no pipeline move what it plays.
GST_START_TEST(test_pads_waiting_is_no_latency) {
  ShowAndSound show;
  show.player.expect_buffers("sink", 5);
  unsigned told = 0;
  const auto bus = ObjPtr<GstBus>::adopt(gst_element_get_bus(show.player.pipeline()));
  gst_bus_enable_sync_message_emission(bus.get());
  // Thread: of who changes it, which is this one.
  auto count = [](GstBus *, GstMessage *message, gpointer data) {
    if (is_made_by(GST_MESSAGE_SRC(message), "rtpjitterbuffer"))
      ++*static_cast<unsigned *>(data);
  };
  g_signal_connect(bus.get(), "sync-message::latency", G_CALLBACK(+count), &told);
  unsigned changed = 0;
  for (const auto &buffer : elements_of(gst_bin_iterate_all_by_element_factory_name(
           GST_BIN(show.player.source()), "rtpjitterbuffer"))) {
    g_object_set(buffer.get(), "latency", 777u, nullptr);
    changed++;
  }
  fail_unless_equals_int(changed, 2);
  gst_bus_disable_sync_message_emission(bus.get());
  fail_unless_equals_int(told, 0);
  guint latency = 0;
  gst_structure_get_uint(show.player.pad_stats("cam").get(), "latency-ms", &latency);
  fail_unless(latency < 777, "%u", latency);
}
GST_END_TEST

static Suite *pads_suite() {
  Suite *suite = suite_create("vdoninjasrc-pads");
  TCase *tc = tcase_create("pads");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_pads_unlinked_one_costs_no_decoder_and_disturbs_nobody);
  tcase_add_test(tc, test_pads_without_any_link_nothing_is_decoded);
  tcase_add_test(tc, test_pads_linked_late_and_again_deliver);
  tcase_add_test(tc, test_pads_linked_while_the_element_stops);
  tcase_add_test(tc, test_pads_video_linked_late_and_again_delivers);
  tcase_add_test(tc, test_pads_linked_to_another_codec_ask_for_it);
  tcase_add_test(tc, test_pads_linked_to_a_codec_that_is_not_offered_say_so);
  tcase_add_test(tc, test_pads_disabled_media_have_none);
  tcase_add_test(tc, test_pads_go_on_after_a_pause);
  tcase_add_test(tc, test_pads_declare_one_latency);
  tcase_add_test(tc, test_pads_latency_is_live);
  tcase_add_test(tc, test_pads_waiting_is_no_latency);
  return suite;
}

GST_CHECK_MAIN(pads);
