// SPDX-License-Identifier: LGPL-2.1-or-later
// The C++ reader against a writer that lies. The input is a row of steps; each overwrites
// the header and the descriptors of a ring, may make the file shorter, and is read.
#include "shmnumpy-reader.hpp"

#include <cstdio>
#include <cstdlib>

namespace {

constexpr uint32_t kSlots = 2;
constexpr size_t kFileBytes = SHMNUMPY_DATA_OFFSET + kSlots * SHMNUMPY_SLOT_ALIGN;
constexpr size_t kHeader = offsetof(shmnumpy_header, reserved3);
constexpr size_t kSlotBytes = kSlots * sizeof(shmnumpy_slot);

// One step of the input, after the two bytes that say how.
constexpr size_t kStep = 2 + kHeader + kSlotBytes;
enum How : uint8_t { kUnlocked = 1, kAged = 2, kShort = 4, kReopen = 8, kFresh = 16 };

void require(bool holds, const char *what) {
  if (holds)
    return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::abort();
}

// A ring under a name of this process.
class File {
public:
  File()
      : name("vdn-fuzz-" + std::to_string(getpid())),
        path_("/dev/shm/" + name + SHMNUMPY_RING_SUFFIX) {
    renew();
  }
  ~File() { remove(); }
  File(const File &) = delete;
  File &operator=(const File &) = delete;

  // Another inode under the name.
  void renew() {
    remove();
    fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    require(fd_ >= 0 && !ftruncate(fd_, kFileBytes), "a file can be made");
  }
  void apply(const uint8_t *step) {
    const uint8_t how = step[0];
    if (how & kFresh)
      renew();
    flock(fd_, how & kUnlocked ? LOCK_UN : LOCK_EX);
    require(!ftruncate(fd_, how & kShort ? step[1] * size_t{1024} : kFileBytes),
            "the file takes a size");
    put(step + 2, kHeader, 0);
    put(step + 2 + kHeader, kSlotBytes, SHMNUMPY_SLOT_DESC_OFFSET);
    const int64_t now = shmnumpy::detail::monotonic_ns();
    if (!(how & kAged))
      put(&now, sizeof now, offsetof(shmnumpy_header, heartbeat));
  }
  // Whether all of these bytes are mapped from the file.
  bool holds(const uint8_t *from, size_t count) const {
    FILE *maps = std::fopen("/proc/self/maps", "r");
    bool inside = false;
    char line[512];
    while (maps && std::fgets(line, sizeof line, maps)) {
      uintptr_t begin = 0, end = 0;
      const auto at = reinterpret_cast<uintptr_t>(from);
      if (std::strstr(line, name.c_str()) &&
          std::sscanf(line, "%zx-%zx", &begin, &end) == 2)
        inside |= at >= begin && at < end && count <= end - at;
    }
    if (maps)
      std::fclose(maps);
    return inside;
  }

  const std::string name;

private:
  // Only inside the file as it is: a writer may have made it shorter.
  void put(const void *from, size_t count, size_t at) const {
    struct stat status {};
    fstat(fd_, &status);
    const auto size = static_cast<size_t>(status.st_size);
    if (at < size)
      require(pwrite(fd_, from, std::min(count, size - at), at) > 0,
              "the file is written");
  }
  void remove() {
    if (fd_ >= 0)
      close(fd_);
    unlink(path_.c_str());
  }

  const std::string path_;
  int fd_ = -1;
};

void look_at(const File &file, shmnumpy::Frame frame) {
  require(frame.n_planes >= 1 && frame.n_planes <= 3, "the number of planes");
  for (uint32_t i = 0; i < frame.n_planes; ++i) {
    const shmnumpy::Plane &plane = frame.planes[i];
    require(file.holds(plane.data, plane.stride * (plane.rows - 1) + plane.row_bytes),
            "a plane is inside the mapping");
  }
  std::vector<uint8_t> copy;
  const bool whole = frame.copy_to(&copy);
  require(!whole || frame.planes[0].data == copy.data(), "a copy is in its own memory");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static File file;
  std::unique_ptr<shmnumpy::Reader> reader;
  for (size_t at = 0; at + kStep <= size; at += kStep) {
    file.apply(data + at);
    if (!reader || data[at] & kReopen)
      reader = std::make_unique<shmnumpy::Reader>(file.name, data[at] & kAged);
    // Twice: the second look finds another state, and may find another inode.
    for (int look = 0; look < 2; ++look)
      if (auto frame = reader->read(std::chrono::nanoseconds(0)))
        look_at(file, std::move(*frame));
    reader->state();
  }
  return 0;
}
