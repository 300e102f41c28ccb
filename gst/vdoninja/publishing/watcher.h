// SPDX-License-Identifier: LGPL-2.1-or-later
// A connection to one viewer, in a pipeline of its own, so that nothing of it reaches the
// user's pipeline or another viewer: offers the media, and feeds them once the viewer's
// certificate is the one of its answer. Thread: loop, unless stated.
#pragma once

#include <algorithm>
#include <atomic>
#include <optional>

#include "bandwidth.h"
#include "connection.h"
#include "control.h"
#include "feed.h"
#include "keyframes.h"
#include "offer-out.h"
#include "pacer.h"
#include "rate.h"

namespace vdn {

// A medium in the codecs that it can be had in, best first.
struct Medium {
  MediaKind kind = MediaKind::kVideo;
  std::vector<std::shared_ptr<MediaTrack>> tracks;
  bool passes = false; // it is not encoded here, and makes what it makes
  std::shared_ptr<const std::atomic<gint64>> given_us; // of its source's latest frame

  bool sleeps() const;
  // As far as can be known of what nobody takes.
  bool can_be_offered() const;
};

struct WatcherConfig {
  ConnectionConfig connection;
  std::vector<Medium> media;
  std::string info;         // first data-channel message, JSON
  ObjPtr<GstClock> clock;   // of the user's pipeline
  BandwidthLimits limits;   // of its video
  bool paced = true;        // by what its network carries
  bool refuse_plain = true; // answers in clear, on the socket
};

class Watcher;

// Who has watchers. Thread: loop. Each of these may close it.
class WatcherObserver {
public:
  virtual bool send_on_socket(const std::string &text) = 0;
  virtual void gathered(bool relayed) = 0;
  // It is shown media from now on.
  virtual void watcher_joined(Watcher &watcher) = 0;
  // `why`: for the user. It is to be closed.
  virtual void watcher_ended(Watcher &watcher, const std::string &why) = 0;
  // It rejected a medium, which webrtcbin cannot follow, or nothing comes of one yet: it
  // is to be closed, and offered those that are kept.
  virtual void media_left_out(Watcher &watcher, const std::vector<bool> &kept) = 0;
  virtual void watcher_message(Watcher &watcher, const Message &message,
                               const ViewerRequest &request, std::string_view text) = 0;
  virtual void keyframe_wanted(Watcher &watcher, KeyframeCause cause) = 0;
  // It was sent a keyframe, of this running time.
  virtual void keyframe_came(GstClockTime time) = 0;
  // How much its network carries.
  virtual void estimate_changed(Watcher &watcher) = 0;
  // What it wishes, or whether it is sent anything.
  virtual void wishes_changed(Watcher &watcher) = 0;

protected:
  ~WatcherObserver() = default;
};

class Watcher final : public Connection {
public:
  // `me`, `secret` and `observer` outlive it; `home`: the element, to log and to end for.
  static std::shared_ptr<Watcher> create(Loop &loop, GstBin *home,
                                         std::shared_ptr<Disposer> disposer,
                                         const Address &me, const Secret &secret,
                                         WatcherConfig config, WatcherObserver &observer,
                                         GError **error);
  ~Watcher() override;

  // Offers what it has; called once.
  void negotiate();
  // The clock is another now.
  void set_time(GstClock *clock, GstClockTime base_time);
  void handle_answer(const Message &message, bool over_channel);
  // Of its video, when there is no word of its network, and of its pacer.
  void set_limits(const BandwidthLimits &limits);
  void set_slow(bool slow);
  // Each second: how it fares. Ends one that is silent.
  void tick();
  void stop() override;

  // Connected, and heard from within `us`.
  bool is_alive(gint64 us) const;
  bool is_connected() const { return joined_; }
  // Whether it has answered.
  bool is_answered() const { return answered_; }
  bool is_offered() const { return !negotiating_; }
  gint64 begun_us() const { return begun_us_; }
  const std::string &label() const { return label_; }
  // Video that it is sent now, kbit/s, and what its network carries and it wishes.
  ViewerRate rate() const;
  // That it shows its video in.
  const PictureBox &box() const { return box_; }
  // It is sent sound, and wishes so much of it at most, kbit/s; 0: it does not say.
  bool hears() const { return wants_audio_ && sound_wish_kbit_s_ != 0; }
  unsigned sound_wish() const { return std::max(sound_wish_kbit_s_, 0); }
  // It waits for a keyframe because its network is too slow.
  bool waits_for_keyframe() const;
  void add_stats(GstStructure *to);

private:
  enum class Openness { kClosed, kWaitsForWord, kOpen };

  Watcher(Loop &loop, GstBin *home, ObjPtr<GstElement> pipeline,
          std::shared_ptr<Disposer> disposer, const Address &me, const Secret &secret,
          WatcherConfig config, WatcherObserver &observer);
  bool setup(GError **error);
  void listen_to_bus();
  void set_up_rtpbin();
  bool add_feeds(GError **error);
  void open_channel();

  bool send_on_socket(const std::string &text) override;
  void link_changed(LinkState state) override;
  void gathered(bool relayed) override { observer_.gathered(relayed); }
  void channel_opened() override;
  void received(const Message &message, std::string_view text) override;
  void failed(const GError *error) override;
  void dispose() override;

  void offer_created(const GstStructure *reply);
  void offer_applied(const GstStructure *reply);
  void answer_applied(const GstStructure *reply);
  bool take_choices(const Answer &answer, GError **error);
  void take_request(const ViewerRequest &request);
  void leave_out_sleeping();
  void show();
  void open_feeds(KeyframeCause cause);
  void heard() { heard_us_ = g_get_monotonic_time(); }
  void take_feedback(const std::vector<SentPacket> &packets);
  bool owes_reports() const;
  void read_reports();
  void tell_pacer();

  static GstElement *on_request_aux_sender(GstElement *, GObject *, gpointer hook);
  static void on_rtpbin_element_added(GstBin *, GstElement *child, gpointer);
  static void stop_pipeline(GstElement *pipeline); // thread: the pool's

  GstBin *const home_;
  ObjPtr<GstElement> pipeline_;
  WatcherConfig config_;
  WatcherObserver &observer_;
  std::vector<OfferedMedium> offered_;
  std::vector<std::unique_ptr<Feed>> feeds_; // as config_.media
  std::vector<std::string> mids_;
  bool answered_ = false;
  bool joined_ = false;
  Openness openness_ = Openness::kClosed;
  Timer first_word_;
  const gint64 begun_us_ = g_get_monotonic_time();
  gint64 heard_us_ = 0;
  std::string label_;
  bool wants_video_ = true, wants_audio_ = true;
  bool silent_ = false; // nothing was heard for so long that video stops
  int wish_kbit_s_ = -1, sound_wish_kbit_s_ = -1; // 0: paused, below: none
  PictureBox box_;
  unsigned described_kbit_s_ = 0; // by its answer, 0: nothing
  bool has_feedback_ = false;
  bool transport_cc_ = false;       // promised by its answer
  guint64 packets_at_feedback_ = 0; // that had been sent
  // By SSRC: what the last receiver report of it was about.
  std::map<guint, std::pair<guint, guint>> reports_;
  Bandwidth bandwidth_;
  DamageWatch damage_;
  std::atomic<GstElement *> pacer_{nullptr}; // borrowed, in webrtc_
};

} // namespace vdn
