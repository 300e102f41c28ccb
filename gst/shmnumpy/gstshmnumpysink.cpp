// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-shmnumpysink
 * @title: shmnumpysink
 *
 * Hands raw video frames to any program on the machine through named shared memory: a
 * ring `NAME.ring` that readers view without a copy and without torn frames, and beside
 * it the segment `NAME`, in BGR, that readers written for Raspberry.Ninja expect. I420
 * and NV12, as decoders make them, are converted to RGB on the way; readers never slow
 * the pipeline down.
 *
 * The custom event `vdoninja/reconnecting` with a boolean field `active` shows readers
 * that the publisher is away.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=300 is-live=true ! shmnumpysink
 * ]| A test picture for a NumPy program.
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=90 !
 * video/x-raw,format=I420,width=1920,height=1080 ! shmnumpysink shm-name=camera
 * format=bgr sync=true
 * ]| Frames in OpenCV's order, at the pace of the stream.
 */
#include "gstshmnumpysink.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include <gst/video/video.h>

#include "frame.h"
#include "gst-ptr.h"
#include "mutex.h"
#include "pipeline-time.h"
#include "shm-writer.h"
#include "sink-settings.h"
#include "slot-pool.h"

GST_DEBUG_CATEGORY_STATIC(shmnumpysink_debug);
#define GST_CAT_DEFAULT shmnumpysink_debug

using vdn::Lock;
using vdn::OutputFormat;
using Settings = vdn::SinkSettings;
using vdn::shm::Writer;

namespace {

constexpr const char *kReconnecting = "vdoninja/reconnecting";

// Of the streaming thread, except where start and stop set it up.
struct State {
  OutputFormat format = OutputFormat::Auto; // the setting, as it was at start
  GstVideoInfo in{};
  GstVideoInfo out{};
  shmnumpy_slot stream{};         // what all frames of these caps have in common
  uint32_t orientation = 0;       // as in shmnumpy_slot
  GstBuffer *shown = nullptr;     // compared, never followed: published last
  GstBuffer *prerolled = nullptr; // the same, if it will be rendered again
  bool warned_legacy = false;
};

struct Impl {
  vdn::Mutex mutex;
  Settings settings GUARDED_BY(mutex);
  std::shared_ptr<Writer> writer GUARDED_BY(mutex);
  State state;

  Settings current_settings() {
    Lock lock(mutex);
    return settings;
  }
  std::shared_ptr<Writer> current_writer() {
    Lock lock(mutex);
    return writer;
  }
};

} // namespace

struct _GstShmNumpySink {
  GstVideoSink parent;
  Impl *impl;
};

G_DEFINE_TYPE(GstShmNumpySink, gst_shm_numpy_sink, GST_TYPE_VIDEO_SINK)
GST_ELEMENT_REGISTER_DEFINE(shmnumpysink, "shmnumpysink", GST_RANK_NONE,
                            gst_shm_numpy_sink_get_type())

static void post_error(GstShmNumpySink *self, const vdn::shm::Error &error) {
  using vdn::shm::ErrorKind;
  const char *text = error.message.c_str();
  switch (error.kind) {
  case ErrorKind::BadName:
  case ErrorKind::BadAddress:
    GST_ELEMENT_ERROR(self, RESOURCE, SETTINGS, ("%s", text), (nullptr));
    return;
  case ErrorKind::Busy:
    GST_ELEMENT_ERROR(self, RESOURCE, BUSY, ("%s", text), (nullptr));
    return;
  case ErrorKind::NoSpace:
    GST_ELEMENT_ERROR(self, RESOURCE, NO_SPACE_LEFT, ("%s", text), (nullptr));
    return;
  case ErrorKind::Denied:
  case ErrorKind::Failed:
    GST_ELEMENT_ERROR(self, RESOURCE, OPEN_WRITE, ("%s", text), (nullptr));
    return;
  }
}

