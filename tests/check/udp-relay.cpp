// SPDX-License-Identifier: LGPL-2.1-or-later
#include "udp-relay.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "glib-ptr.h"
#include "json-text.h"
#include "relayed.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;
using namespace std::chrono_literals;

namespace {

constexpr unsigned kSeed = 7;
constexpr auto kLimit = 10s;

// A socket on 127.0.0.1 that sends numbers and says in which order they came.
class Peer {
public:
  Peer() {
    socket_ = ObjPtr<GSocket>::adopt(g_socket_new(
        G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_UDP, nullptr));
    const auto any = address(0);
    fail_unless(g_socket_bind(socket_.get(), any.get(), FALSE, nullptr));
    g_socket_set_timeout(socket_.get(), 10);
  }

  guint16 port() const {
    return port_of(g_socket_get_local_address(socket_.get(), nullptr));
  }
  void send(guint16 to, unsigned number) const {
    const auto where = address(to);
    fail_unless(g_socket_send_to(socket_.get(), where.get(),
                                 reinterpret_cast<const char *>(&number), sizeof number,
                                 nullptr, nullptr) == sizeof number);
  }
  // Waits for one; `from` tells the port it came from.
  unsigned receive(guint16 *from = nullptr) const {
    unsigned number = 0;
    GSocketAddress *sender = nullptr;
    fail_unless(g_socket_receive_from(socket_.get(), &sender,
                                      reinterpret_cast<char *>(&number), sizeof number,
                                      nullptr, nullptr) == sizeof number);
    const guint16 port = port_of(sender);
    if (from)
      *from = port;
    return number;
  }

private:
  static ObjPtr<GSocketAddress> address(guint16 port) {
    return ObjPtr<GSocketAddress>::adopt(
        g_inet_socket_address_new_from_string("127.0.0.1", port));
  }
  static guint16 port_of(GSocketAddress *given) {
    const auto address = ObjPtr<GSocketAddress>::adopt(given);
    return g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(address.get()));
  }

  ObjPtr<GSocket> socket_;
};

struct Pair {
  explicit Pair(unsigned seed = kSeed)
      : relay(seed), to_viewer(relay.join("path", End::kViewer, viewer.port())),
        to_publisher(relay.join("path", End::kPublisher, publisher.port())) {
    fail_unless(to_viewer != 0 && to_publisher != 0);
  }
  void await(End end, unsigned total) const {
    fail_unless(relay.wait(kLimit,
                           [&](const UdpRelay::State &state) {
                             const auto &counts = state.towards(end);
                             return counts.passed + counts.lost >= total;
                           }),
                "%u packets were not dealt with", total);
  }
  // Appends what the viewer was sent beyond that.
  void drain(std::vector<unsigned> *numbers) const {
    while (numbers->size() < relay.state().towards(End::kViewer).passed)
      numbers->push_back(viewer.receive());
  }

  UdpRelay relay;
  Peer viewer, publisher;
  guint16 to_viewer, to_publisher;
};

// Sends `count` packets under `conditions`, and returns those that arrived.
std::vector<unsigned> sent_through(const PathConditions &conditions, unsigned count,
                                   unsigned seed = kSeed) {
  Pair pair(seed);
  pair.relay.set(End::kViewer, conditions);
  std::vector<unsigned> numbers;
  for (unsigned i = 0; i < count; i++) {
    pair.publisher.send(pair.to_viewer, i);
    // A few at a time: no more than a socket holds.
    if (i % 50 < 49 && i + 1 < count)
      continue;
    pair.await(End::kViewer, i + 1);
    pair.drain(&numbers);
  }
  return numbers;
}

bool in_order(const std::vector<unsigned> &numbers) {
  return std::is_sorted(numbers.begin(), numbers.end());
}

std::string with_candidates(const char *type, const std::string &candidate) {
  return std::string("{\"UUID\":\"u\",\"session\":\"s\",\"type\":\"") + type +
         "\",\"candidates\":[{\"candidate\":\"" + candidate +
         "\",\"sdpMid\":\"video0\",\"sdpMLineIndex\":0}]}";
}

} // namespace

