// SPDX-License-Identifier: LGPL-2.1-or-later
#include "publisher.h"

#include "handshake-server.h"
#include "test-viewer.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr auto kLimit = 15s;

// A server, and a publisher that is online there.
struct Fixture {
  Dialect dialect = Dialect::kHosted;
  HandshakeServer server;
  Publisher publisher;

  explicit Fixture(PublisherConfig config = {})
      : server(server_options(config.dialect)), publisher(started(&config)) {
    GError *error = nullptr;
    fail_unless(publisher.start(&error), "%s", error ? error->message : "");
    fail_unless(publisher.wait(kLimit, [](const auto &state) { return state.online; }));
    // The server has the id, so that no custom `play` comes too early.
    fail_unless(server.wait(kLimit, [](const HandshakeServer::State &state) {
      return state.count("seed") + state.count("joinroom") > 0;
    }));
  }

  ViewerConfig viewer(const char *password = "") const {
    ViewerConfig result;
    result.server = server.url();
    result.dialect = dialect;
    result.stream_id = "cam";
    result.password = password;
    return result;
  }

private:
  static HandshakeServer::Options server_options(Dialect dialect) {
    HandshakeServer::Options result;
    result.routing.dialect = dialect;
    return result;
  }
  PublisherConfig started(PublisherConfig *config) {
    fail_unless(server.start(nullptr));
    dialect = config->dialect;
    config->server = server.url();
    config->stream_id = "cam";
    if (config->video.width == TrackConfig().width) {
      config->video.width = 320;
      config->video.height = 240;
    }
    return *config;
  }
};

void await(const TestViewer &viewer, const char *what,
           const std::function<bool(const TestViewer::State &)> &ready) {
  const bool done = viewer.wait(kLimit, ready);
  const auto state = viewer.state();
  fail_unless(done,
              "no %s: open %d offers %u connected %d channel %d pads %u frames %u "
              "unreadable %u audio %u size %dx%d",
              what, state.open, state.offers, state.connected, state.channel_open,
              state.video_pads, state.video.frames, state.unreadable, state.audio_buffers,
              state.width, state.height);
}

void await_frames(const TestViewer &viewer, unsigned frames = 15) {
  const unsigned before = viewer.state().video.frames;
  await(viewer, "frames", [=](const TestViewer::State &state) {
    return state.video.frames >= before + frames;
  });
}

void await_publisher(const Publisher &publisher, const char *what,
                     const std::function<bool(const Publisher::State &)> &ready) {
  const bool done = publisher.wait(kLimit, ready);
  const auto state = publisher.state();
  fail_unless(done,
              "no %s: online %d viewers %zu connected %u sessions %u, last ending '%s'",
              what, state.online, state.viewers.size(), state.connected(), state.sessions,
              state.endings.empty() ? "" : state.endings.back().c_str());
}

bool has_element(const char *name) {
  GstElementFactory *factory = gst_element_factory_find(name);
  if (factory)
    gst_object_unref(factory);
  else
    g_print("skipped: no %s\n", name);
  return factory != nullptr;
}

void assert_plays(const TrackConfig &video, const char *encoding) {
  PublisherConfig config;
  config.video = video;
  Fixture fixture(config);
  TestViewer viewer(fixture.viewer());
  await_publisher(fixture.publisher, "media", [](const auto &state) {
    return state.connected() == 1 && state.viewers[0].status.channel_open;
  });
  await_frames(viewer, 30);
  await(viewer, "audio", [](const auto &state) { return state.audio_buffers > 10; });
  const auto state = viewer.state();
  fail_unless_equals_string(state.encoding.c_str(), encoding);
  fail_unless_equals_int(state.width, 320);
  fail_unless_equals_int(state.video.backwards, 0);
}

} // namespace

GST_START_TEST(test_publisher_vp8_plays) {
  assert_plays({}, "VP8");
}
GST_END_TEST

GST_START_TEST(test_publisher_vp9_plays) {
  TrackConfig video;
  video.codec = Codec::kVp9;
  assert_plays(video, "VP9");
}
GST_END_TEST

GST_START_TEST(test_publisher_h264_plays_with_any_slices) {
  if (!has_element("x264enc"))
    return;
  TrackConfig video;
  video.codec = Codec::kX264;
  for (const unsigned slices : {1, 4}) {
    video.slices = slices;
    assert_plays(video, "H264");
  }
}
GST_END_TEST

GST_START_TEST(test_publisher_openh264_plays) {
  if (!has_element("openh264enc"))
    return;
  TrackConfig video;
  video.codec = Codec::kOpenH264;
  assert_plays(video, "H264");
}
GST_END_TEST

static Suite *publisher_suite() {
  Suite *suite = suite_create("publisher");
  TCase *tcase = tcase_create("general");
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, test_publisher_vp8_plays);
  tcase_add_test(tcase, test_publisher_vp9_plays);
  tcase_add_test(tcase, test_publisher_h264_plays_with_any_slices);
  tcase_add_test(tcase, test_publisher_openh264_plays);
  return suite;
}

GST_CHECK_MAIN(publisher);
