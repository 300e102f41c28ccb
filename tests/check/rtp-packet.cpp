// SPDX-License-Identifier: LGPL-2.1-or-later
#include "rtp-packet.h"

#include <random>
#include <string>

#include <gst/check/gstharness.h>

#include "rtp-support.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using Kind = PacerQueue::Kind;

namespace {

PacerPayloads payloads() {
  PacerPayloads result;
  result.sound.set(111);
  result.vp8.set(120);
  result.vp9.set(121);
  return result;
}

PacerQueue::Packet read(const RtpFields &fields) {
  return read_packet(new_rtp(fields), payloads(), 5).packet;
}

bool is_keyframe(unsigned payload_type, std::vector<guint8> payload) {
  RtpFields fields;
  fields.payload_type = payload_type;
  fields.payload = std::move(payload);
  fields.delta = false; // as their payloaders before 1.26 have it
  return read(fields).keyframe;
}

// Two frames through encoder and payloader; how many packets begin a keyframe.
unsigned keyframes_of(const char *encoder, const char *settings, const char *payloader,
                      unsigned payload_type) {
  for (const char *needed : {encoder, payloader}) {
    const auto factory =
        ObjPtr<GstElementFactory>::adopt(gst_element_factory_find(needed));
    if (!factory) {
      g_printerr("skipped: there is no %s\n", needed);
      return 1;
    }
  }
  const std::string launch = std::string(encoder) + " " + settings + " ! " + payloader +
                             " mtu=600 pt=" + std::to_string(payload_type);
  GstHarness *harness = gst_harness_new_parse(launch.c_str());
  gst_harness_set_src_caps_str(
      harness, "video/x-raw,format=I420,width=320,height=240,framerate=10/1");
  for (unsigned i = 0; i < 4; i++) {
    std::mt19937 random(3); // the same picture, which fills some packets
    GstBuffer *frame = gst_harness_create_buffer(harness, 320 * 240 * 3 / 2);
    GstMapInfo map;
    gst_buffer_map(frame, &map, GST_MAP_WRITE);
    for (gsize at = 0; at < map.size; at++)
      map.data[at] = static_cast<guint8>(random() % 64);
    gst_buffer_unmap(frame, &map);
    GST_BUFFER_PTS(frame) = i * 100 * GST_MSECOND;
    GST_BUFFER_DURATION(frame) = 100 * GST_MSECOND;
    gst_harness_push(harness, frame);
  }
  gst_harness_push_event(harness, gst_event_new_eos());
  unsigned keyframes = 0, packets = 0;
  while (GstBuffer *packet = gst_harness_try_pull(harness)) {
    keyframes += read_packet(BufferPtr(packet), payloads(), 0).packet.keyframe;
    packets++;
  }
  gst_harness_teardown(harness);
  fail_unless(packets > 8, "%u packets", packets);
  return keyframes;
}

} // namespace

GST_START_TEST(test_rtp_packet_kinds) {
  RtpFields fields;
  fields.number = 65535;
  PacerQueue::Packet packet = read(fields);
  fail_unless(packet.kind == Kind::kVideo && !packet.keyframe && packet.buffer);
  fail_unless(packet.number == 65535 && packet.bytes == 1012 && packet.arrived_us == 5);
  fields.delta = false;
  fail_unless(read(fields).keyframe);
  fields.repeat = true;
  packet = read(fields);
  fail_unless(packet.kind == Kind::kRepeat && !packet.keyframe);
  fields.repeat = false;
  fields.payload_type = 111;
  packet = read(fields);
  fail_unless(packet.kind == Kind::kSound && !packet.keyframe);
}
GST_END_TEST

GST_START_TEST(test_rtp_packet_keyframes_by_payload) {
  fail_unless(is_keyframe(120, {0x10, 0x00}));
  fail_if(is_keyframe(120, {0x10, 0x01}));                       // refers to others
  fail_if(is_keyframe(120, {0x00, 0x00}));                       // not the first packet
  fail_if(is_keyframe(120, {0x11, 0x00}));                       // another partition
  fail_unless(is_keyframe(120, {0x90, 0x80, 0x81, 0x01, 0x00})); // long picture id
  fail_unless(is_keyframe(120, {0x90, 0x80, 0x01, 0x00}));
  fail_unless(is_keyframe(120, {0x90, 0xf0, 0x01, 0x01, 0x01, 0x00}));
  fail_if(is_keyframe(120, {0x90, 0xf0, 0x01, 0x01, 0x01, 0x01}));
  fail_unless(is_keyframe(121, {0x08}));
  fail_unless(is_keyframe(121, {0x88, 0x80, 0x01}));
  fail_if(is_keyframe(121, {0x48}));
  fail_if(is_keyframe(121, {0x00}));
}
GST_END_TEST

GST_START_TEST(test_rtp_packet_short_and_random_ones_are_read) {
  for (unsigned type : {110, 111, 120, 121})
    for (unsigned size = 0; size < 8; size++)
      is_keyframe(type, std::vector<guint8>(size, 0xff));
  std::mt19937 random(5);
  for (unsigned i = 0; i < 20000; i++) {
    BufferPtr buffer(gst_buffer_new_allocate(nullptr, random() % 40, nullptr));
    GstMapInfo map;
    gst_buffer_map(buffer.get(), &map, GST_MAP_WRITE);
    for (gsize at = 0; at < map.size; at++)
      map.data[at] = static_cast<guint8>(random());
    if (map.size > 0)
      map.data[0] = static_cast<guint8>(0x80 | (map.data[0] & 0x3f));
    const gsize size = map.size;
    gst_buffer_unmap(buffer.get(), &map);
    const RtpPacket rtp = read_packet(std::move(buffer), payloads(), 0);
    fail_unless(rtp.packet.bytes == size && rtp.payload_type < 128);
  }
}
GST_END_TEST

// What this GStreamer's payloaders make.
GST_START_TEST(test_rtp_packet_one_keyframe_of_each_codec) {
  fail_unless_equals_int(keyframes_of("x264enc", "tune=zerolatency", "rtph264pay", 110),
                         1);
  fail_unless_equals_int(keyframes_of("vp8enc", "deadline=1", "rtpvp8pay", 120), 1);
  fail_unless_equals_int(keyframes_of("vp9enc", "deadline=1", "rtpvp9pay", 121), 1);
}
GST_END_TEST

static Suite *rtp_packet_suite(void) {
  Suite *suite = suite_create("rtp-packet");
  TCase *cases = tcase_create("rtp-packet");
  suite_add_tcase(suite, cases);
  tcase_add_test(cases, test_rtp_packet_kinds);
  tcase_add_test(cases, test_rtp_packet_keyframes_by_payload);
  tcase_add_test(cases, test_rtp_packet_short_and_random_ones_are_read);
  tcase_add_test(cases, test_rtp_packet_one_keyframe_of_each_codec);
  return suite;
}

GST_CHECK_MAIN(rtp_packet);
