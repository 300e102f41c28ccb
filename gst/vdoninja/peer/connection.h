// SPDX-License-Identifier: LGPL-2.1-or-later
// One peer connection: a webrtcbin, its way to the peer, its data channel, its proof of
// identity and its end. Knows no role: who offers and what media there are is for those
// who derive from it. Thread: loop, unless stated.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#define GST_USE_UNSTABLE_API
#include <gst/webrtc/webrtc.h>

#include "disposer.h"
#include "loop.h"
#include "message.h"
#include "mutex.h"

namespace vdn {

struct ConnectionConfig {
  std::string peer;                      // its UUID
  std::optional<std::string> id;         // `session` of the offer
  std::string wire_id;                   // of the stream that we publish; empty: we view
  std::string stun_server;               // stun://host:port, empty: none
  std::vector<std::string> turn_servers; // turn(s)://user:password@host:port
  bool relay_only = false;
  // The server is on this machine, and so may be the peer: libnice would not look for it
  // on loopback.
  bool gather_on_loopback = false;
  GstClockTime base_time = 0;
};

enum class LinkState { kNew, kConnecting, kConnected, kDisconnected, kFailed };

enum ConnectionError {
  CONNECTION_ERROR_DESCRIPTION, // offer or answer is unusable
  CONNECTION_ERROR_SECURITY,    // certificate or encryption not as announced
  CONNECTION_ERROR_WEBRTC       // webrtcbin refused or failed
};
GQuark connection_error_quark();

// Once, before anything else here.
void connection_debug_init();

class Connection : public std::enable_shared_from_this<Connection> {
public:
  virtual ~Connection();
  Connection(const Connection &) = delete;
  Connection &operator=(const Connection &) = delete;

  // Whether libnice has addresses of IPv4 to start from; it uses TURN servers of the
  // families that it has. Thread: any.
  static bool gathers_ipv4(bool on_loopback);

  void handle_candidates(const Message &message, bool over_channel);
  // Sends on the data channel; false while it is not open.
  bool send(const std::string &text);
  bool channel_is_open() const { return channel_ready_; }
  // From which time on running time counts, when the clock is another now.
  void set_base_time(GstClockTime time);
  // Nothing is told and no media begin afterwards; what was sent may still leave.
  virtual void stop();
  // stop(), and gives webrtcbin away.
  void close();

  const std::string &peer() const { return config_.peer; }
  // `session` of its offer.
  const std::optional<std::string> &id() const { return config_.id; }
  const ConnectionConfig &config() const { return config_; }
  LinkState link_state() const { return link_state_; }
  // ICE has found a way to the peer; DTLS may still be under way.
  bool reached() const;
  GstElement *webrtcbin() const { return webrtc_.get(); }
  // Adds by which way packets go, as it was when this was asked last.
  void add_path(GstStructure *to);

protected:
  // What a GObject callback carries: it may run late, on any thread.
  struct Hook {
    std::weak_ptr<Connection> connection;
    std::shared_ptr<Loop> loop;

    template <typename Self> std::shared_ptr<Self> lock() const {
      return std::static_pointer_cast<Self>(connection.lock());
    }
    static void free(gpointer data, GClosure *) { delete static_cast<Hook *>(data); }
    static void free_data(gpointer data) { delete static_cast<Hook *>(data); }
  };
  // What the peer's description says of the transport.
  struct Transport {
    std::string fingerprint; // "sha-256 AA:BB:...", empty: not known yet
    std::string mid;         // of the first living m-line, to which candidates belong
    unsigned mline = 0;
  };

  // `me` and `secret` outlive the connection.
  Connection(Loop &loop, GstBin *bin, std::shared_ptr<Disposer> disposer,
             const Address &me, const Secret &secret, ConnectionConfig config);

  // What comes of it; each may close the connection.
  virtual bool send_on_socket(const std::string &text) = 0;
  virtual void link_changed(LinkState state) = 0;
  // All candidates of ours are known; whether one of them is a relay's.
  virtual void gathered(bool relayed) = 0;
  virtual void channel_opened() = 0;
  // On the data channel, of a peer whose certificate was checked.
  virtual void received(const Message &message, std::string_view text) = 0;
  virtual void failed(const GError *error) = 0;

  // Makes webrtcbin; nothing runs yet.
  bool make_webrtcbin(GError **error);
  // Before anything runs. `receives`: media are to come.
  void watch_inside(bool receives);
  // Takes apart what makes the connection.
  virtual void dispose();

