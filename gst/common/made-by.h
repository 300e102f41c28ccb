// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

namespace vdn {

// Whether `object` is an element of the factory `name`. Thread: any.
inline bool is_made_by(GstObject *object, const char *name) {
  GstElementFactory *factory =
      GST_IS_ELEMENT(object) ? gst_element_get_factory(GST_ELEMENT(object)) : nullptr;
  return factory && g_str_equal(GST_OBJECT_NAME(factory), name);
}

} // namespace vdn
