// SPDX-License-Identifier: LGPL-2.1-or-later
// Takes elements out of a bin on GStreamer's thread pool: setting webrtcbin or a decoder
// to NULL waits for its streaming threads, which may be held up downstream.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>

#include "gst-ptr.h"
#include "mutex.h"

namespace vdn {

class Disposer : public std::enable_shared_from_this<Disposer> {
public:
  // Sets `element`, a child of `bin`, to NULL and removes it, later. Thread: any.
  void dispose(GstBin *bin, ObjPtr<GstElement> element) {
    {
      Lock lock(mutex_);
      pending_++;
    }
    gst_element_set_locked_state(element.get(), TRUE);
    auto *work =
        new Work{shared_from_this(), ObjPtr<GstBin>::ref(bin), std::move(element)};
    // On the bin: a reference to the element itself would outlive run().
    gst_element_call_async(GST_ELEMENT_CAST(bin), run, work,
                           [](gpointer data) { delete static_cast<Work *>(data); });
  }

  // Returns when all that dispose() was given is gone, or false after kPatience: what is
  // held up then goes by itself, and holds what it needs. Thread: any but a streaming
  // thread.
  bool wait() {
    Lock lock(mutex_);
    return lock.wait_for(done_, kPatience,
                         [this]() NO_THREAD_SAFETY_ANALYSIS { return pending_ == 0; });
  }

private:
  static constexpr std::chrono::milliseconds kPatience{500};

  struct Work {
    std::shared_ptr<Disposer> disposer;
    ObjPtr<GstBin> bin;
    ObjPtr<GstElement> element;
  };

  static void run(GstElement *, gpointer data) {
    auto *work = static_cast<Work *>(data);
    gst_element_set_state(work->element.get(), GST_STATE_NULL);
    gst_bin_remove(work->bin.get(), work->element.get());
    work->element.reset(); // sockets close before wait() returns
    Lock lock(work->disposer->mutex_);
    if (--work->disposer->pending_ == 0)
      work->disposer->done_.notify_all();
  }

  Mutex mutex_;
  std::condition_variable done_;
  unsigned pending_ GUARDED_BY(mutex_) = 0;
};

} // namespace vdn
