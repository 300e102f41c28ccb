// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-shmnumpysrc
 * @title: shmnumpysrc
 *
 * Takes raw video frames from named shared memory into a pipeline: what a Python program
 * makes with shmnumpy.create(), or what the shmnumpysink of another pipeline writes. It
 * reads the newest frame each time and is not noticed by the writer, which may come, go
 * and be replaced.
 *
 * Frames keep the time at which they were due in the pipeline that they come from, if
 * their writer passes it on, so that they stay in sync with the sound that passes beside.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 shmnumpysrc shm-name=result ! queue max-size-bytes=0 \
 *     ! videoconvert ! autovideosink
 * ]| Shows what a program makes. The queue holds the frames that a sink lets wait for
 * `latency`, large ones, too; without it most of them would be missed meanwhile.
 */
#include "gstshmnumpysrc.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include <gst/video/video.h>

#include "gst-ptr.h"
#include "mutex.h"
#include "pipeline-time.h"
#include "slot-frame.h"
#include "shm-src-settings.h"

GST_DEBUG_CATEGORY_STATIC(shmnumpysrc_debug);
#define GST_CAT_DEFAULT shmnumpysrc_debug
#define ALL_FORMATS "{ " SHMNUMPY_PACKED_FORMATS ", " SHMNUMPY_YUV_FORMATS " }"

using shmnumpy::Frame;
using shmnumpy::State;
using vdn::Lock;
using vdn::ShmSrcCounts;
using vdn::ShmSrcSettings;

namespace {

constexpr const char *kReconnecting = "vdoninja/reconnecting";
// Between looks at what the writer is doing, ns.
constexpr int64_t kLook = 250 * GST_MSECOND;
// Two frames closer than that are one to those who count in milliseconds.
constexpr GstClockTime kStep = GST_MSECOND;

// Of the streaming thread, except between READY and PAUSED.
struct Stream {
  ShmSrcSettings settings; // as they were at start
  std::shared_ptr<shmnumpy::Reader> reader;
  GstVideoInfo info{};
  vdn::CapsPtr caps; // of the last frame
  uint64_t number = 0;
  uint32_t orientation = 0;
  bool away = false;   // downstream was told that the publisher is
  vdn::BufferPtr last; // to be repeated
  GstClockTime last_pts = GST_CLOCK_TIME_NONE;
  int64_t age = 0;    // of the last frame when it came, ns
  int64_t repeat = 0; // when to repeat it, ns, CLOCK_MONOTONIC
};

struct Impl {
  vdn::Mutex mutex;
  ShmSrcSettings settings GUARDED_BY(mutex);
  ShmSrcCounts counts GUARDED_BY(mutex);
  std::atomic<State> state{State::Absent};
  std::atomic<int64_t> since{0}; // the last frame, or the start: ns, CLOCK_MONOTONIC
  // From PAUSED on; for unlock(), which events call in any state.
  std::shared_ptr<shmnumpy::Reader> reader GUARDED_BY(mutex);
  Stream stream;

  std::shared_ptr<shmnumpy::Reader> current_reader() {
    Lock lock(mutex);
    return reader;
  }
};

} // namespace

struct _GstShmNumpySrc {
  GstPushSrc parent;
  Impl *impl;
};

G_DEFINE_TYPE(GstShmNumpySrc, gst_shm_numpy_src, GST_TYPE_PUSH_SRC)
GST_ELEMENT_REGISTER_DEFINE(shmnumpysrc, "shmnumpysrc", GST_RANK_NONE,
                            gst_shm_numpy_src_get_type())

static bool start_reader(GstShmNumpySrc *self) {
  Impl &impl = *self->impl;
  Stream stream;
  {
    Lock lock(impl.mutex);
    stream.settings = impl.settings;
    impl.counts = ShmSrcCounts();
  }
  const std::string &name = stream.settings.shm_name;
  if (name.empty()) {
    GST_ELEMENT_ERROR(self, RESOURCE, SETTINGS,
                      ("shm-name is not set: give it the name that the writer has, as in "
                       "shmnumpysink shm-name=NAME or shmnumpy.create(\"NAME\")"),
                      (nullptr));
    return false;
  }
  if (!shmnumpy::Reader::is_name(name)) {
    GST_ELEMENT_ERROR(self, RESOURCE, SETTINGS,
                      ("shm-name '%s' is no name of shared memory: give 1 to %d bytes "
                       "without a slash",
                       name.c_str(), SHMNUMPY_MAX_NAME),
                      (nullptr));
    return false;
  }
  stream.reader = std::make_shared<shmnumpy::Reader>(
      name, stream.settings.on_disconnect == vdn::WithoutWriter::Eos);
  impl.stream = std::move(stream);
  Lock lock(impl.mutex);
  impl.reader = impl.stream.reader;
  return true;
}

