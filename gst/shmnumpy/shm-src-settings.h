// SPDX-License-Identifier: LGPL-2.1-or-later
// The properties of shmnumpysrc.
#pragma once

#include <string>

#include <gst/gst.h>

#include "shmnumpy-reader.hpp"

namespace vdn {

enum class Timestamps { Echo, Arrival };
enum class WithoutWriter { Wait, Repeat, Eos };

struct ShmSrcSettings {
  std::string shm_name;
  Timestamps timestamps = Timestamps::Echo;
  guint latency = 100; // ms
  WithoutWriter on_disconnect = WithoutWriter::Wait;
  guint timeout = 0; // s, 0 = none
};

// What the element counts, and tells by `stats`.
struct ShmSrcCounts {
  guint64 frames = 0, repeated = 0, missed = 0, torn = 0, late = 0;
  gint64 age = 0, transfer = 0; // ns, of the last frame
};

// Thread: class_init.
void install_shm_src_properties(GObjectClass *klass);

// False if there is no such property, or it cannot be set. Thread: any, the caller
// serialises.
bool set_setting(ShmSrcSettings *settings, guint id, const GValue *value);
bool get_setting(const ShmSrcSettings &settings, const ShmSrcCounts &counts,
                 shmnumpy::State state, guint id, GValue *value);

} // namespace vdn
