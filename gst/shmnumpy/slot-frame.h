// SPDX-License-Identifier: LGPL-2.1-or-later
// What a frame of the ring is in a pipeline: caps, times, a copy of its pixels. What its
// writer says of it is not trusted: the reader has checked where the pixels lie, the rest
// is checked here.
#pragma once

#include <cstdint>

#include <gst/gst.h>
#include <gst/video/video.h>

#include "shmnumpy-reader.hpp"

namespace vdn {

// Rate, shape of the pixels and colorimetry are left at what GStreamer takes for unknown
// where the frame says nothing that makes sense. False for a size that GStreamer refuses.
// Thread: any.
bool info_of(const shmnumpy::Frame &frame, GstVideoInfo *info);

// Copies all rows. What was copied is the frame if frame.valid() says so afterwards.
// Thread: any.
void copy_pixels(const shmnumpy::Frame &frame, GstVideoFrame *to);

// Puts a pool for what the allocation query `query` is about into it: the one that was
// offered, or a new one. Thread: streaming.
void settle_pool(GstQuery *query);

// Whether the frame says when it is due, and that is neither to come nor long ago. `now`:
// ns, CLOCK_MONOTONIC. Thread: any.
bool has_due_time(const shmnumpy_slot &slot, int64_t now);

// Duration, flags but DISCONT, and when it was captured by the sender's clock, as
// GstReferenceTimestampMeta. Thread: any.
void describe_in_buffer(const shmnumpy_slot &slot, GstBuffer *buffer);

// How long a picture is shown before it is repeated, ns: by the frame rate, 10 ms to a
// second. Thread: any.
int64_t repeat_period(const GstVideoInfo &info);

// A tag that has the picture turned by so many degrees clockwise. Owned by the caller.
// Thread: any.
GstEvent *orientation_tag(uint32_t degrees);

} // namespace vdn
