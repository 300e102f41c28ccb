// SPDX-License-Identifier: LGPL-2.1-or-later
// Keeps a lock from living on in forked children.
#pragma once

#include <sys/types.h>

namespace vdn::shm {

// While it lives, the children that this process forks get /dev/null in the place of a
// descriptor: flock() belongs to what the descriptor stands for, which they share, so
// that the kernel would not drop the lock with this process, were it taken before the
// fork or after it. Not closed there, as the number may be closed once more by whoever
// owns it. Thread: any.
class ForkGuard {
public:
  ForkGuard() = default;
  // open() without a fork before the descriptor is guarded; *fd and errno are its.
  static ForkGuard open(const char *path, int flags, mode_t mode, int *fd);
  ForkGuard(ForkGuard &&other) noexcept;
  ForkGuard &operator=(ForkGuard &&other) noexcept;
  ~ForkGuard();

private:
  int fd_ = -1;
};

} // namespace vdn::shm
