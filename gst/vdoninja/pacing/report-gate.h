// SPDX-License-Identifier: LGPL-2.1-or-later
// Which transport-wide feedback may be shown to GStreamer's rtpsession, which believes
// all: for each packet that a report names, and for each between it and the report
// before, it makes a structure, 65,535 for a few bytes, and reads what is cut off from
// behind the packet (1.22.0 to 1.26.2: rtptwcc.c, rtp_twcc_manager_parse_fci(), to which
// the length is told as four times what it is). Thread: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include <gst/gst.h>

namespace vdn {

class ReportGate {
public:
  // Whether it is in order: whole, and about packets that come soon after those of the
  // report before. After `kPatienceUs` without one in order any whole one is.
  // `fci`: draft-holmer-rmcat-transport-wide-cc-extensions-01, 3.1, from the base
  // sequence number on.
  bool admits(const uint8_t *fci, size_t bytes, int64_t now_us);

  // All of a compound packet of RTCP; true for what has no such feedback.
  bool admits(GstBuffer *rtcp, int64_t now_us);

  // Packets that a report names, or skips: 1 s of 40 Mbit/s.
  static constexpr unsigned kMost = 4096;
  static constexpr int64_t kPatienceUs = 3 * G_USEC_PER_SEC;

private:
  std::optional<uint16_t> next_; // behind the last one that was in order
  int64_t admitted_us_ = 0;
};

} // namespace vdn
