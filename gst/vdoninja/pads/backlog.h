// SPDX-License-Identifier: LGPL-2.1-or-later
// What waits for its time, for a decoder or for downstream, and what of it is given up so
// that a live picture never falls behind. Times are told, so that it can be tried on any
// clock. Thread: one at a time; the owner locks.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>

#include "gst-ptr.h"

namespace vdn {

// How far behind a buffer is: how much longer it waits than it would have to with the
// declared latency, and since it came. 0: never.
struct BacklogLimits {
  gint64 drop_us = 0;      // what no other picture refers to is dropped
  gint64 skip_us = 0;      // what comes before a keyframe that waits is dropped
  gint64 ask_us = 0;       // a keyframe is asked for
  gint64 bound_us = 0;     // everything is dropped up to a keyframe, or what is late
  size_t bytes = 16 << 20; // with what each costs beside its data, so of number, too
  bool keyframes = false;  // decoding goes on at one only
};

class Backlog {
public:
  // Bytes that a buffer takes beside its data, about.
  static constexpr size_t kOverhead = 512;

  struct Item {
    BufferPtr buffer; // or an event
    EventPtr event;
    bool keyframe = false;
    bool disposable = false; // no other picture refers to it
    gint64 arrived_us = 0;
    gint64 ideal_us = 0; // when it would have come at best; 0: when it did
  };

  // Buffers that were dropped: those that were late and no other refers to; what came
  // before a keyframe that waited; the rest, as it waited for too long, was too much, or
  // came before the keyframe that is needed then.
  struct Drops {
    guint64 disposable = 0, before_keyframe = 0, given_up = 0;
    guint64 all() const { return disposable + before_keyframe + given_up; }
  };

  explicit Backlog(const BacklogLimits &limits) : limits_(limits) {}

  void set_latency(gint64 us) { latency_us_ = us; }
  // Buffers go on so long after they should have come; up to the latency when none comes
  // any more, so that those that wait fill the time until there is one.
  void set_delay(gint64 us) { delay_us_ = us; }
  // Drops what is too much or waits for too long: whoever takes what is here may be held
  // up for as long as downstream likes.
  void push(Item item);
  // The next to go on, events in their place; nullopt while there is nothing whose time
  // has come. The first buffer after some that were dropped is marked DISCONT.
  std::optional<Item> pop(gint64 now_us);
  // When the time of the next comes; nullopt while there is none.
  std::optional<gint64> due() const;
  // Drops all buffers.
  void clear();
  // Whether to ask for a keyframe now; at most once a second.
  bool asks(gint64 now_us);

  const Drops &drops() const { return drops_; }
  unsigned skips() const { return skips_; } // times that some were dropped in a row

private:
  using Items = std::deque<Item>;

  bool drop_some(const Item &head, gint64 now_us);
  bool is_too_much(gint64 now_us) const;
  void drop_before(Items::iterator end, guint64 Drops::*why);
  void give_up(gint64 now_us);
  Items::iterator newest_keyframe();
  static size_t cost(const Item &item) {
    return kOverhead + gst_buffer_get_size(item.buffer.get());
  }
  gint64 lateness(const Item &item, gint64 now_us) const {
    return now_us - std::max(item.arrived_us, item.ideal_us + latency_us_);
  }

  const BacklogLimits limits_;
  gint64 latency_us_ = 0, delay_us_ = 0;
  gint64 newest_us_ = 0;   // when the last that came should have come
  gint64 interval_us_ = 0; // between them
  gint64 popped_us_ = 0;   // when the last one went on
  Items items_;
  size_t bytes_ = 0;
  bool needs_keyframe_ = false;
  bool gap_ = false; // some were dropped since the last buffer
  bool asks_ = false;
  gint64 asked_us_ = G_MININT64 / 2;
  Drops drops_;
  unsigned skips_ = 0;
};

} // namespace vdn
