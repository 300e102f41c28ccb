// SPDX-License-Identifier: LGPL-2.1-or-later
// What listeners of a track are given, and what SDP says of it.
#include "track.h"

#include <algorithm>

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

// The macro of GstCheck keeps pointers into what is temporary.
void assert_text(const std::string &is, const std::string &expected) {
  fail_unless(is == expected, "'%s' is not '%s'", is.c_str(), expected.c_str());
}

struct Recorder : TrackListener {
  struct Frame {
    GstClockTime pts, dts;
    bool keyframe, discont;
    const guint8 *bytes; // of the memory, to compare
  };
  void on_caps(GstCaps *caps) override {
    all_caps.push_back(gst_caps_to_string(caps));
    frames_at_caps.push_back(frames.size());
  }
  void on_frame(GstBuffer *buffer, bool keyframe) override {
    GstMapInfo map;
    gst_buffer_map(buffer, &map, GST_MAP_READ);
    frames.push_back({GST_BUFFER_PTS(buffer), GST_BUFFER_DTS(buffer), keyframe,
                      bool(GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT)),
                      map.data});
    gst_buffer_unmap(buffer, &map);
    fail_unless(gst_buffer_is_writable(buffer));
    gst_buffer_unref(buffer);
    if (then)
      then();
  }
  ~Recorder() override {
    for (gchar *text : all_caps)
      g_free(text);
  }

  std::vector<Frame> frames;
  std::vector<gchar *> all_caps;
  std::vector<size_t> frames_at_caps;
  std::function<void()> then;
};

struct Made {
  explicit Made(Encoding encoding = Encoding::kVp8, bool true_profile = false)
      : track(encoding, true_profile, {[this] { demands++; }, [this] { asked++; }}) {}

  // `ms`: its PTS in a segment that starts at `start`.
  void push(unsigned ms, bool keyframe, GstClockTime base_time = 0,
            GstClockTime start = 0, const char *caps = "video/x-vp8,width=4") {
    GstBuffer *buffer = gst_buffer_new_allocate(nullptr, 8, nullptr);
    gst_buffer_memset(buffer, 0, 1, 8);
    GST_BUFFER_PTS(buffer) = start + ms * GST_MSECOND;
    if (!keyframe)
      GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DELTA_UNIT);
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    segment.start = start;
    const CapsPtr form(gst_caps_from_string(caps));
    const MiniPtr<GstSample> sample(
        gst_sample_new(buffer, form.get(), &segment, nullptr));
    gst_buffer_unref(buffer);
    track.push(sample.get(), base_time);
  }

  std::atomic<unsigned> demands{0}, asked{0};
  MediaTrack track;
};

CapsPtr h264(const char *codec_data) {
  return CapsPtr(gst_caps_from_string(
      (std::string("video/x-h264,codec_data=(buffer)") + codec_data).c_str()));
}

std::string field(const SdpFacts &facts, const char *name) {
  for (const auto &[key, value] : facts.fmtp)
    if (key == name)
      return value;
  return "";
}

std::string profile_of(const char *codec_data, bool true_profile = false) {
  return field(sdp_facts(Encoding::kH264, h264(codec_data).get(), nullptr, true_profile),
               "profile-level-id");
}

std::string level_for(const char *raw) {
  const CapsPtr caps(gst_caps_from_string(raw));
  return field(sdp_facts(Encoding::kH264, nullptr, caps.get(), false),
               "profile-level-id");
}

} // namespace

GST_START_TEST(test_track_starts_each_listener_at_a_keyframe) {
  Made made;
  Recorder one, two;
  made.track.add(&one);
  made.push(0, false);
  fail_unless(one.frames.empty() && one.all_caps.empty());
  made.push(40, true);
  made.track.add(&two);
  made.push(80, false);
  made.push(120, true);
  fail_unless_equals_int(one.frames.size(), 3);
  fail_unless_equals_int(two.frames.size(), 1);
  fail_unless(one.frames[0].keyframe && !one.frames[1].keyframe);
  fail_unless(one.frames[0].discont && !one.frames[1].discont);
  fail_unless(two.frames[0].keyframe && two.frames[0].discont);
  // One memory for both.
  fail_unless(one.frames[2].bytes == two.frames[0].bytes);
  made.track.remove(&one);
  made.track.remove(&two);
  fail_unless_equals_int(made.demands, 4);
  fail_if(made.track.taken());
}
GST_END_TEST

