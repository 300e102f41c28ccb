// SPDX-License-Identifier: LGPL-2.1-or-later
// One stream that we want, for as long as we want it: asks for it, holds the session that
// serves it, notices when that died and asks again. Thread: loop.
#pragma once

#include <memory>
#include <string>

#include "session.h"

namespace vdn {

enum class StreamState { kIdle, kRequested, kNegotiating, kPlaying, kLost };

class Stream;

// What a stream needs of the viewer that holds it. Thread: loop.
class StreamHost {
public:
  // Asks the server for it; false: not possible now.
  virtual bool play(Stream &stream) = 0;
  virtual bool send_on_socket(const std::string &text) = 0;
  virtual std::shared_ptr<Session> make_session(Stream &stream, const Message &offer,
                                                GError **error) = 0;
  // False and `error` when nobody may be answered for this offer of the socket.
  virtual bool check(const Message &offer, GError **error) = 0;
  virtual void gathered(bool relayed) = 0;
  virtual std::vector<const Format *> choose(Stream &stream, const Offer &offer) = 0;
  virtual void media(Stream &stream, IncomingTrack track) = 0;
  // The session is about to go; `lost`: unwillingly.
  virtual void detach(Stream &stream, bool lost) = 0;
  virtual void state_changed(Stream &stream, StreamState before) = 0;
  virtual void received(Stream &stream, const Message &message,
                        std::string_view text) = 0;
  // `code` is of GST_RESOURCE_ERROR.
  virtual void warn(int code, const std::string &text) = 0;
  // The publisher said that it goes or, not `for_good`, has been away for so long that
  // it must have gone, or its network has; there is no session.
  virtual void left(Stream &stream, bool for_good) = 0;
  // A peer vanished without a word, and still believes to be connected with us. True
  // when streams will be asked for anew, as somebody else.
  virtual bool renew_identity() = 0;

protected:
  ~StreamHost() = default;
};

class Stream final : SessionObserver {
public:
  // `element`: to log for.
  Stream(Loop &loop, StreamHost &host, GstBin *element, Dialect dialect,
         WantedStream wanted, std::string wire_id);
  ~Stream();
  Stream(const Stream &) = delete;
  Stream &operator=(const Stream &) = delete;

  // Asks for the stream unless it is here. Again later until it is on its way.
  void request();
  // The publisher announced itself as `peer`: ask now, or watch the session more closely.
  void publisher_seen(const std::string &peer);
  void handle_offer(const Message &message);
  void handle_candidates(const Message &message);
  void handle_bye();
  // The server says that the publisher went, or somebody on it does.
  void publisher_gone();
  // Does not ask again before this time has passed.
  void back_off(unsigned ms);
  // Leaves: says goodbye and closes.
  void leave();
  // Closes and asks anew, as after a loss unless `lost` is false.
  void restart(const std::string &why, bool lost = true);

  const std::string &id() const { return wanted_.id; }
  const WantedStream &wanted() const { return wanted_; }
  const std::string &wire_id() const { return wire_id_; }
  StreamState state() const { return state_; }
  bool was_playing() const { return was_playing_; }
  bool muted() const { return muted_; }
  // Its publisher left, or was asked for in vain.
  bool is_away() const;
  // Since when nobody serves it, monotonic us.
  gint64 absent_since() const { return absent_since_; }
  // Sessions begun so far.
  unsigned sessions() const { return sessions_; }
  const std::string &label() const { return label_; }
  Session *session() const { return session_.get(); }
  // For whom its sessions work.
  SessionObserver &observer() { return *this; }
  // Whether `message` comes from the publisher that serves this stream.
  bool is_from(const Message &message) const {
    return session_ && session_->peer() == message.peer;
  }
  // Whether it is of the session that there is, and not of one that may follow.
  bool is_of_session(const Message &message) const {
    return is_from(message) &&
           (!message.session || !session_->id() || *message.session == *session_->id());
  }
  // It is as if it had never been here; it is asked for all the same.
  void forget() { was_playing_ = false; }

private:
  bool send_on_socket(const std::string &text) override;
  std::vector<const Format *> choose(const Offer &offer) override;
  void media(IncomingTrack track) override;
  void link_changed(LinkState state) override;
  void gathered(bool relayed) override;
  void channel_opened() override;
  void received(const Message &message, std::string_view text) override;
  void needs_new_session(const Message &offer, bool over_channel, bool same_certificate,
                         const std::string &why) override;
  void offer_refused(const GError *error) override;
  void session_failed(const GError *error) override;
  void warn(int code, const std::string &text) override { host_.warn(code, text); }

  void ask(unsigned shortest_gap);
  // Media, or at least words, come from a publisher that is connected.
  bool is_served() const;
  unsigned idle_ms() const;
  void start_session(const Message &offer);
  void replace_session(const Message &offer);
  void doubt_session();
  void compete(const Message &offer);
  bool give_way_to_rival();
  unsigned connect_limit_ms() const;
  void expect_connection(unsigned limit_ms);
  void end_session(bool say_bye, bool lost);
  void lost(const std::string &why, bool silent_peer);
  void set_state(StreamState state);
  void watch();

  StreamHost &host_;
  GstBin *const element_;
  const Dialect dialect_;
  const WantedStream wanted_;
  std::string wire_id_;
  StreamState state_ = StreamState::kIdle;
  std::shared_ptr<Session> session_;
  std::shared_ptr<Session> leaving_; // until its goodbye is out
  std::string label_;
  bool was_playing_ = false;
  bool muted_ = false;
  bool answers_pings_ = false;
  bool seen_elsewhere_ = false; // announced by another peer than the session's
  // An offer from who is not known to be the publisher that plays, and since when.
  std::optional<Message> rival_;
  gint64 rival_since_ = 0;
  bool told_refused_ = false; // in this session
  unsigned attempts_ = 0;
  unsigned sessions_ = 0;
  gint64 asked_at_ = 0;       // monotonic us, 0: never
  bool asked_beside_ = false; // the session, in this silence
  gint64 started_at_ = 0;     // the session
  gint64 absent_since_ = g_get_monotonic_time();
  gint64 lost_at_ = 0; // 0: not since it was last connected
  unsigned connected_after_ms_ = 0;
  guint64 last_activity_ = 0;
  gint64 active_at_ = 0;  // monotonic us
  unsigned failures_ = 0; // sessions in a row that never connected
  bool replaced_ = false; // by the session of now, before it was connected
  Timer retry_, unanswered_, connect_timeout_, grace_, watch_, linger_, gone_;
};

} // namespace vdn
