// SPDX-License-Identifier: LGPL-2.1-or-later
// Which decoder vdoninjasrc takes, and what becomes of decoders that err. No test machine
// has a V4L2 decoder: stand-ins misbehave as those do (support/stand-in-decoder.h).
#include "loopback.h"
#include "stand-in-decoder.h"

#include <gio/gio.h>

using namespace vdn;
using namespace std::chrono_literals;
using Fault = StandIn::Fault;

namespace {

StandIn vp8_stand_in(const std::string &name) {
  StandIn what;
  what.name = name;
  return what;
}

StandIn h264_stand_in(const std::string &name) {
  StandIn what;
  what.name = name;
  what.decoder = "avdec_h264";
  what.caps = "video/x-h264,stream-format=byte-stream,alignment=au";
  return what;
}

bool has_h264() {
  return has_element("x264enc") && has_element("avdec_h264");
}

// The element from `factory` that the player's pipeline holds, NULL if none.
ObjPtr<GstElement> find_by_factory(const Player &player, const char *name) {
  GstIterator *all = gst_bin_iterate_recurse(GST_BIN(player.pipeline()));
  GValue item = G_VALUE_INIT;
  ObjPtr<GstElement> found;
  while (!found && gst_iterator_next(all, &item) == GST_ITERATOR_OK) {
    auto *element = GST_ELEMENT(g_value_get_object(&item));
    auto *factory = gst_element_get_factory(element);
    if (factory && g_str_equal(GST_OBJECT_NAME(factory), name))
      found = ObjPtr<GstElement>::ref(element);
    g_value_reset(&item);
  }
  g_value_unset(&item);
  gst_iterator_free(all);
  return found;
}

// Frames come, out of a decoder from `factory`, and nothing was said on the bus.
void assert_delivers(const Player &player, const char *factory) {
  player.expect_buffers("sink", 5);
  fail_unless(find_by_factory(player, factory), "%s does not decode", factory);
  const auto state = player.state();
  const auto &sink = state.sinks.at("sink");
  fail_unless(state.errors.empty(), "%s", player.describe().c_str());
  fail_unless_equals_int(sink.backwards, 0);
  fail_unless_equals_int(sink.stream_starts, 1);
  fail_if(sink.eos);
}

void set_rank(const char *name, guint rank) {
  auto *factory = gst_element_factory_find(name);
  if (!factory)
    return;
  gst_plugin_feature_set_rank(GST_PLUGIN_FEATURE(factory), rank);
  gst_object_unref(factory);
}

struct Registered {
  explicit Registered(const StandIn &what)
      : name(what.name), counts(register_stand_in(what)) {}
  ~Registered() { set_rank(name.c_str(), GST_RANK_NONE); }

  const std::string name;
  const std::shared_ptr<StandInCounts> counts;
};

// A show with a stand-in to be taken first, which nobody takes any longer afterwards.
struct StandInShow : Registered, Show {
  explicit StandInShow(const StandIn &what, const PublisherConfig &wanted = video_only(),
                       const std::string &more = "")
      : Registered(what), Show(wanted, more) {}
  // Frames come, out of `decoder`, and of the stand-in there were so many instances.
  void expect(const std::string &decoder, unsigned made) const {
    assert_delivers(player, decoder.c_str());
    fail_unless_equals_int(counts->made, made);
  }
};

} // namespace

GST_START_TEST(test_decoders_best_rank_delivers) {
  StandIn lower = vp8_stand_in("second");
  lower.rank = GST_RANK_PRIMARY + 1;
  const auto best = register_stand_in(vp8_stand_in("best"));
  const auto other = register_stand_in(lower);
  Show show;
  assert_delivers(show.player, "best");
  fail_unless_equals_int(best->made, 1);
  fail_unless_equals_int(other->made, 0);
}
GST_END_TEST

