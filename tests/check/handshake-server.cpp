// SPDX-License-Identifier: LGPL-2.1-or-later
#include "handshake-server.h"

#include "certificate.h"
#include "test-client.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using namespace std::chrono_literals;

namespace {

HandshakeServer::Options options(Dialect dialect) {
  HandshakeServer::Options result;
  result.routing.dialect = dialect;
  return result;
}

// A started server.
struct Server : HandshakeServer {
  explicit Server(Options options) : HandshakeServer(std::move(options)) {
    GError *error = nullptr;
    fail_unless(start(&error), "%s", error ? error->message : "");
  }
  explicit Server(Dialect dialect) : Server(options(dialect)) {}

  ClientId client_of(const char *stream) const {
    const State now = state();
    const Client *client = now.find_stream(stream);
    return client ? client->id : 0;
  }
  void await_count(const char *request, unsigned n) const {
    fail_unless(wait(5s, [=](const State &state) { return state.count(request) >= n; }),
                "%u of %u messages `%s`", state().count(request), n, request);
  }
};

void assert_members(const TestClient &client, size_t n,
                    std::initializer_list<StringMember> expected) {
  const std::string text = client.message(n);
  const JsonObjectPtr object = parse_object(text);
  fail_unless(object != nullptr, "message %zu: '%s'", n, text.c_str());
  for (const auto &[name, value] : expected)
    fail_unless(string_member(object.get(), name) == value, "%s of %s", name,
                text.c_str());
}

void assert_opens(const TestClient &client) {
  fail_unless(client.wait_open(), "%s", client.state().error.c_str());
}

} // namespace

GST_START_TEST(test_handshake_server_hosted_play_reaches_publisher) {
  Server server(Dialect::kHosted);
  TestClient publisher(server.url()), viewer(server.url());
  assert_opens(publisher);
  assert_opens(viewer);
  publisher.send(R"({"request":"seed","streamID":"abc"})");
  server.await_count("seed", 1);
  viewer.send(R"({"request":"play","streamID":"abc"})");
  assert_members(publisher, 0, {{"request", "offerSDP"}});

  // The address of a message is replaced by its sender's; the rest stays.
  const std::string viewer_id = publisher.member(0, "UUID");
  publisher.send(R"({"UUID":")" + viewer_id + R"(","session":"s1","unknown":"kept"})");
  assert_members(viewer, 0, {{"session", "s1"}, {"unknown", "kept"}});
  const std::string publisher_id = viewer.member(0, "UUID");
  fail_if(publisher_id == viewer_id || publisher_id.empty());
  viewer.send(R"({"UUID":")" + publisher_id + R"(","iceRestartRequest":true})");
  assert_members(publisher, 1, {{"UUID", viewer_id}});
}
GST_END_TEST

GST_START_TEST(test_handshake_server_hosted_keeps_play_until_seed) {
  Server server(Dialect::kHosted);
  TestClient viewer(server.url());
  assert_opens(viewer);
  viewer.send(R"({"request":"play","streamID":"late"})");
  server.await_count("play", 1);
  TestClient publisher(server.url());
  assert_opens(publisher);
  publisher.send(R"({"request":"seed","streamID":"late"})");
  assert_members(publisher, 0, {{"request", "offerSDP"}});
}
GST_END_TEST

GST_START_TEST(test_handshake_server_hosted_second_seed_is_refused) {
  Server server(Dialect::kHosted);
  TestClient first(server.url()), second(server.url());
  assert_opens(first);
  assert_opens(second);
  first.send(R"({"request":"seed","streamID":"mine"})");
  server.await_count("seed", 1);
  second.send(R"({"request":"seed","streamID":"mine"})");
  assert_members(second, 0,
                 {{"request", "alert"}, {"message", "Stream ID is already in use."}});
}
GST_END_TEST

GST_START_TEST(test_handshake_server_hosted_room) {
  Server server(Dialect::kHosted);
  TestClient publisher(server.url()), viewer(server.url()), late(server.url());
  assert_opens(publisher);
  assert_opens(viewer);
  assert_opens(late);
  publisher.send(R"({"request":"joinroom","roomid":"r"})");
  assert_members(publisher, 0, {{"request", "listing"}});
  publisher.send(R"({"request":"seed","streamID":"one"})");
  server.await_count("seed", 1);

  viewer.send(R"({"request":"joinroom","roomid":"r"})");
  fail_unless(viewer.message(0).find(R"("streamID":"one")") != std::string::npos);
  assert_members(publisher, 1, {{"request", "someonejoined"}});

  late.send(R"({"request":"joinroom","roomid":"r"})");
  assert_members(viewer, 1, {{"request", "someonejoined"}});
  late.send(R"({"request":"seed","streamID":"two"})");
  assert_members(viewer, 2, {{"request", "videoaddedtoroom"}, {"streamID", "two"}});
}
GST_END_TEST

