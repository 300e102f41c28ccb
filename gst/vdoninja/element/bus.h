// SPDX-License-Identifier: LGPL-2.1-or-later
// What has to be installed for a session, and messages on the bus. Thread: any.
#pragma once

#include <string>

#include <gst/gst.h>

namespace vdn {

// Whether all elements of a session are there; posts an error of `element` otherwise:
// webrtcbin exists without some of them, but does not connect, and says so only in the
// debug log.
bool check_installed(GstElement *element);

// `type`: GST_MESSAGE_WARNING or GST_MESSAGE_ERROR.
void post_problem(GstElement *element, GstMessageType type, GQuark domain, int code,
                  const std::string &text);
// An element message; takes `details`, which may be NULL.
void post_news(GstElement *element, const std::string &name, GstStructure *details);
// "vdoninja/state-changed", with values of the enumeration `type` by their nicks.
void post_state(GstElement *element, GType type, int before, int state);
void post_progress(GstElement *element, GstProgressType type, const char *sentence);

} // namespace vdn
