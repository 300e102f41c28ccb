// SPDX-License-Identifier: LGPL-2.1-or-later
// A buffer pool whose buffers are slots of the ring: what upstream writes there is in
// place.
#pragma once

#include <memory>

#include <gst/gst.h>
#include <gst/video/video.h>

#include "gst-ptr.h"
#include "shm-writer.h"

G_DECLARE_FINAL_TYPE(GstShmSlotPool, gst_shm_slot_pool, GST, SHM_SLOT_POOL, GstBufferPool)

namespace vdn {

// A pool for frames of `info`. Each acquire takes a fresh slot (thereby marked as being
// written) and each release gives it back, so that a slot is never written to behind the
// readers' backs; for the same reason the allocator of the pool's configuration is
// ignored. It never waits: without a free slot the buffer is ordinary memory, which the
// sink copies. It and its buffers may outlive the writer. Thread: any.
ObjPtr<GstBufferPool> make_slot_pool(std::weak_ptr<shm::Writer> writer,
                                     const GstVideoInfo &info);

} // namespace vdn
