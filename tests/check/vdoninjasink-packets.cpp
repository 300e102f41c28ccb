// SPDX-License-Identifier: LGPL-2.1-or-later
// RTCP and RTP that viewers of vdoninjasink send: too much, nonsense, or none.
#include <gst/rtp/rtp.h>

#include "elements-of.h"
#include "rtp-support.h"
#include "show.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

guint32 ssrc_in(const std::string &offer) {
  const size_t at = offer.find("a=ssrc:");
  fail_unless(at != std::string::npos);
  return static_cast<guint32>(
      g_ascii_strtoull(offer.c_str() + at + strlen("a=ssrc:"), nullptr, 10));
}

uint64_t number_of(const Show &show, const std::string &viewer, const char *field) {
  const auto stats = show.sending.stats();
  const GValue *viewers = gst_structure_get_value(stats.get(), "viewers");
  for (guint i = 0; i < gst_value_list_get_size(viewers); i++) {
    const GstStructure *one =
        gst_value_get_structure(gst_value_list_get_value(viewers, i));
    if (viewer == gst_structure_get_string(one, "id")) {
      const GValue *value = gst_structure_get_value(one, field);
      return G_VALUE_HOLDS_UINT(value) ? g_value_get_uint(value)
                                       : g_value_get_uint64(value);
    }
  }
  fail_unless(false, "no viewer %s", viewer.c_str());
  return 0;
}

// A viewer beside a healthy one; what it sends is the test's, from both ends of its
// webrtcbin.
struct Hostile : Shown {
  explicit Hostile(const std::string &more = "") : Shown(more) {
    sending.expect_viewers(1);
    ViewerConfig config = viewer();
    config.on_webrtcbin = [this](GstElement *webrtc) {
      webrtc_.update([webrtc](auto &kept) { kept = ObjPtr<GstElement>::ref(webrtc); });
    };
    viewer_ = std::make_unique<TestViewer>(config);
    expect_frames(*viewer_, 5);
    sending.expect_viewers(2);
    id = sending.state().joined.back();
    media_ssrc = ssrc_in(viewer_->state().offer);
  }
  ~Hostile() {
    webrtc_.update([](auto &kept) { kept.reset(); });
    viewer_.reset();
  }

  // RTCP of one packet; `fill` writes what follows its head.
  void feedback(GstRTCPType type, unsigned kind, const std::vector<guint8> &fci,
                unsigned times = 1, guint32 media = 0) {
    GstBuffer *buffer = gst_rtcp_buffer_new(1400);
    GstRTCPBuffer rtcp = GST_RTCP_BUFFER_INIT;
    GstRTCPPacket packet;
    gst_rtcp_buffer_map(buffer, GST_MAP_READWRITE, &rtcp);
    for (unsigned i = 0; i < times; i++) {
      if (!gst_rtcp_buffer_add_packet(&rtcp, type, &packet))
        break;
      gst_rtcp_packet_fb_set_type(&packet, static_cast<GstRTCPFBType>(kind));
      gst_rtcp_packet_fb_set_sender_ssrc(&packet, 7);
      gst_rtcp_packet_fb_set_media_ssrc(&packet, media ? media : media_ssrc);
      gst_rtcp_packet_fb_set_fci_length(&packet, static_cast<guint16>(fci.size() / 4));
      if (!fci.empty())
        memcpy(gst_rtcp_packet_fb_get_fci(&packet), fci.data(), fci.size() / 4 * 4);
    }
    gst_rtcp_buffer_unmap(&rtcp);
    send("rtcp_sink", "application/x-rtcp", buffer);
  }
  // `buffer` into the transport, by its pad of that name.
  void send(const char *pad_name, const char *caps_text, GstBuffer *buffer) {
    const auto webrtc = webrtc_.get();
    for (const auto &bin : elements_of(
             gst_bin_iterate_elements(GST_BIN(webrtc.get())), [](GstElement *child) {
               return g_str_equal(G_OBJECT_TYPE_NAME(child), "TransportSendBin");
             })) {
      const auto pad =
          ObjPtr<GstPad>::adopt(gst_element_get_static_pad(bin.get(), pad_name));
      fail_unless(pad);
      begin(pad.get(), caps_text);
      gst_pad_chain(pad.get(), gst_buffer_ref(buffer));
    }
    gst_buffer_unref(buffer);
  }
  void expect_no_harm() {
    expect_frames(*viewer_, 10);
    expect_no_harm_to_others();
  }
  void expect_no_harm_to_others() {
    player.expect_buffers("sink", 10);
    player.assert_seamless(0);
    fail_unless(sending.state().left.empty() && sending.state().errors.empty(), "%s",
                sending.describe().c_str());
  }

