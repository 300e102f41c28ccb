// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fork-guard.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

namespace vdn::shm {
namespace {

struct Guarded {
  std::mutex mutex; // held over fork(), hence not vdn::Mutex with its analysis
  std::vector<int> fds;
  int nothing = -1; // /dev/null
};

// Never destroyed: fork() may come after the destructors of all static objects.
Guarded *guarded = nullptr;

void before_fork() {
  guarded->mutex.lock();
}

void after_fork_in_parent() {
  guarded->mutex.unlock();
}

// Only what is safe after fork() in a process of many threads.
void after_fork_in_child() {
  for (int fd : guarded->fds)
    if (guarded->nothing < 0 || dup3(guarded->nothing, fd, O_CLOEXEC) < 0)
      close(fd);
  guarded->fds.clear();
  guarded->mutex.unlock();
}

Guarded &guard() {
  static const bool once = [] {
    guarded = new Guarded;
    guarded->nothing = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    return pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child) == 0;
  }();
  static_cast<void>(once); // without memory for it children keep the lock, and no more
  return *guarded;
}

} // namespace

ForkGuard ForkGuard::open(const char *path, int flags, mode_t mode, int *fd) {
  Guarded &all = guard();
  ForkGuard result;
  const std::lock_guard<std::mutex> lock(all.mutex);
  result.fd_ = *fd = ::open(path, flags, mode);
  if (*fd >= 0)
    all.fds.push_back(*fd);
  return result;
}

ForkGuard::ForkGuard(ForkGuard &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

ForkGuard &ForkGuard::operator=(ForkGuard &&other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

ForkGuard::~ForkGuard() {
  if (fd_ < 0)
    return;
  Guarded &all = guard();
  const std::lock_guard<std::mutex> lock(all.mutex);
  all.fds.erase(std::remove(all.fds.begin(), all.fds.end(), fd_), all.fds.end());
}

} // namespace vdn::shm