GST_START_TEST(test_relay_passes_both_ways_and_shows_one_address) {
  Pair pair;
  guint16 from = 0;
  pair.publisher.send(pair.to_viewer, 1);
  fail_unless_equals_int(pair.viewer.receive(&from), 1);
  fail_unless_equals_int(from, pair.to_publisher);
  pair.viewer.send(from, 2);
  fail_unless_equals_int(pair.publisher.receive(&from), 2);
  fail_unless_equals_int(from, pair.to_viewer);
  fail_unless_equals_int(pair.relay.join("path", End::kViewer, 1), 0);
}
GST_END_TEST

GST_START_TEST(test_relay_drops_strangers) {
  Pair pair;
  Peer stranger;
  stranger.send(pair.to_viewer, 1);
  fail_unless(
      pair.relay.wait(kLimit, [](const auto &state) { return state.strangers == 1; }));
  fail_unless_equals_int(pair.relay.state().towards(End::kViewer).passed, 0);
}
GST_END_TEST

GST_START_TEST(test_relay_hears_an_end_that_was_not_named_yet) {
  UdpRelay relay(kSeed);
  const Peer viewer, publisher;
  const guint16 shown = relay.join("path", End::kPublisher, publisher.port());
  viewer.send(shown, 1);
  guint16 from = 0;
  fail_unless_equals_int(publisher.receive(&from), 1);
  publisher.send(from, 2);
  fail_unless_equals_int(viewer.receive(), 2);
}
GST_END_TEST

GST_START_TEST(test_relay_loses_the_share_asked_for) {
  for (const double loss : {0.05, 0.2, 0.5}) {
    PathConditions conditions;
    conditions.loss = loss;
    const auto numbers = sent_through(conditions, 2000);
    const double lost = 1 - numbers.size() / 2000.0;
    fail_unless(std::abs(lost - loss) < 0.04, "lost %g instead of %g", lost, loss);
    fail_unless(in_order(numbers));
    // By chance, and by the same chance for the same seed.
    fail_unless(numbers == sent_through(conditions, 2000));
    fail_unless(numbers != sent_through(conditions, 2000, kSeed + 1));
  }
}
GST_END_TEST

GST_START_TEST(test_relay_delays) {
  Pair pair;
  PathConditions conditions;
  conditions.delay_ms = 100;
  pair.relay.set(End::kViewer, conditions);
  const gint64 from = g_get_monotonic_time();
  for (unsigned i = 0; i < 20; i++)
    pair.publisher.send(pair.to_viewer, i);
  pair.await(End::kViewer, 20);
  const gint64 took = (g_get_monotonic_time() - from) / 1000;
  fail_unless(took >= 100, "took %" G_GINT64_FORMAT " ms", took);
  std::vector<unsigned> numbers;
  pair.drain(&numbers);
  fail_unless(in_order(numbers));
  // The other direction is as it was.
  pair.viewer.send(pair.to_publisher, 1);
  fail_unless_equals_int(pair.publisher.receive(), 1);
}
GST_END_TEST

// Never early, and on time where the machine is: it tells how much it was late.
GST_START_TEST(test_relay_keeps_time) {
  Pair pair;
  PathConditions conditions;
  conditions.delay_ms = 3;
  pair.relay.set(conditions);
  std::vector<gint64> took;
  for (unsigned i = 0; i < 200; i++) {
    const gint64 sent = g_get_monotonic_time();
    pair.publisher.send(pair.to_viewer, i);
    fail_unless_equals_int(pair.viewer.receive(), i);
    took.push_back(g_get_monotonic_time() - sent);
  }
  std::sort(took.begin(), took.end());
  g_print("3 ms took %d us in the middle, %d at most; the relay was late by %d\n",
          int(took[100]), int(took.back()), int(pair.relay.state().late_us));
  fail_unless(took.front() >= 3000);
}
GST_END_TEST

