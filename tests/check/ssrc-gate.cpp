// SPDX-License-Identifier: LGPL-2.1-or-later
// Which streams get through a real rtpbin to where webrtcbin would see them.
#include "session.h"
#include "ssrc-gate.h"

#include <map>
#include <set>

#include <gst/rtp/rtp.h>

#include "offers.h"
#include "watched.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr guint kVideo = 1111, kAudio = 2222, kStranger = 3333, kRepeats = 4444;

std::string announce(const char *lines, guint ssrc) {
  return std::string(lines) + "a=ssrc:" + std::to_string(ssrc) + " cname:x\r\n";
}

std::string video_line() {
  return media_lines("video", "v", "96", announce(kVp8, kVideo).c_str());
}
// As browsers have it: data first.
Offer data_and_video() {
  return must_read(session_lines("d v") + data_lines("d") + video_line());
}
Offer video_and_data() {
  return must_read(session_lines("v d") + video_line() + data_lines("d"));
}
Offer data_video_and_audio() {
  return must_read(session_lines("d v a") + data_lines("d") + video_line() +
                   media_lines("audio", "a", "111", announce(kOpus, kAudio).c_str()));
}

// An rtpbin as webrtcbin has it, fed by hand.
class Receiver {
public:
  Receiver() {
    pipeline_ = ObjPtr<GstElement>::adopt(gst_pipeline_new(nullptr));
    rtpbin_ = gst_element_factory_make("rtpbin", nullptr);
    g_object_set(rtpbin_, "latency", 0, nullptr);
    gst_bin_add(GST_BIN(pipeline_.get()), rtpbin_);
    SsrcGate::install(rtpbin_, gate);
    g_signal_connect(rtpbin_, "request-pt-map", G_CALLBACK(+[] {
                       return gst_caps_from_string("application/x-rtp,media=video,"
                                                   "clock-rate=90000,encoding-name=VP8");
                     }),
                     nullptr);
    g_signal_connect(rtpbin_, "pad-added", G_CALLBACK(on_pad), this);
    g_signal_connect(rtpbin_, "new-jitterbuffer", G_CALLBACK(on_jitterbuffer), this);
    g_signal_connect(
        rtpbin_, "on-bye-ssrc",
        G_CALLBACK(+[](GstElement *, guint, guint, Receiver *self) { self->byes++; }),
        this);
    rtp_ = source("recv_rtp_sink_0", "application/x-rtp");
    rtcp_ = source("recv_rtcp_sink_0", "application/x-rtcp");
    gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
  }
  ~Receiver() { gst_element_set_state(pipeline_.get(), GST_STATE_NULL); }

  void push(guint ssrc, guint8 payload_type = 96) {
    GstBuffer *buffer = gst_rtp_buffer_new_allocate(10, 0, 0);
    GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
    gst_rtp_buffer_map(buffer, GST_MAP_WRITE, &rtp);
    gst_rtp_buffer_set_ssrc(&rtp, ssrc);
    gst_rtp_buffer_set_payload_type(&rtp, payload_type);
    // No gaps, and no time that a jitterbuffer would wait for.
    gst_rtp_buffer_set_seq(&rtp, seq_[ssrc]);
    gst_rtp_buffer_set_timestamp(&rtp, seq_[ssrc]++);
    gst_rtp_buffer_unmap(&rtp);
    gst_pad_push(rtp_.get(), buffer);
  }
  void push_bye(guint ssrc) {
    GstBuffer *buffer = gst_rtcp_buffer_new(100);
    GstRTCPBuffer rtcp = GST_RTCP_BUFFER_INIT;
    GstRTCPPacket packet;
    gst_rtcp_buffer_map(buffer, GST_MAP_READWRITE, &rtcp);
    gst_rtcp_buffer_add_packet(&rtcp, GST_RTCP_TYPE_RR, &packet);
    gst_rtcp_packet_rr_set_ssrc(&packet, ssrc);
    gst_rtcp_buffer_add_packet(&rtcp, GST_RTCP_TYPE_BYE, &packet);
    gst_rtcp_packet_bye_add_ssrc(&packet, ssrc);
    gst_rtcp_buffer_unmap(&rtcp);
    gst_pad_push(rtcp_.get(), buffer);
  }
  // Its jitterbuffer has been relieved of one packet, and no pad came of it.
  void expect_dropped(guint ssrc, guint8 payload_type = 96) {
    for (guint64 pushed = 0; pushed < 2; pushed = pushed_of(ssrc))
      push(ssrc, payload_type);
    fail_if(pads_.get().count(ssrc), "SSRC %u got through", ssrc);
  }
  void expect_through(guint ssrc) {
    push(ssrc);
    push(ssrc);
    fail_unless(pads_.wait(20s, [&](const auto &pads) { return pads.count(ssrc) > 0; }),
                "SSRC %u did not get through", ssrc);
  }
  size_t jitterbuffers() const { return jitterbuffers_.get().size(); }
  // `how`: the signal.
  void time_out(const char *how, guint ssrc) {
    g_signal_emit_by_name(rtpbin_, how, 0, ssrc);
  }

