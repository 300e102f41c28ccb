// SPDX-License-Identifier: LGPL-2.1-or-later
// What upstream may do wrong: no crash, no hang, and a sentence that helps.
#include "inputs.h"

using namespace vdn;

namespace {

constexpr const char *kApp = "appsrc name=app format=time is-live=true";

// Gives what a test wants to give.
struct App : InputShow {
  explicit App(const char *caps, InputConfig config = video_input())
      : InputShow(kApp, std::move(config)) {
    set_caps(caps);
    play();
  }
  void set_caps(const char *text) {
    const CapsPtr caps(gst_caps_from_string(text));
    gst_app_src_set_caps(source(), caps.get());
  }
  // An I420 picture, or anything of that size. NONE: without a time.
  GstFlowReturn give(gsize size, GstClockTime pts = GST_CLOCK_TIME_NONE) {
    GstBuffer *buffer = gst_buffer_new_allocate(nullptr, size, nullptr);
    gst_buffer_memset(buffer, 0, 128, size);
    GST_BUFFER_PTS(buffer) = pts;
    return gst_app_src_push_buffer(source(), buffer);
  }
  // Pictures until one comes out, and so `times`: an encoder takes its time to start.
  void give_until_heard(Ear &ear, gsize size, unsigned times = 1,
                        GstClockTime pts = GST_CLOCK_TIME_NONE) {
    for (unsigned i = 0; i < times; i++) {
      const size_t heard = ear.count();
      bool came = false;
      for (unsigned tries = 0; !came && tries < 100; tries++) {
        give(size, pts);
        came = ear.wait_for(heard + 1, std::chrono::milliseconds(200));
      }
      fail_unless(came, "picture %u: %s", i, describe().c_str());
    }
  }
  GstAppSrc *source() { return GST_APP_SRC(child("app").get()); }
};

std::string i420(int width, int height, const char *fps = "30/1") {
  return "video/x-raw,format=I420,width=" + std::to_string(width) +
         ",height=" + std::to_string(height) + ",framerate=" + fps;
}

gsize i420_size(int width, int height) {
  GstVideoInfo info;
  gst_video_info_set_format(&info, GST_VIDEO_FORMAT_I420, width, height);
  return GST_VIDEO_INFO_SIZE(&info);
}

} // namespace

GST_START_TEST(test_input_refuses_what_has_no_caps) {
  InputShow show("fakesrc num-buffers=5 sizetype=fixed sizemax=100");
  show.play().expect_error("does not say what it is");
  fail_unless_equals_int(show.news().errors.size(), 1);
}
GST_END_TEST

GST_START_TEST(test_input_refuses_jpeg_with_the_remedy) {
  InputShow show(test_picture() + " ! jpegenc");
  show.play().expect_error("put jpegdec before");
}
GST_END_TEST

// A camera that has both gives raw pictures.
GST_START_TEST(test_input_asks_nobody_for_jpeg) {
  const CapsPtr filter(gst_caps_from_string("image/jpeg;video/x-raw,format=YUY2"));
  InputShow show(kApp);
  const auto pad =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(show.input().element(), "sink"));
  const CapsPtr both(gst_pad_query_caps(pad.get(), filter.get()));
  fail_unless_equals_int(gst_caps_get_size(both.get()), 1);
  fail_unless(
      gst_structure_has_name(gst_caps_get_structure(both.get(), 0), "video/x-raw"));
  const CapsPtr jpeg(gst_caps_from_string("image/jpeg"));
  const CapsPtr one(gst_pad_query_caps(pad.get(), jpeg.get()));
  fail_if(gst_caps_is_empty(one.get()));
}
GST_END_TEST

GST_START_TEST(test_input_refuses_pictures_without_a_size) {
  App app("video/x-raw,format=I420,framerate=30/1");
  app.give(100);
  app.expect_error("without a format or a size");
}
GST_END_TEST

GST_START_TEST(test_input_refuses_opus_of_many_channels) {
  App app("audio/x-opus,channel-mapping-family=1,channels=8,rate=48000", audio_input());
  app.give(100);
  app.expect_error("Opus of 8 channels");
}
GST_END_TEST

