// SPDX-License-Identifier: LGPL-2.1-or-later
// What comes out of an input for what goes in.
#include "inputs.h"

#include <algorithm>

using namespace vdn;

namespace {

bool contains(const std::string &text, const char *part) {
  return text.find(part) != std::string::npos;
}

bool is_made(const InputShow &show, const char *factory) {
  return InputShow::any(show.news().made, factory);
}

// Whether a keyframe comes within a second of frames after it is asked for.
void assert_keyframe_on_request(Ear &ear, MediaTrack &track) {
  ear.expect_more(5);
  const size_t before = ear.count();
  track.request_keyframe();
  ear.expect_more(30);
  const auto frames = ear.frames();
  for (size_t i = before; i < frames.size(); i++)
    if (frames[i].keyframe)
      return;
  fail("no keyframe of %s", facts_of(track.encoding()).name);
}

size_t bytes_from(const Ear &ear, size_t begin) {
  size_t sum = 0;
  const auto frames = ear.frames();
  for (size_t i = begin; i < frames.size(); i++)
    sum += frames[i].bytes;
  return sum / (frames.size() - begin);
}

} // namespace

GST_START_TEST(test_input_encodes_raw_pictures_in_every_codec) {
  for (const Encoding encoding :
       {Encoding::kH264, Encoding::kVp8, Encoding::kVp9, Encoding::kH265}) {
    Ear ear;
    InputShow show(test_picture(), video_input({encoding}));
    show.play().listen(ear, encoding);
    fail_unless(ear.wait_for(10), "%s: %s", facts_of(encoding).name,
                show.describe().c_str());
    const auto frames = ear.frames();
    fail_unless(frames[0].keyframe && frames[0].discont);
    fail_if(frames[1].keyframe || frames[1].discont, "%s", facts_of(encoding).name);
    fail_unless(contains(ear.caps().front(), facts_of(encoding).media_type));
    for (size_t i = 1; i < frames.size(); i++)
      fail_unless(frames[i].pts > frames[i - 1].pts);
    fail_unless(frames.back().pts < GstClockTime(20 * time_factor()) * GST_SECOND);
    assert_keyframe_on_request(ear, *show.track(encoding));
    fail_unless(show.input().encodes());
    show.assert_quiet();
  }
}
GST_END_TEST

// By the same encoder, to a size with a quarter, half or three quarters of the sides.
GST_START_TEST(test_input_fits_pictures_into_a_box) {
  for (const Encoding encoding :
       {Encoding::kH264, Encoding::kVp8, Encoding::kVp9, Encoding::kH265}) {
    Ear ear;
    InputShow show(test_picture("video/x-raw,width=640,height=360,framerate=30/1"),
                   video_input({encoding}));
    show.input().set_box({320, 180});
    show.play().listen(ear, encoding);
    auto expect_size = [&](const char *size) {
      ear.expect_more(1);
      for (int i = 0; i < 100 && !contains(ear.caps().back(), size); i++)
        ear.expect_more(1);
      fail_unless(contains(ear.caps().back(), size), "%s, not %s",
                  ear.caps().back().c_str(), size);
    };
    expect_size("width=(int)320, height=(int)180");
    show.input().set_box({400, 1000});
    expect_size("width=(int)480, height=(int)270");
    show.input().set_box({1, 1}); // no smaller than it can be made out
    expect_size("width=(int)160, height=(int)90");
    show.input().set_box({630, 0}); // hardly smaller
    expect_size("width=(int)640, height=(int)360");
    fail_unless_equals_int(show.news().made.size(), 1);
    show.assert_quiet();
  }
}
GST_END_TEST

// Of what is encoded already they are asked of whoever does that.
GST_START_TEST(test_input_asks_upstream_for_keyframes) {
  Ear ear;
  InputShow show(test_picture() + " ! x264enc tune=zerolatency key-int-max=1000");
  show.play().listen(ear, Encoding::kH264);
  show.input().request_keyframe(); // the first may be gone
  assert_keyframe_on_request(ear, *show.track(Encoding::kH264));
  fail_if(show.input().encodes());
}
GST_END_TEST

