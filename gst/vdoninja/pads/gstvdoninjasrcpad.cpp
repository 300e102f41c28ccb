// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gstvdoninjasrcpad.h"

#include <atomic>
#include <optional>
#include <string>

#include "apart.h"
#include "codec.h"
#include "gst-ptr.h"
#include "mutex.h"

using vdn::Lock;

namespace {

struct Impl {
  std::atomic<bool> discont{true};
  std::atomic<bool> finished{false};
  // Unlinked since the source came: what it has was meant for somebody else.
  std::atomic<bool> stale{false};
  std::atomic<guint64> buffers{0};
  std::atomic<bool> pushing{false};
  std::atomic<guint64> pushing_us{0};
  std::atomic<GstFlowReturn> flow{GST_FLOW_OK};
  std::atomic<GstClockTime> latency{0};
  vdn::ObjPtr<GstStream> stream;
  std::atomic<bool> pictures{false};
  vdn::Apart apart; // streaming thread
  guint group_id = 0;
  std::atomic<bool> in_gap{false};
  std::atomic<bool> started{false}; // downstream has had our stream-start
  std::atomic<GstClockTime> last_time{GST_CLOCK_TIME_NONE}; // up to where it is told
  std::atomic<gint64> offset{0};                            // of running time
  std::atomic<bool> moved{false};                           // since the last segment
  std::optional<GstSegment> source_segment;                 // streaming thread
  vdn::Mutex mutex;
  std::atomic<bool> news{false}; // collection or tags changed since the last buffer
  vdn::ObjPtr<GstStreamCollection> collection GUARDED_BY(mutex);
  guint bitrate GUARDED_BY(mutex) = 0;
  gint rotation GUARDED_BY(mutex) = -1; // degrees, -1: nothing was said of it
  vdn::MiniPtr<GstTagList> source_tags GUARDED_BY(mutex);
  std::string stream_id GUARDED_BY(mutex), label GUARDED_BY(mutex), mid GUARDED_BY(mutex),
      codec GUARDED_BY(mutex);
};

constexpr const char *kTagStreamId = "vdoninja-stream-id";
constexpr const char *kTagMid = "vdoninja-mid";

enum { PROP_0, PROP_STREAM_ID, PROP_LABEL, PROP_MID, PROP_CODEC, N_PROPS };
GParamSpec *props[N_PROPS];

} // namespace

struct _GstVdoNinjaSrcPad {
  GstGhostPad parent;
  Impl *impl;
};

G_DEFINE_FINAL_TYPE(GstVdoNinjaSrcPad, gst_vdoninja_src_pad, GST_TYPE_GHOST_PAD)

// Thread: streaming. Marks the first buffer after a change of source.
static GstBuffer *mark(Impl *impl, GstBuffer *buffer) {
  const bool discont = impl->discont.exchange(false);
  const GstClockTime time =
      impl->apart.next(GST_BUFFER_PTS(buffer), impl->pictures ? GST_MSECOND : 0);
  if (discont || time != GST_BUFFER_PTS(buffer)) {
    buffer = gst_buffer_make_writable(buffer);
    GST_BUFFER_PTS(buffer) = time;
  }
  if (discont)
    GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DISCONT);
  impl->last_time = time;
  return buffer;
}

// What the source says of its stream, and what only we know. One list: a newer one takes
// the place of an older one wherever events are stored.
static GstTagList *make_tags(Impl *impl) REQUIRES(impl->mutex) {
  GstTagList *tags = impl->source_tags ? gst_tag_list_copy(impl->source_tags.get())
                                       : gst_tag_list_new_empty();
  auto add = [&](const char *tag, const std::string &text) {
    if (!text.empty())
      gst_tag_list_add(tags, GST_TAG_MERGE_REPLACE, tag, text.c_str(), nullptr);
  };
  add(GST_TAG_TITLE, impl->label.empty() ? impl->stream_id : impl->label);
  add(kTagStreamId, impl->stream_id);
  add(kTagMid, impl->mid);
  if (const vdn::Codec *codec = vdn::find_codec(impl->codec)) {
    bool video = codec->kind == vdn::MediaKind::kVideo;
    gst_tag_list_add(tags, GST_TAG_MERGE_KEEP,
                     video ? GST_TAG_VIDEO_CODEC : GST_TAG_AUDIO_CODEC, codec->name,
                     nullptr);
  }
  if (impl->rotation >= 0)
    add(GST_TAG_IMAGE_ORIENTATION, "rotate-" + std::to_string(impl->rotation));
  if (impl->bitrate)
    gst_tag_list_add(tags, GST_TAG_MERGE_REPLACE, GST_TAG_BITRATE, impl->bitrate,
                     nullptr);
  return tags;
}

