// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shm-writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "shared-word.h"

namespace vdn::shm {
namespace {

constexpr unsigned kSlots = 6;
constexpr unsigned kSlotsOfLargeFrames = 4;
constexpr unsigned kFewestSlots = 3; // with 2, readers and writer step on each other
constexpr uint64_t kLargeFrame = 16 << 20;
constexpr int kNameAttempts = 20;
// Readers that were told let go within milliseconds.
constexpr uint64_t kPatienceNs = 1000000000;

Error busy(const std::string &name) {
  return {ErrorKind::Busy, "another writer uses shared memory '" + name +
                               "': choose another shm-name or stop the other one"};
}

unsigned wanted_slots(unsigned wanted, uint64_t slot_bytes) {
  if (wanted)
    return std::clamp(wanted, kFewestSlots, static_cast<unsigned>(SHMNUMPY_MAX_SLOTS));
  return slot_bytes > kLargeFrame ? kSlotsOfLargeFrames : kSlots;
}

unsigned slots_with_room(unsigned wanted, uint64_t slot_bytes) {
  unsigned slots = wanted_slots(wanted, slot_bytes);
  while (slots > kFewestSlots && Ring::bytes_for(slots, slot_bytes) > free_bytes())
    slots--;
  return slots;
}

void count(uint64_t *statistic, uint64_t value) {
  store_word(statistic, value, __ATOMIC_RELAXED);
}

} // namespace

Writer::Writer(const Config &config, std::function<void(const std::string &)> warn)
    : config_(config), ring_name_(config.name + SHMNUMPY_RING_SUFFIX),
      warn_(std::move(warn)) {}

std::unique_ptr<Writer> Writer::start(const Config &config,
                                      std::function<void(const std::string &)> warn,
                                      Error *error) {
  if (!check_name(config.name, error))
    return nullptr;
  std::unique_ptr<Writer> writer(new Writer(config, std::move(warn)));
  if (config.legacy != LegacyMode::Never &&
      !UpdateSocket::open(config.udp_host, config.udp_port, &writer->socket_, error))
    return nullptr;
  // The lock on the ring decides who may write NAME too.
  if (!writer->take_name(error) ||
      (config.slot_bytes && !writer->fit(config.slot_bytes, error)) ||
      !writer->replace_legacy(error))
    return nullptr;
  writer->housekeeper_.start([self = writer.get()] { self->legacy_wanted_ = true; },
                             [self = writer.get()] { self->housekeep(); });
  return writer;
}

Writer::~Writer() {
  stop();
}

void Writer::stop() {
  if (stopped_.exchange(true))
    return;
  housekeeper_.stop();
  Lock lock(mutex_);
  if (legacy_)
    legacy_->file().remove();
  if (!ring_)
    return;
  ring_->file().remove();
  ring_->set_state(SHMNUMPY_STATE_STOPPED);
  // Buffers may keep the ring mapped and its descriptor open for long.
  ring_->file().unlock();
}

std::shared_ptr<Ring> Writer::make_ring(uint64_t slot_bytes, uint64_t generation,
                                        Error *error) {
  std::shared_ptr<Ring> ring = Ring::create(slots_with_room(config_.slots, slot_bytes),
                                            slot_bytes, config_.mode, generation, error);
  if (!ring)
    return nullptr;
  ring->header()->writer_start_boottime_ns = start_;
  if (config_.legacy != LegacyMode::Never)
    ring->header()->flags = SHMNUMPY_WRITER_LEGACY;
  return ring;
}

bool Writer::take_name(Error *error) {
  for (int attempt = 0; attempt < kNameAttempts; attempt++) {
    bool found = false;
    std::optional<ShmFile> old = ShmFile::open(ring_name_, &found, error);
    if (found && !old)
      return false;
    if (old && !old->lock()) {
      *error = busy(config_.name);
      return false;
    }
    if (old && !old->is_at(path_of(ring_name_)) && !old->is_at(old->keep_path()))
      continue; // replaced between open and lock
    const uint64_t before = old ? Ring::generation_of(*old) : 0;
    // Without slots: how large they have to be is not known yet.
    std::shared_ptr<Ring> fresh =
        make_ring(0, before ? before + 1 : realtime_ns(), error);
    if (!fresh)
      return false;
    if (fresh->file().publish(ring_name_, old ? &*old : nullptr)) {
      if (old) {
        Ring::retire_left_over(*old);
        given_up_ = old->size();
      }
      Lock lock(mutex_);
      ring_watch_ = housekeeper_.watch(fresh->file().descriptor_path(), false);
      ring_ = std::move(fresh);
      streaming_ring_ = ring_.get();
      return true;
    }
    if (errno != EEXIST) {
      *error = {ErrorKind::Failed,
                "cannot name " + path_of(ring_name_) + ": " + strerror(errno)};
      return false;
    }
  }
  *error = busy(config_.name);
  return false;
}

bool Writer::replace_ring(uint64_t slot_bytes, Error *error) {
  const unsigned wanted = wanted_slots(config_.slots, slot_bytes);
  if (free_bytes() < Ring::bytes_for(wanted, slot_bytes) && !make_room(slot_bytes, error))
    return false;
  std::shared_ptr<Ring> fresh = make_ring(slot_bytes, ring()->generation() + 1, error);
  if (!fresh) {
    // With capacity somebody else took the room meanwhile.
    if (error->kind != ErrorKind::NoSpace ||
        (capacity() && !make_room(slot_bytes, error)))
      return false;
    wait_for_room(*error);
    return true;
  }
  if (!show_ring(std::move(fresh), error))
    return false;
  given_up_ = waiting_since_ = 0;
  return true;
}

bool Writer::show_ring(std::shared_ptr<Ring> fresh, Error *error) {
  const std::shared_ptr<Ring> old = ring();
  Lock lock(mutex_);
  if (!fresh->file().publish(ring_name_, &old->file())) {
    *error = busy(config_.name);
    return false;
  }
  ring_ = std::move(fresh);
  streaming_ring_ = ring_.get();
  housekeeper_.unwatch(ring_watch_);
  ring_watch_ = housekeeper_.watch(ring_->file().descriptor_path(), false);
  old->set_state(SHMNUMPY_STATE_RETIRED);
  old->file().unlock();
  housekeeper_.poke();
  return true;
}

// Gives up what is in the way of a ring for such frames, unless not even that would do. A
// ring without slots takes the name, so that readers, also those of today's version, let
// go of the old one: its pages are theirs until then.
bool Writer::make_room(uint64_t slot_bytes, Error *error) {
  const uint64_t fewest = Ring::bytes_for(kFewestSlots, slot_bytes);
  const uint64_t mine =
      capacity() ? Ring::bytes_for(streaming_ring_->slots(), capacity()) : 0;
  const auto enough = [&] {
    return fewest <= std::min(free_bytes() + given_up_ + mine, total_bytes());
  };
  if (!enough())
    give_up_legacy(fewest);
  if (!enough()) {
    *error = no_space(fewest);
    return false;
  }
  if (!mine)
    return true;
  std::shared_ptr<Ring> empty = make_ring(0, ring()->generation() + 1, error);
  if (!empty || !show_ring(std::move(empty), error))
    return false;
  given_up_ += mine;
  return true;
}

void Writer::wait_for_room(const Error &error) {
  const uint64_t now = monotonic_ns();
  if (!waiting_since_)
    waiting_since_ = now;
  if (now - waiting_since_ >= kPatienceNs && !std::exchange(warned_waiting_, true))
    warn("frames are dropped until readers let go of the smaller ring: " + error.message);
}

bool Writer::replace_legacy(Error *error) {
  if (config_.legacy == LegacyMode::Never || show_legacy(error))
    return true;
  if (config_.legacy == LegacyMode::Always)
    return false;
  do_without_legacy(error->message);
  return true;
}

bool Writer::show_legacy(Error *error) {
  std::unique_ptr<LegacySegment> fresh =
      LegacySegment::open(config_.name, config_.legacy_bytes, config_.mode, error);
  if (!fresh)
    return false;
  // Watched before it has a name, so that nobody can have opened it unseen. Where that
  // cannot be known it is taken for granted.
  const int watch = housekeeper_.watch(fresh->file().descriptor_path(), true);
  if (watch < 0 || fresh->was_there() || config_.legacy == LegacyMode::Always)
    legacy_wanted_ = true;
  Lock lock(mutex_);
  if (!fresh->show(config_.name, error))
    return false;
  housekeeper_.unwatch(legacy_watch_);
  legacy_watch_ = watch;
  legacy_ = std::move(fresh);
  return true;
}

void Writer::give_up_legacy(uint64_t wanted) {
  {
    Lock lock(mutex_);
    if (!legacy_ || legacy_wanted_)
      return;
    legacy_->file().remove();
    housekeeper_.unwatch(std::exchange(legacy_watch_, -1));
    legacy_.reset();
  }
  do_without_legacy(no_space(wanted).message);
}

void Writer::do_without_legacy(const std::string &why) {
  if (!std::exchange(warned_legacy_, true))
    warn("shared memory '" + config_.name + "' of older readers is not there: " + why +
         "; legacy=never if there are none. '" + ring_name_ + "' is not affected");
}

void Writer::warn(const std::string &text) const {
  if (warn_)
    warn_(text);
}

std::shared_ptr<Ring> Writer::ring() const {
  Lock lock(mutex_);
  return ring_;
}

bool Writer::fit(uint64_t frame_bytes, Error *error) {
  if (frame_bytes <= capacity() && !names_lost_)
    return true;
  if (!replace_ring(std::max(frame_bytes, capacity()), error))
    return false;
  if (names_lost_ && !replace_legacy(error))
    return false;
  names_lost_ = false;
  return true;
}

Slot Writer::acquire(Ring::Use use) {
  std::shared_ptr<Ring> current = ring();
  const int index = current->acquire(use);
  return index < 0 ? Slot() : Slot(std::move(current), index);
}

Writer::Outcome Writer::publish(const uint8_t *pixels, const shmnumpy_slot &frame) {
  if (!streaming_ring_->publish(pixels, frame_no_ + 1, frame))
    return Outcome::NotASlot;
  frame_no_++;
  if (config_.legacy == LegacyMode::Never || (!legacy_wanted_ && frame_no_ > 1))
    return Outcome::Published;
  return write_legacy(pixels, frame);
}

Writer::Outcome Writer::write_legacy(const uint8_t *pixels, const shmnumpy_slot &frame) {
  LegacySegment *legacy;
  {
    Lock lock(mutex_);
    legacy = legacy_.get(); // replaced on this thread only
  }
  if (!legacy)
    return Outcome::Published;
  const LegacySegment::Result result = legacy->write(pixels, frame);
  socket_.send();
  if (result == LegacySegment::Result::Written)
    count(&streaming_ring_->header()->stat_legacy_copies, ++legacy_copies_);
  // The frame that is written without being asked for is no reason to complain.
  if (result == LegacySegment::Result::Written || !legacy_wanted_)
    return Outcome::Published;
  return result == LegacySegment::Result::TooLarge ? Outcome::LegacyTooLarge
                                                   : Outcome::LegacyNotPacked;
}

void Writer::set_state(shmnumpy_state state) {
  ring()->set_state(state);
}

void Writer::count_copied() {
  count(&streaming_ring_->header()->stat_copied, ++copied_);
}

void Writer::count_dropped() {
  count(&streaming_ring_->header()->stat_dropped, ++dropped_);
}

bool Writer::repair(ShmFile &file) {
  const ShmFile::Names names = file.repair();
  if (names == ShmFile::Names::Lost)
    names_lost_ = true;
  return names == ShmFile::Names::Taken;
}

void Writer::housekeep() {
  const std::shared_ptr<Ring> current = ring();
  current->beat();
  if (current->prefault_next())
    housekeeper_.poke();
  bool taken;
  {
    Lock lock(mutex_);
    taken = repair(ring_->file());
    taken |= legacy_ && repair(legacy_->file());
  }
  if (taken && !std::exchange(warned_taken_, true))
    warn("somebody else made shared memory '" + config_.name +
         "' while it was in use: new readers will not find this one");
}

} // namespace vdn::shm
