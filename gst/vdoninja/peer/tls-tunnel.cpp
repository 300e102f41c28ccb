// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tls-tunnel.h"

#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>

namespace vdn {

namespace {

// For each of connection and handshake; libnice gives up after 7.9 s.
constexpr unsigned kTimeoutS = 5;
// Each session has one for each local address; nobody else is expected on loopback.
constexpr size_t kMaxPipes = 1024;
// What failed, and worked meanwhile, is told again after so long.
constexpr gint64 kSettledUs = 60 * G_USEC_PER_SEC;

// The port that was chosen; 0 when the family is not there.
guint16 listen_on_loopback(GSocketListener *listener, GSocketFamily family,
                           GError **error) {
  auto loopback = ObjPtr<GInetAddress>::adopt(g_inet_address_new_loopback(family));
  auto wanted =
      ObjPtr<GSocketAddress>::adopt(g_inet_socket_address_new(loopback.get(), 0));
  ObjPtr<GSocketAddress> got;
  if (!g_socket_listener_add_address(listener, wanted.get(), G_SOCKET_TYPE_STREAM,
                                     G_SOCKET_PROTOCOL_TCP, nullptr, got.out(), error))
    return 0;
  return g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(got.get()));
}

// Media shall not wait to be packed together.
void send_at_once(GSocketConnection *connection) {
  g_socket_set_option(g_socket_connection_get_socket(connection), IPPROTO_TCP,
                      TCP_NODELAY, TRUE, nullptr);
}

gboolean accept_certificate(GTlsConnection *, GTlsCertificate *,
                            GTlsCertificateFlags errors, gpointer flags) {
  return (errors & GPOINTER_TO_UINT(flags)) == 0;
}

std::string explain_certificate(guint errors) {
  const char *why = errors & G_TLS_CERTIFICATE_EXPIRED         ? "has expired"
                    : errors & G_TLS_CERTIFICATE_NOT_ACTIVATED ? "is not valid yet"
                    : errors & G_TLS_CERTIFICATE_BAD_IDENTITY  ? "is for another name"
                    : errors & G_TLS_CERTIFICATE_UNKNOWN_CA
                        ? "is of an unknown authority; if it is your own, name its "
                          "authority with tls-database"
                        : "is not acceptable";
  return std::string("its certificate ") + why;
}

} // namespace

// One connection of libnice.
struct TlsTunnel::Pipe {
  ObjPtr<GSocketConnection> local, remote;
  ObjPtr<GIOStream> tls;
  const ObjPtr<GCancellable> cancellable =
      ObjPtr<GCancellable>::adopt(g_cancellable_new());
};

// What an operation carries. It outlives the tunnel; the cancellable tells.
struct TlsTunnel::Step {
  TlsTunnel *tunnel;
  std::shared_ptr<Pipe> pipe;
  bool from_local;

  bool over() const { return g_cancellable_is_cancelled(pipe->cancellable.get()); }
};

TlsTunnel::TlsTunnel(Loop &loop, Config config, Problem problem)
    : loop_(loop), config_(std::move(config)), problem_(std::move(problem)) {}

TlsTunnel::~TlsTunnel() {
  while (!pipes_.empty())
    close(*pipes_.begin());
  if (!service_)
    return;
  g_signal_handlers_disconnect_by_data(service_.get(), this);
  g_socket_service_stop(service_.get());
  g_socket_listener_close(G_SOCKET_LISTENER(service_.get()));
}

bool TlsTunnel::listen(GError **error) {
  service_ = ObjPtr<GSocketService>::adopt(g_socket_service_new());
  auto *listener = G_SOCKET_LISTENER(service_.get());
  port_v6_ = listen_on_loopback(listener, G_SOCKET_FAMILY_IPV6, nullptr);
  port_v4_ =
      listen_on_loopback(listener, G_SOCKET_FAMILY_IPV4, port_v6_ ? nullptr : error);
  g_signal_connect(service_.get(), "incoming", G_CALLBACK(accept), this);
  g_socket_service_start(service_.get());
  return port_v4_ || port_v6_;
}

