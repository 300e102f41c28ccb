// SPDX-License-Identifier: LGPL-2.1-or-later
// Sound through the decoder that is chosen for Opus.
#include "codec.h"

#include <algorithm>
#include <vector>

#include <gst/check/gstcheck.h>
#include <gst/check/gstharness.h>

#include "opus-guard.h"

using namespace vdn;

namespace {

constexpr GstClockTime kPacket = 20 * GST_MSECOND;

struct Decoding {
  Decoding() {
    const auto home = ObjPtr<GstElement>::adopt(gst_bin_new(nullptr));
    GError *error = nullptr;
    const auto decoder = make_decoder(GST_BIN(home.get()), *find_codec("OPUS"), "", {},
                                      false, nullptr, &error);
    fail_unless(decoder, "%s", error ? error->message : "");
    harness = gst_harness_new_with_element(decoder.get(), "sink", "src");
    gst_harness_set_src_caps_str(
        harness, "audio/x-opus, channel-mapping-family=(int)0, channels=(int)1");
    encoder = gst_harness_new_parse("audiotestsrc samplesperbuffer=960 ! "
                                    "audio/x-raw,rate=48000,channels=1 ! opusenc");
    gst_harness_play(encoder);
  }
  ~Decoding() {
    gst_harness_teardown(encoder);
    gst_harness_teardown(harness);
  }

  // One packet of 20 ms in, which comes out when the next one is in.
  void push(GstClockTime pts, bool discont) {
    GstBuffer *packet = gst_buffer_make_writable(gst_harness_pull(encoder));
    GST_BUFFER_PTS(packet) = pts;
    GST_BUFFER_FLAG_UNSET(packet, GST_BUFFER_FLAG_DISCONT);
    if (discont)
      GST_BUFFER_FLAG_SET(packet, GST_BUFFER_FLAG_DISCONT);
    fail_unless_equals_int(gst_harness_push(harness, packet), GST_FLOW_OK);
  }

  GstHarness *harness, *encoder;
};

} // namespace

// What a session that moves its time is like, or one that dropped what waited: a jump of
// time stamps, or none. Each packet comes out at its own.
GST_START_TEST(test_decoder_gives_sound_its_own_time_after_a_discont) {
  Decoding decoding;
  const GstClockTime jump = 30 * GST_MSECOND;
  const struct {
    GstClockTime pts;
    bool discont;
  } packets[] = {
      {0, true},
      {kPacket, false},
      {2 * kPacket, true},
      {3 * kPacket, false},
      {4 * kPacket + jump, true},
      {5 * kPacket + jump, false},
      {6 * kPacket, true},
      {7 * kPacket, false},
  };
  for (const auto &packet : packets)
    decoding.push(packet.pts, packet.discont);
  fail_unless_equals_int(gst_harness_buffers_received(decoding.harness), 7);
  for (int i = 0; i < 7; i++) {
    GstBuffer *sound = gst_harness_pull(decoding.harness);
    fail_unless_equals_uint64(GST_BUFFER_PTS(sound), packets[i].pts);
    fail_unless_equals_int(GST_BUFFER_FLAG_IS_SET(sound, GST_BUFFER_FLAG_DISCONT),
                           packets[i].discont);
    gst_buffer_unref(sound);
  }
}
GST_END_TEST

// What is no packet is as if it were lost.
GST_START_TEST(test_decoder_goes_on_after_what_is_no_packet) {
  Decoding decoding;
  decoding.push(0, true);
  for (GstClockTime pts = kPacket; pts < 12 * kPacket; pts += kPacket) {
    if (pts == 3 * kPacket) {
      const guint8 bad[] = {0xff, 0xff};
      GstBuffer *packet = gst_buffer_new_memdup(bad, sizeof bad);
      GST_BUFFER_PTS(packet) = pts;
      fail_unless_equals_int(gst_harness_push(decoding.harness, packet), GST_FLOW_OK);
    } else {
      decoding.push(pts, false);
    }
  }
  fail_unless_equals_int(gst_harness_buffers_received(decoding.harness), 10);
  for (GstClockTime pts = 0; pts < 11 * kPacket; pts += kPacket) {
    if (pts == 3 * kPacket)
      continue;
    GstBuffer *sound = gst_harness_pull(decoding.harness);
    fail_unless_equals_uint64(GST_BUFFER_PTS(sound), pts);
    gst_buffer_unref(sound);
  }
}
GST_END_TEST

