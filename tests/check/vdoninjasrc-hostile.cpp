// SPDX-License-Identifier: LGPL-2.1-or-later
// Publishers that err or lie: no crash, no media of theirs, and a good one plays after.
#include "bends.h"
#include "loopback.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

// A publisher whose offers go through `spoil`: a warning with `part`, no buffer.
void assert_refused(const char *part, const std::function<void(std::string &)> &spoil) {
  Loopback loopback;
  PublisherHooks hooks;
  hooks.offer = spoil;
  loopback.publisher->set_hooks(hooks);
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  player.expect_warning(part);
  const auto state = player.state();
  fail_unless(state.errors.empty(), "%s", player.describe().c_str());
  fail_unless_equals_int(state.buffers("sink") + state.buffers("audio"), 0);
  // The publisher mends its ways, as another process of the same id.
  loopback.publisher->kill();
  loopback.publisher->set_hooks({});
  fail_unless(loopback.publisher->restart(false, nullptr));
  player.expect_buffers("sink", 3);
}

ClientId publisher_client(const Loopback &loopback) {
  for (const auto &client : loopback.server.state().clients)
    if (!client.stream.empty())
      return client.id;
  return 0;
}

// A viewer on `server` that asked for cam; its connection.
ClientId await_viewer(const Loopback &loopback) {
  loopback.server.await("a request",
                        [](const auto &state) { return state.count("play") > 0; });
  for (const auto &record : loopback.server.state().records)
    if (record.request == "play")
      return record.client;
  return 0;
}

} // namespace

GST_START_TEST(test_hostile_offer_without_mid) {
  assert_refused("unusable",
                 [](std::string &sdp) { replace_all(&sdp, "a=mid:", "a=x-mid:"); });
}
GST_END_TEST

GST_START_TEST(test_hostile_offer_with_two_fingerprints) {
  assert_refused("unusable", [](std::string &sdp) {
    const size_t at = sdp.rfind("a=fingerprint:sha-256 ");
    const std::string forged = "a=fingerprint:sha-256 00" + sdp.substr(at + 24, 93);
    sdp.replace(at, 117, forged);
  });
}
GST_END_TEST

// Consistent, but not of the certificate that the handshake shows.
GST_START_TEST(test_hostile_forged_fingerprint_delivers_nothing) {
  assert_refused("certificate is not the one", [](std::string &sdp) {
    const std::string name = "a=fingerprint:sha-256 ";
    for (size_t at = sdp.find(name); at != std::string::npos; at = sdp.find(name, at + 1))
      sdp.replace(at + name.size(), 2, "00");
  });
}
GST_END_TEST

GST_START_TEST(test_hostile_sdp_of_a_megabyte) {
  Loopback loopback;
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  const ClientId viewer = await_viewer(loopback);
  loopback.server.send_text(viewer, "{\"UUID\":\"peer\",\"session\":\"one\",\"streamID\":"
                                    "\"cam\",\"description\":{\"type\":\"offer\","
                                    "\"sdp\":\"v=0\\r\\n" +
                                        std::string(1024 * 1024, 'a') + "\"}}");
  // Closed for its size, the socket comes back.
  loopback.publish();
  player.expect_buffers("sink", 3);
  fail_unless(player.state().errors.empty());
}
GST_END_TEST

GST_START_TEST(test_hostile_offer_in_clear_though_a_password_is_set) {
  PublisherConfig config = small_picture();
  config.password = "secret";
  config.encrypt = false;
  Loopback loopback(config);
  loopback.publish();
  Player player(loopback.play("password=secret"), {"sink", "audio"});
  player.play();
  player.expect_warning("not encrypted although a password is set");
  const auto state = player.state();
  fail_unless(state.errors.empty());
  fail_unless_equals_int(state.buffers("sink") + state.buffers("audio"), 0);
  for (const auto &message : loopback.from_viewers())
    fail_if(message.description.has_value(), "it was answered");
}
GST_END_TEST