  std::string id;
  guint32 media_ssrc = 0;

private:
  static void begin(GstPad *pad, const char *caps_text) {
    const auto known = EventPtr(gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0));
    if (known)
      return;
    const CapsPtr caps(gst_caps_from_string(caps_text));
    GstSegment segment;
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_pad_send_event(pad, gst_event_new_stream_start("test"));
    gst_pad_send_event(pad, gst_event_new_caps(caps.get()));
    gst_pad_send_event(pad, gst_event_new_segment(&segment));
  }

  Watched<ObjPtr<GstElement>> webrtc_;
  std::unique_ptr<TestViewer> viewer_;
};

std::vector<guint8> words(std::initializer_list<guint32> values) {
  std::vector<guint8> bytes;
  for (guint32 value : values)
    for (int shift : {24, 16, 8, 0})
      bytes.push_back(static_cast<guint8>(value >> shift));
  return bytes;
}

} // namespace

GST_START_TEST(test_plis_without_end) {
  Hostile show("keyframe-interval=0");
  const auto keyframes = [&show] {
    guint count = 0;
    gst_structure_get_uint(show.sending.stats().get(), "keyframes", &count);
    return count;
  };
  const guint before = keyframes();
  for (int i = 0; i < 300; i++)
    show.feedback(GST_RTCP_TYPE_PSFB, GST_RTCP_PSFB_TYPE_PLI, {}, 20);
  for (int i = 0; i < 100; i++)
    show.feedback(GST_RTCP_TYPE_PSFB, GST_RTCP_PSFB_TYPE_FIR,
                  words({show.media_ssrc, guint32(i) << 24}));
  show.expect_no_harm();
  fail_unless(keyframes() <= before + 5, "%u keyframes", keyframes() - before);
  fail_unless(number_of(show, show.id, "keyframes-asked") > 0);
}
GST_END_TEST

// Of packets that were sent, and of such that never were.
GST_START_TEST(test_nacks_without_end) {
  Hostile show;
  for (guint32 i = 0; i < 2000; i++) {
    const guint32 number = i * 31;
    show.feedback(GST_RTCP_TYPE_RTPFB, GST_RTCP_RTPFB_TYPE_NACK,
                  words({number << 16 | 0xffff, (number + 17) << 16 | 0xffff}));
    show.feedback(GST_RTCP_TYPE_RTPFB, GST_RTCP_RTPFB_TYPE_NACK,
                  words({number << 16 | 0xffff}), 1, 12345);
  }
  show.expect_no_harm();
  const uint64_t repeats = number_of(show, show.id, "repeats");
  const uint64_t sent = number_of(show, show.id, "packets-sent");
  fail_unless(number_of(show, show.id, "repeats-refused") > 0);
  fail_unless(repeats <= sent / 2, "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT, repeats,
              sent);
}
GST_END_TEST

// Of packets that were never sent, with times of all kinds, cut off, and in no order.
GST_START_TEST(test_reports_that_lie) {
  Hostile show;
  GRand *random = g_rand_new_with_seed(7);
  for (guint32 i = 0; i < 2000; i++) {
    // RFC draft-holmer-rmcat-transport-wide-cc-extensions-01, 3.1: first number and how
    // many, time and count, then chunks and deltas.
    const guint32 base = g_rand_int(random), count = g_rand_int_range(random, 0, 60);
    const guint32 time = i % 3 == 0 ? 0 : i % 3 == 1 ? 0xffffff - i : g_rand_int(random);
    std::vector<guint8> fci = words({base << 16 | count, time << 8 | (i & 0xff)});
    for (int more = g_rand_int_range(random, 0, 20) * 4; more > 0; more--)
      fci.push_back(static_cast<guint8>(g_rand_int(random)));
    show.feedback(GST_RTCP_TYPE_RTPFB, GST_RTCP_RTPFB_TYPE_TWCC, fci);
  }
  g_rand_free(random);
  show.expect_no_harm();
  fail_unless(number_of(show, show.id, "estimate") >= 150);
}
GST_END_TEST

