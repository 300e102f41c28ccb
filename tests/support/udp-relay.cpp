// SPDX-License-Identifier: LGPL-2.1-or-later
#include "udp-relay.h"

#include "loop-call.h"

namespace vdn {

void UdpRelay::Source::operator()(GSource *source) const {
  g_source_destroy(source);
  g_source_unref(source);
}

UdpRelay::UdpRelay(unsigned seed) : random_(seed), loop_("udp-relay") {
  due_ = std::make_unique<Timer>(loop_);
  blackout_ = std::make_unique<Timer>(loop_);
}

UdpRelay::~UdpRelay() {
  loop_.stop([this] {
    due_.reset();
    blackout_.reset();
    paths_.clear();
  });
}

guint16 UdpRelay::join(const std::string &name, End end, guint16 port) {
  return call(loop_, [&]() -> guint16 {
    const auto [at, fresh] = paths_.try_emplace(name);
    Path &path = at->second;
    if (fresh) {
      open(path, End::kPublisher);
      open(path, End::kViewer);
      state_.update([](State &state) { state.paths++; });
    }
    Gate &own = path.gate(end);
    if (own.peer != 0 && own.peer != port)
      return 0;
    own.peer = port;
    const auto seen = ObjPtr<GSocketAddress>::adopt(
        g_socket_get_local_address(path.gate(other(end)).socket.get(), nullptr));
    return g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(seen.get()));
  });
}

void UdpRelay::set(const PathConditions &both) {
  set(End::kPublisher, both);
  set(End::kViewer, both);
}

void UdpRelay::set(End towards, const PathConditions &conditions) {
  call(loop_, [&] { this->conditions(towards) = conditions; });
}

void UdpRelay::black_out(unsigned ms) {
  call(loop_, [this, ms] {
    state_.update([](State &state) { state.returned_us = 0; });
    for (PathConditions &conditions : conditions_)
      conditions.blackout = true;
    blackout_->start(ms, [this] {
      for (PathConditions &conditions : conditions_)
        conditions.blackout = false;
      state_.update([](State &state) { state.returned_us = g_get_monotonic_time(); });
    });
  });
}

void UdpRelay::rebind(End end) {
  call(loop_, [this, end] {
    for (auto &[name, path] : paths_)
      open(path, end);
  });
}

void UdpRelay::abandon() {
  call(loop_, [this] {
    for (auto &[name, path] : paths_)
      path.abandoned = true;
  });
}

// --- on the relay's thread ---

void UdpRelay::open(Path &path, End end) {
  Gate &gate = path.gate(end);
  gate.socket = ObjPtr<GSocket>::adopt(g_socket_new(
      G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_DATAGRAM, G_SOCKET_PROTOCOL_UDP, nullptr));
  g_socket_set_blocking(gate.socket.get(), FALSE);
  const auto address = ObjPtr<GSocketAddress>::adopt(
      g_inet_socket_address_new_from_string("127.0.0.1", 0));
  const bool bound = g_socket_bind(gate.socket.get(), address.get(), FALSE, nullptr);
  g_assert(bound);
  struct Watch {
    UdpRelay *relay;
    Path *path;
    End end;
  };
  GSource *source = g_socket_create_source(gate.socket.get(), G_IO_IN, nullptr);
  GSocketSourceFunc readable = [](GSocket *, GIOCondition, gpointer data) -> gboolean {
    const auto *watch = static_cast<Watch *>(data);
    watch->relay->receive(*watch->path, watch->end);
    return G_SOURCE_CONTINUE;
  };
  g_source_set_callback(source, G_SOURCE_FUNC(readable), new Watch{this, &path, end},
                        [](gpointer data) { delete static_cast<Watch *>(data); });
  g_source_attach(source, loop_.context());
  gate.source.reset(source);
}

void UdpRelay::receive(Path &path, End from) {
  Gate &gate = path.gate(from);
  std::array<char, 65536> data;
  for (;;) {
    ObjPtr<GSocketAddress> sender;
    const gssize size = g_socket_receive_from(gate.socket.get(), sender.out(),
                                              data.data(), data.size(), nullptr, nullptr);
    if (size < 0)
      return;
    auto *const address = G_INET_SOCKET_ADDRESS(sender.get());
    const guint16 port = g_inet_socket_address_get_port(address);
    // It may speak before its own address has reached anybody.
    if (gate.peer == 0 &&
        g_inet_address_get_is_loopback(g_inet_socket_address_get_address(address)))
      gate.peer = port;
    // One address only: the other end shall see one, too.
    if (port == gate.peer)
      forward({&path, other(from), std::string(data.data(), size)});
    else
      state_.update([](State &state) { state.strangers++; });
  }
}

// In [0, 1). Always the same number of draws a packet, whatever the conditions.
double UdpRelay::chance() {
  return random_() / 4294967296.0;
}

PathConditions &UdpRelay::conditions(End towards) {
  return conditions_[static_cast<size_t>(towards)];
}

void UdpRelay::forward(Packet packet) {
  const PathConditions &conditions = this->conditions(packet.to);
  const bool lost = chance() < conditions.loss;
  double ms = conditions.delay_ms + chance() * conditions.jitter_ms;
  if (chance() < conditions.reorder)
    ms += kHeldBackMs;
  if (lost) {
    state_.update([&](State &state) { state.to[static_cast<size_t>(packet.to)].lost++; });
  } else if (ms <= 0) {
    deliver(packet);
  } else {
    held_.emplace(g_get_monotonic_time() + static_cast<gint64>(ms * 1000),
                  std::move(packet));
    deliver_due();
  }
}

void UdpRelay::deliver_due() {
  const gint64 now = g_get_monotonic_time();
  while (!held_.empty() && held_.begin()->first <= now) {
    deliver(held_.begin()->second);
    held_.erase(held_.begin());
  }
  if (!held_.empty())
    due_->start((held_.begin()->first - now) / 1000 + 1, [this] { deliver_due(); });
}

void UdpRelay::deliver(const Packet &packet) {
  const Gate &gate = packet.path->gate(packet.to);
  const bool blocked = conditions(packet.to).blackout || packet.path->abandoned;
  bool sent = false;
  if (!blocked && gate.peer != 0) {
    const auto address = ObjPtr<GSocketAddress>::adopt(
        g_inet_socket_address_new_from_string("127.0.0.1", gate.peer));
    sent = g_socket_send_to(gate.socket.get(), address.get(), packet.data.data(),
                            packet.data.size(), nullptr, nullptr) >= 0;
  }
  state_.update([&](State &state) {
    Counts &counts = state.to[static_cast<size_t>(packet.to)];
    (sent ? counts.passed : counts.lost)++;
  });
}

} // namespace vdn
