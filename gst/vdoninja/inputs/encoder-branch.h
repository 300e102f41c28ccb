// SPDX-License-Identifier: LGPL-2.1-or-later
// From raw frames to encoded ones: a bin around one encoder. Whatever happens in it, who
// gives frames is told that all is well.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "encoder-table.h"
#include "mutex.h"
#include "picture-box.h"

namespace vdn {

struct BranchCounts {
  std::atomic<unsigned> waiting{0}; // frames given since one came out
  std::atomic<gint64> since{0};     // us, monotonic: when the first of them was given
  std::atomic<unsigned> made{0};    // frames that came out
  std::atomic<unsigned> formats{0}; // caps that went in
};

// What pictures are scaled to.
struct BranchSize {
  Mutex mutex;
  unsigned width GUARDED_BY(mutex) = 0, height GUARDED_BY(mutex) = 0; // as given
  PictureBox box GUARDED_BY(mutex);
};

struct EncoderBranchConfig {
  Encoding encoding = Encoding::kH264;
  std::string name; // factory or bin description
  CapsPtr raw;      // what is going to be given
  EncoderNumbers numbers;
  gint64 patience_us = 0;
  std::function<void(GstElement *)> made; // before it starts
  // Streaming threads.
  std::function<bool()> idle; // nothing is to be encoded now
  std::function<void(GstSample *)> on_sample;
  std::function<void(const std::string &)> on_failure; // may come more than once
};

struct EncoderBranch {
  unsigned number = 0; // given by whoever makes it
  std::string name;
  ObjPtr<GstElement> bin;     // pad "sink"
  ObjPtr<GstElement> encoder; // in it
  std::shared_ptr<BranchCounts> counts = std::make_shared<BranchCounts>();
  std::shared_ptr<BranchSize> size = std::make_shared<BranchSize>();
};

// In NULL. `bin` is NULL and `error` set when it cannot be built. Thread: any.
EncoderBranch make_encoder_branch(EncoderBranchConfig config, GError **error);
// While it runs: from the next picture on. Thread: any.
void set_branch_box(const EncoderBranch &branch, const PictureBox &box);
// An encoder from a factory name or a bin description, NULL and `error` if there is none.
ObjPtr<GstElement> make_encoder(const std::string &name, GError **error);
// What of memory such frames are in, "" for the system's.
std::string memory_of(const GstCaps *raw);

} // namespace vdn
