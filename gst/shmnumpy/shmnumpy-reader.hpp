// SPDX-License-Identifier: MIT
//
// Reads frames that shmnumpysink publishes in NAME.ring. Header only, C++17, Linux, no
// exceptions thrown; docs/shm-format.md describes the algorithm.
//
//   shmnumpy::Reader reader("psm_raspininja_streamid");
//   while (auto frame = reader.read(std::chrono::seconds(5))) {
//     work(frame->planes[0].data, frame->planes[0].stride, frame->width, frame->height);
//     if (!frame->valid()) continue;  // overwritten meanwhile: drop what was computed
//   }
//   if (!reader.error().empty()) ...  // else: time over, or the stream has ended
//
// It opens read-only, never unlinks, and nothing it does is noticed by the writer.
// Thread: one Reader per thread, cancel() excepted; frames may be handed to others.
#pragma once

#include "shm-layout.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace shmnumpy {

enum class State : uint32_t {
  Init = SHMNUMPY_STATE_INIT,
  Live = SHMNUMPY_STATE_LIVE,
  Eos = SHMNUMPY_STATE_EOS,
  Reconnecting = SHMNUMPY_STATE_RECONNECTING,
  Retired = SHMNUMPY_STATE_RETIRED,
  Stopped = SHMNUMPY_STATE_STOPPED,
  Absent // there is no writer: none came yet, or it died
};

// One plane: `rows` rows of `row_bytes`, `stride` bytes from one to the next.
struct Plane {
  const uint8_t *data;
  size_t stride;
  uint32_t rows;
  uint32_t row_bytes;
};

namespace detail {

inline int64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

// Bytes of a pixel in each plane and by how much the plane is subsampled.
struct PixelFormat {
  const char *name;
  uint32_t planes;
  uint8_t pixel[3];
  uint8_t sub[3];
};

inline const PixelFormat *find_format(const char (&name)[16]) {
  static constexpr PixelFormat kFormats[] = {
      {"RGB", 1, {3}, {1}},        {"BGR", 1, {3}, {1}},
      {"RGBx", 1, {4}, {1}},       {"BGRx", 1, {4}, {1}},
      {"RGBA", 1, {4}, {1}},       {"BGRA", 1, {4}, {1}},
      {"GRAY8", 1, {1}, {1}},      {"GRAY16_LE", 1, {2}, {1}},
      {"NV12", 2, {1, 2}, {1, 2}}, {"I420", 3, {1, 1, 1}, {1, 2, 2}},
  };
  for (const PixelFormat &format : kFormats)
    if (!std::strncmp(format.name, name, sizeof name))
      return &format;
  return nullptr;
}

// One inode of NAME.ring, mapped; frames keep it alive.
class Segment {
public:
  Segment(const Segment &) = delete;
  Segment &operator=(const Segment &) = delete;
  ~Segment() {
    if (base_)
      munmap(const_cast<uint8_t *>(base_), size_);
    if (fd_ >= 0)
      close(fd_);
  }

  // Null with an empty `error` while the segment is absent, being made, or left behind.
  static std::shared_ptr<Segment> attach(const std::string &path, std::string *error) {
    std::shared_ptr<Segment> segment(new Segment(path));
    if (!segment->open_file(error) || !segment->check_header(error) || segment->dead())
      return nullptr;
    return segment;
  }

  // Words of 32 bits are loaded whole on every machine and from a read-only mapping.
  uint32_t word(size_t offset) const {
    return __atomic_load_n(reinterpret_cast<const uint32_t *>(base_ + offset),
                           __ATOMIC_ACQUIRE);
  }
  uint32_t latest() const { return word(offsetof(shmnumpy_header, latest)); }
  uint32_t wake() const { return word(offsetof(shmnumpy_header, wake)); }
  State state() const {
    uint32_t state = word(offsetof(shmnumpy_header, state));
    return state <= SHMNUMPY_STATE_STOPPED ? State{state} : State::Init;
  }
  size_t slot_offset(uint32_t slot) const {
    return header_.slot_desc_offset + size_t{slot} * header_.slot_desc_bytes;
  }
  const shmnumpy_header &header() const { return header_; }
  const uint8_t *base() const { return base_; }