// Thread: streaming. Sources share the pipeline's clock and base time, so one segment
// serves them all until a pause moves it. NULL when downstream has it.
static GstEvent *next_segment(GstPad *pad, Impl *impl) {
  GstSegment next = *impl->source_segment;
  impl->moved = false;
  gst_segment_offset_running_time(&next, GST_FORMAT_TIME, impl->offset);
  const vdn::EventPtr old(gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0));
  if (old) {
    const GstSegment *before = nullptr;
    gst_event_parse_segment(old.get(), &before);
    GstSegment same = *before;
    same.position = next.position; // of whoever sends it, and nobody else's matter
    if (gst_segment_is_equal(&same, &next))
      return nullptr;
  }
  return gst_event_new_segment(&next);
}

// Thread: streaming, after caps and segment. Serialised events cannot be pushed by others
// without waiting for a buffer.
static void push_news(GstPad *pad, Impl *impl) {
  if (impl->moved && impl->source_segment)
    if (GstEvent *segment = next_segment(pad, impl))
      gst_pad_push_event(pad, segment);
  if (!impl->news.exchange(false))
    return;
  vdn::ObjPtr<GstStreamCollection> collection;
  GstTagList *tags;
  {
    Lock lock(impl->mutex);
    collection = impl->collection;
    tags = make_tags(impl);
  }
  if (collection)
    gst_pad_push_event(pad, gst_event_new_stream_collection(collection.get()));
  gst_stream_set_tags(impl->stream.get(), tags);
  gst_pad_push_event(pad, gst_event_new_tag(tags));
}

// Thread: streaming. Whoever has enough is told that this was all, as other sources do;
// the pad itself has not ended and may be linked to somebody else.
static GstFlowReturn note_flow(GstPad *pad, Impl *impl, gint64 since_us,
                               GstFlowReturn flow, guint buffers) {
  impl->pushing = false;
  impl->pushing_us += g_get_monotonic_time() - since_us;
  GstFlowReturn before = impl->flow.exchange(flow);
  if (flow == GST_FLOW_OK)
    impl->buffers += buffers;
  if (flow == GST_FLOW_EOS && before != GST_FLOW_EOS)
    if (auto peer = vdn::ObjPtr<GstPad>::adopt(gst_pad_get_peer(pad)))
      gst_pad_send_event(peer.get(), gst_event_new_eos());
  return flow;
}

static GstFlowReturn chain(GstPad *internal, GstObject *parent, GstBuffer *buffer) {
  Impl *impl = GST_VDONINJA_SRC_PAD(parent)->impl;
  if (impl->finished) {
    gst_buffer_unref(buffer);
    return GST_FLOW_EOS;
  }
  if (impl->stale) {
    gst_buffer_unref(buffer);
    return GST_FLOW_OK;
  }
  push_news(GST_PAD(parent), impl);
  impl->pushing = true;
  const gint64 since = g_get_monotonic_time();
  GstFlowReturn flow = gst_proxy_pad_chain_default(internal, parent, mark(impl, buffer));
  return note_flow(GST_PAD(parent), impl, since, flow, 1);
}

static GstFlowReturn chain_list(GstPad *internal, GstObject *parent,
                                GstBufferList *list) {
  Impl *impl = GST_VDONINJA_SRC_PAD(parent)->impl;
  if (impl->finished) {
    gst_buffer_list_unref(list);
    return GST_FLOW_EOS;
  }
  if (impl->stale) {
    gst_buffer_list_unref(list);
    return GST_FLOW_OK;
  }
  guint size = gst_buffer_list_length(list);
  if (size && impl->discont) {
    list = gst_buffer_list_make_writable(list);
    GstBuffer *first = gst_buffer_list_get_writable(list, 0);
    GST_BUFFER_FLAG_SET(first, GST_BUFFER_FLAG_DISCONT);
    impl->discont = false;
  }
  push_news(GST_PAD(parent), impl);
  impl->pushing = true;
  const gint64 since = g_get_monotonic_time();
  GstFlowReturn flow = gst_proxy_pad_chain_list_default(internal, parent, list);
  return note_flow(GST_PAD(parent), impl, since, flow, size);
}

