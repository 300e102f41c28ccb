// SPDX-License-Identifier: LGPL-2.1-or-later
// What the user has encoded already: through a parser and on.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "track.h"

namespace vdn {

struct PassthroughConfig {
  Encoding encoding = Encoding::kH264;
  bool true_profile = false;               // announced as it is
  gint64 patience_us = 3 * G_USEC_PER_SEC; // until the first picture, or a keyframe
  // Each is said once. Thread: streaming.
  std::function<void(const std::string &text, const std::string &debug)> warn;
};

class Passthrough : public std::enable_shared_from_this<Passthrough> {
public:
  // NULL and `error` when the parser is missing. Thread: any.
  static std::shared_ptr<Passthrough> create(PassthroughConfig config, GError **error);

  GstElement *bin() const { return bin_.get(); } // pad "sink"
  const std::shared_ptr<MediaTrack> &track() const { return track_; }
  Encoding encoding() const { return config_.encoding; }
  void set_sync(bool sync);

  // Thread: streaming, before what is told passes.
  void given();
  // False and `error` when such a stream cannot be sent.
  bool set_caps(const GstCaps *caps, GError **error);

private:
  explicit Passthrough(PassthroughConfig config) : config_(std::move(config)) {}
  void request_keyframe();
  void warn_once(unsigned what, const char *text);
  void taken(GstSample *sample);

  const PassthroughConfig config_;
  ObjPtr<GstElement> bin_;
  GstElement *sink_ = nullptr; // in it
  std::shared_ptr<MediaTrack> track_;
  std::atomic<unsigned> warned_{0}; // bits
  std::atomic<bool> made_{false};
  std::atomic<gint64> asked_{0};                // for a keyframe since; us, 0: it came
  gint64 since_ = 0;                            // when the first buffer came
  GstClockTime last_pts_ = GST_CLOCK_TIME_NONE; // of the sink
};

} // namespace vdn
