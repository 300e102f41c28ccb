// SPDX-License-Identifier: LGPL-2.1-or-later
// A stream that is encoded before vdoninjasink makes what it makes, whatever the network
// of a viewer carries.
#include "relayed-lane.h"
#include "sending.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr unsigned kSeed = 3;
constexpr unsigned kMade = 1500, kCarried = 500; // kbit/s
constexpr unsigned kMostSeconds = 60;

// Noise, of which an encoder makes as much as it may; a keyframe each 2 s.
std::string noise() {
  return "videotestsrc is-live=true pattern=snow ! "
         "video/x-raw,width=320,height=180,framerate=15/1 ! "
         "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=" +
         std::to_string(kMade) + " ! video/x-h264,profile=constrained-baseline ! ";
}

PathConditions thin() {
  PathConditions conditions;
  conditions.rate_kbps = kCarried;
  conditions.queue_ms = 300;
  return conditions;
}

bool is_slow(const Sending &sending) {
  gboolean slow = FALSE;
  fail_unless(gst_structure_get_boolean(sending.only_viewer().get(), "slow", &slow));
  return slow;
}

// Sound comes all the time: 50 buffers are a second.
void hear(const Player &player, unsigned seconds) {
  while (seconds--)
    player.expect_buffers("audio", 50);
}

void expect_slow(const Sending &sending, const Player &player, bool slow) {
  for (unsigned i = 0; i < kMostSeconds && is_slow(sending) != slow; i++)
    hear(player, 1);
  fail_unless_equals_int(is_slow(sending), slow);
}

} // namespace

// then it gets sound and keyframes as long as its line is too thin, and then all of it.
GST_START_TEST(test_passing_over_a_thin_line) {
  UdpRelay relay(kSeed);
  const Scene scene = relayed_scene(relay);
  Sending sending(noise() + sink_line(scene, "stream-id=abc password=false") +
                  " audiotestsrc is-live=true volume=0.2 ! opusenc bitrate=24000 ! out.");
  sending.play();
  sending.expect_published();
  Player player(scene.source("stream-id=abc password=false") +
                    " src.video_0 ! video/x-raw ! fakesink name=sink sync=false "
                    "async=false src.audio_0 ! audio/x-raw ! fakesink name=audio "
                    "sync=false async=false",
                {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 5);
  hear(player, 5);
  fail_if(is_slow(sending));
  guint kbit_s = 0;
  fail_unless(gst_structure_get_uint(sending.stats().get(), "video-bitrate", &kbit_s));
  fail_unless(kbit_s > kMade / 2 && kbit_s < kMade * 2, "%u kbit/s", kbit_s);

  relay.set(End::kViewer, thin());
  expect_slow(sending, player, true);
  player.expect_buffers("sink", 3);
  fail_unless(is_slow(sending));

  relay.set(End::kViewer, PathConditions());
  expect_slow(sending, player, false);
  player.expect_buffers("sink", 30);
  fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
}
GST_END_TEST

static Suite *vdoninjasink_passing_suite() {
  Suite *suite = suite_create("vdoninjasink-passing");
  TCase *tests = tcase_create("thin");
  tcase_set_timeout(tests, 120);
  tcase_add_test(tests, test_passing_over_a_thin_line);
  suite_add_tcase(suite, tests);
  return suite;
}

GST_CHECK_MAIN(vdoninjasink_passing)
