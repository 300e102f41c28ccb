// SPDX-License-Identifier: LGPL-2.1-or-later
// The viewer role: one socket, the streams that are wanted, and who serves them.
// Thread: loop, for everything.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "disposer.h"
#include "message.h"
#include "signaling.h"
#include "stream.h"
#include "tls-tunnel.h"

namespace vdn {

struct ViewerConfig {
  SignalingConfig signaling;
  std::string fallback_url; // tried in turn with signaling.url; empty: none
  Dialect dialect = Dialect::kHosted;
  std::vector<WantedStream> streams; // empty: everybody in the room
  std::vector<std::string> excluded; // ids of who is never played, sanitised
  std::string room;                  // sanitised, empty: none
  std::string room_token;            // of a link to the room, goes into its hash
  unsigned max_streams = 0;          // 0: no limit
  bool remove_on_leave = false;
  unsigned total_bitrate = 0; // kbit/s of all streams together, 0: no limit
  SessionConfig session;      // template: servers, latency, hints
  Wishes wishes;
};

enum class ViewerState {
  kDisconnected,
  kConnecting,  // to the server
  kWaiting,     // for a publisher
  kNegotiating, // with a publisher
  kPlaying,
  kReconnecting, // what played before is away
  kFailed        // nothing more is tried
};

struct ViewerCallbacks {
  std::function<std::vector<const Format *>(const Stream &stream, const Offer &offer)>
      choose;
  std::function<void(const Stream &stream, Track track)> track;
  std::function<void(const Stream &stream, bool lost)> detach;
  std::function<void(const Stream &stream)> removed;
  std::function<void(ViewerState state)> state;
  std::function<void(const Stream &stream, StreamState before)> stream_state;
  std::function<void(const Stream &stream, GstElement *webrtcbin)> session_ready;
  std::function<void(const Stream &stream, const Message &message, std::string_view text)>
      message;
  // `domain` is GST_RESOURCE_ERROR. fatal: nothing more will be tried.
  std::function<void(int code, const std::string &text, bool fatal)> problem;
};

class Viewer {
public:
  Viewer(Loop &loop, GstBin *bin, std::shared_ptr<Disposer> disposer, Secret secret,
         ViewerConfig config, ViewerCallbacks callbacks);
  ~Viewer();
  Viewer(const Viewer &) = delete;
  Viewer &operator=(const Viewer &) = delete;

  // Opens the socket.
  void connect();
  // From now on streams are asked for.
  void play();
  // Offers are answered from now on; those that came before are kept.
  void admit_offers();
  void set_latency(unsigned ms);
  // Of the sessions that are and will be.
  void set_base_time(GstClockTime time);
  void set_video_bitrate(unsigned kbps);
  // Whether anybody takes the video of `stream_id`; it is not asked to send any for
  // nobody.
  void set_video_wanted(const std::string &stream_id, bool wanted);
  // Pictures that fit into this, nullopt: as large as the user wants them. False when
  // nobody could be asked: who encodes for all viewers alike is not.
  bool request_size(const std::string &stream_id,
                    const std::optional<std::pair<unsigned, unsigned>> &size);
  // To the publisher of `stream_id`, to all when empty. False when nobody got it.
  bool send(const std::string &stream_id, const std::string &json);
  // An element inside a webrtcbin posted an error: that session is over.
  void element_failed(GstObject *source, const GError *error);
  // Says goodbye to all publishers; false when there is nobody to hear it.
  bool leave();
  // Drops every session and the socket, and starts over.
  void reconnect();
  // Asks for a stream anew, for another answer to its offer.
  void renegotiate(const std::string &stream_id);
  ViewerState state() const { return state_; }
  const std::vector<std::unique_ptr<Stream>> &streams() const { return streams_; }

private:
  Stream::Host make_host();
  std::shared_ptr<Session> make_session(Stream &stream, const Message &offer,
                                        Session::Callbacks callbacks, GError **error);
  Stream *add(const WantedStream &wanted);
  void remove(const std::string &id);
  bool make_room();
  unsigned bitrate_of_each() const;
  void share_bitrate();
  Stream *wanted(const std::string &wire_id, bool may_add);

  void open_tunnels();
  void gathered(bool relayed);
  void open_socket();
  void opened();
  void socket_lost(const GError *error);
  void hurry();
  bool renew_identity();
  void enter();
  void request_all();
  void handle(std::string_view text);
  void dispatch(const Message &message);
  void handle_offer(const Message &message);
  void handle_candidates(const Message &message);
  void handle_members(const Message &message);
  void handle_alert(const Message &message);
  void peer_gone(const Message &message);
  void update_state();

  Loop &loop_;
  GstBin *bin_;
  std::shared_ptr<Disposer> disposer_;
  Secret secret_;
  ViewerConfig config_;
  ViewerCallbacks callbacks_;
  Address me_;
  Stream::Host host_;
  // One for each server, not for each session: it is one port and one cause to be told.
  std::vector<std::unique_ptr<TlsTunnel>> tunnels_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::unique_ptr<Signaling> signaling_;
  std::deque<Message> early_; // candidates that came before their offer
  ViewerState state_ = ViewerState::kDisconnected;
  bool playing_ = false;
  bool admits_offers_ = false;
  std::deque<Message> held_offers_;
  bool failed_ = false;
  unsigned attempts_ = 0;
  gint64 opened_at_ = 0;
  std::string told_; // why the server could not be reached
  bool told_unrelayed_ = false;
  gint64 renewed_at_ = 0;
  size_t undecryptable_ = 0;
  Timer reopen_, enter_;
};

} // namespace vdn