// NULL when downstream has had it. Thread: any.
static GstEvent *first_event(Impl *impl) {
  if (impl->started.exchange(true))
    return nullptr;
  GstEvent *event =
      gst_event_new_stream_start(gst_stream_get_stream_id(impl->stream.get()));
  gst_event_set_group_id(event, impl->group_id);
  gst_event_set_stream(event, impl->stream.get());
  return event;
}

// Thread: streaming. Each source brings its own stream-start; downstream sees only ours.
static gboolean event(GstPad *internal, GstObject *parent, GstEvent *event) {
  Impl *impl = GST_VDONINJA_SRC_PAD(parent)->impl;
  if (impl->stale) {
    gst_event_unref(event);
    return TRUE;
  }
  switch (GST_EVENT_TYPE(event)) {
  case GST_EVENT_STREAM_START:
    gst_event_unref(event);
    event = first_event(impl);
    if (!event)
      return TRUE;
    break;
  case GST_EVENT_CAPS: {
    GstCaps *caps = nullptr;
    gst_event_parse_caps(event, &caps);
    gst_stream_set_caps(impl->stream.get(), caps);
    break;
  }
  case GST_EVENT_SEGMENT: {
    const GstSegment *segment = nullptr;
    gst_event_parse_segment(event, &segment);
    impl->source_segment = *segment;
    gst_event_unref(event);
    event = next_segment(GST_PAD(parent), impl);
    if (!event)
      return TRUE;
    break;
  }
  case GST_EVENT_TAG: {
    GstTagList *tags = nullptr;
    gst_event_parse_tag(event, &tags);
    if (gst_tag_list_get_scope(tags) != GST_TAG_SCOPE_STREAM)
      break;
    {
      Lock lock(impl->mutex);
      impl->source_tags.reset(gst_tag_list_ref(tags));
    }
    impl->news = true;
    gst_event_unref(event);
    return TRUE;
  }
  case GST_EVENT_EOS:
  case GST_EVENT_FLUSH_START:
  case GST_EVENT_FLUSH_STOP:
    gst_event_unref(event);
    return TRUE;
  default:
    break;
  }
  return gst_pad_event_default(internal, parent, event);
}

// Whoever is linked next may take any form, whatever flowed to the one before.
static void answer_caps(GstPad *pad, GstQuery *query) {
  GstCaps *filter = nullptr;
  gst_query_parse_caps(query, &filter);
  vdn::CapsPtr caps(gst_pad_get_pad_template_caps(pad));
  if (filter)
    caps.reset(gst_caps_intersect_full(filter, caps.get(), GST_CAPS_INTERSECT_FIRST));
  gst_query_set_caps_result(query, caps.get());
}

static gboolean query(GstPad *pad, GstObject *parent, GstQuery *query) {
  if (GST_QUERY_TYPE(query) == GST_QUERY_CAPS && !gst_pad_is_linked(pad)) {
    answer_caps(pad, query);
    return TRUE;
  }
  const gboolean answered = gst_pad_query_default(pad, parent, query);
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY)
    return answered;
  // Before the first packet and between two sessions: stay live, or a sink would stop
  // waiting for us and an aggregator for the clock. And opusdec declares 120 ms, the
  // longest packet there may be, for what is late by one of 20 ms.
  Impl *impl = GST_VDONINJA_SRC_PAD(pad)->impl;
  const bool audio = impl->stream && gst_stream_get_stream_type(impl->stream.get()) ==
                                         GST_STREAM_TYPE_AUDIO;
  gboolean live = FALSE;
  gst_query_parse_latency(query, &live, nullptr, nullptr);
  if (!answered || !live || audio)
    gst_query_set_latency(query, TRUE, impl->latency, GST_CLOCK_TIME_NONE);
  return TRUE;
}

