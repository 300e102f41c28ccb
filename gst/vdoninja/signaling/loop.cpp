// SPDX-License-Identifier: LGPL-2.1-or-later
#include "loop.h"

#include <future>
#include <string>

#include <gnutls/gnutls.h>
#include <pthread.h>

namespace vdn {

static constexpr gint64 kPatienceUs = 500000, kLongestUs = 120 * G_USEC_PER_SEC;
static constexpr guint kLookMs = 20;

// When a process exits, GnuTLS (3.8: random.c) frees a list that each thread which got
// random numbers from it looks into when it ends. Those of libnice end behind the back of
// whoever stops webrtcbin, and a crash at exit is an exit status that is not 0. GnuTLS
// leaves alone what is still in use, and it is, from the first loop on.
static void keep_gnutls() {
  static const int kept = gnutls_global_init();
  (void)kept;
}

Loop::Loop(const char *name)
    : context_(g_main_context_new()), main_loop_(g_main_loop_new(context_, FALSE)),
      thread_([this] { run(); }) {
  keep_gnutls();
  pthread_setname_np(thread_.native_handle(), name);
}

Loop::~Loop() {
  stop();
  g_main_loop_unref(main_loop_);
  g_main_context_unref(context_);
}

void Loop::run() {
  g_main_context_push_thread_default(context_);
  g_main_loop_run(main_loop_);
  // What was cancelled completes now; it would keep sockets and this context otherwise.
  while (g_main_context_iteration(context_, FALSE))
    ;
  let_threads_end();
  g_main_context_pop_thread_default(context_);
}

void Loop::outlive(GObject *object) {
  g_return_if_fail(is_current());
  outlived_.remove_if([](auto &one) { return !one.lock(); });
  outlived_.emplace_back(object);
}

// Until all are gone, which nobody need tell: false after `us`.
static bool listen(GMainContext *context, std::list<WeakPtr<GObject>> &objects,
                   gint64 us) {
  const gint64 end = g_get_monotonic_time() + us;
  GSource *look = g_timeout_source_new(kLookMs);
  g_source_set_callback(
      look, [](gpointer) -> gboolean { return G_SOURCE_CONTINUE; }, nullptr, nullptr);
  g_source_attach(look, context);
  for (auto &object : objects)
    while (g_get_monotonic_time() < end && object.lock())
      g_main_context_iteration(context, TRUE);
  g_source_destroy(look);
  g_source_unref(look);
  return g_get_monotonic_time() < end;
}

// What they post once nobody listens would never be freed, nor their objects and sockets.
// Who takes longer than whoever stops the loop may is listened for by another thread.
void Loop::let_threads_end() {
  if (outlived_.empty() || listen(context_, outlived_, kPatienceUs))
    return;
  std::thread([context = g_main_context_ref(context_),
               objects = std::move(outlived_)]() mutable {
    listen(context, objects, kLongestUs);
    g_main_context_unref(context);
  }).detach();
}

void Loop::attach(Job job) {
  GSource *source = g_idle_source_new();
  g_source_set_priority(source, G_PRIORITY_DEFAULT);
  g_source_set_callback(
      source,
      [](gpointer data) -> gboolean {
        (*static_cast<Job *>(data))();
        return G_SOURCE_REMOVE;
      },
      new Job(std::move(job)), [](gpointer data) { delete static_cast<Job *>(data); });
  g_source_attach(source, context_);
  g_source_unref(source);
}

bool Loop::post(Job job) {
  Lock lock(mutex_);
  if (stopped_)
    return false;
  attach(std::move(job));
  return true;
}

void Loop::run_and_wait(const Job &job) {
  if (is_current()) {
    job();
    return;
  }
  // Shared: set_value() may still be at work when wait() returns.
  auto done = std::make_shared<std::promise<void>>();
  auto result = done->get_future();
  if (post([&job, done] {
        job();
        done->set_value();
      }))
    result.wait();
}

void Loop::run_and_linger(const std::function<unsigned()> &job) {
  auto done = std::make_shared<std::promise<void>>();
  auto result = done->get_future();
  auto timer = std::make_shared<std::unique_ptr<Timer>>();
  const bool posted = post([this, &job, done, timer] {
    *timer = std::make_unique<Timer>(*this);
    (*timer)->start(job(), [done] { done->set_value(); });
  });
  if (posted)
    result.wait();
  run_and_wait([timer] { timer->reset(); }); // where it belongs
}

void Loop::stop(Job last) {
  g_return_if_fail(!is_current());
  {
    Lock lock(mutex_);
    if (stopped_)
      return;
    stopped_ = true;
    attach([this, last = std::move(last)] {
      if (last)
        last();
      g_main_loop_quit(main_loop_);
    });
  }
  thread_.join();
}

void Timer::start(unsigned ms, Job job) {
  stop();
  job_ = std::move(job);
  source_ = g_timeout_source_new(ms);
  g_source_set_callback(
      source_,
      [](gpointer data) -> gboolean {
        auto *self = static_cast<Timer *>(data);
        // The job may start the timer again, or destroy it.
        Job due = std::move(self->job_);
        self->stop();
        due();
        return G_SOURCE_REMOVE;
      },
      this, nullptr);
  g_source_attach(source_, loop_.context());
}

void Timer::stop() {
  if (!source_)
    return;
  g_source_destroy(source_);
  g_source_unref(source_);
  source_ = nullptr;
  job_ = nullptr;
}

} // namespace vdn