  const std::shared_ptr<SsrcGate> gate = std::make_shared<SsrcGate>();
  unsigned byes = 0;

private:
  ObjPtr<GstPad> source(const char *name, const char *caps) {
    auto sink = ObjPtr<GstPad>::adopt(gst_element_request_pad_simple(rtpbin_, name));
    auto src = ObjPtr<GstPad>::adopt(gst_pad_new(name, GST_PAD_SRC));
    gst_pad_set_active(src.get(), TRUE);
    fail_unless_equals_int(gst_pad_link(src.get(), sink.get()), GST_PAD_LINK_OK);
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    const CapsPtr format(gst_caps_from_string(caps));
    gst_pad_push_event(src.get(), gst_event_new_stream_start(name));
    gst_pad_push_event(src.get(), gst_event_new_caps(format.get()));
    gst_pad_push_event(src.get(), gst_event_new_segment(&segment));
    return src;
  }
  guint64 pushed_of(guint ssrc) const {
    const auto buffers = jitterbuffers_.get();
    const auto found = buffers.find(ssrc);
    if (found == buffers.end())
      return 0;
    GstStructure *raw = nullptr;
    g_object_get(found->second.get(), "stats", &raw, nullptr);
    const StructurePtr stats(raw);
    guint64 pushed = 0;
    gst_structure_get_uint64(stats.get(), "num-pushed", &pushed);
    return pushed;
  }
  // Threads: streaming.
  static void on_pad(GstElement *, GstPad *pad, Receiver *self) {
    guint session = 0, ssrc = 0;
    if (sscanf(GST_PAD_NAME(pad), "recv_rtp_src_%u_%u", &session, &ssrc) == 2)
      self->pads_.update([&](auto &pads) { pads.insert(ssrc); });
  }
  static void on_jitterbuffer(GstElement *, GstElement *buffer, guint, guint ssrc,
                              Receiver *self) {
    self->jitterbuffers_.update(
        [&](auto &buffers) { buffers.emplace(ssrc, ObjPtr<GstElement>::ref(buffer)); });
  }

  ObjPtr<GstElement> pipeline_;
  GstElement *rtpbin_ = nullptr;
  ObjPtr<GstPad> rtp_, rtcp_;
  std::map<guint, guint16> seq_;
  Watched<std::set<guint>> pads_;
  Watched<std::map<guint, ObjPtr<GstElement>>> jitterbuffers_;
};

} // namespace

GST_START_TEST(test_ssrc_gate_lets_through_what_was_announced_and_answered) {
  Receiver receiver;
  receiver.gate->offered(data_and_video());
  receiver.expect_dropped(kVideo);
  receiver.gate->answered(data_and_video());
  receiver.expect_through(kVideo);
  receiver.expect_dropped(kStranger);
}
GST_END_TEST

// Each has a jitterbuffer with a thread, also what the gate drops.
GST_START_TEST(test_ssrc_gate_has_room_for_few) {
  Receiver receiver;
  receiver.gate->answered(data_and_video());
  receiver.expect_through(kVideo);
  for (guint ssrc = 10000; ssrc < 11000; ssrc++)
    for (int i = 0; i < 2; i++)
      receiver.push(ssrc);
  fail_unless(receiver.jitterbuffers() <= 64, "%zu", receiver.jitterbuffers());
  receiver.push(kVideo);
}
GST_END_TEST

// What is announced, but as a repeat: webrtcbin may take it for the picture.
GST_START_TEST(test_ssrc_gate_holds_what_is_no_media) {
  const std::string repeats = announce(kVp8, kVideo) +
                              "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
                              "a=ssrc-group:FID 1111 4444\r\n" +
                              announce("", kRepeats);
  const std::string video = media_lines("video", "v", "96 97", repeats.c_str());
  for (const Offer &offer : {must_read(session_lines("d v") + data_lines("d") + video),
                             must_read(session_lines("v d") + video + data_lines("d"))}) {
    Receiver receiver;
    receiver.gate->answered(offer);
    receiver.expect_dropped(kRepeats, 97);
    receiver.expect_dropped(kStranger, 98);
    receiver.expect_through(kVideo);
  }
}
GST_END_TEST

