// SPDX-License-Identifier: LGPL-2.1-or-later
// Files under /dev/shm: names, locks, mappings, and the second link that keeps a name
// alive.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <sys/types.h>

#include "fork-guard.h"

namespace vdn::shm {

enum class ErrorKind {
  BadName,    // the name cannot be a shared memory name
  BadAddress, // the UDP address cannot be resolved
  Busy,       // another writer has the name
  Denied,     // somebody else's file, or the folder cannot be written
  NoSpace,    // /dev/shm is full
  Failed,     // anything else the system refused
};

struct Error {
  ErrorKind kind = ErrorKind::Failed;
  std::string message; // names the value and the remedy
};

// An owned file descriptor.
class Fd {
public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd &&other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Fd &operator=(Fd &&other) noexcept;
  ~Fd();

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

private:
  int fd_ = -1;
};

// An owned, shared, writable mapping.
class Mapping {
public:
  Mapping() = default;
  // Empty if the system refuses (errno says why). Thread: any.
  Mapping(int fd, uint64_t bytes);
  Mapping(Mapping &&other) noexcept;
  Mapping &operator=(Mapping &&other) noexcept;
  ~Mapping();

  uint8_t *data() const { return data_; }
  uint64_t size() const { return size_; }
  explicit operator bool() const { return data_ != nullptr; }

private:
  uint8_t *data_ = nullptr;
  uint64_t size_ = 0;
};

// False and BadName unless `name` (and what is derived from it) can be a file in
// /dev/shm. Thread: any.
bool check_name(const std::string &name, Error *error);

// /dev/shm/NAME. Thread: any.
std::string path_of(const std::string &name);

// Bytes that /dev/shm still has, and has as a whole; very many where it has no limit.
// Thread: any.
uint64_t free_bytes();
uint64_t total_bytes();

// What is said when it has no room for so many. Thread: any.
Error no_space(uint64_t bytes);

// One file of ours, reachable as /dev/shm/NAME and by a hidden hard link, .NAME.keep.
// Python's resource tracker removes names it did not make; while the keep link is there
// the inode lives and the name can come back. Not thread-safe: the owner serialises.
class ShmFile {
public:
  // A new file of `bytes`, the pages of the first `reserved` reserved so that no write
  // there ends in SIGBUS. It has no name yet. Errors: Denied, NoSpace, Failed.
  static std::optional<ShmFile> create(uint64_t bytes, uint64_t reserved, mode_t mode,
                                       Error *error);

  // Opens what stands under `name`, or under its keep link. `found` is false, and there
  // is no error, when neither exists. Errors: Denied (of another user, not a file),
  // Failed.
  static std::optional<ShmFile> open(const std::string &name, bool *found, Error *error);

  // Gives the file its name. `over` is the file that may be replaced in one step; without
  // it the name must be free. False and EEXIST in errno if it is taken.
  bool publish(const std::string &name, const ShmFile *over);

  // Makes sure that a file that open() found stands under the name it was looked for by.
  bool adopt();

  // flock(LOCK_EX) without waiting, but with patience for a reader that probes the lock.
  // Forked children do not have it.
  bool lock();
  // Also where a child that knows no fork handlers still has the descriptor.
  void unlock();

  enum class Names {
    Whole, // both links are there, or have been restored
    Taken, // NAME is somebody else's file by now
    Lost,  // no link is left, and the inode cannot get one again
  };
  Names repair();

  // Removes both links as far as they are still this file.
  void remove();

  // Whether `path` is this very file.
  bool is_at(const std::string &path) const;

  // Whether another open file, of whatever process and container, is this file too. Also
  // true where the kernel cannot tell.
  bool in_use() const;

  int fd() const { return fd_.get(); }
  uint64_t size() const { return size_; }
  bool set_mode(mode_t mode);
  // Reserves the pages of a file that somebody else truncated to its size.
  bool reserve(Error *error);
  // The whole file. It does not share the descriptor of the lock: a forked child has the
  // mapping, too, and that would keep the lock. Empty as Mapping says.
  Mapping map() const;
  // A path of this very file, also while it has no name.
  std::string descriptor_path() const;
  const std::string &keep_path() const { return keep_path_; }

private:
  ShmFile(Fd fd, ForkGuard guard);
  bool link_to(const std::string &path) const;
  // In the place of what stands under the name. False and errno if that cannot be.
  bool rename_over();
  void set_name(const std::string &name);
  // Without the link the name can be removed for good; that is all that is lost.
  void keep();

  Fd fd_;
  ForkGuard guard_; // after fd_: the number is forgotten before it is free
  dev_t device_ = 0;
  ino_t inode_ = 0;
  uint64_t size_ = 0;
  std::string path_;
  std::string keep_path_;
};

} // namespace vdn::shm
