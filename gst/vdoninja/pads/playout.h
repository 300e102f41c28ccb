// SPDX-License-Identifier: LGPL-2.1-or-later
// Between what the network gives and what takes it: an element with a thread of its own,
// so that a decoder or a sink that is slow or waits never holds up the session. What has
// waited for too long is dropped (backlog.h), and where the network stutters all is
// delayed a little (lateness.h): encoded, as raw pictures are large and pools are small.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "backlog.h"

namespace vdn {

// Buffers that went in, those of them that are through to the playout stage, what that
// took out, those of them that are through downstream, what the decoder was given, how
// many formats it was told; what was dropped because it was late, how often in a row, and
// for how long the stage was at work. Streaming threads write, any reads.
struct Progress {
  std::atomic<guint64> received{0}, received_bytes{0}, passed{0}, taken{0}, handed{0},
      decoding{0}, formats{0}, dropped{0}, skips{0}, working_us{0};
  std::atomic<gint64> delay_us{0}, wanted_us{0};
};

// That sinks wait for, in us, as LATENCY events tell: it outlives who was told.
using PipelineLatency = std::shared_ptr<std::atomic<gint64>>;

struct PlayoutConfig {
  BacklogLimits limits;
  bool video = true;
  bool h264 = false;       // byte-stream, an access unit in each buffer
  gint64 latency_us = 0;   // as declared downstream
  bool can_smooth = false; // what goes on is shown
  bool adaptive = false;   // as for playout_set_latency()
  PipelineLatency pipeline_latency = std::make_shared<std::atomic<gint64>>(0);
  std::shared_ptr<Progress> progress;
  // Flow that is neither OK nor FLUSHING. Thread: the stage's.
  std::function<void(GstFlowReturn)> broken;
};

struct PlayoutStats {
  guint64 frames = 0, keyframes = 0; // that came; 0 where packets are not depayloaded
  Backlog::Drops drops;
  gint64 late_p95_us = 0; // of the last ones, behind when they would have come at best
};

// Thread: any, for all. (transfer floating)
GstElement *playout_new(PlayoutConfig config);
PlayoutStats playout_stats(GstElement *playout);
// Drops what waits.
void playout_clear(GstElement *playout);
// `adaptive`: what is shown at once may be delayed, too, to hide what the network does.
void playout_set_latency(GstElement *playout, gint64 us, bool adaptive);

} // namespace vdn
