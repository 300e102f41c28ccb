// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pacer.h"

#include <map>

#include "mutex.h"
#include "twcc.h"

using vdn::Lock;
using vdn::PacerQueue;

namespace {

// Kinds sort as they have to come.
using Events = std::map<GstEventType, vdn::EventPtr>;

using PacketsPtr = vdn::MiniPtr<GstBufferList>;

// What the thread does next: one of them.
struct Work {
  vdn::EventPtr event;
  PacketsPtr packets;
};

struct Impl {
  explicit Impl(vdn::PacerConfig wanted)
      : config(std::move(wanted)), queue(config.kbit_s) {}

  const vdn::PacerConfig config;
  GstPad *sink = nullptr, *src = nullptr; // the element's
  vdn::Mutex mutex;
  std::condition_variable changed;
  PacerQueue queue GUARDED_BY(mutex);
  // Those go before packets, as they do in rtprtxsend, and the newest of a kind only, so
  // that there are few when the way out is blocked.
  Events events GUARDED_BY(mutex);
  vdn::EventPtr eos GUARDED_BY(mutex); // goes behind all packets
  vdn::PayloadTypes repeats GUARDED_BY(mutex);
  bool active GUARDED_BY(mutex) = false;
  GstFlowReturn flow GUARDED_BY(mutex) = GST_FLOW_OK;    // of the last push
  gint64 sleeps_until_us GUARDED_BY(mutex) = G_MININT64; // the thread; past: it does not

  void wake(gint64 due_us) REQUIRES(mutex) {
    if (due_us < sleeps_until_us)
      changed.notify_one();
  }
  vdn::PacerState state(gint64 now) REQUIRES(mutex) {
    return {queue.damaged(), queue.skipping(), queue.backlogged(now), queue.bytes(),
            queue.counts()};
  }
  // Returns the events that had not gone on.
  Events reset(bool now_active) REQUIRES(mutex) {
    active = now_active;
    flow = GST_FLOW_OK;
    queue.clear();
    eos.reset();
    changed.notify_one();
    return std::exchange(events, {});
  }
};

} // namespace

struct GstVdoNinjaPacer {
  GstElement parent;
  Impl *impl;
};
struct GstVdoNinjaPacerClass {
  GstElementClass parent_class;
};

GType gst_vdoninja_pacer_get_type(void);
G_DEFINE_TYPE(GstVdoNinjaPacer, gst_vdoninja_pacer, GST_TYPE_ELEMENT)

static Impl *impl_of(gpointer self) {
  return static_cast<GstVdoNinjaPacer *>(self)->impl;
}

static GstFlowReturn chain(GstPad *, GstObject *parent, GstBuffer *buffer) {
  Impl *impl = impl_of(parent);
  const gint64 now = g_get_monotonic_time();
  vdn::RtpPacket rtp =
      vdn::read_packet(vdn::BufferPtr(buffer), impl->config.payloads, now);
  Lock lock(impl->mutex);
  if (!impl->active)
    return GST_FLOW_FLUSHING;
  if (impl->flow != GST_FLOW_OK)
    return impl->flow;
  if (rtp.packet.kind == PacerQueue::Kind::kRepeat)
    impl->repeats.set(rtp.payload_type);
  impl->queue.push(std::move(rtp.packet));
  if (const auto due = impl->queue.due_us(now))
    impl->wake(*due);
  return GST_FLOW_OK;
}

static gboolean queue_event(Impl *impl, vdn::EventPtr event) {
  Lock lock(impl->mutex);
  if (!impl->active)
    return FALSE;
  if (GST_EVENT_TYPE(event.get()) == GST_EVENT_EOS)
    impl->eos = std::move(event);
  else
    impl->events[GST_EVENT_TYPE(event.get())] = std::move(event);
  impl->wake(g_get_monotonic_time());
  return TRUE;
}

static void run(gpointer self);

