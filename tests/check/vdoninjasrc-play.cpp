// SPDX-License-Identifier: LGPL-2.1-or-later
// vdoninjasrc plays: codecs, dialects, passwords, and who comes first.
#include "loopback.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

void assert_plays(const PublisherConfig &config, const char *codec) {
  Loopback loopback(config);
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 15);
  player.expect_buffers("audio", 25);
  expect_whole(player);
  const auto pad =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(player.source(), "video_0"));
  gchar *delivered = nullptr;
  g_object_get(pad.get(), "codec", &delivered, nullptr);
  fail_unless_equals_string(delivered, codec);
  g_free(delivered);
  const auto state = player.state();
  const std::string &caps = state.sinks.at("sink").caps;
  fail_unless(caps.find("width=(int)320") != std::string::npos, "%s", caps.c_str());
  fail_unless(state.warnings.empty(), "%s", player.describe().c_str());
}

// Until frames come, from `loopback` as it is.
void assert_frames(const Loopback &loopback, const std::string &more = "") {
  Player player(loopback.play(more), {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 5);
  expect_whole(player);
}

void assert_password(const std::string &password, const std::string &property) {
  for (Dialect dialect : {Dialect::kHosted, Dialect::kCustom}) {
    PublisherConfig config = small_picture();
    config.dialect = dialect;
    config.password = password;
    Loopback loopback(config);
    loopback.publish();
    assert_frames(loopback, property);
    // Sealed, unless encryption is off.
    bool sealed = false;
    for (const auto &message : loopback.from_viewers())
      sealed |= message.encrypted;
    fail_unless_equals_int(sealed, Secret(password.c_str(), "vdo.ninja").enabled());
    fail_unless(loopback.answer().find("v=0") == 0, "no answer could be read");
  }
}

GstPadProbeReturn announce_memory(GstPad *, GstPadProbeInfo *info, gpointer) {
  GstEvent *event = GST_PAD_PROBE_INFO_EVENT(info);
  if (GST_EVENT_TYPE(event) != GST_EVENT_CAPS)
    return GST_PAD_PROBE_OK;
  GstCaps *caps = nullptr;
  gst_event_parse_caps(event, &caps);
  const CapsPtr marked(gst_caps_copy(caps));
  gst_caps_set_features_simple(marked.get(),
                               gst_caps_features_new("memory:Test", nullptr));
  gst_event_unref(event);
  GST_PAD_PROBE_INFO_DATA(info) = gst_event_new_caps(marked.get());
  return GST_PAD_PROBE_OK;
}

} // namespace

GST_START_TEST(test_play_vp8) {
  assert_plays(small_picture(Codec::kVp8), "VP8");
}
GST_END_TEST

GST_START_TEST(test_play_vp9) {
  assert_plays(small_picture(Codec::kVp9), "VP9");
}
GST_END_TEST

GST_START_TEST(test_play_h264_with_one_slice) {
  if (has_element("x264enc"))
    assert_plays(small_picture(Codec::kX264), "H264");
}
GST_END_TEST

GST_START_TEST(test_play_h264_with_four_slices) {
  if (!has_element("x264enc"))
    return;
  PublisherConfig config = small_picture(Codec::kX264);
  config.video.slices = 4;
  assert_plays(config, "H264");
}
GST_END_TEST

// As hardware decoders announce it: whoever takes DMABuf and the like gets it.
GST_START_TEST(test_play_memory_of_a_decoder_leaves_the_pad) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.source() + " ! video/x-raw(ANY) ! fakesink name=sink");
  g_signal_connect(player.source(), "decoder-setup",
                   G_CALLBACK(+[](GstElement *, GstElement *decoder, gpointer) {
                     auto pad = ObjPtr<GstPad>::adopt(
                         gst_element_get_static_pad(decoder, "src"));
                     gst_pad_add_probe(pad.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
                                       announce_memory, nullptr, nullptr);
                   }),
                   nullptr);
  player.play();
  player.expect_buffers("sink", 5);
  const std::string caps = player.state().sinks.at("sink").caps;
  fail_unless(caps.find("memory:Test") != std::string::npos, "%s", caps.c_str());
  fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
}
GST_END_TEST