// Of no packet's length, and of hours, which nobody is to allocate memory for.
GST_START_TEST(test_decoder_takes_gaps_of_any_length) {
  Decoding decoding;
  const auto sink = ObjPtr<GstPad>::adopt(
      gst_element_get_static_pad(decoding.harness->element, "sink"));
  std::vector<GstClockTime> gaps; // as the decoder is told
  gst_pad_add_probe(
      sink.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
      [](GstPad *, GstPadProbeInfo *info, gpointer to) {
        GstEvent *event = gst_pad_probe_info_get_event(info);
        GstClockTime duration = 0;
        if (GST_EVENT_TYPE(event) != GST_EVENT_GAP)
          return GST_PAD_PROBE_OK;
        gst_event_parse_gap(event, nullptr, &duration);
        static_cast<std::vector<GstClockTime> *>(to)->push_back(duration);
        return GST_PAD_PROBE_OK;
      },
      &gaps, nullptr);
  decoding.push(0, true);
  decoding.push(kPacket, false);
  GstClockTime pts = 2 * kPacket;
  for (const GstClockTime gap :
       std::vector<GstClockTime>{500 * GST_USECOND, kPacket, 3 * 3600 * GST_SECOND}) {
    gst_harness_push_event(decoding.harness, gst_event_new_gap(pts, gap));
    pts += gap;
    for (int i = 0; i < 3; i++, pts += kPacket)
      decoding.push(pts, i == 0);
  }
  fail_unless_equals_int(gaps.size(), 2);
  fail_unless_equals_uint64(gaps[0], kPacket);
  fail_unless_equals_uint64(gaps[1], 120 * GST_MSECOND);
  // Two, three, a gap, three, a gap, and three but the last.
  fail_unless_equals_int(gst_harness_buffers_received(decoding.harness), 12);
  GstBuffer *sound = nullptr;
  for (int i = 0; i < 12; i++) {
    if (sound)
      gst_buffer_unref(sound);
    sound = gst_harness_pull(decoding.harness);
  }
  fail_unless_equals_uint64(GST_BUFFER_PTS(sound), pts - 2 * kPacket);
  gst_buffer_unref(sound);
}
GST_END_TEST

// RFC 6716, 3.2 and 3.4.
GST_START_TEST(test_decoder_knows_packets) {
  const auto is = [](std::vector<guint8> head, size_t size) {
    head.resize(std::max(size, head.size()));
    return is_opus_packet(head.data(), size);
  };
  fail_unless(is({0xfc}, 1) && is({0xfc}, 1276)); // one frame, or nothing (DTX)
  fail_if(is({}, 0) || is({0xfc}, 1277));
  fail_unless(is({0xfd}, 2551) && is({0xfd}, 1)); // two of one length
  fail_if(is({0xfd}, 4) || is({0xfd}, 2553));
  fail_unless(is({0xfe, 2}, 8) && is({0xfe, 252, 1}, 259)); // the first has its length
  fail_if(is({0xfe}, 1) || is({0xfe, 8}, 8) || is({0xfe, 252}, 2) ||
          is({0xfe, 252, 1}, 258));
  fail_unless(is({0xff, 6}, 2 + 6 * 7)); // six of 20 ms
  fail_if(is({0xff}, 1) || is({0xff, 0}, 40) || is({0xff, 7}, 2 + 7 * 7) ||
          is({0xff, 6}, 3 + 6 * 7));
  fail_unless(is({0xe3, 48}, 2 + 48) && is({0x1b, 2}, 4)); // of 2.5 and of 60 ms
  fail_if(is({0xe3, 49}, 2 + 49) || is({0x1b, 3}, 5));
  fail_unless(is({0xff, 0x42, 3}, 3 + 2 * 5 + 3)); // padded
  fail_unless(is({0xff, 0x42, 255, 1}, 4 + 2 * 5 + 254 + 1));
  fail_if(is({0xff, 0x42, 9}, 3 + 8) || is({0xff, 0x42, 255}, 200) ||
          is({0xff, 0x42}, 2));
  fail_unless(is({0xff, 0x83, 4, 5}, 4 + 4 + 5 + 6)); // each of its own length
  fail_if(is({0xff, 0x83, 4, 5}, 4 + 8) || is({0xff, 0x83, 4}, 3));
}
GST_END_TEST

static Suite *decoder_suite() {
  Suite *suite = suite_create("decoder");
  TCase *tests = tcase_create("opus");
  tcase_add_test(tests, test_decoder_gives_sound_its_own_time_after_a_discont);
  tcase_add_test(tests, test_decoder_goes_on_after_what_is_no_packet);
  tcase_add_test(tests, test_decoder_takes_gaps_of_any_length);
  tcase_add_test(tests, test_decoder_knows_packets);
  suite_add_tcase(suite, tests);
  return suite;
}

GST_CHECK_MAIN(decoder)