namespace {

// A process of its own, which tells the names of its elements, decodes with `decoder`.
void assert_process_takes(const std::string &line, const char *rank,
                          const char *decoder) {
  const auto launcher = ObjPtr<GSubprocessLauncher>::adopt(
      g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE));
  g_subprocess_launcher_setenv(launcher.get(), "GST_PLUGIN_FEATURE_RANK", rank, TRUE);
  gchar **words = nullptr;
  fail_unless(g_shell_parse_argv(line.c_str(), nullptr, &words, nullptr));
  const auto process = ObjPtr<GSubprocess>::adopt(
      g_subprocess_launcher_spawnv(launcher.get(), words, nullptr));
  g_strfreev(words);
  fail_unless(process, "gst-launch-1.0 does not start");
  const auto out = ObjPtr<GDataInputStream>::adopt(
      g_data_input_stream_new(g_subprocess_get_stdout_pipe(process.get())));
  const std::string part = std::string(":") + decoder + ".";
  bool found = false;
  while (!found) {
    const StrPtr text(
        g_data_input_stream_read_line(out.get(), nullptr, nullptr, nullptr));
    fail_unless(text != nullptr, "with %s it ended without %s", rank, decoder);
    found = strstr(text.get(), part.c_str());
  }
  g_subprocess_force_exit(process.get());
  g_subprocess_wait(process.get(), nullptr, nullptr);
}

} // namespace

GST_START_TEST(test_decoders_rank_of_the_environment_counts) {
  if (!has_h264() || !has_element("openh264dec"))
    return;
  Loopback loopback(video_only(Codec::kX264));
  loopback.publish();
  const std::string line =
      "gst-launch-1.0 -v " + loopback.source() + " ! video/x-raw ! fakesink sync=false";
  assert_process_takes(line, "openh264dec:MAX", "openh264dec0");
  assert_process_takes(line, "avdec_h264:NONE", "openh264dec0");
  assert_process_takes(line, "avdec_h264:MAX", "avdec_h264-0");
}
GST_END_TEST

GST_START_TEST(test_decoders_one_that_does_not_start_makes_way) {
  for (bool starts : {false, true}) {
    StandIn absent = vp8_stand_in(starts ? "broken" : "absent");
    absent.starts = starts;
    absent.runs = false;
    StandInShow show(absent);
    show.expect("vp8dec", 1);
    fail_unless_equals_int(show.counts->started, starts);
    fail_unless(show.player.state().warnings.empty());
    fail_unless_equals_int(show.publisher->state().sessions, 1);
  }
}
GST_END_TEST

// Firmware is loaded, and the first pictures stay inside.
GST_START_TEST(test_decoders_one_that_starts_slowly_is_waited_for) {
  StandIn slow = vp8_stand_in("slow");
  slow.start_ms = 300;
  slow.own_thread = true;
  slow.withheld = 45;
  StandInShow show(slow);
  show.expect("slow", 1);
}
GST_END_TEST

GST_START_TEST(test_decoders_one_that_starts_slowly_does_not_hold_up_null) {
  StandIn slow = vp8_stand_in("slow");
  slow.start_ms = 300;
  const auto counts = register_stand_in(slow);
  Loopback loopback(video_only());
  loopback.publish();
  Player player(loopback.source() + video_sink());
  Watched<bool> asked;
  g_signal_connect(player.source(), "decoder-setup",
                   G_CALLBACK(+[](GstElement *, GstElement *, Watched<bool> *told) {
                     told->update([](bool &value) { value = true; });
                   }),
                   &asked);
  player.play();
  fail_unless(asked.wait(20s, [](bool value) { return value; }));
  player.stop();
}
GST_END_TEST

GST_START_TEST(test_decoders_one_that_errs_at_frame_1_makes_way) {
  for (bool own_thread : {false, true}) {
    for (Fault fault : {Fault::kError, Fault::kRefuse}) {
      StandIn bad = vp8_stand_in("bad" + std::to_string(int(fault) * 2 + own_thread));
      bad.fault = fault;
      bad.own_thread = own_thread;
      StandInShow show(bad);
      show.expect("vp8dec", 1);
    }
  }
}
GST_END_TEST

// One error is forgiven: the decoder is made anew. One that errs again and again is not.
GST_START_TEST(test_decoders_one_that_errs_later_is_made_anew_then_makes_way) {
  StandIn bad = vp8_stand_in("bad");
  bad.fault = Fault::kError;
  bad.good = 100;
  StandInShow show(bad, video_only(Codec::kVp8, 120));
  show.player.expect_buffers("sink", 350);
  show.expect("vp8dec", 3);
}
GST_END_TEST