// 20 packets at 8 ms each, in each direction as it is asked for.
GST_START_TEST(test_relay_carries_no_more_than_the_line) {
  Pair pair;
  Line line;
  fail_unless(find_line("rate=32 queue=10000|rate=32 queue=60", &line));
  pair.relay.set(line);
  const gint64 from = g_get_monotonic_time();
  for (unsigned i = 0; i < 20; i++) {
    pair.publisher.send(pair.to_viewer, i);
    pair.viewer.send(pair.to_publisher, i);
  }
  pair.await(End::kViewer, 20);
  pair.await(End::kPublisher, 20);
  const gint64 took = (g_get_monotonic_time() - from) / 1000;
  fail_unless(took >= 160, "took %d ms", int(took));
  const auto state = pair.relay.state();
  fail_unless_equals_int(state.towards(End::kViewer).passed, 20);
  const auto &back = state.towards(End::kPublisher);
  // 8 find room at once, and one more each 8 ms that it took us to send them.
  fail_unless(back.passed >= 8 && back.passed + back.lost == 20);
  fail_unless_equals_int(back.lost, back.overflowed);
  std::vector<unsigned> numbers;
  pair.drain(&numbers);
  fail_unless(in_order(numbers));
}
GST_END_TEST

// Who looks on sees each packet and what becomes of it.
GST_START_TEST(test_relay_shows_what_it_loses) {
  Pair pair;
  Line line;
  fail_unless(find_line("loss=0.3 burst=4|", &line));
  pair.relay.set(line);
  std::vector<unsigned> passed; // on the relay's thread, and here once it is done
  pair.relay.set_tap([&](End to, BadLine::Fate fate, const std::string &packet) {
    unsigned number = 0;
    g_assert(to == End::kViewer && packet.size() == sizeof number);
    packet.copy(reinterpret_cast<char *>(&number), sizeof number);
    if (fate == BadLine::Fate::kPassed)
      passed.push_back(number);
  });
  for (unsigned i = 0; i < 50; i++)
    pair.publisher.send(pair.to_viewer, i);
  pair.await(End::kViewer, 50);
  pair.relay.set_tap({});
  std::vector<unsigned> numbers;
  pair.drain(&numbers);
  fail_unless(numbers == passed && numbers.size() < 50);
}
GST_END_TEST

GST_START_TEST(test_relay_jitter_keeps_order_where_it_shall) {
  PathConditions conditions;
  conditions.jitter_ms = 50;
  conditions.overtaking = false;
  const auto numbers = sent_through(conditions, 200);
  fail_unless_equals_int(numbers.size(), 200);
  fail_unless(in_order(numbers));
}
GST_END_TEST

GST_START_TEST(test_relay_jitter_and_reordering_let_packets_overtake) {
  PathConditions jitter;
  jitter.jitter_ms = 50;
  PathConditions reorder;
  reorder.reorder = 0.2;
  for (const PathConditions &conditions : {jitter, reorder}) {
    auto numbers = sent_through(conditions, 200);
    fail_if(in_order(numbers));
    std::sort(numbers.begin(), numbers.end());
    std::vector<unsigned> all(200);
    std::iota(all.begin(), all.end(), 0);
    fail_unless(numbers == all, "%zu of 200 arrived", numbers.size());
  }
}
GST_END_TEST

GST_START_TEST(test_relay_blackout_ends_by_itself) {
  Pair pair;
  pair.relay.black_out(200);
  pair.publisher.send(pair.to_viewer, 1);
  pair.viewer.send(pair.to_publisher, 1);
  pair.await(End::kViewer, 1);
  pair.await(End::kPublisher, 1);
  fail_unless_equals_int(pair.relay.state().returned_us, 0);
  fail_unless(
      pair.relay.wait(kLimit, [](const auto &state) { return state.returned_us > 0; }));
  fail_unless_equals_int(pair.relay.state().towards(End::kViewer).passed, 0);
  fail_unless_equals_int(pair.relay.state().towards(End::kPublisher).passed, 0);
  pair.publisher.send(pair.to_viewer, 2);
  fail_unless_equals_int(pair.viewer.receive(), 2);
}
GST_END_TEST

