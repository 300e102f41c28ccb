// SPDX-License-Identifier: LGPL-2.1-or-later
// The pad in front of an input: says what may come, and hands over what comes.
#pragma once

#include <functional>

#include "gst-ptr.h"

namespace vdn {

struct InputPadFunctions {
  bool video = true;
  // As of a GstPad. Thread: streaming.
  std::function<GstFlowReturn(GstPad *, GstObject *, GstBuffer *)> chain;
  std::function<gboolean(GstPad *, GstObject *, GstEvent *)> event;
};

// A ghost pad "sink" without a target. Upstream is told the same whatever is behind it:
// it need not negotiate again when that changes. (floating)
GstPad *input_pad_new(InputPadFunctions functions);
// What it may be given, best first. (transfer full)
GstCaps *input_pad_caps(bool video);

} // namespace vdn
