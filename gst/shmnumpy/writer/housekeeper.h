// SPDX-License-Identifier: LGPL-2.1-or-later
// The one background thread of a writer: waits for something to happen to its files.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "shm-file.h"

namespace vdn::shm {

class Housekeeper {
public:
  Housekeeper();
  // `opened` hears that a file was opened whose opening is watched, `tick` runs after
  // each event, each poke() and every 250 ms. Both run on the housekeeping thread, from
  // start() to the end of stop().
  void start(std::function<void()> opened, std::function<void()> tick);
  // Joins the thread. Thread: any but the housekeeping one.
  void stop();
  ~Housekeeper() { stop(); }

  // Watches the names of the file at `path`, and who opens it if `opens`. The number is
  // for unwatch(); -1 where the system has no inotify to give. Thread: any.
  int watch(const std::string &path, bool opens);
  // Thread: any.
  void unwatch(int watch);
  // Makes tick() run soon. Thread: any.
  void poke();

private:
  void run();
  void read_events();

  Fd inotify_;
  Fd wake_;
  std::atomic<bool> stopping_{false};
  std::function<void()> opened_;
  std::function<void()> tick_;
  std::thread thread_;
};

} // namespace vdn::shm
