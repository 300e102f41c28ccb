// SPDX-License-Identifier: LGPL-2.1-or-later
#include "turn-server.h"

#include "glib-ptr.h"

namespace vdn {

namespace {

constexpr guint16 kPort = 3478, kTlsPort = 5349; // RFC 8656, section 3.1

using UriPtr = std::unique_ptr<GUri, Releaser<g_uri_unref>>;

void refuse(GError **error, const std::string &text) {
  g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, text.c_str());
}

} // namespace

std::string TurnServer::name() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (tls ? "turns://" : "turn://") + (v6 ? "[" + host + "]" : host) + ":" +
         std::to_string(port);
}

std::optional<TurnServer> read_turn_server(const std::string &text, GError **error) {
  const UriPtr uri(g_uri_parse(
      text.c_str(),
      static_cast<GUriFlags>(G_URI_FLAGS_HAS_PASSWORD | G_URI_FLAGS_ENCODED), nullptr));
  const std::string scheme = uri ? g_uri_get_scheme(uri.get()) : "";
  const char *host = uri ? g_uri_get_host(uri.get()) : nullptr;
  if ((scheme != "turn" && scheme != "turns") || !host || !*host ||
      !g_uri_get_user(uri.get()) || !g_uri_get_password(uri.get())) {
    // Not the value: it may hold a password.
    refuse(error, "an entry is not turn(s)://user:password@host:port; in gst-launch-1.0 "
                  "write turn-servers='<\"turn://user:password@host:3478\">'");
    return std::nullopt;
  }
  TurnServer server;
  server.tls = scheme == "turns";
  server.login =
      std::string(g_uri_get_user(uri.get())) + ":" + g_uri_get_password(uri.get());
  server.host = host;
  const int port = g_uri_get_port(uri.get());
  server.port = port > 0 ? port : server.tls ? kTlsPort : kPort;
  const char *query = g_uri_get_query(uri.get());
  const std::string wish = query ? query : "transport=tcp";
  if (server.tls && wish == "transport=udp") {
    refuse(error, server.name() + "?transport=udp would be DTLS, which is not supported; "
                                  "without ?transport=udp it is TLS");
    return std::nullopt;
  }
  if (wish != "transport=udp" && wish != "transport=tcp") {
    refuse(error, server.name() + "?" + wish +
                      ": what may follow is ?transport=tcp or ?transport=udp");
    return std::nullopt;
  }
  return server;
}

} // namespace vdn
