// SPDX-License-Identifier: LGPL-2.1-or-later
// The way to a TURN server over TLS. libnice (0.1.22 and before, of Debian 12 and 13)
// speaks plain TCP where turns:// is asked for, with user and realm in clear; so it is
// given an address on loopback, and what it says there goes on inside of TLS.
// Thread: loop, for everything here. Nothing waits for the network.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "loop.h"
#include "turn-server.h"

namespace vdn {

class TlsTunnel {
public:
  struct Config {
    TurnServer server;
    GTlsCertificateFlags tls_flags = G_TLS_CERTIFICATE_VALIDATE_ALL; // what is checked
    ObjPtr<GTlsDatabase> tls_database;                               // NULL: the system's
  };
  // A sentence for the user, which names the server: once for each cause.
  using Problem = std::function<void(const std::string &text)>;

  TlsTunnel(Loop &loop, Config config, Problem problem);
  // Cuts all connections.
  ~TlsTunnel();
  TlsTunnel(const TlsTunnel &) = delete;
  TlsTunnel &operator=(const TlsTunnel &) = delete;

  // Whoever connects on loopback is connected with the server, from now on.
  bool listen(GError **error);
  // For webrtcbin: libnice uses servers of the same family as its own addresses.
  std::string uri(bool ipv4) const;
  std::string name() const { return config_.server.name(); }
  // Something was told: it does not work, or did not the last time.
  bool has_failed() const { return !told_.empty() && !works_; }

private:
  struct Pipe;
  struct Step;

  static gboolean accept(GSocketService *, GSocketConnection *local, GObject *, gpointer);
  void connected(const std::shared_ptr<Pipe> &pipe, GSocketConnection *remote);
  void splice(const std::shared_ptr<Pipe> &pipe, GIOStream *from, GIOStream *to);
  void greeted(const std::shared_ptr<Pipe> &pipe, const GError *error);
  void ended(const std::shared_ptr<Pipe> &pipe, bool by_us);
  void failed(const std::shared_ptr<Pipe> &pipe, const std::string &why);
  void close(std::shared_ptr<Pipe> pipe);

  Loop &loop_;
  const Config config_;
  const Problem problem_;
  ObjPtr<GSocketService> service_;
  guint16 port_v4_ = 0, port_v6_ = 0; // 0: that family is not there
  std::set<std::shared_ptr<Pipe>> pipes_;
  std::string told_; // why it failed
  gint64 told_at_ = 0;
  bool works_ = false; // since it was told last
};

} // namespace vdn