  // A page beyond the end of a file that was made smaller would be SIGBUS.
  bool shrank() const {
    struct stat status {};
    return fstat(fd_, &status) || static_cast<uint64_t>(status.st_size) < size_;
  }
  bool replaced() const {
    struct stat named {
    }, mine{};
    return !stat(path_.c_str(), &named) && !fstat(fd_, &mine) &&
           named.st_ino != mine.st_ino;
  }
  // The writer's lock can be taken. Asked only when the heartbeat is old, or of a time to
  // come, as it may be when its halves were stored or loaded one by one.
  bool dead() const {
    uint64_t beat = 0;
    std::memcpy(&beat, base_ + offsetof(shmnumpy_header, heartbeat), sizeof beat);
    uint64_t age = static_cast<uint64_t>(monotonic_ns()) - beat;
    if (age < 1000000000 || flock(fd_, LOCK_SH | LOCK_NB))
      return false;
    flock(fd_, LOCK_UN);
    return true;
  }
  // A mapping to read from is enough for both.
  void wake_all() const {
    syscall(SYS_futex, base_ + offsetof(shmnumpy_header, wake), FUTEX_WAKE, INT_MAX,
            nullptr, nullptr, 0);
  }
  void wait(uint32_t wake, std::chrono::nanoseconds time) const {
    struct {
      long seconds, nanoseconds; // what SYS_futex takes, also with a 64-bit time_t
    } limit{static_cast<long>(time.count() / 1000000000),
            static_cast<long>(time.count() % 1000000000)};
    syscall(SYS_futex, base_ + offsetof(shmnumpy_header, wake), FUTEX_WAIT, wake, &limit,
            nullptr, 0);
  }

private:
  explicit Segment(std::string path) : path_(std::move(path)) {}

  bool fail(std::string *error, const std::string &text) const {
    *error = path_ + ": " + text;
    return false;
  }

  bool open_file(std::string *error) {
    fd_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd_ < 0)
      return errno == ENOENT ? false : fail(error, std::strerror(errno));
    struct stat status {};
    if (fstat(fd_, &status) || !S_ISREG(status.st_mode))
      return fail(error, "not a regular file");
    uint8_t magic[8] = {}, none[8] = {};
    if (!status.st_size || (pread(fd_, magic, 8, 0) == 8 && !std::memcmp(magic, none, 8)))
      return false;
    if (std::memcmp(magic, SHMNUMPY_MAGIC, 8) != 0)
      return fail(error, "does not hold frames");
    if (pread(fd_, &header_, sizeof header_, 0) != sizeof header_)
      return fail(error, "truncated");
    if (header_.abi >> 16 != SHMNUMPY_ABI_MAJOR)
      return fail(error, "version " + std::to_string(header_.abi >> 16) +
                             " of the layout; this reader understands version 2");
    if (header_.segment_bytes > static_cast<uint64_t>(status.st_size))
      return fail(error, "truncated");
    return true;
  }

  bool check_header(std::string *error) {
    uint64_t table = uint64_t{header_.slot_count} * header_.slot_desc_bytes;
    uint64_t start = header_.slot_desc_offset, size = header_.segment_bytes;
    if (header_.slot_count < 2 || header_.slot_count > SHMNUMPY_MAX_SLOTS ||
        header_.slot_desc_bytes < sizeof(shmnumpy_slot) || start < 0xa0 ||
        (start | header_.slot_desc_bytes) % 8 || table > size || start > size - table ||
        size < SHMNUMPY_HEADER_BYTES || size != static_cast<size_t>(size))
      return fail(error, "slots do not fit the segment");
    void *base = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd_, 0);
    if (base == MAP_FAILED)
      return fail(error, std::strerror(errno));
    base_ = static_cast<const uint8_t *>(base);
    size_ = size;
    return true;
  }

  std::string path_;
  shmnumpy_header header_{};
  const uint8_t *base_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;
};

// Planes of the frame that `slot` (a copy) describes; false if one lies outside.
inline bool find_planes(const shmnumpy_slot &slot, const PixelFormat &format,
                        const Segment &segment, std::array<Plane, 3> *planes) {
  uint64_t size = segment.header().segment_bytes, bytes = slot.data_bytes;
  if (slot.n_planes != format.planes || !slot.width || !slot.height ||
      slot.width > 65535 || slot.height > 65535 || bytes > size ||
      slot.data_offset > size - bytes)
    return false;
  for (uint32_t i = 0; i < format.planes; ++i) {
    const shmnumpy_plane &plane = slot.planes[i];
    uint32_t rows = (slot.height + format.sub[i] - 1) / format.sub[i];
    uint32_t row = (slot.width + format.sub[i] - 1) / format.sub[i] * format.pixel[i];
    uint64_t extent = uint64_t{plane.stride} * (rows - 1) + row;
    if (plane.stride < row || plane.rows < rows || extent > bytes ||
        plane.offset > bytes - extent)
      return false;
    (*planes)[i] = {segment.base() + slot.data_offset + plane.offset, plane.stride, rows,
                    row};
  }
  return true;
}

} // namespace detail