GST_START_TEST(test_input_refuses_an_encoder_that_does_not_exist) {
  InputConfig config = video_input();
  config.encoder = "nosuchenc";
  InputShow show(test_picture(), config);
  show.play().expect_error("video-encoder=\"nosuchenc\" cannot be made");
}
GST_END_TEST

GST_START_TEST(test_input_refuses_when_no_codec_can_be_made) {
  InputShow show(test_picture(), video_input({}));
  show.play().expect_error("no encoder for any codec");
}
GST_END_TEST

// The user names an encoder of the second codec: it is the first one then.
GST_START_TEST(test_input_prefers_the_codec_of_the_named_encoder) {
  InputConfig config = video_input();
  config.encoder = "vp8enc cpu-used=12 ! identity";
  InputShow show(test_picture(), config);
  show.play().track(Encoding::kVp8);
  fail_unless(show.input().tracks()[0]->encoding() == Encoding::kVp8);
  fail_unless_equals_int(show.input().tracks().size(), 2);
}
GST_END_TEST

GST_START_TEST(test_input_takes_odd_sizes) {
  for (const Encoding encoding : {Encoding::kH264, Encoding::kVp8}) {
    for (const auto &[width, height] :
         {std::pair{161, 121}, {160, 121}, {17, 16}, {641, 361}}) {
      Ear ear;
      App app(i420(width, height).c_str(), video_input({encoding}));
      app.give(i420_size(width, height));
      app.listen(ear, encoding);
      app.give_until_heard(ear, i420_size(width, height));
      const std::string expected = "width=(int)" + std::to_string(width & ~1);
      fail_unless(ear.caps().back().find(expected) != std::string::npos, "%s",
                  ear.caps().back().c_str());
      app.assert_quiet();
    }
  }
}
GST_END_TEST

GST_START_TEST(test_input_takes_pictures_without_a_rate) {
  for (const char *factory : {"x264enc", "openh264enc", "vp8enc"}) {
    InputConfig config = video_input();
    config.encoder = factory;
    const Encoding encoding =
        g_str_equal(factory, "vp8enc") ? Encoding::kVp8 : Encoding::kH264;
    Ear ear;
    App app(i420(64, 64, "0/1").c_str(), config);
    app.give(i420_size(64, 64));
    app.listen(ear, encoding);
    app.give_until_heard(ear, i420_size(64, 64), 3);
    app.assert_quiet();
  }
}
GST_END_TEST

GST_START_TEST(test_input_takes_a_new_size_with_each_picture) {
  for (const Encoding encoding : {Encoding::kH264, Encoding::kVp8}) {
    Ear ear;
    App app(i420(64, 64).c_str(), video_input({encoding}));
    app.give(i420_size(64, 64));
    app.listen(ear, encoding);
    for (int i = 1; i < 20; i++) {
      const int size = 64 + i * 2;
      app.set_caps(i420(size, size).c_str());
      app.give_until_heard(ear, i420_size(size, size));
    }
    fail_unless(ear.caps().size() > 10);
    app.assert_quiet();
  }
}
GST_END_TEST

GST_START_TEST(test_input_mends_time_stamps_and_says_so_once) {
  constexpr GstClockTime kHour = 3600 * GST_SECOND;
  for (const Encoding encoding : {Encoding::kH264, Encoding::kVp8, Encoding::kVp9}) {
    Ear ear;
    App app(i420(64, 64).c_str(), video_input({encoding}));
    app.give(i420_size(64, 64));
    app.listen(ear, encoding);
    app.give_until_heard(ear, i420_size(64, 64));
    for (const GstClockTime pts :
         {GstClockTime(0), GST_CLOCK_TIME_NONE, 100 * kHour, 100 * kHour, 5 * kHour,
          GstClockTime(0), G_MAXUINT64 / 2, GST_CLOCK_TIME_NONE - 1, GstClockTime(1)}) {
      app.give_until_heard(ear, i420_size(64, 64), 1, pts);
    }
    const auto frames = ear.frames();
    for (size_t i = 1; i < frames.size(); i++)
      fail_unless(frames[i].pts > frames[i - 1].pts &&
                  frames[i].pts < frames[i - 1].pts + 60 * GST_SECOND);
    const InputNews news = app.news();
    fail_unless(news.errors.empty() && news.warnings.size() == 1, "%s",
                app.describe().c_str());
    fail_unless(InputShow::any(news.warnings, "time stamps of the input jump"));
  }
}
GST_END_TEST