GST_START_TEST(test_input_announces_constrained_baseline_with_parameter_sets) {
  Ear ear;
  InputShow show(test_picture());
  show.play().listen(ear, Encoding::kH264);
  const auto track = show.track(Encoding::kH264);
  ear.expect_more(1);
  const std::string caps = ear.caps().front();
  fail_unless(contains(caps, "codec_data") && contains(caps, "stream-format=(string)avc"),
              "%s", caps.c_str());
  fail_unless(contains(caps, "profile=(string)constrained-baseline"));
  fail_unless_equals_int(h264_profile_idc(track->caps().get()), 66);
  std::string level;
  for (const auto &[name, value] : track->sdp().fmtp)
    if (name == "profile-level-id")
      level = value;
  fail_unless(level.substr(0, 4) == "42e0", "%s", level.c_str());
}
GST_END_TEST

// A codec that nobody takes costs nothing, nor does one that nobody takes any longer.
GST_START_TEST(test_input_encodes_only_what_is_taken) {
  Ear h264, vp8;
  InputShow show(test_picture());
  show.play();
  fail_unless_equals_int(show.track(Encoding::kVp8)->taken(), 0);
  fail_unless_equals_int(show.input().tracks().size(), 2);
  fail_unless(show.input().tracks()[0]->encoding() == Encoding::kH264);
  show.listen(h264, Encoding::kH264);
  h264.expect_more(5);
  fail_unless(is_made(show, "x264enc") && !is_made(show, "vp8enc"));
  show.listen(vp8, Encoding::kVp8);
  vp8.expect_more(5);
  fail_unless(is_made(show, "vp8enc"));
  show.stop_listening(h264);
  fail_unless(show.wait([&] { return show.news().gone == 1; }), "x264enc stays");
  const size_t heard = h264.count();
  vp8.expect_more(5);
  fail_unless_equals_int(h264.count(), heard);
  // And comes back.
  show.listen(h264, Encoding::kH264);
  h264.expect_more(5);
  fail_unless(h264.frames()[heard].keyframe && h264.frames()[heard].discont);
  fail_unless_equals_int(show.news().made.size(), 3);
  show.assert_quiet();
}
GST_END_TEST

GST_START_TEST(test_input_encodes_once_for_all_who_listen) {
  Ear ears[8];
  InputShow show(test_picture());
  show.play();
  for (Ear &ear : ears)
    show.listen(ear, Encoding::kH264);
  for (Ear &ear : ears) {
    show.input().request_keyframe();
    ear.expect_more(3);
  }
  fail_unless_equals_int(show.news().made.size(), 1);
}
GST_END_TEST

GST_START_TEST(test_input_changes_the_rate_while_it_runs) {
  for (const Encoding encoding : {Encoding::kH264, Encoding::kVp8}) {
    InputConfig config = video_input({encoding});
    config.kbps = 8000;
    Ear ear;
    InputShow show("videotestsrc is-live=true pattern=snow ! "
                   "video/x-raw,width=320,height=240,framerate=30/1",
                   config);
    show.play().listen(ear, encoding);
    ear.expect_more(30);
    const size_t large = bytes_from(ear, 10);
    show.input().set_bitrate(150);
    ear.expect_more(30);
    const size_t from = ear.count();
    ear.expect_more(15);
    const size_t small = bytes_from(ear, from);
    fail_unless(small * 2 < large, "%s: %zu, then %zu bytes", facts_of(encoding).name,
                large, small);
  }
}
GST_END_TEST

