// SPDX-License-Identifier: LGPL-2.1-or-later
// Answers of all kinds to an offer of vdoninjasink, and when they come.
#include <gst/rtp/gstrtpbuffer.h>

#include "bends.h"
#include "show.h"
#include "test-client.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

std::string sound_and_picture() {
  return small_video() + "out. " + tone() + "out. ";
}

unsigned told_of_codecs(const Show &show) {
  const auto warnings = show.sending.state().warnings;
  return static_cast<unsigned>(
      std::count_if(warnings.begin(), warnings.end(), [](const auto &text) {
        return has(text, "takes none of our video codecs");
      }));
}

void expect_sound(const TestViewer &viewer, unsigned more) {
  const unsigned before = viewer.state().audio_buffers;
  expect(viewer, "sound",
         [=](const auto &state) { return state.audio_buffers >= before + more; });
}

// Seen for the viewers, with and without a header extension.
struct Seen {
  unsigned with = 0, without = 0;
};

void watch_packets(GstElement *, const char *, GstElement *webrtcbin, Watched<Seen> *to) {
  gst_element_foreach_sink_pad(
      webrtcbin,
      [](GstElement *, GstPad *pad, gpointer data) -> gboolean {
        gst_pad_add_probe(
            pad, GST_PAD_PROBE_TYPE_BUFFER,
            [](GstPad *, GstPadProbeInfo *info, gpointer where) {
              GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
              gst_rtp_buffer_map(GST_PAD_PROBE_INFO_BUFFER(info), GST_MAP_READ, &rtp);
              const bool extended = gst_rtp_buffer_get_extension(&rtp);
              gst_rtp_buffer_unmap(&rtp);
              static_cast<Watched<Seen> *>(where)->update(
                  [=](Seen &packets) { (extended ? packets.with : packets.without)++; });
              return GST_PAD_PROBE_OK;
            },
            data, nullptr);
        return TRUE;
      },
      to);
}

} // namespace

// A fresh session has what is left.
GST_START_TEST(test_answer_without_picture_gets_sound) {
  Show show("", sound_and_picture());
  show.scene.server->set_hook([](Passing &passing) {
    if (is_answer(passing))
      replace_all(&passing.text, "m=video 9", "m=video 0");
  });
  TestViewer viewer(show.viewer());
  expect_sound(viewer, 10);
  show.scene.server->set_hook(nullptr);
  fail_unless_equals_int(viewer.state().offers, 2);
  fail_unless_equals_int(frames(viewer.state()), 0);
  fail_unless_equals_int(told_of_codecs(show), 1);
}
GST_END_TEST

GST_START_TEST(test_answer_without_sound_gets_pictures) {
  Show show("", sound_and_picture());
  show.scene.server->set_hook([](Passing &passing) {
    if (is_answer(passing))
      replace_all(&passing.text, "m=audio 9", "m=audio 0");
  });
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 5);
  show.scene.server->set_hook(nullptr);
  fail_unless(show.sending.state().warnings.empty(), "%s",
              show.sending.describe().c_str());
}
GST_END_TEST

// One after the other, or all at once: nothing is left, which is told once.
GST_START_TEST(test_answer_that_takes_nothing_is_the_end) {
  for (bool at_once : {true, false}) {
    Show show("", sound_and_picture());
    Watched<unsigned> answers;
    show.scene.server->set_hook([&](Passing &passing) {
      if (!is_answer(passing))
        return;
      const bool video = replace_all(&passing.text, "m=video 9", "m=video 0") > 0;
      if (at_once || !video)
        replace_all(&passing.text, "m=audio 9", "m=audio 0");
      answers.update([](unsigned &n) { n++; });
    });
    TestViewer viewer(show.viewer());
    const unsigned expected = at_once ? 1 : 2;
    fail_unless(answers.wait(20s, [=](unsigned n) { return n == expected; }));
    show.scene.server->set_hook(nullptr);
    Player player(show.scene.line(show.play()));
    player.play();
    player.expect_buffers("sink", 15); // by then there would be another offer
    fail_unless_equals_int(viewer.state().offers, expected);
    fail_unless_equals_int(told_of_codecs(show), 1);
    fail_unless_equals_int(show.sending.state().joined.size(), 1);
  }
}
GST_END_TEST

// Its DTLS waits for ours.
GST_START_TEST(test_answer_that_is_passive) {
  Show show;
  Watched<bool> passive;
  show.scene.server->set_hook([&](Passing &passing) {
    if (is_offer(passing))
      replace_all(&passing.text, "setup:actpass", "setup:active");
    if (is_answer(passing) && has(passing.text, "setup:passive"))
      passive.update([](bool &yes) { yes = true; });
  });
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 5);
  show.scene.server->set_hook(nullptr);
  fail_unless(passive.get());
}
GST_END_TEST

