// SPDX-License-Identifier: LGPL-2.1-or-later
// By relays alone: what plays, what is told when it does not, and what a listener sees.
#include <algorithm>

#include "coturn.h"
#include "loopback.h"
#include "raw-server.h"

using namespace vdn;

namespace {

bool has(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

// On loopback alone, which coturn is allowed to relay to.
PublisherConfig here() {
  PublisherConfig config = video_only();
  config.local_addresses = {"127.0.0.1"};
  return config;
}

// A publisher, and a player that must not reach it but by `servers`.
struct Relayed : Loopback {
  explicit Relayed(const std::vector<std::string> &servers,
                   const ObjPtr<GTlsDatabase> &authority = {},
                   const std::string &more = "")
      : Loopback(here()), player(source("ice-transport-policy=relay turn-servers=<" +
                                        list(servers) + "> " + more) +
                                 video_sink()) {
    g_object_set(player.source(), "tls-database", authority.get(), nullptr);
    publish();
    player.play();
  }
  static std::string list(const std::vector<std::string> &servers) {
    std::string result;
    for (const auto &entry : servers)
      result += (result.empty() ? "\\\"" : ",\\\"") + entry + "\\\"";
    return result;
  }
  unsigned warnings(const std::string &part) const {
    const auto all = player.state().warnings;
    return std::count_if(all.begin(), all.end(),
                         [&](const auto &warning) { return has(warning.text, part); });
  }
  // It plays, and there is nothing to complain about.
  void assert_plays() const {
    player.expect_buffers("sink", 20);
    fail_unless(player.state().warnings.empty(), "%s", player.describe().c_str());
  }
  // One warning has `name` and has `part`; none has a password.
  void assert_told(const std::string &name, const std::string &part) const {
    player.expect_warning(part);
    fail_unless_equals_int(warnings(name), 1);
    fail_unless(warnings(part) == 1 && warnings(Coturn::kPassword) == 0 &&
                    warnings("hush") == 0,
                "%s", player.describe().c_str());
    fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
  }

  Player player;
};

// Listens, and says nothing.
class Eavesdropper {
public:
  Eavesdropper()
      : listener_(ObjPtr<GSocketListener>::adopt(g_socket_listener_new())),
        port_(g_socket_listener_add_any_inet_port(listener_.get(), nullptr, nullptr)) {}

  guint16 port() const { return port_; }
  // What the first client says first.
  std::string heard() {
    connection_ = ObjPtr<GSocketConnection>::adopt(
        g_socket_listener_accept(listener_.get(), nullptr, nullptr, nullptr));
    fail_unless(bool(connection_), "nobody came");
    GSocket *socket = g_socket_connection_get_socket(connection_.get());
    std::string result(65536, 0);
    const gssize got =
        g_socket_receive(socket, result.data(), result.size(), nullptr, nullptr);
    result.resize(std::max<gssize>(got, 0));
    return result;
  }

private:
  const ObjPtr<GSocketListener> listener_;
  const guint16 port_;
  ObjPtr<GSocketConnection> connection_;
};

} // namespace

GST_START_TEST(test_turn_over_udp) {
  if (!Coturn::is_installed())
    return;
  const Coturn coturn(Coturn::Over::kUdp);
  Relayed({coturn.uri()}).assert_plays();
}
GST_END_TEST

GST_START_TEST(test_turn_over_tcp) {
  if (!Coturn::is_installed())
    return;
  const Coturn coturn(Coturn::Over::kTcp);
  Relayed({coturn.uri()}).assert_plays();
}
GST_END_TEST

GST_START_TEST(test_turn_over_tls) {
  if (!Coturn::is_installed())
    return;
  const Coturn coturn(Coturn::Over::kTls);
  Relayed({coturn.uri()}, coturn.authority()).assert_plays();
}
GST_END_TEST

GST_START_TEST(test_turn_wrong_password_names_the_server) {
  if (!Coturn::is_installed())
    return;
  for (const auto over : {Coturn::Over::kUdp, Coturn::Over::kTcp, Coturn::Over::kTls}) {
    const Coturn coturn(over);
    const Relayed show({coturn.uri("hush")}, coturn.authority());
    show.assert_told(coturn.name(), "check address, user and password");
  }
}
GST_END_TEST

GST_START_TEST(test_turn_certificate_that_is_refused) {
  if (!Coturn::is_installed())
    return;
  const Coturn expired(Coturn::Over::kTls, {"IP:127.0.0.1", true});
  Relayed({expired.uri()}, expired.authority())
      .assert_told(expired.name(), "its certificate has expired");
  const Coturn other(Coturn::Over::kTls, {"DNS:other.example", false});
  Relayed({other.uri()}, other.authority())
      .assert_told(other.name(), "its certificate is for another name");
  const Coturn unknown(Coturn::Over::kTls);
  Relayed({unknown.uri()}).assert_told(unknown.name(), "tls-database");
}
GST_END_TEST

GST_START_TEST(test_turn_certificate_that_is_not_checked) {
  if (!Coturn::is_installed())
    return;
  const Coturn coturn(Coturn::Over::kTls, {"DNS:other.example", true});
  Relayed({coturn.uri()}, {}, "tls-validation-flags=0").assert_plays();
}
GST_END_TEST

// Where TLS is asked for and something else listens, or nobody does, the other servers
// serve all the same.
GST_START_TEST(test_turn_server_that_cannot_be_used_beside_one_that_can) {
  if (!Coturn::is_installed())
    return;
  const RawServer http("HTTP/1.1 400 Bad Request\r\n\r\n");
  const std::string closed = closed_url();
  const std::string not_tls = "127.0.0.1" + http.url().substr(http.url().rfind(':'));
  const std::string nobody = "127.0.0.1" + closed.substr(closed.rfind(':'));
  const Coturn coturn(Coturn::Over::kTls);
  const Relayed show(
      {"turns://u:hush@" + not_tls, coturn.uri(), "turns://u:hush@" + nobody},
      coturn.authority());
  show.player.expect_buffers("sink", 20);
  show.assert_told("turns://" + not_tls, "does it speak TLS on this port?");
  show.assert_told("turns://" + nobody, "Connection refused");
  fail_unless_equals_int(show.player.state().warnings.size(), 2);
}
GST_END_TEST

// Told once, however often it is tried; and the stream comes back with the relay.
GST_START_TEST(test_turn_relay_that_dies_in_mid_stream) {
  if (!Coturn::is_installed())
    return;
  Coturn coturn(Coturn::Over::kTls);
  Relayed show({coturn.uri()}, coturn.authority());
  show.assert_plays();
  coturn.kill();
  show.player.expect_warning("it has closed the connection");
  coturn.start();
  const uint32_t now = stamp_now_ms();
  show.player.expect(
      "a picture of after the relay came back",
      [&](const auto &state) { return state.shows_since("sink", now); },
      std::chrono::seconds(40));
  // And one more, if it was tried while nobody listened: each cause is told once.
  fail_unless(show.warnings("it has closed the connection") == 1 &&
                  show.warnings("refused") <= 1 && show.warnings(coturn.name()) <= 2 &&
                  show.warnings(Coturn::kPassword) == 0,
              "%s", show.player.describe().c_str());
  fail_unless(show.player.state().errors.empty(), "%s", show.player.describe().c_str());
}
GST_END_TEST

// A server that waits for what comes: a ClientHello of TLS, and nothing of the login.
GST_START_TEST(test_turn_login_never_goes_in_clear) {
  Eavesdropper listener;
  Relayed show({"turns://eavesdrop:hush@127.0.0.1:" + std::to_string(listener.port())});
  const std::string heard = listener.heard();
  fail_unless(heard.size() > 5 && heard[0] == 0x16 && heard[1] == 0x03, "%zu bytes",
              heard.size());
  fail_unless(!has(heard, "eavesdrop") && !has(heard, "hush"));
  show.player.stop(); // in the middle of that handshake, and at once
}
GST_END_TEST

static Suite *turn_suite() {
  Suite *suite = suite_create("vdoninjasrc-turn");
  TCase *tc = tcase_create("turn");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_turn_over_udp);
  tcase_add_test(tc, test_turn_over_tcp);
  tcase_add_test(tc, test_turn_over_tls);
  tcase_add_test(tc, test_turn_wrong_password_names_the_server);
  tcase_add_test(tc, test_turn_certificate_that_is_refused);
  tcase_add_test(tc, test_turn_certificate_that_is_not_checked);
  tcase_add_test(tc, test_turn_server_that_cannot_be_used_beside_one_that_can);
  tcase_add_test(tc, test_turn_relay_that_dies_in_mid_stream);
  tcase_add_test(tc, test_turn_login_never_goes_in_clear);
  return suite;
}

GST_CHECK_MAIN(turn);
