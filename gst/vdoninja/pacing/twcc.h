// SPDX-License-Identifier: LGPL-2.1-or-later
// Transport-wide feedback, as GStreamer's rtpsession tells it.
#pragma once

#include <vector>

#include "bandwidth.h"
#include "gst-ptr.h"
#include "rtp-packet.h"

namespace vdn {

// Reads the structure of an event `RTPTWCCPackets`; false when it is none of these.
// `repeats`: payload types of those. Times of sending are of the system clock, which is
// GLib's monotonic one. Thread: any.
//
// Fields and their types: rtpstats.c of gst-plugins-good 1.22.0 and 1.26.2,
// rtp_twcc_stats_get_packets_structure(). A packet that was never sent, or was in an
// earlier report, has no local-ts there. Its size is that of the payload.
bool read_feedback(const GstStructure *structure, const PayloadTypes &repeats,
                   std::vector<SentPacket> *packets);

} // namespace vdn