GstPad *gst_vdoninja_src_pad_new(GstPadTemplate *templ, const gchar *name) {
  auto *pad = GST_VDONINJA_SRC_PAD(g_object_new(GST_TYPE_VDONINJA_SRC_PAD, "name", name,
                                                "direction", GST_PAD_SRC, "template",
                                                templ, nullptr));
  gst_pad_set_query_function(GST_PAD(pad), query);
  auto internal =
      vdn::ObjPtr<GstProxyPad>::adopt(gst_proxy_pad_get_internal(GST_PROXY_PAD(pad)));
  gst_pad_set_chain_function(GST_PAD(internal.get()), chain);
  gst_pad_set_chain_list_function(GST_PAD(internal.get()), chain_list);
  gst_pad_set_event_function(GST_PAD(internal.get()), event);
  return GST_PAD(pad);
}

void gst_vdoninja_src_pad_restart(GstVdoNinjaSrcPad *pad, GstStream *stream,
                                  guint group_id) {
  Impl *impl = pad->impl;
  impl->finished = impl->started = impl->stale = false;
  impl->discont = true;
  impl->last_time = GST_CLOCK_TIME_NONE;
  impl->offset = 0;
  impl->source_segment.reset();
  impl->apart = {};
  impl->group_id = group_id;
  if (!stream)
    return;
  impl->stream = vdn::ObjPtr<GstStream>::ref(stream);
  impl->pictures = gst_stream_get_stream_type(stream) == GST_STREAM_TYPE_VIDEO;
}

void gst_vdoninja_src_pad_set_source(GstVdoNinjaSrcPad *pad, GstPad *target) {
  {
    Lock lock(pad->impl->mutex);
    pad->impl->source_tags.reset();
    pad->impl->bitrate = 0;
  }
  pad->impl->discont = true;
  pad->impl->flow = GST_FLOW_OK;
  if (target)
    pad->impl->stale = false;
  gst_ghost_pad_set_target(GST_GHOST_PAD(pad), target);
}

void gst_vdoninja_src_pad_set_time_offset(GstVdoNinjaSrcPad *pad, gint64 ns) {
  pad->impl->discont = true;
  if (pad->impl->offset.exchange(ns) != ns)
    pad->impl->moved = true;
}

void gst_vdoninja_src_pad_set_collection(GstVdoNinjaSrcPad *pad,
                                         GstStreamCollection *collection) {
  {
    Lock lock(pad->impl->mutex);
    pad->impl->collection = vdn::ObjPtr<GstStreamCollection>::ref(collection);
  }
  pad->impl->news = true;
}

GstStream *gst_vdoninja_src_pad_get_stream(GstVdoNinjaSrcPad *pad) {
  return pad->impl->stream.get();
}

void gst_vdoninja_src_pad_set_bitrate(GstVdoNinjaSrcPad *pad, guint bitrate) {
  {
    Lock lock(pad->impl->mutex);
    pad->impl->bitrate = bitrate;
  }
  pad->impl->news = true;
}

void gst_vdoninja_src_pad_set_rotation(GstVdoNinjaSrcPad *pad, gint degrees) {
  {
    Lock lock(pad->impl->mutex);
    if (degrees % 90 != 0 || pad->impl->rotation == degrees)
      return; // the tag knows no other
    pad->impl->rotation = degrees;
  }
  pad->impl->news = true;
}

void gst_vdoninja_src_pad_set_latency(GstVdoNinjaSrcPad *pad, GstClockTime latency) {
  pad->impl->latency = latency;
}

guint64 gst_vdoninja_src_pad_get_buffers(GstVdoNinjaSrcPad *pad) {
  return pad->impl->buffers;
}

gboolean gst_vdoninja_src_pad_is_pushing(GstVdoNinjaSrcPad *pad) {
  return pad->impl->pushing;
}

guint64 gst_vdoninja_src_pad_get_pushing_us(GstVdoNinjaSrcPad *pad) {
  return pad->impl->pushing_us;
}

GstFlowReturn gst_vdoninja_src_pad_get_flow(GstVdoNinjaSrcPad *pad) {
  return pad->impl->flow;
}

void gst_vdoninja_src_pad_push_gap(GstVdoNinjaSrcPad *pad, GstClockTime time) {
  vdn::EventPtr event(gst_pad_get_sticky_event(GST_PAD(pad), GST_EVENT_SEGMENT, 0));
  const GstClockTime from = pad->impl->last_time;
  if (!event || !GST_CLOCK_TIME_IS_VALID(from) || pad->impl->finished)
    return;
  const GstSegment *segment = nullptr;
  gst_event_parse_segment(event.get(), &segment);
  const GstClockTime to =
      gst_segment_position_from_running_time(segment, GST_FORMAT_TIME, time);
  if (!GST_CLOCK_TIME_IS_VALID(to) || to <= from)
    return;
  if (pad->impl->in_gap.exchange(true))
    return; // somebody waits downstream with the one before
  pad->impl->last_time = to;
  gst_pad_push_event(GST_PAD(pad), gst_event_new_gap(from, to - from));
  pad->impl->in_gap = false;
}