std::string TlsTunnel::uri(bool ipv4) const {
  const bool v4 = port_v6_ == 0 || (ipv4 && port_v4_ != 0);
  return "turn://" + config_.server.login + "@" +
         (v4 ? "127.0.0.1:" + std::to_string(port_v4_)
             : "[::1]:" + std::to_string(port_v6_)) +
         "?transport=tcp";
}

gboolean TlsTunnel::accept(GSocketService *, GSocketConnection *local, GObject *,
                           gpointer data) {
  auto *self = static_cast<TlsTunnel *>(data);
  if (self->pipes_.size() >= kMaxPipes)
    return TRUE; // closed, as nobody keeps it
  auto pipe = std::make_shared<Pipe>();
  pipe->local = ObjPtr<GSocketConnection>::ref(local);
  send_at_once(local);
  self->pipes_.insert(pipe);
  auto client = ObjPtr<GSocketClient>::adopt(g_socket_client_new());
  g_socket_client_set_timeout(client.get(), kTimeoutS);
  // As libnice with turn://; and what looks for proxies is a thread that is not to be
  // cancelled, so that a loop which ends meanwhile would never hear of this again.
  g_socket_client_set_enable_proxy(client.get(), FALSE);
  const TurnServer &server = self->config_.server;
  g_socket_client_connect_to_host_async(
      client.get(), server.host.c_str(), server.port, pipe->cancellable.get(),
      [](GObject *source, GAsyncResult *result, gpointer step_data) {
        std::unique_ptr<Step> step(static_cast<Step *>(step_data));
        GError *raw = nullptr;
        auto remote =
            ObjPtr<GSocketConnection>::adopt(g_socket_client_connect_to_host_finish(
                G_SOCKET_CLIENT(source), result, &raw));
        const ErrorPtr error(raw);
        if (step->over())
          return;
        if (remote)
          step->tunnel->connected(step->pipe, remote.get());
        else
          step->tunnel->failed(step->pipe,
                               error->message + std::string("; check its address, and "
                                                            "that no firewall is in the "
                                                            "way"));
      },
      new Step{self, pipe, false});
  return TRUE;
}

void TlsTunnel::connected(const std::shared_ptr<Pipe> &pipe, GSocketConnection *remote) {
  pipe->remote = ObjPtr<GSocketConnection>::ref(remote);
  send_at_once(remote);
  auto identity = ObjPtr<GSocketConnectable>::adopt(
      g_network_address_new(config_.server.host.c_str(), config_.server.port));
  GError *raw = nullptr;
  // With the database from the start: set later, all authorities of the system would be
  // read before, for each connection.
  pipe->tls = ObjPtr<GIOStream>::adopt(G_IO_STREAM(g_initable_new(
      g_tls_backend_get_client_connection_type(g_tls_backend_get_default()), nullptr,
      &raw, "base-io-stream", remote, "server-identity", identity.get(),
      config_.tls_database ? "database" : nullptr, config_.tls_database.get(), nullptr)));
  const ErrorPtr error(raw);
  if (!pipe->tls) {
    failed(pipe, error->message + std::string("; install glib-networking"));
    return;
  }
  auto *tls = G_TLS_CONNECTION(pipe->tls.get());
  g_signal_connect(tls, "accept-certificate", G_CALLBACK(accept_certificate),
                   GUINT_TO_POINTER(config_.tls_flags));
  // TURN has its own lengths: nobody can cut anything short unnoticed.
  g_tls_connection_set_require_close_notify(tls, FALSE);
  // Not left to the first read: who gives up meanwhile would leak it (glib-networking
  // 2.74, implicit_handshake).
  g_tls_connection_handshake_async(
      tls, G_PRIORITY_DEFAULT, pipe->cancellable.get(),
      [](GObject *source, GAsyncResult *result, gpointer step_data) {
        const std::unique_ptr<Step> step(static_cast<Step *>(step_data));
        GError *cause = nullptr;
        g_tls_connection_handshake_finish(G_TLS_CONNECTION(source), result, &cause);
        const ErrorPtr why(cause);
        if (!step->over())
          step->tunnel->greeted(step->pipe, why.get());
      },
      new Step{this, pipe, false});
}

