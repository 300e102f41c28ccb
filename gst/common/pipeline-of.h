// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "gst-ptr.h"

namespace vdn {

// What an element is in, at the top; itself if it is in nothing. Thread: any.
inline ObjPtr<GstElement> pipeline_of(GstElement *element) {
  auto top = ObjPtr<GstObject>::ref(GST_OBJECT(element));
  while (auto parent = ObjPtr<GstObject>::adopt(gst_object_get_parent(top.get())))
    top = std::move(parent);
  return ObjPtr<GstElement>::ref(GST_ELEMENT(top.get()));
}

} // namespace vdn
