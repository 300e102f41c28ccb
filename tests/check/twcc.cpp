// SPDX-License-Identifier: LGPL-2.1-or-later
// What this GStreamer's rtpsession tells of feedback, and what nobody should tell.
#include "twcc.h"

#include <gst/check/gstharness.h>
#include <gst/rtp/rtp.h>

#include "rtp-support.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

constexpr gint64 kMs = 1000;
constexpr unsigned kExtension = 1;
constexpr const char *kCaps =
    "application/x-rtp,media=video,clock-rate=90000,encoding-name=H264,payload=110,"
    "ssrc=(uint)1,extmap-1=http://www.ietf.org/id/"
    "draft-holmer-rmcat-transport-wide-cc-extensions-01";

// One that sends, on a clock of the test's, and gets reports.
class Sender {
public:
  Sender() {
    clock_ = ObjPtr<GstClock>::adopt(gst_test_clock_new());
    gst_test_clock_set_time(test_clock(), 10 * GST_SECOND);
    gst_system_clock_set_default(clock_.get());
    session_ = ObjPtr<GstElement>::adopt(gst_element_factory_make("rtpsession", nullptr));
    fail_unless(session_.get() != nullptr);
    media_ =
        gst_harness_new_with_element(session_.get(), "send_rtp_sink", "send_rtp_src");
    reports_ = gst_harness_new_with_element(session_.get(), "recv_rtcp_sink", nullptr);
    gst_harness_set_src_caps_str(media_, kCaps);
    gst_harness_set_src_caps_str(reports_, "application/x-rtcp");
  }
  ~Sender() {
    gst_harness_teardown(reports_);
    gst_harness_teardown(media_);
    gst_system_clock_set_default(nullptr);
  }
  Sender(const Sender &) = delete;
  Sender &operator=(const Sender &) = delete;

  // Of 1000 bytes.
  void send(unsigned payload_type) {
    RtpFields fields;
    fields.payload_type = payload_type;
    fields.number = next_++;
    BufferPtr buffer = new_rtp(fields);
    GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
    gst_rtp_buffer_map(buffer.get(), GST_MAP_READWRITE, &rtp);
    const guint16 number = 0;
    gst_rtp_buffer_add_extension_onebyte_header(&rtp, kExtension, &number, sizeof number);
    gst_rtp_buffer_unmap(&rtp);
    fail_unless_equals_int(gst_harness_push(media_, buffer.release()), GST_FLOW_OK);
    gst_test_clock_advance_time(test_clock(), 4 * GST_MSECOND);
  }
  // A whole number of 32-bit words. What rtpsession makes of it.
  std::vector<SentPacket> report(const std::vector<guint8> &fci) {
    GstRTCPBuffer rtcp = GST_RTCP_BUFFER_INIT;
    GstRTCPPacket packet;
    GstBuffer *buffer = gst_rtcp_buffer_new(1000);
    gst_rtcp_buffer_map(buffer, GST_MAP_READWRITE, &rtcp);
    gst_rtcp_buffer_add_packet(&rtcp, GST_RTCP_TYPE_RTPFB, &packet);
    gst_rtcp_packet_fb_set_type(&packet, GST_RTCP_RTPFB_TYPE_TWCC);
    gst_rtcp_packet_fb_set_sender_ssrc(&packet, 2);
    gst_rtcp_packet_fb_set_media_ssrc(&packet, 1);
    gst_rtcp_packet_fb_set_fci_length(&packet, static_cast<guint16>(fci.size() / 4));
    memcpy(gst_rtcp_packet_fb_get_fci(&packet), fci.data(), fci.size());
    gst_rtcp_buffer_unmap(&rtcp);
    gst_harness_push(reports_, buffer);
    std::vector<SentPacket> packets;
    PayloadTypes repeats;
    repeats.set(96);
    while (GstEvent *given = gst_harness_try_pull_upstream_event(media_)) {
      const EventPtr event(given);
      if (read_feedback(gst_event_get_structure(given), repeats, &packets))
        return packets;
    }
    return packets;
  }

private:
  GstTestClock *test_clock() const { return GST_TEST_CLOCK(clock_.get()); }

  ObjPtr<GstClock> clock_;
  ObjPtr<GstElement> session_;
  GstHarness *media_, *reports_;
  uint16_t next_ = 100;
};

StructurePtr of_text(const char *text) {
  return StructurePtr(gst_structure_from_string(text, nullptr));
}

} // namespace