GST_START_TEST(test_input_encodes_nothing_while_muted) {
  Ear ear;
  InputShow show(test_picture());
  show.play().listen(ear, Encoding::kH264);
  ear.expect_more(5);
  show.input().set_muted(true);
  // What was in the encoder is not told any longer.
  const size_t heard = ear.count();
  std::atomic<unsigned> passed{0};
  const auto pad =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(show.child("last").get(), "src"));
  gst_pad_add_probe(
      pad.get(), GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad *, GstPadProbeInfo *, gpointer count) {
        ++*static_cast<std::atomic<unsigned> *>(count);
        return GST_PAD_PROBE_OK;
      },
      &passed, nullptr);
  const gint64 end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
  while (passed < 20 && g_get_monotonic_time() < end)
    std::this_thread::yield();
  fail_unless(ear.count() <= heard + 1, "%zu frames, then %zu", heard, ear.count());
  show.input().set_muted(false);
  const size_t muted = ear.count();
  ear.expect_more(5);
  fail_unless(ear.frames()[muted].keyframe && ear.frames()[muted].discont);
  fail_if(show.news().made.size() > 1);
  show.assert_quiet();
  show.close();
}
GST_END_TEST

GST_START_TEST(test_input_encodes_sound_without_gaps) {
  Ear ear;
  InputShow show("audiotestsrc is-live=true ! audio/x-raw,rate=44100,channels=8,"
                 "channel-mask=(bitmask)0xc3f",
                 audio_input());
  show.play().listen(ear, Encoding::kOpus);
  ear.expect_more(25);
  const auto frames = ear.frames();
  for (size_t i = 2; i < frames.size(); i++) {
    const GstClockTimeDiff step = frames[i].pts - frames[i - 1].pts;
    fail_unless(ABS(step - 20 * GstClockTimeDiff(GST_MSECOND)) < 1000000,
                "%" G_GINT64_FORMAT, step);
    fail_unless(frames[i].keyframe);
  }
  fail_unless(contains(ear.caps().front(), "channels=(int)2"), "%s",
              ear.caps().front().c_str());
  show.assert_quiet();
}
GST_END_TEST

GST_START_TEST(test_input_passes_what_is_encoded) {
  static constexpr struct {
    Encoding encoding;
    const char *encoder;
  } kEncoded[] = {
      {Encoding::kH264, "x264enc tune=zerolatency"},
      {Encoding::kH264, "openh264enc ! h264parse ! video/x-h264,stream-format=avc"},
      {Encoding::kH265, "x265enc tune=zerolatency"},
      {Encoding::kVp8, "vp8enc deadline=1"},
      {Encoding::kVp9, "vp9enc deadline=1 lag-in-frames=0"}};
  for (const auto &one : kEncoded) {
    Ear ear;
    InputConfig config = video_input();
    config.true_profile = true; // x265 and x264 choose their own
    InputShow show(test_picture() + " ! " + one.encoder, config);
    show.play().listen(ear, one.encoding);
    show.input().request_keyframe();
    ear.expect_more(10);
    const auto frames = ear.frames();
    fail_unless(frames[0].keyframe);
    fail_unless(std::any_of(frames.begin(), frames.end(),
                            [](const Ear::Frame &frame) { return !frame.keyframe; }));
    // x264enc and x265enc start 1000 h late.
    fail_unless(frames[0].pts < 60 * GST_SECOND);
    fail_if(show.input().encodes());
    assert_keyframe_on_request(ear, *show.track(one.encoding));
    show.assert_quiet();
  }
}
GST_END_TEST

GST_START_TEST(test_input_passes_opus) {
  Ear ear;
  InputShow show("audiotestsrc is-live=true ! audio/x-raw,channels=2 ! opusenc",
                 audio_input());
  show.play().listen(ear, Encoding::kOpus);
  ear.expect_more(10);
  fail_unless(show.news().made.empty());
  show.assert_quiet();
}
GST_END_TEST

GST_START_TEST(test_input_tells_of_the_end_once) {
  for (const char *source : {"videotestsrc num-buffers=10", "videotestsrc num-buffers=0",
                             "videotestsrc num-buffers=10 ! video/x-raw,format=I420"}) {
    for (const char *encoder : {"", kBaselineEncoder}) {
      InputShow show(std::string(source) + encoder);
      show.play();
      fail_unless(show.wait([&] { return show.news().ends > 0; }), "%s", source);
      fail_unless_equals_int(show.news().ends, 1);
      show.assert_quiet();
      // Its sinks keep their messages to themselves: the element says when it is over.
      const auto bus = ObjPtr<GstBus>::adopt(gst_element_get_bus(show.pipeline()));
      fail_unless(MessagePtr(gst_bus_pop_filtered(bus.get(), GST_MESSAGE_EOS)) ==
                  nullptr);
    }
  }
}
GST_END_TEST

