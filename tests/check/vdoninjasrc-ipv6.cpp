// SPDX-License-Identifier: LGPL-2.1-or-later
// On a machine that has no address of IPv4 but 127.0.0.1.
#include <cerrno>
#include <cstdlib>

#include <sched.h>

#include "coturn.h"
#include "loopback.h"

using namespace vdn;

namespace {

constexpr const char *kAddress = "fd77::1";

// This process moves into such a network. False, and says so, where it may not.
bool is_ipv6_only() {
  if (unshare(CLONE_NEWNET) != 0) {
    g_print("skipped: no network of its own: %s\n", g_strerror(errno));
    return false;
  }
  const std::string commands =
      std::string("ip link set lo up && ip link add vdn0 type veth peer name vdn1 && "
                  "ip addr add ") +
      kAddress + "/64 dev vdn0 nodad && ip link set vdn0 up && ip link set vdn1 up";
  if (system(commands.c_str()) == 0)
    return true;
  g_print("skipped: no IPv6 here\n");
  return false;
}

// Server and publisher on `address`, and a player with `properties`.
struct V6Show {
  explicit V6Show(const std::string &address, const std::string &properties = "",
                  const ObjPtr<GTlsDatabase> &authority = {})
      : server(options(address)) {
    GError *raw = nullptr;
    fail_unless(server.start(&raw), "%s", raw ? raw->message : "");
    PublisherConfig config = video_only();
    config.server = server.url();
    config.local_addresses = {address};
    publisher = std::make_unique<Publisher>(config);
    fail_unless(publisher->start(nullptr));
    fail_unless(server.wait(kLoopbackLimit,
                            [](const auto &state) { return state.count("seed") > 0; }));
    player = std::make_unique<Player>("vdoninjasrc name=src stream-id=cam "
                                      "signaling=hosted server=" +
                                      server.url() + " " + properties + video_sink());
    g_object_set(player->source(), "tls-database", authority.get(), nullptr);
    player->play();
  }
  static HandshakeServer::Options options(const std::string &address) {
    HandshakeServer::Options result;
    result.address = address;
    return result;
  }
  void assert_plays() const {
    player->expect_buffers("sink", 20);
    const auto state = player->state();
    fail_unless(state.warnings.empty() && state.errors.empty(), "%s",
                player->describe().c_str());
  }

  HandshakeServer server;
  std::unique_ptr<Publisher> publisher;
  std::unique_ptr<Player> player;
};

} // namespace

GST_START_TEST(test_ipv6_address_of_this_machine) {
  if (is_ipv6_only())
    V6Show(kAddress).assert_plays();
}
GST_END_TEST

GST_START_TEST(test_ipv6_loopback) {
  if (is_ipv6_only())
    V6Show("::1").assert_plays();
}
GST_END_TEST

// The tunnel listens on IPv4 as well, where libnice has no address to start from.
GST_START_TEST(test_ipv6_relays) {
  if (!Coturn::is_installed() || !is_ipv6_only())
    return;
  for (const auto over : {Coturn::Over::kUdp, Coturn::Over::kTcp, Coturn::Over::kTls}) {
    const Coturn coturn(over, {std::string("IP:") + kAddress, false}, kAddress);
    V6Show(kAddress,
           "ice-transport-policy=relay turn-servers=<\\\"" + coturn.uri() + "\\\">",
           coturn.authority())
        .assert_plays();
  }
}
GST_END_TEST

static Suite *ipv6_suite() {
  Suite *suite = suite_create("vdoninjasrc-ipv6");
  TCase *tc = tcase_create("ipv6");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_ipv6_address_of_this_machine);
  tcase_add_test(tc, test_ipv6_loopback);
  tcase_add_test(tc, test_ipv6_relays);
  return suite;
}

GST_CHECK_MAIN(ipv6);
