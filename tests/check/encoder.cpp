// SPDX-License-Identifier: LGPL-2.1-or-later
// What becomes of encoders that do not start, refuse, stall or fail while somebody
// listens. Stand-ins misbehave as those of hardware do.
#include "elements-of.h"
#include "inputs.h"
#include "stand-in-decoder.h"

using namespace vdn;
using Fault = StandIn::Fault;

namespace {

void set_rank(const char *name, guint rank) {
  auto *factory = gst_element_factory_find(name);
  if (!factory)
    return;
  gst_plugin_feature_set_rank(GST_PLUGIN_FEATURE(factory), rank);
  gst_object_unref(factory);
}

StandIn stand_in(const std::string &name, Fault fault, unsigned good = 0) {
  StandIn what;
  what.name = name;
  what.decoder = "openh264enc";
  what.caps = "video/x-raw";
  what.makes = "video/x-h264";
  what.klass = "Codec/Encoder/Video/Hardware";
  what.fault = fault;
  what.good = good;
  return what;
}

// Taken first, and by nobody afterwards.
struct Registered {
  explicit Registered(const StandIn &what)
      : name(what.name), counts(register_stand_in(what)) {}
  ~Registered() { set_rank(name.c_str(), GST_RANK_NONE); }

  const std::string name;
  const std::shared_ptr<StandInCounts> counts;
};

// Installed encoders of H.264 that nobody takes for a while.
struct Unranked {
  Unranked() {
    for (Ranked &one : all)
      if (const auto factory =
              ObjPtr<GstElementFactory>::adopt(gst_element_factory_find(one.name))) {
        one.rank = gst_plugin_feature_get_rank(GST_PLUGIN_FEATURE(factory.get()));
        set_rank(one.name, GST_RANK_NONE);
      }
  }
  ~Unranked() {
    for (const Ranked &one : all)
      set_rank(one.name, one.rank);
  }
  struct Ranked {
    const char *name;
    guint rank = GST_RANK_NONE;
  } all[3] = {{"x264enc"}, {"openh264enc"}, {"avenc_h264_omx"}};
};

// Whoever listens to H.264 of a stand-in gets pictures in the end, one warning with both
// names, and the application no error.
void assert_replaced(const StandIn &what) {
  Registered registered(what);
  Ear ear;
  InputShow show(test_picture());
  show.play().listen(ear, Encoding::kH264);
  show.expect_warning(what.name.c_str());
  ear.expect_more(10);
  fail_unless(registered.counts->made > 0);
  const InputNews news = show.news();
  fail_unless_equals_int(news.warnings.size(), 1);
  fail_unless(InputShow::any(news.warnings, "x264enc"), "%s", show.describe().c_str());
  fail_unless(news.errors.empty(), "%s", show.describe().c_str());
  fail_unless(ear.frames().front().keyframe);
  const auto bus = ObjPtr<GstBus>::adopt(gst_element_get_bus(show.pipeline()));
  fail_unless(MessagePtr(gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR)) == nullptr);
}

// Of pictures as `caps` say, by an encoder that fails at the first change of their size.
template <typename Change>
void assert_made_anew(const char *name, const char *caps, Change change,
                      const char *size) {
  StandIn what = stand_in(name, Fault::kNone);
  what.on_resize = Fault::kError;
  what.faulty = 1;
  Registered registered(what);
  Ear ear;
  InputShow show(test_picture(caps));
  show.play().listen(ear, Encoding::kH264);
  ear.expect_more(5);
  change(show);
  fail_unless(show.wait([&] { return registered.counts->made == 2; }));
  ear.expect_more(5);
  show.assert_quiet();
  fail_unless(ear.caps().back().find(size) != std::string::npos);
}

} // namespace

// An application may set video-bitrate in its `encoder-setup`; or the network does, while
// a device takes its time to open.
GST_START_TEST(test_encoder_that_starts_hears_of_its_rate) {
  Ear ear;
  InputShow show(test_picture());
  show.then = [](Input &input) { input.set_bitrate(321); };
  show.play().listen(ear, Encoding::kH264);
  ear.expect_more(3);
  const auto encoders = elements_of(gst_bin_iterate_all_by_element_factory_name(
      GST_BIN(show.input().element()), "x264enc"));
  fail_unless_equals_int(encoders.size(), 1);
  guint kbps = 0;
  g_object_get(encoders.front().get(), "bitrate", &kbps, nullptr);
  fail_unless_equals_int(kbps, 321);
}
GST_END_TEST

GST_START_TEST(test_encoder_that_does_not_start_is_replaced) {
  StandIn what = stand_in("vdnencnostart", Fault::kNone);
  what.starts = false;
  assert_replaced(what);
}
GST_END_TEST

GST_START_TEST(test_encoder_that_fails_at_once_is_replaced) {
  assert_replaced(stand_in("vdnencerror", Fault::kError));
}
GST_END_TEST

GST_START_TEST(test_encoder_that_refuses_is_replaced) {
  assert_replaced(stand_in("vdnencrefuse", Fault::kRefuse));
}
GST_END_TEST

GST_START_TEST(test_encoder_that_gives_nothing_is_replaced) {
  assert_replaced(stand_in("vdnencstall", Fault::kStall));
}
GST_END_TEST

GST_START_TEST(test_encoder_that_does_not_return_is_replaced) {
  assert_replaced(stand_in("vdnencblock", Fault::kBlock, 3));
}
GST_END_TEST

