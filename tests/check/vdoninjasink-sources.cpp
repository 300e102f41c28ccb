// SPDX-License-Identifier: LGPL-2.1-or-later
// What is linked to vdoninjasink ends early, shares a demuxer, goes away while viewers
// watch, or has few keyframes.
#include <unistd.h>

#include <glib/gstdio.h>
#include <gst/video/video.h>

#include "sending.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

void expect_eos(const Sending &sending) {
  sending.expect("EOS", [](const Sending::State &state) { return state.eos > 0; });
}

// "source" ends, and what it was linked to goes.
void release(const Sending &sending, const char *source, const char *pad_name) {
  const auto element =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(sending.pipeline()), source));
  gst_element_set_locked_state(element.get(), TRUE);
  gst_element_set_state(element.get(), GST_STATE_NULL);
  const auto pad =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(sending.sink(), pad_name));
  const auto peer = ObjPtr<GstPad>::adopt(gst_pad_get_peer(pad.get()));
  gst_pad_unlink(peer.get(), pad.get());
  gst_element_release_request_pad(sending.sink(), pad.get());
}

std::string both(const std::string &video = "videotestsrc is-live=true name=picture ! "
                                            "video/x-raw,width=320,height=180,"
                                            "framerate=15/1 ! out.video_0 ") {
  return video + "audiotestsrc is-live=true name=sound volume=0.2 ! out.audio_0 ";
}

std::string watching(const Scene &scene) {
  return scene.source() +
         " src. ! video/x-raw ! fakesink name=sink sync=false async=false "
         "src. ! audio/x-raw ! fakesink name=audio sync=false async=false";
}

// "tap" lets through what comes, or nothing.
void shut(const Sending &sending, bool shut) {
  const auto tap =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(sending.pipeline()), "tap"));
  g_object_set(tap.get(), "drop", static_cast<gboolean>(shut), nullptr);
}

// Whoever comes while sound sleeps, from the start or since a moment ago.
void assert_sound_wakes(bool from_the_start) {
  const Scene scene;
  Sending sending(small_video() + sink_line(scene) + " " + tone() +
                  "valve name=tap drop-mode=forward-sticky-events ! out.");
  shut(sending, from_the_start);
  sending.play();
  sending.expect_published();
  shut(sending, true);
  Player player(watching(scene), {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 15);
  fail_unless_equals_int(player.state().buffers("audio"), 0);
  shut(sending, false);
  player.expect_buffers("audio", 15);
  player.expect_buffers("sink", 15);
}

// Of the element "late": who encodes before it does not hear of keyframes that are
// wanted.
ObjPtr<GstPad> deaf_pad(const Sending &sending) {
  const auto late =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(sending.pipeline()), "late"));
  auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(late.get(), "src"));
  gst_pad_add_probe(
      pad.get(), GST_PAD_PROBE_TYPE_EVENT_UPSTREAM,
      [](GstPad *, GstPadProbeInfo *info, gpointer) {
        return gst_video_event_is_force_key_unit(GST_PAD_PROBE_INFO_EVENT(info))
                   ? GST_PAD_PROBE_DROP
                   : GST_PAD_PROBE_OK;
      },
      nullptr, nullptr);
  return pad;
}

// A file of ten seconds of picture and sound, gone with this.
class Recording {
public:
  Recording() {
    gint file = g_file_open_tmp("vdn-XXXXXX.webm", &path_, nullptr);
    fail_unless(file >= 0);
    close(file);
    const auto pipeline = ObjPtr<GstElement>::adopt(gst_parse_launch(
        ("videotestsrc num-buffers=150 ! video/x-raw,width=160,height=90,framerate=15/1 "
         "! "
         "vp8enc deadline=1 keyframe-max-dist=5 ! webmmux name=mux ! filesink location=" +
         std::string(path_) + " audiotestsrc num-buffers=500 ! opusenc ! mux.")
            .c_str(),
        nullptr));
    gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
    const auto bus = ObjPtr<GstBus>::adopt(gst_element_get_bus(pipeline.get()));
    const MessagePtr end(gst_bus_timed_pop_filtered(
        bus.get(), 20 * GST_SECOND,
        static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR)));
    fail_unless(end && GST_MESSAGE_TYPE(end.get()) == GST_MESSAGE_EOS);
    gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  }
  ~Recording() {
    g_unlink(path_);
    g_free(path_);
  }
  Recording(const Recording &) = delete;
  Recording &operator=(const Recording &) = delete;
  const char *path() const { return path_; }