  // `handler` gets a Hook as its last argument, until stop().
  void hook(gpointer object, const char *signal, GCallback handler);
  Hook *new_hook();
  // Runs `job(Self &)` on the loop unless the connection is closed by then. Thread: any.
  template <typename Self, typename Function>
  static void run_later(const Hook &at, Function job) {
    at.loop->post([weak = at.connection, job = std::move(job)] {
      auto self = weak.lock();
      if (self && !self->closed_)
        job(static_cast<Self &>(*self));
    });
  }
  // One that webrtcbin answers to; the reply is handed to `step` on the loop.
  template <typename Self>
  GstPromise *promise(void (Self::*step)(const GstStructure *reply)) {
    return promise([step](Connection &self, const GstStructure *reply) {
      (static_cast<Self &>(self).*step)(reply);
    });
  }
  bool reply_failed(const GstStructure *reply, const char *what);
  void fail(ConnectionError code, const std::string &text);

  Envelope envelope() const;
  bool send_signal(const std::string &text, bool over_channel);
  // Candidates of the peer that came before are used from now on.
  void remote_description_set();
  // Bound to the loop; `open`: it may be written to at once. Thread: webrtcbin's.
  void channel_arrived(ObjPtr<GstWebRTCDataChannel> channel, bool open);
  // Whether the certificate of the handshake is the one that the peer announced.
  bool verified();
  // To be called when media begin: 1.22 tells the path only then.
  void look_for_path();

  static void stop_webrtcbin(GstElement *webrtc); // thread: the pool's

  Loop &loop_;
  ObjPtr<GstBin> bin_;
  std::shared_ptr<Disposer> disposer_;
  const Secret &secret_;
  ObjPtr<GstElement> webrtc_;
  Transport transport_;
  bool encrypt_ = false;     // what we send on the socket
  bool negotiating_ = false; // candidates wait for a description of ours
  bool closed_ = false;
  guint64 messages_ = 0; // of the data channel

private:
  using Step = std::function<void(Connection &, const GstStructure *reply)>;

  void set_up_ice();
  GstPromise *promise(Step step);
  void update_link_state();
  void add_candidate(const Candidate &candidate);
  void give_candidate(const std::string &text);
  void local_candidate(std::string text);
  void gathering_changed();
  void flush_candidates();
  static void queue_message(Hook *at, std::string text);
  void channel_is_ready();
  void channel_message(const std::string &text);

  static void keep_channels(GstElement *webrtc);
  // All bundled media and the data channel share it.
  static ObjPtr<GObject> dtls_transport(GstElement *webrtc);
  static void on_element_added(GstBin *webrtc, GstElement *child, gpointer receives);
  static void on_channel_bin(GstBin *webrtc, GstElement *child, gpointer hook);
  static void on_new_ssrc(GstElement *rtpbin, guint, guint ssrc, gpointer hook);
  static void on_ssrc_forgotten(GstElement *rtpbin, guint, guint ssrc, gpointer hook);

  ConnectionConfig config_;
  const Address &me_;
  ObjPtr<GstWebRTCDataChannel> channel_;
  std::atomic<unsigned> channel_bins_{0}; // ever made
  Mutex ssrcs_mutex_;
  std::set<guint> ssrcs_ GUARDED_BY(ssrcs_mutex_); // that rtpsession knows
  std::vector<std::pair<ObjPtr<GObject>, gulong>> handlers_;
  bool remote_set_ = false;
  bool verified_ = false;
  bool channel_ready_ = false;
  LinkState link_state_ = LinkState::kNew;
  std::vector<GstPromise *> pending_; // owned; those that webrtcbin has not answered yet
  struct Path {                       // "host udp 192.0.2.1:5000"
    std::string local, remote;
    bool relayed = false;
  };
  Path path_;
  GstPromise *path_promise_ = nullptr; // owned, as those

  std::deque<Candidate> remote_candidates_; // until the remote description is set
  size_t candidates_seen_ = 0;
  // Of names in candidates.
  const ObjPtr<GCancellable> lookups_ = ObjPtr<GCancellable>::adopt(g_cancellable_new());
  std::vector<Candidate> local_candidates_;
  bool first_bundle_ = true;
  bool relayed_ = false; // one of ours is a relay's
  Timer bundle_timer_;
  const std::shared_ptr<std::atomic<unsigned>> waiting_messages_ =
      std::make_shared<std::atomic<unsigned>>(0);
};

} // namespace vdn