// What was told before a flush holds after it, but for the segment.
static void flush_start(Impl *impl, GstEvent *event) {
  gst_pad_push_event(impl->src, event); // ends a push that waits
  Events events;
  {
    Lock lock(impl->mutex);
    events = impl->reset(false);
  }
  gst_pad_pause_task(impl->src);
  for (const auto &[type, waiting] : events)
    if (GST_EVENT_IS_STICKY(waiting.get()) && type != GST_EVENT_SEGMENT)
      gst_pad_store_sticky_event(impl->src, waiting.get());
}

static void flush_stop(Impl *impl, GstObject *self, GstEvent *event) {
  gst_pad_push_event(impl->src, event);
  {
    Lock lock(impl->mutex);
    impl->reset(true);
  }
  gst_pad_start_task(impl->src, run, self, nullptr);
}

static gboolean sink_event(GstPad *pad, GstObject *parent, GstEvent *event) {
  Impl *impl = impl_of(parent);
  switch (GST_EVENT_TYPE(event)) {
  case GST_EVENT_FLUSH_START:
    flush_start(impl, event);
    return TRUE;
  case GST_EVENT_FLUSH_STOP:
    flush_stop(impl, parent, event);
    return TRUE;
  default:
    if (GST_EVENT_IS_SERIALIZED(event))
      return queue_event(impl, vdn::EventPtr(event));
    return gst_pad_event_default(pad, parent, event);
  }
}

// What has to wait for buffers before it cannot: they are with the thread.
static gboolean sink_query(GstPad *pad, GstObject *parent, GstQuery *query) {
  return !GST_QUERY_IS_SERIALIZED(query) && gst_pad_query_default(pad, parent, query);
}

static bool allows_repeat(Impl *impl, const GstStructure *request) {
  guint number = 0, ssrc = 0;
  if (!gst_structure_get_uint(request, "seqnum", &number) ||
      !gst_structure_get_uint(request, "ssrc", &ssrc))
    return false;
  Lock lock(impl->mutex);
  return impl->queue.allow_repeat(ssrc, static_cast<uint16_t>(number),
                                  g_get_monotonic_time());
}

static void tell_feedback(Impl *impl, const GstStructure *structure) {
  vdn::PayloadTypes repeats;
  {
    Lock lock(impl->mutex);
    repeats = impl->repeats;
  }
  std::vector<vdn::SentPacket> packets;
  if (vdn::read_feedback(structure, repeats, &packets) && impl->config.feedback)
    impl->config.feedback(std::move(packets));
}

// Thread: the one on which webrtcbin gets RTCP.
static gboolean src_event(GstPad *pad, GstObject *parent, GstEvent *event) {
  const GstStructure *structure = gst_event_get_structure(event);
  if (GST_EVENT_TYPE(event) == GST_EVENT_CUSTOM_UPSTREAM && structure) {
    if (gst_structure_has_name(structure, "RTPTWCCPackets")) {
      tell_feedback(impl_of(parent), structure);
    } else if (gst_structure_has_name(structure, "GstRTPRetransmissionRequest") &&
               !allows_repeat(impl_of(parent), structure)) {
      gst_event_unref(event);
      return TRUE;
    }
  }
  return gst_pad_event_default(pad, parent, event);
}

// What leaves now, of one stream: rtpsession takes a list for packets of one source, and
// reports tell one time of sending for all of it.
static PacketsPtr take_packets(PacerQueue *queue) {
  const gint64 now = g_get_monotonic_time();
  auto packet = queue->pop(now);
  if (!packet)
    return nullptr;
  PacketsPtr packets(gst_buffer_list_new());
  for (const auto kind = packet->kind; packet; packet = queue->pop(now, kind))
    gst_buffer_list_add(packets.get(), packet->buffer.release());
  return packets;
}

