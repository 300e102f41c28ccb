// SPDX-License-Identifier: LGPL-2.1-or-later
#include "loop.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <thread>
#include <vector>

#include <gnutls/crypto.h>
#include <gst/check/gstcheck.h>
#include <sys/wait.h>

using vdn::Loop;
using vdn::Timer;

GST_START_TEST(test_loop_jobs_run_in_order_on_the_loop) {
  Loop loop("test");
  std::vector<int> order;
  bool on_loop = true;
  for (int i = 0; i < 100; i++)
    fail_unless(loop.post([&, i] {
      on_loop &= loop.is_current();
      order.push_back(i);
    }));
  loop.stop();
  fail_unless(on_loop);
  fail_unless_equals_int(order.size(), 100);
  for (int i = 0; i < 100; i++)
    fail_unless_equals_int(order[i], i);
}
GST_END_TEST

GST_START_TEST(test_loop_refuses_jobs_after_stop_and_frees_them) {
  auto token = std::make_shared<int>(1);
  {
    Loop loop("test");
    bool last = false;
    loop.stop([&] { last = true; });
    fail_unless(last);
    fail_if(loop.post([token] {}));
    loop.stop();
  }
  fail_unless_equals_int(token.use_count(), 1);
}
GST_END_TEST

GST_START_TEST(test_loop_posts_during_stop_do_not_deadlock) {
  for (int round = 0; round < 50; round++) {
    Loop loop("test");
    std::atomic<bool> go{true};
    std::thread poster([&] {
      while (go && loop.post([] {}))
        ;
    });
    loop.stop();
    go = false;
    poster.join();
  }
}
GST_END_TEST

GST_START_TEST(test_timer_fires_once_and_may_restart_or_destroy_itself) {
  Loop loop("test");
  std::promise<int> fired;
  std::unique_ptr<Timer> timer;
  int count = 0;
  loop.post([&] {
    timer = std::make_unique<Timer>(loop);
    timer->start(1, [&] {
      count++;
      timer->start(1, [&] {
        timer.reset();
        fired.set_value(++count);
      });
    });
  });
  fail_unless_equals_int(fired.get_future().get(), 2);
  loop.stop();
}
GST_END_TEST

GST_START_TEST(test_timer_stopped_or_destroyed_never_fires) {
  Loop loop("test");
  std::promise<void> done;
  auto stopped = std::make_unique<Timer>(loop);
  auto destroyed = std::make_unique<Timer>(loop);
  Timer later(loop);
  bool fired = false;
  loop.post([&] {
    stopped->start(1, [&] { fired = true; });
    destroyed->start(1, [&] { fired = true; });
    stopped->stop();
    destroyed.reset();
    fail_if(stopped->active());
    later.start(20, [&] { done.set_value(); });
  });
  done.get_future().wait();
  fail_if(fired);
  loop.stop();
}
GST_END_TEST

// A thread that works for the loop, and is not through when that stops: its last word
// comes over the loop, and nobody would free what it carries.
GST_START_TEST(test_loop_outlives_what_a_thread_works_on) {
  Loop loop("test");
  static std::promise<void> stopping;
  bool told = false;
  loop.post([&] {
    auto object = vdn::ObjPtr<GObject>::adopt(G_OBJECT(g_cancellable_new()));
    GTask *task = g_task_new(
        object.get(), nullptr,
        [](GObject *, GAsyncResult *, gpointer data) {
          *static_cast<bool *>(data) = true;
        },
        &told);
    g_task_run_in_thread(task, [](GTask *own, gpointer, gpointer, GCancellable *) {
      stopping.get_future().wait();
      for (int i = 0; i < 10; i++)
        g_thread_yield();
      g_task_return_boolean(own, TRUE);
    });
    g_object_unref(task);
    loop.outlive(object.get());
  });
  loop.stop([] { stopping.set_value(); });
  fail_unless(told);
}
GST_END_TEST

// ... and takes longer than stop() may: somebody listens all the same, or all that it
// carries would stay, and a descriptor of the loop's with it.
GST_START_TEST(test_loop_has_somebody_listen_for_who_is_late) {
  static std::promise<void> stopped, freed;
  Loop loop("test");
  loop.post([&] {
    auto object = vdn::ObjPtr<GObject>::adopt(G_OBJECT(g_cancellable_new()));
    g_object_weak_ref(
        object.get(), [](gpointer, GObject *) { freed.set_value(); }, nullptr);
    GTask *task = g_task_new(
        object.get(), nullptr, [](GObject *, GAsyncResult *, gpointer) {}, nullptr);
    g_task_run_in_thread(task, [](GTask *own, gpointer, gpointer, GCancellable *) {
      stopped.get_future().wait();
      g_task_return_boolean(own, TRUE);
    });
    g_object_unref(task);
    loop.outlive(object.get());
  });
  loop.stop();
  stopped.set_value();
  const auto gone = freed.get_future().wait_for(std::chrono::seconds(20));
  fail_unless(gone == std::future_status::ready);
}
GST_END_TEST

static std::atomic<int> ready{0};
static std::atomic<bool> exits{false};

// Has a random number of GnuTLS; ends 5 us times `number` after the process began to
// exit, or never.
static void *ends_late(void *number) {
  using std::chrono::steady_clock;
  char random = 0;
  gnutls_rnd(GNUTLS_RND_NONCE, &random, 1);
  ready++;
  while (!number)
    pause();
  while (!exits)
    std::this_thread::yield();
  const auto end =
      steady_clock::now() + std::chrono::microseconds(5 * GPOINTER_TO_INT(number));
  while (steady_clock::now() < end)
    std::this_thread::yield();
  return nullptr;
}

// Threads end one after another while the process exits, so that some meet what they must
// not. Many more, which never end, make that last longer.
[[noreturn]] static void exit_with_threads_that_end() {
  constexpr int kIdle = 1000, kEnding = 100;
  constexpr size_t kStack = 256 * 1024; // a 32-bit system has room for so many
  Loop loop("test");
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStack);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  for (int i = -kIdle; i < kEnding; i++) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, ends_late,
                       GINT_TO_POINTER(std::max(i + 1, 0))))
      exit(1);
  }
  while (ready < kIdle + kEnding)
    std::this_thread::yield();
  loop.stop();
  exits = true;
  exit(0);
}

// Given threads that end in no order, when the process exits, then it does not crash.
GST_START_TEST(test_loop_threads_may_end_while_the_process_exits) {
  for (int round = 0; round < 40; round++) {
    const pid_t child = fork();
    if (child == 0)
      exit_with_threads_that_end();
    int status = -1;
    fail_unless_equals_int(waitpid(child, &status, 0), child);
    fail_unless(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d, round %d",
                status, round);
  }
}
GST_END_TEST

static Suite *loop_suite() {
  Suite *suite = suite_create("loop");
  TCase *tc = tcase_create("loop");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_loop_jobs_run_in_order_on_the_loop);
  tcase_add_test(tc, test_loop_refuses_jobs_after_stop_and_frees_them);
  tcase_add_test(tc, test_loop_posts_during_stop_do_not_deadlock);
  tcase_add_test(tc, test_timer_fires_once_and_may_restart_or_destroy_itself);
  tcase_add_test(tc, test_timer_stopped_or_destroyed_never_fires);
  tcase_add_test(tc, test_loop_outlives_what_a_thread_works_on);
  tcase_add_test(tc, test_loop_has_somebody_listen_for_who_is_late);
  tcase_add_test(tc, test_loop_threads_may_end_while_the_process_exits);
  return suite;
}

GST_CHECK_MAIN(loop);
