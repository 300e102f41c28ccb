// SPDX-License-Identifier: LGPL-2.1-or-later
// Takes elements out of a bin on GStreamer's thread pool: setting webrtcbin or a decoder
// to NULL waits for its streaming threads, which may be held up downstream.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <utility>
#include <vector>

#include "gst-ptr.h"
#include "mutex.h"

namespace vdn {

class Disposer : public std::enable_shared_from_this<Disposer> {
public:
  // Sets an element to NULL. Thread: the pool's.
  using Stop = void (*)(GstElement *);
  static void stop(GstElement *element) {
    gst_element_set_state(element, GST_STATE_NULL);
  }

  // Sets `element` to NULL by `how`, later, and removes it from `bin` if it is a child
  // of that. Thread: any.
  void dispose(GstBin *bin, ObjPtr<GstElement> element, Stop how = stop) {
    {
      Lock lock(mutex_);
      pending_.push_back({ObjPtr<GstBin>::ref(bin), element});
    }
    gst_element_set_locked_state(element.get(), TRUE);
    auto *work = new Work{shared_from_this(), std::move(element), how};
    // On the bin: a reference to the element itself would outlive run().
    gst_element_call_async(GST_ELEMENT_CAST(bin), run, work,
                           [](gpointer data) { delete static_cast<Work *>(data); });
  }

  // Returns when all that dispose() was given is gone, or false after kPatience: what is
  // held up then has left its bin, which would wait for it in a state change, goes by
  // itself and holds what it needs. Thread: any but a streaming thread.
  bool wait() {
    std::vector<Pending> held_up;
    {
      Lock lock(mutex_);
      if (lock.wait_for(done_, kPatience, [this]() NO_THREAD_SAFETY_ANALYSIS {
            return pending_.empty() && removing_ == 0;
          }))
        return true;
      held_up = std::exchange(pending_, {});
    }
    for (const auto &[bin, element] : held_up)
      remove(bin.get(), element.get());
    return false;
  }

private:
  static constexpr std::chrono::milliseconds kPatience{500};

  struct Pending {
    ObjPtr<GstBin> bin;
    ObjPtr<GstElement> element;
  };
  struct Work {
    std::shared_ptr<Disposer> disposer;
    ObjPtr<GstElement> element;
    Stop stop;
  };

  static void remove(GstBin *bin, GstElement *element) {
    if (gst_object_has_as_parent(GST_OBJECT(element), GST_OBJECT(bin)))
      gst_bin_remove(bin, element);
  }

  static void run(GstElement *, gpointer data) {
    auto *work = static_cast<Work *>(data);
    work->stop(work->element.get());
    work->disposer->stopped(std::move(work->element));
  }

  void stopped(ObjPtr<GstElement> element) {
    Pending own;
    {
      Lock lock(mutex_);
      for (auto at = pending_.begin(); at != pending_.end(); ++at)
        if (at->element.get() == element.get()) {
          own = std::move(*at);
          pending_.erase(at);
          removing_++;
          break;
        }
    }
    if (!own.element)
      return; // wait() did not wait
    remove(own.bin.get(), element.get());
    own.element.reset();
    element.reset(); // sockets close before wait() returns
    Lock lock(mutex_);
    removing_--;
    done_.notify_all();
  }

  Mutex mutex_;
  std::condition_variable done_;
  std::vector<Pending> pending_ GUARDED_BY(mutex_); // until they are in NULL
  unsigned removing_ GUARDED_BY(mutex_) = 0;        // and then until they are gone
};

} // namespace vdn
