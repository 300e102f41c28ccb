// SPDX-License-Identifier: LGPL-2.1-or-later
// What the viewer tells the publisher about its packets leaves in time to be of use.
#include <set>

#include <gst/rtp/gstrtpbuffer.h>

#include "nacks.h"
#include "rtp-support.h"

#include "loopback.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

using Numbers = Watched<std::set<guint16>>;

// Every `nth` of the first `count` packets is lost for good: no history has it.
std::function<void(Packets &)> lose(unsigned nth, unsigned count,
                                    std::shared_ptr<Numbers> lost) {
  return [=, seen = 0u](Packets &packets) mutable {
    GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
    if (seen++ >= count || seen % nth != 0 ||
        !gst_rtp_buffer_map(packets.at(0).get(), GST_MAP_READ, &rtp))
      return;
    const guint16 number = gst_rtp_buffer_get_seq(&rtp);
    gst_rtp_buffer_unmap(&rtp);
    lost->update([number](auto &numbers) { numbers.insert(number); });
    packets.clear();
  };
}

// The stream of repeats that an offer announces for its video.
struct Repeats {
  unsigned payload_type = 0, ssrc = 0;

  void read(const std::string &offer) {
    const size_t map = offer.find(" rtx/90000"), pair = offer.find("ssrc-group:FID ");
    if (map == std::string::npos || pair == std::string::npos)
      return;
    payload_type = std::stoul(offer.substr(offer.rfind(':', map) + 1));
    ssrc =
        std::stoul(offer.substr(offer.find(' ', pair + strlen("ssrc-group:FID ")) + 1));
  }
};

// As when a sender report came before it: the single packet of a stream is taken for one.
void believe_first_packet(GstBin *, GstBin *, GstElement *element, gpointer) {
  if (is_made_by(GST_OBJECT(element), "rtpsession"))
    g_object_set(element, "probation", 0, nullptr);
}

} // namespace

// Given a repeat that nobody asked for before everything else, as browsers probe a line
// with, when media come, then they go on after the repeat was waited for: webrtcbin takes
// it for a picture as long as it has not read which payload types are repeats.
GST_START_TEST(test_feedback_early_repeats_do_not_take_the_pictures_place) {
  for (bool channel_first : {true, false}) {
    PublisherConfig config = video_only();
    config.channel_first = channel_first;
    Loopback loopback(config);
    Watched<Repeats> repeats;
    PublisherHooks hooks;
    hooks.offer = [&](std::string &sdp) {
      repeats.update([&](Repeats &known) { known.read(sdp); });
    };
    // One and the same each time: SRTP lets the first that arrives through.
    hooks.media.packets = [&](Packets &packets) {
      const Repeats known = repeats.get();
      RtpFields repeat;
      repeat.payload_type = known.payload_type;
      repeat.ssrc = known.ssrc;
      if (known.ssrc)
        packets.insert(packets.begin(), new_rtp(repeat));
    };
    loopback.publisher->set_hooks(std::move(hooks));
    loopback.publish();
    Player player(loopback.source() + video_sink());
    g_signal_connect(player.pipeline(), "deep-element-added",
                     G_CALLBACK(believe_first_packet), nullptr);
    player.play();
    player.expect_buffers("sink", 4 * config.video.fps);
    loopback.publisher->set_hooks({}); // `repeats` is ours now
    fail_unless(repeats.get().ssrc != 0);
  }
}
GST_END_TEST

// Given packets that are lost from the start, when feedback is sent, then a request for
// each of them leaves.
GST_START_TEST(test_feedback_asks_for_each_lost_packet) {
  auto lost = std::make_shared<Numbers>(), asked = std::make_shared<Numbers>();
  Loopback loopback(video_only());
  PublisherHooks hooks;
  hooks.media.packets = lose(5, 250, lost);
  loopback.publisher->set_hooks(std::move(hooks));
  loopback.publish();
  Player player(loopback.source() + video_sink());
  auto ready = [](GstElement *, const char *, GstElement *webrtc, gpointer data) {
    watch_nacks(webrtc, [asked = *static_cast<std::shared_ptr<Numbers> *>(data)](
                            guint32, guint16 number) {
      asked->update([number](auto &numbers) { numbers.insert(number); });
    });
  };
  g_signal_connect(player.source(), "webrtcbin-ready", G_CALLBACK(+ready), &asked);
  player.play();
  fail_unless(lost->wait(30s, [](const auto &numbers) { return numbers.size() == 50; }));
  const auto numbers = lost->get();
  const auto all_asked = [&](const auto &others) {
    return std::includes(others.begin(), others.end(), numbers.begin(), numbers.end());
  };
  fail_unless(asked->wait(1s, all_asked), "%zu were lost, and no request left for all",
              numbers.size());
}
GST_END_TEST

static Suite *feedback_suite() {
  Suite *suite = suite_create("vdoninjasrc-feedback");
  TCase *tc = tcase_create("feedback");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 60);
  tcase_add_test(tc, test_feedback_early_repeats_do_not_take_the_pictures_place);
  tcase_add_test(tc, test_feedback_asks_for_each_lost_packet);
  return suite;
}

GST_CHECK_MAIN(feedback);
