// SPDX-License-Identifier: LGPL-2.1-or-later
// One encoded medium, made once and handed to any number of sessions: a live test picture
// with stamps, or a tone or ticks. Thread: loop, unless stated.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include <gst/app/app.h>
#include <gst/video/video.h>

#include "gst-ptr.h"
#include "mutex.h"

namespace vdn {

enum class Codec { kVp8, kVp9, kX264, kOpenH264, kX265, kOpus };

struct TrackConfig {
  Codec codec = Codec::kVp8;
  int width = 640;
  int height = 360;
  int fps = 30;
  unsigned kbps = 2000;
  unsigned slices = 1;                          // H.264: slices per frame
  std::string profile = "constrained-baseline"; // of x264: that, "main" or "high"
  std::string pattern = "smpte";                // of videotestsrc
  bool ticks = false;     // sound: one each full second of the system clock, no tone
  std::string raw_fields; // more of the caps that are encoded: "colorimetry=..."
};

// "vp8", "vp9", "h264" or "x264", "openh264", "h265"; false for anything else.
bool parse_codec(std::string_view name, Codec *codec);

class Track {
public:
  // `epoch`: the base time, on the system clock, that tracks and sessions share.
  // `on_caps` is called on a streaming thread when caps() changed.
  Track(TrackConfig config, GstClockTime epoch, std::function<void()> on_caps);
  ~Track();
  Track(const Track &) = delete;
  Track &operator=(const Track &) = delete;

  // False and `error` when an element is missing.
  bool start(GError **error);
  void stop();

  const TrackConfig &config() const { return config_; }
  bool is_video() const { return config_.codec != Codec::kOpus; }
  // Payloader for this codec, as a launch line, and the RTP caps that it shall produce.
  std::string payloader(int payload_type) const;
  // What SDP says of this codec: attributes, and their values behind the payload type.
  std::vector<std::pair<std::string, std::string>> sdp_lines() const;

  // Feeds `source` from its next keyframe on. Buffers carry running times since `epoch`.
  void attach(GstAppSrc *source);
  void detach(GstAppSrc *source);
  // Caps of what is fed, NULL until the encoder has spoken. Thread: any.
  CapsPtr caps() const;

  // Asks the encoder for a keyframe now. Thread: any.
  void request_keyframe();
  void set_size(int width, int height);
  void set_bitrate(unsigned kbps);
  // x264, once started. By an encoder of its own, which feeds on whom the old one fed.
  bool set_profile(const std::string &profile, GError **error);
  // Muted: encodes, but hands nothing on; starts again with a keyframe.
  void set_muted(bool muted);

  // Frames handed to the encoder, and those handed on by it. Thread: any.
  unsigned frames() const { return frames_; }
  unsigned encoded() const { return encoded_; }

private:
  struct Listener {
    ObjPtr<GstAppSrc> source;
    bool started = false; // has had its keyframe
  };

  GstPadProbeReturn stamp(GstPadProbeInfo *info);
  GstPadProbeReturn leave_ticks(GstPadProbeInfo *info);
  void distribute(GstSample *sample);
  CapsPtr raw_caps() const;
  ObjPtr<GstElement> encoder() const;

  TrackConfig config_;
  const GstClockTime epoch_;
  ObjPtr<GstElement> pipeline_;
  GstVideoInfo video_info_{}; // streaming thread
  const std::function<void()> on_caps_;
  std::atomic<unsigned> frames_{0};
  std::atomic<unsigned> encoded_{0};
  mutable Mutex mutex_;
  ObjPtr<GstElement> encoder_ GUARDED_BY(mutex_);
  std::vector<Listener> listeners_ GUARDED_BY(mutex_);
  CapsPtr caps_ GUARDED_BY(mutex_);
  bool muted_ GUARDED_BY(mutex_) = false;
};

} // namespace vdn
