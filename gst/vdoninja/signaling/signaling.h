// SPDX-License-Identifier: LGPL-2.1-or-later
// One WebSocket connection to a handshake server; who opens it again, and when, is
// decided above. Thread: loop, for everything here. Nothing waits for the network.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <libsoup/soup.h>

#include "loop.h"

namespace vdn {

struct SignalingConfig {
  std::string url;                                                 // ws:// or wss://
  GTlsCertificateFlags tls_flags = G_TLS_CERTIFICATE_VALIDATE_ALL; // what is checked
  ObjPtr<GTlsDatabase> tls_database;                               // NULL: the system's
  std::string user_agent;
};

class Signaling {
public:
  struct Callbacks {
    std::function<void()> opened;
    std::function<void(std::string_view text)> message;
    // The connection is gone or never came about; `error` says why and names the server.
    std::function<void(const GError *error)> lost;
  };

  Signaling(Loop &loop, SignalingConfig config, Callbacks callbacks);
  // Closes without a callback.
  ~Signaling();
  Signaling(const Signaling &) = delete;
  Signaling &operator=(const Signaling &) = delete;

  // Connects; answers by opened() or lost(). Closes an earlier connection first.
  void open();
  void close();
  bool is_open() const;
  // False when the connection is not open.
  bool send(const std::string &text);

private:
  void connected(SoupWebsocketConnection *connection);
  void fail(const GError *error);
  void closed();

  Loop &loop_;
  SignalingConfig config_;
  Callbacks callbacks_;
  ObjPtr<SoupSession> session_;
  ObjPtr<SoupWebsocketConnection> connection_;
  ObjPtr<GCancellable> cancellable_;
  Timer connect_timeout_;
};

// Whether `url` is a WebSocket address; sets `error` otherwise. `host`: its host, lower
// case.
bool check_server_url(const char *url, std::string *host, GError **error);

} // namespace vdn
