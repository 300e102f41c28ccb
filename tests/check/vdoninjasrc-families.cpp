// SPDX-License-Identifier: LGPL-2.1-or-later
// On a machine that has addresses of one family only, but for loopback.
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <sched.h>

#include "coturn.h"
#include "loopback.h"

using namespace vdn;

namespace {

constexpr const char *kV4 = "10.78.0.1", *kV6 = "fd78::1";

// This process moves into a network that has `address` and loopback. False, and says so,
// where it may not.
bool has_only(const char *address) {
  if (unshare(CLONE_NEWNET) != 0) {
    g_print("skipped: no network of its own: %s\n", g_strerror(errno));
    return false;
  }
  const std::string commands =
      std::string("ip link set lo up && ip link add vdn0 type veth peer name vdn1 && "
                  "ip addr add dev vdn0 ") +
      address + (strchr(address, ':') ? "/64 nodad" : "/24") +
      " && ip link set vdn0 up && ip link set vdn1 up";
  if (system(commands.c_str()) == 0)
    return true;
  g_print("skipped: no address %s here\n", address);
  return false;
}

// Server and publisher on `address`, and a player with `properties`.
struct FamilyShow {
  explicit FamilyShow(const std::string &address, const std::string &properties = "",
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

// By relays alone; what libnice starts from is not loopback, where the tunnel listens.
static void assert_relays(const char *address) {
  for (const auto over : {Coturn::Over::kUdp, Coturn::Over::kTcp, Coturn::Over::kTls}) {
    const Coturn coturn(over, {std::string("IP:") + address, false}, address);
    FamilyShow(address,
               "ice-transport-policy=relay turn-servers=<\\\"" + coturn.uri() + "\\\">",
               coturn.authority())
        .assert_plays();
  }
}

GST_START_TEST(test_families_ipv6_alone) {
  if (has_only(kV6))
    FamilyShow(kV6).assert_plays();
}
GST_END_TEST

GST_START_TEST(test_families_ipv6_loopback) {
  if (has_only(kV6))
    FamilyShow("::1").assert_plays();
}
GST_END_TEST

GST_START_TEST(test_families_ipv6_relays) {
  if (Coturn::is_installed() && has_only(kV6))
    assert_relays(kV6);
}
GST_END_TEST

GST_START_TEST(test_families_ipv4_relays) {
  if (Coturn::is_installed() && has_only(kV4))
    assert_relays(kV4);
}
GST_END_TEST

static Suite *families_suite() {
  Suite *suite = suite_create("vdoninjasrc-families");
  TCase *tc = tcase_create("families");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_families_ipv6_alone);
  tcase_add_test(tc, test_families_ipv6_loopback);
  tcase_add_test(tc, test_families_ipv6_relays);
  tcase_add_test(tc, test_families_ipv4_relays);
  return suite;
}

GST_CHECK_MAIN(families);
