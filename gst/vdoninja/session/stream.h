// SPDX-License-Identifier: LGPL-2.1-or-later
// One stream that we want, for as long as we want it: asks for it, holds the session that
// serves it, notices when that died and asks again. Thread: loop.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "session.h"

namespace vdn {

enum class StreamState { kIdle, kRequested, kNegotiating, kPlaying, kLost };

class Stream {
public:
  // What a stream needs of the viewer that holds it.
  struct Host {
    std::function<bool(Stream &stream)> play; // asks the server; false: not possible now
    std::function<std::shared_ptr<Session>(Stream &stream, const Message &offer,
                                           Session::Callbacks callbacks, GError **error)>
        make_session;
    // False and `error` when nobody may be answered for this offer of the socket.
    std::function<bool(const Message &offer, GError **error)> check;
    std::function<std::vector<const Format *>(Stream &stream, const Offer &offer)> choose;
    std::function<void(Stream &stream, Track track)> track;
    // The session is about to go; `lost`: unwillingly.
    std::function<void(Stream &stream, bool lost)> detach;
    std::function<void(Stream &stream, StreamState before)> state_changed;
    std::function<void(Stream &stream, const Message &message, std::string_view text)>
        message;
    std::function<void(Stream &stream, int code, const std::string &text)>
        warn; // resource code
    // The publisher said that it goes, or has been away for so long that it must have
    // gone; there is no session.
    std::function<void(Stream &stream)> left;
    // A peer vanished without a word, and still believes to be connected with us. True
    // when streams will be asked for anew, as somebody else.
    std::function<bool()> renew_identity;
    Dialect dialect = Dialect::kHosted;
    GstBin *element = nullptr; // to log for
  };

  Stream(Loop &loop, const Host &host, WantedStream wanted, std::string wire_id);
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
  // Whether `message` comes from the publisher that serves this stream.
  bool is_from(const Message &message) const {
    return session_ && session_->config().peer == message.peer;
  }

private:
  void ask(unsigned shortest_gap);
  // Media, or at least words, come from a publisher that is connected.
  bool is_served() const;
  unsigned idle_ms() const;
  void start_session(const Message &offer);
  void offer_refused(const GError *error);
  void replace_session(const Message &offer);
  void doubt_session();
  void compete(const Message &offer);
  bool give_way_to_rival();
  unsigned connect_limit_ms() const;
  void expect_connection(unsigned limit_ms);
  void end_session(bool say_bye, bool lost);
  void lost(const std::string &why, bool silent_peer);
  void set_state(StreamState state);
  void link_state_changed(LinkState state);
  void channel_message(const Message &message, std::string_view text);
  void watch();
  void session_failed(const GError *error);

  const Host &host_;
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
