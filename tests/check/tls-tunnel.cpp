// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tls-tunnel.h"

#include <vector>

#include "certificate.h"
#include "footprint.h"
#include "loop-call.h"
#include "watched.h"

#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

constexpr size_t kMuch = 64 << 20; // more than two sockets on loopback hold

using Uri = std::unique_ptr<GUri, Releaser<g_uri_unref>>;

// A TLS server that sends back what comes, or leaves it where it is.
class EchoServer {
public:
  explicit EchoServer(bool echoes = true) : echoes_(echoes) {
    call(loop_, [this] {
      service_ = ObjPtr<GSocketService>::adopt(g_socket_service_new());
      port_ = g_socket_listener_add_any_inet_port(G_SOCKET_LISTENER(service_.get()),
                                                  nullptr, nullptr);
      g_signal_connect(service_.get(), "incoming", G_CALLBACK(incoming), this);
    });
  }
  ~EchoServer() {
    loop_.stop([this] {
      hang_up();
      g_socket_service_stop(service_.get());
      g_socket_listener_close(G_SOCKET_LISTENER(service_.get()));
      service_.reset();
    });
  }
  void hang_up() {
    for (const auto &one : connections_)
      g_socket_shutdown(g_socket_connection_get_socket(one.get()), TRUE, TRUE, nullptr);
  }
  Loop &loop() { return loop_; }
  guint16 port() const { return port_; }
  ObjPtr<GTlsCertificate> certificate() const { return own_.certificate; }

private:
  static gboolean incoming(GSocketService *, GSocketConnection *connection, GObject *,
                           gpointer data) {
    auto *self = static_cast<EchoServer *>(data);
    self->connections_.push_back(ObjPtr<GSocketConnection>::ref(connection));
    auto tls = ObjPtr<GIOStream>::adopt(g_tls_server_connection_new(
        G_IO_STREAM(connection), self->own_.certificate.get(), nullptr));
    if (self->echoes_)
      g_output_stream_splice_async(g_io_stream_get_output_stream(tls.get()),
                                   g_io_stream_get_input_stream(tls.get()),
                                   G_OUTPUT_STREAM_SPLICE_NONE, G_PRIORITY_DEFAULT,
                                   nullptr, nullptr, nullptr);
    self->streams_.push_back(std::move(tls));
    return TRUE;
  }

  const bool echoes_;
  const SelfSigned own_ = make_self_signed(nullptr);
  ObjPtr<GSocketService> service_;
  std::vector<ObjPtr<GSocketConnection>> connections_;
  std::vector<ObjPtr<GIOStream>> streams_; // their own streams do not keep them
  guint16 port_ = 0;
  Loop loop_{"echo"};
};

// A tunnel to 127.0.0.1, on a loop of its own, and what it told.
class Tunnel {
public:
  explicit Tunnel(guint16 port) {
    call(loop_, [&] {
      tunnel_ = std::make_unique<TlsTunnel>(
          loop_,
          TlsTunnel::Config{{true, "me:hush", "127.0.0.1", port},
                            static_cast<GTlsCertificateFlags>(0),
                            {}},
          [this](const std::string &text) {
            told_.update([&](auto &all) { all.push_back(text); });
          });
      fail_unless(tunnel_->listen(nullptr));
    });
  }
  ~Tunnel() { close(); }
  void close() {
    loop_.stop([this] { tunnel_.reset(); });
  }
  std::string uri(bool ipv4 = true) {
    return call(loop_, [&] { return tunnel_->uri(ipv4); });
  }
  // As libnice does, in blocking mode.
  ObjPtr<GSocketConnection> connect(bool ipv4 = true) {
    const Uri parts(g_uri_parse(uri(ipv4).c_str(), G_URI_FLAGS_NONE, nullptr));
    const auto client = ObjPtr<GSocketClient>::adopt(g_socket_client_new());
    auto connection = ObjPtr<GSocketConnection>::adopt(
        g_socket_client_connect_to_host(client.get(), g_uri_get_host(parts.get()),
                                        g_uri_get_port(parts.get()), nullptr, nullptr));
    fail_unless(bool(connection), "%s does not listen", uri(ipv4).c_str());
    return connection;
  }
  const Watched<std::vector<std::string>> &told() const { return told_; }

private:
  std::unique_ptr<TlsTunnel> tunnel_;
  Watched<std::vector<std::string>> told_;
  Loop loop_{"tunnel"};
};

// What comes until the end, or until there are `most`.
std::string read_all(GSocketConnection *connection, size_t most = 1) {
  std::string result(most, 0);
  gsize got = 0;
  g_input_stream_read_all(g_io_stream_get_input_stream(G_IO_STREAM(connection)),
                          result.data(), most, &got, nullptr, nullptr);
  result.resize(got);
  return result;
}

void await_told(const Tunnel &tunnel, const char *part) {
  fail_unless(tunnel.told().wait(std::chrono::seconds(20),
                                 [](const auto &all) { return !all.empty(); }),
              "nothing was told");
  const std::string text = tunnel.told().get()[0];
  fail_unless(text.find(part) != std::string::npos &&
                  text.find("turns://127.0.0.1:") != std::string::npos &&
                  text.find("hush") == std::string::npos,
              "%s", text.c_str());
}

} // namespace

GST_START_TEST(test_tls_tunnel_listens_on_loopback_alone) {
  Tunnel tunnel(1);
  const std::string uri = tunnel.uri();
  fail_unless(g_str_has_prefix(uri.c_str(), "turn://me:hush@127.0.0.1:"));
  fail_unless(g_str_has_suffix(uri.c_str(), "?transport=tcp"));
}
GST_END_TEST

