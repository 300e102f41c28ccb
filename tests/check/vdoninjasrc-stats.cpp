// SPDX-License-Identifier: LGPL-2.1-or-later
// What the property `stats` and the action `get-stats` tell.
#include <thread>

#include "loopback.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

StructurePtr get_stats(GstElement *source, const char *stream_id) {
  GstStructure *stats = nullptr;
  g_signal_emit_by_name(source, "get-stats", stream_id, &stats);
  fail_unless(stats != nullptr);
  return StructurePtr(stats);
}

const GValue *list_of(const GstStructure *in, const char *field) {
  const GValue *list = gst_structure_get_value(in, field);
  fail_unless(list && GST_VALUE_HOLDS_LIST(list), "no list %s in %s", field,
              StrPtr(gst_structure_to_string(in)).get());
  return list;
}

const GstStructure *item(const GValue *list, guint index) {
  fail_unless(index < gst_value_list_get_size(list));
  return gst_value_get_structure(gst_value_list_get_value(list, index));
}

// The structure in `list` whose `field` is `value`.
const GstStructure *item_with(const GValue *list, const char *field, const char *value) {
  for (guint i = 0; i < gst_value_list_get_size(list); i++)
    if (!g_strcmp0(gst_structure_get_string(item(list, i), field), value))
      return item(list, i);
  ck_abort_msg("nothing with %s=%s in %s", field, value,
               StrPtr(gst_value_serialize(list)).get());
  return nullptr;
}

const GstStructure *jitterbuffer(const GstStructure *stats, const char *media) {
  const GstStructure *stream = item(list_of(stats, "streams"), 0);
  const GstStructure *rtp = item_with(list_of(stream, "rtp"), "media", media);
  const GValue *nested = gst_structure_get_value(rtp, "jitterbuffer");
  fail_unless(nested != nullptr);
  return gst_value_get_structure(nested);
}

guint64 number(const GstStructure *in, const char *field) {
  guint64 value = 0;
  fail_unless(gst_structure_get_uint64(in, field, &value), "no %s in %s", field,
              StrPtr(gst_structure_to_string(in)).get());
  return value;
}

} // namespace

GST_START_TEST(test_stats_of_an_element_that_does_not_run) {
  auto element =
      ObjPtr<GstElement>::adopt(gst_element_factory_make("vdoninjasrc", nullptr));
  GstStructure *raw = nullptr;
  g_object_get(element.get(), "stats", &raw, nullptr);
  const StructurePtr stats(raw);
  fail_unless(gst_structure_has_name(stats.get(), "vdoninja/stats"));
  fail_unless(gst_structure_has_field(stats.get(), "state"));
  fail_unless(!gst_structure_has_field(stats.get(), "streams"));
}
GST_END_TEST

GST_START_TEST(test_stats_count_what_arrives) {
  ShowAndSound show;
  show.player.expect_buffers("sink", 10);
  show.player.expect_buffers("audio", 10);
  const StructurePtr stats = get_stats(show.player.source(), nullptr);
  const GValue *streams = list_of(stats.get(), "streams");
  fail_unless_equals_int(gst_value_list_get_size(streams), 1);
  const GstStructure *stream = item(streams, 0);
  fail_unless_equals_string(gst_structure_get_string(stream, "stream-id"), "cam");
  fail_unless_equals_string(gst_structure_get_string(stream, "label"), "test publisher");
  gboolean connected = FALSE;
  fail_unless(gst_structure_get_boolean(stream, "connected", &connected) && connected);

  const GstStructure *pad = item_with(list_of(stream, "pads"), "name", "video_0");
  fail_unless_equals_string(gst_structure_get_string(pad, "codec"), "VP8");
  fail_unless_equals_string(gst_structure_get_string(pad, "decoder"), "vp8dec");
  fail_unless(number(pad, "buffers") >= 10);
  fail_unless(number(pad, "packets") >= number(pad, "buffers"));

  for (const char *media : {"video", "audio"}) {
    const GstStructure *rtp = item_with(list_of(stream, "rtp"), "media", media);
    fail_unless(number(rtp, "packets-received") >= 10);
    fail_unless(number(rtp, "bytes-received") > number(rtp, "packets-received"));
    fail_unless(number(jitterbuffer(stats.get(), media), "num-pushed") >= 10);
  }
}
GST_END_TEST

