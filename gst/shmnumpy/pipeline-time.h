// SPDX-License-Identifier: LGPL-2.1-or-later
// Times that mean the same in all processes of a machine.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include <gst/base/base.h>

namespace vdn {

// From 1900, where NTP's time begins, to 1970, ns.
constexpr GstClockTime kNtpEpoch = G_GUINT64_CONSTANT(2208988800) * GST_SECOND;

// CLOCK_MONOTONIC, ns. Thread: any.
int64_t monotonic_now();

// Where running time 0 of the element's pipeline lies on CLOCK_MONOTONIC, ns: its base
// time, if its clock is that one; with another clock, as both stand at this moment. None
// as long as it has no clock. Thread: any.
std::optional<int64_t> running_time_zero(GstElement *element);

// Until a live source plays, or `over`, which unlock() brings about: in PAUSED nothing
// flows, and what is given its time there would have another afterwards. Thread:
// streaming, in create().
void wait_until_it_plays(GstBaseSrc *source, const std::function<bool()> &over);

} // namespace vdn
