// SPDX-License-Identifier: LGPL-2.1-or-later
// The end of what runs in the user's pipeline.
#pragma once

#include <functional>

#include "gst-ptr.h"

namespace vdn {

// An appsink that tells of each sample and of the end on the streaming thread, keeps no
// buffer and never holds the pipeline's state up. `sync`: waits for the clock. (floating)
GstElement *make_sample_sink(bool sync, std::function<void(GstSample *)> on_sample,
                             std::function<void()> on_eos);

} // namespace vdn
