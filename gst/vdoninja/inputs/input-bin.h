// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>

#include "gst-ptr.h"

namespace vdn {

// A bin that shows each message of its children to `on_message` first, on the thread that
// posts it; those for which it returns true go no further. (floating)
GstElement *input_bin_new(std::function<bool(GstMessage *)> on_message);

} // namespace vdn
