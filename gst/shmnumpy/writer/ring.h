// SPDX-License-Identifier: LGPL-2.1-or-later
// One inode of NAME.ring: slots, their sequence words and the words readers wait on.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "mutex.h"
#include "shm-file.h"
#include "shm-layout.h"

namespace vdn::shm {

// CLOCK_MONOTONIC, CLOCK_REALTIME and CLOCK_BOOTTIME in ns. Thread: any.
uint64_t monotonic_ns();
uint64_t realtime_ns();
uint64_t boottime_ns();

// A slot belongs to whoever acquired it until it is released; between acquire and publish
// its pixels are undefined for readers, afterwards they must not change. Everything that
// decides is kept in this process: words that readers could overwrite are stored, never
// trusted.
class Ring {
public:
  // Who takes a slot. Upstream elements hold slots for as long as they like, so two are
  // kept back from them: the latest frame, and one for a frame that has to be copied.
  enum class Use { Sink, Upstream };

  // A locked, mapped ring without a name, its first slot populated. `slot_bytes` is the
  // size of the largest frame; with 0 it costs 8 KiB, keeps the name and the readers, and
  // no slot can be acquired. When the writer started is for the caller to fill in, as
  // it outlives its rings. Errors: Denied, NoSpace, Failed. Thread: any.
  static std::shared_ptr<Ring> create(unsigned slots, uint64_t slot_bytes, mode_t mode,
                                      uint64_t generation, Error *error);
  // Bytes of a ring of that shape. Thread: any.
  static uint64_t bytes_for(unsigned slots, uint64_t slot_bytes);

  // Generation of the ring in `file`, 0 if it is none. Thread: any.
  static uint64_t generation_of(const ShmFile &file);
  // Marks the ring in `file`, left behind by a writer that died, as retired and wakes its
  // readers. Thread: any.
  static void retire_left_over(const ShmFile &file);

  // The slot that was published longest ago, marked as being written, or -1. Thread: any.
  int acquire(Use use);
  // Thread: any.
  void release(int slot);

  // Whether a slot's pixels start there. Thread: any.
  bool owns(const uint8_t *pixels) const { return index_of(pixels) >= 0; }

  // Makes the slot whose pixels start at `pixels` the latest frame and wakes the readers;
  // false, and nothing is done, unless it is acquired and not yet published. Of `frame`,
  // the fields from data_bytes on are used; publish times are filled in. Thread: one at a
  // time.
  bool publish(const uint8_t *pixels, uint64_t frame_no, const shmnumpy_slot &frame);

  // Stores the state and wakes the readers. Thread: any.
  void set_state(shmnumpy_state state);
  // Tells readers that the writer is alive. Thread: any.
  void beat();
  // Populates the page tables of one more slot that needs it; false when none does.
  // Thread: one at a time.
  bool prefault_next();

  uint8_t *pixels(int slot) const;
  uint64_t capacity() const { return stride_; }
  unsigned slots() const { return slots_; }
  uint64_t generation() const { return generation_; }
  shmnumpy_header *header() const;
  // Not thread-safe, see ShmFile.
  ShmFile &file() { return file_; }

  Ring(ShmFile file, Mapping mapping, unsigned slots, uint64_t stride,
       uint64_t generation);

private:
  enum class Owner : uint8_t { Nobody, Filling, Published };

  shmnumpy_slot *slot(int index) const;
  // Of the slot whose pixels start there, or -1.
  int index_of(const uint8_t *pixels) const;
  void write_header();
  // Stores what readers find by `latest`. Returns the time.
  uint64_t describe(int index, uint64_t frame_no, const shmnumpy_slot &frame);

  ShmFile file_;
  Mapping mapping_;
  const unsigned slots_;
  const uint64_t stride_;
  const uint64_t generation_;
  unsigned prefaulted_ = 0;

  struct Claim {
    Owner owner = Owner::Nobody;
    Use use = Use::Sink;
    uint64_t frame_no = 0; // what the slot was last published as
  };
  mutable Mutex mutex_;
  std::array<Claim, SHMNUMPY_MAX_SLOTS> claims_ GUARDED_BY(mutex_);
  int latest_ GUARDED_BY(mutex_) = -1;
  unsigned held_upstream_ GUARDED_BY(mutex_) = 0;
};

} // namespace vdn::shm