// Not the start and stop of the base class, which posts an error of its own after ours.
static GstStateChangeReturn gst_shm_numpy_src_change_state(GstElement *element,
                                                           GstStateChange transition) {
  GstShmNumpySrc *self = GST_SHM_NUMPY_SRC(element);
  Impl &impl = *self->impl;
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !start_reader(self))
    return GST_STATE_CHANGE_FAILURE;
  if (transition == GST_STATE_CHANGE_PAUSED_TO_PLAYING)
    impl.since = vdn::monotonic_now();
  const GstStateChangeReturn result = GST_ELEMENT_CLASS(gst_shm_numpy_src_parent_class)
                                          ->change_state(element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      (transition == GST_STATE_CHANGE_READY_TO_PAUSED &&
       result == GST_STATE_CHANGE_FAILURE)) {
    impl.stream = Stream();
    impl.state = State::Absent;
    Lock lock(impl.mutex);
    impl.reader.reset();
  }
  return result;
}

static gboolean gst_shm_numpy_src_unlock(GstBaseSrc *src) {
  if (const auto reader = GST_SHM_NUMPY_SRC(src)->impl->current_reader())
    reader->cancel();
  return TRUE;
}

static gboolean gst_shm_numpy_src_unlock_stop(GstBaseSrc *src) {
  if (const auto reader = GST_SHM_NUMPY_SRC(src)->impl->current_reader())
    reader->resume();
  return TRUE;
}

// Caps are those of the last frame; before there is one nothing can be said.
static gboolean gst_shm_numpy_src_negotiate(GstBaseSrc *src) {
  const GstCaps *caps = GST_SHM_NUMPY_SRC(src)->impl->stream.caps.get();
  return !caps || gst_base_src_set_caps(src, const_cast<GstCaps *>(caps));
}

static gboolean gst_shm_numpy_src_decide_allocation(GstBaseSrc *src, GstQuery *query) {
  vdn::settle_pool(query);
  return GST_BASE_SRC_CLASS(gst_shm_numpy_src_parent_class)
      ->decide_allocation(src, query);
}

static gboolean gst_shm_numpy_src_query(GstBaseSrc *src, GstQuery *query) {
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY)
    return GST_BASE_SRC_CLASS(gst_shm_numpy_src_parent_class)->query(src, query);
  Impl &impl = *GST_SHM_NUMPY_SRC(src)->impl;
  Lock lock(impl.mutex);
  const bool echo = impl.settings.timestamps == vdn::Timestamps::Echo;
  const GstClockTime latency = echo ? impl.settings.latency * GST_MSECOND : 0;
  // Not more: nothing waits in here.
  gst_query_set_latency(query, TRUE, latency, latency);
  return TRUE;
}

// Tells the application, and downstream whether the publisher of the frames is away.
static void show_state(GstShmNumpySrc *self) {
  Impl &impl = *self->impl;
  const State state = impl.stream.reader->state();
  if (impl.state.exchange(state) == state)
    return;
  GST_INFO_OBJECT(self, "the writer is in state %u", static_cast<unsigned>(state));
  g_object_notify(G_OBJECT(self), "state");
  const bool away = state == State::Reconnecting;
  if (!impl.stream.number || away == impl.stream.away)
    return;
  impl.stream.away = away;
  gst_pad_push_event(
      GST_BASE_SRC_PAD(self),
      gst_event_new_custom(
          GST_EVENT_CUSTOM_DOWNSTREAM,
          gst_structure_new(kReconnecting, "active", G_TYPE_BOOLEAN, away, nullptr)));
}

static GstFlowReturn post_broken(GstShmNumpySrc *self) {
  const vdn::StrPtr text(
      g_utf8_make_valid(self->impl->stream.reader->error().c_str(), -1));
  GST_ELEMENT_ERROR(self, RESOURCE, READ,
                    ("%s: its writer has to be shmnumpysink or shmnumpy.create() of a "
                     "version that fits, run by this user or with mode=0660",
                     text.get()),
                    (nullptr));
  return GST_FLOW_ERROR;
}

static GstFlowReturn post_timeout(GstShmNumpySrc *self) {
  const ShmSrcSettings &settings = self->impl->stream.settings;
  GST_ELEMENT_ERROR(self, RESOURCE, NOT_FOUND,
                    ("No frame in shared memory '%s' for %u s: start its writer, "
                     "shmnumpysink or shmnumpy.create(), or set another timeout",
                     settings.shm_name.c_str(), settings.timeout),
                    (nullptr));
  return GST_FLOW_ERROR;
}

