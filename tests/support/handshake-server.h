// SPDX-License-Identifier: LGPL-2.1-or-later
// A VDO.Ninja handshake server for tests and for local networks without internet, with
// faults on demand. Runs on a thread of its own. Thread: any, for every function; hooks
// are called on the server's thread and must not call back into the server.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <libsoup/soup.h>

#include "handshake-router.h"
#include "loop.h"
#include "watched.h"

namespace vdn {

// How the server treats new connections.
struct Door {
  enum class Kind {
    kOpen,
    kRefuse,      // answers the upgrade request with HTTP `status`
    kSilent,      // takes the TCP connection and never answers the request
    kCloseAtOnce, // completes the handshake and hangs up
    kDeaf,        // stays connected, ignores whatever it is told
  };
  Kind kind = Kind::kOpen;
  unsigned status = 503;
};

// A message on its way from the router to a client; a hook may change every field but
// `to`.
struct Passing {
  ClientId from = 0; // 0: the server
  ClientId to = 0;
  std::string text;
  unsigned delay_ms = 0;
  bool drop = false;
};

// One frame that came in or went out.
struct Record {
  ClientId client = 0;
  bool received = false; // by the server
  std::string request;   // member of that name, empty when absent
  std::string text;
};

class HandshakeServer {
public:
  using Client = HandshakeRouter::Client;
  using Hook = std::function<void(Passing &)>;
  struct Options {
    HandshakeRouter::Options routing;
    std::string address = "127.0.0.1";   // numeric; "0.0.0.0" for every interface
    unsigned port = 0;                   // 0: a free one, kept over stop() and start()
    ObjPtr<GTlsCertificate> certificate; // set: wss://
  };
  struct State {
    bool running = false;
    unsigned connections = 0; // ever accepted as a WebSocket
    unsigned attempts = 0;    // HTTP requests, refused ones among them
    unsigned received = 0;
    unsigned sent = 0;
    std::vector<Client> clients; // connected now
    std::deque<Record> records;  // the newest kMaxRecords

    // Received messages with that `request`.
    unsigned count(std::string_view request) const;
    const Client *find_stream(std::string_view wire_id) const;
  };
  static constexpr size_t kMaxRecords = 5000;

  explicit HandshakeServer(Options options);
  ~HandshakeServer();
  HandshakeServer(const HandshakeServer &) = delete;
  HandshakeServer &operator=(const HandshakeServer &) = delete;

  bool start(GError **error);
  // Cuts every connection without a farewell, as a killed server does.
  void stop();
  unsigned port() const { return options_.port; }
  std::string url() const;

  void set_door(Door door);
  void set_hook(Hook hook);
  // Straight to one client, past router and hook.
  void send_text(ClientId client, std::string text);
  void send_binary(ClientId client, std::string data);
  void alert(ClientId client, std::string_view text);
  // Ends a connection: with a WebSocket close frame, or by cutting the TCP connection.
  void kick(ClientId client, bool abruptly);

  State state() const { return state_.get(); }
  bool wait(std::chrono::milliseconds limit,
            const std::function<bool(const State &)> &ready) const {
    return state_.wait(limit, ready);
  }

private:
  using ConnectionPtr = ObjPtr<SoupWebsocketConnection>;

  bool listen(GError **error);
  void shut();
  void arrive(SoupServerMessage *message);
  void connected(SoupWebsocketConnection *connection);
  void received(ClientId client, std::string_view text);
  void closed(ClientId client);
  void deliver(const Deliveries &deliveries);
  // Null when it is closed, or about to be.
  SoupWebsocketConnection *open_connection(ClientId client) const;
  void send(ClientId client, const std::string &text);
  void note(ClientId client, bool received, std::string_view text);

  Options options_;
  Watched<State> state_;
  // On the server's thread only.
  HandshakeRouter router_;
  Door door_;
  Hook hook_;
  ObjPtr<SoupServer> server_;
  ClientId last_client_ = 0;
  std::map<ClientId, ConnectionPtr> connections_;
  std::set<std::shared_ptr<Timer>> delayed_;
  std::vector<ObjPtr<SoupServerMessage>> unanswered_;
  Loop loop_; // last: its thread must be gone before anything else is
};

} // namespace vdn
