// SPDX-License-Identifier: LGPL-2.1-or-later
// What the viewer tells the publisher about its packets leaves in time to be of use.
#include <set>

#include <gst/rtp/gstrtcpbuffer.h>
#include <gst/rtp/gstrtpbuffer.h>

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

// The packets that a generic NACK names (RFC 4585, 6.2.1).
void add_nacks(GstRTCPPacket *packet, std::set<guint16> *to) {
  if (gst_rtcp_packet_get_type(packet) != GST_RTCP_TYPE_RTPFB ||
      gst_rtcp_packet_fb_get_type(packet) != GST_RTCP_RTPFB_TYPE_NACK)
    return;
  const guint8 *entry = gst_rtcp_packet_fb_get_fci(packet);
  for (unsigned left = gst_rtcp_packet_fb_get_fci_length(packet); left > 0; left--) {
    const guint16 first = GST_READ_UINT16_BE(entry);
    const guint16 others = GST_READ_UINT16_BE(entry + 2);
    to->insert(first);
    for (unsigned bit = 0; bit < 16; bit++)
      if (others & (1u << bit))
        to->insert(static_cast<guint16>(first + bit + 1));
    entry += 4;
  }
}

GstPadProbeReturn on_rtcp(GstPad *, GstPadProbeInfo *info, gpointer data) {
  GstRTCPBuffer rtcp = GST_RTCP_BUFFER_INIT;
  GstRTCPPacket packet;
  std::set<guint16> asked;
  if (gst_rtcp_buffer_map(GST_PAD_PROBE_INFO_BUFFER(info), GST_MAP_READ, &rtcp)) {
    for (gboolean more = gst_rtcp_buffer_get_first_packet(&rtcp, &packet); more;
         more = gst_rtcp_packet_move_to_next(&packet))
      add_nacks(&packet, &asked);
    gst_rtcp_buffer_unmap(&rtcp);
  }
  if (!asked.empty())
    (*static_cast<std::shared_ptr<Numbers> *>(data))->update([&](auto &numbers) {
      numbers.insert(asked.begin(), asked.end());
    });
  return GST_PAD_PROBE_OK;
}

// Watches the RTCP that leaves each session of `webrtc`.
void watch_rtcp(GstElement *webrtc, std::shared_ptr<Numbers> asked) {
  auto added = [](GstBin *, GstElement *child, gpointer data) {
    auto pad_added = [](GstElement *, GstPad *pad, gpointer numbers) {
      if (g_str_equal(GST_PAD_NAME(pad), "send_rtcp_src"))
        gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_rtcp, numbers, nullptr);
    };
    if (g_str_has_prefix(GST_OBJECT_NAME(child), "rtpsession"))
      g_signal_connect(child, "pad-added", G_CALLBACK(+pad_added), data);
  };
  const auto rtpbin =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(webrtc), "rtpbin"));
  g_signal_connect_data(
      rtpbin.get(), "element-added", G_CALLBACK(+added),
      new std::shared_ptr<Numbers>(std::move(asked)),
      [](gpointer p, GClosure *) { delete static_cast<std::shared_ptr<Numbers> *>(p); },
      static_cast<GConnectFlags>(0));
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
    watch_rtcp(webrtc, *static_cast<std::shared_ptr<Numbers> *>(data));
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
