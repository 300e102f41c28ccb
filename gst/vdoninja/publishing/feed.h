// SPDX-License-Identifier: LGPL-2.1-or-later
// One medium on its way to one viewer: from a track into a pad of the viewer's webrtcbin.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include <gst/app/app.h>

#include "track.h"

namespace vdn {

class Feed final : public TrackListener {
public:
  struct Callbacks {
    // The peer asks for a keyframe (PLI, FIR). Thread: webrtcbin's.
    std::function<void()> keyframe_asked;
    // Whether video waits for too long on its way out already. Thread: streaming.
    std::function<bool()> backlogged;
    // A keyframe of this running time comes by. Thread: streaming.
    std::function<void(GstClockTime time)> keyframe_came;
    // The track has caps, and so has the pad of webrtcbin soon. Thread: streaming.
    std::function<void()> caps_known;
  };

  struct Packets {
    int payload_type;
    // For the peer's reports. rtpsession remembers each packet with a number until it is
    // reported, without an end, whatever the peer promised.
    bool numbered;
  };

  // Links `track` to a new pad of `webrtc`, both in `pipeline`, which outlive this. NULL
  // and `error` when that cannot be. Thread: loop, for all but the listener's part.
  static std::unique_ptr<Feed> create(GstBin *pipeline, GstElement *webrtc,
                                      std::shared_ptr<MediaTrack> track,
                                      const Packets &packets, Callbacks callbacks,
                                      GError **error);
  ~Feed() override;

  // Another track takes its place, or other packets, before anything was sent: the peer
  // chose.
  bool replace(std::shared_ptr<MediaTrack> track, const Packets &packets, GError **error);
  // Whether frames go to the peer; from a keyframe on.
  void set_open(bool open) { open_ = open; }
  bool is_open() const { return open_; }
  // From keyframe to keyframe: a frame that comes while others wait ends it.
  void set_slow(bool slow) { slow_ = slow; }
  // Frames are held back until a keyframe comes. Thread: any.
  bool waits() const { return open_ && !flowing_; }

  const std::shared_ptr<MediaTrack> &track() const { return track_; }
  GstPad *pad() const { return pad_.get(); } // webrtcbin's

private:
  Feed(GstBin *pipeline, Callbacks callbacks)
      : pipeline_(pipeline), callbacks_(std::move(callbacks)) {}
  bool link(std::shared_ptr<MediaTrack> track, const Packets &wanted, GError **error);
  void unlink();
  void on_caps(GstCaps *caps) override;
  void on_frame(GstBuffer *buffer, bool keyframe) override;

  GstBin *const pipeline_;
  const Callbacks callbacks_;
  // As the offer names it: what comes under another is another stream to browsers.
  const guint32 ssrc_ = g_random_int();
  std::shared_ptr<MediaTrack> track_;
  ObjPtr<GstElement> branch_; // appsrc and payloader
  ObjPtr<GstAppSrc> source_;
  ObjPtr<GstPad> pad_;
  std::atomic<bool> open_{false};
  std::atomic<bool> slow_{false};
  std::atomic<bool> flowing_{false};
};

} // namespace vdn