GST_START_TEST(test_track_tells_caps_before_frames_and_again_when_they_change) {
  Made made;
  Recorder early, late;
  made.track.add(&early);
  fail_unless(made.track.caps() == nullptr);
  made.push(0, true);
  made.push(1, false);
  made.track.add(&late);
  made.push(2, true, 0, 0, "video/x-vp8,width=8");
  fail_unless_equals_int(early.all_caps.size(), 2);
  fail_unless_equals_int(early.frames_at_caps[0], 0);
  fail_unless_equals_int(early.frames_at_caps[1], 2);
  fail_unless_equals_int(late.all_caps.size(), 1);
  fail_unless_equals_string(late.all_caps[0], early.all_caps[1]);
  fail_unless(made.track.caps() != nullptr);
  made.track.remove(&early);
  made.track.remove(&late);
}
GST_END_TEST

// x264enc moves its segment 1000 h; an element that was paused has another base time.
GST_START_TEST(test_track_gives_running_times_since_the_epoch) {
  Made made;
  Recorder listener;
  made.track.add(&listener);
  made.push(7, true, 5 * GST_SECOND, 1000 * 3600 * GST_SECOND);
  made.track.set_epoch(4 * GST_SECOND);
  made.push(8, true, 5 * GST_SECOND, 1000 * 3600 * GST_SECOND);
  made.push(9, true, 3 * GST_SECOND); // before the epoch
  fail_unless_equals_uint64(listener.frames[0].pts, 7 * GST_MSECOND);
  fail_unless_equals_uint64(listener.frames[1].pts, 1008 * GST_MSECOND);
  fail_unless_equals_uint64(listener.frames[2].pts, 0);
  fail_unless_equals_uint64(listener.frames[0].dts, GST_CLOCK_TIME_NONE);
  made.track.remove(&listener);
}
GST_END_TEST

GST_START_TEST(test_track_waits_for_a_keyframe_after_a_restart_and_after_silence) {
  Made made;
  Recorder listener;
  made.track.add(&listener);
  made.push(0, true);
  made.track.restart();
  made.push(1, false);
  fail_unless_equals_int(listener.frames.size(), 1);
  made.push(2, true);
  fail_unless(listener.frames[1].discont);
  made.track.set_muted(true);
  made.push(3, true);
  fail_unless_equals_int(listener.frames.size(), 2);
  fail_unless_equals_int(made.asked, 0);
  made.track.set_muted(false);
  made.track.set_muted(false);
  fail_unless_equals_int(made.asked, 1);
  made.push(4, false);
  fail_unless_equals_int(listener.frames.size(), 2);
  made.push(5, true);
  fail_unless(listener.frames[2].discont);
  made.track.remove(&listener);
}
GST_END_TEST

// Who listens is offered to others by that.
GST_START_TEST(test_track_tells_caps_of_what_is_muted) {
  Made made;
  Recorder listener;
  made.track.set_muted(true);
  made.track.add(&listener);
  made.push(0, true);
  made.push(1, false);
  fail_unless_equals_int(listener.all_caps.size(), 1);
  fail_unless(listener.frames.empty());
  made.track.set_muted(false);
  made.push(2, true);
  fail_unless_equals_int(listener.all_caps.size(), 1);
  fail_unless(listener.frames[0].discont);
  made.track.remove(&listener);
}
GST_END_TEST

GST_START_TEST(test_track_listener_may_remove_itself) {
  Made made;
  Recorder listener;
  listener.then = [&] { made.track.remove(&listener); };
  made.track.add(&listener);
  made.push(0, true);
  made.push(1, true);
  fail_unless_equals_int(listener.frames.size(), 1);
}
GST_END_TEST

// Given frames that flow in one thread, when another removes, then no call is running
// when it returns, nor comes later.
GST_START_TEST(test_track_remove_waits_for_the_call_that_runs) {
  Made made;
  std::atomic<bool> stop{false};
  std::atomic<unsigned> pushed{0};
  std::thread pusher([&] {
    for (unsigned ms = 0; !stop; ms++, pushed++)
      made.push(ms, true);
  });
  for (int round = 0; round < 300; round++) {
    struct Busy : TrackListener {
      void on_caps(GstCaps *) override {}
      void on_frame(GstBuffer *buffer, bool) override {
        inside = true;
        gst_buffer_unref(buffer);
        std::this_thread::yield();
        calls++;
        inside = false;
      }
      std::atomic<bool> inside{false};
      std::atomic<unsigned> calls{0};
    } listener;
    made.track.add(&listener);
    while (listener.calls == 0)
      std::this_thread::yield();
    made.track.remove(&listener);
    fail_if(listener.inside);
    const unsigned calls = listener.calls, now = pushed;
    while (pushed < now + 2)
      std::this_thread::yield();
    fail_unless_equals_int(listener.calls, calls);
  }
  stop = true;
  pusher.join();
}
GST_END_TEST

