// SPDX-License-Identifier: LGPL-2.1-or-later
// One connection to one publisher: a webrtcbin that answers one lineage of offers. A
// session is disposable; what outlives it are the pads. Thread: loop, for everything
// public.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#define GST_USE_UNSTABLE_API
#include <gst/webrtc/webrtc.h>

#include "disposer.h"
#include "loop.h"
#include "message.h"
#include "offer.h"
#include "repair.h"
#include "ssrc-gate.h"

namespace vdn {

struct SessionConfig {
  std::string peer;                      // UUID of the publisher
  std::optional<std::string> id;         // the offer's `session`
  std::string stream_id;                 // plain
  std::string stun_server;               // stun://host:port, empty: none
  std::vector<std::string> turn_servers; // turn(s)://user:password@host:port
  bool relay_only = false;
  unsigned latency = 0; // ms, as declared downstream
  GstClockTime base_time = 0;
  // The server is on this machine, and so may be the publisher: libnice would not look
  // for it on loopback.
  bool gather_on_loopback = false;
  AnswerHints hints;
  // Whether offers in clear are answered; unset: unless the user set a password.
  std::optional<bool> allow_plain;
  std::string init; // first data-channel message, JSON
};

// An RTP pad of webrtcbin, blocked by `probe` until its receiver removes that.
struct Track {
  unsigned mline = 0;
  MediaKind kind = MediaKind::kVideo;
  std::string encoding; // upper case
  ObjPtr<GstPad> pad;
  gulong probe = 0;
};

enum class LinkState { kNew, kConnecting, kConnected, kDisconnected, kFailed };

enum SessionError {
  SESSION_ERROR_OFFER,    // the offer is unusable
  SESSION_ERROR_SECURITY, // certificate or encryption not as announced
  SESSION_ERROR_WEBRTC    // webrtcbin refused or failed
};
GQuark session_error_quark();

// Once, before anything else here.
void session_debug_init();

class Session : public std::enable_shared_from_this<Session> {
public:
  struct Callbacks {
    // The format wanted for each of `offer.media`, in that order; NULL refuses the line.
    std::function<std::vector<const Format *>(const Offer &offer)> choose;
    // Media begins to arrive, from a publisher whose certificate was checked.
    std::function<void(Track track)> track;
    std::function<bool(const std::string &text)> send; // on the socket
    std::function<void(LinkState state)> link_state;
    // All candidates of ours are known; whether one of them is a relay's.
    std::function<void(bool relayed)> gathered;
    std::function<void()> channel_open;
    std::function<void(const Message &message, std::string_view text)> message;
    // An offer that this webrtcbin cannot take, though the publisher may make it.
    std::function<void(const Message &offer, bool over_channel, bool same_certificate,
                       const std::string &why)>
        needs_new_session;
    // A later offer that nobody would take; the session goes on without it.
    std::function<void(const GError *error)> refused;
    std::function<void(const GError *error)> failed;
  };

  // `me` and `secret` outlive the session. Adds a webrtcbin to `bin`.
  static std::shared_ptr<Session>
  create(Loop &loop, GstBin *bin, std::shared_ptr<Disposer> disposer, const Address &me,
         const Secret &secret, SessionConfig config, Callbacks callbacks, GError **error);
  ~Session();

  // Whether libnice has addresses of IPv4 to start from; it uses TURN servers of the
  // families that it has. Thread: any.
  static bool gathers_ipv4(const SessionConfig &config);
  // The offer in `message`, nullopt and `error` when it is none, or in clear though it
  // must not be.
  static std::optional<Offer> read(const Message &message, bool over_channel,
                                   const SessionConfig &config, const Secret &secret,
                                   GError **error);
  void handle_offer(const Message &message, bool over_channel);
  void handle_candidates(const Message &message, bool over_channel);
  // Sends on the data channel; false while it is not open.
  bool send(const std::string &text);
  bool channel_is_open() const { return channel_ready_; }
  void set_latency(unsigned ms);
  // As the data channel has it.
  void set_round_trip(gint64 us) { repair_hints_->round_trip_us = us; }
  // From which time on running time counts, when the clock is another now.
  void set_base_time(GstClockTime time);
  // No callback and no new media afterwards; what was sent may still leave.
  void stop();
  // stop(), and gives webrtcbin away.
  void close();

  const SessionConfig &config() const { return config_; }
  LinkState link_state() const { return link_state_; }
  // ICE has found a way to the peer; DTLS may still be under way.
  bool reached() const;
  // RTP packets and data-channel messages received so far; it grows while the peer lives.
  guint64 activity() const { return *packets_ + messages_; }
  GstElement *webrtcbin() const { return webrtc_.get(); }
  // Adds by which way packets come, as it was when this was asked last, and the list
  // "rtp", one structure for each RTP stream that arrives.
  void add_stats(GstStructure *to);
  // The newest offer that was accepted, NULL before the first.
  const Offer *offer() const { return offer_ ? &*offer_ : nullptr; }

private:
  struct Pending {
    Offer offer;
    bool over_channel;
    bool encrypted;
  };
  struct Preference {
    CapsPtr caps;
    bool video = false;
  };
  using Plan = std::map<unsigned, Preference>;
  // What a GObject callback carries: it may run late, on any thread.
  struct Hook {
    std::weak_ptr<Session> session;
    std::shared_ptr<Loop> loop;

