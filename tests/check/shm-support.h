// SPDX-License-Identifier: LGPL-2.1-or-later
// For the tests of what lies in shared memory: names of their own, a reader's view,
// waiting.
#pragma once

#include <chrono>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm-layout.h"
#include "../support/time-factor.h"

namespace shmtest {

// A name that nobody else uses; what is left under it is removed at the end.
class Name {
public:
  Name() {
    static unsigned count = 0;
    text = "vdn-check-" + std::to_string(getpid()) + "-" + std::to_string(count++);
  }
  ~Name() {
    for (const std::string &file : files())
      unlink(("/dev/shm/" + file).c_str());
  }
  // All files that have the name in theirs.
  std::vector<std::string> files() const {
    std::vector<std::string> found;
    DIR *folder = opendir("/dev/shm");
    while (dirent *entry = folder ? readdir(folder) : nullptr)
      if (strstr(entry->d_name, text.c_str()))
        found.push_back(entry->d_name);
    if (folder)
      closedir(folder);
    return found;
  }
  std::string path(const char *suffix = "") const { return "/dev/shm/" + text + suffix; }
  std::string keep(const char *suffix = "") const {
    return "/dev/shm/." + text + suffix + ".keep";
  }

  std::string text;
};

inline ino_t inode_of(const std::string &path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

// A read-only mapping of a whole file, as a reader makes it.
class View {
public:
  explicit View(const std::string &path) {
    fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat info {};
    if (fd < 0 || fstat(fd, &info) != 0)
      return;
    size = static_cast<size_t>(info.st_size);
    data =
        static_cast<const uint8_t *>(mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0));
  }
  View(const View &) = delete;
  View &operator=(const View &) = delete;
  ~View() {
    if (size)
      munmap(const_cast<uint8_t *>(data), size);
    if (fd >= 0)
      close(fd);
  }
  const shmnumpy_header &header() const {
    return *reinterpret_cast<const shmnumpy_header *>(data);
  }
  uint32_t state() const { return __atomic_load_n(&header().state, __ATOMIC_ACQUIRE); }
  uint64_t latest() const { return __atomic_load_n(&header().latest, __ATOMIC_ACQUIRE); }
  uint64_t number() const { return latest() >> 8; }
  // Of the latest frame.
  const shmnumpy_slot &slot() const { return slot(static_cast<int>(latest() & 255) - 1); }
  const shmnumpy_slot &slot(int index) const {
    return reinterpret_cast<const shmnumpy_slot *>(data +
                                                   SHMNUMPY_SLOT_DESC_OFFSET)[index];
  }
  const uint8_t *pixels() const { return data + slot().data_offset; }

  int fd = -1;
  size_t size = 0;
  const uint8_t *data = nothing;

private:
  // Where there is no file: all fields are zero.
  alignas(8) static inline const uint8_t nothing[SHMNUMPY_DATA_OFFSET] = {};
};

inline bool wait_until(const std::function<bool()> &ready) {
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::seconds(20) * vdn::time_factor();
  while (!ready()) {
    if (std::chrono::steady_clock::now() > end)
      return false;
    std::this_thread::yield();
  }
  return true;
}

// A packed frame of three bytes per pixel.
inline shmnumpy_slot rgb_frame(uint32_t width, uint32_t height, uint32_t stride = 0) {
  shmnumpy_slot frame{};
  stride = stride ? stride : width * 3;
  frame.data_bytes = static_cast<uint64_t>(stride) * height;
  frame.width = width;
  frame.height = height;
  frame.n_planes = 1;
  strcpy(frame.format, "RGB");
  frame.planes[0] = {0, stride, height};
  frame.pts = frame.duration = frame.running_time = frame.capture_utc = SHMNUMPY_NO_TIME;
  return frame;
}

// Runs `work` in a child process; its result, or false if it was killed.
inline bool in_child(const std::function<bool()> &work) {
  const pid_t child = fork();
  if (child == 0)
    _exit(work() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Whether this process may mount a /dev/shm of its own in a child.
inline bool can_mount() {
  return in_child([] {
    return unshare(CLONE_NEWNS) == 0 &&
           mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
  });
}

// For in_child(): another /dev/shm with these mount options ("size=8m").
inline bool mount_shm(const char *options, unsigned long flags = 0) {
  return unshare(CLONE_NEWNS) == 0 &&
         mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tmpfs", "/dev/shm", "tmpfs", flags, options) == 0;
}

} // namespace shmtest
