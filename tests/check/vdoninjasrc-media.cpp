// SPDX-License-Identifier: LGPL-2.1-or-later
// Media that err: whatever comes in the packets of an authenticated publisher, nothing
// crashes, nothing ends, and when it is over frames go on, on the same pad and in order.
#include <cstring>

#include <gst/rtp/gstrtpbuffer.h>
#include <gst/video/video.h>

#include "loopback.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

using Change = std::function<void(GstRTPBuffer *)>;

bool has_h264() {
  return has_element("x264enc") && has_element("avdec_h264");
}

void edit(BufferPtr &packet, const Change &change) {
  packet.reset(gst_buffer_make_writable(packet.release()));
  GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
  if (!gst_rtp_buffer_map(packet.get(), GST_MAP_READWRITE, &rtp))
    return;
  change(&rtp);
  gst_rtp_buffer_unmap(&rtp);
}

PublisherHooks packets_through(std::function<void(Packets &)> hook) {
  PublisherHooks hooks;
  hooks.media.packets = std::move(hook);
  return hooks;
}

PublisherHooks each_packet(const Change &change) {
  return packets_through([change](Packets &packets) { edit(packets.at(0), change); });
}

// From now on every packet goes through `hook`, until `count` did.
void spoil(Show &show, unsigned count, std::function<void(Packets &)> hook) {
  auto seen = std::make_shared<Watched<unsigned>>();
  show.publisher->set_hooks(packets_through([hook, seen](Packets &packets) {
    hook(packets);
    seen->update([](unsigned &value) { value++; });
  }));
  fail_unless(seen->wait(30s, [&](unsigned value) { return value >= count; }),
              "only %u packets", seen->get());
}

// Frames flow, on the pad that was there before.
void assert_flows(const Show &show) {
  show.player.expect_buffers("sink", 15);
  const auto state = show.player.state();
  const auto &sink = state.sinks.at("sink");
  fail_unless(state.errors.empty(), "%s", show.player.describe().c_str());
  fail_unless_equals_int(sink.backwards, 0);
  fail_unless_equals_int(sink.stream_starts, 1);
  fail_if(sink.eos);
  fail_unless(state.pads == std::vector<std::string>{"video_0"} && state.removed.empty());
}

void assert_recovers(const Show &show) {
  show.publisher->set_hooks({});
  assert_flows(show);
}

// --- H.264 packets (RFC 6184) ---

guint8 *payload_of(GstRTPBuffer *rtp) {
  return static_cast<guint8 *>(gst_rtp_buffer_get_payload(rtp));
}

bool is_parameter_set(guint8 header) {
  return (header & 0x1f) == 7 || (header & 0x1f) == 8;
}

// Overwrites parameter sets with filler.
void without_parameter_sets(GstRTPBuffer *rtp) {
  guint8 *data = payload_of(rtp);
  const guint size = gst_rtp_buffer_get_payload_len(rtp);
  if (size && is_parameter_set(data[0]))
    data[0] = 12;
  if (!size || (data[0] & 0x1f) != 24)
    return;
  for (guint at = 1; at + 2 < size; at += 2 + (data[at] << 8 | data[at + 1]))
    if (is_parameter_set(data[at + 2]))
      data[at + 2] = 12;
}

void without_sprop(std::string &sdp) {
  const std::string name = "sprop-parameter-sets=";
  for (size_t at = sdp.find(name); at != std::string::npos; at = sdp.find(name))
    sdp.replace(at, name.size(), "x-ignored=");
}

// Leaves the headers that depayloader and parser read.
void corrupt(GstRTPBuffer *rtp) {
  guint8 *data = payload_of(rtp);
  for (guint i = 12; i < gst_rtp_buffer_get_payload_len(rtp); i++)
    data[i] ^= static_cast<guint8>(0x5a + i);
}

} // namespace

