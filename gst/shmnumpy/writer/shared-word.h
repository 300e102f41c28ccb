// SPDX-License-Identifier: LGPL-2.1-or-later
// Words of the ring that readers in other processes load while they change.
#pragma once

#include <atomic>

#include <cstdint>

namespace vdn::shm {

// For a processor without a store of 64 bits, such as that of the first Raspberry Pi: the
// high half, then the low half with `order`. Readers go by the low half, so whoever sees
// that sees the high half of the same value or of a later one. Thread: one at a time, or
// the halves may be those of two values.
inline void store_halves(uint64_t *word, uint64_t value, int order) {
  using Half = uint32_t __attribute__((may_alias));
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the layout is little endian");
  Half *half = reinterpret_cast<Half *>(word);
  // Relaxed: what `order` puts before the low half includes this.
  __atomic_store_n(half + 1, static_cast<uint32_t>(value >> 32), __ATOMIC_RELAXED);
  __atomic_store_n(half, static_cast<uint32_t>(value), order);
}

// In one store where there is one. Thread: as store_halves().
inline void store_word(uint64_t *word, uint64_t value, int order = __ATOMIC_RELEASE) {
  if constexpr (std::atomic<uint64_t>::is_always_lock_free)
    __atomic_store_n(word, value, order);
  else
    store_halves(word, value, order);
}

inline void store_word(uint32_t *word, uint32_t value) {
  __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

} // namespace vdn::shm