void TlsTunnel::greeted(const std::shared_ptr<Pipe> &pipe, const GError *error) {
  auto *tls = G_TLS_CONNECTION(pipe->tls.get());
  if (g_error_matches(error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE)) {
    failed(pipe, explain_certificate(g_tls_connection_get_peer_certificate_errors(tls) &
                                     config_.tls_flags));
  } else if (error) {
    failed(pipe, error->message + std::string("; does it speak TLS on this port?"));
  } else {
    works_ = true;
    g_socket_set_timeout(g_socket_connection_get_socket(pipe->remote.get()), 0);
    splice(pipe, G_IO_STREAM(pipe->local.get()), pipe->tls.get());
    splice(pipe, pipe->tls.get(), G_IO_STREAM(pipe->local.get()));
  }
}

// Reads only what could be written: 8 KiB are held, and the kernel's buffers slow down
// whoever sends too much.
void TlsTunnel::splice(const std::shared_ptr<Pipe> &pipe, GIOStream *from,
                       GIOStream *to) {
  g_output_stream_splice_async(
      g_io_stream_get_output_stream(to), g_io_stream_get_input_stream(from),
      G_OUTPUT_STREAM_SPLICE_NONE, G_PRIORITY_DEFAULT, pipe->cancellable.get(),
      [](GObject *stream, GAsyncResult *result, gpointer step_data) {
        std::unique_ptr<Step> step(static_cast<Step *>(step_data));
        GError *raw = nullptr;
        g_output_stream_splice_finish(G_OUTPUT_STREAM(stream), result, &raw);
        const ErrorPtr error(raw);
        if (!step->over())
          step->tunnel->ended(step->pipe, step->from_local && !error);
      },
      new Step{this, pipe, to == pipe->tls.get()});
}

// The first direction that ends ends both. `by_us`: libnice has closed its end.
void TlsTunnel::ended(const std::shared_ptr<Pipe> &pipe, bool by_us) {
  GSocket *local = g_socket_connection_get_socket(pipe->local.get());
  const auto gone = static_cast<GIOCondition>(G_IO_HUP | G_IO_ERR);
  if (by_us || g_socket_condition_check(local, gone))
    close(pipe);
  else
    failed(pipe, "it has closed the connection; streams that came over it are asked for "
                 "again");
}

void TlsTunnel::failed(const std::shared_ptr<Pipe> &pipe, const std::string &why) {
  const gint64 now = g_get_monotonic_time();
  const bool again = std::exchange(works_, false) && now - told_at_ > kSettledUs;
  close(pipe);
  if (why == told_ && !again)
    return;
  told_ = why;
  told_at_ = now;
  problem_("TURN server " + name() + " cannot be used: " + why);
}

// By value: it may be the last one.
void TlsTunnel::close(std::shared_ptr<Pipe> pipe) {
  pipes_.erase(pipe);
  g_cancellable_cancel(pipe->cancellable.get());
  if (pipe->tls)
    loop_.outlive(G_OBJECT(pipe->tls.get())); // a handshake is a thread of GIO's
  // Now, not when the last operation has ended; and TLS would wait when it is freed,
  // until its goodbye is written.
  for (const auto &connection : {pipe->local, pipe->remote})
    if (connection)
      g_socket_shutdown(g_socket_connection_get_socket(connection.get()), TRUE, TRUE,
                        nullptr);
}

} // namespace vdn
