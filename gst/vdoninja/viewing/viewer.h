// SPDX-License-Identifier: LGPL-2.1-or-later
// The viewer role: the streams that are wanted, and who serves them. Thread: loop, for
// everything.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "disposer.h"
#include "message.h"
#include "presence.h"
#include "relays.h"
#include "stream.h"

namespace vdn {

struct ViewerConfig {
  PresenceConfig presence;
  std::vector<WantedStream> streams; // empty: everybody in the room
  std::vector<std::string> excluded; // ids of who is never played, sanitised
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

// Who has a viewer. Thread: loop.
class ViewerObserver {
public:
  virtual std::vector<const Format *> choose(const Stream &stream,
                                             const Offer &offer) = 0;
  virtual void media(const Stream &stream, IncomingTrack track) = 0;
  virtual void detach(const Stream &stream, bool lost) = 0;
  virtual void removed(const Stream &stream) = 0;
  virtual void state_changed(ViewerState state) = 0;
  virtual void stream_state_changed(const Stream &stream, StreamState before) = 0;
  virtual void session_ready(const Stream &stream, GstElement *webrtcbin) = 0;
  virtual void received(const Stream &stream, const Message &message,
                        std::string_view text) = 0;
  // `code` is of GST_RESOURCE_ERROR. fatal: nothing more will be tried.
  virtual void problem(int code, const std::string &text, bool fatal) = 0;

protected:
  ~ViewerObserver() = default;
};

class Viewer final : PresenceObserver, StreamHost {
public:
  // `observer` outlives it.
  Viewer(Loop &loop, GstBin *bin, std::shared_ptr<Disposer> disposer, Secret secret,
         ViewerConfig config, ViewerObserver &observer);
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
  // Of the socket.
  void socket_opened() override;
  void entered() override;
  void received(const Message &message) override;
  void alerted(Alert alert, const std::string &text) override;
  void socket_changed() override { update_state(); }
  void socket_failed(const std::string &why) override;
  void message_ignored(const std::string &why) override;
  void undecryptable(const std::string &why) override;

  // Of the streams.
  bool play(Stream &stream) override;
  bool send_on_socket(const std::string &text) override;
  std::shared_ptr<Session> make_session(Stream &stream, const Message &offer,
                                        GError **error) override;
  bool check(const Message &offer, GError **error) override;
  void gathered(bool relayed) override { relays_.gathered(relayed); }
  std::vector<const Format *> choose(Stream &stream, const Offer &offer) override;
  void media(Stream &stream, IncomingTrack track) override;
  void detach(Stream &stream, bool lost) override;
  void state_changed(Stream &stream, StreamState before) override;
  void received(Stream &stream, const Message &message, std::string_view text) override;
  void warn(int code, const std::string &text) override;
  void left(Stream &stream, bool for_good) override;
  bool renew_identity() override;

  Stream *add(const WantedStream &wanted);
  void remove(const std::string &id, bool for_good);
  void admit_refused();
  bool make_room();
  unsigned bitrate_of_each() const;
  void share_bitrate();
  Stream *wanted(const std::string &wire_id, bool may_add);
  void handle_offer(const Message &message);
  void handle_candidates(const Message &message);
  void publisher_gone(const Message &message);
  void update_state();

  Loop &loop_;
  GstBin *bin_;
  std::shared_ptr<Disposer> disposer_;
  Secret secret_;
  ViewerConfig config_;
  ViewerObserver &observer_;
  Relays relays_;
  std::vector<std::unique_ptr<Stream>> streams_;
  Presence presence_;
  std::deque<Message> early_; // candidates that came before their offer
  ViewerState state_ = ViewerState::kDisconnected;
  bool playing_ = false;
  bool admits_offers_ = false;
  std::deque<Message> held_offers_;
  std::deque<std::string> refused_; // wire ids for which there was no room
  bool failed_ = false;
};

} // namespace vdn