// given a report on six packets of which the third was lost, 8 ms apart on arrival,
GST_START_TEST(test_twcc_report_is_read) {
  Sender sender;
  for (unsigned i = 0; i < 6; i++)
    sender.send(i == 4 ? 96 : 110);
  // From 0, six, time 1·64 ms, the first report; two small deltas, one lost, three small.
  const auto packets =
      sender.report({0,  0,  0,  6, 0, 0, 1, 0, 0x20, 2, 0x00, 1, 0x20, 3, 32, 32, //
                     64, 32, 32, 0});
  fail_unless_equals_int(packets.size(), 6);
  for (unsigned i = 0; i < 6; i++) {
    fail_unless_equals_int(packets[i].number, i);
    fail_unless_equals_int64(packets[i].sent_us, 10000 * kMs + 4 * kMs * i);
    fail_unless_equals_int(packets[i].size, 1000);
    fail_unless_equals_int(packets[i].lost, i == 2);
    fail_unless_equals_int(packets[i].repeat, i == 4);
  }
  fail_unless_equals_int64(packets[1].received_us - packets[0].received_us, 8 * kMs);
  fail_unless_equals_int64(packets[3].received_us - packets[1].received_us, 16 * kMs);
  fail_unless_equals_int64(packets[2].received_us, 0);
}
GST_END_TEST

GST_START_TEST(test_twcc_never_sent_is_of_no_size) {
  Sender sender;
  sender.send(110);
  const auto packets =
      sender.report({0, 0, 0, 3, 0, 0, 1, 0, 0x20, 3, 32, 32, 32, 0, 0, 0});
  fail_unless_equals_int(packets.size(), 3);
  fail_unless_equals_int(packets[0].size, 1000);
  for (unsigned i : {1, 2})
    fail_unless(packets[i].size == 0 && packets[i].number == i && !packets[i].lost);
}
GST_END_TEST

GST_START_TEST(test_twcc_something_else_is_not_read) {
  std::vector<SentPacket> packets(3);
  fail_if(read_feedback(nullptr, {}, &packets));
  fail_unless(packets.empty());
  fail_if(read_feedback(of_text("GstForceKeyUnit, count=(uint)1").get(), {}, &packets));
  fail_if(read_feedback(of_text("RTPTWCCPackets").get(), {}, &packets));
  fail_if(read_feedback(of_text("RTPTWCCPackets, packets=(int)3").get(), {}, &packets));
}
GST_END_TEST

// Whatever a field's type, or without it.
GST_START_TEST(test_twcc_odd_fields_are_nothing) {
  G_GNUC_BEGIN_IGNORE_DEPRECATIONS
  for (const char *text :
       {"RTPTWCCPacket", "RTPTWCCPacket, size=(uint)5, lost=(boolean)false",
        "RTPTWCCPacket, lost=(boolean)true, remote-ts=(guint64)1000",
        "RTPTWCCPacket, seqnum=(string)x, local-ts=(int)-1, lost=(int)7",
        "RTPTWCCPacket, payload-type=(uint)300, size=(int)-5, remote-ts=(string)1"}) {
    GValue list = G_VALUE_INIT, item = G_VALUE_INIT, number = G_VALUE_INIT;
    GValueArray *array = g_value_array_new(2);
    g_value_init(&item, GST_TYPE_STRUCTURE);
    g_value_take_boxed(&item, of_text(text).release());
    g_value_init(&number, G_TYPE_INT);
    g_value_array_append(array, &item);
    g_value_array_append(array, &number);
    g_value_init(&list, g_value_array_get_type());
    g_value_take_boxed(&list, array);
    const StructurePtr structure(gst_structure_new_empty("RTPTWCCPackets"));
    gst_structure_take_value(structure.get(), "packets", &list);
    g_value_unset(&item);
    std::vector<SentPacket> packets;
    fail_unless(read_feedback(structure.get(), {}, &packets));
    fail_unless_equals_int(packets.size(), 1);
    fail_unless(packets[0].size == 0 && packets[0].lost && !packets[0].repeat);
  }
  G_GNUC_END_IGNORE_DEPRECATIONS
}
GST_END_TEST

static Suite *twcc_suite(void) {
  Suite *suite = suite_create("twcc");
  TCase *cases = tcase_create("twcc");
  suite_add_tcase(suite, cases);
  tcase_add_test(cases, test_twcc_report_is_read);
  tcase_add_test(cases, test_twcc_never_sent_is_of_no_size);
  tcase_add_test(cases, test_twcc_something_else_is_not_read);
  tcase_add_test(cases, test_twcc_odd_fields_are_nothing);
  return suite;
}

GST_CHECK_MAIN(twcc);
