// SPDX-License-Identifier: LGPL-2.1-or-later
// Bad networks: stands between publishers and viewers on 127.0.0.1 and loses, delays and
// reorders what they send each other, as bad-line.h says. Runs on a thread of its own.
// Thread: any, for every function.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "bad-line.h"
#include "loop.h"
#include "watched.h"

namespace vdn {

enum class End { kPublisher, kViewer };

constexpr End other(End end) {
  return end == End::kPublisher ? End::kViewer : End::kPublisher;
}

class UdpRelay {
public:
  struct Counts {
    unsigned passed = 0;
    unsigned lost = 0;
    unsigned overflowed = 0; // of those that were lost: there was no room in the queue
  };
  struct State {
    std::array<Counts, 2> to; // by End
    unsigned strangers = 0;   // packets that came from elsewhere than an end: dropped
    unsigned paths = 0;       // ever made
    gint64 returned_us = 0;   // monotonic: end of the last black_out(), 0 during it
    gint64 late_us = 0;       // by which a packet left after its time, at most

    const Counts &towards(End end) const { return to[static_cast<size_t>(end)]; }
  };
  // On the relay's thread, for each packet as it comes in.
  using Tap = std::function<void(End to, BadLine::Fate fate, const std::string &packet)>;

  // The same seed makes the same choices, in each direction for itself.
  explicit UdpRelay(unsigned seed);
  ~UdpRelay();
  UdpRelay(const UdpRelay &) = delete;
  UdpRelay &operator=(const UdpRelay &) = delete;

  // `end` of the path `name`, which is made when there is none, listens on `port`.
  // Returns the port to name to the other end in its place, 0 when that end listens
  // elsewhere.
  guint16 join(const std::string &name, End end, guint16 port);
  // Of every path, and of those to come.
  void set(const PathConditions &both);
  void set(End towards, const PathConditions &conditions);
  void set(const Line &line);
  void set_tap(Tap tap);
  // A blackout of this length; conditions stay as they are otherwise.
  void black_out(unsigned ms);
  // As a NAT that forgot: `end` sees the others behind another port from now on, and
  // nobody listens on the old one.
  void rebind(End end);
  // Existing paths never carry anything again; later ones do.
  void abandon();

  State state() const { return state_.get(); }
  bool wait(std::chrono::milliseconds limit,
            const std::function<bool(const State &)> &ready) const {
    return state_.wait(limit, ready);
  }

private:
  struct Source {
    void operator()(GSource *source) const;
  };
  using SourcePtr = std::unique_ptr<GSource, Source>;
  // Precise to some 0.1 ms, where the poll() in a GMainContext rounds up to the next ms.
  class Alarm {
  public:
    Alarm(Loop &loop, Job job);
    ~Alarm();
    Alarm(const Alarm &) = delete;
    Alarm &operator=(const Alarm &) = delete;
    void set(gint64 monotonic_us);

  private:
    const int fd_;
    SourcePtr source_;
  };
  // The socket that `end` talks to.
  struct Gate {
    ObjPtr<GSocket> socket;
    SourcePtr source;
    guint16 peer = 0; // port of the end, as told or as first heard; 0: not known yet
  };
  struct Path {
    std::array<Gate, 2> gates; // by End
    bool abandoned = false;
    Gate &gate(End end) { return gates[static_cast<size_t>(end)]; }
  };
  struct Packet {
    Path *path;
    End to;
    std::string data;
  };

  void open(Path &path, End end);
  void receive(Path &path, End from);
  void forward(Packet packet);
  void deliver(const Packet &packet, gint64 late_us);
  void deliver_due();
  BadLine &line(End towards) { return lines_[static_cast<size_t>(towards)]; }

  Watched<State> state_;
  // On the relay's thread only.
  std::array<BadLine, 2> lines_; // by End they lead to
  Tap tap_;
  std::map<std::string, Path> paths_;
  std::multimap<gint64, Packet> held_; // by monotonic us they are due
  Loop loop_;
  std::unique_ptr<Alarm> due_;
  std::unique_ptr<Timer> blackout_;
};

} // namespace vdn
