// SPDX-License-Identifier: LGPL-2.1-or-later
// One medium in one codec, made once and handed to any number of listeners, each from its
// next keyframe on. Who makes it, an encoder or the user's own stream, stands behind it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "encoding.h"
#include "mutex.h"

namespace vdn {

// Thread: streaming, one call at a time; must not block. May remove itself.
class TrackListener {
public:
  virtual ~TrackListener() = default;
  // Before the first frame, and whenever they change. (transfer none)
  virtual void on_caps(GstCaps *caps) = 0;
  // (transfer full) A buffer of the listener's own; the memory is shared by all and must
  // not be written to. PTS and DTS are running times since the epoch; DISCONT where
  // frames are missing before it.
  virtual void on_frame(GstBuffer *buffer, bool keyframe) = 0;
};

// What SDP says of a track.
struct SdpFacts {
  std::string encoding_name;
  unsigned clock_rate = 0;
  unsigned channels = 0; // as in rtpmap; 0: not said
  std::vector<std::pair<std::string, std::string>> fmtp;
};

// Caps may be NULL. `encoded`: of the stream, once there are some; `raw`: of what is
// going to be encoded. H.264 is announced as constrained baseline whatever it is, unless
// `true_profile`: 42c0, 42e0 and the 4280 of V4L2 encoders are all decoded as that, and
// viewers refuse the last. https://github.com/centricular/gstwebrtc-demos/issues/130
SdpFacts sdp_facts(Encoding encoding, const GstCaps *encoded, const GstCaps *raw,
                   bool true_profile);
// profile_idc of H.264 caps with parameter sets, 0 without.
unsigned h264_profile_idc(const GstCaps *caps);

class MediaTrack {
public:
  struct Source {
    std::function<void()> demand_changed; // taken() is another; from any thread
    std::function<void()> keyframe;       // one is wanted now; from any thread
  };
  MediaTrack(Encoding encoding, bool true_profile, Source source)
      : encoding_(encoding), true_profile_(true_profile), source_(std::move(source)) {}
  MediaTrack(const MediaTrack &) = delete;
  MediaTrack &operator=(const MediaTrack &) = delete;

  // For whoever listens. Thread: any.
  Encoding encoding() const { return encoding_; }
  bool is_video() const { return facts_of(encoding_).video; }
  // Of what is handed on, NULL as long as nothing was made.
  CapsPtr caps() const;
  SdpFacts sdp() const;
  // The payloader, as launch text.
  std::string payloader(int payload_type) const;
  // Borrowed, until remove(). Asks for no keyframe: who adds may ask for one.
  void add(TrackListener *listener);
  // Returns when no call into it is running, but the caller's own, and none will come.
  void remove(TrackListener *listener);
  void request_keyframe() const { source_.keyframe(); }
  bool taken() const;
  // Of all frames that were handed on.
  guint64 bytes() const { return bytes_; }

  // For whoever makes it.
  // The base time that listeners share; NONE: that of the frames. Thread: any.
  void set_epoch(GstClockTime epoch) { epoch_ = epoch; }
  void set_raw_caps(const GstCaps *caps);
  // Nothing is handed on while muted, and then from a keyframe on.
  void set_muted(bool muted);
  bool muted() const { return muted_; }
  // The next frame is not the follower of the last: all wait for a keyframe.
  void restart();
  // `base_time`: of the element that made it. Thread: one streaming thread at a time.
  void push(GstSample *sample, GstClockTime base_time);

private:
  struct Entry {
    TrackListener *listener;
    bool removed = false;
    bool started = false; // has had its keyframe since the last restart
    bool discont = true;
    unsigned formats = 0;   // the number of the caps that it was told
    std::thread::id caller; // of the call that is running
    bool called = false;
  };
  using EntryPtr = std::shared_ptr<Entry>;

  void take_caps(GstCaps *caps);
  void give(Entry &entry, GstBuffer *buffer, bool keyframe);

  const Encoding encoding_;
  const bool true_profile_;
  const Source source_;
  std::atomic<GstClockTime> epoch_{GST_CLOCK_TIME_NONE};
  std::atomic<bool> muted_{false};
  std::atomic<guint64> bytes_{0};
  mutable Mutex mutex_;
  std::condition_variable returned_;
  std::vector<EntryPtr> entries_ GUARDED_BY(mutex_);
  CapsPtr caps_ GUARDED_BY(mutex_);
  CapsPtr raw_caps_ GUARDED_BY(mutex_);
  unsigned formats_ GUARDED_BY(mutex_) = 0;
};

} // namespace vdn