GST_START_TEST(test_decoders_one_that_errs_at_frame_1000_is_made_anew) {
  StandIn bad = vp8_stand_in("bad");
  bad.fault = Fault::kRefuse;
  bad.good = 1000;
  StandInShow show(bad, video_only(Codec::kVp8, 120));
  show.player.expect(
      "1000 frames", [](const auto &state) { return state.buffers("sink") >= 990; }, 30s);
  show.player.expect_buffers("sink", 30);
  show.expect("bad", 2);
}
GST_END_TEST

GST_START_TEST(test_decoders_one_that_stalls_from_the_start_makes_way) {
  for (Fault fault : {Fault::kStall, Fault::kBlock}) {
    StandIn bad = vp8_stand_in("bad" + std::to_string(int(fault)));
    bad.fault = fault;
    StandInShow show(bad);
    show.expect("vp8dec", 1);
  }
}
GST_END_TEST

GST_START_TEST(test_decoders_one_that_stalls_later_is_made_anew) {
  for (Fault fault : {Fault::kStall, Fault::kBlock}) {
    StandIn bad = vp8_stand_in("bad" + std::to_string(int(fault)));
    bad.fault = fault;
    bad.own_thread = fault == Fault::kBlock; // its queue takes more, and then no more
    bad.good = 20;
    bad.faulty = 1;
    StandInShow show(bad);
    show.player.expect_buffers("sink", 30);
    show.expect(bad.name, 2);
  }
}
GST_END_TEST

// On a Jetson the best decoder delivers memory:NVMM alone, which nobody else takes.
GST_START_TEST(test_decoders_memory_that_downstream_refuses_makes_way) {
  StandIn foreign = vp8_stand_in("foreign");
  foreign.delivers = "video/x-raw(memory:Elsewhere)";
  StandInShow show(foreign);
  show.expect("vp8dec", 1);
}
GST_END_TEST

GST_START_TEST(test_decoders_one_that_needs_a_context_gets_it) {
  StandIn needs = vp8_stand_in("needs");
  needs.context = "vdn.test.display";
  const auto counts = register_stand_in(needs);
  Loopback loopback(video_only());
  loopback.publish();
  Player player(loopback.source() + video_sink());
  GstContext *display = gst_context_new("vdn.test.display", TRUE);
  gst_element_set_context(player.pipeline(), display);
  gst_context_unref(display);
  player.play();
  assert_delivers(player, "needs");
  fail_unless_equals_int(counts->contexts, 1);
}
GST_END_TEST

// What V4L2 enumerates: the stream says something else, and is decoded all the same.
GST_START_TEST(test_decoders_odd_colorimetry_and_aspect_are_kept_from_one_that_refuses) {
  if (!has_h264())
    return;
  int number = 0;
  for (const char *odd : {"colorimetry=(string)0:3:0:1", "colorimetry=(string)2:0:0:0",
                          "pixel-aspect-ratio=(fraction)12/11"}) {
    StandIn strict = h264_stand_in("strict");
    strict.insists_on = "video/x-h264,colorimetry=(string){bt709,bt601,smpte240m},"
                        "pixel-aspect-ratio=(fraction)1/1";
    strict.name += std::to_string(number++);
    PublisherConfig config = video_only(Codec::kX264);
    config.video.raw_fields = odd;
    StandInShow show(strict, config);
    show.expect(strict.name, 1);
  }
}
GST_END_TEST

GST_START_TEST(test_decoders_one_that_cannot_follow_a_new_size_is_made_anew) {
  for (Fault fault : {Fault::kError, Fault::kRefuse, Fault::kStall, Fault::kBlock}) {
    const bool h264 = fault != Fault::kStall && has_h264();
    const std::string name = "rigid" + std::to_string(int(fault));
    StandIn rigid = h264 ? h264_stand_in(name) : vp8_stand_in(name);
    rigid.on_resize = fault;
    StandInShow show(rigid, video_only(h264 ? Codec::kX264 : Codec::kVp8));
    show.player.expect_buffers("sink", 5);
    unsigned made = 1;
    // More often than errors are forgiven.
    for (int width : {640, 320, 480, 640}) {
      if (made > 2 && (fault == Fault::kStall || fault == Fault::kBlock))
        break; // takes seconds each
      show.publisher->set_size(width, width * 9 / 16);
      show.player.expect_caps("sink", "width=(int)" + std::to_string(width));
      show.expect(name, ++made);
    }
  }
}
GST_END_TEST

