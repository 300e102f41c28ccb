// SPDX-License-Identifier: LGPL-2.1-or-later
#include "playout.h"

#include <algorithm>

#include "lateness.h"
#include "mutex.h"
#include "recent.h"
#include "rtp-pad.h"

using vdn::Backlog;
using vdn::Lock;

namespace {

struct Impl {
  explicit Impl(vdn::PlayoutConfig wanted)
      : config(std::move(wanted)), backlog(config.limits) {}

  const vdn::PlayoutConfig config;
  GstPad *sink = nullptr, *src = nullptr; // the element's
  bool broke = false;                     // the stage's thread
  vdn::Mutex mutex;
  std::condition_variable changed;
  Backlog backlog GUARDED_BY(mutex);
  vdn::Lateness lateness GUARDED_BY(mutex);
  vdn::PlayoutStats stats GUARDED_BY(mutex); // but the drops
  vdn::Recent late GUARDED_BY(mutex);        // us
  bool active GUARDED_BY(mutex) = false;
  bool smooth GUARDED_BY(mutex) = false;
  gint64 latency_us GUARDED_BY(mutex) = 0; // of this element's

  void update_latency() REQUIRES(mutex) {
    backlog.set_latency(std::max<gint64>(latency_us, *config.pipeline_latency));
  }
  // When it should have come.
  gint64 judge(GstBuffer *buffer, gint64 now) REQUIRES(mutex) {
    if (!GST_BUFFER_PTS_IS_VALID(buffer))
      return now;
    const gint64 ideal =
        lateness.arrived(static_cast<gint64>(GST_BUFFER_PTS(buffer) / GST_USECOND), now);
    const gint64 delay = smooth ? std::min(lateness.delay(now), latency_us) : 0;
    backlog.set_delay(delay);
    config.progress->delay_us = delay;
    config.progress->wanted_us = lateness.latency(now);
    late.add(now - ideal);
    return ideal;
  }
};

} // namespace

struct GstVdoNinjaPlayout {
  GstElement parent;
  Impl *impl;
};
struct GstVdoNinjaPlayoutClass {
  GstElementClass parent_class;
};

GType gst_vdoninja_playout_get_type(void);
G_DEFINE_TYPE(GstVdoNinjaPlayout, gst_vdoninja_playout, GST_TYPE_ELEMENT)

static Impl *impl_of(gpointer self) {
  return static_cast<GstVdoNinjaPlayout *>(self)->impl;
}

// A picture in byte-stream format to which no other refers: nal_ref_idc of its first
// slice is 0 (H.264, 7.4.1). Of H.265 nothing tells it: pictures of even types below 16
// may be referred to by those of higher sub-layers (H.265, 7.4.2.2).
static bool is_disposable(GstBuffer *buffer) {
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_READ))
    return false;
  bool disposable = false;
  for (gsize at = 0; at + 3 < map.size; at++) {
    if (map.data[at] || map.data[at + 1] || map.data[at + 2] != 1)
      continue;
    const guint8 header = map.data[at + 3];
    const guint type = header & 0x1f;
    if (type >= 1 && type <= 5) {
      disposable = (header & 0x60) == 0;
      break;
    }
    at += 3;
  }
  gst_buffer_unmap(buffer, &map);
  return disposable;
}

static bool put(Impl *impl, Backlog::Item item) {
  Lock lock(impl->mutex);
  if (!impl->active)
    return false;
  if (item.buffer)
    item.ideal_us = impl->judge(item.buffer.get(), item.arrived_us);
  if (item.buffer && impl->config.limits.keyframes) {
    impl->stats.frames++;
    impl->stats.keyframes += item.keyframe;
  }
  impl->backlog.push(std::move(item));
  impl->changed.notify_one();
  return true;
}

static GstFlowReturn chain(GstPad *, GstObject *parent, GstBuffer *buffer) {
  Impl *impl = impl_of(parent);
  Backlog::Item item;
  item.arrived_us = g_get_monotonic_time();
  item.keyframe = !GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DELTA_UNIT);
  item.disposable = impl->config.h264 && !item.keyframe && is_disposable(buffer);
  item.buffer.reset(buffer);
  return put(impl, std::move(item)) ? GST_FLOW_OK : GST_FLOW_FLUSHING;
}

static gboolean sink_event(GstPad *pad, GstObject *parent, GstEvent *event) {
  if (!GST_EVENT_IS_SERIALIZED(event))
    return gst_pad_event_default(pad, parent, event);
  Backlog::Item item;
  item.event.reset(event);
  return put(impl_of(parent), std::move(item));
}

// What has to wait for buffers before it cannot: this thread is not downstream's. Any
// caps are taken, as the decoder gets them later and perhaps simpler (branch.cpp).
static gboolean sink_query(GstPad *pad, GstObject *parent, GstQuery *query) {
  if (GST_QUERY_TYPE(query) == GST_QUERY_ACCEPT_CAPS) {
    gst_query_set_accept_caps_result(query, TRUE);
    return TRUE;
  }
  return !GST_QUERY_IS_SERIALIZED(query) && gst_pad_query_default(pad, parent, query);
}

// Sinks that sync hold buffers up for the latency of the whole pipeline.
static gboolean src_event(GstPad *pad, GstObject *parent, GstEvent *event) {
  if (GST_EVENT_TYPE(event) == GST_EVENT_LATENCY) {
    Impl *impl = impl_of(parent);
    GstClockTime latency = 0;
    gst_event_parse_latency(event, &latency);
    Lock lock(impl->mutex);
    *impl->config.pipeline_latency =
        GST_CLOCK_TIME_IS_VALID(latency) ? latency / 1000 : 0;
    impl->update_latency();
  }
  return gst_pad_event_default(pad, parent, event);
}