GST_START_TEST(test_handshake_server_hosted_director_moves_a_guest) {
  Server server(Dialect::kHosted);
  TestClient director(server.url()), guest(server.url());
  assert_opens(director);
  assert_opens(guest);
  director.send(R"({"request":"joinroom","roomid":"r","claim":true})");
  fail_if(director.member(0, "director").empty());
  guest.send(R"({"request":"joinroom","roomid":"r","claim":true})");
  assert_members(guest, 0, {{"request", "alert"}});
  assert_members(guest, 1, {{"request", "listing"}});
  director.send(R"({"request":"migrate","roomid":"elsewhere","target":")" +
                director.member(1, "UUID") + R"("})");
  assert_members(guest, 2, {{"request", "transferred"}});
}
GST_END_TEST

GST_START_TEST(test_handshake_server_hosted_cleanup_on_request) {
  auto with_cleanup = options(Dialect::kHosted);
  with_cleanup.routing.cleanup = true;
  Server server(with_cleanup);
  TestClient viewer(server.url());
  assert_opens(viewer);
  std::string publisher_id;
  {
    TestClient publisher(server.url());
    assert_opens(publisher);
    publisher.send(R"({"request":"seed","streamID":"abc"})");
    viewer.send(R"({"request":"play","streamID":"abc"})");
    publisher.send(R"({"UUID":")" + publisher.member(0, "UUID") + R"("})");
    publisher_id = viewer.member(0, "UUID");
  }
  assert_members(viewer, 1, {{"request", "cleanup"}, {"UUID", publisher_id}});
}
GST_END_TEST

GST_START_TEST(test_handshake_server_custom_forwards_within_rooms) {
  Server server(Dialect::kCustom);
  TestClient a(server.url()), b(server.url()), c(server.url());
  assert_opens(a);
  assert_opens(b);
  assert_opens(c);
  a.send(R"({"request":"seed","streamID":"s"})"); // without `from`: swallowed
  b.send(R"({"request":"joinroom","roomid":"r","from":"B"})");
  server.await_count("joinroom", 1);
  c.send(R"({"request":"joinroom","roomid":"r","from":"C"})");
  assert_members(b, 0, {{"request", "joinroom"}, {"from", "C"}});
  c.send(R"({"UUID":"B","session":"x","from":"C","roomid":"r"})");
  assert_members(b, 1, {{"session", "x"}, {"UUID", "B"}});
  fail_unless_equals_int(a.state().messages.size(), 0);
}
GST_END_TEST

GST_START_TEST(test_handshake_server_custom_play_needs_exact_stream) {
  Server server(Dialect::kCustom);
  TestClient publisher(server.url()), viewer(server.url()), rival(server.url());
  assert_opens(publisher);
  assert_opens(viewer);
  assert_opens(rival);
  publisher.send(R"({"request":"seed","streamID":"s","from":"P"})");
  assert_members(viewer, 0, {{"request", "seed"}, {"from", "P"}});
  viewer.send(R"({"request":"play","streamID":"other","from":"V"})");
  viewer.send(R"({"request":"play","streamID":"s","from":"V"})");
  assert_members(publisher, 0, {{"request", "play"}, {"streamID", "s"}, {"from", "V"}});

  publisher.send(R"({"request":"seed","streamID":"t","from":"P"})");
  assert_members(publisher, 1, {{"error", "can't change sid"}});
  rival.send(R"({"request":"seed","streamID":"s","from":"P"})");
  assert_members(rival, 1, {{"error", "uuid already in use"}});
  rival.send(R"({"request":"seed","streamID":"s","from":"R"})");
  assert_members(rival, 2, {{"error", "sid already in use"}});
}
GST_END_TEST