GST_START_TEST(test_tls_tunnel_carries_all_bytes_in_order) {
  EchoServer server;
  Tunnel tunnel(server.port());
  for (const bool ipv4 : {true, false}) {
    const auto connection = tunnel.connect(ipv4);
    std::string sent(4 << 20, 0);
    for (size_t i = 0; i < sent.size(); i++)
      sent[i] = static_cast<char>(i * 7 + (i >> 12));
    std::thread writer([&] {
      g_output_stream_write_all(
          g_io_stream_get_output_stream(G_IO_STREAM(connection.get())), sent.data(),
          sent.size(), nullptr, nullptr, nullptr);
    });
    const std::string got = read_all(connection.get(), sent.size());
    writer.join();
    fail_unless(got == sent, "%zu of %zu bytes", got.size(), sent.size());
  }
  fail_unless(tunnel.told().get().empty());
}
GST_END_TEST

// Who sends and is not read is slowed down by the kernel: the tunnel keeps nothing.
GST_START_TEST(test_tls_tunnel_is_bounded) {
  EchoServer server(false);
  Tunnel tunnel(server.port());
  const auto connection = tunnel.connect();
  GSocket *socket = g_socket_connection_get_socket(connection.get());
  g_socket_set_timeout(socket, 1);
  const std::string block(1 << 20, 'x');
  size_t sent = 0;
  gssize written = 0;
  while (sent < kMuch && (written = g_socket_send(socket, block.data(), block.size(),
                                                  nullptr, nullptr)) > 0)
    sent += static_cast<size_t>(written);
  fail_unless(sent < kMuch, "%zu bytes went somewhere", sent);
}
GST_END_TEST

GST_START_TEST(test_tls_tunnel_ends_what_the_server_ends) {
  EchoServer server;
  Tunnel tunnel(server.port());
  const auto one = tunnel.connect(), another = tunnel.connect();
  for (const auto &connection : {one, another}) {
    g_socket_send(g_socket_connection_get_socket(connection.get()), "x", 1, nullptr,
                  nullptr);
    fail_unless(read_all(connection.get()) == "x");
  }
  call(server.loop(), [&] { server.hang_up(); });
  fail_unless(read_all(one.get()).empty() && read_all(another.get()).empty());
  await_told(tunnel, "it has closed the connection");
  fail_unless_equals_int(tunnel.told().get().size(), 1);
}
GST_END_TEST

// Whoever leaves is no news.
GST_START_TEST(test_tls_tunnel_ends_what_the_client_ends) {
  EchoServer server;
  Tunnel tunnel(server.port());
  for (int i = 0; i < 20; i++) {
    const auto connection = tunnel.connect();
    g_socket_send(g_socket_connection_get_socket(connection.get()), "x", 1, nullptr,
                  nullptr);
    if (i % 2)
      read_all(connection.get());
  }
  tunnel.close();
  fail_unless(tunnel.told().get().empty(), "%s", tunnel.told().get()[0].c_str());
}
GST_END_TEST

GST_START_TEST(test_tls_tunnel_tells_a_cause_once) {
  // Bound, and nobody listens: nor will somebody else's server meanwhile.
  const auto closed = ObjPtr<GSocket>::adopt(g_socket_new(
      G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, nullptr));
  const auto any = ObjPtr<GSocketAddress>::adopt(
      g_inet_socket_address_new_from_string("127.0.0.1", 0));
  fail_unless(g_socket_bind(closed.get(), any.get(), FALSE, nullptr));
  const auto bound =
      ObjPtr<GSocketAddress>::adopt(g_socket_get_local_address(closed.get(), nullptr));
  Tunnel tunnel(g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound.get())));
  for (int i = 0; i < 5; i++)
    fail_unless(read_all(tunnel.connect().get()).empty());
  await_told(tunnel, "Connection refused");
  fail_unless_equals_int(tunnel.told().get().size(), 1);
}
GST_END_TEST

// In every phase: connecting, in the handshake, at work.
GST_START_TEST(test_tls_tunnel_that_goes_takes_its_connections_along) {
  const auto silent = ObjPtr<GSocketListener>::adopt(g_socket_listener_new());
  const guint16 port =
      g_socket_listener_add_any_inet_port(silent.get(), nullptr, nullptr);
  const EchoServer server;
  for (const guint16 to : {port, server.port()})
    for (int i = 0; i < 20; i++) {
      const unsigned before = Footprint().sockets;
      Tunnel tunnel(to);
      const auto connection = tunnel.connect();
      g_socket_send(g_socket_connection_get_socket(connection.get()), "x", 1, nullptr,
                    nullptr);
      if (to != port && i % 2)
        read_all(connection.get());
      tunnel.close();
      read_all(connection.get(), 2); // ends
      fail_unless(tunnel.told().get().empty());
      // One more is libnice's, as it were; those of `server` are its own, and GIO opens
      // one for itself when it is used first.
      if (to == port && i > 0)
        fail_unless_equals_int(Footprint().sockets, before + 1);
    }
}
GST_END_TEST

static Suite *tls_tunnel_suite() {
  Suite *suite = suite_create("tls-tunnel");
  TCase *tc = tcase_create("tls-tunnel");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_tls_tunnel_listens_on_loopback_alone);
  tcase_add_test(tc, test_tls_tunnel_carries_all_bytes_in_order);
  tcase_add_test(tc, test_tls_tunnel_is_bounded);
  tcase_add_test(tc, test_tls_tunnel_ends_what_the_server_ends);
  tcase_add_test(tc, test_tls_tunnel_ends_what_the_client_ends);
  tcase_add_test(tc, test_tls_tunnel_tells_a_cause_once);
  tcase_add_test(tc, test_tls_tunnel_that_goes_takes_its_connections_along);
  return suite;
}

GST_CHECK_MAIN(tls_tunnel);