    static void free(gpointer data, GClosure *) { delete static_cast<Hook *>(data); }
    static void free_data(gpointer data) { delete static_cast<Hook *>(data); }
  };

  Session(Loop &loop, GstBin *bin, std::shared_ptr<Disposer> disposer, const Address &me,
          const Secret &secret, SessionConfig config, Callbacks callbacks);
  bool setup(GError **error);
  void setup_ice();
  void set_up_jitterbuffers();
  void hook(gpointer object, const char *signal, GCallback handler);
  void post(std::function<void(Session &)> job);
  static void run_later(const std::weak_ptr<Session> &weak,
                        const std::shared_ptr<Loop> &loop,
                        std::function<void(Session &)> job);

  void pump();
  std::shared_ptr<const Plan> make_plan(Offer &offer);
  GstPromise *promise(void (Session::*step)(const GstStructure *reply));
  bool reply_failed(const GstStructure *reply, const char *what);
  void remote_description_set(const GstStructure *reply);
  void answer_created(const GstStructure *reply);
  void local_description_set(const GstStructure *reply);
  void send_answer();
  void add_candidate(const Candidate &candidate);
  void give_candidate(const std::string &text);
  void local_candidate(std::string text);
  void gathering_changed();
  void flush_candidates();
  Envelope envelope() const;
  bool send_signal(const std::string &text, bool over_channel);

  void channel_arrived(ObjPtr<GstWebRTCDataChannel> channel);
  static void queue_message(Hook *at, std::string text);
  void channel_opened();
  void channel_message(const std::string &text);
  void pad_has_media(ObjPtr<GstPad> pad, gulong probe);
  bool verified();
  void update_link_state();
  void look_for_path();
  void fail(SessionError code, const std::string &text);

  static void on_new_transceiver(GstElement *, GstWebRTCRTPTransceiver *, gpointer);
  static void keep_channel(GstElement *webrtc, GstWebRTCDataChannel *channel);
  static void stop_webrtcbin(GstElement *webrtc); // thread: the pool's
  // All bundled media and the data channel share it.
  static ObjPtr<GObject> dtls_transport(GstElement *webrtc);
  static void on_pad_added(GstElement *, GstPad *, gpointer);
  static void on_rtpbin_element_added(GstBin *, GstElement *child, gpointer);
  static void on_element_added(GstBin *webrtc, GstElement *child, gpointer);
  static void count_packets(GstPad *pad, std::shared_ptr<std::atomic<guint64>> packets);
  static GstPadProbeReturn on_first_buffer(GstPad *, GstPadProbeInfo *, gpointer);

  Loop &loop_;
  ObjPtr<GstBin> bin_;
  std::shared_ptr<Disposer> disposer_;
  const Address &me_;
  const Secret &secret_;
  SessionConfig config_;
  Callbacks callbacks_;
  ObjPtr<GstElement> webrtc_;
  ObjPtr<GstWebRTCDataChannel> channel_;
  std::vector<std::pair<ObjPtr<GObject>, gulong>> handlers_;

  std::deque<Pending> offers_;
  std::optional<Offer> offer_; // the newest that was queued
  Pending current_{};          // the one being answered
  bool busy_ = false;
  bool remote_set_ = false;
  bool encrypt_ = false;
  bool closed_ = false;
  bool verified_ = false;
  bool channel_ready_ = false;
  LinkState link_state_ = LinkState::kNew;
  struct Path { // "host udp 192.0.2.1:5000"
    std::string local, remote;
    bool relayed = false;
  };
  Path path_;
  GstPromise *path_promise_ = nullptr; // owned, as pending_
  std::string answer_;
  GstPromise *pending_ = nullptr; // owned; the one webrtcbin has not answered yet

  std::deque<Candidate> remote_candidates_; // until the remote description is set
  size_t candidates_seen_ = 0;
  // Of names in candidates.
  const ObjPtr<GCancellable> lookups_ = ObjPtr<GCancellable>::adopt(g_cancellable_new());
  std::vector<Candidate> local_candidates_;
  bool first_bundle_ = true;
  bool relayed_ = false; // one of ours is a relay's
  Timer bundle_timer_;
  std::vector<ObjPtr<GstPad>> announced_;
  std::shared_ptr<std::atomic<guint64>> packets_ =
      std::make_shared<std::atomic<guint64>>(0);
  guint64 messages_ = 0;
  const std::shared_ptr<std::atomic<unsigned>> waiting_messages_ =
      std::make_shared<std::atomic<unsigned>>(0);

  const std::shared_ptr<RepairHints> repair_hints_ = std::make_shared<RepairHints>();
  const std::shared_ptr<SsrcGate> gate_ = std::make_shared<SsrcGate>();

  Mutex plan_mutex_;
  std::shared_ptr<const Plan> plan_ GUARDED_BY(plan_mutex_);
};

} // namespace vdn
