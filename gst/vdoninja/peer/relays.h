// SPDX-License-Identifier: LGPL-2.1-or-later
// The TURN servers that the user named, as connections use them. One tunnel for each
// server that wants TLS, not for each connection: it is one port and one cause to be
// told. Thread: loop, for everything here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tls-tunnel.h"

namespace vdn {

class Relays {
public:
  // A sentence for the user; `code` is of GST_RESOURCE_ERROR.
  using Problem = std::function<void(int code, const std::string &text)>;

  // `servers`: turn(s)://user:password@host:port, checked before.
  Relays(Loop &loop, const std::vector<std::string> &servers,
         GTlsCertificateFlags tls_flags, const ObjPtr<GTlsDatabase> &tls_database,
         Problem problem);
  Relays(const Relays &) = delete;
  Relays &operator=(const Relays &) = delete;

  // For a webrtcbin that is made now.
  std::vector<std::string> uris(bool gather_on_loopback) const;
  // A connection knows all its candidates; whether one is a relay's.
  void gathered(bool relayed);

private:
  std::vector<std::string> direct_; // what webrtcbin can do itself
  std::vector<std::unique_ptr<TlsTunnel>> tunnels_;
  const Problem problem_;
  bool told_ = false; // that none gives a relay
};

} // namespace vdn
