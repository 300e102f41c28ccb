// SPDX-License-Identifier: LGPL-2.1-or-later
// When a picture was taken, by the publisher's clock.
#include "loopback.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr guint64 kNtpEpoch = G_GUINT64_CONSTANT(2208988800) * GST_SECOND;

struct Seen {
  unsigned buffers = 0;
  gint64 age_us = G_MININT64; // of the first buffer that says when it was captured
};

GstPadProbeReturn look(GstPad *, GstPadProbeInfo *info, gpointer data) {
  GstReferenceTimestampMeta *meta = gst_buffer_get_reference_timestamp_meta(
      gst_pad_probe_info_get_buffer(info), nullptr);
  static_cast<Watched<Seen> *>(data)->update([&](Seen &seen) {
    seen.buffers++;
    if (meta && seen.age_us == G_MININT64)
      seen.age_us = g_get_real_time() -
                    static_cast<gint64>((meta->timestamp - kNtpEpoch) / GST_USECOND);
  });
  return GST_PAD_PROBE_OK;
}

void expect_capture_times(Codec codec) {
  Loopback loopback(small_picture(codec));
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  Watched<Seen> seen;
  auto sink =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(player.pipeline()), "sink"));
  auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(sink.get(), "sink"));
  gst_pad_add_probe(pad.get(), GST_PAD_PROBE_TYPE_BUFFER, look, &seen, nullptr);
  player.play();
  const bool known =
      seen.wait(20s, [](const Seen &now) { return now.age_us != G_MININT64; });
  player.stop();
  fail_unless(known, "%u buffers, none with a capture time", seen.get().buffers);
  // Both ends share a clock here; a busy machine is slow, but not by a minute.
  fail_unless(seen.get().age_us > -G_USEC_PER_SEC &&
                  seen.get().age_us < 60 * G_USEC_PER_SEC,
              "%" G_GINT64_FORMAT " us", seen.get().age_us);
}

} // namespace

GST_START_TEST(test_time_of_capture_survives_decoding_vp8) {
  expect_capture_times(Codec::kVp8);
}
GST_END_TEST

GST_START_TEST(test_time_of_capture_survives_decoding_h264) {
  if (has_element("x264enc"))
    expect_capture_times(Codec::kX264);
}
GST_END_TEST

static Suite *time_suite() {
  Suite *suite = suite_create("vdoninjasrc-time");
  TCase *tc = tcase_create("time");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_time_of_capture_survives_decoding_vp8);
  tcase_add_test(tc, test_time_of_capture_survives_decoding_h264);
  return suite;
}

GST_CHECK_MAIN(time);
