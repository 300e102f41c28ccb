// SPDX-License-Identifier: LGPL-2.1-or-later
// A room where eight publishers come and go at random: each is seen, on its own pad.
// CROWD_SECONDS is the length for each dialect, CROWD_SEED repeats a run.
#include <algorithm>
#include <random>

#include "scene.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr unsigned kCrowd = 8;
constexpr unsigned kSeconds = 30;

unsigned from_environment(const char *name, unsigned otherwise) {
  const char *text = g_getenv(name);
  return text ? atoi(text) : otherwise;
}

// Each publisher's pictures have a width of their own.
int width_of(unsigned index) {
  return 160 + 16 * static_cast<int>(index);
}

std::string name_of(unsigned index) {
  return "cam" + std::to_string(index);
}

struct Member {
  std::unique_ptr<Publisher> publisher; // NULL: away
  uint32_t since = 0;                   // a stamp's clock
};

class Crowd {
public:
  Crowd(Dialect dialect, unsigned seed)
      : scene_(dialect), random_(seed),
        player_(scene_.source("room=crowd latency=100"), {}) {
    g_signal_connect(player_.source(), "pad-added", G_CALLBACK(on_pad), this);
    player_.play();
  }
  ~Crowd() { g_signal_handlers_disconnect_by_data(player_.source(), this); }

  // One random step: somebody comes, or goes, or both at once.
  void step() {
    const unsigned index = random_() % kCrowd;
    if (!members_[index].publisher)
      join(index);
    else
      leave(index, random_() % 3);
    // The rhythm is the test's input; nothing is waited for.
    g_usleep(random_() % 600000);
  }
  void join(unsigned index) {
    PublisherConfig config = scene_.config(name_of(index));
    config.room = "crowd";
    config.video.codec = index % 2 ? Codec::kX264 : Codec::kVp8;
    config.video.width = width_of(index);
    config.video.height = 90;
    config.video.kbps = 200;
    members_[index].publisher = scene_.publish(config);
    members_[index].since = stamp_now_ms();
    joins_++;
  }
  // Two of three were seen before they go, one of them without a goodbye; the third goes
  // in the middle of whatever is going on.
  void leave(unsigned index, unsigned how) {
    if (how > 0)
      await_frames(index);
    if (how == 1)
      members_[index].publisher->stop();
    members_[index].publisher.reset();
  }
  void await_frames(unsigned index) {
    player_.expect(("frames of " + name_of(index)).c_str(),
                   [this, index](const Player::State &state) {
                     return state.shows_since(name_of(index), members_[index].since);
                   });
    seen_++;
  }
  void gather_all() {
    for (unsigned i = 0; i < kCrowd; i++)
      if (!members_[i].publisher)
        join(i);
    for (unsigned i = 0; i < kCrowd; i++)
      await_frames(i);
  }
  void assert_in_order() const {
    const auto state = player_.state();
    fail_unless(state.errors.empty() && !state.eos, "%s", player_.describe().c_str());
    fail_unless_equals_int(state.pads.size(), kCrowd);
    fail_unless_equals_int(state.removed.size(), 0);
    unsigned frames = 0;
    for (unsigned i = 0; i < kCrowd; i++) {
      const auto &sink = state.sinks.at(name_of(i));
      const std::string width = "width=(int)" + std::to_string(width_of(i)) + ",";
      for (const auto &caps : sink.all_caps)
        fail_unless(caps.find(width) != std::string::npos, "%s shows %s",
                    name_of(i).c_str(), caps.c_str());
      fail_unless_equals_int(sink.backwards, 0);
      fail_unless_equals_int(sink.unstamped, 0);
      frames += sink.buffers;
    }
    g_print("%u joins, %u of them awaited and seen, %u frames\n", joins_, seen_, frames);
  }

private:
  // Thread: the loop's. A sink named after the stream.
  static void on_pad(GstElement *, GstPad *pad, gpointer self) {
    auto *crowd = static_cast<Crowd *>(self);
    gchar *id = nullptr;
    g_object_get(pad, "stream-id", &id, nullptr);
    const StrPtr name(id);
    GstElement *filter = gst_element_factory_make("capsfilter", nullptr);
    GstElement *sink = gst_element_factory_make("fakesink", name.get());
    const CapsPtr raw(gst_caps_from_string("video/x-raw,format=I420"));
    g_object_set(filter, "caps", raw.get(), nullptr);
    g_object_set(sink, "sync", FALSE, "async", FALSE, nullptr);
    gst_bin_add_many(GST_BIN(crowd->player_.pipeline()), filter, sink, nullptr);
    crowd->player_.watch(sink);
    gst_element_link(filter, sink);
    gst_element_sync_state_with_parent(sink);
    gst_element_sync_state_with_parent(filter);
    const auto input = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(filter, "sink"));
    gst_pad_link(pad, input.get());
  }

  Scene scene_;
  std::mt19937 random_;
  Member members_[kCrowd];
  Player player_;
  unsigned joins_ = 0, seen_ = 0;
};

void come_and_go(Dialect dialect) {
  const unsigned seed = from_environment("CROWD_SEED", std::random_device()());
  g_print("CROWD_SEED=%u\n", seed);
  Crowd crowd(dialect, seed);
  const gint64 end = g_get_monotonic_time() +
                     from_environment("CROWD_SECONDS", kSeconds) * G_USEC_PER_SEC;
  while (g_get_monotonic_time() < end)
    crowd.step();
  crowd.gather_all();
  crowd.assert_in_order();
}

} // namespace

GST_START_TEST(test_crowd_comes_and_goes_hosted) {
  come_and_go(Dialect::kHosted);
}
GST_END_TEST

GST_START_TEST(test_crowd_comes_and_goes_custom) {
  come_and_go(Dialect::kCustom);
}
GST_END_TEST

static Suite *crowd_suite() {
  Suite *suite = suite_create("vdoninjasrc-crowd");
  TCase *tc = tcase_create("crowd");
  tcase_set_timeout(tc, from_environment("CROWD_SECONDS", kSeconds) + 100);
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_crowd_comes_and_goes_hosted);
  tcase_add_test(tc, test_crowd_comes_and_goes_custom);
  return suite;
}

GST_CHECK_MAIN(crowd);