GST_START_TEST(test_handshake_server_custom_fan_out_tells_everybody) {
  auto fan_out = options(Dialect::kCustom);
  fan_out.routing.fan_out = true;
  Server server(fan_out);
  TestClient a(server.url()), b(server.url());
  assert_opens(a);
  assert_opens(b);
  a.send(R"({"request":"play","streamID":"nobody's","UUID":"nobody"})");
  assert_members(b, 0, {{"request", "play"}, {"UUID", "nobody"}});
}
GST_END_TEST

GST_START_TEST(test_handshake_server_tls) {
  const SelfSigned self = make_self_signed(nullptr);
  fail_unless(self.certificate);
  auto with_tls = options(Dialect::kHosted);
  with_tls.certificate = self.certificate;
  Server server(with_tls);
  fail_unless(server.url().rfind("wss://", 0) == 0);
  TestClient strict(server.url());
  fail_unless(
      strict.wait([](const TestClient::State &state) { return state.lost == 1; }));
  SignalingConfig trusting;
  trusting.url = server.url();
  trusting.tls_flags = GTlsCertificateFlags(0);
  TestClient lax(trusting);
  assert_opens(lax);
}
GST_END_TEST

GST_START_TEST(test_handshake_server_door_refuses) {
  Server server(Dialect::kHosted);
  for (const auto kind : {Door::Kind::kRefuse, Door::Kind::kCloseAtOnce}) {
    server.set_door({kind, 503});
    TestClient client(server.url());
    fail_unless(
        client.wait([](const TestClient::State &state) { return state.lost == 1; }));
  }
  server.set_door({});
  TestClient client(server.url());
  assert_opens(client);
  fail_unless_equals_int(server.state().attempts, 3);
}
GST_END_TEST

GST_START_TEST(test_handshake_server_door_silent_and_deaf) {
  Server server(Dialect::kHosted);
  server.set_door({Door::Kind::kSilent});
  TestClient waiting(server.url());
  fail_unless(server.wait(5s, [](const auto &state) { return state.attempts == 1; }));
  fail_if(waiting.state().open);

  server.set_door({Door::Kind::kDeaf});
  TestClient unheard(server.url());
  assert_opens(unheard);
  unheard.send(R"({"request":"joinroom","roomid":"r"})");
  server.await_count("joinroom", 1);
  server.set_door({});
  unheard.send(R"({"request":"joinroom","roomid":"r"})");
  assert_members(unheard, 0, {{"request", "listing"}});
  fail_unless_equals_int(server.state().sent, 1);
}
GST_END_TEST

GST_START_TEST(test_handshake_server_hook_rewrites_drops_and_delays) {
  Server server(Dialect::kHosted);
  TestClient publisher(server.url()), viewer(server.url());
  assert_opens(publisher);
  assert_opens(viewer);
  publisher.send(R"({"request":"seed","streamID":"abc"})");
  server.await_count("seed", 1);
  server.set_hook([plays = 0](Passing &passing) mutable {
    plays++;
    passing.drop = plays == 1;
    passing.delay_ms = plays == 2 ? 30 : 0;
    passing.text = plays == 3 ? R"({"request":"rewritten"})" : passing.text;
  });
  for (int i = 0; i < 3; i++)
    viewer.send(R"({"request":"play","streamID":"abc"})");
  assert_members(publisher, 0, {{"request", "rewritten"}});
  assert_members(publisher, 1, {{"request", "offerSDP"}});
  fail_unless_equals_int(publisher.state().messages.size(), 2);
}
GST_END_TEST

GST_START_TEST(test_handshake_server_kick_and_alert) {
  Server server(Dialect::kHosted);
  for (const bool abruptly : {false, true}) {
    TestClient client(server.url());
    assert_opens(client);
    client.send(R"({"request":"seed","streamID":"abc"})");
    server.await_count("seed", abruptly ? 2 : 1);
    const ClientId id = server.client_of("abc");
    server.alert(id, "hello");
    assert_members(client, 0, {{"request", "alert"}, {"message", "hello"}});
    server.send_text(id, std::string(200 * 1024, 'x'));
    fail_unless_equals_int(client.message(1).size(), 200 * 1024);
    server.kick(id, abruptly);
    fail_unless(
        client.wait([](const TestClient::State &state) { return state.lost == 1; }));
    fail_unless(server.wait(5s, [](const auto &state) { return state.clients.empty(); }));
  }
}
GST_END_TEST

GST_START_TEST(test_handshake_server_comes_back_on_its_port) {
  Server server(Dialect::kHosted);
  const std::string url = server.url();
  TestClient client(url);
  assert_opens(client);
  server.stop();
  fail_unless(
      client.wait([](const TestClient::State &state) { return state.lost == 1; }));
  client.reopen();
  fail_unless(
      client.wait([](const TestClient::State &state) { return state.lost == 2; }));
  fail_unless(server.start(nullptr));
  fail_unless(server.url() == url);
  client.reopen();
  assert_opens(client);
}
GST_END_TEST

static Suite *handshake_server_suite() {
  Suite *suite = suite_create("handshake-server");
  TCase *tcase = tcase_create("general");
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, test_handshake_server_hosted_play_reaches_publisher);
  tcase_add_test(tcase, test_handshake_server_hosted_keeps_play_until_seed);
  tcase_add_test(tcase, test_handshake_server_hosted_second_seed_is_refused);
  tcase_add_test(tcase, test_handshake_server_hosted_room);
  tcase_add_test(tcase, test_handshake_server_hosted_director_moves_a_guest);
  tcase_add_test(tcase, test_handshake_server_hosted_cleanup_on_request);
  tcase_add_test(tcase, test_handshake_server_custom_forwards_within_rooms);
  tcase_add_test(tcase, test_handshake_server_custom_play_needs_exact_stream);
  tcase_add_test(tcase, test_handshake_server_custom_fan_out_tells_everybody);
  tcase_add_test(tcase, test_handshake_server_tls);
  tcase_add_test(tcase, test_handshake_server_door_refuses);
  tcase_add_test(tcase, test_handshake_server_door_silent_and_deaf);
  tcase_add_test(tcase, test_handshake_server_hook_rewrites_drops_and_delays);
  tcase_add_test(tcase, test_handshake_server_kick_and_alert);
  tcase_add_test(tcase, test_handshake_server_comes_back_on_its_port);
  return suite;
}

GST_CHECK_MAIN(handshake_server);