private:
  gchar *path_ = nullptr;
};

} // namespace

GST_START_TEST(test_end_before_anything_came) {
  const Scene scene;
  for (const char *source :
       {"fakesrc num-buffers=0 ! ", "videotestsrc num-buffers=0 ! "}) {
    Sending sending(source + sink_line(scene));
    sending.play();
    expect_eos(sending);
    fail_unless(sending.state().errors.empty(), "%s", sending.describe().c_str());
  }
}
GST_END_TEST

// No queue is between: who waits for the clock lets the other be late by what lies
// between them in the file, not for ever.
GST_START_TEST(test_two_pads_of_one_demuxer) {
  const Scene scene;
  const Recording recording;
  for (const char *decoders : {"demux. ! out.video_0 demux. ! out.audio_0 ",
                               "demux. ! vp8dec ! out.video_0 "
                               "demux. ! opusdec ! out.audio_0 "}) {
    Sending sending("filesrc location=" + std::string(recording.path()) +
                    " ! matroskademux name=demux " + decoders + sink_line(scene));
    Player player(watching(scene), {"sink", "audio"});
    player.play();
    sending.play();
    player.expect_buffers("sink", 10);
    player.expect_buffers("audio", 10);
    fail_unless(sending.state().errors.empty(), "%s", sending.describe().c_str());
  }
}
GST_END_TEST

// The other pad goes on without it.
GST_START_TEST(test_one_pad_ends_before_anything_came) {
  const Scene scene;
  Sending sending(both("videotestsrc num-buffers=0 ! out.video_0 ") + sink_line(scene));
  sending.play();
  Player player(scene.source() + " ! audio/x-raw ! fakesink name=sink sync=false");
  player.play();
  player.expect_buffers("sink", 25);
  fail_unless(sending.state().eos == 0 && sending.state().errors.empty());
}
GST_END_TEST

// Viewers are offered all there is, and see or hear what is not muted, and the rest
// later.
GST_START_TEST(test_muted_from_the_start) {
  for (bool video : {false, true}) {
    const Scene scene;
    const std::string muted = video ? "mute-video" : "mute-audio";
    Sending sending(both() + sink_line(scene, "stream-id=abc " + muted + "=true"));
    sending.play();
    Player player(watching(scene), {"sink", "audio"});
    player.play();
    player.expect_buffers(video ? "audio" : "sink", 10);
    g_object_set(sending.sink(), muted.c_str(), FALSE, nullptr);
    player.expect_buffers(video ? "sink" : "audio", 5);
  }
}
GST_END_TEST

GST_START_TEST(test_pad_goes_while_viewers_watch) {
  const Scene scene;
  Sending sending(both() + sink_line(scene));
  sending.play();
  Player player(watching(scene), {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 5);
  player.expect_buffers("audio", 5);
  release(sending, "sound", "audio_0");
  player.expect_buffers("sink", 30);
  fail_unless(sending.state().errors.empty(), "%s", sending.describe().c_str());
}
GST_END_TEST

// A buffer waits behind it for the clock to run.
GST_START_TEST(test_pad_goes_while_paused) {
  const Scene scene;
  Sending sending("videotestsrc ! video/x-raw,width=320,height=180,framerate=15/1 ! "
                  "identity ! out.video_0 " +
                  sink_line(scene));
  Watched<bool> came;
  const auto pad =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(sending.sink(), "video_0"));
  gst_pad_add_probe(
      pad.get(), GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad *, GstPadProbeInfo *, gpointer to) {
        static_cast<Watched<bool> *>(to)->update([](bool &yes) { yes = true; });
        return GST_PAD_PROBE_OK;
      },
      &came, nullptr);
  sending.set_state(GST_STATE_PAUSED);
  fail_unless(came.wait(20s, [](bool yes) { return yes; }));
  const auto peer = ObjPtr<GstPad>::adopt(gst_pad_get_peer(pad.get()));
  gst_pad_unlink(peer.get(), pad.get());
  gst_element_release_request_pad(sending.sink(), pad.get());
  sending.stop();
}
GST_END_TEST

