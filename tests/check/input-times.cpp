// SPDX-License-Identifier: LGPL-2.1-or-later
// When what an input makes is to be seen: clocks, pauses, seeks, repeats.
#include "inputs.h"

using namespace vdn;

// As a receiver moves it once it knows how picture and sound belong together.
GST_START_TEST(test_input_lets_sound_follow_its_time_stamps) {
  constexpr GstClockTimeDiff kMove = 30 * GST_MSECOND, kFrame = 20 * GST_MSECOND;
  Ear ear;
  InputShow show("audiotestsrc is-live=true samplesperbuffer=480 "
                 "! audio/x-raw,rate=48000 ! identity name=move",
                 audio_input());
  show.play().listen(ear, Encoding::kOpus);
  ear.expect_more(5);
  const auto pad =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(show.child("move").get(), "src"));
  const auto move = [](GstPad *, GstPadProbeInfo *info, gpointer) {
    GstBuffer *buffer = gst_buffer_make_writable(GST_PAD_PROBE_INFO_BUFFER(info));
    GST_BUFFER_PTS(buffer) += kMove;
    GST_PAD_PROBE_INFO_DATA(info) = buffer;
    return GST_PAD_PROBE_OK;
  };
  gst_pad_add_probe(pad.get(), GST_PAD_PROBE_TYPE_BUFFER, move, nullptr, nullptr);
  ear.expect_more(15);
  const auto frames = ear.frames();
  const GstClockTimeDiff moved =
      frames.back().pts - frames[1].pts - GstClockTimeDiff(frames.size() - 2) * kFrame;
  fail_unless(ABS(moved - kMove) <= 10 * GstClockTimeDiff(GST_MSECOND),
              "%" G_GINT64_FORMAT " us", moved / 1000);
  show.assert_quiet();
}
GST_END_TEST

// The pipeline's running time is 0 then, and those below it know another.
GST_START_TEST(test_input_goes_on_after_a_pause_and_a_seek) {
  Ear ear;
  InputShow show("videotestsrc name=source ! video/x-raw,width=160,height=120");
  show.play().listen(ear, Encoding::kH264);
  ear.expect_more(5);
  GstElement *pipeline = show.pipeline();
  gst_element_set_state(pipeline, GST_STATE_PAUSED);
  gst_element_set_start_time(pipeline, 60 * GST_SECOND); // as if it had played so long
  show.play();
  gst_element_set_state(pipeline, GST_STATE_PAUSED);
  gst_element_seek_simple(show.child("source").get(), GST_FORMAT_TIME,
                          GST_SEEK_FLAG_FLUSH, 0);
  gst_element_set_start_time(pipeline, 0); // as it does when a sink was flushed
  const gint64 begun = g_get_monotonic_time();
  show.play();
  ear.expect_more(5);
  const gint64 took = g_get_monotonic_time() - begun;
  fail_unless(took < 5 * G_USEC_PER_SEC * time_factor(), "%.1f s", took / 1e6);
  show.assert_quiet();
}
GST_END_TEST

GST_START_TEST(test_input_need_not_wait_for_the_clock) {
  InputConfig config = video_input();
  config.sync = InputSync::kOff;
  Ear ear;
  InputShow show("videotestsrc num-buffers=3000 ! video/x-raw,width=16,height=16,"
                 "framerate=1/1 ! x264enc tune=zerolatency",
                 config);
  show.play().listen(ear, Encoding::kH264);
  fail_unless(show.wait([&] { return show.news().ends == 1; })); // not in an hour
}
GST_END_TEST

// What is not live comes at its time, whether somebody listens or not.
GST_START_TEST(test_input_waits_for_the_clock_where_upstream_is_not_live) {
  for (const bool encoded : {false, true}) {
    Ear ear;
    InputShow show(std::string("videotestsrc ! video/x-raw,width=160,height=120,"
                               "framerate=30/1") +
                   (encoded ? kBaselineEncoder : ""));
    show.play().listen(ear, Encoding::kH264);
    show.input().request_keyframe();
    ear.expect_more(30);
    const auto frames = ear.frames();
    const GstClockTime told = frames[29].pts - frames[5].pts;
    const gint64 passed = frames[29].at - frames[5].at;
    fail_unless(passed > gint64(told / GST_USECOND) * 6 / 10,
                "%" G_GINT64_FORMAT " us for %" G_GUINT64_FORMAT " ns", passed, told);
    show.assert_quiet();
  }
}
GST_END_TEST

