// SPDX-License-Identifier: LGPL-2.1-or-later
// Times that mean the same in all processes of a machine.
#pragma once

#include <cstdint>
#include <optional>

#include <gst/gst.h>

namespace vdn {

// From 1900, where NTP's time begins, to 1970, ns.
constexpr GstClockTime kNtpEpoch = G_GUINT64_CONSTANT(2208988800) * GST_SECOND;

// CLOCK_MONOTONIC, ns. Thread: any.
int64_t monotonic_now();

// Where running time 0 of the element's pipeline lies on CLOCK_MONOTONIC, ns: its base
// time, if its clock is that one; with another clock, as both stand at this moment. None
// as long as it has no clock. Thread: any.
std::optional<int64_t> running_time_zero(GstElement *element);

} // namespace vdn