// Makes downstream ready for frames of `info`; asks for another pool only where the caps
// are others.
static GstFlowReturn follow_caps(GstShmNumpySrc *self, const GstVideoInfo &info) {
  Stream &stream = self->impl->stream;
  if (stream.caps && gst_video_info_is_equal(&info, &stream.info))
    return GST_FLOW_OK;
  stream.caps.reset(gst_video_info_to_caps(&info));
  stream.info = info;
  GST_INFO_OBJECT(self, "frames are %" GST_PTR_FORMAT, stream.caps.get());
  // Asked first: that the event was refused would be seen with the buffer only.
  if (gst_pad_peer_query_accept_caps(GST_BASE_SRC_PAD(self), stream.caps.get()) &&
      gst_base_src_negotiate(GST_BASE_SRC(self)))
    return GST_FLOW_OK;
  vdn::CapsPtr refused = std::move(stream.caps);
  if (GST_PAD_IS_FLUSHING(GST_BASE_SRC_PAD(self)))
    return GST_FLOW_FLUSHING;
  GST_ELEMENT_ERROR(self, STREAM, FORMAT,
                    ("What follows does not take frames of %dx%d in %s: put videoconvert "
                     "and videoscale behind shmnumpysrc",
                     info.width, info.height, GST_VIDEO_INFO_NAME(&info)),
                    ("%" GST_PTR_FORMAT, refused.get()));
  return GST_FLOW_NOT_NEGOTIATED;
}

static GstFlowReturn new_buffer(GstShmNumpySrc *self, vdn::BufferPtr *buffer) {
  const auto pool =
      vdn::ObjPtr<GstBufferPool>::adopt(gst_base_src_get_buffer_pool(GST_BASE_SRC(self)));
  GstBuffer *fresh = nullptr;
  const GstFlowReturn flow = gst_buffer_pool_acquire_buffer(pool.get(), &fresh, nullptr);
  buffer->reset(fresh);
  return flow;
}

// What is in the buffer then is the frame if frame.valid() says so.
static GstFlowReturn copy_frame(GstShmNumpySrc *self, const Frame &frame,
                                vdn::BufferPtr *buffer) {
  GstVideoFrame target;
  if (!gst_video_frame_map(&target, &self->impl->stream.info, buffer->get(),
                           GST_MAP_WRITE)) {
    GST_ELEMENT_ERROR(self, RESOURCE, NO_SPACE_LEFT,
                      ("Cannot write a frame of %ux%u into the buffers of what follows",
                       frame.width, frame.height),
                      ("%" GST_PTR_FORMAT, buffer->get()));
    return GST_FLOW_ERROR;
  }
  vdn::copy_pixels(frame, &target);
  gst_video_frame_unmap(&target);
  return GST_FLOW_OK;
}

// `time` on the running time of this pipeline, ns, but not back: encoders and muxers do
// not take that.
static GstClockTime place(const Stream &stream, int64_t time) {
  const auto pts = static_cast<GstClockTime>(std::max<int64_t>(0, time));
  return GST_CLOCK_TIME_IS_VALID(stream.last_pts) ? std::max(pts, stream.last_pts + kStep)
                                                  : pts;
}

// Gives the frame its place on the running time of this pipeline, for which it may wait a
// little; false if there is none.
static bool stamp(GstShmNumpySrc *self, const Frame &frame, GstBuffer *buffer) {
  Impl &impl = *self->impl;
  Stream &stream = impl.stream;
  const int64_t now = vdn::monotonic_now();
  const auto zero = vdn::running_time_zero(GST_ELEMENT(self));
  const bool echo = stream.settings.timestamps == vdn::Timestamps::Echo &&
                    vdn::has_due_time(frame.info, now);
  const int64_t due = echo ? static_cast<int64_t>(frame.info.due_monotonic) : now;
  if (zero) {
    const auto pts = static_cast<int64_t>(place(stream, due - *zero));
    // Nor ahead of the clock for good, with a writer that is faster than that.
    const int64_t early = pts - std::max<int64_t>({0, due - *zero, now - *zero});
    if (early > static_cast<int64_t>(kStep))
      return false;
    if (early > 0)
      g_usleep(static_cast<gulong>(early / 1000 + 1));
    GST_BUFFER_PTS(buffer) = stream.last_pts = static_cast<GstClockTime>(pts);
  }
  stream.age = now - due;
  Lock lock(impl.mutex);
  impl.counts.age = stream.age;
  impl.counts.transfer = now - static_cast<int64_t>(frame.info.publish_monotonic);
  impl.counts.late +=
      echo && stream.age > static_cast<int64_t>(stream.settings.latency * GST_MSECOND);
  return true;
}