GST_START_TEST(test_media_without_parameter_sets) {
  if (!has_h264())
    return;
  PublisherHooks hooks = each_packet(without_parameter_sets);
  hooks.offer = without_sprop;
  Show show(video_only(Codec::kX264), "", hooks);
  // One PLI would not do: this one has no effect.
  show.await("requests for a keyframe", [](const auto &state) {
    return !state.viewers.empty() && state.viewers[0].status.keyframe_requests >= 3;
  });
  fail_unless_equals_int(show.player.state().buffers("sink"), 0);
  assert_recovers(show);
}
GST_END_TEST

GST_START_TEST(test_media_corrupt_slices) {
  for (Codec codec : {Codec::kVp8, Codec::kVp9, Codec::kX264}) {
    if (codec == Codec::kX264 && !has_h264())
      continue;
    // Concealed or not; all decoders in both ways would take long.
    Show show(video_only(codec), codec == Codec::kVp9 ? "conceal-errors=true" : "");
    show.player.expect_buffers("sink", 5);
    spoil(show, 60, [](Packets &packets) { edit(packets[0], corrupt); });
    assert_recovers(show);
  }
}
GST_END_TEST

// For longer than it takes to give all decoders up.
GST_START_TEST(test_media_corrupt_from_the_start) {
  if (!has_h264())
    return;
  Show show(video_only(Codec::kX264), "", each_packet([](GstRTPBuffer *rtp) {
              guint8 *data = payload_of(rtp);
              if ((data[0] & 0x1f) == 5 || (data[0] & 0x1f) == 1 ||
                  (data[0] & 0x1f) == 28)
                for (guint i = 2; i < gst_rtp_buffer_get_payload_len(rtp); i++)
                  data[i] = 0xff;
            }));
  spoil(show, 400, [](Packets &packets) {
    edit(packets[0], [](GstRTPBuffer *rtp) {
      guint8 *data = payload_of(rtp);
      if ((data[0] & 0x1f) != 24)
        memset(data + 2, 0xff, gst_rtp_buffer_get_payload_len(rtp) - 2);
    });
  });
  assert_recovers(show);
}
GST_END_TEST

GST_START_TEST(test_media_reordered_and_repeated_packets_lose_nothing) {
  Show show;
  show.player.expect_buffers("sink", 5);
  const auto before = show.player.state().sinks.at("sink").stamps.missing;
  auto held = std::make_shared<Packets>();
  spoil(show, 90, [held](Packets &packets) {
    held->push_back(std::move(packets[0]));
    packets.clear();
    if (held->size() < 3)
      return;
    for (size_t i : {2, 0, 1, 0, 2})
      packets.emplace_back(gst_buffer_ref((*held)[i].get()));
    held->clear();
  });
  const auto missing = show.player.state().sinks.at("sink").stamps.missing;
  fail_unless_equals_int(missing, before);
  assert_recovers(show);
}
GST_END_TEST

// Between the good ones, then instead of them.
GST_START_TEST(test_media_payload_type_that_was_not_negotiated) {
  Show show;
  show.player.expect_buffers("sink", 5);
  const Change strange = [](GstRTPBuffer *rtp) {
    gst_rtp_buffer_set_payload_type(rtp, 126);
  };
  spoil(show, 30, [strange](Packets &packets) {
    packets.emplace_back(gst_buffer_copy_deep(packets[0].get()));
    edit(packets[1], strange);
    edit(packets[1], [](GstRTPBuffer *rtp) { gst_rtp_buffer_set_ssrc(rtp, 0x777); });
  });
  assert_recovers(show);
  spoil(show, 30, [strange](Packets &packets) { edit(packets[0], strange); });
  assert_recovers(show);
  fail_unless_equals_int(show.publisher->state().sessions, 1);
}
GST_END_TEST

