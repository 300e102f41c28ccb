// SPDX-License-Identifier: LGPL-2.1-or-later
#include "h264-picture.h"

#include <algorithm>
#include <vector>

#include <gst/check/gstcheck.h>
#include <gst/rtp/gstrtpbuffer.h>

using vdn::H264Picture;
using Bytes = std::vector<guint8>;

namespace {

// The payload that comes out for `payload` at RTP time `timestamp`; none when the packet
// is kept back. `sequence`: its number; without one it follows the packet before.
Bytes through(H264Picture &picture, guint32 timestamp, const Bytes &payload,
              int sequence = -1) {
  static guint16 following = 0;
  following = sequence < 0 ? following : sequence;
  GstBuffer *buffer = gst_rtp_buffer_new_allocate(payload.size(), 0, 0);
  GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
  gst_rtp_buffer_map(buffer, GST_MAP_READWRITE, &rtp);
  gst_rtp_buffer_set_timestamp(&rtp, timestamp);
  gst_rtp_buffer_set_seq(&rtp, following++);
  std::copy(payload.begin(), payload.end(),
            static_cast<guint8 *>(gst_rtp_buffer_get_payload(&rtp)));
  gst_rtp_buffer_unmap(&rtp);
  buffer = picture.pass(buffer);
  if (!buffer)
    return {};
  gst_rtp_buffer_map(buffer, GST_MAP_READ, &rtp);
  auto *data = static_cast<guint8 *>(gst_rtp_buffer_get_payload(&rtp));
  Bytes out(data, data + gst_rtp_buffer_get_payload_len(&rtp));
  gst_rtp_buffer_unmap(&rtp);
  gst_buffer_unref(buffer);
  return out;
}

} // namespace

GST_START_TEST(test_h264_picture_leaves_the_first_parameter_sets) {
  H264Picture picture;
  for (const Bytes &packet :
       {Bytes{0x67, 1, 2}, Bytes{0x68, 3}, Bytes{0x65, 4}, Bytes{0x61, 5}})
    fail_unless(through(picture, 1000, packet) == packet);
  // The next picture starts with sets of its own.
  fail_unless(through(picture, 4000, {0x67, 1, 2}) == Bytes({0x67, 1, 2}));
}
GST_END_TEST

GST_START_TEST(test_h264_picture_blanks_sets_between_slices) {
  H264Picture picture;
  through(picture, 1000, {0x65, 4});
  fail_unless(through(picture, 1000, {0x67, 1, 2}) == Bytes({0x6c, 1, 2}));
  fail_unless(through(picture, 1000, {0x68, 3}) == Bytes({0x6c, 3}));
  fail_unless(through(picture, 1000, {0x09, 3}) == Bytes({0x0c, 3}));
  fail_unless(through(picture, 1000, {0x65, 5}) == Bytes({0x65, 5}));
}
GST_END_TEST

GST_START_TEST(test_h264_picture_looks_into_aggregates_and_fragments) {
  H264Picture picture;
  // STAP-A of SPS and a slice, then one of SPS and PPS.
  through(picture, 1, {0x78, 0, 2, 0x67, 1, 0, 2, 0x65, 2});
  fail_unless(through(picture, 1, {0x78, 0, 2, 0x67, 1, 0, 1, 0x68}) ==
              Bytes({0x78, 0, 2, 0x6c, 1, 0, 1, 0x6c}));
  // A fragmented slice counts as one.
  through(picture, 2, {0x7c, 0x85, 1});
  fail_unless(through(picture, 2, {0x67, 1}) == Bytes({0x6c, 1}));
}
GST_END_TEST

// What Chromium sends when its picture changes size: sets in an aggregate, then a
// keyframe in fragments, then another picture.
GST_START_TEST(test_h264_picture_keeps_a_keyframe_back_whose_sets_were_lost) {
  const Bytes sets{0x78, 0, 2, 0x67, 1, 0, 1, 0x68};
  const Bytes first{0x7c, 0x85, 1}, last{0x7c, 0x45, 2}, next{0x61, 3};
  H264Picture picture;
  fail_unless(through(picture, 1, next, 65534) == next);
  // Nothing of it passes, nor does its end open the way.
  fail_unless(through(picture, 2, first, 0).empty());
  fail_unless(through(picture, 2, last, 1).empty());
  // Others do: the depayloader saw the gap and waits by itself.
  fail_unless(through(picture, 3, next, 2) == next);
  // What follows a gap and has its sets passes.
  fail_unless(through(picture, 4, sets, 7) == sets);
  fail_unless(through(picture, 4, first, 8) == first);
  // Without a gap nothing is missing: not every publisher repeats its sets.
  fail_unless(through(picture, 5, first, 9) == first);
  fail_unless(through(picture, 5, last, 10) == last);
  // A gap amid the slices is for the depayloader.
  fail_unless(through(picture, 6, first, 11) == first);
  fail_unless(through(picture, 6, last, 13) == last);
}
GST_END_TEST

GST_START_TEST(test_h264_picture_survives_nonsense) {
  H264Picture picture;
  through(picture, 1, {0x65, 4});
  for (const Bytes &packet : {Bytes{}, Bytes{0x78}, Bytes{0x78, 0xff, 0xff, 1},
                              Bytes{0x78, 0, 0, 0x67}, Bytes{0x7c}, Bytes{0x1f, 1}})
    fail_unless(through(picture, 1, packet) == packet);
  GstBuffer *no_rtp = gst_buffer_new_allocate(nullptr, 3, nullptr);
  no_rtp = picture.pass(no_rtp);
  fail_unless_equals_int(gst_buffer_get_size(no_rtp), 3);
  gst_buffer_unref(no_rtp);
}
GST_END_TEST

static Suite *h264_picture_suite() {
  Suite *suite = suite_create("h264-picture");
  TCase *tc = tcase_create("h264-picture");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_h264_picture_leaves_the_first_parameter_sets);
  tcase_add_test(tc, test_h264_picture_blanks_sets_between_slices);
  tcase_add_test(tc, test_h264_picture_looks_into_aggregates_and_fragments);
  tcase_add_test(tc, test_h264_picture_keeps_a_keyframe_back_whose_sets_were_lost);
  tcase_add_test(tc, test_h264_picture_survives_nonsense);
  return suite;
}

GST_CHECK_MAIN(h264_picture);
