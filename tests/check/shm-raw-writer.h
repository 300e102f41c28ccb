// SPDX-License-Identifier: LGPL-2.1-or-later
// A segment that the test writes byte by byte, for writers that lie or stop half-way.
#pragma once

#include "shmnumpy-reader.hpp" // before gstcheck.h, which defines fail

#include <gst/check/gstcheck.h>

namespace rawshm {

constexpr uint32_t kSlots = 4, kStride = 0x10000;
constexpr size_t kSize = SHMNUMPY_DATA_OFFSET + kSlots * kStride;

// The other end, one step at a time; removes what it made.
class Writer {
public:
  explicit Writer(std::string segment = unique()) : name(std::move(segment)) {
    std::string temporary = path() + ".new";
    fd = open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    fail_unless(fd >= 0 && !posix_fallocate(fd, 0, kSize));
    void *map = mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    fail_unless(map != MAP_FAILED);
    base = static_cast<uint8_t *>(map);
    shmnumpy_header &h = header();
    h.abi = SHMNUMPY_ABI;
    h.header_bytes = SHMNUMPY_HEADER_BYTES;
    h.segment_bytes = kSize;
    h.slot_count = kSlots;
    h.slot_desc_bytes = sizeof(shmnumpy_slot);
    h.slot_desc_offset = SHMNUMPY_SLOT_DESC_OFFSET;
    h.data_offset = SHMNUMPY_DATA_OFFSET;
    h.slot_stride = kStride;
    h.heartbeat = shmnumpy::detail::monotonic_ns();
    std::memcpy(h.magic, SHMNUMPY_MAGIC, 8);
    fail_unless(!flock(fd, LOCK_EX | LOCK_NB));
    fail_unless(!rename(temporary.c_str(), path().c_str()));
  }
  ~Writer() {
    munmap(base, kSize);
    close(fd);
    unlink(path().c_str());
  }

  static std::string unique() {
    return "test-" + std::to_string(getpid()) + "-" +
           std::to_string(shmnumpy::detail::monotonic_ns());
  }
  std::string path() const { return "/dev/shm/" + name + SHMNUMPY_RING_SUFFIX; }
  shmnumpy_header &header() { return *reinterpret_cast<shmnumpy_header *>(base); }
  shmnumpy_slot &slot(uint64_t frame_no) {
    return reinterpret_cast<shmnumpy_slot *>(
        base + SHMNUMPY_SLOT_DESC_OFFSET)[(frame_no - 1) % kSlots];
  }

  void begin() {
    ++number;
    slot(number).seq |= 1;
  }
  // RGB of one value, rows padded to `stride`.
  void fill(uint32_t width, uint32_t height, uint32_t stride) {
    shmnumpy_slot &s = slot(number);
    s.frame_no = number;
    s.data_offset = SHMNUMPY_DATA_OFFSET + (number - 1) % kSlots * kStride;
    s.data_bytes = uint64_t{stride} * height;
    s.width = width;
    s.height = height;
    s.n_planes = 1;
    std::strncpy(s.format, "RGB", sizeof s.format);
    s.planes[0] = {0, stride, height};
    s.pts = 1234;
    std::memset(base + s.data_offset, static_cast<int>(number), s.data_bytes);
  }
  void finish() {
    __atomic_store_n(&slot(number).seq, 2 * number, __ATOMIC_RELEASE);
    header().state = SHMNUMPY_STATE_LIVE;
    __atomic_store_n(&header().latest, number << 8 | ((number - 1) % kSlots + 1),
                     __ATOMIC_RELEASE);
    wake();
  }
  void publish(uint32_t width = 60, uint32_t height = 40, uint32_t stride = 180) {
    begin();
    fill(width, height, stride);
    finish();
  }
  void set_state(uint32_t state) {
    header().state = state;
    wake();
  }
  void wake() {
    __atomic_fetch_add(&header().wake, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &header().wake, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    fail_unless_equals_int(pwrite(fd, "", 1, offsetof(shmnumpy_header, touched)), 1);
  }

  std::string name;
  uint8_t *base = nullptr;
  uint64_t number = 0;
  int fd = -1;
};

} // namespace rawshm