static void turn(GstShmNumpySrc *self, uint32_t degrees) {
  Stream &stream = self->impl->stream;
  if (degrees % 90 || degrees >= 360)
    degrees = 0;
  if (std::exchange(stream.orientation, degrees) != degrees)
    gst_element_send_event(GST_ELEMENT(self), vdn::orientation_tag(degrees));
}

static void count_frame(GstShmNumpySrc *self, const Frame &frame, GstBuffer *buffer) {
  Impl &impl = *self->impl;
  Stream &stream = impl.stream;
  // Also when another writer counts from 1.
  if (frame.number != stream.number + 1 || frame.info.flags & SHMNUMPY_FRAME_DISCONT)
    GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DISCONT);
  stream.number = frame.number;
  Lock lock(impl.mutex);
  impl.counts.frames++;
  impl.counts.missed += frame.missed;
}

// GST_FLOW_CUSTOM_SUCCESS: the frame was overwritten meanwhile, there is a newer one.
static GstFlowReturn take(GstShmNumpySrc *self, const Frame &frame, GstBuffer **result) {
  Impl &impl = *self->impl;
  GstVideoInfo info;
  if (!vdn::info_of(frame, &info)) {
    GST_ELEMENT_ERROR(self, STREAM, FORMAT,
                      ("GStreamer has no frames of %ux%u in %s: have a smaller picture "
                       "written",
                       frame.width, frame.height, frame.format.c_str()),
                      (nullptr));
    return GST_FLOW_ERROR;
  }
  vdn::BufferPtr buffer;
  GstFlowReturn flow = follow_caps(self, info);
  if (flow == GST_FLOW_OK)
    flow = new_buffer(self, &buffer);
  if (flow == GST_FLOW_OK)
    flow = copy_frame(self, frame, &buffer);
  if (flow != GST_FLOW_OK)
    return flow;
  if (!frame.valid()) {
    Lock lock(impl.mutex);
    impl.counts.torn++;
    impl.counts.missed += frame.missed;
    return GST_FLOW_CUSTOM_SUCCESS;
  }
  if (!stamp(self, frame, buffer.get())) {
    Lock lock(impl.mutex);
    impl.counts.missed += frame.missed + 1;
    return GST_FLOW_CUSTOM_SUCCESS;
  }
  vdn::describe_in_buffer(frame.info, buffer.get());
  turn(self, frame.info.orientation);
  count_frame(self, frame, buffer.get());
  impl.since = vdn::monotonic_now();
  if (impl.stream.settings.on_disconnect == vdn::WithoutWriter::Repeat)
    impl.stream.last.reset(gst_buffer_ref(buffer.get()));
  *result = buffer.release();
  return GST_FLOW_OK;
}

// The last picture once more, as a filler.
static GstBuffer *repeated(GstShmNumpySrc *self) {
  Impl &impl = *self->impl;
  Stream &stream = impl.stream;
  GstBuffer *buffer = gst_buffer_copy(stream.last.get());
  GST_BUFFER_FLAG_UNSET(buffer, GST_BUFFER_FLAG_DISCONT);
  GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_GAP);
  const int64_t now = vdn::monotonic_now();
  stream.repeat = now + vdn::repeat_period(stream.info);
  const auto zero = vdn::running_time_zero(GST_ELEMENT(self));
  // As old as frames are, or the first one after it would lie before it.
  if (zero)
    stream.last_pts = place(stream, now - stream.age - *zero);
  GST_BUFFER_PTS(buffer) = stream.last_pts;
  Lock lock(impl.mutex);
  impl.counts.repeated++;
  return buffer;
}

// Whether the last picture stands in for those that do not come.
static bool repeats(const Impl &impl) {
  const Stream &stream = impl.stream;
  return stream.last && (stream.reader->ended() || impl.state == State::Reconnecting);
}

// GST_FLOW_CUSTOM_SUCCESS: wait on.
static GstFlowReturn without_frame(GstShmNumpySrc *self, GstBuffer **result) {
  Impl &impl = *self->impl;
  const Stream &stream = impl.stream;
  if (!stream.reader->error().empty())
    return post_broken(self);
  const int64_t now = vdn::monotonic_now();
  if (stream.reader->ended() && stream.settings.on_disconnect == vdn::WithoutWriter::Eos)
    return GST_FLOW_EOS;
  if (stream.settings.timeout &&
      now - impl.since > static_cast<int64_t>(stream.settings.timeout * GST_SECOND))
    return post_timeout(self);
  if (repeats(impl) && now >= stream.repeat) {
    *result = repeated(self);
    return GST_FLOW_OK;
  }
  return GST_FLOW_CUSTOM_SUCCESS;
}

