// SPDX-License-Identifier: LGPL-2.1-or-later
// Decoders and encoders that behave as hardware does on a bad day, registered as element
// factories of this process. They stand in for V4L2, which needs a device, and others:
// each is a bin around a software codec, so what they do deliver are the true pictures.
// Thread: any.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <gst/gst.h>

namespace vdn {

struct StandIn {
  enum class Fault {
    kNone,
    kError,  // an error message and a flow error
    kRefuse, // not-negotiated, without a word
    kStall,  // takes data, delivers nothing
    kBlock,  // does not return until the element stops
  };
  std::string name; // of the factory
  std::string decoder = "vp8dec";
  std::string caps = "video/x-vp8";       // of the sink pad's template
  std::string makes = "video/x-raw(ANY)"; // of the source pad's
  std::string klass = "Codec/Decoder/Video/Hardware";
  bool controls = false;  // has `extra-controls`, as V4L2 elements have
  bool force_idr = false; // has `bitrate` and the action `force-IDR`, as NVIDIA's have
  std::string insists_on; // caps; others are refused, as a driver's list does
  std::string delivers;   // caps, all that could come out, and nobody takes
  std::string context;    // type of one that it needs for READY
  guint rank = GST_RANK_PRIMARY + 10;
  bool starts = true;             // reaches READY
  bool runs = true;               // reaches PAUSED
  unsigned start_ms = 0;          // that READY takes
  bool own_thread = false;        // decodes on one of its own
  unsigned withheld = 0;          // pictures that never come out, at the start
  Fault fault = Fault::kNone;     // after `good` pictures of an instance
  Fault on_resize = Fault::kNone; // from the second size on
  unsigned good = 0;
  unsigned faulty = G_MAXUINT; // instances with faults, the first ones
};

struct StandInCounts {
  std::atomic<unsigned> made{0};     // instances
  std::atomic<unsigned> started{0};  // that reached READY
  std::atomic<unsigned> contexts{0}; // that were given what they need
  std::atomic<unsigned> taken{0};    // pictures given to any of them
  std::mutex mutex;
  std::vector<std::string> settings; // what any of them was set to, in order
};

// A second one of the same name replaces the first.
std::shared_ptr<StandInCounts> register_stand_in(const StandIn &what);

} // namespace vdn
