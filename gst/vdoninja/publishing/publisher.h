// SPDX-License-Identifier: LGPL-2.1-or-later
// The publisher role: announces a stream on one server, and serves who asks for it.
// Thread: loop, for everything.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "disposer.h"
#include "presence.h"
#include "rate-meter.h"
#include "relays.h"
#include "shared-size.h"
#include "watcher.h"

namespace vdn {

struct PublisherConfig {
  PresenceConfig presence;     // with the wire id
  ConnectionConfig connection; // template
  PublisherInfo info;          // template
  BandwidthLimits limits;      // of video
  unsigned sound_kbit_s = 0;   // beside it at most, if there is sound
  bool paced = true;           // congestion control
  unsigned max_viewers = 0;    // 0: no limit
  bool retries_conflict = true;
};

enum class PublisherState {
  kDisconnected,
  kConnecting,   // to the server
  kPublished,    // whoever wants to can watch
  kStreaming,    // somebody watches
  kReconnecting, // the server is away, who watches goes on
  kFailed        // nothing more is tried
};

struct Served {
  unsigned width = 0, height = 0, fps = 0;
  std::string video_codec; // lower case
  bool stereo = false;
};

// Who has a publisher. Thread: loop.
class PublisherObserver {
public:
  virtual void state_changed(PublisherState state) = 0;
  // Once, when the server has been told first.
  virtual void published() = 0;
  virtual void webrtcbin_ready(const std::string &viewer, GstElement *webrtcbin) = 0;
  virtual void viewer_joined(const std::string &viewer, const std::string &label) = 0;
  virtual void viewer_left(const std::string &viewer, const std::string &why) = 0;
  // Of a viewer, on its data channel; for the application.
  virtual void received(const std::string &viewer, std::string_view text) = 0;
  // All video encoders are to send a keyframe now.
  virtual void keyframe_wanted() = 0;
  // All encoders of that kind are to make so much.
  virtual void bitrate_wanted(MediaKind kind, unsigned kbit_s) = 0;
  // Of pictures that fit into this.
  virtual void size_wanted(const PictureBox &box) = 0;
  // `code` is of GST_RESOURCE_ERROR. fatal: nothing more will be tried.
  virtual void problem(int code, const std::string &text, bool fatal) = 0;

protected:
  ~PublisherObserver() = default;
};

class Publisher final : PresenceObserver, WatcherObserver {
public:
  // `home`: the element; it and `observer` outlive this.
  Publisher(Loop &loop, GstBin *home, std::shared_ptr<Disposer> disposer, Secret secret,
            PublisherConfig config, PublisherObserver &observer);
  ~Publisher();
  Publisher(const Publisher &) = delete;
  Publisher &operator=(const Publisher &) = delete;

  // Opens the socket.
  void connect();
  // What there is to watch; the stream is announced once there is something, and time.
  void set_media(std::vector<Medium> media, const Served &served);
  // From when on running time counts.
  void set_time(ObjPtr<GstClock> clock, GstClockTime base_time);
  // DTLS needs a key, which may take its time to be made.
  void admit();
  void set_limits(const BandwidthLimits &video, unsigned sound_kbit_s);
  void set_muted(std::optional<bool> video, std::optional<bool> audio);
  void request_keyframe();
  // To one viewer, to all when empty. False when nobody got it.
  bool send(const std::string &viewer, const std::string &json);
  bool kick(const std::string &viewer);
  // Says goodbye to all; false when there is nobody to hear it.
  bool leave();
  // Once they have heard it.
  void end_all();
  // Announces the stream again, if it has left. Who heard the goodbye has to ask anew.
  void come_back();

  PublisherState state() const { return state_; }
  // Of video, as the encoders are told.
  unsigned kbit_s() const;
  size_t viewers() const;
  // Adds the list "viewers" and what is common to all.
  void add_stats(GstStructure *to);

private:
  // A viewer that asked and is not offered to yet.
  struct Request {
    std::string peer;
    gint64 since_us;
  };
  struct Viewer {
    std::shared_ptr<Watcher> watcher;
    size_t early_candidates = 0;
    std::deque<Message> early;   // candidates before its answer
    std::vector<bool> left_over; // media that it takes; empty: all
    bool misses = false;         // one that slept when it came
    unsigned awake_ticks = 0;    // for how long that is awake
    gint64 doubted_us = 0;       // asked again meanwhile, and pinged
    bool repeats_stats = false;
    std::string told_quality;
    gint64 rejected_us = 0;
  };