// What is declared is what we make of it; what the jitterbuffer waits for is not, as it
// waits only while something is missing.
static gboolean src_query(GstPad *pad, GstObject *parent, GstQuery *query) {
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY)
    return gst_pad_query_default(pad, parent, query);
  Impl *impl = impl_of(parent);
  Lock lock(impl->mutex);
  gst_query_set_latency(query, TRUE, impl->latency_us * GST_USECOND, GST_CLOCK_TIME_NONE);
  return TRUE;
}

// The next to go on, which may be nothing when it only `asks` for a keyframe; nullopt
// when the stage ends.
static std::optional<Backlog::Item> take(Impl *impl, bool *asks) {
  Lock lock(impl->mutex);
  for (;;) {
    if (!impl->active)
      return std::nullopt;
    const gint64 now = g_get_monotonic_time();
    auto item = impl->backlog.pop(now);
    *asks = impl->backlog.asks(now);
    impl->config.progress->dropped = impl->backlog.drops().all();
    impl->config.progress->skips = impl->backlog.skips();
    if (!item && *asks)
      item.emplace();
    if (item)
      return item;
    if (const auto due = impl->backlog.due())
      lock.wait_until(impl->changed, *due);
    else
      lock.wait(impl->changed);
  }
}

static void push(Impl *impl, GstBuffer *buffer) {
  vdn::Progress &progress = *impl->config.progress;
  if (impl->broke) {
    gst_buffer_unref(buffer);
    return;
  }
  progress.taken++;
  const gint64 before = g_get_monotonic_time();
  const GstFlowReturn flow = gst_pad_push(impl->src, buffer);
  progress.working_us += g_get_monotonic_time() - before;
  progress.handed++;
  if (flow == GST_FLOW_OK || flow == GST_FLOW_FLUSHING)
    return;
  impl->broke = true;
  impl->config.broken(flow);
}

// Thread: the stage's.
static void run(gpointer self) {
  Impl *impl = impl_of(self);
  bool asks = false;
  auto item = take(impl, &asks);
  if (!item)
    return;
  if (asks && impl->config.video)
    gst_pad_push_event(impl->sink, vdn::new_keyframe_request());
  if (item->event)
    gst_pad_push_event(impl->src, item->event.release());
  else if (item->buffer)
    push(impl, item->buffer.release());
}

static gboolean activate_src(GstPad *pad, GstObject *parent, GstPadMode,
                             gboolean active) {
  Impl *impl = impl_of(parent);
  {
    Lock lock(impl->mutex);
    impl->active = active;
    impl->changed.notify_one();
  }
  return active ? gst_pad_start_task(pad, run, parent, nullptr) : gst_pad_stop_task(pad);
}

static GstPad *add_pad(GstElement *self, const char *name, GstPadDirection direction) {
  GstPad *pad = gst_pad_new(name, direction);
  GST_PAD_SET_PROXY_CAPS(pad);
  gst_element_add_pad(self, pad);
  return pad;
}

static void gst_vdoninja_playout_finalize(GObject *object) {
  delete impl_of(object);
  G_OBJECT_CLASS(gst_vdoninja_playout_parent_class)->finalize(object);
}

static void gst_vdoninja_playout_init(GstVdoNinjaPlayout *) {}

static void gst_vdoninja_playout_class_init(GstVdoNinjaPlayoutClass *klass) {
  G_OBJECT_CLASS(klass)->finalize = gst_vdoninja_playout_finalize;
  gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "VDO.Ninja playout",
                                        "Generic", "Drops what waits for too long",
                                        "gst-vdoninja");
}

GstElement *vdn::playout_new(PlayoutConfig config) {
  auto *self = static_cast<GstElement *>(
      g_object_new(gst_vdoninja_playout_get_type(), "name", "playout", nullptr));
  auto *impl = new Impl(std::move(config));
  static_cast<GstVdoNinjaPlayout *>(static_cast<gpointer>(self))->impl = impl;
  playout_set_latency(self, impl->config.latency_us, impl->config.adaptive);
  impl->sink = add_pad(self, "sink", GST_PAD_SINK);
  impl->src = add_pad(self, "src", GST_PAD_SRC);
  gst_pad_set_chain_function(impl->sink, chain);
  gst_pad_set_event_function(impl->sink, sink_event);
  gst_pad_set_query_function(impl->sink, sink_query);
  gst_pad_set_event_function(impl->src, src_event);
  gst_pad_set_query_function(impl->src, src_query);
  gst_pad_set_activatemode_function(impl->src, activate_src);
  return self;
}

vdn::PlayoutStats vdn::playout_stats(GstElement *playout) {
  Impl *impl = impl_of(playout);
  Lock lock(impl->mutex);
  PlayoutStats stats = impl->stats;
  stats.drops = impl->backlog.drops();
  stats.late_p95_us = impl->late.p95();
  return stats;
}

void vdn::playout_clear(GstElement *playout) {
  Impl *impl = impl_of(playout);
  Lock lock(impl->mutex);
  impl->backlog.clear();
  impl->lateness.clear();
}

void vdn::playout_set_latency(GstElement *playout, gint64 us, bool adaptive) {
  Impl *impl = impl_of(playout);
  Lock lock(impl->mutex);
  impl->latency_us = us;
  impl->smooth = adaptive && impl->config.can_smooth;
  impl->update_latency();
}
