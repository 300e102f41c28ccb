// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backlog.h"

#include <algorithm>

namespace vdn {

namespace {

constexpr gint64 kAskAgainUs = G_USEC_PER_SEC;
// So long after the next should have come those that wait are spread, three times as far
// from each other, but no further than anybody sees.
constexpr gint64 kSilenceUs = 140000;
constexpr int kSpread = 3;
constexpr gint64 kLongestIntervalUs = 50000;

bool has_buffer(const Backlog::Item &item) {
  return item.buffer != nullptr;
}

// Of those between buffers that were dropped: what is told of them is dropped as well,
// and of what holds until it is told anew the last counts, in the place of the first.
void keep(std::deque<Backlog::Item> &kept, Backlog::Item item) {
  const GstEventType type = GST_EVENT_TYPE(item.event.get());
  if (type == GST_EVENT_GAP || type == GST_EVENT_CUSTOM_DOWNSTREAM)
    return;
  const auto same = std::find_if(kept.begin(), kept.end(), [type](const auto &other) {
    return GST_EVENT_TYPE(other.event.get()) == type;
  });
  if (same != kept.end() && (type == GST_EVENT_CAPS || type == GST_EVENT_SEGMENT))
    *same = std::move(item);
  else
    kept.push_back(std::move(item));
}

} // namespace

void Backlog::push(Item item) {
  if (item.buffer)
    bytes_ += cost(item);
  if (!item.ideal_us)
    item.ideal_us = item.arrived_us;
  if (item.buffer && item.ideal_us > newest_us_) {
    interval_us_ = std::min(item.ideal_us - newest_us_, kLongestIntervalUs);
    newest_us_ = item.ideal_us;
  }
  const gint64 now_us = item.arrived_us;
  items_.push_back(std::move(item));
  while (is_too_much(now_us))
    give_up(now_us);
}

bool Backlog::is_too_much(gint64 now_us) const {
  const auto first = std::find_if(items_.begin(), items_.end(), has_buffer);
  return first != items_.end() &&
         (bytes_ > limits_.bytes || lateness(*first, now_us) > limits_.bound_us);
}

std::optional<Backlog::Item> Backlog::pop(gint64 now_us) {
  while (!items_.empty()) {
    if (items_.front().buffer && drop_some(items_.front(), now_us))
      continue;
    if (*due() > now_us)
      break;
    Item item = std::move(items_.front());
    items_.pop_front();
    if (!item.buffer)
      return item;
    bytes_ -= cost(item);
    needs_keyframe_ = false;
    popped_us_ = now_us;
    if (std::exchange(gap_, false)) {
      item.buffer.reset(gst_buffer_make_writable(item.buffer.release()));
      GST_BUFFER_FLAG_SET(item.buffer.get(), GST_BUFFER_FLAG_DISCONT);
    }
    return item;
  }
  return std::nullopt;
}

std::optional<gint64> Backlog::due() const {
  if (items_.empty())
    return std::nullopt;
  const Item &head = items_.front();
  if (!head.buffer || !delay_us_)
    return 0;
  const gint64 due = head.ideal_us + delay_us_;
  if (due < newest_us_ + interval_us_ + kSilenceUs)
    return due;
  const gint64 spread = popped_us_ + kSpread * interval_us_;
  return std::max(due, std::min(spread, head.ideal_us + latency_us_));
}

// Whether something was dropped, `head`, which is the first, among it.
bool Backlog::drop_some(const Item &head, gint64 now_us) {
  const gint64 late = lateness(head, now_us);
  if (late > limits_.bound_us) {
    give_up(now_us);
    return true;
  }
  const bool undecodable = needs_keyframe_ && !head.keyframe;
  if (undecodable || (limits_.drop_us && late > limits_.drop_us && head.disposable)) {
    asks_ |= needs_keyframe_;
    drop_before(items_.begin() + 1, undecodable ? &Drops::given_up : &Drops::disposable);
    return true;
  }
  if (limits_.skip_us && late > limits_.skip_us) {
    const auto keyframe = newest_keyframe();
    if (keyframe != items_.end() && keyframe != items_.begin()) {
      drop_before(keyframe, &Drops::before_keyframe);
      return true;
    }
  }
  asks_ |= limits_.ask_us && late > limits_.ask_us;
  return false;
}

// It waited for too long, or is too much.
void Backlog::give_up(gint64 now_us) {
  auto end = limits_.keyframes
                 ? newest_keyframe()
                 : std::find_if(items_.begin(), items_.end(), [&](const Item &item) {
                     return item.buffer && lateness(item, now_us) <= 0;
                   });
  // What is late itself would be given up again.
  if (end == std::find_if(items_.begin(), items_.end(), has_buffer) ||
      (end != items_.end() && lateness(*end, now_us) > limits_.bound_us))
    end = items_.end();
  needs_keyframe_ |= limits_.keyframes;
  asks_ |= end == items_.end() || !limits_.keyframes;
  drop_before(end, &Drops::given_up);
}

void Backlog::drop_before(Items::iterator end, guint64 Drops::*why) {
  Items kept;
  for (auto at = items_.begin(); at != end; ++at) {
    if (at->buffer) {
      bytes_ -= cost(*at);
      (drops_.*why)++;
      skips_ += !std::exchange(gap_, true);
    } else {
      keep(kept, std::move(*at));
    }
  }
  items_.erase(items_.begin(), end);
  items_.insert(items_.begin(), std::make_move_iterator(kept.begin()),
                std::make_move_iterator(kept.end()));
}

Backlog::Items::iterator Backlog::newest_keyframe() {
  const auto found = std::find_if(items_.rbegin(), items_.rend(), [](const Item &item) {
    return item.buffer && item.keyframe;
  });
  return found == items_.rend() ? items_.end() : std::prev(found.base());
}

void Backlog::clear() {
  needs_keyframe_ |= limits_.keyframes;
  drop_before(items_.end(), &Drops::given_up);
}

bool Backlog::asks(gint64 now_us) {
  if (!asks_ || now_us - asked_us_ < kAskAgainUs)
    return false;
  asks_ = false;
  asked_us_ = now_us;
  return true;
}

} // namespace vdn
