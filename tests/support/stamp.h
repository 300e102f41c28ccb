// SPDX-License-Identifier: LGPL-2.1-or-later
// Frames that carry a number and a clock where a machine can read them after any codec.
// 40 blocks across the top twentieth of the picture and again across the bottom one, most
// significant bit first: 8 bit frame number, 24 bit CLOCK_REALTIME milliseconds, 8 bit
// check. Thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <optional>

namespace vdn {

constexpr int kStampBits = 40;

struct Stamp {
  uint8_t number = 0;
  uint32_t ms = 0; // the low 24 bits
};

inline uint64_t encode_stamp(const Stamp &stamp) {
  const uint32_t ms = stamp.ms & 0xffffff;
  const uint8_t check = 0x5a ^ stamp.number ^ (ms >> 16) ^ (ms >> 8) ^ ms;
  return uint64_t(stamp.number) << 32 | uint64_t(ms) << 8 | check;
}

inline uint32_t stamp_now_ms() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t(now.tv_sec) * 1000 + now.tv_nsec / 1000000) & 0xffffff;
}

// Milliseconds from `stamp` to `now_ms`, across the wrap of the clock (4 h 39 min).
inline int stamp_age_ms(const Stamp &stamp, uint32_t now_ms = stamp_now_ms()) {
  return static_cast<int>((now_ms - stamp.ms + 0x800000) & 0xffffff) - 0x800000;
}

inline int stamp_height(int height) {
  return height / 20 & ~1;
}

// Pixels as they lie in memory: one byte a pixel (the luma plane of I420 or NV12) or
// three (RGB or BGR).
struct StampPixels {
  uint8_t *data = nullptr;
  int width = 0;
  int height = 0;
  ptrdiff_t stride = 0;
  int pixel_stride = 1;
};

// frame: uint8[height][stride], luma in limited range.
inline void paint_stamp(const StampPixels &luma, const Stamp &stamp) {
  const uint64_t code = encode_stamp(stamp);
  const int rows = stamp_height(luma.height);
  for (int y = 0; y < 2 * rows; y++) {
    uint8_t *row =
        luma.data + (y < rows ? y : luma.height - 1 - (y - rows)) * luma.stride;
    for (int i = 0; i < kStampBits; i++) {
      const int from = i * luma.width / kStampBits;
      const int to = (i + 1) * luma.width / kStampBits;
      memset(row + from, code >> (kStampBits - 1 - i) & 1 ? 235 : 16, to - from);
    }
  }
}

// The stamp at the top, or at the bottom, of a picture of at least 80 x 40; nullopt when
// it does not check. A frame whose two stamps differ is torn.
inline std::optional<Stamp> read_stamp(const StampPixels &picture, bool bottom = false) {
  const int rows = stamp_height(picture.height);
  if (rows < 2 || picture.width < 2 * kStampBits)
    return std::nullopt;
  const int y = bottom ? picture.height - rows / 2 - 1 : rows / 2;
  uint64_t code = 0;
  for (int i = 0; i < kStampBits; i++) {
    const int x = (2 * i + 1) * picture.width / (2 * kStampBits);
    int sum = 0;
    for (int byte = 0; byte < picture.pixel_stride; byte++)
      sum += picture.data[y * picture.stride + x * picture.pixel_stride + byte];
    code = code << 1 | (sum > 127 * picture.pixel_stride);
  }
  const Stamp stamp{static_cast<uint8_t>(code >> 32),
                    static_cast<uint32_t>(code >> 8 & 0xffffff)};
  if (encode_stamp(stamp) != code)
    return std::nullopt;
  return stamp;
}

// What a row of stamps says about the way they came.
struct StampTracker {
  unsigned frames = 0;
  unsigned missing = 0;   // numbers skipped
  unsigned repeated = 0;  // the same frame again
  unsigned backwards = 0; // an older frame than the one before
  int last_age_ms = 0;
  int max_age_ms = 0;

  void see(const Stamp &stamp, uint32_t now_ms = stamp_now_ms()) {
    const int8_t step = static_cast<int8_t>(stamp.number - last.number);
    if (frames > 0 && step == 0)
      repeated++;
    else if (frames > 0 && step < 0)
      backwards++;
    else if (frames > 0)
      missing += step - 1;
    frames++;
    last = stamp;
    last_age_ms = stamp_age_ms(stamp, now_ms);
    max_age_ms = last_age_ms > max_age_ms ? last_age_ms : max_age_ms;
  }

  Stamp last;
};

} // namespace vdn
