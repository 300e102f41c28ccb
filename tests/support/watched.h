// SPDX-License-Identifier: LGPL-2.1-or-later
// A value that one thread changes and another waits on, with a deadline. Thread: any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "time-factor.h"

namespace vdn {

template <typename T> class Watched {
public:
  explicit Watched(T value = T()) : value_(std::move(value)) {}

  // Runs `change(T &)` and wakes everybody who waits.
  template <typename Change> auto update(Change change) {
    std::lock_guard<std::mutex> lock(mutex_);
    changed_.notify_all();
    return change(value_);
  }

  // Runs `read(const T &)`.
  template <typename Read> auto read(Read read) const {
    std::lock_guard<std::mutex> lock(mutex_);
    return read(static_cast<const T &>(value_));
  }

  T get() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return value_;
  }

  // True as soon as `ready(const T &)` holds, false when `limit` passed without it, times
  // time_factor().
  template <typename Ready>
  bool wait(std::chrono::milliseconds limit, Ready ready) const {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, limit * time_factor(),
                             [&] { return ready(static_cast<const T &>(value_)); });
  }

private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  T value_;
};

} // namespace vdn
