// SPDX-License-Identifier: LGPL-2.1-or-later
// One entry of turn-servers, taken apart. Thread: any.
#pragma once

#include <optional>
#include <string>

#include <glib.h>

namespace vdn {

struct TurnServer {
  bool tls = false;
  std::string login; // user:password, percent-encoded as it was written
  std::string host;  // an address of IPv6 without its brackets
  guint16 port = 0;

  // "turns://host:port", for messages: without the login.
  std::string name() const;
};

// Reads turn(s)://user:password@host[:port][?transport=udp|tcp]. nullopt and a G_IO_ERROR
// `error`, which holds nothing of a login, when nobody could use it.
std::optional<TurnServer> read_turn_server(const std::string &text, GError **error);

} // namespace vdn
