// SPDX-License-Identifier: LGPL-2.1-or-later
// What is left of an m-line, once it is what we would honour.
#include "offers.h"

using namespace vdn;

// GStreamer would ask a server of the publisher's choice for the time.
GST_START_TEST(test_offer_media_attributes_that_gstreamer_would_act_on) {
  for (const char *clock : {"a=ts-refclk:ntp=127.0.0.1\r\n", "a=mediaclk:direct=1\r\n",
                            "a=fmtp:96 A-ts-refclk=ntp=127.0.0.1; extmap-1=x;a=b\r\n"}) {
    const std::string video = std::string(kVp8) + clock;
    const Offer offer = must_read(session_lines("0") + clock +
                                  media_lines("video", "0", "96", video.c_str()));
    fail_if(contains(offer.sdp, "clk") || contains(offer.sdp, "extmap"));
  }
  const Offer kept = with_video("96", "a=rtpmap:96 VP8/90000\r\na=fmtp:96 a-b=1;c=2\r\n");
  fail_unless_equals_string(kept.media[0].formats[0].fmtp.c_str(), "c=2");
}
GST_END_TEST

GST_START_TEST(test_offer_media_data_channel) {
  const std::string data = data_lines("0");
  assert_refused(session_lines("0 1") + data + data_lines("1"), OFFER_ERROR_SYNTAX);
  for (const char *form : {"5000", "*", "webrtc-datachannel 5000"})
    assert_refused(session_lines("0") + replace(data, "webrtc-datachannel", form),
                   OFFER_ERROR_SYNTAX);
}
GST_END_TEST

GST_START_TEST(test_offer_media_extensions) {
  const std::string uri =
      "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
  const std::string lines =
      std::string(kVp8) + "a=extmap:3 urn:3gpp:video-orientation\r\n" + "a=extmap:0 " +
      uri + "\r\na=extmap:x " + uri + "\r\na=extmap:5\r\n" + "a=extmap:4/recvonly " +
      uri + "\r\na=extmap:4 " + uri + "\r\na=extmap:6 " + uri + "\r\n";
  const Offer offer = with_video("96", lines.c_str());
  fail_unless_equals_int(offer.media[0].extensions.size(), 1);
  fail_unless_equals_string(offer.media[0].extensions.begin()->second.c_str(),
                            uri.c_str());
  fail_unless_equals_int(offer.media[0].extensions.begin()->first, 4);
  fail_if(contains(offer.sdp, "orientation"));
  fail_if(contains(offer.sdp, "extmap:6"));
}
GST_END_TEST

// webrtcbin hands those in the SDP on to libnice as well.
GST_START_TEST(test_offer_media_candidates_without_their_parts_are_taken_out) {
  const std::string good = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
  const std::string bad = "a=candidate:1 1 tcp 1 192.0.2.1 9 typ host\r\n"
                          "a=candidate:1 2 udp 1 192.0.2.1 9 typ host\r\na=candidate:\r\n"
                          "a=candidate:1 1 udp 1 x.local 9 typ host\r\n";
  const Offer offer = must_read(plain_offer() + bad + good);
  fail_unless(contains(offer.sdp, good));
  fail_unless(offer.sdp == must_read(plain_offer() + good).sdp);
}
GST_END_TEST

static Suite *offer_media_suite() {
  Suite *suite = suite_create("offer-media");
  TCase *tc = tcase_create("offer-media");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_offer_media_attributes_that_gstreamer_would_act_on);
  tcase_add_test(tc, test_offer_media_data_channel);
  tcase_add_test(tc, test_offer_media_extensions);
  tcase_add_test(tc, test_offer_media_candidates_without_their_parts_are_taken_out);
  return suite;
}

GST_CHECK_MAIN(offer_media)