static bool start_writer(GstShmNumpySink *self) {
  const Settings settings = self->impl->current_settings();
  vdn::shm::Config config;
  config.name = settings.shm_name;
  config.mode = settings.mode;
  config.slots = settings.slots;
  GstVideoInfo largest;
  if (settings.max_width && settings.max_height &&
      gst_video_info_set_format(&largest, GST_VIDEO_FORMAT_RGB, settings.max_width,
                                settings.max_height))
    config.slot_bytes = GST_VIDEO_INFO_SIZE(&largest);
  config.legacy = settings.legacy;
  config.legacy_bytes = settings.legacy_size;
  config.udp_host = settings.udp_host;
  config.udp_port = static_cast<uint16_t>(settings.udp_port);
  vdn::shm::Error error;
  std::shared_ptr<Writer> writer = Writer::start(
      config,
      [self](const std::string &text) {
        GST_ELEMENT_WARNING(self, RESOURCE, WRITE, ("%s", text.c_str()), (nullptr));
      },
      &error);
  if (!writer) {
    post_error(self, error);
    return false;
  }
  self->impl->state = State();
  self->impl->state.format = settings.format;
  Lock lock(self->impl->mutex);
  self->impl->writer = std::move(writer);
  return true;
}

static void stop_writer(Impl &impl) {
  std::shared_ptr<Writer> writer;
  {
    Lock lock(impl.mutex);
    writer = std::move(impl.writer);
  }
  // Not left to the last reference: a pool may have one for a moment.
  if (writer)
    writer->stop();
}

// Not the start and stop of the base class, which posts an error of its own after ours.
static GstStateChangeReturn gst_shm_numpy_sink_change_state(GstElement *element,
                                                            GstStateChange transition) {
  GstShmNumpySink *self = GST_SHM_NUMPY_SINK(element);
  if (transition == GST_STATE_CHANGE_NULL_TO_READY && !start_writer(self))
    return GST_STATE_CHANGE_FAILURE;
  const GstStateChangeReturn result = GST_ELEMENT_CLASS(gst_shm_numpy_sink_parent_class)
                                          ->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_READY_TO_NULL ||
      (transition == GST_STATE_CHANGE_NULL_TO_READY &&
       result == GST_STATE_CHANGE_FAILURE))
    stop_writer(*self->impl);
  return result;
}

static GstCaps *gst_shm_numpy_sink_get_caps(GstBaseSink *sink, GstCaps *filter) {
  vdn::CapsPtr caps =
      vdn::input_caps(GST_SHM_NUMPY_SINK(sink)->impl->current_settings().format);
  if (filter)
    caps.reset(gst_caps_intersect_full(filter, caps.get(), GST_CAPS_INTERSECT_FIRST));
  return caps.release();
}

static gboolean gst_shm_numpy_sink_set_caps(GstBaseSink *sink, GstCaps *caps) {
  GstShmNumpySink *self = GST_SHM_NUMPY_SINK(sink);
  State &state = self->impl->state;
  GstVideoInfo in, out;
  if (!gst_video_info_from_caps(&in, caps) || !vdn::output_info(in, state.format, &out))
    return FALSE;
  vdn::shm::Error error;
  if (!self->impl->current_writer()->fit(GST_VIDEO_INFO_SIZE(&out), &error)) {
    post_error(self, error);
    return FALSE;
  }
  GST_INFO_OBJECT(self, "%s to %s, %dx%d", GST_VIDEO_INFO_NAME(&in),
                  GST_VIDEO_INFO_NAME(&out), out.width, out.height);
  state.in = in;
  state.out = out;
  state.stream = vdn::describe_stream(in, out);
  return TRUE;
}