// They are told, wait, and see what comes next.
GST_START_TEST(test_last_pad_goes_while_viewers_watch) {
  const Scene scene;
  Sending sending("videotestsrc is-live=true name=picture ! video/x-raw,width=320,"
                  "height=180,framerate=15/1 ! out.video_0 " +
                  sink_line(scene));
  sending.play();
  Player player(scene.line());
  player.play();
  player.expect_buffers("sink", 5);
  release(sending, "picture", "video_0");
  player.expect("the word that there is no picture", [](const Player::State &state) {
    return std::count(state.elements.begin(), state.elements.end(),
                      "vdoninja/video-muted") > 0;
  });
  // Who asks now is kept.
  Player second(scene.line());
  second.play();
  link_picture(sending, "width=160,height=90");
  player.expect_caps("sink", "width=(int)160");
  second.expect_caps("sink", "width=(int)160");
  fail_unless(sending.state().errors.empty(), "%s", sending.describe().c_str());
}
GST_END_TEST

// A microphone that sleeps keeps nobody from the picture, and comes when it wakes.
GST_START_TEST(test_sound_that_sleeps_at_first) {
  assert_sound_wakes(true);
}
GST_END_TEST

// It fell asleep before anybody came, and nothing was encoded of it yet.
GST_START_TEST(test_sound_that_fell_asleep) {
  assert_sound_wakes(false);
}
GST_END_TEST

// Encoded pictures whose first keyframe comes late: the offer waits for them.
GST_START_TEST(test_first_keyframe_is_waited_for) {
  const Scene scene;
  Sending sending(small_video() +
                  "x264enc tune=zerolatency key-int-max=105 ! "
                  "video/x-h264,profile=constrained-baseline,stream-format=byte-stream ! "
                  "identity name=late ! " +
                  sink_line(scene) + " " + tone() + "out.");
  // What comes before the second keyframe, 7 s after the first, has no parameter sets.
  gst_pad_add_probe(
      deaf_pad(sending).get(), GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad *, GstPadProbeInfo *info, gpointer first) {
        const bool keyframe = !GST_BUFFER_FLAG_IS_SET(GST_PAD_PROBE_INFO_BUFFER(info),
                                                      GST_BUFFER_FLAG_DELTA_UNIT);
        return keyframe && std::exchange(*static_cast<bool *>(first), false)
                   ? GST_PAD_PROBE_DROP
                   : GST_PAD_PROBE_OK;
      },
      new bool(true), [](gpointer first) { delete static_cast<bool *>(first); });
  sending.play();
  Player player(watching(scene), {"sink", "audio"});
  player.play();
  player.expect_buffers("audio", 15);
  player.expect_buffers("sink", 15);
  fail_unless_equals_int(sending.state().joined.size(), 1); // in one offer
}
GST_END_TEST

// Who encodes makes none when asked: a viewer waits, and somebody has to be told.
GST_START_TEST(test_few_keyframes_are_told) {
  const Scene scene;
  Sending sending(small_video() +
                  "x264enc tune=zerolatency key-int-max=900 ! "
                  "video/x-h264,profile=constrained-baseline ! identity name=late ! " +
                  sink_line(scene));
  deaf_pad(sending);
  sending.play();
  sending.expect_published();
  Player player(scene.line());
  player.play();
  sending.expect_trouble(&Sending::State::warnings, "waits for a keyframe");
  fail_unless_equals_int(player.state().buffers("sink"), 0);
}
GST_END_TEST

static Suite *vdoninjasink_sources_suite() {
  Suite *suite = suite_create("vdoninjasink-sources");
  TCase *tc = tcase_create("vdoninjasink-sources");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 60);
  tcase_add_test(tc, test_end_before_anything_came);
  tcase_add_test(tc, test_two_pads_of_one_demuxer);
  tcase_add_test(tc, test_one_pad_ends_before_anything_came);
  tcase_add_test(tc, test_muted_from_the_start);
  tcase_add_test(tc, test_pad_goes_while_viewers_watch);
  tcase_add_test(tc, test_pad_goes_while_paused);
  tcase_add_test(tc, test_last_pad_goes_while_viewers_watch);
  tcase_add_test(tc, test_sound_that_sleeps_at_first);
  tcase_add_test(tc, test_sound_that_fell_asleep);
  tcase_add_test(tc, test_first_keyframe_is_waited_for);
  tcase_add_test(tc, test_few_keyframes_are_told);
  return suite;
}

GST_CHECK_MAIN(vdoninjasink_sources)
