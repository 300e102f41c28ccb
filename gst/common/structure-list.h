// SPDX-License-Identifier: LGPL-2.1-or-later
// A list of structures as a field of another one.
#pragma once

#include "gst-ptr.h"

namespace vdn {

class StructureList {
public:
  StructureList() { g_value_init(&list_, GST_TYPE_LIST); }
  ~StructureList() {
    if (G_IS_VALUE(&list_))
      g_value_unset(&list_);
  }
  StructureList(const StructureList &) = delete;
  StructureList &operator=(const StructureList &) = delete;

  // NULL is left out.
  void add(StructurePtr structure) {
    if (!structure)
      return;
    GValue item = G_VALUE_INIT;
    g_value_init(&item, GST_TYPE_STRUCTURE);
    g_value_take_boxed(&item, structure.release());
    gst_value_list_append_and_take_value(&list_, &item);
  }
  // Once, at the end.
  void put(GstStructure *to, const char *field) {
    gst_structure_take_value(to, field, &list_);
  }

private:
  GValue list_ = G_VALUE_INIT;
};

} // namespace vdn
