// SPDX-License-Identifier: LGPL-2.1-or-later
// One connection, and every way in which a server can fail it.
#include "signaling.h"

#include <glib/gstdio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certificate.h"
#include "handshake-server.h"
#include "raw-server.h"
#include "test-client.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using namespace std::chrono_literals;

namespace {

struct Server : HandshakeServer {
  explicit Server(Door door = {}, ObjPtr<GTlsCertificate> certificate = {})
      : HandshakeServer(options(std::move(certificate))) {
    set_door(door);
    GError *error = nullptr;
    fail_unless(start(&error), "%s", error ? error->message : "");
  }
  static Options options(ObjPtr<GTlsCertificate> certificate) {
    Options result;
    // The router passes whatever comes.
    result.routing.dialect = Dialect::kCustom;
    result.certificate = std::move(certificate);
    return result;
  }
  ClientId first_client() const {
    fail_unless(wait(5s, [](const State &state) { return !state.clients.empty(); }));
    return state().clients.front().id;
  }
};

// The connection fails once, with an error that names the server and holds `part`.
void expect_loss(const TestClient &client, const std::string &url, const char *part) {
  fail_unless(client.wait([](const auto &state) { return state.lost > 0; }),
              "%s: no loss was told", part);
  const std::string error = client.state().error;
  fail_unless_equals_int(client.state().lost, 1);
  fail_unless(error.find(url) != std::string::npos, "%s", error.c_str());
  fail_unless(error.find(part) != std::string::npos, "no \"%s\" in: %s", part,
              error.c_str());
}

void assert_fails(const std::string &url, const char *part) {
  TestClient client(url);
  expect_loss(client, url, part);
}

// A self-signed server, and a client that checks it as told.
void assert_tls(bool expected, GTlsCertificateFlags flags, bool with_database) {
  GError *error = nullptr;
  const SelfSigned self_signed = make_self_signed(&error);
  fail_unless(error == nullptr);
  Server server({}, self_signed.certificate);
  SignalingConfig config;
  config.url = server.url();
  config.tls_flags = flags;
  std::string pem;
  if (with_database) {
    gchar *name = nullptr;
    const int file = g_file_open_tmp("vdn-XXXXXX.pem", &name, nullptr);
    StrPtr path(name);
    close(file);
    fail_unless(g_file_set_contents(path.get(), self_signed.pem.c_str(), -1, nullptr));
    config.tls_database = ObjPtr<GTlsDatabase>::adopt(
        G_TLS_DATABASE(g_tls_file_database_new(path.get(), nullptr)));
    pem = path.get();
  }
  TestClient client(config);
  if (!expected) {
    expect_loss(client, config.url, "tls-database");
    return;
  }
  fail_unless(client.wait_open(), "%s", client.state().error.c_str());
  if (with_database)
    g_unlink(pem.c_str());
}

} // namespace

GST_START_TEST(test_signaling_checks_server_urls) {
  constexpr struct {
    const char *url;
    const char *host; // NULL: refused
  } kUrls[] = {{"wss://wss.vdo.ninja:443", "wss.vdo.ninja"},
               {"ws://127.0.0.1:8443", "127.0.0.1"},
               {"wss://Example.ORG", "example.org"},
               {"ws://[::1]:80/path?x=1", "::1"},
               {"WSS://example.org", "example.org"},
               {"http://example.org", nullptr},
               {"https://vdo.ninja/?view=abc", nullptr},
               {"example.org:443", nullptr},
               {"wss://", nullptr},
               {"wss://:443", nullptr},
               {"ws://host:port", nullptr},
               {"ws://host:99999", nullptr},
               {"ws:host", nullptr},
               {"://", nullptr},
               {"", nullptr},
               {nullptr, nullptr}};
  for (const auto &row : kUrls) {
    std::string host;
    GError *raw = nullptr;
    const bool valid = check_server_url(row.url, &host, &raw);
    ErrorPtr error(raw);
    fail_unless(valid == (row.host != nullptr), "%s", row.url ? row.url : "NULL");
    if (valid) {
      fail_unless_equals_string(host.c_str(), row.host);
      continue;
    }
    fail_unless(error && strstr(error->message, "wss://host:port"), "%s",
                error ? error->message : "no error");
  }
}
GST_END_TEST

GST_START_TEST(test_signaling_sends_and_receives) {
  Server server;
  TestClient one(server.url()), two(server.url());
  fail_unless(one.wait_open() && two.wait_open());
  one.send("{\"request\":\"hello\",\"from\":\"one\",\"text\":\"ä ✓\"}");
  const std::string text = two.member(0, "text");
  fail_unless_equals_string(text.c_str(), "ä ✓");
}
GST_END_TEST

GST_START_TEST(test_signaling_closed_port) {
  assert_fails(closed_url(), "nothing listens there");
}
GST_END_TEST

GST_START_TEST(test_signaling_refused_by_http) {
  for (unsigned status : {404, 503}) {
    Server server({Door::Kind::kRefuse, status});
    assert_fails(server.url(), "not as a WebSocket server");
  }
}
GST_END_TEST

