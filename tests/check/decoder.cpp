// SPDX-License-Identifier: LGPL-2.1-or-later
// Sound through the decoder that is chosen for Opus.
#include "codec.h"

#include <gst/check/gstcheck.h>
#include <gst/check/gstharness.h>

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

  // One packet of 20 ms in; the next is without its time before this one is out.
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

static Suite *decoder_suite() {
  Suite *suite = suite_create("decoder");
  TCase *tests = tcase_create("opus");
  tcase_add_test(tests, test_decoder_gives_sound_its_own_time_after_a_discont);
  suite_add_tcase(suite, tests);
  return suite;
}

GST_CHECK_MAIN(decoder)
