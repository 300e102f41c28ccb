// SPDX-License-Identifier: LGPL-2.1-or-later
// Writes frames to NAME.ring and, for older readers, to NAME. POSIX only.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "housekeeper.h"
#include "legacy-segment.h"
#include "mutex.h"
#include "ring.h"
#include "shm-layout.h"

namespace vdn::shm {

enum class LegacyMode {
  Auto,   // NAME is filled with the first frame and once somebody has opened it. Where it
          // cannot be had, or its room is needed and nobody has opened it: one warning
  Always, // NAME has each frame
  Never,  // NAME does not exist
};

struct Config {
  std::string name;
  mode_t mode = 0600;
  unsigned slots = 0; // 0: 6, or 4 for frames over 16 MiB; fewer where space is short
  uint64_t slot_bytes = 0; // room from the start; frames up to this size need no growth
  LegacyMode legacy = LegacyMode::Auto;
  uint64_t legacy_bytes = SHMNUMPY_LEGACY_DEFAULT_BYTES;
  std::string udp_host;
  uint16_t udp_port = 0; // 0: no datagrams
};

// A slot of the ring, given back when it goes out of scope. May outlive the writer.
class Slot {
public:
  Slot() = default;
  Slot(std::shared_ptr<Ring> ring, int index) : ring_(std::move(ring)), index_(index) {}
  Slot(Slot &&other) noexcept : ring_(std::move(other.ring_)), index_(other.index_) {}
  Slot &operator=(Slot &&) = delete;
  ~Slot() {
    if (ring_)
      ring_->release(index_);
  }

  explicit operator bool() const { return ring_ != nullptr; }
  uint8_t *pixels() const { return ring_->pixels(index_); }
  uint64_t capacity() const { return ring_->capacity(); }

private:
  std::shared_ptr<Ring> ring_;
  int index_ = -1;
};

class Writer {
public:
  enum class Outcome {
    Published,
    LegacyTooLarge,  // published; NAME is too small for the frame
    LegacyNotPacked, // published; NAME can only hold RGB and BGR
    NotASlot,        // not published: no slot of the current ring that waits to be
  };

  // Starts writing. Readers see NAME.ring with state INIT. `warn` may be empty; it is
  // called here, in fit() and on the housekeeping thread. Null on errors (all of
  // ErrorKind). Thread: any.
  static std::unique_ptr<Writer> start(const Config &config,
                                       std::function<void(const std::string &)> warn,
                                       Error *error);
  ~Writer(); // stops

  // Tells the readers STOPPED and removes all names; nothing is to be published after it.
  // Joins the housekeeping thread. Thread: any but that.
  void stop();

  // Makes sure that a slot holds `frame_bytes`; a larger ring takes the place of one that
  // does not, also of one whose names were removed for good. Where both do not fit the
  // old one is given up first; while readers still hold that, true is returned, acquire()
  // gives nothing, and the next call tries again. A few ns if nothing is to be done.
  // Errors: Busy, Denied, NoSpace, Failed; the old ring stays. Thread: streaming.
  bool fit(uint64_t frame_bytes, Error *error);

  // An empty Slot if all are held. Thread: any.
  Slot acquire(Ring::Use use);

  // Bytes that a slot holds. Thread: streaming.
  uint64_t capacity() const { return streaming_ring_->capacity(); }

  // Whether a slot's pixels start there. Thread: streaming.
  bool owns(const uint8_t *pixels) const { return streaming_ring_->owns(pixels); }

  // Publishes the slot whose pixels start at `pixels`; whoever acquired it must not write
  // to it again. Of `frame`, the fields from data_bytes on are used. Thread: streaming.
  Outcome publish(const uint8_t *pixels, const shmnumpy_slot &frame);

  // Shows what the stream is doing; the next frame makes it LIVE again. Thread: any.
  void set_state(shmnumpy_state state);

  // Statistics in the header, for whoever wonders. Thread: streaming.
  void count_copied();
  void count_dropped();

  // The ring of this moment. Thread: any.
  std::shared_ptr<Ring> ring() const EXCLUDES(mutex_);

private:
  explicit Writer(const Config &config, std::function<void(const std::string &)> warn);
  bool take_name(Error *error);
  std::shared_ptr<Ring> make_ring(uint64_t slot_bytes, uint64_t generation, Error *error);
  bool replace_ring(uint64_t slot_bytes, Error *error);
  bool show_ring(std::shared_ptr<Ring> fresh, Error *error);
  bool make_room(uint64_t slot_bytes, Error *error);
  void wait_for_room(const Error &error);
  bool replace_legacy(Error *error);
  bool show_legacy(Error *error);
  void give_up_legacy(uint64_t wanted);
  void do_without_legacy(const std::string &why);
  void warn(const std::string &text) const;
  void housekeep();
  // True if the name is taken by somebody else.
  bool repair(ShmFile &file) REQUIRES(mutex_);
  Outcome write_legacy(const uint8_t *pixels, const shmnumpy_slot &frame);

  const Config config_;
  const std::string ring_name_;
  const std::function<void(const std::string &)> warn_;
  const uint64_t start_ = boottime_ns(); // the same in all rings of this writer
  UpdateSocket socket_;

  mutable Mutex mutex_; // names and identity of the files, which the housekeeper repairs
  std::shared_ptr<Ring> ring_ GUARDED_BY(mutex_);
  std::unique_ptr<LegacySegment> legacy_ GUARDED_BY(mutex_);
  int ring_watch_ GUARDED_BY(mutex_) = -1;
  int legacy_watch_ GUARDED_BY(mutex_) = -1;

  // The same ring for the streaming thread, which alone replaces it and so needs no lock.
  Ring *streaming_ring_ = nullptr;

  std::atomic<bool> legacy_wanted_{false};
  std::atomic<bool> names_lost_{false};
  std::atomic<bool> stopped_{false};
  bool warned_taken_ = false; // housekeeping thread
  // Of the streaming thread, as what follows. Bytes of rings that were given up for the
  // next one and that readers may still hold.
  uint64_t given_up_ = 0;
  uint64_t waiting_since_ = 0; // ns, CLOCK_MONOTONIC; 0: not waiting for readers
  bool warned_waiting_ = false;
  bool warned_legacy_ = false;
  uint64_t frame_no_ = 0;
  uint64_t copied_ = 0;
  uint64_t dropped_ = 0;
  uint64_t legacy_copies_ = 0;
  Housekeeper housekeeper_; // last: its thread uses all of the above
};

} // namespace vdn::shm
