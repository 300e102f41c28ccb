// SPDX-License-Identifier: LGPL-2.1-or-later
// What becomes of a frame on its way into a slot: formats, description, copy or
// conversion.
#pragma once

#include <cstdint>

#include <gst/gst.h>
#include <gst/video/video.h>

#include "gst-ptr.h"
#include "shm-layout.h"

namespace vdn {

enum class OutputFormat { Auto, Rgb, Bgr, Native };

// Caps that frames may arrive in. With a static string, for pad templates, and as caps,
// of those that `format` lets in, best first. Thread: any.
const char *all_input_formats();
CapsPtr input_caps(OutputFormat format);

// What a frame of `in` is in the slot; false if `format` does not take it. Thread: any.
bool output_info(const GstVideoInfo &in, OutputFormat format, GstVideoInfo *out);

// Everything about `out` that is the same for each frame. Thread: any.
shmnumpy_slot describe_stream(const GstVideoInfo &in, const GstVideoInfo &out);

// Adds what belongs to this very buffer: times and flags. Thread: streaming.
void describe_buffer(GstBuffer *buffer, const GstSegment &segment, shmnumpy_slot *slot);

// Where the pixels of a mapped frame begin, if its planes lie behind one another as
// `slot` can say it and end within `capacity` bytes; its planes are then described in
// `slot`. Else null.
const uint8_t *describe_in_place(const GstVideoFrame &frame, uint64_t capacity,
                                 shmnumpy_slot *slot);

// Copies or converts the frame to `pixels`, laid out as `out`. False if libyuv refuses.
// Thread: streaming.
bool write_pixels(const GstVideoFrame &frame, const GstVideoInfo &out, uint8_t *pixels);

} // namespace vdn
