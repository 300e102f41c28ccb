// SPDX-License-Identifier: LGPL-2.1-or-later
// Owning pointers for GStreamer types; GstObjects go into ObjPtr.
#pragma once

#include <gst/gst.h>

#include "glib-ptr.h"

namespace vdn {

struct MiniReleaser {
  template <typename T> void operator()(T *ptr) const {
    gst_mini_object_unref(GST_MINI_OBJECT_CAST(ptr));
  }
};

// Caps, buffers, events, queries, messages, promises: one owned reference.
template <typename T> using MiniPtr = std::unique_ptr<T, MiniReleaser>;
using CapsPtr = MiniPtr<GstCaps>;
using EventPtr = MiniPtr<GstEvent>;
using BufferPtr = MiniPtr<GstBuffer>;
using MessagePtr = MiniPtr<GstMessage>;

using StructurePtr = std::unique_ptr<GstStructure, Releaser<gst_structure_free>>;

} // namespace vdn
