// SPDX-License-Identifier: LGPL-2.1-or-later
#include "slot-pool.h"

#include <utility>

namespace {

struct Impl {
  std::weak_ptr<vdn::shm::Writer> writer;
  GstVideoInfo info{};
};

} // namespace

struct _GstShmSlotPool {
  GstBufferPool parent;
  Impl *impl;
};

G_DEFINE_TYPE(GstShmSlotPool, gst_shm_slot_pool, GST_TYPE_BUFFER_POOL)

static void release_slot(gpointer slot) {
  delete static_cast<vdn::shm::Slot *>(slot);
}

static GstMemory *slot_memory(const Impl &impl) {
  const std::shared_ptr<vdn::shm::Writer> writer = impl.writer.lock();
  if (!writer)
    return nullptr;
  vdn::shm::Slot slot = writer->acquire(vdn::shm::Ring::Use::Upstream);
  if (!slot || slot.capacity() < GST_VIDEO_INFO_SIZE(&impl.info))
    return nullptr;
  guint8 *pixels = slot.pixels();
  auto *owner = new vdn::shm::Slot(std::move(slot));
  return gst_memory_new_wrapped(static_cast<GstMemoryFlags>(0), pixels, owner->capacity(),
                                0, GST_VIDEO_INFO_SIZE(&impl.info), owner, release_slot);
}

static GstFlowReturn gst_shm_slot_pool_acquire_buffer(GstBufferPool *pool,
                                                      GstBuffer **buffer,
                                                      GstBufferPoolAcquireParams *) {
  Impl &impl = *GST_SHM_SLOT_POOL(pool)->impl;
  if (GST_BUFFER_POOL_IS_FLUSHING(pool))
    return GST_FLOW_FLUSHING;
  GstMemory *memory = slot_memory(impl);
  if (!memory)
    memory = gst_allocator_alloc(nullptr, GST_VIDEO_INFO_SIZE(&impl.info), nullptr);
  if (!memory)
    return GST_FLOW_ERROR;
  *buffer = gst_buffer_new();
  gst_buffer_append_memory(*buffer, memory);
  gst_buffer_add_video_meta_full(
      *buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT(&impl.info),
      GST_VIDEO_INFO_WIDTH(&impl.info), GST_VIDEO_INFO_HEIGHT(&impl.info),
      GST_VIDEO_INFO_N_PLANES(&impl.info), impl.info.offset, impl.info.stride);
  return GST_FLOW_OK;
}

// Nothing is kept for next time: the next acquire has to take the slot that is oldest
// then.
static void gst_shm_slot_pool_release_buffer(GstBufferPool *, GstBuffer *buffer) {
  gst_buffer_unref(buffer);
}

static gboolean gst_shm_slot_pool_start(GstBufferPool *) {
  return TRUE;
}

static const gchar **gst_shm_slot_pool_get_options(GstBufferPool *) {
  static const gchar *options[] = {GST_BUFFER_POOL_OPTION_VIDEO_META, nullptr};
  return options;
}

static gboolean gst_shm_slot_pool_set_config(GstBufferPool *pool, GstStructure *config) {
  Impl &impl = *GST_SHM_SLOT_POOL(pool)->impl;
  GstCaps *caps = nullptr;
  GstVideoInfo info;
  if (!gst_buffer_pool_config_get_params(config, &caps, nullptr, nullptr, nullptr) ||
      !caps || !gst_video_info_from_caps(&info, caps))
    return FALSE;
  impl.info = info;
  return GST_BUFFER_POOL_CLASS(gst_shm_slot_pool_parent_class)->set_config(pool, config);
}

static void gst_shm_slot_pool_finalize(GObject *object) {
  delete GST_SHM_SLOT_POOL(object)->impl;
  G_OBJECT_CLASS(gst_shm_slot_pool_parent_class)->finalize(object);
}

static void gst_shm_slot_pool_class_init(GstShmSlotPoolClass *klass) {
  G_OBJECT_CLASS(klass)->finalize = gst_shm_slot_pool_finalize;
  GstBufferPoolClass *pool_class = GST_BUFFER_POOL_CLASS(klass);
  pool_class->get_options = gst_shm_slot_pool_get_options;
  pool_class->set_config = gst_shm_slot_pool_set_config;
  pool_class->start = gst_shm_slot_pool_start;
  pool_class->acquire_buffer = gst_shm_slot_pool_acquire_buffer;
  pool_class->release_buffer = gst_shm_slot_pool_release_buffer;
}

static void gst_shm_slot_pool_init(GstShmSlotPool *self) {
  self->impl = new Impl;
}

vdn::ObjPtr<GstBufferPool> vdn::make_slot_pool(std::weak_ptr<shm::Writer> writer,
                                               const GstVideoInfo &info) {
  auto pool = ObjPtr<GstBufferPool>::adopt(
      GST_BUFFER_POOL(g_object_new(gst_shm_slot_pool_get_type(), nullptr)));
  GST_SHM_SLOT_POOL(pool.get())->impl->writer = std::move(writer);
  GST_SHM_SLOT_POOL(pool.get())->impl->info = info;
  return pool;
}