// Candidates that are none, before and after good ones.
GST_START_TEST(test_hostile_candidate_garbage) {
  PublisherConfig config = small_picture();
  config.password = "false"; // in clear, for the hook to write into
  Loopback loopback(config);
  PublisherHooks hooks;
  hooks.message = [](std::string &text) {
    const size_t at = text.find("\"candidates\":[");
    if (at != std::string::npos)
      text.insert(at + 14,
                  "{},7,null,\"\",{\"candidate\":7},{\"candidate\":\"\",\"sdpMid\":0},"
                  "{\"candidate\":\"candidate:\",\"sdpMLineIndex\":-5},"
                  "{\"candidate\":\"candidate:1 1 UDP x 300.1.2.3 99999 typ "
                  "host\",\"sdpMLineIndex\":99,\"sdpMid\":\"none\"},");
    return true;
  };
  loopback.publisher->set_hooks(hooks);
  loopback.publish();
  Player player(loopback.play("password=false"), {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 3);
  fail_unless(player.state().errors.empty());
}
GST_END_TEST

GST_START_TEST(test_hostile_ten_thousand_candidates) {
  PublisherConfig config = small_picture();
  config.password = "false";
  Loopback loopback(config);
  loopback.publish();
  Player player(loopback.play("password=false"), {"sink", "audio"});
  player.play();
  player.expect_buffers("sink", 3);
  const ClientId viewer = await_viewer(loopback);
  std::string peer, session;
  for (const auto &client : loopback.server.state().clients)
    if (client.id == publisher_client(loopback))
      peer = client.peer;
  session = loopback.publisher->state().viewers.at(0).session;
  for (int message = 0; message < 100; message++) {
    std::string text = "{\"UUID\":\"" + peer + "\",\"session\":\"" + session +
                       "\",\"type\":\"local\",\"candidates\":[";
    for (int i = 0; i < 100; i++)
      text += std::string(i ? "," : "") +
              "{\"candidate\":\"candidate:" + std::to_string(message * 100 + i) +
              " 1 UDP 2015364095 127.0.0.1 " + std::to_string(1024 + i) +
              " typ host\",\"sdpMid\":\"video0\",\"sdpMLineIndex\":0}";
    loopback.server.send_text(viewer, text + "]}");
  }
  player.expect_buffers("sink", 20);
  fail_unless(player.state().errors.empty());
}
GST_END_TEST

// Takes the request and is silent: the element waits, says so, and stops at once.
GST_START_TEST(test_hostile_publisher_that_never_offers) {
  Loopback loopback;
  PublisherHooks hooks;
  hooks.message = [](std::string &text) {
    return text.find("\"description\"") == std::string::npos;
  };
  loopback.publisher->set_hooks(hooks);
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  loopback.await("a session", [](const auto &state) { return state.sessions > 0; });
  player.expect(
      "a warning", [](const Player::State &state) { return !state.warnings.empty(); },
      30s);
  player.expect_warning("has answered");
  player.stop();
}
GST_END_TEST

static Suite *hostile_suite() {
  Suite *suite = suite_create("vdoninjasrc-hostile");
  TCase *tc = tcase_create("hostile");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_hostile_offer_without_mid);
  tcase_add_test(tc, test_hostile_offer_with_two_fingerprints);
  tcase_add_test(tc, test_hostile_forged_fingerprint_delivers_nothing);
  tcase_add_test(tc, test_hostile_sdp_of_a_megabyte);
  tcase_add_test(tc, test_hostile_offer_in_clear_though_a_password_is_set);
  tcase_add_test(tc, test_hostile_candidate_garbage);
  tcase_add_test(tc, test_hostile_ten_thousand_candidates);
  tcase_add_test(tc, test_hostile_publisher_that_never_offers);
  return suite;
}

GST_CHECK_MAIN(hostile);