void gst_vdoninja_src_pad_finish(GstVdoNinjaSrcPad *pad) {
  if (pad->impl->finished.exchange(true))
    return;
  if (GstEvent *event = first_event(pad->impl))
    gst_pad_push_event(GST_PAD(pad), event);
  gst_pad_push_event(GST_PAD(pad), gst_event_new_eos());
}

void gst_vdoninja_src_pad_describe(GstVdoNinjaSrcPad *pad, const gchar *vdo_stream_id,
                                   const gchar *label, const gchar *mid,
                                   const gchar *codec) {
  const gchar *values[N_PROPS] = {nullptr, vdo_stream_id, label, mid, codec};
  for (int i = PROP_STREAM_ID; i < N_PROPS; i++) {
    if (!values[i])
      continue;
    {
      Lock lock(pad->impl->mutex);
      std::string *fields[N_PROPS] = {nullptr, &pad->impl->stream_id, &pad->impl->label,
                                      &pad->impl->mid, &pad->impl->codec};
      if (*fields[i] == values[i])
        continue;
      *fields[i] = values[i];
    }
    pad->impl->news = true;
    g_object_notify_by_pspec(G_OBJECT(pad), props[i]);
  }
}

static void gst_vdoninja_src_pad_get_property(GObject *object, guint id, GValue *value,
                                              GParamSpec *pspec) {
  Impl *impl = GST_VDONINJA_SRC_PAD(object)->impl;
  Lock lock(impl->mutex);
  const std::string *field = nullptr;
  switch (id) {
  case PROP_STREAM_ID:
    field = &impl->stream_id;
    break;
  case PROP_LABEL:
    field = &impl->label;
    break;
  case PROP_MID:
    field = &impl->mid;
    break;
  case PROP_CODEC:
    field = &impl->codec;
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    return;
  }
  g_value_set_string(value, field->empty() ? nullptr : field->c_str());
}

static void gst_vdoninja_src_pad_finalize(GObject *object) {
  delete GST_VDONINJA_SRC_PAD(object)->impl;
  G_OBJECT_CLASS(gst_vdoninja_src_pad_parent_class)->finalize(object);
}

static void gst_vdoninja_src_pad_init(GstVdoNinjaSrcPad *pad) {
  pad->impl = new Impl;
  // The first handler, or the source could be renewed before. Thread: whoever unlinks.
  g_signal_connect(pad, "unlinked", G_CALLBACK(+[](GstPad *self, GstPad *, gpointer) {
                     GST_VDONINJA_SRC_PAD(self)->impl->stale = true;
                   }),
                   nullptr);
}

static void gst_vdoninja_src_pad_class_init(GstVdoNinjaSrcPadClass *klass) {
  auto *object_class = G_OBJECT_CLASS(klass);
  object_class->get_property = gst_vdoninja_src_pad_get_property;
  object_class->finalize = gst_vdoninja_src_pad_finalize;
  gst_tag_register_static(kTagStreamId, GST_TAG_FLAG_META, G_TYPE_STRING, "stream id",
                          "VDO.Ninja stream id of the publisher", nullptr);
  gst_tag_register_static(kTagMid, GST_TAG_FLAG_META, G_TYPE_STRING, "media id",
                          "media id (mid) in the publisher's offer", nullptr);
  auto flags = static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  props[PROP_STREAM_ID] = g_param_spec_string(
      "stream-id", "Stream id", "VDO.Ninja stream id of the publisher", nullptr, flags);
  props[PROP_LABEL] = g_param_spec_string(
      "label", "Label", "Name that the publisher gave itself", nullptr, flags);
  props[PROP_MID] = g_param_spec_string("mid", "Media id", "Media id (mid) in the offer",
                                        nullptr, flags);
  props[PROP_CODEC] = g_param_spec_string(
      "codec", "Codec", "Codec that is received, as in SDP", nullptr, flags);
  g_object_class_install_properties(object_class, N_PROPS, props);
}