// A view of one frame, or with Reader::read_copy() a copy. The pixels of a view are those
// of the frame if valid() says so *after* they were used.
struct Frame {
  uint32_t width = 0, height = 0; // pixels
  std::string format;             // GStreamer's name
  uint32_t n_planes = 0;
  std::array<Plane, 3> planes{};
  uint64_t number = 0;  // from 1
  uint64_t missed = 0;  // frames published since the last one that were not read
  shmnumpy_slot info{}; // times, flags, frame rate: as shm-layout.h says

  bool valid() const {
    if (!segment_)
      return true;
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return segment_->word(offset_) == static_cast<uint32_t>(2 * number);
  }

  // Pack the rows into `buffer` and point the planes there; false if it was too late.
  bool copy_to(std::vector<uint8_t> *buffer) {
    size_t total = 0;
    for (uint32_t i = 0; i < n_planes; ++i)
      total += size_t{planes[i].rows} * planes[i].row_bytes;
    buffer->resize(total);
    uint8_t *to = buffer->data();
    std::array<Plane, 3> packed = planes;
    for (uint32_t i = 0; i < n_planes; ++i) {
      packed[i].data = to;
      packed[i].stride = planes[i].row_bytes;
      for (uint32_t row = 0; row < planes[i].rows; ++row, to += planes[i].row_bytes)
        std::memcpy(to, planes[i].data + row * planes[i].stride, planes[i].row_bytes);
    }
    if (!valid())
      return false;
    planes = packed;
    segment_ = nullptr;
    return true;
  }

private:
  friend class Reader;
  std::shared_ptr<detail::Segment> segment_;
  size_t offset_ = 0;
};

class Reader {
public:
  // `name` as in shmnumpysink's shm-name; the segment need not exist yet. With
  // `until_eos` read() ends with the stream, or when the writer stops or dies.
  explicit Reader(const std::string &name, bool until_eos = false)
      : path_("/dev/shm/" + name + SHMNUMPY_RING_SUFFIX), until_eos_(until_eos) {
    if (is_name(name))
      attach();
    else
      error_ = "'" + name + "' is no name of shared memory: 1 to " +
               std::to_string(SHMNUMPY_MAX_NAME) + " bytes, no slash";
  }

  static bool is_name(const std::string &name) {
    return !name.empty() && name.size() <= SHMNUMPY_MAX_NAME && name != "." &&
           name != ".." && name.find('/') == std::string::npos;
  }

  // Why read() gave nothing; empty if the time was over or the stream ended.
  const std::string &error() const { return error_; }

  // What the writer is doing now, whether or not read() has followed it.
  State state() const {
    State state = State::Absent;
    if (segment_ && !segment_->shrank() && !segment_->dead())
      state = segment_->state();
    if (!gone(state) || !error_.empty() || (segment_ && !segment_->replaced()))
      return state;
    // Looked at and let go: the last frames of the old one are still read()'s.
    std::string ignored;
    auto fresh = detail::Segment::attach(path_, &ignored);
    return fresh ? fresh->state() : State::Absent;
  }

  // A view of the newest frame that was not returned before.
  std::optional<Frame> read(std::chrono::nanoseconds timeout) {
    int64_t end = detail::monotonic_ns() + timeout.count();
    while (error_.empty() && !cancelled_) {
      if (auto frame = poll())
        return frame;
      std::chrono::nanoseconds left(end - detail::monotonic_ns());
      if (!error_.empty() || left.count() <= 0 || (until_eos_ && ended()))
        break;
      wait(left);
    }
    return std::nullopt;
  }

  // Whether read() has come to the end of a stream, or its writer stopped or died.
  bool ended() const {
    return segment_ &&
           (state_ == State::Eos || state_ == State::Stopped || state_ == State::Absent);
  }

  // From here to resume() read() gives nothing, at once. Thread: any.
  void cancel() {
    std::unique_lock<std::mutex> lock(mutex_);
    cancelled_ = true;
    waking_.notify_all();
    // Who is about to fall asleep is called until it has heard, and others with it.
    while (asleep_) {
      asleep_->wake_all();
      lock.unlock();
      std::this_thread::yield();
      lock.lock();
    }
  }
  void resume() { cancelled_ = false; } // Thread: any
  bool cancelled() const { return cancelled_; }

  // The same as a tear-free copy in `buffer`, which is reused if it is large enough.
  std::optional<Frame> read_copy(std::vector<uint8_t> *buffer,
                                 std::chrono::nanoseconds timeout) {
    int64_t end = detail::monotonic_ns() + timeout.count();
    uint64_t lost = 0;
    for (;;) {
      auto frame = read(std::chrono::nanoseconds(end - detail::monotonic_ns()));
      if (!frame || frame->copy_to(buffer)) {
        if (frame)
          frame->missed += lost;
        return frame;
      }
      lost += frame->missed + 1;
    }
  }

private:
  static constexpr std::chrono::nanoseconds kSlice = std::chrono::milliseconds(250);
  static constexpr std::chrono::nanoseconds kAbsent = std::chrono::milliseconds(20);
  static bool gone(State state) {
    return state == State::Retired || state == State::Stopped || state == State::Absent;
  }

