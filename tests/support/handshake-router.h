// SPDX-License-Identifier: LGPL-2.1-or-later
// Who gets which message: the rules of VDO.Ninja's handshake servers, without sockets.
// Hosted dialect: ids are assigned, messages addressed and rewritten, plays kept until
// the stream is seeded. Custom dialect: messages pass as they are, clients filter. Not
// thread safe. Wire facts: docs/protocol.md.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "json-text.h"
#include "message.h"

namespace vdn {

// Number of a connection, from 1. 0 stands for the server itself.
using ClientId = unsigned;

struct Delivery {
  ClientId from = 0;
  ClientId to = 0;
  std::string text;
};
using Deliveries = std::vector<Delivery>;

class HandshakeRouter {
public:
  struct Options {
    Dialect dialect = Dialect::kHosted;
    // Custom: pass everything to everybody, as the simplest self-hosted servers do,
    // instead of keeping rooms apart and addressing what can be addressed.
    bool fan_out = false;
    // Hosted: tell the peers of a client that its socket is gone. Off by default: nobody
    // has seen the service do it, so nobody may depend on it.
    bool cleanup = false;
  };

  struct Client {
    ClientId id = 0;
    std::string peer;   // hosted: assigned UUID, custom: its first `from`
    std::string stream; // wire id, once seeded
    std::string room;   // wire form
  };

  explicit HandshakeRouter(Options options) : options_(options) {}

  void add(ClientId client);
  Deliveries remove(ClientId client);
  // `text`: one text frame of `client`. What is no JSON object is ignored, as servers do.
  Deliveries route(ClientId client, std::string_view text);

  std::vector<Client> clients() const;

private:
  struct Entry : Client {
    bool director = false;
    std::set<ClientId> contacts;   // exchanged messages with
    std::set<std::string> waiting; // streams to be offered once seeded
  };

  Deliveries route_custom(Entry &sender, JsonObject *message, std::string_view text);
  Deliveries route_hosted(Entry &sender, JsonObject *message);
  bool register_custom(Entry &sender, JsonObject *message, Deliveries *out);
  void relay(Entry &sender, JsonObject *message, Deliveries *out);
  void play(Entry &viewer, const std::string &stream, Deliveries *out);
  void seed(Entry &publisher, const std::string &stream, Deliveries *out);
  void join(Entry &client, JsonObject *message, Deliveries *out);
  void migrate(Entry &director, JsonObject *message, Deliveries *out);
  void enter(Entry &client, const std::string &room, const char *reply, Deliveries *out);
  void announce(const Entry &who, const char *request, Deliveries *out);
  Entry *find_peer(const std::string &peer);
  Entry *find_stream(const std::string &stream);

  Options options_;
  std::map<ClientId, Entry> entries_;
};

} // namespace vdn