  // Of the socket.
  void socket_opened() override;
  void entered() override;
  void received(const Message &message) override;
  void alerted(Alert alert, const std::string &text) override;
  void socket_changed() override { update_state(); }
  void socket_failed(const std::string &why) override;
  void message_ignored(const std::string &why) override;
  void undecryptable(const std::string &why) override;

  // Of the viewers.
  bool send_on_socket(const std::string &text) override { return presence_.send(text); }
  void gathered(bool relayed) override { relays_.gathered(relayed); }
  void watcher_joined(Watcher &watcher) override;
  void watcher_ended(Watcher &watcher, const std::string &why) override;
  void media_left_out(Watcher &watcher, const std::vector<bool> &kept) override;
  void watcher_message(Watcher &watcher, const Message &message,
                       const ViewerRequest &request, std::string_view text) override;
  void keyframe_wanted(Watcher &watcher, KeyframeCause cause) override;
  void keyframe_came(GstClockTime time) override;
  void estimate_changed(Watcher &watcher) override;
  void wishes_changed(Watcher &watcher) override;

  bool is_over() const { return left_ || failed_; }
  bool is_ready() const { return admitted_ && clock_ && !media_.empty() && !is_over(); }
  void announce();
  void retry_later(const std::string &text);
  void id_is_ours();
  bool is_for_our_stream(const Message &message) const;
  void asked(const std::string &peer);
  void remember(const std::string &peer);
  bool is_served(const std::string &peer);
  bool is_full();
  void serve_waiting();
  bool has_free_hand();
  // `left_over`: as in Viewer.
  void serve(const std::string &peer, std::vector<bool> left_over, bool misses = false);
  void offer_what_woke();
  std::shared_ptr<Watcher> make_watcher(const std::string &peer, const Viewer &viewer,
                                        GError **error);
  void handle_answer(const Message &message);
  void handle_candidates(const Message &message);
  void let_go();
  void end(const std::string &peer, bool say_bye, const std::string &why);
  std::map<std::string, Viewer>::iterator find(const Message &message);
  void answer_controls(Viewer &viewer, const ViewerRequest &request);
  std::string stats_message() const;
  const char *limited_by(bool slow) const;
  void tell_viewers();
  void ask_encoders();
  void apply_limits();
  unsigned sound_kbit_s() const;
  BandwidthLimits limits() const;
  const MediaTrack *passing_video() const;
  void measure();
  void update_rate();
  void update_size();
  void update_sound();
  void tick();
  void update_state();

  Loop &loop_;
  GstBin *const home_;
  const std::shared_ptr<Disposer> disposer_;
  const Secret secret_;
  PublisherConfig config_;
  PublisherObserver &observer_;
  Relays relays_;
  Presence presence_;
  std::vector<Medium> media_;
  Served served_;
  ObjPtr<GstClock> clock_;
  bool admitted_ = false;
  bool seeded_ = false;     // on this socket
  bool was_seeded_ = false; // ever
  bool was_ours_ = false;   // the id, as somebody asked for it, or nobody objected
  bool left_ = false;
  bool failed_ = false;
  unsigned conflicts_ = 0;
  unsigned unreached_ = 0; // viewers that were offered the stream in vain
  unsigned ticks_ = 0;
  gint64 told_full_us_ = 0, told_codec_us_ = 0;
  std::deque<Request> waiting_;
  double connections_left_ = 0; // that may be made now
  gint64 connections_us_ = 0;   // up to when they were counted
  std::map<std::string, Viewer> viewers_;
  // Their goodbyes are on the way.
  std::vector<std::pair<gint64, std::shared_ptr<Watcher>>> leaving_;
  SharedRate rate_;
  RateMeter passing_; // video that is not encoded here
  unsigned told_kbit_s_ = 0, told_sound_kbit_s_ = 0;
  SharedSize size_;
  Keyframes keyframes_;
  GstClockTime keyframe_time_ = GST_CLOCK_TIME_NONE; // of the newest
  PublisherState state_ = PublisherState::kDisconnected;
  Timer tick_, keyframe_, linger_, conflict_, unopposed_;
};

} // namespace vdn