GST_START_TEST(test_input_takes_bytes_instead_of_times) {
  Ear ear;
  App app(i420(64, 64).c_str());
  g_object_set(app.source(), "format", GST_FORMAT_BYTES, nullptr);
  app.give(i420_size(64, 64));
  app.listen(ear, Encoding::kH264);
  app.give_until_heard(ear, i420_size(64, 64), 3);
  app.assert_quiet();
}
GST_END_TEST

GST_START_TEST(test_input_warns_of_reordered_pictures_and_of_profiles) {
  Ear ear;
  InputShow show("videotestsrc is-live=true ! video/x-raw,format=I420,width=160,"
                 "height=120,framerate=30/1 ! x264enc bframes=2 b-adapt=false "
                 "speed-preset=ultrafast rc-lookahead=3 ! video/x-h264,profile=main");
  show.play().listen(ear, Encoding::kH264);
  show.expect_warning("has B-frames");
  show.expect_warning("not H.264 baseline");
  show.input().request_keyframe();
  ear.expect_more(10);
  fail_unless_equals_int(show.news().warnings.size(), 2);
  fail_unless(show.news().errors.empty());
}
GST_END_TEST

GST_START_TEST(test_input_warns_when_no_picture_can_be_made) {
  Ear ear;
  InputShow show(test_picture() + " ! x264enc tune=zerolatency ! "
                                  "video/x-h264,stream-format=byte-stream");
  const auto pad =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(show.child("last").get(), "src"));
  gst_pad_add_probe(
      pad.get(), GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad *, GstPadProbeInfo *info, gpointer) { // SPS and PPS are with the keyframe
        return GST_BUFFER_FLAG_IS_SET(GST_PAD_PROBE_INFO_BUFFER(info),
                                      GST_BUFFER_FLAG_DELTA_UNIT)
                   ? GST_PAD_PROBE_OK
                   : GST_PAD_PROBE_DROP;
      },
      nullptr, nullptr);
  show.play().listen(ear, Encoding::kH264);
  show.expect_warning("parameter sets");
  fail_unless_equals_int(ear.count(), 0);
}
GST_END_TEST

GST_START_TEST(test_input_takes_pictures_in_pieces_and_says_so) {
  Ear ear;
  InputShow show(test_picture() +
                 " ! x264enc tune=zerolatency ! video/x-h264,stream-format=byte-stream,"
                 "profile=constrained-baseline ! capssetter replace=true "
                 "caps=video/x-h264,stream-format=(string)byte-stream");
  show.play().listen(ear, Encoding::kH264);
  show.input().request_keyframe();
  show.expect_warning("alignment=au");
  ear.expect_more(5);
  fail_unless_equals_int(show.news().warnings.size(), 1);
}
GST_END_TEST

GST_START_TEST(test_input_takes_large_pictures) {
  Ear ear;
  App app("video/x-vp8,width=64,height=64");
  app.give(100);
  app.listen(ear, Encoding::kVp8);
  app.give_until_heard(ear, 20 * 1000 * 1000, 2);
  fail_unless_equals_int(ear.frames().back().bytes, 20 * 1000 * 1000);
}
GST_END_TEST

GST_START_TEST(test_input_takes_garbage) {
  for (const char *caps :
       {"video/x-h264,stream-format=byte-stream,alignment=au",
        "video/x-h264,stream-format=avc,alignment=au,codec_data=(buffer)00",
        "video/x-h265,stream-format=byte-stream", "video/x-vp8", "video/x-vp9"}) {
    App app(caps);
    GRand *random = g_rand_new_with_seed(3);
    for (int i = 0; i < 200; i++)
      app.give(g_rand_int_range(random, 0, 300));
    g_rand_free(random);
    gst_app_src_end_of_stream(app.source());
    fail_unless(app.wait([&] { return app.news().ends + app.news().errors.size() > 0; }),
                "%s", caps);
  }
}
GST_END_TEST