GST_START_TEST(test_decoders_property_takes_an_element_or_a_bin) {
  const auto counts = register_stand_in(vp8_stand_in("best"));
  for (const char *wanted : {"vp8dec", "\"vp8dec ! identity ! videoconvert\""}) {
    Show show(video_only(), std::string("video-decoder=") + wanted);
    assert_delivers(show.player, "vp8dec");
  }
  fail_unless_equals_int(counts->made, 0);
}
GST_END_TEST

GST_START_TEST(test_decoders_property_that_does_not_fit_is_told) {
  Show show(video_only(), "video-decoder=jpegdec");
  show.player.expect_error("jpegdec");
  fail_unless_equals_int(show.player.state().errors.size(), 1);
}
GST_END_TEST

// The user wants it and no other: it is tried again, at leisure, with a word of warning.
GST_START_TEST(test_decoders_wanted_one_that_errs_is_tried_again) {
  StandIn bad = vp8_stand_in("bad");
  bad.fault = Fault::kError;
  bad.faulty = 2;
  StandInShow show(bad, video_only(), "video-decoder=bad");
  assert_delivers(show.player, "bad");
  show.player.expect_warning("bad");
  fail_unless_equals_int(show.counts->made, 3);
  fail_unless_equals_int(show.player.state().warnings.size(), 1);
}
GST_END_TEST

GST_START_TEST(test_decoders_when_all_err_it_starts_over) {
  for (const char *name : {"vp8dec", "avdec_vp8"})
    set_rank(name, GST_RANK_NONE);
  StandIn one = vp8_stand_in("one");
  one.fault = Fault::kError;
  one.faulty = 2;
  StandIn two = vp8_stand_in("two");
  two.rank = GST_RANK_PRIMARY;
  two.fault = Fault::kRefuse;
  const auto counts_of_one = register_stand_in(one);
  const auto counts_of_two = register_stand_in(two);
  Show show;
  assert_delivers(show.player, "one");
  fail_unless_equals_int(counts_of_one->made, 3);
  fail_unless_equals_int(counts_of_two->made, 2);
  fail_unless_equals_int(show.player.state().warnings.size(), 1);
}
GST_END_TEST

// Downstream had all it wanted, once: that is no refusal later.
GST_START_TEST(test_decoders_one_that_errs_after_a_new_link_makes_way) {
  Loopback loopback(video_only());
  loopback.publish();
  Player player(loopback.source() + " ! video/x-raw ! identity name=short eos-after=3 ! "
                                    "fakesink name=sink sync=false");
  Watched<bool> gone;
  g_signal_connect(
      player.pipeline(), "deep-element-removed",
      G_CALLBACK(+[](GstBin *, GstBin *, GstElement *element, Watched<bool> *told) {
        auto *factory = gst_element_get_factory(element);
        told->update([&](bool &value) {
          value |= factory && g_str_equal(GST_OBJECT_NAME(factory), "vp8dec");
        });
      }),
      &gone);
  player.play();
  fail_unless(gone.wait(20s, [](bool value) { return value; }));
  StandIn bad = vp8_stand_in("bad");
  bad.fault = Fault::kError;
  const auto counts = register_stand_in(bad);
  const auto pad =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(player.source(), "video_0"));
  const auto peer = ObjPtr<GstPad>::adopt(gst_pad_get_peer(pad.get()));
  gst_pad_unlink(pad.get(), peer.get());
  GstElement *late = gst_element_factory_make("fakesink", "late");
  g_object_set(late, "sync", FALSE, "async", FALSE, nullptr);
  gst_bin_add(GST_BIN(player.pipeline()), late);
  gst_element_sync_state_with_parent(late);
  player.watch(late);
  fail_unless(gst_element_link_pads(player.source(), "video_0", late, "sink"));
  player.expect_buffers("late", 10);
  fail_unless_equals_int(counts->made, 1);
  fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
}
GST_END_TEST

