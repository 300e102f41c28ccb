// SPDX-License-Identifier: LGPL-2.1-or-later
// Publishers whose RTCP lies: clocks that jump, reports of what nobody sent, the goodbye
// of a stream that goes on. It costs nobody a picture.
#include "loopback.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr unsigned kReports = 6; // of both streams together
constexpr int kLongestGapMs = 1000;
constexpr unsigned kLongestLatencyMs = 500;
constexpr guint64 kJump = guint64{5} << 31; // 2.5 s in NTP time: rtpbin takes up to 3 s

// Of an RTCP sender report, RFC 3550, 6.4.1.
struct SenderInfo {
  guint32 ssrc = 0, rtp_time = 0, packets = 0, octets = 0;
  guint64 ntp_time = 0;

  explicit SenderInfo(GstRTCPPacket *packet) {
    gst_rtcp_packet_sr_get_sender_info(packet, &ssrc, &ntp_time, &rtp_time, &packets,
                                       &octets);
  }
  void write(GstRTCPPacket *packet) const {
    gst_rtcp_packet_sr_set_sender_info(packet, ssrc, ntp_time, rtp_time, packets, octets);
  }
};

// Each is given every sender report, and how many there were before.
using Lie = void (*)(GstRTCPPacket *packet, unsigned number);

// As when the machine sets its clock: now one stream, now the other knows.
void clock_jumps(GstRTCPPacket *packet, unsigned number) {
  SenderInfo info(packet);
  if (number % 3 == 0)
    info.ntp_time += kJump;
  info.write(packet);
}

// Fractions of packets that nobody sent, round trips from nothing to 18 hours.
void all_by_chance(GstRTCPPacket *packet, unsigned number) {
  guint32 seed = number;
  auto random = [&seed] { return seed = seed * 1664525u + 1013904223u; };
  SenderInfo info(packet);
  info.ntp_time = number % 2 ? 0 : guint64{random()} << 32 | random();
  info.rtp_time = random();
  info.packets = random();
  info.octets = random();
  info.write(packet);
  GstRTCPPacket receiver_report;
  fail_unless(
      gst_rtcp_buffer_add_packet(packet->rtcp, GST_RTCP_TYPE_RR, &receiver_report));
  gst_rtcp_packet_rr_set_ssrc(&receiver_report, info.ssrc);
  for (int block = 0; block < 3; block++)
    gst_rtcp_packet_add_rb(
        &receiver_report, random(), static_cast<guint8>(random() >> 24),
        static_cast<gint32>(random() >> 8), random(), random(), random(), random());
}

void goodbye_of_who_goes_on(GstRTCPPacket *packet, unsigned number) {
  const SenderInfo info(packet);
  GstRTCPPacket bye;
  if (number % 4 >= 2)
    fail_unless(gst_rtcp_buffer_add_packet(packet->rtcp, GST_RTCP_TYPE_BYE, &bye) &&
                gst_rtcp_packet_bye_add_ssrc(&bye, info.ssrc));
}

constexpr Lie kLies[] = {clock_jumps, all_by_chance, goodbye_of_who_goes_on};

} // namespace

GST_START_TEST(test_reports_that_lie_cost_no_picture) {
  Loopback loopback;
  Watched<unsigned> told;
  PublisherHooks hooks;
  hooks.media.rtcp = [&told, lie = kLies[__i__]](GstRTCPPacket *packet) {
    if (gst_rtcp_packet_get_type(packet) == GST_RTCP_TYPE_SR)
      told.update([&](unsigned &number) { lie(packet, number++); });
  };
  loopback.publisher->set_hooks(std::move(hooks));
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  fail_unless(told.wait(60s, [](unsigned number) { return number >= kReports; }));
  loopback.publisher->set_hooks({}); // `told` is ours now
  player.expect_buffers("sink", 2 * loopback.config.video.fps);
  player.expect_buffers("audio", 50);

  const auto state = player.state();
  fail_unless(state.errors.empty() && state.warnings.empty(), "%s",
              player.describe().c_str());
  fail_unless_equals_int(loopback.publisher->state().sessions, 1);
  guint latency = 0;
  gst_structure_get_uint(player.pad_stats("cam").get(), "latency-ms", &latency);
  fail_unless(latency <= kLongestLatencyMs, "%u ms declared", latency);
  for (const char *sink : {"sink", "audio"}) {
    const auto &arrived = state.sinks.at(sink);
    const int gap = static_cast<int>((arrived.gap_to_us - arrived.gap_from_us) / 1000);
    fail_unless(gap <= kLongestGapMs * time_factor(), "%d ms without %s", gap, sink);
  }
}
GST_END_TEST

static Suite *reports_suite() {
  Suite *suite = suite_create("vdoninjasrc-reports");
  TCase *tc = tcase_create("reports");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 90);
  tcase_add_loop_test(tc, test_reports_that_lie_cost_no_picture, 0, G_N_ELEMENTS(kLies));
  return suite;
}

GST_CHECK_MAIN(reports);
