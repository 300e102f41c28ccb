// SPDX-License-Identifier: LGPL-2.1-or-later
#include "signaling.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <memory>

namespace vdn {

namespace {

constexpr unsigned kConnectTimeoutMs = 15000;
// A path that vanished without a word is noticed within the sum of the two: nobody waits
// for the pong before libsoup 3.6, but the system does for the acknowledgement.
constexpr unsigned kKeepaliveSeconds = 10;
constexpr unsigned kUnacknowledgedMs = 20000;
constexpr guint64 kMaxPayload = 512 * 1024;

// What an asynchronous connect carries. It outlives the Signaling when that is closed
// first; the cancellable tells.
struct Attempt {
  Signaling *signaling;
  ObjPtr<GCancellable> cancellable;
};

gboolean accept_certificate(SoupMessage *, GTlsCertificate *, GTlsCertificateFlags errors,
                            gpointer flags) {
  return (errors & GPOINTER_TO_UINT(flags)) == 0;
}

void give_up_when_unacknowledged(SoupMessage *, GSocketClientEvent event,
                                 GIOStream *stream, gpointer) {
  if (event != G_SOCKET_CLIENT_CONNECTED || !G_IS_SOCKET_CONNECTION(stream))
    return;
  GSocket *socket = g_socket_connection_get_socket(G_SOCKET_CONNECTION(stream));
  g_socket_set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, kUnacknowledgedMs, nullptr);
}

std::string explain(const std::string &url, const GError *error) {
  std::string text = "cannot use server " + url + ": " + error->message;
  if (error->domain == G_TLS_ERROR)
    text += "; if the certificate is your own, name its authority with tls-database";
  else if (error->domain == G_RESOLVER_ERROR)
    text += "; check the name and the network";
  else if (error->domain == SOUP_WEBSOCKET_ERROR)
    text += "; it answers, but not as a WebSocket server";
  else if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
    text += "; nothing listens there";
  return text;
}

} // namespace

bool check_server_url(const char *url, std::string *host, GError **error) {
  ErrorPtr cause;
  GError *raw = nullptr;
  GUri *uri = g_uri_parse(url ? url : "", G_URI_FLAGS_PARSE_RELAXED, &raw);
  cause.reset(raw);
  const char *scheme = uri ? g_uri_get_scheme(uri) : "";
  const char *name = uri ? g_uri_get_host(uri) : nullptr;
  bool valid = (!g_strcmp0(scheme, "ws") || !g_strcmp0(scheme, "wss")) && name && *name;
  if (valid && host)
    *host = StrPtr(g_ascii_strdown(name, -1)).get();
  if (!valid)
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "server \"%s\" is not a WebSocket address%s%s; it looks like "
                "wss://host:port or, without encryption, ws://host:port",
                url ? url : "", cause ? ": " : "", cause ? cause->message : "");
  if (uri)
    g_uri_unref(uri);
  return valid;
}

Signaling::Signaling(Loop &loop, SignalingConfig config, Callbacks callbacks)
    : loop_(loop), config_(std::move(config)), callbacks_(std::move(callbacks)),
      connect_timeout_(loop) {}

Signaling::~Signaling() {
  close();
}

bool Signaling::is_open() const {
  return connection_ && soup_websocket_connection_get_state(connection_.get()) ==
                            SOUP_WEBSOCKET_STATE_OPEN;
}

void Signaling::open() {
  g_return_if_fail(loop_.is_current());
  close();
  session_ = ObjPtr<SoupSession>::adopt(soup_session_new());
  soup_session_set_user_agent(session_.get(), config_.user_agent.c_str());
  if (config_.tls_database)
    soup_session_set_tls_database(session_.get(), config_.tls_database.get());
  auto message = ObjPtr<SoupMessage>::adopt(soup_message_new("GET", config_.url.c_str()));
  if (!message) {
    ErrorPtr error(
        g_error_new(G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "not a WebSocket address"));
    fail(error.get());
    return;
  }
  g_signal_connect(message.get(), "accept-certificate", G_CALLBACK(accept_certificate),
                   GUINT_TO_POINTER(config_.tls_flags));
  g_signal_connect(message.get(), "network-event",
                   G_CALLBACK(give_up_when_unacknowledged), nullptr);
  cancellable_ = ObjPtr<GCancellable>::adopt(g_cancellable_new());
  connect_timeout_.start(kConnectTimeoutMs, [this] {
    ErrorPtr error(g_error_new(G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "no answer within %u s",
                               kConnectTimeoutMs / 1000));
    fail(error.get());
  });
  soup_session_websocket_connect_async(
      session_.get(), message.get(), nullptr, nullptr, G_PRIORITY_DEFAULT,
      cancellable_.get(),
      [](GObject *source, GAsyncResult *result, gpointer data) {
        std::unique_ptr<Attempt> attempt(static_cast<Attempt *>(data));
        GError *raw = nullptr;
        auto connection = ObjPtr<SoupWebsocketConnection>::adopt(
            soup_session_websocket_connect_finish(SOUP_SESSION(source), result, &raw));
        ErrorPtr error(raw);
        if (g_cancellable_is_cancelled(attempt->cancellable.get()))
          return;
        if (error)
          attempt->signaling->fail(error.get());
        else
          attempt->signaling->connected(connection.get());
      },
      new Attempt{this, cancellable_});
}

void Signaling::connected(SoupWebsocketConnection *connection) {
  connect_timeout_.stop();
  connection_ = ObjPtr<SoupWebsocketConnection>::ref(connection);
  soup_websocket_connection_set_max_incoming_payload_size(connection, kMaxPayload);
  soup_websocket_connection_set_keepalive_interval(connection, kKeepaliveSeconds);
  g_signal_connect(
      connection, "message",
      G_CALLBACK(+[](SoupWebsocketConnection *, gint type, GBytes *bytes, gpointer self) {
        gsize size = 0;
        auto *text = static_cast<const char *>(g_bytes_get_data(bytes, &size));
        if (type == SOUP_WEBSOCKET_DATA_TEXT)
          static_cast<Signaling *>(self)->callbacks_.message({text, size});
      }),
      this);
  g_signal_connect(connection, "closed",
                   G_CALLBACK(+[](SoupWebsocketConnection *, gpointer self) {
                     static_cast<Signaling *>(self)->closed();
                   }),
                   this);
  callbacks_.opened();
}

void Signaling::closed() {
  gushort code = soup_websocket_connection_get_close_code(connection_.get());
  ErrorPtr error(g_error_new(G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED,
                             "the connection was closed (code %u)", code));
  fail(error.get());
}

void Signaling::fail(const GError *error) {
  close();
  ErrorPtr full(g_error_new_literal(error->domain, error->code,
                                    explain(config_.url, error).c_str()));
  callbacks_.lost(full.get());
}

void Signaling::close() {
  connect_timeout_.stop();
  if (cancellable_) {
    g_cancellable_cancel(cancellable_.get());
    loop_.outlive(G_OBJECT(cancellable_.get())); // proxies and names are looked up by GIO
  }
  cancellable_.reset();
  if (connection_) {
    g_signal_handlers_disconnect_by_data(connection_.get(), this);
    if (is_open())
      soup_websocket_connection_close(connection_.get(), SOUP_WEBSOCKET_CLOSE_NORMAL,
                                      nullptr);
    connection_.reset();
  }
  if (session_)
    soup_session_abort(session_.get());
  session_.reset();
}

bool Signaling::send(const std::string &text) {
  if (!is_open())
    return false;
  soup_websocket_connection_send_text(connection_.get(), text.c_str());
  return true;
}

} // namespace vdn