GST_START_TEST(test_media_ssrc_changes) {
  Show show;
  show.player.expect_buffers("sink", 5);
  for (guint32 other : {0x1234u, 0x5678u}) {
    spoil(show, 60, [other](Packets &packets) {
      edit(packets[0],
           [other](GstRTPBuffer *rtp) { gst_rtp_buffer_set_ssrc(rtp, other); });
    });
    assert_flows(show);
  }
}
GST_END_TEST

// With the data channel first in the bundle, as browsers have it, there is nothing that
// such a stream could be attributed to.
GST_START_TEST(test_media_ssrc_that_was_not_announced) {
  PublisherConfig config = video_only();
  config.channel_first = true;
  Show show(config);
  show.player.expect_buffers("sink", 5);
  const Change strange = [](GstRTPBuffer *rtp) { gst_rtp_buffer_set_ssrc(rtp, 0x777); };
  spoil(show, 30, [strange](Packets &packets) {
    packets.emplace_back(gst_buffer_copy_deep(packets[0].get()));
    edit(packets[1], strange);
  });
  assert_recovers(show);
  spoil(show, 30, [strange](Packets &packets) { edit(packets[0], strange); });
  assert_recovers(show);
  fail_unless_equals_int(show.publisher->state().sessions, 1);
}
GST_END_TEST

// The publisher takes what the viewer calls itself in its reports.
GST_START_TEST(test_media_ssrc_collides_with_ours) {
  Show show;
  show.player.expect_buffers("sink", 5);
  const auto rtpbin = ObjPtr<GstElement>::adopt(
      gst_bin_get_by_name(GST_BIN(show.player.pipeline()), "rtpbin"));
  ObjPtr<GObject> session, source;
  g_signal_emit_by_name(rtpbin.get(), "get-internal-session", 0, session.out());
  guint ours = 0;
  // It calls itself so from its first report on; before, this is but what it would like.
  for (int pictures = 0; pictures < 300 && !source; pictures += 5) {
    show.player.expect_buffers("sink", 5);
    g_object_get(session.get(), "internal-ssrc", &ours, nullptr);
    g_signal_emit_by_name(session.get(), "get-source-by-ssrc", ours, source.out());
  }
  fail_unless(source.get() != nullptr, "no report in 300 pictures");
  spoil(show, 60, [ours](Packets &packets) {
    edit(packets[0], [ours](GstRTPBuffer *rtp) { gst_rtp_buffer_set_ssrc(rtp, ours); });
  });
  assert_recovers(show);
}
GST_END_TEST

GST_START_TEST(test_media_rtp_time_jumps) {
  Show show;
  show.player.expect_buffers("sink", 5);
  guint32 offset = 0;
  for (int seconds : {3600, -3600, 10, -10, 1, -1}) {
    offset += static_cast<guint32>(seconds * 90000);
    spoil(show, 45, [offset](Packets &packets) {
      edit(packets[0], [offset](GstRTPBuffer *rtp) {
        gst_rtp_buffer_set_timestamp(rtp, gst_rtp_buffer_get_timestamp(rtp) + offset);
      });
    });
    show.player.expect_buffers("sink", 5);
  }
  assert_recovers(show);
}
GST_END_TEST

GST_START_TEST(test_media_rtp_time_and_sequence_numbers_wrap) {
  struct First {
    bool known = false;
    guint32 time = 0;
    guint16 seq = 0;
  };
  auto first = std::make_shared<First>();
  Show show(video_only(), "", each_packet([first](GstRTPBuffer *rtp) {
              const guint32 time = gst_rtp_buffer_get_timestamp(rtp);
              const guint16 seq = gst_rtp_buffer_get_seq(rtp);
              if (!std::exchange(first->known, true)) {
                first->time = time;
                first->seq = seq;
              }
              gst_rtp_buffer_set_timestamp(rtp, time - first->time - 90000);
              gst_rtp_buffer_set_seq(rtp, seq - first->seq - 20);
            }));
  show.player.expect_buffers("sink", 60);
  expect_whole(show.player);
}
GST_END_TEST

