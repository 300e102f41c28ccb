// SPDX-License-Identifier: LGPL-2.1-or-later
// One thread that runs one GMainContext: the home of socket and sessions.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <thread>

#include "glib-ptr.h"
#include "mutex.h"

namespace vdn {

using Job = std::function<void()>;

// Owned by a shared_ptr where callbacks of foreign threads hold it.
class Loop : public std::enable_shared_from_this<Loop> {
public:
  // Starts the thread. `name`: at most 15 characters, as debuggers show it.
  explicit Loop(const char *name);
  // stop() without a last job.
  ~Loop();
  Loop(const Loop &) = delete;
  Loop &operator=(const Loop &) = delete;

  // Runs `job` on the loop, in the order of the calls. Thread: any. False once stop() was
  // called; the job is then dropped.
  bool post(Job job);
  // Runs `job` on the loop and waits for it; not at all once the loop has stopped.
  // Thread: any for which the loop does not wait; on the loop itself it runs at once.
  void run_and_wait(const Job &job);
  // The same, and then as many milliseconds as `job` says, in which the loop goes on.
  // Thread: any but the loop.
  void run_and_linger(const std::function<unsigned()> &job);
  // Refuses further jobs, runs those posted before, then `last`, and joins the thread.
  // Thread: any but the loop itself. A second call does nothing.
  void stop(Job last = {});
  // A library's thread may be at work on `object`, and its last word comes over this
  // loop: stop() waits for that, but not for long, and then another thread does. Who is
  // told then must know that it is over. Thread: loop.
  void outlive(GObject *object);
  bool is_current() const { return std::this_thread::get_id() == thread_.get_id(); }
  GMainContext *context() const { return context_; }

private:
  void run();
  void attach(Job job);
  void let_threads_end();

  GMainContext *context_;
  GMainLoop *main_loop_;
  Mutex mutex_;
  bool stopped_ GUARDED_BY(mutex_) = false;
  std::list<WeakPtr<GObject>> outlived_;
  std::thread thread_;
};

// A one-shot timer on a loop. Thread: loop. Stops when destroyed.
class Timer {
public:
  explicit Timer(Loop &loop) : loop_(loop) {}
  ~Timer() { stop(); }
  Timer(const Timer &) = delete;
  Timer &operator=(const Timer &) = delete;

  // Calls `job` once, `ms` milliseconds from now; a running timer starts anew.
  void start(unsigned ms, Job job);
  void stop();
  bool active() const { return source_ != nullptr; }

private:
  Loop &loop_;
  GSource *source_ = nullptr;
  Job job_;
};

} // namespace vdn