GST_START_TEST(test_relay_rebinds) {
  Pair pair;
  pair.relay.rebind(End::kViewer);
  guint16 from = 0;
  pair.publisher.send(pair.to_viewer, 1);
  fail_unless_equals_int(pair.viewer.receive(&from), 1);
  fail_unless(from != pair.to_publisher);
  pair.viewer.send(from, 2);
  fail_unless_equals_int(pair.publisher.receive(), 2);
}
GST_END_TEST

GST_START_TEST(test_relay_abandons_what_there_is) {
  Pair pair;
  pair.relay.abandon();
  pair.publisher.send(pair.to_viewer, 1);
  pair.await(End::kViewer, 1);
  fail_unless_equals_int(pair.relay.state().towards(End::kViewer).passed, 0);
  const guint16 shown = pair.relay.join("another", End::kViewer, pair.viewer.port());
  pair.relay.join("another", End::kPublisher, pair.publisher.port());
  pair.publisher.send(shown, 2);
  fail_unless_equals_int(pair.viewer.receive(), 2);
}
GST_END_TEST

GST_START_TEST(test_relay_leads_candidates_and_drops_all_others) {
  UdpRelay relay(kSeed);
  Peer viewer;
  const std::string start = "candidate:1 1 ", port = std::to_string(viewer.port());
  std::string text =
      with_candidates("remote", start + "UDP 2015363327 127.0.0.1 " + port + " typ host");
  fail_unless(lead_through(relay, &text));
  const std::string shown = std::to_string(relay.join("s", End::kViewer, viewer.port()));
  const std::string expected = with_candidates(
      "remote", start + "UDP 2015363327 127.0.0.1 " + shown + " typ host");
  assert_equals_string(text.c_str(), expected.c_str());
  fail_unless_equals_int(relay.state().paths, 1);
  for (const std::string &other :
       {start + "TCP 1015021823 127.0.0.1 9 typ host tcptype active",
        start + "UDP 2015363327 10.77.0.1 " + port + " typ host",
        start + "UDP 2015363327 127.0.0.1 9 typ host",
        start + "UDP 1015363327 127.0.0.1 " + port + " typ srflx raddr 0.0.0.0 rport 0",
        std::string("end")}) {
    text = with_candidates("remote", other);
    fail_if(lead_through(relay, &text), "%s passed", other.c_str());
  }
  text = "{\"session\":\"s\",\"description\":{\"type\":\"offer\",\"sdp\":\"v=0\\r\\n"
         "a=candidate:1 1 UDP 1 127.0.0.1 9 typ host\\r\\na=mid:0\\r\\n\"}}";
  fail_unless(lead_through(relay, &text));
  assert_equals_string(text.c_str(), "{\"session\":\"s\",\"description\":{\"type\":"
                                     "\"offer\",\"sdp\":\"v=0\\r\\na=mid:0\\r\\n\"}}");
}
GST_END_TEST

static Suite *relay_suite() {
  Suite *suite = suite_create("udp-relay");
  TCase *tc = tcase_create("relay");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_relay_passes_both_ways_and_shows_one_address);
  tcase_add_test(tc, test_relay_drops_strangers);
  tcase_add_test(tc, test_relay_hears_an_end_that_was_not_named_yet);
  tcase_add_test(tc, test_relay_loses_the_share_asked_for);
  tcase_add_test(tc, test_relay_delays);
  tcase_add_test(tc, test_relay_keeps_time);
  tcase_add_test(tc, test_relay_carries_no_more_than_the_line);
  tcase_add_test(tc, test_relay_shows_what_it_loses);
  tcase_add_test(tc, test_relay_jitter_keeps_order_where_it_shall);
  tcase_add_test(tc, test_relay_jitter_and_reordering_let_packets_overtake);
  tcase_add_test(tc, test_relay_blackout_ends_by_itself);
  tcase_add_test(tc, test_relay_rebinds);
  tcase_add_test(tc, test_relay_abandons_what_there_is);
  tcase_add_test(tc, test_relay_leads_candidates_and_drops_all_others);
  return suite;
}

GST_CHECK_MAIN(relay);
