// SPDX-License-Identifier: LGPL-2.1-or-later
#include "pipeline-time.h"

#include <time.h>

#include "gst-ptr.h"

namespace vdn {

int64_t monotonic_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

std::optional<int64_t> running_time_zero(GstElement *element) {
  const auto clock = ObjPtr<GstClock>::adopt(gst_element_get_clock(element));
  if (!clock)
    return std::nullopt;
  const auto base = static_cast<int64_t>(gst_element_get_base_time(element));
  const int64_t before = monotonic_now();
  const auto now = static_cast<int64_t>(gst_clock_get_time(clock.get()));
  const int64_t after = monotonic_now();
  // Read in between: the system's clock, or one that is as good as it.
  if (before <= now && now <= after)
    return base;
  return base + before + (after - before) / 2 - now;
}

void wait_until_it_plays(GstBaseSrc *source, const std::function<bool()> &over) {
  g_mutex_lock(&source->live_lock);
  while (!source->live_running && !over())
    g_cond_wait(&source->live_cond, &source->live_lock);
  g_mutex_unlock(&source->live_lock);
}

} // namespace vdn
