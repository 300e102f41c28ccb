// SPDX-License-Identifier: LGPL-2.1-or-later
// A mutex that clang's -Wthread-safety understands; with g++ the attributes vanish.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define VDN_ATTRIBUTE(x) __attribute__((x))
#else
#define VDN_ATTRIBUTE(x)
#endif
#define CAPABILITY(x) VDN_ATTRIBUTE(capability(x))
#define SCOPED_CAPABILITY VDN_ATTRIBUTE(scoped_lockable)
#define GUARDED_BY(x) VDN_ATTRIBUTE(guarded_by(x))
#define REQUIRES(...) VDN_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) VDN_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) VDN_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define RELEASE(...) VDN_ATTRIBUTE(release_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS VDN_ATTRIBUTE(no_thread_safety_analysis)

namespace vdn {

class CAPABILITY("mutex") Mutex {
public:
  void lock() ACQUIRE() { mutex_.lock(); }
  void unlock() RELEASE() { mutex_.unlock(); }
  std::mutex &native() { return mutex_; }

private:
  std::mutex mutex_;
};

class SCOPED_CAPABILITY Lock {
public:
  explicit Lock(Mutex &mutex) ACQUIRE(mutex) : lock_(mutex.native()) {}
  ~Lock() RELEASE() = default;
  Lock(const Lock &) = delete;
  Lock &operator=(const Lock &) = delete;

  void wait(std::condition_variable &condition) { condition.wait(lock_); }
  // Until the steady clock, which is GLib's monotonic one, is at `us`.
  void wait_until(std::condition_variable &condition, long long us) {
    condition.wait_until(
        lock_, std::chrono::steady_clock::time_point(std::chrono::microseconds(us)));
  }
  // Waits until `ready()` holds, false if not within `limit`; `condition` is notified by
  // whoever makes it true.
  template <typename Ready>
  bool wait_for(std::condition_variable &condition, std::chrono::milliseconds limit,
                Ready ready) {
    return condition.wait_for(lock_, limit, ready);
  }

private:
  std::unique_lock<std::mutex> lock_;
};

} // namespace vdn
