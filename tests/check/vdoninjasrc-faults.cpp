// SPDX-License-Identifier: LGPL-2.1-or-later
// Servers and passwords that fail vdoninjasrc: it says what is wrong, goes on trying, and
// plays as soon as it can.
#include <glib/gstdio.h>
#include <unistd.h>

#include "certificate.h"
#include "loopback.h"
#include "raw-server.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

// A server with a fault, which goes away: the element tells of `part`, and plays.
template <typename Break, typename Mend>
void assert_recovers(const char *part, Break break_it, Mend mend) {
  Loopback loopback;
  loopback.publish();
  break_it(loopback);
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  player.expect_warning(part);
  fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
  mend(loopback);
  player.expect_buffers("sink", 3);
  expect_whole(player);
}

void assert_door(const char *part, Door door) {
  assert_recovers(
      part, [&](Loopback &loopback) { loopback.server.set_door(door); },
      [](Loopback &loopback) { loopback.server.set_door({}); });
}

// It stays usable: stopped, pointed at a good server and started again, it plays.
void assert_survives(const std::string &url, const char *part) {
  Loopback loopback;
  loopback.publish();
  Player player(loopback.play("server=" + url), {"sink", "audio"});
  player.play();
  player.expect_warning(part);
  player.stop();
  g_object_set(player.source(), "server", loopback.server.url().c_str(), nullptr);
  player.play();
  player.expect_buffers("sink", 3);
  fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
}

// The message reaches the viewer's socket before any offer does.
void assert_ignores(const std::vector<std::string> &texts, bool binary = false) {
  Loopback loopback;
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  loopback.server.await("a request",
                        [](const auto &state) { return state.count("play") > 0; });
  const ClientId id = loopback.server.state().clients.front().id;
  for (const auto &text : texts)
    if (binary)
      loopback.server.send_binary(id, text);
    else
      loopback.server.send_text(id, text);
  loopback.publish();
  player.expect_buffers("sink", 3);
  fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
}

struct TlsServer {
  explicit TlsServer() : own(make_self_signed(nullptr)), server(options(own)) {
    fail_unless(server.start(nullptr));
  }
  static HandshakeServer::Options options(const SelfSigned &own) {
    HandshakeServer::Options result;
    result.certificate = own.certificate;
    return result;
  }
  std::string source(const std::string &more = "") const {
    return "vdoninjasrc stream-id=cam signaling=hosted server=" + server.url() + " " +
           more;
  }
  void await_request() const {
    fail_unless(
        server.wait(10s, [](const auto &state) { return state.count("play") > 0; }),
        "nobody came in");
  }
  SelfSigned own;
  HandshakeServer server;
};

} // namespace

GST_START_TEST(test_faults_server_that_is_down_at_first) {
  assert_recovers(
      "nothing listens there", [](Loopback &loopback) { loopback.server.stop(); },
      [](Loopback &loopback) { fail_unless(loopback.server.start(nullptr)); });
}
GST_END_TEST

GST_START_TEST(test_faults_server_that_refuses) {
  assert_door("not as a WebSocket server", {Door::Kind::kRefuse, 503});
  assert_door("not as a WebSocket server", {Door::Kind::kRefuse, 404});
}
GST_END_TEST

GST_START_TEST(test_faults_one_warning_for_one_cause) {
  LoopbackServer server(Dialect::kHosted, {Door::Kind::kRefuse, 503});
  Player player(server.play(), {"sink", "audio"});
  player.play();
  server.await("three attempts", [](const auto &state) { return state.attempts >= 3; });
  player.expect_warning("not as a WebSocket server");
  fail_unless_equals_int(player.state().warnings.size(), 1);
  // Another cause is news.
  server.stop();
  player.expect_warning("nothing listens there");
}
GST_END_TEST

GST_START_TEST(test_faults_server_that_closes_at_once) {
  assert_door("connection was closed", {Door::Kind::kCloseAtOnce});
}
GST_END_TEST