GST_START_TEST(test_input_answers_for_latency) {
  Ear ear;
  InputShow show(test_picture());
  show.play().listen(ear, Encoding::kH264);
  ear.expect_more(3);
  const MiniPtr<GstQuery> query(gst_query_new_latency());
  fail_unless(gst_element_query(show.input().element(), query.get()));
  // Of a sink that waits for nothing: others in the pipeline are not delayed for it.
  gboolean live = TRUE;
  GstClockTime least = 1, most = 0;
  gst_query_parse_latency(query.get(), &live, &least, &most);
  fail_unless(!live && least == 0, "%" G_GUINT64_FORMAT, least);
}
GST_END_TEST

// Not of a live source: one that plays again 0.1 ms after it was paused may pause its
// task after that was started (gstbasesrc.c, gst_base_src_loop()).
GST_START_TEST(test_input_survives_state_changes) {
  Ear ear;
  InputShow show("videotestsrc ! video/x-raw,width=160,height=120,framerate=30/1");
  show.play().listen(ear, Encoding::kH264);
  ear.expect_more(2);
  for (int round = 0; round < 20; round++) {
    for (const GstState state :
         {round % 2 ? GST_STATE_READY : GST_STATE_PAUSED, GST_STATE_PLAYING}) {
      gst_element_set_state(show.pipeline(), state);
      gst_element_get_state(show.pipeline(), nullptr, nullptr, 5 * GST_SECOND);
    }
    show.input().request_keyframe();
    ear.expect_more(2);
  }
  show.assert_quiet();
}
GST_END_TEST

GST_START_TEST(test_input_goes_away_while_it_runs) {
  for (const char *rest : {"", " ! x264enc tune=zerolatency", " ! vp8enc deadline=1"}) {
    for (const bool live : {true, false}) {
      Ear ear;
      InputShow show("videotestsrc is-live=" + std::string(live ? "true" : "false") +
                     " ! video/x-raw,width=64,height=64,framerate=30/1" + rest);
      show.play().listen(ear, *rest && contains(rest, "vp8") ? Encoding::kVp8
                                                             : Encoding::kH264);
      show.input().request_keyframe();
      ear.expect_more(2);
      show.close();
      const size_t heard = ear.count();
      fail_unless(GST_OBJECT_PARENT(show.input().element()) == nullptr);
      show.input().set_bitrate(100);
      show.input().request_keyframe();
      show.input().set_muted(true);
      fail_unless_equals_int(ear.count(), heard);
    }
  }
}
GST_END_TEST

static Suite *input_suite() {
  Suite *suite = suite_create("input");
  TCase *tc = tcase_create("input");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_input_encodes_raw_pictures_in_every_codec);
  tcase_add_test(tc, test_input_fits_pictures_into_a_box);
  tcase_add_test(tc, test_input_asks_upstream_for_keyframes);
  tcase_add_test(tc, test_input_announces_constrained_baseline_with_parameter_sets);
  tcase_add_test(tc, test_input_encodes_only_what_is_taken);
  tcase_add_test(tc, test_input_encodes_once_for_all_who_listen);
  tcase_add_test(tc, test_input_changes_the_rate_while_it_runs);
  tcase_add_test(tc, test_input_encodes_nothing_while_muted);
  tcase_add_test(tc, test_input_encodes_sound_without_gaps);
  tcase_add_test(tc, test_input_passes_what_is_encoded);
  tcase_add_test(tc, test_input_passes_opus);
  tcase_add_test(tc, test_input_tells_of_the_end_once);
  tcase_add_test(tc, test_input_answers_for_latency);
  tcase_add_test(tc, test_input_survives_state_changes);
  tcase_add_test(tc, test_input_goes_away_while_it_runs);
  return suite;
}

GST_CHECK_MAIN(input);
