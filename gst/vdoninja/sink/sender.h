// SPDX-License-Identifier: LGPL-2.1-or-later
// What vdoninjasink has between READY and NULL: the loop and the publisher, wired with
// the element's inputs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "settings.h"

namespace vdn {

// The element. Thread: loop.
class SenderObserver {
public:
  virtual void state_changed(PublisherState state) = 0;
  virtual void published() = 0;
  // `type`: GST_MESSAGE_WARNING or GST_MESSAGE_ERROR.
  virtual void problem(GstMessageType type, GQuark domain, int code,
                       const std::string &text) = 0;
  virtual void webrtcbin_ready(const std::string &viewer, GstElement *webrtcbin) = 0;
  virtual void viewer_joined(const std::string &viewer, const std::string &label) = 0;
  virtual void viewer_left(const std::string &viewer, const std::string &why) = 0;
  virtual void received(const std::string &viewer, std::string_view json) = 0;
  // All inputs are at their end, and everybody has been told.
  virtual void ended() = 0;

protected:
  ~SenderObserver() = default;
};

class Sender final : public std::enable_shared_from_this<Sender>, PublisherObserver {
public:
  // `observer` outlives it. Thread: any, and nothing here waits for the network.
  Sender(GstElement *element, Secret secret, PublisherConfig config,
         SenderObserver &observer);
  // Opens the socket.
  void start();
  // Says goodbye and closes; what is called later has no effect. Not from the loop's or a
  // streaming thread.
  void close();
  Sender(const Sender &) = delete;
  Sender &operator=(const Sender &) = delete;

  // Thread: the state change's. play() returns since when running time counts.
  GstClockTime play();
  void pause();
  // Thread: any, for all of these. send(), kick() and add_stats() wait for the loop, so
  // they are not for a streaming thread.
  // What stands behind the pads, as many as there are pads; published once all have
  // something, or some have for a while.
  void set_inputs(std::vector<std::shared_ptr<Input>> inputs);
  void inputs_changed();
  void set_limits(const BandwidthLimits &video, unsigned sound_kbit_s);
  void set_muted(std::optional<bool> video, std::optional<bool> audio);
  void request_keyframe();
  // Says goodbye, then ended(), unless there is more to come before that.
  void finish();
  void resume();
  bool send(const std::string &viewer, const std::string &json);
  bool kick(const std::string &viewer);
  unsigned viewers();
  void add_stats(GstStructure *to);

private:
  // Of the publisher.
  void state_changed(PublisherState state) override { observer_.state_changed(state); }
  void published() override { observer_.published(); }
  void webrtcbin_ready(const std::string &viewer, GstElement *webrtcbin) override {
    observer_.webrtcbin_ready(viewer, webrtcbin);
  }
  void viewer_joined(const std::string &viewer, const std::string &label) override {
    observer_.viewer_joined(viewer, label);
  }
  void viewer_left(const std::string &viewer, const std::string &why) override {
    observer_.viewer_left(viewer, why);
  }
  void received(const std::string &viewer, std::string_view text) override {
    observer_.received(viewer, text);
  }
  void keyframe_wanted() override;
  void bitrate_wanted(MediaKind kind, unsigned kbit_s) override;
  void size_wanted(const PictureBox &box) override;
  void problem(int code, const std::string &text, bool fatal) override;

  void look_at_inputs(bool complete_only);

  GstElement *const element_;
  SenderObserver &observer_;
  const std::shared_ptr<Disposer> disposer_ = std::make_shared<Disposer>();
  const std::shared_ptr<Loop> loop_ = std::make_shared<Loop>("vdoninja-sink");
  // Made, used and dropped on the loop.
  std::unique_ptr<Publisher> publisher_;
  std::vector<std::shared_ptr<Input>> inputs_;
  std::unique_ptr<Timer> farewell_, patience_;
  PictureBox box_; // of video
  bool paused_ = false;
  bool muted_ = false; // by the user
  // Of the viewers' pipelines, from the first PLAYING on. Thread: the state change's.
  ObjPtr<GstClock> clock_; // of the epoch
  GstClockTime epoch_ = GST_CLOCK_TIME_NONE;
};

} // namespace vdn
