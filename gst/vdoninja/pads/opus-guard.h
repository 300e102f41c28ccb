// SPDX-License-Identifier: LGPL-2.1-or-later
// What opusdec with in-band FEC cannot take. It holds one packet back, for what the next
// repeats of it, and a fault of that one packet stays for good (gstopusdec.c, 1.22 to
// main).
#pragma once

#include <gst/gst.h>

namespace vdn {

// Whether that is an Opus packet, of 120 ms at most: RFC 6716, 3.
bool is_opus_packet(const guint8 *data, gsize size);

// On the pads of `decoder`, for its life. Thread: any.
void guard_opusdec(GstElement *decoder);

} // namespace vdn
