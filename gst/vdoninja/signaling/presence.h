// SPDX-License-Identifier: LGPL-2.1-or-later
// Our presence on a handshake server: a socket that is opened again for as long as we
// want to be there, our address on it, the room, and what the server says. Knows no role.
// Thread: loop, for everything here.
#pragma once

#include <memory>
#include <string>

#include "message.h"
#include "retry.h"
#include "signaling.h"

namespace vdn {

struct PresenceConfig {
  SignalingConfig signaling;
  std::string fallback_url; // tried in turn with signaling.url; empty: none
  Dialect dialect = Dialect::kHosted;
  std::string room;       // sanitised, empty: none
  std::string room_token; // of a link to the room, goes into its hash
  // What we publish, as it travels; told to the room. Empty: we view.
  std::string wire_id;
};

class PresenceObserver {
public:
  // The socket is open: we are a new client to the server.
  virtual void socket_opened() = 0;
  // The room has told who is in it, or would have by now; without a room at once.
  virtual void entered() = 0;
  // A message that is meant for us. What the server itself says comes by alerted()
  // instead.
  virtual void received(const Message &message) = 0;
  virtual void alerted(Alert alert, const std::string &text) = 0;
  // is_open() has changed.
  virtual void socket_changed() = 0;
  // The server is not reached; told once for as long as the cause stays the same.
  virtual void socket_failed(const std::string &why) = 0;
  virtual void message_ignored(const std::string &why) = 0;
  // Somebody encrypts otherwise than we do; told once.
  virtual void undecryptable(const std::string &why) = 0;

protected:
  ~PresenceObserver() = default;
};

class Presence {
public:
  // `secret` and `observer` outlive it.
  Presence(Loop &loop, PresenceConfig config, const Secret &secret,
           PresenceObserver &observer);
  ~Presence();
  Presence(const Presence &) = delete;
  Presence &operator=(const Presence &) = delete;

  // Opens the socket, anew if there is one, as somebody else; sessions live on.
  void open();
  // Joins the room, if there is one. The socket is open.
  void enter();
  bool is_open() const { return signaling_ && signaling_->is_open(); }
  // False when the socket is not open.
  bool send(const std::string &text);
  // The socket is looked for ever more rarely; now it is needed.
  void hurry();
  // Becomes somebody else to whom believes to be connected with us, but not too often.
  // False when that is not possible now.
  bool renew_identity();
  // Does not open the socket again nor enter.
  void rest();

  const Address &address() const { return me_; }

private:
  void opened();
  void lost(const GError *error);
  void handle(std::string_view text);
  void dispatch(const Message &message);

  Loop &loop_;
  const PresenceConfig config_;
  const Secret &secret_;
  PresenceObserver &observer_;
  Address me_;
  std::unique_ptr<Signaling> signaling_;
  unsigned attempts_ = 0;
  gint64 opened_at_ = 0;
  std::string told_; // why the server could not be reached
  gint64 renewed_at_ = 0;
  size_t undecryptable_ = 0;
  Timer reopen_, enter_;
};

} // namespace vdn