// Which way the packets come, how the picture is, and what became of lost packets.
GST_START_TEST(test_stats_tell_how_well_it_comes) {
  ShowAndSound show;
  show.player.expect_buffers("sink", 40);
  const auto starts = [](const GstStructure *stream, const char *field) {
    const char *text = gst_structure_get_string(stream, field);
    return text && g_str_has_prefix(text, "host udp 127.0.0.1:");
  };
  show.player.expect("the way", [&](const Player::State &) {
    const StructurePtr stats = get_stats(show.player.source(), nullptr);
    const GstStructure *stream = item(list_of(stats.get(), "streams"), 0);
    gboolean relayed = TRUE;
    return starts(stream, "candidate-local") && starts(stream, "candidate-remote") &&
           gst_structure_get_boolean(stream, "relayed", &relayed) && !relayed;
  });
  const StructurePtr stats = get_stats(show.player.source(), nullptr);
  const GstStructure *stream = item(list_of(stats.get(), "streams"), 0);
  const GstStructure *pad = item_with(list_of(stream, "pads"), "name", "video_0");
  gint width = 0, height = 0;
  gdouble fps = 0, decoding = 0, longest = 0, delay = -1;
  guint freezes = 99, latency = 0;
  fail_unless(gst_structure_get(
      pad, "width", G_TYPE_INT, &width, "height", G_TYPE_INT, &height, "fps",
      G_TYPE_DOUBLE, &fps, "decode-ms", G_TYPE_DOUBLE, &decoding, "longest-ms",
      G_TYPE_DOUBLE, &longest, "playout-ms", G_TYPE_DOUBLE, &delay, "freezes",
      G_TYPE_UINT, &freezes, "latency-ms", G_TYPE_UINT, &latency, nullptr));
  fail_unless(width == 320 && height == 180, "%d x %d", width, height);
  fail_unless(fps > 1 && decoding > 0 && longest > 0 && delay >= 0 && freezes < 99);
  fail_unless(latency >= 25, "%u", latency);
  gdouble late = -1, slow = 0;
  fail_unless(gst_structure_get(pad, "late-ms-p95", G_TYPE_DOUBLE, &late, "decode-ms-p95",
                                G_TYPE_DOUBLE, &slow, nullptr));
  fail_unless(late >= 0 && late < 5000 && slow > 0 && slow < 5000, "%g, %g", late, slow);
  fail_unless(number(pad, "frames-received") >= number(pad, "frames-decoded") &&
              number(pad, "frames-decoded") >= 40);
  fail_unless(number(pad, "keyframes") >= 1 &&
              number(pad, "keyframes") < number(pad, "frames-received"));
  fail_unless_equals_uint64(number(pad, "dropped"),
                            number(pad, "dropped-disposable") +
                                number(pad, "dropped-before-keyframe") +
                                number(pad, "dropped-given-up"));
  const GstStructure *rtp = item_with(list_of(stream, "rtp"), "media", "video");
  fail_unless_equals_uint64(number(rtp, "given-up"), 0);
  fail_unless(number(rtp, "repaired") <= number(rtp, "missed"));
  guint wait = 0;
  fail_unless(gst_structure_get_uint(rtp, "wait-ms", &wait) && wait >= 300);
  const GstStructure *sound = item_with(list_of(stream, "rtp"), "media", "audio");
  // Not as long as for a picture, as it is never sent again.
  fail_unless(gst_structure_get_uint(sound, "wait-ms", &wait) && wait >= 40 &&
                  wait <= 200,
              "%u", wait);
}
GST_END_TEST

// A camera that is changed, or a screen on which nothing happens, sends nothing for a
// while. The first packet after that is not a late one.
GST_START_TEST(test_stats_count_no_loss_when_the_picture_pauses) {
  auto config = small_picture();
  config.with_audio = false;
  Show show(config);
  show.player.expect_buffers("sink", 20);
  for (int round = 0; round < 2; round++) {
    show.publisher->set_video_muted(true);
    std::this_thread::sleep_for(1200ms); // the pause; jitterbuffers wait for 1000 ms
    show.publisher->set_video_muted(false);
    show.player.expect_buffers("sink", 10);
  }
  const StructurePtr stats = get_stats(show.player.source(), nullptr);
  fail_unless_equals_uint64(number(jitterbuffer(stats.get(), "video"), "num-lost"), 0);
  fail_unless_equals_uint64(number(jitterbuffer(stats.get(), "video"), "num-late"), 0);
}
GST_END_TEST

GST_START_TEST(test_stats_of_one_stream_leave_others_out) {
  ShowAndSound show("stream-id=cam,other");
  show.player.expect_buffers("sink", 1);
  const StructurePtr all = get_stats(show.player.source(), nullptr);
  fail_unless_equals_int(gst_value_list_get_size(list_of(all.get(), "streams")), 2);
  const StructurePtr one = get_stats(show.player.source(), "other");
  const GValue *streams = list_of(one.get(), "streams");
  fail_unless_equals_int(gst_value_list_get_size(streams), 1);
  const GstStructure *other = item(streams, 0);
  fail_unless_equals_string(gst_structure_get_string(other, "stream-id"), "other");
  gboolean connected = TRUE;
  fail_unless(gst_structure_get_boolean(other, "connected", &connected) && !connected);
  const StructurePtr none = get_stats(show.player.source(), "nobody");
  fail_unless_equals_int(gst_value_list_get_size(list_of(none.get(), "streams")), 0);
}
GST_END_TEST

GST_START_TEST(test_stats_count_sessions) {
  ShowAndSound show;
  show.player.expect_buffers("sink", 3);
  GError *error = nullptr;
  fail_unless(show.publisher->restart(true, &error));
  show.player.expect_buffers("sink", 10);
  const StructurePtr stats = get_stats(show.player.source(), "cam");
  guint sessions = 0;
  gst_structure_get_uint(item(list_of(stats.get(), "streams"), 0), "sessions", &sessions);
  fail_unless_equals_int(sessions, 2);
}
GST_END_TEST

static Suite *stats_suite() {
  Suite *suite = suite_create("vdoninjasrc-stats");
  TCase *tc = tcase_create("stats");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_stats_of_an_element_that_does_not_run);
  tcase_add_test(tc, test_stats_count_what_arrives);
  tcase_add_test(tc, test_stats_tell_how_well_it_comes);
  tcase_add_test(tc, test_stats_count_no_loss_when_the_picture_pauses);
  tcase_add_test(tc, test_stats_of_one_stream_leave_others_out);
  tcase_add_test(tc, test_stats_count_sessions);
  return suite;
}

GST_CHECK_MAIN(stats);