GST_START_TEST(test_signaling_not_a_websocket) {
  const std::string page(10000, 'x');
  for (const std::string &reply :
       {std::string("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
        std::string("SSH-2.0-OpenSSH_9.2\r\n"), std::string(), page,
        std::string("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n")}) {
    RawServer server(reply);
    assert_fails(server.url(), "cannot use server");
  }
}
GST_END_TEST

GST_START_TEST(test_signaling_plain_server_at_a_wss_address) {
  RawServer server("HTTP/1.1 400 Bad Request\r\n\r\n");
  assert_fails("wss" + server.url().substr(2), "cannot use server");
}
GST_END_TEST

GST_START_TEST(test_signaling_self_signed_is_refused) {
  assert_tls(false, G_TLS_CERTIFICATE_VALIDATE_ALL, false);
}
GST_END_TEST

GST_START_TEST(test_signaling_self_signed_passes_unchecked) {
  assert_tls(true, static_cast<GTlsCertificateFlags>(0), false);
}
GST_END_TEST

GST_START_TEST(test_signaling_self_signed_passes_with_its_database) {
  assert_tls(true, G_TLS_CERTIFICATE_VALIDATE_ALL, true);
}
GST_END_TEST

GST_START_TEST(test_signaling_closed_at_once) {
  Server server({Door::Kind::kCloseAtOnce});
  assert_fails(server.url(), "connection was closed");
}
GST_END_TEST

GST_START_TEST(test_signaling_tells_one_loss_per_connection) {
  Server server;
  for (bool abruptly : {false, true}) {
    TestClient client(server.url());
    fail_unless(client.wait_open());
    server.kick(server.first_client(), abruptly);
    expect_loss(client, server.url(), "");
    fail_unless(server.wait(5s, [](const auto &state) { return state.clients.empty(); }));
    // And it opens again.
    client.reopen();
    fail_unless(client.wait_open());
    server.kick(server.first_client(), false);
    fail_unless(client.wait([](const auto &state) { return state.lost == 2; }));
    fail_unless(server.wait(5s, [](const auto &state) { return state.clients.empty(); }));
  }
}
GST_END_TEST

// Text passes, however strange; what is longer than any message ends the connection.
GST_START_TEST(test_signaling_bounds_what_it_takes) {
  Server server;
  TestClient client(server.url());
  fail_unless(client.wait_open());
  const ClientId id = server.first_client();
  server.send_binary(id, "\x01\x02");
  server.send_text(id, "garbage");
  server.send_text(id, std::string(500000, ' '));
  const std::string text = client.message(0);
  fail_unless_equals_string(text.c_str(), "garbage");
  fail_unless_equals_int(client.message(1).size(), 500000);
  server.send_text(id, std::string(10 * 1024 * 1024, ' '));
  expect_loss(client, server.url(), "");
  fail_unless_equals_int(client.state().messages.size(), 2);
}
GST_END_TEST

GST_START_TEST(test_signaling_goes_while_connecting) {
  Server silent({Door::Kind::kSilent});
  TestClient client(silent.url());
  fail_unless(silent.wait(5s, [](const auto &state) { return state.attempts > 0; }));
  // Neither a callback nor a wait: the destructor joins.
  fail_unless_equals_int(client.state().lost, 0);
}
GST_END_TEST

GST_START_TEST(test_signaling_refuses_to_send_while_closed) {
  Loop loop("test");
  auto signaling =
      std::make_unique<Signaling>(loop, SignalingConfig(), Signaling::Callbacks());
  const bool sent =
      call(loop, [&] { return signaling->is_open() || signaling->send("text"); });
  fail_if(sent);
  loop.stop([&] { signaling.reset(); });
}
GST_END_TEST

// Whether some socket of this process gives up on what is not acknowledged.
static bool has_impatient_socket() {
  for (int fd = 0; fd < 1024; fd++) {
    unsigned ms = 0;
    socklen_t size = sizeof ms;
    if (getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &size) == 0 && ms > 0 &&
        ms <= 30000)
      return true;
  }
  return false;
}

// A NAT or a Wi-Fi that forgot us says nothing: the system notices, within seconds.
GST_START_TEST(test_signaling_notices_a_path_that_vanished) {
  fail_if(has_impatient_socket());
  const Server server;
  TestClient client(server.url());
  fail_unless(client.wait_open());
  fail_unless(has_impatient_socket());
}
GST_END_TEST

static Suite *signaling_suite() {
  Suite *suite = suite_create("signaling");
  TCase *tc = tcase_create("signaling");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_signaling_checks_server_urls);
  tcase_add_test(tc, test_signaling_sends_and_receives);
  tcase_add_test(tc, test_signaling_closed_port);
  tcase_add_test(tc, test_signaling_refused_by_http);
  tcase_add_test(tc, test_signaling_not_a_websocket);
  tcase_add_test(tc, test_signaling_plain_server_at_a_wss_address);
  tcase_add_test(tc, test_signaling_self_signed_is_refused);
  tcase_add_test(tc, test_signaling_self_signed_passes_unchecked);
  tcase_add_test(tc, test_signaling_self_signed_passes_with_its_database);
  tcase_add_test(tc, test_signaling_closed_at_once);
  tcase_add_test(tc, test_signaling_tells_one_loss_per_connection);
  tcase_add_test(tc, test_signaling_bounds_what_it_takes);
  tcase_add_test(tc, test_signaling_goes_while_connecting);
  tcase_add_test(tc, test_signaling_notices_a_path_that_vanished);
  tcase_add_test(tc, test_signaling_refuses_to_send_while_closed);
  return suite;
}

GST_CHECK_MAIN(signaling);
