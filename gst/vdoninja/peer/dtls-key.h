// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>

#include <gst/gst.h>

namespace vdn {

// The first DTLS element of a process makes an RSA key, which takes half a second on a PC
// and more on small machines. No connection is to begin before, so that nobody waits for
// it inside of webrtcbin, least of all a change to NULL. `then` is called on a thread of
// GStreamer's pool. Thread: any.
void make_dtls_key(GstElement *element, std::function<void()> then);

} // namespace vdn