// Every candidate is shown before it starts, with the settings for live pictures.
GST_START_TEST(test_decoders_setup_signal_sees_them_all_and_may_change_them) {
  if (!has_h264())
    return;
  StandIn absent = h264_stand_in("absent");
  absent.starts = false;
  register_stand_in(absent);
  Loopback loopback(video_only(Codec::kX264));
  loopback.publish();
  Player player(loopback.source() + video_sink());
  Watched<std::vector<std::string>> seen;
  g_signal_connect(player.source(), "decoder-setup",
                   G_CALLBACK(+[](GstElement *, GstElement *decoder,
                                  Watched<std::vector<std::string>> *names) {
                     fail_unless_equals_int(GST_STATE(decoder), GST_STATE_NULL);
                     const std::string name =
                         GST_OBJECT_NAME(gst_element_get_factory(decoder));
                     if (name == "avdec_h264")
                       g_object_set(decoder, "max-threads", 1, nullptr);
                     names->update([&](auto &value) { value.push_back(name); });
                   }),
                   &seen);
  player.play();
  assert_delivers(player, "avdec_h264");
  fail_unless(seen.get() == std::vector<std::string>({"absent", "avdec_h264"}));
  gint threads = 0, errors = 0;
  g_object_get(find_by_factory(player, "avdec_h264").get(), "max-threads", &threads,
               "max-errors", &errors, nullptr);
  fail_unless_equals_int(threads, 1);
  fail_unless_equals_int(errors, -1);
}
GST_END_TEST

namespace {

void assert_slice_threads(const std::string &more, gboolean corrupt) {
  Show show(video_only(Codec::kX264), more);
  assert_delivers(show.player, "avdec_h264");
  const auto decoder = find_by_factory(show.player, "avdec_h264");
  guint type = 0;
  gint errors = 0;
  gboolean shows = FALSE, asks = FALSE;
  g_object_get(decoder.get(), "thread-type", &type, "max-errors", &errors,
               "output-corrupt", &shows, "automatic-request-sync-points", &asks, nullptr);
  fail_unless_equals_int(type, 2); // slice
  fail_unless_equals_int(errors, -1);
  fail_unless_equals_int(shows, corrupt);
  fail_unless(asks);
}

} // namespace

GST_START_TEST(test_decoders_never_use_frame_threads) {
  if (!has_h264())
    return;
  assert_slice_threads("", FALSE);
  assert_slice_threads("conceal-errors=true", TRUE);
  assert_slice_threads("video-decoder=\"avdec_h264 ! videoconvert\"", FALSE);
}
GST_END_TEST

static Suite *decoders_suite() {
  Suite *suite = suite_create("vdoninjasrc-decoders");
  TCase *tc = tcase_create("decoders");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 60);
  tcase_add_test(tc, test_decoders_best_rank_delivers);
  tcase_add_test(tc, test_decoders_rank_of_the_environment_counts);
  tcase_add_test(tc, test_decoders_one_that_does_not_start_makes_way);
  tcase_add_test(tc, test_decoders_one_that_starts_slowly_is_waited_for);
  tcase_add_test(tc, test_decoders_one_that_starts_slowly_does_not_hold_up_null);
  tcase_add_test(tc, test_decoders_one_that_errs_at_frame_1_makes_way);
  tcase_add_test(tc, test_decoders_one_that_errs_later_is_made_anew_then_makes_way);
  tcase_add_test(tc, test_decoders_one_that_errs_at_frame_1000_is_made_anew);
  tcase_add_test(tc, test_decoders_one_that_stalls_from_the_start_makes_way);
  tcase_add_test(tc, test_decoders_one_that_stalls_later_is_made_anew);
  tcase_add_test(tc, test_decoders_memory_that_downstream_refuses_makes_way);
  tcase_add_test(tc, test_decoders_one_that_needs_a_context_gets_it);
  tcase_add_test(tc,
                 test_decoders_odd_colorimetry_and_aspect_are_kept_from_one_that_refuses);
  tcase_add_test(tc, test_decoders_one_that_cannot_follow_a_new_size_is_made_anew);
  tcase_add_test(tc, test_decoders_property_takes_an_element_or_a_bin);
  tcase_add_test(tc, test_decoders_property_that_does_not_fit_is_told);
  tcase_add_test(tc, test_decoders_wanted_one_that_errs_is_tried_again);
  tcase_add_test(tc, test_decoders_when_all_err_it_starts_over);
  tcase_add_test(tc, test_decoders_one_that_errs_after_a_new_link_makes_way);
  tcase_add_test(tc, test_decoders_setup_signal_sees_them_all_and_may_change_them);
  tcase_add_test(tc, test_decoders_never_use_frame_threads);
  return suite;
}

GST_CHECK_MAIN(decoders);
