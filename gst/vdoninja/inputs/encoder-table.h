// SPDX-License-Identifier: LGPL-2.1-or-later
// How each encoder is set up for live pictures, how its rate is changed while it runs and
// how it is asked for a keyframe. Thread: any.
#pragma once

#include <string>
#include <vector>

#include "encoding.h"

namespace vdn {

struct EncoderSetting {
  const char *property; // skipped by elements that have none of this name
  // As in a launch line. $kbps, $bps, $bps25k (whole steps of 25 000 bit/s), $gop
  // (frames), $threads (one to four), $preset (of x264) are filled in.
  const char *value;
};

enum class KeyframeRequest {
  kEvent,         // upstream force-key-unit, as GstVideoEncoder takes it
  kExtraControls, // a button of the driver before GStreamer 1.24, then an event
  kForceIdr,      // an action signal of NVIDIA's
};

struct EncoderRow {
  const char *factory; // a pattern: V4L2 names carry the device
  std::vector<EncoderSetting> settings;
  EncoderSetting rate;            // property NULL: found by introspection
  const char *raw_caps = nullptr; // what it is to be given
  const char *out_caps = nullptr; // what is asked of it
  // Elements that bring pictures to it, the first one that is installed; videoconvert is
  // behind it in any case.
  std::vector<const char *> converters = {};
  KeyframeRequest keyframe = KeyframeRequest::kEvent;
};

struct EncoderNumbers {
  unsigned kbps = 0;
  unsigned fps = 30;
  unsigned keyframe_seconds = 10; // 0: never without a request
  unsigned cores = 1;
};

// Of the element itself, or of the first encoder in a bin; a general row for unknown
// ones.
const EncoderRow &encoder_row(GstElement *encoder);
// The encoder in what a user described, or the element itself. (transfer full)
ObjPtr<GstElement> find_encoder(GstElement *element);
// Before it starts. What the user's description has set stays, but for the rate.
void set_up_encoder(GstElement *encoder, const EncoderNumbers &numbers);
// At any time.
void set_encoder_rate(GstElement *encoder, unsigned kbps);
// `running`: it was given a frame, before which NVIDIA's crashes.
void request_encoder_keyframe(GstElement *encoder, bool running);
// Factory names of the installed encoders, best rank first.
std::vector<std::string> encoders_for(Encoding encoding);
// Whether an element of the user's can make it, by its templates.
bool makes(GstElement *encoder, Encoding encoding);

} // namespace vdn