// The next to go on; nullopt when the thread ends.
static std::optional<Work> take(Impl *impl) {
  Lock lock(impl->mutex);
  for (;;) {
    impl->sleeps_until_us = G_MININT64;
    if (!impl->active)
      return std::nullopt;
    if (const auto first = impl->events.begin(); first != impl->events.end()) {
      Work work{std::move(first->second), nullptr};
      impl->events.erase(first);
      return work;
    }
    if (auto packets = take_packets(&impl->queue))
      return Work{nullptr, std::move(packets)};
    const auto due = impl->queue.due_us(g_get_monotonic_time());
    if (!due && impl->eos)
      return Work{std::move(impl->eos), nullptr};
    impl->sleeps_until_us = due.value_or(G_MAXINT64);
    if (due)
      lock.wait_until(impl->changed, *due);
    else
      lock.wait(impl->changed);
  }
}

// Thread: the element's.
static void run(gpointer self) {
  Impl *impl = impl_of(self);
  auto work = take(impl);
  if (!work) {
    gst_pad_pause_task(impl->src);
    return;
  }
  if (work->event) {
    gst_pad_push_event(impl->src, work->event.release());
    return;
  }
  const GstFlowReturn flow = gst_pad_push_list(impl->src, work->packets.release());
  Lock lock(impl->mutex);
  // Who flushes tells what is before us by itself.
  if (!impl->active || flow == GST_FLOW_FLUSHING || flow == GST_FLOW_OK)
    return;
  impl->flow = flow;
  impl->queue.clear();
}

static gboolean activate_src(GstPad *pad, GstObject *parent, GstPadMode,
                             gboolean active) {
  Impl *impl = impl_of(parent);
  {
    Lock lock(impl->mutex);
    impl->reset(active);
  }
  return active ? gst_pad_start_task(pad, run, parent, nullptr) : gst_pad_stop_task(pad);
}

static GstPad *add_pad(GstElement *self, const char *name, GstPadDirection direction) {
  GstPad *pad = gst_pad_new(name, direction);
  GST_PAD_SET_PROXY_CAPS(pad);
  gst_element_add_pad(self, pad);
  return pad;
}

static void gst_vdoninja_pacer_finalize(GObject *object) {
  delete impl_of(object);
  G_OBJECT_CLASS(gst_vdoninja_pacer_parent_class)->finalize(object);
}

static void gst_vdoninja_pacer_init(GstVdoNinjaPacer *) {}

static void gst_vdoninja_pacer_class_init(GstVdoNinjaPacerClass *klass) {
  G_OBJECT_CLASS(klass)->finalize = gst_vdoninja_pacer_finalize;
  gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "VDO.Ninja pacer",
                                        "Generic", "Sends at the pace of the network",
                                        "gst-vdoninja");
}

GstElement *vdn::pacer_new(PacerConfig config) {
  auto *self = static_cast<GstElement *>(
      g_object_new(gst_vdoninja_pacer_get_type(), "name", "pacer", nullptr));
  auto *impl = new Impl(std::move(config));
  static_cast<GstVdoNinjaPacer *>(static_cast<gpointer>(self))->impl = impl;
  impl->sink = add_pad(self, "sink", GST_PAD_SINK);
  impl->src = add_pad(self, "src", GST_PAD_SRC);
  gst_pad_set_chain_function(impl->sink, chain);
  gst_pad_set_event_function(impl->sink, sink_event);
  gst_pad_set_query_function(impl->sink, sink_query);
  gst_pad_set_event_function(impl->src, src_event);
  gst_pad_set_activatemode_function(impl->src, activate_src);
  return self;
}

void vdn::pacer_set_rate(GstElement *pacer, unsigned kbit_s, gint64 round_trip_us) {
  Impl *impl = impl_of(pacer);
  Lock lock(impl->mutex);
  impl->queue.set_rate(kbit_s);
  impl->queue.set_round_trip(round_trip_us);
}

vdn::PacerState vdn::pacer_state(GstElement *pacer) {
  Impl *impl = impl_of(pacer);
  Lock lock(impl->mutex);
  return impl->state(g_get_monotonic_time());
}
