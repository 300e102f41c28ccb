// SPDX-License-Identifier: LGPL-2.1-or-later
// A VDO.Ninja publisher of stamped test pictures and a tone, for any number of viewers:
// the other side of vdoninjasrc. Encodes once. Runs on a thread of its own. Thread: any,
// for every function; hooks are called on the publisher's thread and must not call back.
#pragma once

#include <map>

#include "publisher-session.h"
#include "signaling.h"
#include "watched.h"

namespace vdn {

struct PublisherConfig {
  std::string server; // ws:// or wss://
  Dialect dialect = Dialect::kHosted;
  GTlsCertificateFlags tls_flags = G_TLS_CERTIFICATE_VALIDATE_ALL;
  std::string stream_id;
  std::string room;     // empty: none
  std::string password; // as Secret takes it; empty: VDO.Ninja's default
  std::string salt = "vdo.ninja";
  std::string label = "test publisher";
  std::string stun_server;
  std::vector<std::string> local_addresses; // to gather from; empty: all there are
  TrackConfig video;
  bool ticks = false; // of sound, as in TrackConfig
  // Offered behind it, as browsers offer several codecs; the viewer's answer chooses.
  std::vector<Codec> alternatives;
  bool with_video = true;
  bool with_audio = true;

  // As the web client: a first offer with the data channel alone, media once the viewer
  // has said what it wants. Otherwise all at once, as other publishers do.
  bool channel_first = false;
  // As Raspberry.Ninja: session null, answers taken from the socket only.
  bool null_session = false;
  // Offers and candidates take the data channel once that is open.
  bool channel_signaling = true;
  // False: in clear even with a password.
  bool encrypt = true;
  unsigned ping_ms = 3000; // 0: no pings
};

// Changes to what goes out.
struct PublisherHooks {
  std::function<void(std::string &sdp)> offer;         // before it is encrypted
  std::function<bool(Candidate &candidate)> candidate; // false: not sent
  std::function<bool(std::string &text)> message;      // socket and channel; the same
  std::function<void(const std::string &sdp)> answer;  // as it came
  MediaHooks media;                                    // of video, in every session
};

class Publisher {
public:
  struct Viewer {
    std::string peer;
    std::string session; // empty: null
    PublisherSession::Status status;
  };
  struct State {
    bool online = false;   // the socket is open and our stream was announced
    std::string self;      // custom dialect: our id
    unsigned connects = 0; // of the socket
    unsigned sessions = 0; // ever begun
    std::string alert;     // last one from the server
    std::string error;     // nothing more will be tried
    std::vector<Viewer> viewers;
    std::vector<std::string> received; // data-channel texts, the newest kMaxReceived
    std::vector<std::string> endings;  // why sessions ended

    unsigned connected() const; // viewers with a connection
  };
  static constexpr size_t kMaxReceived = 1000;

  explicit Publisher(PublisherConfig config);
  // kill(), unless stopped before.
  ~Publisher();
  Publisher(const Publisher &) = delete;
  Publisher &operator=(const Publisher &) = delete;

  // False and `error` when media cannot be made; the network answers through state().
  bool start(GError **error);
  // Says bye to everybody first.
  void stop();
  // As if the process were killed: nobody hears a thing.
  void kill();
  // As a page reload: new id, new sessions. With or without saying bye.
  bool restart(bool say_bye, GError **error);
  // The same with another codec or picture, in sessions that replace the old ones.
  bool set_video(const TrackConfig &video, GError **error);
  void set_size(int width, int height);
  // Of x264: in the same sessions.
  bool set_profile(const std::string &profile, GError **error);
  // Stops the picture and tells the viewers so.
  void set_video_muted(bool muted);
  void set_audio_muted(bool muted);
  // A second picture, in one more m-line for each viewer that asked for screens.
  bool add_screen(const TrackConfig &video, GError **error);
  // The offer that a restart of ICE leads to: same session id, new ICE credentials. As
  // webrtcbin cannot change those, a fresh one makes it.
  void restart_ice();
  // Cuts the socket; it comes back by itself. Media go on.
  void drop_socket();
  // To everybody, over the data channel.
  void send(const std::string &text);
  void close_channels();
  void set_hooks(PublisherHooks hooks);

  State state() const { return state_.get(); }
  bool wait(std::chrono::milliseconds limit,
            const std::function<bool(const State &)> &ready) const {
    return state_.wait(limit, ready);
  }
  // Pictures made since start() or the last change of codec.
  unsigned frames() const;

private:
  using TrackPtr = PublisherSession::TrackPtr;
  struct Peer {
    std::optional<std::string> session;
    std::shared_ptr<PublisherSession> connection;
    gint64 since_us = 0; // monotonic
    bool has_media = false;
    bool wants_screen = false;
    bool has_screen = false;
  };

  bool start_media(GError **error);
  void media_ready();
  void screen_ready();
  std::vector<TrackPtr> tracks(bool video, bool audio) const;

  Peer *find(const std::string &peer);
  void request(const std::string &peer);
  void begin(const std::string &peer, std::optional<std::string> session);
  void end(const std::string &peer, const char *why, bool abruptly = false);
  void end_all(bool abruptly);
  void say_bye();
  void handle_channel(const std::string &peer, std::string_view text);
  void handle_peer(const std::string &peer, const Message &message, bool channel);
  std::optional<std::string> new_session() const;

  void go_online();
  void opened();
  void announce();
  void lost();
  void received(std::string_view text);
  void handle_join(const std::string &peer);
  void handle_alert(const std::string &text);
  void send_socket(std::string text);
  void send_channel(Peer &viewer, std::string text);
  bool prefers_channel(const Peer &viewer) const;
  Envelope envelope(const std::string &peer, const Peer &viewer) const;
  void send_offer(const std::string &peer, std::string sdp);
  void send_candidates(const std::string &peer, const std::vector<Candidate> &found);
  void send_info(const std::string &peer);
  void send_to(Peer &viewer, const std::string &text);
  void publish_state();

  const PublisherConfig config_;
  const Secret secret_;
  const std::string wire_id_;
  Watched<State> state_;
  // On the loop only.
  TrackConfig video_config_;
  GstClockTime epoch_ = 0;
  PublisherHooks hooks_;
  const SharedMediaHooks media_hooks_ = std::make_shared<Watched<MediaHooks>>();
  TrackPtr video_, audio_, screen_;
  std::vector<TrackPtr> alternatives_;
  bool media_pending_ = false; // a track has not said what it sends
  bool video_muted_ = false;
  bool audio_muted_ = false;
  Address self_;
  std::map<std::string, Peer> peers_;
  bool wanted_online_ = false;
  unsigned seed_attempts_ = 0;
  unsigned backoff_ms_ = 0;
  mutable Loop loop_;
  std::unique_ptr<Signaling> signaling_;
  std::unique_ptr<Timer> retry_timer_, farewell_timer_;
};

// What ICE shall gather from when `server` is on this machine; empty otherwise: libnice
// then finds the addresses. Thread: any.
std::vector<std::string> local_addresses(const std::string &server);

} // namespace vdn