  bool attach() {
    auto fresh = detail::Segment::attach(path_, &error_);
    if (!fresh)
      return false;
    bool same = segment_ && segment_->header().writer_pid == fresh->header().writer_pid &&
                segment_->header().writer_start_boottime_ns ==
                    fresh->header().writer_start_boottime_ns;
    if (!same)
      number_ = 0;
    seen_ = 0;
    segment_ = std::move(fresh);
    look_ = detail::monotonic_ns() + kSlice.count();
    return true;
  }

  std::nullopt_t fail(const std::string &text) {
    error_ = path_ + ": " + text;
    return std::nullopt;
  }

  void wait(std::chrono::nanoseconds left) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!segment_ || gone(state_)) {
      waking_.wait_for(lock, std::min(left, kAbsent),
                       [this] { return bool{cancelled_}; });
      return;
    }
    if (cancelled_)
      return;
    asleep_ = segment_.get();
    lock.unlock();
    segment_->wait(wake_, std::min(left, kSlice));
    lock.lock();
    asleep_ = nullptr;
  }

  std::optional<Frame> poll() {
    while (segment_ || attach()) {
      if (segment_->shrank())
        return fail("the segment shrank");
      // Before `latest`: a frame or a state that comes after it changes `wake`.
      wake_ = segment_->wake();
      State state = segment_->state();
      auto frame = newest();
      if (frame) // behind it the end may come
        state_ = state == State::Reconnecting ? state : State::Live;
      if (frame || !error_.empty() || !moved_on(state))
        return frame;
    }
    return std::nullopt;
  }

  std::optional<Frame> newest() {
    uint32_t latest = segment_->latest(), slot = (latest & 0xff) - 1;
    if (!(latest & 0xff) || latest >> 8 == seen_)
      return std::nullopt;
    if (slot >= segment_->header().slot_count)
      return fail("no slot " + std::to_string(slot));
    Frame frame;
    frame.offset_ = segment_->slot_offset(slot);
    uint32_t sequence = segment_->word(frame.offset_);
    if (sequence & 1 || (sequence >> 1 & 0xffffff) != latest >> 8)
      return std::nullopt;
    std::memcpy(&frame.info, segment_->base() + frame.offset_, sizeof frame.info);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (segment_->word(frame.offset_) != sequence)
      return std::nullopt;
    const detail::PixelFormat *format = detail::find_format(frame.info.format);
    if (!format)
      return fail(std::string("frames of unknown format ") +
                  std::string(frame.info.format, 15).c_str());
    if (static_cast<uint32_t>(2 * frame.info.frame_no) != sequence ||
        !detail::find_planes(frame.info, *format, *segment_, &frame.planes))
      return fail("a frame of " + std::to_string(frame.info.width) + "x" +
                  std::to_string(frame.info.height) + " that lies outside the segment");
    frame.width = frame.info.width;
    frame.height = frame.info.height;
    frame.format = format->name;
    frame.n_planes = format->planes;
    frame.number = frame.info.frame_no;
    frame.missed = number_ && frame.number > number_ ? frame.number - number_ - 1 : 0;
    frame.segment_ = segment_;
    number_ = frame.number;
    seen_ = latest >> 8;
    return frame;
  }

  // Go over to the segment that has the name now, if it is another.
  bool moved_on(State state) {
    bool left = gone(state) || state_ == State::Absent;
    state_ = state;
    if (!left && detail::monotonic_ns() < look_)
      return false;
    look_ = detail::monotonic_ns() + kSlice.count();
    if (segment_->replaced() && attach())
      return true;
    if (segment_->dead())
      state_ = State::Absent;
    return false;
  }

  std::string path_;
  std::string error_;
  std::shared_ptr<detail::Segment> segment_;
  State state_ = State::Absent;
  uint64_t number_ = 0; // of the last frame of this writer
  uint32_t seen_ = 0;   // low 24 bits of the last one from this segment
  uint32_t wake_ = 0;
  int64_t look_ = 0; // when to look at the name and the lock again
  bool until_eos_;
  std::mutex mutex_;
  std::condition_variable waking_;
  std::atomic<bool> cancelled_{false};
  const detail::Segment *asleep_ = nullptr; // where read() waits; guarded by mutex_
};

} // namespace shmnumpy