static gboolean gst_shm_numpy_sink_propose_allocation(GstBaseSink *sink,
                                                      GstQuery *query) {
  Impl &impl = *GST_SHM_NUMPY_SINK(sink)->impl;
  gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
  GstCaps *caps = nullptr;
  gboolean need_pool = FALSE;
  gst_query_parse_allocation(query, &caps, &need_pool);
  GstVideoInfo in, out;
  const std::shared_ptr<Writer> writer = impl.current_writer();
  // Where pixels are converted on their way into the slot there is nothing to write in
  // place.
  if (!writer || !need_pool || !caps || !gst_video_info_from_caps(&in, caps) ||
      !vdn::output_info(in, impl.state.format, &out) ||
      GST_VIDEO_INFO_FORMAT(&in) != GST_VIDEO_INFO_FORMAT(&out))
    return TRUE;
  const guint size = static_cast<guint>(GST_VIDEO_INFO_SIZE(&out));
  vdn::ObjPtr<GstBufferPool> pool = vdn::make_slot_pool(writer, out);
  GstStructure *config = gst_buffer_pool_get_config(pool.get());
  gst_buffer_pool_config_set_params(config, caps, size, 0, 0);
  gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  if (gst_buffer_pool_set_config(pool.get(), config))
    gst_query_add_allocation_pool(query, pool.get(), size, 0, 0);
  return TRUE;
}

static void warn_legacy(GstShmNumpySink *self, Writer::Outcome outcome) {
  State &state = self->impl->state;
  if (outcome == Writer::Outcome::Published || std::exchange(state.warned_legacy, true))
    return;
  const Settings settings = self->impl->current_settings();
  const char *name = settings.shm_name.c_str();
  if (outcome == Writer::Outcome::LegacyTooLarge)
    GST_ELEMENT_WARNING(self, RESOURCE, NO_SPACE_LEFT,
                        ("A frame of %dx%d does not fit into shared memory '%s': set "
                         "legacy-size=%" G_GUINT64_FORMAT " or more",
                         state.out.width, state.out.height, name,
                         static_cast<guint64>(state.out.width) *
                                 static_cast<guint64>(state.out.height) * 3 +
                             SHMNUMPY_LEGACY_PIXELS),
                        ("readers of the ring are not affected"));
  else
    GST_ELEMENT_WARNING(self, STREAM, FORMAT,
                        ("Shared memory '%s' can only hold RGB and BGR: set format=rgb "
                         "or format=bgr for its "
                         "readers, or legacy=never",
                         name),
                        ("frames are %s", GST_VIDEO_INFO_NAME(&state.out)));
}

// Publishes the slot that the buffer is made of; false if it is none.
static bool publish_in_place(GstShmNumpySink *self, Writer &writer, GstVideoFrame &frame,
                             shmnumpy_slot slot) {
  if (GST_VIDEO_FRAME_FORMAT(&frame) != GST_VIDEO_INFO_FORMAT(&self->impl->state.out))
    return false;
  const uint8_t *pixels = vdn::describe_in_place(frame, writer.capacity(), &slot);
  if (!pixels || !writer.owns(pixels))
    return false;
  // First: whoever else has the buffer must not change what readers look at.
  GST_MINI_OBJECT_FLAG_SET(gst_buffer_peek_memory(frame.buffer, 0),
                           GST_MEMORY_FLAG_READONLY);
  const Writer::Outcome outcome = writer.publish(pixels, slot);
  if (outcome == Writer::Outcome::NotASlot)
    return false;
  warn_legacy(self, outcome);
  return true;
}

static GstFlowReturn publish_copy(GstShmNumpySink *self, Writer &writer,
                                  GstVideoFrame &frame, const shmnumpy_slot &slot) {
  const vdn::shm::Slot target = writer.acquire(vdn::shm::Ring::Use::Sink);
  if (!target) {
    writer.count_dropped();
    return GST_FLOW_OK;
  }
  if (!vdn::write_pixels(frame, self->impl->state.out, target.pixels())) {
    GST_ELEMENT_ERROR(
        self, STREAM, FORMAT,
        ("Cannot convert a frame of %dx%d", frame.info.width, frame.info.height),
        ("libyuv refused"));
    return GST_FLOW_ERROR;
  }
  writer.count_copied();
  warn_legacy(self, writer.publish(target.pixels(), slot));
  return GST_FLOW_OK;
}