GST_START_TEST(test_play_h265) {
  if (has_element("x265enc") && has_element("avdec_h265"))
    assert_plays(small_picture(Codec::kX265), "H265");
}
GST_END_TEST

GST_START_TEST(test_play_h265_as_it_came) {
  if (!has_element("x265enc") || !has_element("avdec_h265"))
    return;
  Loopback loopback(small_picture(Codec::kX265));
  loopback.publish();
  Player player(loopback.source() + " ! video/x-h265 ! h265parse ! avdec_h265 ! "
                                    "video/x-raw,format=I420 ! fakesink name=sink");
  player.play();
  player.expect_buffers("sink", 10);
  expect_whole(player);
}
GST_END_TEST

// Debian 12 and 13 have none.
GST_START_TEST(test_play_av1_is_not_asked_for_without_a_depayloader) {
  if (GstElementFactory *factory = gst_element_factory_find("rtpav1depay")) {
    gst_object_unref(factory);
    g_print("skipped: rtpav1depay is installed\n");
    return;
  }
  auto config = small_picture();
  Loopback loopback(config);
  PublisherHooks hooks;
  hooks.offer = [](std::string &sdp) {
    const size_t line = sdp.find("SAVPF 110");
    sdp.insert(line + 6, "121 ");
    sdp.insert(sdp.find("a=rtpmap:110"), "a=rtpmap:121 AV1/90000\r\n");
  };
  loopback.publisher->set_hooks(hooks);
  loopback.publish();
  Player player(loopback.play("video-codecs=<AV1,VP8>"), {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 5);
}
GST_END_TEST

GST_START_TEST(test_play_openh264) {
  if (has_element("openh264enc"))
    assert_plays(small_picture(Codec::kOpenH264), "H264");
}
GST_END_TEST

GST_START_TEST(test_play_custom_dialect_with_either_routing) {
  for (bool fan_out : {false, true}) {
    PublisherConfig config = small_picture();
    config.dialect = Dialect::kCustom;
    Loopback loopback(config, fan_out);
    loopback.publish();
    assert_frames(loopback);
  }
}
GST_END_TEST

// What is not the service's own host is a custom server.
GST_START_TEST(test_play_signaling_auto_takes_other_hosts_for_custom) {
  PublisherConfig config = small_picture();
  config.dialect = Dialect::kCustom;
  Loopback loopback(config);
  loopback.publish();
  assert_frames(loopback, "signaling=auto");
}
GST_END_TEST

GST_START_TEST(test_play_default_password) {
  assert_password("", "");
}
GST_END_TEST

GST_START_TEST(test_play_own_password) {
  assert_password("open sesame", "password=\"open sesame\"");
}
GST_END_TEST

GST_START_TEST(test_play_password_off) {
  assert_password("false", "password=false");
}
GST_END_TEST

GST_START_TEST(test_play_password_beyond_ascii) {
  assert_password("pässwörd ✓ 密", "password=\"pässwörd ✓ 密\"");
}
GST_END_TEST

GST_START_TEST(test_play_salt) {
  PublisherConfig config = small_picture();
  config.salt = "example.org";
  Loopback loopback(config);
  loopback.publish();
  assert_frames(loopback, "salt=example.org");
}
GST_END_TEST

GST_START_TEST(test_play_publisher_that_offers_its_channel_first) {
  for (Dialect dialect : {Dialect::kHosted, Dialect::kCustom}) {
    PublisherConfig config = small_picture();
    config.dialect = dialect;
    config.channel_first = true;
    Loopback loopback(config);
    loopback.publish();
    assert_frames(loopback);
  }
}
GST_END_TEST

GST_START_TEST(test_play_publisher_with_a_null_session) {
  for (Dialect dialect : {Dialect::kHosted, Dialect::kCustom}) {
    PublisherConfig config = small_picture(Codec::kX264);
    if (!has_element("x264enc"))
      config.video.codec = Codec::kVp8;
    config.dialect = dialect;
    config.null_session = true;
    Loopback loopback(config);
    loopback.publish();
    assert_frames(loopback);
  }
}
GST_END_TEST

GST_START_TEST(test_play_publisher_that_comes_later) {
  for (Dialect dialect : {Dialect::kHosted, Dialect::kCustom}) {
    PublisherConfig config = small_picture();
    config.dialect = dialect;
    Loopback loopback(config);
    Player player(loopback.play(), {"sink", "audio"});
    player.play();
    loopback.server.await("a request",
                          [](const auto &state) { return state.count("play") > 0; });
    loopback.publish();
    player.expect_buffers("sink", 5);
    expect_whole(player);
  }
}
GST_END_TEST

GST_START_TEST(test_play_two_viewers_of_one_publisher) {
  Loopback loopback;
  loopback.publish();
  Player one(loopback.play(), {"sink", "audio"});
  Player two(loopback.play(), {"sink", "audio"});
  one.play();
  two.play();
  one.expect_buffers("sink", 10);
  two.expect_buffers("sink", 10);
  // One leaves, the other stays.
  one.stop();
  two.expect_buffers("sink", 10);
  expect_whole(one);
  expect_whole(two);
}
GST_END_TEST

// As applications link: in their handler of pad-added.
GST_START_TEST(test_play_linked_in_pad_added_decides_the_codec) {
  if (!has_element("x264enc"))
    return;
  PublisherConfig config = small_picture(Codec::kVp8);
  config.alternatives = {Codec::kX264, Codec::kVp9};
  Loopback loopback(config);
  loopback.publish();
  Player player(loopback.source() + " capsfilter name=in caps=video/x-vp9 ! fakesink "
                                    "name=sink sync=false async=false");
  auto in =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(player.pipeline()), "in"));
  g_signal_connect(player.source(), "pad-added",
                   G_CALLBACK(+[](GstElement *source, GstPad *pad, gpointer target) {
                     if (g_str_has_prefix(GST_PAD_NAME(pad), "video_"))
                       gst_element_link_pads(source, GST_PAD_NAME(pad),
                                             GST_ELEMENT(target), "sink");
                   }),
                   in.get());
  player.play();
  player.expect_buffers("sink", 5);
  const auto state = player.state();
  fail_unless(state.sinks.at("sink").caps.find("video/x-vp9") == 0);
  fail_unless_equals_int(loopback.publisher->state().sessions, 1);
  fail_unless(loopback.answer().find("VP9/90000") != std::string::npos);
}
GST_END_TEST