GST_START_TEST(test_media_smallest_and_largest_picture) {
  struct Size {
    int width, height, fps;
  };
  for (Codec codec : {Codec::kVp8, Codec::kX264}) {
    if (codec == Codec::kX264 && !has_h264())
      continue;
    for (const Size &size : {Size{16, 16, 30}, Size{4096, 2304, 2}}) {
      PublisherConfig config = video_only(codec, size.fps);
      config.video.width = size.width;
      config.video.height = size.height;
      config.video.kbps = 2000;
      Show show(config);
      show.player.expect_buffers("sink", size.width > 1000 ? 2 : 10); // slow to encode
      const auto state = show.player.state();
      const std::string wanted = "width=(int)" + std::to_string(size.width);
      fail_unless(state.sinks.at("sink").caps.find(wanted) != std::string::npos);
      fail_unless(state.errors.empty(), "%s", show.player.describe().c_str());
    }
  }
}
GST_END_TEST

GST_START_TEST(test_media_codec_changes) {
  Show show;
  show.player.expect_buffers("sink", 5);
  for (Codec codec : {Codec::kX264, Codec::kVp9, Codec::kVp8}) {
    if (codec == Codec::kX264 && !has_h264())
      continue;
    fail_unless(show.publisher->set_video(video_only(codec).video, nullptr));
    show.player.expect_buffers("sink", 15);
    assert_recovers(show);
  }
}
GST_END_TEST

namespace {

// Loses the packets of one frame, for good, while the publisher is deaf to requests: how
// many frames come until it listens again, some 30 frames later.
unsigned frames_after_loss(Codec codec, const std::string &more) {
  Show show(video_only(codec), more);
  show.player.expect_buffers("sink", 20);
  Watched<unsigned> frames{0};
  PublisherHooks hooks;
  hooks.media.packets = [&](Packets &packets) {
    GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
    gst_rtp_buffer_map(packets[0].get(), GST_MAP_READ, &rtp);
    const bool last = gst_rtp_buffer_get_marker(&rtp);
    gst_rtp_buffer_unmap(&rtp);
    frames.update([&](unsigned &seen) {
      if (seen == 0)
        packets.clear();
      seen += last;
    });
  };
  hooks.media.keyframe = [] { return false; };
  show.publisher->set_hooks(hooks);
  fail_unless(frames.wait(20s, [](unsigned seen) { return seen > 0; }));
  const unsigned buffers = show.player.state().buffers("sink");
  fail_unless(frames.wait(20s, [](unsigned seen) { return seen >= 45; }));
  const unsigned result = show.player.state().buffers("sink") - buffers;
  show.await("a request for a keyframe", [](const auto &state) {
    return !state.viewers.empty() && state.viewers[0].status.keyframe_requests > 0;
  });
  assert_recovers(show);
  return result;
}

} // namespace

// Without conceal-errors the picture stands until a keyframe, as in a browser. Half a
// second of frames may be on its way when packets are lost.
GST_START_TEST(test_media_loss_freezes_or_shows_damage) {
  for (Codec codec : {Codec::kVp8, Codec::kX264}) {
    if (codec == Codec::kX264 && !has_h264())
      continue;
    const unsigned frozen = frames_after_loss(codec, "latency=50");
    const unsigned damaged = frames_after_loss(codec, "latency=50 conceal-errors=true");
    fail_unless(frozen < 15, "%u frames though one was lost", frozen);
    fail_unless(damaged > 25, "only %u frames though damage is welcome", damaged);
  }
}
GST_END_TEST

