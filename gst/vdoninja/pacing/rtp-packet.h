// SPDX-License-Identifier: LGPL-2.1-or-later
// What a packet on its way to a viewer is.
#pragma once

#include <bitset>

#include "pacer-queue.h"

namespace vdn {

using PayloadTypes = std::bitset<128>;

// What cannot be seen in packets.
struct PacerPayloads {
  PayloadTypes sound;
  // Their payloaders do not mark keyframes before GStreamer 1.26, so the payload is read.
  PayloadTypes vp8, vp9;
};

struct RtpPacket {
  PacerQueue::Packet packet; // with the buffer
  unsigned payload_type = 0;
};

// Repeats are told by the flag that rtprtxsend sets, keyframes by the absence of
// DELTA_UNIT on their first packet. Thread: any.
RtpPacket read_packet(BufferPtr buffer, const PacerPayloads &payloads, int64_t now_us);

} // namespace vdn
