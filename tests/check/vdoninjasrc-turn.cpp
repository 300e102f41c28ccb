// SPDX-License-Identifier: LGPL-2.1-or-later
// By relays alone.
#include "coturn.h"
#include "loopback.h"

using namespace vdn;

namespace {

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
  // It plays, and there is nothing to complain about.
  void assert_plays() const {
    player.expect_buffers("sink", 20);
    fail_unless(player.state().warnings.empty(), "%s", player.describe().c_str());
  }
  Player player;
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

static Suite *turn_suite() {
  Suite *suite = suite_create("vdoninjasrc-turn");
  TCase *tc = tcase_create("turn");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_turn_over_udp);
  tcase_add_test(tc, test_turn_over_tcp);
  return suite;
}

GST_CHECK_MAIN(turn);
