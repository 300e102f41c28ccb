// SPDX-License-Identifier: LGPL-2.1-or-later
#include "housekeeper.h"

#include <cstdint>
#include <utility>

#include <csignal>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

namespace vdn::shm {

constexpr int kPeriodMs = 250;

Housekeeper::Housekeeper()
    : inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}

void Housekeeper::start(std::function<void()> opened, std::function<void()> tick) {
  opened_ = std::move(opened);
  tick_ = std::move(tick);
  // The application's signals are for the application's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Housekeeper::stop() {
  if (!thread_.joinable())
    return;
  stopping_ = true;
  poke();
  thread_.join();
}

int Housekeeper::watch(const std::string &path, bool opens) {
  const uint32_t events = opens ? IN_ATTRIB | IN_OPEN : IN_ATTRIB;
  return inotify_ ? inotify_add_watch(inotify_.get(), path.c_str(), events) : -1;
}

void Housekeeper::unwatch(int watch) {
  if (watch >= 0)
    inotify_rm_watch(inotify_.get(), watch);
}

void Housekeeper::poke() {
  const uint64_t one = 1;
  if (write(wake_.get(), &one, sizeof(one)) < 0)
    return; // full: a wake-up is pending anyway
}

void Housekeeper::read_events() {
  alignas(inotify_event) char text[4096];
  ssize_t bytes;
  while (inotify_ && (bytes = read(inotify_.get(), text, sizeof(text))) > 0)
    for (ssize_t at = 0; at < bytes;) {
      const auto *event = reinterpret_cast<const inotify_event *>(text + at);
      if (event->mask & IN_OPEN)
        opened_();
      at += static_cast<ssize_t>(sizeof(*event)) + event->len;
    }
}

void Housekeeper::run() {
  pollfd waits[] = {{wake_.get(), POLLIN, 0}, {inotify_.get(), POLLIN, 0}};
  while (true) {
    tick_();
    poll(waits, 2, kPeriodMs);
    if (stopping_)
      return;
    uint64_t pokes;
    if (read(wake_.get(), &pokes, sizeof(pokes)) < 0)
      pokes = 0; // nobody poked
    read_events();
  }
}

} // namespace vdn::shm