GST_START_TEST(test_track_announces_baseline_whatever_it_is) {
  // Of x264enc, of V4L2, of a camera that makes high profile.
  assert_text(profile_of("0142c01f"), "42e01f");
  assert_text(profile_of("01428029"), "42e029");
  assert_text(profile_of("01640028"), "42e028");
  assert_text(profile_of("01640028", true), "640028");
  assert_text(profile_of("01428029", true), "42e029");
  assert_text(profile_of("01"), "42e01f"); // cut short
  fail_unless_equals_int(h264_profile_idc(h264("0164002a").get()), 100);
  fail_unless_equals_int(h264_profile_idc(nullptr), 0);
}
GST_END_TEST

GST_START_TEST(test_track_announces_a_level_that_fits_what_will_be_encoded) {
  assert_text(level_for("video/x-raw"), "42e01f");
  assert_text(level_for("video/x-raw,width=1280,height=720,framerate=30/1"), "42e01f");
  assert_text(level_for("video/x-raw,width=1280,height=720,framerate=60/1"), "42e028");
  assert_text(level_for("video/x-raw,width=1920,height=1080,framerate=30/1"), "42e028");
  assert_text(level_for("video/x-raw,width=1920,height=1080,framerate=60/1"), "42e02a");
  assert_text(level_for("video/x-raw,width=100000,height=100000,framerate=0/1"),
              "42e034");
}
GST_END_TEST

GST_START_TEST(test_track_announces_stereo_only_where_there_is_some) {
  const CapsPtr mono(gst_caps_from_string("audio/x-raw,channels=1"));
  const CapsPtr stereo(gst_caps_from_string("audio/x-opus,channels=2"));
  const SdpFacts one = sdp_facts(Encoding::kOpus, nullptr, mono.get(), false);
  const SdpFacts two = sdp_facts(Encoding::kOpus, stereo.get(), mono.get(), false);
  fail_unless(one.channels == 2 && one.clock_rate == 48000);
  assert_text(field(one, "useinbandfec"), "1");
  assert_text(field(one, "stereo"), "");
  assert_text(field(two, "stereo"), "1");
  assert_text(field(two, "sprop-stereo"), "1");
}
GST_END_TEST

GST_START_TEST(test_track_payloaders_exist_and_number_their_packets) {
  for (const auto &facts : known_encodings()) {
    if (!can_send(facts.encoding))
      continue; // AV1 is not in Debian
    Made made(facts.encoding);
    GError *error = nullptr;
    GstElement *payloader = gst_parse_launch(made.track.payloader(110).c_str(), &error);
    fail_unless(payloader && !error, "%s: %s", facts.name, error ? error->message : "");
    guint pt = 0, mtu = 0;
    g_object_get(payloader, "pt", &pt, "mtu", &mtu, nullptr);
    fail_unless(pt == 110 && mtu == 1200, "%s", facts.name);
    gst_object_unref(payloader);
    fail_unless(find_encoding(facts.name) == &facts);
  }
  fail_unless(can_send(Encoding::kH264) && can_send(Encoding::kOpus));
  fail_unless(find_encoding("vp8")->encoding == Encoding::kVp8);
  fail_unless(find_encoding("vp") == nullptr && find_encoding("") == nullptr);
}
GST_END_TEST

static Suite *track_suite() {
  Suite *suite = suite_create("track");
  TCase *tc = tcase_create("track");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_track_starts_each_listener_at_a_keyframe);
  tcase_add_test(tc, test_track_tells_caps_before_frames_and_again_when_they_change);
  tcase_add_test(tc, test_track_gives_running_times_since_the_epoch);
  tcase_add_test(tc, test_track_waits_for_a_keyframe_after_a_restart_and_after_silence);
  tcase_add_test(tc, test_track_tells_caps_of_what_is_muted);
  tcase_add_test(tc, test_track_listener_may_remove_itself);
  tcase_add_test(tc, test_track_remove_waits_for_the_call_that_runs);
  tcase_add_test(tc, test_track_announces_baseline_whatever_it_is);
  tcase_add_test(tc, test_track_announces_a_level_that_fits_what_will_be_encoded);
  tcase_add_test(tc, test_track_announces_stereo_only_where_there_is_some);
  tcase_add_test(tc, test_track_payloaders_exist_and_number_their_packets);
  return suite;
}

GST_CHECK_MAIN(track);
