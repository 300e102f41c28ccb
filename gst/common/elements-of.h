// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <vector>

#include "gst-ptr.h"

namespace vdn {

using Elements = std::vector<ObjPtr<GstElement>>;

// Those of `found`, which is freed, for which `wanted` holds. Thread: any.
template <typename Wanted> Elements elements_of(GstIterator *found, Wanted wanted) {
  struct Search {
    Elements elements;
    Wanted wanted;
  } search{{}, wanted};
  gst_iterator_foreach(
      found,
      [](const GValue *item, gpointer data) {
        auto *into = static_cast<Search *>(data);
        auto *element = static_cast<GstElement *>(g_value_get_object(item));
        if (into->wanted(element))
          into->elements.push_back(ObjPtr<GstElement>::ref(element));
      },
      &search);
  gst_iterator_free(found);
  return search.elements;
}

// All of `found`, which is freed. Thread: any.
inline Elements elements_of(GstIterator *found) {
  return elements_of(found, [](GstElement *) { return true; });
}

} // namespace vdn
