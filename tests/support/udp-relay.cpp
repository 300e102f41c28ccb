// SPDX-License-Identifier: LGPL-2.1-or-later
#include "udp-relay.h"

#include <algorithm>

#include <sys/timerfd.h>
#include <unistd.h>

#include <glib-unix.h>

#include "loop-call.h"

namespace vdn {

void UdpRelay::Source::operator()(GSource *source) const {
  g_source_destroy(source);
  g_source_unref(source);
}

UdpRelay::Alarm::Alarm(Loop &loop, Job job)
    : fd_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
      source_(g_unix_fd_source_new(fd_, G_IO_IN)) {
  GUnixFDSourceFunc due = [](gint fd, GIOCondition, gpointer data) -> gboolean {
    uint64_t times = 0;
    // Nothing to be read: set anew meanwhile, and not due yet.
    if (read(fd, &times, sizeof times) > 0)
      (*static_cast<Job *>(data))();
    return G_SOURCE_CONTINUE;
  };
  g_source_set_callback(source_.get(), G_SOURCE_FUNC(due), new Job(std::move(job)),
                        [](gpointer data) { delete static_cast<Job *>(data); });
  g_source_attach(source_.get(), loop.context());
}

UdpRelay::Alarm::~Alarm() {
  source_.reset();
  close(fd_);
}

void UdpRelay::Alarm::set(gint64 monotonic_us) {
  itimerspec when{};
  when.it_value.tv_sec = monotonic_us / G_USEC_PER_SEC;
  when.it_value.tv_nsec = monotonic_us % G_USEC_PER_SEC * 1000;
  const int set = timerfd_settime(fd_, TFD_TIMER_ABSTIME, &when, nullptr);
  g_assert(set == 0);
}

UdpRelay::UdpRelay(unsigned seed)
    : lines_{BadLine(seed), BadLine(seed + 1)}, loop_("udp-relay") {
  due_ = std::make_unique<Alarm>(loop_, [this] { deliver_due(); });
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
  call(loop_, [&] { line(towards).conditions() = conditions; });
}

void UdpRelay::set(const Line &line) {
  set(End::kViewer, line.to_viewer);
  set(End::kPublisher, line.to_publisher);
}

void UdpRelay::set_tap(Tap tap) {
  call(loop_, [&] { tap_ = std::move(tap); });
}

void UdpRelay::black_out(unsigned ms) {
  call(loop_, [this, ms] {
    state_.update([](State &state) { state.returned_us = 0; });
    for (BadLine &line : lines_)
      line.conditions().blackout = true;
    blackout_->start(ms, [this] {
      for (BadLine &line : lines_)
        line.conditions().blackout = false;
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

void UdpRelay::forward(Packet packet) {
  const auto verdict = line(packet.to).take(g_get_monotonic_time(), packet.data.size());
  if (tap_)
    tap_(packet.to, verdict.fate, packet.data);
  if (verdict.fate == BadLine::Fate::kPassed) {
    // Behind all that is due at the same time: nobody overtakes who need not.
    held_.emplace(verdict.due_us, std::move(packet));
    deliver_due();
    return;
  }
  state_.update([&](State &state) {
    Counts &counts = state.to[static_cast<size_t>(packet.to)];
    counts.lost++;
    counts.overflowed += verdict.fate == BadLine::Fate::kOverflowed;
  });
}

void UdpRelay::deliver_due() {
  for (;;) {
    const gint64 now = g_get_monotonic_time();
    if (held_.empty() || held_.begin()->first > now)
      break;
    const auto first = held_.extract(held_.begin());
    deliver(first.mapped(), now - first.key());
  }
  if (!held_.empty())
    due_->set(held_.begin()->first);
}

void UdpRelay::deliver(const Packet &packet, gint64 late_us) {
  const Gate &gate = packet.path->gate(packet.to);
  const bool blocked = line(packet.to).conditions().blackout || packet.path->abandoned;
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
    state.late_us = std::max(state.late_us, late_us);
  });
}

} // namespace vdn