// The first request is lost, and the next; it asks until a picture comes.
GST_START_TEST(test_media_asks_for_a_keyframe_until_one_comes) {
  PublisherHooks hooks;
  auto asked = std::make_shared<unsigned>(0);
  hooks.media.keyframe = [asked] { return ++*asked > 3; };
  // The first keyframe is lost, too.
  auto first = std::make_shared<guint32>(0);
  auto known = std::make_shared<bool>(false);
  hooks.media.packets = [first, known](Packets &packets) {
    edit(packets[0], [&](GstRTPBuffer *rtp) {
      if (!std::exchange(*known, true))
        *first = gst_rtp_buffer_get_timestamp(rtp);
    });
    GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
    gst_rtp_buffer_map(packets[0].get(), GST_MAP_READ, &rtp);
    const bool lost = gst_rtp_buffer_get_timestamp(&rtp) == *first;
    gst_rtp_buffer_unmap(&rtp);
    if (lost)
      packets.clear();
  };
  for (const char *form : {"raw", "encoded"}) {
    *asked = 0;
    *known = false;
    Loopback loopback(video_only());
    loopback.publisher->set_hooks(hooks);
    loopback.publish();
    Player player(loopback.source(std::string("output-format=") + form) +
                  " ! fakesink name=sink sync=false");
    player.play();
    player.expect_buffers("sink", 5);
    const auto state = loopback.publisher->state();
    fail_unless(state.viewers.at(0).status.keyframe_requests >= 4);
    fail_unless(player.state().errors.empty());
  }
}
GST_END_TEST

GST_START_TEST(test_media_downstream_asks_for_a_keyframe) {
  for (Codec codec : {Codec::kVp8, Codec::kX264}) {
    if (codec == Codec::kX264 && !has_h264())
      continue;
    for (const char *form : {"raw", "encoded", "rtp"}) {
      Loopback loopback(video_only(codec));
      loopback.publish();
      Player player(loopback.source(std::string("output-format=") + form) +
                    " ! fakesink name=sink sync=false");
      player.play();
      player.expect_buffers("sink", 20);
      const auto requests = [&] {
        return loopback.publisher->state().viewers.at(0).status.keyframe_requests;
      };
      unsigned before = requests();
      player.expect_buffers("sink", 20);
      fail_unless_equals_int(requests(), before); // nobody asks unasked
      const auto pad =
          ObjPtr<GstPad>::adopt(gst_element_get_static_pad(player.source(), "video_0"));
      const auto peer = ObjPtr<GstPad>::adopt(gst_pad_get_peer(pad.get()));
      fail_unless(
          gst_pad_push_event(peer.get(), gst_video_event_new_upstream_force_key_unit(
                                             GST_CLOCK_TIME_NONE, TRUE, 0)),
          "%s takes no request", form);
      loopback.await("a request for a keyframe", [before](const auto &state) {
        return state.viewers.at(0).status.keyframe_requests > before;
      });
    }
  }
}
GST_END_TEST

static Suite *media_suite() {
  Suite *suite = suite_create("vdoninjasrc-media");
  TCase *tc = tcase_create("media");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 60);
  tcase_add_test(tc, test_media_without_parameter_sets);
  tcase_add_test(tc, test_media_corrupt_slices);
  tcase_add_test(tc, test_media_corrupt_from_the_start);
  tcase_add_test(tc, test_media_reordered_and_repeated_packets_lose_nothing);
  tcase_add_test(tc, test_media_payload_type_that_was_not_negotiated);
  tcase_add_test(tc, test_media_ssrc_changes);
  tcase_add_test(tc, test_media_ssrc_that_was_not_announced);
  tcase_add_test(tc, test_media_ssrc_collides_with_ours);
  tcase_add_test(tc, test_media_rtp_time_jumps);
  tcase_add_test(tc, test_media_rtp_time_and_sequence_numbers_wrap);
  tcase_add_test(tc, test_media_smallest_and_largest_picture);
  tcase_add_test(tc, test_media_codec_changes);
  tcase_add_test(tc, test_media_loss_freezes_or_shows_damage);
  tcase_add_test(tc, test_media_asks_for_a_keyframe_until_one_comes);
  tcase_add_test(tc, test_media_downstream_asks_for_a_keyframe);
  return suite;
}

GST_CHECK_MAIN(media);