// How long to wait for a frame before looking around, ns.
static int64_t patience(const Impl &impl) {
  if (!repeats(impl))
    return kLook;
  return std::clamp<int64_t>(impl.stream.repeat - vdn::monotonic_now(), 0, kLook);
}

static GstFlowReturn gst_shm_numpy_src_create(GstPushSrc *src, GstBuffer **buffer) {
  GstShmNumpySrc *self = GST_SHM_NUMPY_SRC(src);
  Impl &impl = *self->impl;
  shmnumpy::Reader &reader = *impl.stream.reader;
  GstFlowReturn flow = GST_FLOW_CUSTOM_SUCCESS;
  while (flow == GST_FLOW_CUSTOM_SUCCESS) {
    const auto frame = reader.read(std::chrono::nanoseconds(patience(impl)));
    show_state(self);
    if (frame)
      vdn::wait_until_it_plays(GST_BASE_SRC(self), [&] { return reader.cancelled(); });
    if (reader.cancelled())
      return GST_FLOW_FLUSHING;
    if (frame)
      flow = take(self, *frame, buffer);
    if (flow == GST_FLOW_CUSTOM_SUCCESS)
      flow = without_frame(self, buffer);
  }
  return flow;
}

static void gst_shm_numpy_src_set_property(GObject *object, guint id, const GValue *value,
                                           GParamSpec *pspec) {
  Impl &impl = *GST_SHM_NUMPY_SRC(object)->impl;
  Lock lock(impl.mutex);
  if (!vdn::set_setting(&impl.settings, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

static void gst_shm_numpy_src_get_property(GObject *object, guint id, GValue *value,
                                           GParamSpec *pspec) {
  Impl &impl = *GST_SHM_NUMPY_SRC(object)->impl;
  Lock lock(impl.mutex);
  if (!vdn::get_setting(impl.settings, impl.counts, impl.state, id, value))
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

static void gst_shm_numpy_src_finalize(GObject *object) {
  delete GST_SHM_NUMPY_SRC(object)->impl;
  G_OBJECT_CLASS(gst_shm_numpy_src_parent_class)->finalize(object);
}

static void gst_shm_numpy_src_class_init(GstShmNumpySrcClass *klass) {
  GObjectClass *object_class = G_OBJECT_CLASS(klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS(klass);
  GstBaseSrcClass *src_class = GST_BASE_SRC_CLASS(klass);

  object_class->set_property = gst_shm_numpy_src_set_property;
  object_class->get_property = gst_shm_numpy_src_get_property;
  object_class->finalize = gst_shm_numpy_src_finalize;
  element_class->change_state = GST_DEBUG_FUNCPTR(gst_shm_numpy_src_change_state);
  src_class->unlock = GST_DEBUG_FUNCPTR(gst_shm_numpy_src_unlock);
  src_class->unlock_stop = GST_DEBUG_FUNCPTR(gst_shm_numpy_src_unlock_stop);
  src_class->negotiate = GST_DEBUG_FUNCPTR(gst_shm_numpy_src_negotiate);
  src_class->decide_allocation = GST_DEBUG_FUNCPTR(gst_shm_numpy_src_decide_allocation);
  src_class->query = GST_DEBUG_FUNCPTR(gst_shm_numpy_src_query);
  GST_PUSH_SRC_CLASS(klass)->create = GST_DEBUG_FUNCPTR(gst_shm_numpy_src_create);

  vdn::install_shm_src_properties(object_class);
  static GstStaticPadTemplate source =
      GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS,
                              GST_STATIC_CAPS(GST_VIDEO_CAPS_MAKE(ALL_FORMATS)));
  gst_element_class_add_static_pad_template(element_class, &source);
  gst_element_class_set_static_metadata(
      element_class, "Shared memory source for NumPy", "Source/Video",
      "Takes frames of other programs from named shared memory", "gst-vdoninja");

  GST_DEBUG_CATEGORY_INIT(shmnumpysrc_debug, "shmnumpysrc", 0,
                          "frames from named shared memory");
}

static void gst_shm_numpy_src_init(GstShmNumpySrc *self) {
  self->impl = new Impl;
  gst_base_src_set_live(GST_BASE_SRC(self), TRUE);
  gst_base_src_set_format(GST_BASE_SRC(self), GST_FORMAT_TIME);
}