static Suite *play_suite() {
  Suite *suite = suite_create("vdoninjasrc-play");
  TCase *tc = tcase_create("play");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_play_vp8);
  tcase_add_test(tc, test_play_vp9);
  tcase_add_test(tc, test_play_h264_with_one_slice);
  tcase_add_test(tc, test_play_h264_with_four_slices);
  tcase_add_test(tc, test_play_memory_of_a_decoder_leaves_the_pad);
  tcase_add_test(tc, test_play_h265);
  tcase_add_test(tc, test_play_h265_as_it_came);
  tcase_add_test(tc, test_play_av1_is_not_asked_for_without_a_depayloader);
  tcase_add_test(tc, test_play_openh264);
  tcase_add_test(tc, test_play_custom_dialect_with_either_routing);
  tcase_add_test(tc, test_play_signaling_auto_takes_other_hosts_for_custom);
  tcase_add_test(tc, test_play_default_password);
  tcase_add_test(tc, test_play_own_password);
  tcase_add_test(tc, test_play_password_off);
  tcase_add_test(tc, test_play_password_beyond_ascii);
  tcase_add_test(tc, test_play_salt);
  tcase_add_test(tc, test_play_publisher_that_offers_its_channel_first);
  tcase_add_test(tc, test_play_publisher_with_a_null_session);
  tcase_add_test(tc, test_play_publisher_that_comes_later);
  tcase_add_test(tc, test_play_two_viewers_of_one_publisher);
  tcase_add_test(tc, test_play_linked_in_pad_added_decides_the_codec);
  return suite;
}

GST_CHECK_MAIN(play);