// The goodbye of RTCP is none; who goes on is served on.
GST_START_TEST(test_rtcp_of_a_viewer_that_says_goodbye) {
  Hostile show;
  for (guint32 ssrc : {show.media_ssrc, 7u}) {
    GstBuffer *buffer = gst_rtcp_buffer_new(1400);
    GstRTCPBuffer rtcp = GST_RTCP_BUFFER_INIT;
    GstRTCPPacket packet;
    gst_rtcp_buffer_map(buffer, GST_MAP_READWRITE, &rtcp);
    gst_rtcp_buffer_add_packet(&rtcp, GST_RTCP_TYPE_BYE, &packet);
    gst_rtcp_packet_bye_add_ssrc(&packet, ssrc);
    gst_rtcp_buffer_unmap(&rtcp);
    show.send("rtcp_sink", "application/x-rtcp", buffer);
  }
  show.expect_no_harm();
}
GST_END_TEST

// rtpsession would remember each, and tell of all each second.
GST_START_TEST(test_sources_without_end) {
  Hostile show;
  for (guint32 i = 0; i < 100; i++) {
    GstBuffer *buffer = gst_rtcp_buffer_new(1400);
    GstRTCPBuffer rtcp = GST_RTCP_BUFFER_INIT;
    GstRTCPPacket packet;
    gst_rtcp_buffer_map(buffer, GST_MAP_READWRITE, &rtcp);
    gst_rtcp_buffer_add_packet(&rtcp, GST_RTCP_TYPE_RR, &packet);
    gst_rtcp_packet_rr_set_ssrc(&packet, 7);
    gst_rtcp_buffer_add_packet(&rtcp, GST_RTCP_TYPE_SDES, &packet);
    for (guint32 j = 0; j < 31; j++) {
      gst_rtcp_packet_sdes_add_item(&packet, 100000 + i * 31 + j);
      gst_rtcp_packet_sdes_add_entry(&packet, GST_RTCP_SDES_CNAME, 1,
                                     reinterpret_cast<const guint8 *>("x"));
    }
    gst_rtcp_buffer_unmap(&rtcp);
    show.send("rtcp_sink", "application/x-rtcp", buffer);
  }
  show.sending.expect("it is sent away",
                      [](const Sending::State &state) { return !state.left.empty(); });
  const auto left = show.sending.state().left;
  fail_unless(left == std::vector{show.id}, "%s", show.sending.describe().c_str());
  show.player.expect_buffers("sink", 10);
  show.player.assert_seamless(0);
}
GST_END_TEST

// Whoever wants to be seen by us is not: nothing is built for it.
GST_START_TEST(test_media_sent_to_us_go_nowhere) {
  Hostile show;
  RtpFields fields;
  for (unsigned i = 0; i < 2000; i++) {
    fields.number = static_cast<uint16_t>(i);
    fields.ssrc = i % 4 == 0 ? show.media_ssrc : 1000 + i % 50;
    fields.payload_type = i % 3 == 0 ? 110 : i % 3 == 1 ? 111 : 96 + i % 30;
    show.send("rtp_sink", "application/x-rtp", new_rtp(fields).release());
  }
  show.expect_no_harm();
}
GST_END_TEST

static Suite *vdoninjasink_packets_suite() {
  Suite *suite = suite_create("vdoninjasink-packets");
  TCase *tc = tcase_create("vdoninjasink-packets");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_plis_without_end);
  tcase_add_test(tc, test_nacks_without_end);
  tcase_add_test(tc, test_reports_that_lie);
  tcase_add_test(tc, test_rtcp_of_a_viewer_that_says_goodbye);
  tcase_add_test(tc, test_media_sent_to_us_go_nowhere);
  tcase_add_test(tc, test_sources_without_end);
  return suite;
}

GST_CHECK_MAIN(vdoninjasink_packets)