GST_START_TEST(test_encoder_that_fails_at_its_hundredth_frame_leaves_a_gap) {
  Registered registered(stand_in("vdnenchundred", Fault::kError, 99));
  Ear ear;
  InputShow show(test_picture());
  show.play().listen(ear, Encoding::kH264);
  show.expect_warning("vdnenchundred failed");
  ear.expect_more(30);
  const auto frames = ear.frames();
  unsigned starts = 0;
  for (size_t i = 1; i < frames.size(); i++) {
    fail_unless(frames[i].pts > frames[i - 1].pts);
    fail_unless(frames[i].at - frames[i - 1].at < 2 * G_USEC_PER_SEC);
    if (frames[i].discont) {
      fail_unless(frames[i].keyframe);
      starts++;
    }
  }
  fail_unless_equals_int(starts, 1);
  fail_unless(InputShow::any(show.news().warnings, "stand-in fails"));
  fail_unless_equals_int(registered.counts->made, 1);
}
GST_END_TEST

// It cannot follow a change of size: made anew, not given up.
GST_START_TEST(test_encoder_that_dislikes_a_new_size_is_made_anew) {
  assert_made_anew(
      "vdnencresize",
      "capsfilter name=wanted caps=video/x-raw,width=160,height=120,framerate=30/1",
      [](InputShow &show) {
        gst_util_set_object_arg(G_OBJECT(show.child("wanted").get()), "caps",
                                "video/x-raw,width=320,height=240,framerate=30/1");
      },
      "width=(int)320");
}
GST_END_TEST

// A box that is set while it runs is such a change.
GST_START_TEST(test_encoder_that_dislikes_a_box_is_made_anew) {
  assert_made_anew(
      "vdnencbox", "video/x-raw,width=320,height=240,framerate=30/1",
      [](InputShow &show) {
        show.input().set_box({160, 120});
      },
      "width=(int)160");
}
GST_END_TEST

GST_START_TEST(test_encoder_of_which_none_works_is_an_error) {
  Registered registered(stand_in("vdnenconly", Fault::kError));
  const Unranked others;
  Ear ear;
  InputShow show(test_picture(), video_input({Encoding::kH264}));
  show.play().listen(ear, Encoding::kH264);
  show.expect_error("no encoder of H264 works here");
  fail_unless(InputShow::any(show.news().errors, "vdnenconly: stand-in fails"), "%s",
              show.describe().c_str());
  fail_unless(show.input().tracks().empty());
}
GST_END_TEST

// VP8 goes on when H.264 cannot.
GST_START_TEST(test_encoder_of_one_codec_may_be_missing) {
  Registered registered(stand_in("vdnenconly2", Fault::kError));
  const Unranked others;
  Ear ear, other;
  InputShow show(test_picture());
  show.play().listen(ear, Encoding::kH264);
  show.expect_warning("no encoder of H264 works here");
  show.listen(other, Encoding::kVp8);
  other.expect_more(5);
  fail_unless_equals_int(show.input().tracks().size(), 1);
  fail_unless(show.news().errors.empty());
}
GST_END_TEST

GST_START_TEST(test_encoder_of_the_user_comes_first_and_others_after_it) {
  Registered registered(stand_in("vdnencuser", Fault::kError, 5));
  set_rank("vdnencuser", GST_RANK_NONE);
  InputConfig config = video_input();
  config.encoder = "vdnencuser";
  Ear ear;
  InputShow show(test_picture(), config);
  show.play().listen(ear, Encoding::kH264);
  show.expect_warning("x264enc goes on");
  ear.expect_more(5);
  fail_unless(show.news().made.front() == "vdnencuser");
}
GST_END_TEST

GST_START_TEST(test_encoder_keeps_the_rate_and_the_keyframes_of_the_table) {
  StandIn what = stand_in("v4l2h264enc", Fault::kNone);
  what.controls = true;
  Registered registered(what);
  Ear ear;
  InputShow show(test_picture());
  show.play().listen(ear, Encoding::kH264);
  ear.expect_more(5);
  show.input().set_bitrate(310);
  {
    std::lock_guard<std::mutex> lock(registered.counts->mutex);
    fail_unless(InputShow::any(registered.counts->settings, "video_bitrate=(int)500000"));
    fail_unless(InputShow::any(registered.counts->settings, "video_bitrate=(int)300000"));
  }
  show.assert_quiet();
}
GST_END_TEST

static Suite *encoder_suite() {
  Suite *suite = suite_create("encoder");
  TCase *tc = tcase_create("encoder");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_encoder_that_starts_hears_of_its_rate);
  tcase_add_test(tc, test_encoder_that_does_not_start_is_replaced);
  tcase_add_test(tc, test_encoder_that_fails_at_once_is_replaced);
  tcase_add_test(tc, test_encoder_that_refuses_is_replaced);
  tcase_add_test(tc, test_encoder_that_gives_nothing_is_replaced);
  tcase_add_test(tc, test_encoder_that_does_not_return_is_replaced);
  tcase_add_test(tc, test_encoder_that_fails_at_its_hundredth_frame_leaves_a_gap);
  tcase_add_test(tc, test_encoder_that_dislikes_a_new_size_is_made_anew);
  tcase_add_test(tc, test_encoder_that_dislikes_a_box_is_made_anew);
  tcase_add_test(tc, test_encoder_of_which_none_works_is_an_error);
  tcase_add_test(tc, test_encoder_of_one_codec_may_be_missing);
  tcase_add_test(tc, test_encoder_of_the_user_comes_first_and_others_after_it);
  tcase_add_test(tc, test_encoder_keeps_the_rate_and_the_keyframes_of_the_table);
  return suite;
}

GST_CHECK_MAIN(encoder);