// 0 if it cannot be told, as for what is shown before the pipeline plays: the base time
// is not known yet, or that of before the pause. By GST_STATE_TARGET alone the first
// frame of a live source would be left out, which comes when the sink is on its way to
// PAUSED.
static uint64_t due_time(GstElement *element, int64_t running_time) {
  const bool paused = GST_STATE(element) == GST_STATE_PAUSED &&
                      GST_STATE_TARGET(element) == GST_STATE_PAUSED;
  if (paused || !gst_element_get_base_time(element))
    return 0;
  const auto zero = vdn::running_time_zero(element);
  if (!zero || running_time == SHMNUMPY_NO_TIME)
    return 0;
  return static_cast<uint64_t>(std::max<int64_t>(0, *zero + running_time));
}

static GstFlowReturn gst_shm_numpy_sink_show_frame(GstVideoSink *sink,
                                                   GstBuffer *buffer) {
  GstShmNumpySink *self = GST_SHM_NUMPY_SINK(sink);
  State &state = self->impl->state;
  const std::shared_ptr<Writer> writer = self->impl->current_writer();
  vdn::shm::Error error;
  if (!writer->fit(GST_VIDEO_INFO_SIZE(&state.out), &error)) {
    post_error(self, error);
    return GST_FLOW_ERROR;
  }
  GstVideoFrame frame;
  if (!gst_video_frame_map(
          &frame, &state.in, buffer,
          static_cast<GstMapFlags>(GST_MAP_READ | GST_VIDEO_FRAME_MAP_FLAG_NO_REF))) {
    GST_ELEMENT_ERROR(self, STREAM, FORMAT, ("Cannot read a frame from its buffer"),
                      ("%" GST_PTR_FORMAT, buffer));
    return GST_FLOW_ERROR;
  }
  shmnumpy_slot slot = state.stream;
  slot.orientation = state.orientation;
  vdn::describe_buffer(buffer, GST_BASE_SINK(sink)->segment, &slot);
  slot.due_monotonic = due_time(GST_ELEMENT(self), slot.running_time);
  GstFlowReturn result = GST_FLOW_OK;
  if (!publish_in_place(self, *writer, frame, slot))
    result = publish_copy(self, *writer, frame, slot);
  gst_video_frame_unmap(&frame);
  state.shown = buffer;
  return result;
}

// The base class shows a buffer at preroll and renders the same one again when it plays.
static GstFlowReturn gst_shm_numpy_sink_preroll(GstBaseSink *sink, GstBuffer *buffer) {
  State &state = GST_SHM_NUMPY_SINK(sink)->impl->state;
  state.shown = nullptr;
  const GstFlowReturn result =
      GST_BASE_SINK_CLASS(gst_shm_numpy_sink_parent_class)->preroll(sink, buffer);
  state.prerolled = state.shown;
  return result;
}

static GstFlowReturn gst_shm_numpy_sink_render(GstBaseSink *sink, GstBuffer *buffer) {
  State &state = GST_SHM_NUMPY_SINK(sink)->impl->state;
  if (std::exchange(state.prerolled, nullptr) == buffer)
    return GST_FLOW_OK;
  return GST_BASE_SINK_CLASS(gst_shm_numpy_sink_parent_class)->render(sink, buffer);
}

// By how many degrees clockwise the picture is to be turned. What mirrors it, too, is
// left alone: nobody says so of a camera.
static void see_tags(State &state, GstEvent *event) {
  GstTagList *tags = nullptr;
  gst_event_parse_tag(event, &tags);
  const gchar *text = nullptr;
  if (!gst_tag_list_peek_string_index(tags, GST_TAG_IMAGE_ORIENTATION, 0, &text))
    return;
  if (g_str_has_prefix(text, "rotate-"))
    state.orientation = g_ascii_strtoull(text + strlen("rotate-"), nullptr, 10) % 360;
}