GST_START_TEST(test_faults_server_that_is_no_websocket_server) {
  RawServer http("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
  RawServer ssh("SSH-2.0-OpenSSH_9.2\r\n");
  assert_survives(http.url(), "not as a WebSocket server");
  assert_survives(ssh.url(), "cannot use server");
}
GST_END_TEST

GST_START_TEST(test_faults_certificate_that_nobody_vouches_for) {
  TlsServer tls;
  Player player(tls.source());
  player.play();
  player.expect_warning("tls-database");
  fail_unless_equals_int(tls.server.state().connections, 0);
  fail_unless(player.state().errors.empty());
}
GST_END_TEST

GST_START_TEST(test_faults_certificate_that_is_not_checked) {
  TlsServer tls;
  Player player(tls.source("tls-validation-flags=0"));
  player.play();
  tls.await_request();
  fail_unless(player.state().warnings.empty(), "%s", player.describe().c_str());
}
GST_END_TEST

GST_START_TEST(test_faults_certificate_in_the_database) {
  TlsServer tls;
  gchar *name = nullptr;
  const int file = g_file_open_tmp("vdn-XXXXXX.pem", &name, nullptr);
  StrPtr path(name);
  close(file);
  fail_unless(g_file_set_contents(path.get(), tls.own.pem.c_str(), -1, nullptr));
  const auto database = ObjPtr<GTlsDatabase>::adopt(
      G_TLS_DATABASE(g_tls_file_database_new(path.get(), nullptr)));
  Player player(tls.source());
  g_object_set(player.source(), "tls-database", database.get(), nullptr);
  player.play();
  tls.await_request();
  g_unlink(path.get());
  fail_unless(player.state().warnings.empty(), "%s", player.describe().c_str());
}
GST_END_TEST

GST_START_TEST(test_faults_garbage) {
  assert_ignores({"", "garbage", "[]", "null", "{\"request\":\"offer", "{\"UUID\":7}",
                  "{\"description\":\"none\"}", "{\"candidates\":{\"a\":[]}}",
                  std::string(1000, '['), "{\"vector\":\"00\",\"description\":\"zz\"}"});
}
GST_END_TEST

GST_START_TEST(test_faults_binary) {
  assert_ignores({std::string("\x00\xff\x80", 3), "{\"request\":\"alert\"}"}, true);
}
GST_END_TEST

GST_START_TEST(test_faults_ten_megabytes) {
  assert_ignores({"{\"request\":\"" + std::string(10 * 1024 * 1024, 'x') + "\"}"});
}
GST_END_TEST

GST_START_TEST(test_faults_wrong_password_is_named_after_a_while) {
  PublisherConfig config = small_picture();
  config.password = "right";
  Loopback loopback(config);
  loopback.publish();
  Player player(loopback.play("password=wrong"), {"sink", "audio"});
  player.play();
  player.expect(
      "a hint at the password",
      [](const Player::State &state) { return !state.warnings.empty(); }, 30s);
  player.expect_warning("password");
  fail_unless_equals_int(loopback.publisher->state().sessions, 0);
  fail_unless(player.state().errors.empty());
}
GST_END_TEST

GST_START_TEST(test_faults_envelope_that_does_not_open_is_told_once) {
  Loopback loopback;
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  loopback.server.await("a request",
                        [](const auto &state) { return state.count("play") > 0; });
  const ClientId id = loopback.server.state().clients.front().id;
  const Secret other("other", "vdo.ninja");
  const std::string sealed = other.encrypt("{\"type\":\"offer\",\"sdp\":\"v=0\"}", Iv{});
  const std::string text = "{\"UUID\":\"peer\",\"session\":\"one\",\"description\":\"" +
                           sealed + "\",\"vector\":\"" + std::string(32, '0') + "\"}";
  for (int i = 0; i < 3; i++)
    loopback.server.send_text(id, text);
  player.expect_warning("cannot be decrypted");
  player.expect_warning("check password");
  loopback.publish();
  player.expect_buffers("sink", 3);
  const auto state = player.state();
  fail_unless(state.warnings.size() == 1 && state.errors.empty(), "%s",
              player.describe().c_str());
}
GST_END_TEST

GST_START_TEST(test_faults_alert_that_the_id_is_in_use_is_final) {
  Loopback loopback;
  Player player(loopback.play());
  player.play();
  loopback.server.await("a request",
                        [](const auto &state) { return state.count("play") > 0; });
  loopback.server.alert(loopback.server.state().clients.front().id,
                        "Stream ID is already in use.");
  player.expect_error("Stream ID is already in use.");
  player.expect("failed",
                [](const Player::State &state) { return state.saw_state("failed"); });
  fail_unless_equals_int(player.state().errors.size(), 1);
  player.stop();
  // And it can be started again.
  loopback.publish();
  player.play();
  player.expect_buffers("sink", 3);
}
GST_END_TEST

GST_START_TEST(test_faults_alert_of_a_full_room_is_not_final) {
  Loopback loopback;
  Player player(loopback.play());
  player.play();
  loopback.server.await("a request",
                        [](const auto &state) { return state.count("play") > 0; });
  loopback.server.alert(loopback.server.state().clients.front().id,
                        "The room is full, try again shortly.");
  player.expect_warning("room is full");
  loopback.publish();
  player.expect_buffers("sink", 3);
  fail_unless(player.state().errors.empty());
}
GST_END_TEST

static Suite *faults_suite() {
  Suite *suite = suite_create("vdoninjasrc-faults");
  TCase *tc = tcase_create("faults");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_faults_server_that_is_down_at_first);
  tcase_add_test(tc, test_faults_server_that_refuses);
  tcase_add_test(tc, test_faults_one_warning_for_one_cause);
  tcase_add_test(tc, test_faults_server_that_closes_at_once);
  tcase_add_test(tc, test_faults_server_that_is_no_websocket_server);
  tcase_add_test(tc, test_faults_certificate_that_nobody_vouches_for);
  tcase_add_test(tc, test_faults_certificate_that_is_not_checked);
  tcase_add_test(tc, test_faults_certificate_in_the_database);
  tcase_add_test(tc, test_faults_garbage);
  tcase_add_test(tc, test_faults_binary);
  tcase_add_test(tc, test_faults_ten_megabytes);
  tcase_add_test(tc, test_faults_wrong_password_is_named_after_a_while);
  tcase_add_test(tc, test_faults_envelope_that_does_not_open_is_told_once);
  tcase_add_test(tc, test_faults_alert_that_the_id_is_in_use_is_final);
  tcase_add_test(tc, test_faults_alert_of_a_full_room_is_not_final);
  return suite;
}

GST_CHECK_MAIN(faults);