GST_START_TEST(test_input_goes_on_after_a_flush) {
  Ear ear;
  InputShow show("videotestsrc ! video/x-raw,width=64,height=64,framerate=30/1");
  show.play().listen(ear, Encoding::kH264);
  ear.expect_more(3);
  for (int i = 0; i < 5; i++) {
    fail_unless(gst_element_seek_simple(show.child("last").get(), GST_FORMAT_TIME,
                                        GST_SEEK_FLAG_FLUSH, (5 - i) * GST_SECOND));
    ear.expect_more(3);
  }
  show.assert_quiet();
}
GST_END_TEST

GST_START_TEST(test_input_follows_from_raw_to_encoded_and_back) {
  Ear raw, encoded, again;
  InputShow show("input-selector name=choice sync-streams=false " + test_picture() +
                 " ! choice. videotestsrc is-live=true ! "
                 "video/x-raw,width=64,height=64,framerate=30/1 ! vp8enc deadline=1 ! "
                 "choice. choice.");
  auto choose = [&](const char *name) {
    const auto pad = ObjPtr<GstPad>::adopt(
        gst_element_get_static_pad(show.child("choice").get(), name));
    g_object_set(show.child("choice").get(), "active-pad", pad.get(), nullptr);
  };
  choose("sink_0");
  show.play().listen(raw, Encoding::kH264);
  raw.expect_more(3);
  choose("sink_1");
  fail_unless(show.wait([&] { return show.news().changes == 2; }));
  fail_unless_equals_int(show.input().tracks().size(), 1);
  show.listen(encoded, Encoding::kVp8);
  show.input().request_keyframe();
  encoded.expect_more(3);
  choose("sink_0");
  fail_unless(show.wait([&] { return show.news().changes == 3; }));
  show.listen(again, Encoding::kH264);
  again.expect_more(3);
  show.assert_quiet();
}
GST_END_TEST

static Suite *input_hostile_suite() {
  Suite *suite = suite_create("input-hostile");
  TCase *tc = tcase_create("input-hostile");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_input_refuses_what_has_no_caps);
  tcase_add_test(tc, test_input_refuses_jpeg_with_the_remedy);
  tcase_add_test(tc, test_input_asks_nobody_for_jpeg);
  tcase_add_test(tc, test_input_refuses_pictures_without_a_size);
  tcase_add_test(tc, test_input_refuses_opus_of_many_channels);
  tcase_add_test(tc, test_input_refuses_an_encoder_that_does_not_exist);
  tcase_add_test(tc, test_input_refuses_when_no_codec_can_be_made);
  tcase_add_test(tc, test_input_prefers_the_codec_of_the_named_encoder);
  tcase_add_test(tc, test_input_takes_odd_sizes);
  tcase_add_test(tc, test_input_takes_pictures_without_a_rate);
  tcase_add_test(tc, test_input_takes_a_new_size_with_each_picture);
  tcase_add_test(tc, test_input_mends_time_stamps_and_says_so_once);
  tcase_add_test(tc, test_input_takes_bytes_instead_of_times);
  tcase_add_test(tc, test_input_warns_of_reordered_pictures_and_of_profiles);
  tcase_add_test(tc, test_input_warns_when_no_picture_can_be_made);
  tcase_add_test(tc, test_input_takes_pictures_in_pieces_and_says_so);
  tcase_add_test(tc, test_input_takes_large_pictures);
  tcase_add_test(tc, test_input_takes_garbage);
  tcase_add_test(tc, test_input_goes_on_after_a_flush);
  tcase_add_test(tc, test_input_follows_from_raw_to_encoded_and_back);
  return suite;
}

GST_CHECK_MAIN(input_hostile);