GST_START_TEST(test_input_gives_times_since_the_epoch) {
  Ear ear;
  InputShow show(test_picture());
  show.input().set_epoch(0); // of the clock: since the machine started
  show.play().listen(ear, Encoding::kH264);
  ear.expect_more(2);
  const GstClockTime base = gst_element_get_base_time(show.pipeline());
  const GstClockTime pts = ear.frames()[0].pts;
  fail_unless(pts >= base && pts < base + 60 * GST_SECOND);
}
GST_END_TEST

// As a player that repeats: the second time takes as long as the first.
GST_START_TEST(test_input_repeats_a_clip_in_its_time) {
  Ear ear;
  InputShow show("videotestsrc name=source ! video/x-raw,width=64,height=64,"
                 "framerate=30/1");
  const auto source = show.child("source");
  const auto seek = [&] {
    return gst_element_seek(source.get(), 1, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH,
                            GST_SEEK_TYPE_SET, 0, GST_SEEK_TYPE_SET, 2 * GST_SECOND);
  };
  gst_element_set_state(show.pipeline(), GST_STATE_PAUSED);
  fail_unless(seek());
  show.play().listen(ear, Encoding::kH264);
  for (unsigned ends = 1; ends <= 3; ends++) {
    const gint64 begun = g_get_monotonic_time();
    fail_unless(show.wait([&] { return show.news().ends >= ends; }));
    const gint64 took = (g_get_monotonic_time() - begun) / 1000;
    fail_unless(took > 1500 || ends == 1, "it took %d ms, time %u", int(took), ends);
    fail_unless(seek());
  }
  show.assert_quiet();
}
GST_END_TEST

// As of a camera that is replaced: no flush, but another stream.
GST_START_TEST(test_input_takes_another_stream_after_the_end) {
  // x264enc would not: it has to be flushed.
  for (const std::string encoder : {"", " ! vp8enc deadline=1 keyframe-max-dist=10"}) {
    Ear ear;
    InputShow show("videotestsrc is-live=true name=source num-buffers=40 ! "
                   "video/x-raw,width=64,height=64,framerate=30/1" +
                   encoder);
    show.play().listen(ear, encoder.empty() ? Encoding::kH264 : Encoding::kVp8);
    fail_unless(show.wait([&] { return show.news().ends == 1; }));
    gst_element_set_state(show.child("source").get(), GST_STATE_READY);
    gst_element_set_state(show.child("source").get(), GST_STATE_PLAYING);
    ear.expect_more(20); // the end gave what the encoder had
    show.assert_quiet();
  }
}
GST_END_TEST

// Time goes back further than with B-frames.
GST_START_TEST(test_input_that_seeks_back_has_no_b_frames) {
  Ear ear;
  InputShow show("videotestsrc ! video/x-raw,width=64,height=64,framerate=30/1" +
                 std::string(kBaselineEncoder));
  show.play().listen(ear, Encoding::kH264);
  ear.expect_more(60);
  gst_element_set_state(show.pipeline(), GST_STATE_PAUSED);
  fail_unless(gst_element_seek_simple(show.child("last").get(), GST_FORMAT_TIME,
                                      GST_SEEK_FLAG_FLUSH, 0));
  show.play();
  ear.expect_more(30);
  show.assert_quiet();
}
GST_END_TEST

static Suite *input_times_suite() {
  Suite *suite = suite_create("input-times");
  TCase *tc = tcase_create("input-times");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_input_goes_on_after_a_pause_and_a_seek);
  tcase_add_test(tc, test_input_lets_sound_follow_its_time_stamps);
  tcase_add_test(tc, test_input_waits_for_the_clock_where_upstream_is_not_live);
  tcase_add_test(tc, test_input_need_not_wait_for_the_clock);
  tcase_add_test(tc, test_input_gives_times_since_the_epoch);
  tcase_add_test(tc, test_input_takes_another_stream_after_the_end);
  tcase_add_test(tc, test_input_repeats_a_clip_in_its_time);
  tcase_add_test(tc, test_input_that_seeks_back_has_no_b_frames);
  return suite;
}

GST_CHECK_MAIN(input_times);
