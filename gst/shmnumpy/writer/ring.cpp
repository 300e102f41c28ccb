// SPDX-License-Identifier: LGPL-2.1-or-later
#include "ring.h"

#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <utility>

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shared-word.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 // Linux 5.14
#endif

namespace vdn::shm {
namespace {

constexpr uint64_t kSecond = 1000000000;

uint64_t clock_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * kSecond + static_cast<uint64_t>(now.tv_nsec);
}

void futex_wake_all(uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// Tells those who wait for the word, and those who watch the file: an event loop cannot
// wait for a futex. Not by the time stamps of the file (futimens): the housekeeper
// watches for what is done to its attributes, and would run with each frame.
void announce(shmnumpy_header *header, int fd, shmnumpy_state state) {
  store_word(&header->state, static_cast<uint32_t>(state));
  __atomic_fetch_add(&header->wake, 1, __ATOMIC_RELEASE);
  futex_wake_all(&header->wake);
  const uint8_t zero = 0;
  if (pwrite(fd, &zero, sizeof(zero), offsetof(shmnumpy_header, touched)) < 0)
    return; // the state is there all the same; who watches finds it when its time is over
}

uint64_t round_up(uint64_t bytes) {
  return (bytes + SHMNUMPY_SLOT_ALIGN - 1) &
         ~static_cast<uint64_t>(SHMNUMPY_SLOT_ALIGN - 1);
}

void populate(uint8_t *data, uint64_t bytes) {
  // One call costs a fraction of a fault per page. The pages are touched all the same:
  // where it is not known, and in virtual machines whose hypervisor keeps page tables of
  // its own, which the call does not fill. Adding nothing is harmless beside a thread
  // that writes.
  madvise(data, bytes, MADV_POPULATE_WRITE);
  for (uint64_t offset = 0; offset < bytes; offset += 4096)
    __atomic_fetch_or(data + offset, 0, __ATOMIC_RELAXED);
}

} // namespace

uint64_t monotonic_ns() {
  return clock_ns(CLOCK_MONOTONIC);
}

uint64_t realtime_ns() {
  return clock_ns(CLOCK_REALTIME);
}

uint64_t boottime_ns() {
  return clock_ns(CLOCK_BOOTTIME);
}

uint64_t Ring::bytes_for(unsigned slots, uint64_t slot_bytes) {
  return SHMNUMPY_DATA_OFFSET + slots * round_up(slot_bytes);
}

std::shared_ptr<Ring> Ring::create(unsigned slots, uint64_t slot_bytes, mode_t mode,
                                   uint64_t generation, Error *error) {
  const uint64_t bytes = bytes_for(slots, slot_bytes);
  const uint64_t reserved =
      slot_bytes ? bytes : SHMNUMPY_SLOT_DESC_OFFSET + slots * sizeof(shmnumpy_slot);
  std::optional<ShmFile> file = ShmFile::create(bytes, reserved, mode, error);
  if (!file)
    return nullptr;
  Mapping mapping = file->map();
  if (!mapping || !file->lock()) {
    *error = {ErrorKind::Failed, "cannot map or lock shared memory of " +
                                     std::to_string(bytes) +
                                     " bytes: " + strerror(errno)};
    return nullptr;
  }
  return std::make_shared<Ring>(std::move(*file), std::move(mapping), slots,
                                round_up(slot_bytes), generation);
}

Ring::Ring(ShmFile file, Mapping mapping, unsigned slots, uint64_t stride,
           uint64_t generation)
    : file_(std::move(file)), mapping_(std::move(mapping)), slots_(slots),
      stride_(stride), generation_(generation) {
  write_header();
  prefault_next();
}

void Ring::write_header() {
  shmnumpy_header *head = header();
  head->abi = SHMNUMPY_ABI;
  head->header_bytes = SHMNUMPY_HEADER_BYTES;
  head->generation = generation_;
  head->segment_bytes = mapping_.size();
  head->slot_count = slots_;
  head->slot_desc_bytes = sizeof(shmnumpy_slot);
  head->slot_desc_offset = SHMNUMPY_SLOT_DESC_OFFSET;
  head->data_offset = SHMNUMPY_DATA_OFFSET;
  head->slot_stride = stride_;
  head->reader_row_bytes = sizeof(shmnumpy_reader);
  head->reader_table_offset = SHMNUMPY_READER_TABLE_OFFSET;
  head->writer_pid = static_cast<uint32_t>(getpid());
  head->created_realtime_ns = realtime_ns();
  beat();
  for (unsigned i = 0; i < slots_; i++)
    slot(static_cast<int>(i))->data_offset = SHMNUMPY_DATA_OFFSET + i * stride_;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  memcpy(head->magic, SHMNUMPY_MAGIC, sizeof(head->magic));
}

uint64_t Ring::generation_of(const ShmFile &file) {
  shmnumpy_header head{};
  // Not by a mapping: a page that was never written may be the one that /dev/shm has not
  // left.
  if (pread(file.fd(), &head, sizeof(head), 0) != sizeof(head) ||
      memcmp(head.magic, SHMNUMPY_MAGIC, sizeof(head.magic)) != 0)
    return 0;
  return head.generation;
}

void Ring::retire_left_over(const ShmFile &file) {
  if (!generation_of(file))
    return;
  Mapping page(file.fd(), sizeof(shmnumpy_header));
  if (page)
    announce(reinterpret_cast<shmnumpy_header *>(page.data()), file.fd(),
             SHMNUMPY_STATE_RETIRED);
}

shmnumpy_header *Ring::header() const {
  return reinterpret_cast<shmnumpy_header *>(mapping_.data());
}

shmnumpy_slot *Ring::slot(int index) const {
  return reinterpret_cast<shmnumpy_slot *>(mapping_.data() + SHMNUMPY_SLOT_DESC_OFFSET) +
         index;
}

uint8_t *Ring::pixels(int index) const {
  return mapping_.data() + SHMNUMPY_DATA_OFFSET + static_cast<uint64_t>(index) * stride_;
}

int Ring::acquire(Use use) {
  Lock lock(mutex_);
  if (stride_ == 0 || (use == Use::Upstream && held_upstream_ + 2 >= slots_))
    return -1;
  int oldest = -1;
  for (int i = 0; i < static_cast<int>(slots_); i++)
    if (claims_[i].owner == Owner::Nobody && i != latest_ &&
        (oldest < 0 || claims_[i].frame_no < claims_[oldest].frame_no))
      oldest = i;
  if (oldest < 0)
    return -1;
  Claim &claim = claims_[oldest];
  claim.owner = Owner::Filling;
  claim.use = use;
  held_upstream_ += use == Use::Upstream;
  // The fence keeps later stores to the pixels behind the odd word; a release store would
  // not.
  store_word(&slot(oldest)->seq, 2 * claim.frame_no | 1, __ATOMIC_RELAXED);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return oldest;
}

void Ring::release(int index) {
  Lock lock(mutex_);
  held_upstream_ -= claims_[index].use == Use::Upstream;
  claims_[index].owner = Owner::Nobody;
}

int Ring::index_of(const uint8_t *pixels) const {
  const uintptr_t first = reinterpret_cast<uintptr_t>(this->pixels(0));
  const uintptr_t at = reinterpret_cast<uintptr_t>(pixels);
  if (stride_ == 0 || at < first || (at - first) % stride_ != 0 ||
      (at - first) / stride_ >= slots_)
    return -1;
  return static_cast<int>((at - first) / stride_);
}

uint64_t Ring::describe(int index, uint64_t frame_no, const shmnumpy_slot &frame) {
  shmnumpy_slot *to = slot(index);
  constexpr size_t kFrom = offsetof(shmnumpy_slot, data_bytes);
  memcpy(reinterpret_cast<uint8_t *>(to) + kFrom,
         reinterpret_cast<const uint8_t *>(&frame) + kFrom, sizeof(frame) - kFrom);
  const uint64_t now = monotonic_ns();
  to->frame_no = frame_no;
  to->data_offset = SHMNUMPY_DATA_OFFSET + static_cast<uint64_t>(index) * stride_;
  to->publish_monotonic = now;
  to->publish_utc = realtime_ns();
  // seq_cst, as converters may have used non-temporal stores, which release does not
  // order.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  store_word(&to->seq, 2 * frame_no);
  return now;
}

bool Ring::publish(const uint8_t *pixels, uint64_t frame_no, const shmnumpy_slot &frame) {
  const int index = index_of(pixels);
  if (index < 0)
    return false;
  shmnumpy_header *head = header();
  {
    Lock lock(mutex_);
    if (claims_[index].owner != Owner::Filling)
      return false;
    const uint64_t now = describe(index, frame_no, frame);
    store_word(&head->latest, frame_no << 8 | static_cast<uint64_t>(index + 1));
    store_word(&head->published, frame_no, __ATOMIC_RELAXED);
    store_word(&head->heartbeat, now, __ATOMIC_RELAXED);
    // Only now: until `latest` names this slot, the one before must not be reused.
    claims_[index].frame_no = frame_no;
    claims_[index].owner = Owner::Published;
    latest_ = index;
  }
  announce(head, file_.fd(), SHMNUMPY_STATE_LIVE);
  return true;
}

void Ring::set_state(shmnumpy_state state) {
  announce(header(), file_.fd(), state);
}

void Ring::beat() {
  store_word(&header()->heartbeat, monotonic_ns(), __ATOMIC_RELAXED);
}

bool Ring::prefault_next() {
  if (prefaulted_ == slots_)
    return false;
  populate(pixels(static_cast<int>(prefaulted_++)), stride_);
  return true;
}

} // namespace vdn::shm