// rtpsession would keep what it knows of each packet that has a number, for ever.
GST_START_TEST(test_answer_without_reports_gets_no_numbers) {
  for (bool reports : {true, false}) {
    Show show;
    Watched<Seen> packets;
    g_signal_connect(show.sending.sink(), "webrtcbin-ready", G_CALLBACK(watch_packets),
                     &packets);
    show.scene.server->set_hook([=](Passing &passing) {
      if (!is_answer(passing) || reports)
        return;
      for (const char *part : {"transport-cc", "transport-wide-cc", "apt=", " rtx/"})
        remove_lines(&passing.text, part);
    });
    Player player(show.scene.line(show.play()));
    player.play();
    player.expect_buffers("sink", 15);
    show.scene.server->set_hook(nullptr);
    show.sending.stop();
    const Seen seen = packets.get();
    fail_unless((reports ? seen.without : seen.with) == 0, "%u with, %u without",
                seen.with, seen.without);
  }
}
GST_END_TEST

GST_START_TEST(test_no_numbers_without_congestion_control) {
  Show show("congestion-control=none");
  Watched<Seen> packets;
  g_signal_connect(show.sending.sink(), "webrtcbin-ready", G_CALLBACK(watch_packets),
                   &packets);
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 5);
  fail_if(has(viewer.state().offer, "transport-"), "%s", viewer.state().offer.c_str());
  show.sending.stop();
  fail_unless_equals_int(packets.get().with, 0);
}
GST_END_TEST

// Of another session, before there is an offer, and unusable, they are nobody's; the one
// that comes late is taken, and the candidates that overtook it.
GST_START_TEST(test_answer_of_another_session_is_not_taken) {
  Show show;
  Watched<Passing> kept;
  show.scene.server->set_hook([&](Passing &passing) {
    if (!is_answer(passing) || !kept.get().text.empty())
      return;
    kept.update([&](Passing &one) { one = passing; });
    const size_t at = passing.text.find(R"("session":")") + strlen(R"("session":")");
    passing.text.replace(at, 1, "#");
    replace_all(&passing.text, "v=0", "x=0");
  });
  TestClient client(show.scene.server->url());
  fail_unless(client.wait_open());
  const char *early = R"({"from":"early","description":{"type":"answer","sdp":"x=0"}})";
  client.send(early);
  client.send(request_of("early"));
  client.send(early);
  TestViewer viewer(show.viewer());
  fail_unless(kept.wait(20s, [](const Passing &one) { return !one.text.empty(); }));
  Player player(show.scene.line(show.play()));
  player.play();
  player.expect_buffers("sink", 5); // the candidates have come meanwhile
  show.scene.server->send_text(kept.get().to, kept.get().text);
  expect_frames(viewer, 5);
  show.scene.server->set_hook(nullptr);
  fail_unless(show.sending.state().left.empty());
}
GST_END_TEST

// Nothing is said of it, as anybody may do that; it is counted.
GST_START_TEST(test_answer_that_cannot_be_used_is_counted) {
  Show show;
  show.scene.server->set_hook([](Passing &passing) {
    if (is_answer(passing))
      replace_all(&passing.text, "v=0", "x=0");
  });
  TestViewer viewer(show.viewer());
  constexpr unsigned kTimes = 3;
  for (unsigned offers = 1; offers <= kTimes + 1; offers++) {
    bool came = false;
    for (int tries = 0; !came && tries < 100; tries++) {
      came =
          viewer.wait(200ms, [=](const auto &state) { return state.offers >= offers; });
      if (!came)
        viewer.play(); // unheard as long as it shakes hands
    }
    fail_unless(came, "no offer %u", offers);
  }
  guint count = 0;
  gst_structure_get_uint(show.sending.stats().get(), "unreached", &count);
  fail_unless(count >= kTimes, "%u", count);
  show.scene.server->set_hook(nullptr);
  fail_unless(show.sending.state().warnings.empty() && show.sending.state().left.empty());
}
GST_END_TEST

GST_START_TEST(test_answers_again_and_after_the_end) {
  Shown show;
  Player &player = show.player;
  Overheard overheard(*show.scene.server);
  TestViewer viewer(show.viewer());
  expect_frames(viewer, 5);
  for (int i = 0; i < 3; i++)
    fail_unless(overheard.repeat() > 0);
  expect_frames(viewer, 15);
  fail_unless(show.sending.state().left.empty());
  viewer.send(R"({"bye":true})");
  show.sending.expect_left(1);
  overheard.repeat();
  for (const char *text : {R"({"keyframe":true})", R"({"bitrate":100})", "x"})
    viewer.send(text);
  player.expect_buffers("sink", 15);
  player.assert_seamless(0);
  fail_unless_equals_int(show.sending.state().joined.size(), 2);
}
GST_END_TEST

static Suite *vdoninjasink_answers_suite() {
  Suite *suite = suite_create("vdoninjasink-answers");
  TCase *tc = tcase_create("vdoninjasink-answers");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_answer_without_picture_gets_sound);
  tcase_add_test(tc, test_answer_without_sound_gets_pictures);
  tcase_add_test(tc, test_answer_that_takes_nothing_is_the_end);
  tcase_add_test(tc, test_answer_that_is_passive);
  tcase_add_test(tc, test_answer_without_reports_gets_no_numbers);
  tcase_add_test(tc, test_no_numbers_without_congestion_control);
  tcase_add_test(tc, test_answer_of_another_session_is_not_taken);
  tcase_add_test(tc, test_answer_that_cannot_be_used_is_counted);
  tcase_add_test(tc, test_answers_again_and_after_the_end);
  return suite;
}

GST_CHECK_MAIN(vdoninjasink_answers)