static gboolean gst_shm_numpy_sink_event(GstBaseSink *sink, GstEvent *event) {
  Impl &impl = *GST_SHM_NUMPY_SINK(sink)->impl;
  const GstEventType type = GST_EVENT_TYPE(event);
  const std::shared_ptr<Writer> writer = impl.current_writer();
  if (type == GST_EVENT_FLUSH_STOP)
    impl.state.prerolled = nullptr;
  if (type == GST_EVENT_STREAM_START)
    impl.state.orientation = 0;
  if (type == GST_EVENT_TAG)
    see_tags(impl.state, event);
  gboolean away = FALSE;
  if (writer && gst_event_has_name(event, kReconnecting) &&
      gst_structure_get_boolean(gst_event_get_structure(event), "active", &away))
    writer->set_state(away ? SHMNUMPY_STATE_RECONNECTING : SHMNUMPY_STATE_LIVE);
  // Waits until the last frame is due; false when that was cut short.
  const gboolean handled =
      GST_BASE_SINK_CLASS(gst_shm_numpy_sink_parent_class)->event(sink, event);
  if (writer && type == GST_EVENT_EOS && handled)
    writer->set_state(SHMNUMPY_STATE_EOS);
  return handled;
}

static void gst_shm_numpy_sink_set_property(GObject *object, guint id,
                                            const GValue *value, GParamSpec *pspec) {
  Impl &impl = *GST_SHM_NUMPY_SINK(object)->impl;
  Lock lock(impl.mutex);
  if (!vdn::set_setting(&impl.settings, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

static void gst_shm_numpy_sink_get_property(GObject *object, guint id, GValue *value,
                                            GParamSpec *pspec) {
  if (!vdn::get_setting(GST_SHM_NUMPY_SINK(object)->impl->current_settings(), id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

static void gst_shm_numpy_sink_finalize(GObject *object) {
  delete GST_SHM_NUMPY_SINK(object)->impl;
  G_OBJECT_CLASS(gst_shm_numpy_sink_parent_class)->finalize(object);
}

static void gst_shm_numpy_sink_class_init(GstShmNumpySinkClass *klass) {
  GObjectClass *object_class = G_OBJECT_CLASS(klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS(klass);
  GstBaseSinkClass *sink_class = GST_BASE_SINK_CLASS(klass);

  object_class->set_property = gst_shm_numpy_sink_set_property;
  object_class->get_property = gst_shm_numpy_sink_get_property;
  object_class->finalize = gst_shm_numpy_sink_finalize;
  element_class->change_state = GST_DEBUG_FUNCPTR(gst_shm_numpy_sink_change_state);
  sink_class->get_caps = GST_DEBUG_FUNCPTR(gst_shm_numpy_sink_get_caps);
  sink_class->set_caps = GST_DEBUG_FUNCPTR(gst_shm_numpy_sink_set_caps);
  sink_class->propose_allocation =
      GST_DEBUG_FUNCPTR(gst_shm_numpy_sink_propose_allocation);
  sink_class->preroll = GST_DEBUG_FUNCPTR(gst_shm_numpy_sink_preroll);
  sink_class->render = GST_DEBUG_FUNCPTR(gst_shm_numpy_sink_render);
  sink_class->event = GST_DEBUG_FUNCPTR(gst_shm_numpy_sink_event);
  GST_VIDEO_SINK_CLASS(klass)->show_frame =
      GST_DEBUG_FUNCPTR(gst_shm_numpy_sink_show_frame);

  vdn::install_sink_properties(object_class);
  const vdn::CapsPtr caps = vdn::input_caps(OutputFormat::Native);
  gst_element_class_add_pad_template(
      element_class,
      gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, caps.get()));
  gst_element_class_set_static_metadata(
      element_class, "Shared memory sink for NumPy", "Sink/Video",
      "Hands frames to Python and other programs through named shared memory",
      "gst-vdoninja");

  GST_DEBUG_CATEGORY_INIT(shmnumpysink_debug, "shmnumpysink", 0,
                          "frames to named shared memory");
}

static void gst_shm_numpy_sink_init(GstShmNumpySink *self) {
  self->impl = new Impl;
  GstBaseSink *sink = GST_BASE_SINK(self);
  gst_base_sink_set_sync(sink, FALSE);
  gst_base_sink_set_qos_enabled(sink, FALSE);
  // A kept buffer would be a slot that is never free again.
  gst_base_sink_set_last_sample_enabled(sink, FALSE);
}