// Given media before the data channel, webrtcbin takes what is unknown for the first.
GST_START_TEST(test_ssrc_gate_lets_strangers_through_where_media_come_first) {
  Receiver receiver;
  receiver.expect_dropped(kStranger);
  receiver.gate->answered(video_and_data());
  receiver.expect_through(kStranger);
}
GST_END_TEST

// A later offer announces a stream that must not come before the answer.
GST_START_TEST(test_ssrc_gate_holds_a_new_line_until_it_is_answered) {
  for (const Offer &first : {data_and_video(), video_and_data()}) {
    Receiver receiver;
    receiver.gate->answered(first);
    receiver.gate->offered(data_video_and_audio());
    receiver.expect_dropped(kAudio);
    receiver.expect_through(kVideo);
    receiver.gate->answered(data_video_and_audio());
    receiver.expect_through(kAudio);
  }
}
GST_END_TEST

// webrtcbin forgets a stream that says BYE, or that timed out, as sender, too.
GST_START_TEST(test_ssrc_gate_knows_what_webrtcbin_has_forgotten) {
  for (const char *how : {"on-timeout", "on-sender-timeout"}) {
    Receiver receiver;
    receiver.gate->answered(data_and_video());
    receiver.push_bye(kVideo);
    fail_unless_equals_int(receiver.byes, 0);
    receiver.time_out(how, kVideo);
    receiver.expect_dropped(kVideo);
    receiver.gate->answered(data_and_video());
    receiver.expect_through(kVideo);
  }
}
GST_END_TEST

// webrtcbin is told no SSRC that is none, or that is of a data channel.
GST_START_TEST(test_ssrc_gate_knows_the_same_ssrcs_as_webrtcbin) {
  const std::string good = "a=ssrc:7 cname:x\r\na=ssrc:7 msid:- v\r\na=ssrc:8\r\n"
                           "a=ssrc-group:FID 7 8\r\na=ssrc:9  cname:x\r\n"
                           "a=ssrc:4294967295 cname:x\r\n";
  const std::vector<std::string> bad = {"a=ssrc\r\n",
                                        "a=ssrc:0 cname:x\r\n",
                                        "a=ssrc:4294967296 cname:x\r\n",
                                        "a=ssrc:-1 cname:x\r\n",
                                        "a=ssrc: 9 cname:x\r\n",
                                        "a=ssrc:x cname:x\r\n"};
  std::string lines = kVp8;
  for (const std::string &line : bad)
    lines += line;
  const Offer offer =
      must_read(session_lines("0 1") + data_lines("0") + "a=ssrc:5 cname:x\r\n" +
                media_lines("video", "1", "96", (lines + good).c_str()));
  const std::set<unsigned> known = {7, 4294967295u};
  fail_unless(offer.ssrcs == known);
  fail_unless(contains(offer.sdp, good));
  for (const std::string &line : bad)
    fail_if(contains(offer.sdp, line), "%s", line.c_str());
  fail_if(contains(offer.sdp, "a=ssrc:5 "));
}
GST_END_TEST

static Suite *ssrc_gate_suite() {
  Suite *suite = suite_create("ssrc-gate");
  TCase *tc = tcase_create("ssrc-gate");
  suite_add_tcase(suite, tc);
  tcase_add_checked_fixture(tc, connection_debug_init, nullptr);
  tcase_add_test(tc, test_ssrc_gate_lets_through_what_was_announced_and_answered);
  tcase_add_test(tc, test_ssrc_gate_holds_what_is_no_media);
  tcase_add_test(tc, test_ssrc_gate_has_room_for_few);
  tcase_add_test(tc, test_ssrc_gate_lets_strangers_through_where_media_come_first);
  tcase_add_test(tc, test_ssrc_gate_holds_a_new_line_until_it_is_answered);
  tcase_add_test(tc, test_ssrc_gate_knows_what_webrtcbin_has_forgotten);
  tcase_add_test(tc, test_ssrc_gate_knows_the_same_ssrcs_as_webrtcbin);
  return suite;
}

GST_CHECK_MAIN(ssrc_gate)
