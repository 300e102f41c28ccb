// SPDX-License-Identifier: LGPL-2.1-or-later
// From an RTP pad of webrtcbin to what downstream asked for: depayloader, parser, decoder
// in a bin, linked completely before data flows. Whatever happens in it or behind it,
// webrtcbin is told that all is well: one flow error would end the whole session.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "codec.h"
#include "decode-times.h"
#include "freezes.h"
#include "mutex.h"
#include "playout.h"

namespace vdn {

// The pictures of a pad, whatever sessions they come from. Streaming threads write, any
// reads.
struct Shown {
  Mutex mutex;
  Freezes freezes GUARDED_BY(mutex);
  DecodeTimes times GUARDED_BY(mutex);
  guint64 decoded GUARDED_BY(mutex) = 0;
};

struct BranchRequest {
  GstBin *home = nullptr; // where the branch is going to be
  const Codec *codec = nullptr;
  Form form = Form::kRaw;
  std::string decoder;                      // factory or bin description, empty: by rank
  std::vector<std::string> failed_decoders; // factory names
  bool conceal_errors = false; // show damaged pictures instead of waiting for a keyframe
  std::function<void(GstElement *)> decoder_setup;
  gint64 latency_us = 0;            // as declared downstream
  bool adaptive = false;            // and it is ours to choose
  PipelineLatency pipeline_latency; // the pad's
  std::shared_ptr<Shown> shown;     // counts decoded pictures
  // False in PAUSED: a live source has nothing then.
  std::shared_ptr<const std::atomic<bool>> flowing;
  // First flow that is neither OK nor FLUSHING; data is dropped from then on. Streaming
  // thread.
  std::function<void(GstFlowReturn)> broken;
};

struct Branch {
  ObjPtr<GstElement> bin;     // pads "sink" and "src"
  ObjPtr<GstElement> playout; // in it
  std::string decoder;        // factory name, empty when nothing is decoded
  std::shared_ptr<Progress> progress = std::make_shared<Progress>();
};

// Thread: any. `bin` is NULL and `error` set when it cannot be built.
Branch make_branch(BranchRequest request, GError **error);

} // namespace vdn
