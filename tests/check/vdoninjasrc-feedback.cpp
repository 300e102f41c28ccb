// SPDX-License-Identifier: LGPL-2.1-or-later
// What the viewer tells the publisher about its packets leaves in time to be of use.
#include <set>

#include <gst/rtp/gstrtpbuffer.h>

#include "nacks.h"

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

} // namespace

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
  tcase_add_test(tc, test_feedback_asks_for_each_lost_packet);
  return suite;
}

GST_CHECK_MAIN(feedback);
