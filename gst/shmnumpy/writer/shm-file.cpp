// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shm-file.h"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "shm-layout.h"

namespace vdn::shm {
namespace {

const std::string kFolder = "/dev/shm";
// The longest name that is made from NAME.
constexpr char kAdded[] = "." SHMNUMPY_RING_SUFFIX ".keep";
static_assert(SHMNUMPY_MAX_NAME + sizeof(kAdded) - 1 == NAME_MAX);
// A reader that asks whether we live holds the lock for microseconds, or longer if it is
// preempted there.
constexpr int kLockAttempts = 50;
constexpr int kLockPauseMs = 1;

std::string user_name(uid_t uid) {
  char text[1024];
  passwd entry{}, *found = nullptr;
  if (getpwuid_r(uid, &entry, text, sizeof(text), &found) == 0 && found)
    return found->pw_name;
  return "uid " + std::to_string(uid);
}

std::string megabytes(uint64_t bytes) {
  return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB";
}

// As many characters as "keep" has.
std::string hexadecimal(uint16_t number) {
  char text[5];
  snprintf(text, sizeof(text), "%04x", number);
  return text;
}

bool fail(Error *error, ErrorKind kind, std::string message) {
  *error = {kind, std::move(message)};
  return false;
}

bool fail_space(Error *error, uint64_t bytes) {
  *error = no_space(bytes);
  return false;
}

bool fail_system(Error *error, const std::string &what, int number) {
  const bool denied = number == EACCES || number == EPERM || number == EROFS;
  return fail(error, denied ? ErrorKind::Denied : ErrorKind::Failed,
              what + ": " + strerror(number) +
                  (denied ? "; " + kFolder + " must be writable for this user" : ""));
}

bool reserve_pages(int fd, uint64_t bytes, Error *error) {
  int result = EINTR;
  while (result == EINTR)
    result = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  if (result == 0)
    return true;
  if (result == ENOSPC || result == EFBIG || result == EDQUOT || result == ENOMEM)
    return fail_space(error, bytes);
  return fail_system(error, "cannot reserve shared memory", result);
}

} // namespace

Fd &Fd::operator=(Fd &&other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0)
    ::close(fd_);
}

Mapping::Mapping(int fd, uint64_t bytes) {
  if (bytes > std::numeric_limits<size_t>::max() / 2) {
    errno = ENOMEM;
    return;
  }
  void *data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED)
    return;
  data_ = static_cast<uint8_t *>(data);
  size_ = bytes;
}

Mapping::Mapping(Mapping &&other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping &Mapping::operator=(Mapping &&other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (data_)
    munmap(data_, size_);
}

bool check_name(const std::string &name, Error *error) {
  if (name.empty() || name == "." || name == "..")
    return fail(error, ErrorKind::BadName,
                "'" + name +
                    "' is no name for shared memory; use letters, digits, _ or -");
  if (name.find('/') != std::string::npos)
    return fail(error, ErrorKind::BadName,
                "shared memory name '" + name +
                    "' has a slash: give the name alone, it is made under " + kFolder);
  if (name.size() > SHMNUMPY_MAX_NAME)
    return fail(error, ErrorKind::BadName,
                "shared memory name of " + std::to_string(name.size()) +
                    " bytes is too long: use at most " +
                    std::to_string(SHMNUMPY_MAX_NAME));
  return true;
}

std::string path_of(const std::string &name) {
  return kFolder + "/" + name;
}

static uint64_t bytes_of(fsblkcnt_t blocks, const struct statvfs &info) {
  // A tmpfs without a limit says 0 of all.
  return info.f_blocks ? static_cast<uint64_t>(blocks) * info.f_frsize
                       : std::numeric_limits<uint64_t>::max() / 4;
}

uint64_t free_bytes() {
  struct statvfs info {};
  return statvfs(kFolder.c_str(), &info) == 0 ? bytes_of(info.f_bavail, info) : 0;
}

uint64_t total_bytes() {
  struct statvfs info {};
  return statvfs(kFolder.c_str(), &info) == 0 ? bytes_of(info.f_blocks, info) : 0;
}

Error no_space(uint64_t bytes) {
  return {ErrorKind::NoSpace, kFolder + " has no room for " + megabytes(bytes) + " (" +
                                  megabytes(free_bytes()) +
                                  " are free): enlarge it (mount -o remount,size=..., "
                                  "docker --shm-size) or have a smaller picture sent"};
}

ShmFile::ShmFile(Fd fd, ForkGuard guard) : fd_(std::move(fd)), guard_(std::move(guard)) {
  struct stat info {};
  fstat(fd_.get(), &info);
  device_ = info.st_dev;
  inode_ = info.st_ino;
  size_ = static_cast<uint64_t>(info.st_size);
}

std::optional<ShmFile> ShmFile::create(uint64_t bytes, uint64_t reserved, mode_t mode,
                                       Error *error) {
  if (bytes > static_cast<uint64_t>(std::numeric_limits<off_t>::max())) {
    fail_space(error, bytes);
    return std::nullopt;
  }
  // Without a name a writer that dies half-way leaves nothing behind.
  int number = -1;
  Fd fd; // before the guard, which forgets the number before it is free
  ForkGuard guard =
      ForkGuard::open(kFolder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600, &number);
  fd = Fd(number);
  if (!fd) {
    fail_system(error, "cannot create a file in " + kFolder, errno);
    return std::nullopt;
  }
  if (!reserve_pages(fd.get(), reserved, error))
    return std::nullopt;
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    fail_system(error, "cannot set the size of shared memory", errno);
    return std::nullopt;
  }
  ShmFile file(std::move(fd), std::move(guard));
  if (!file.set_mode(mode)) {
    fail_system(error, "cannot set the mode of shared memory", errno);
    return std::nullopt;
  }
  return file;
}

std::optional<ShmFile> ShmFile::open(const std::string &name, bool *found, Error *error) {
  *found = false;
  const std::string paths[] = {path_of(name), path_of("." + name + ".keep")};
  for (const std::string &path : paths) {
    int number = -1;
    Fd fd;
    ForkGuard guard = ForkGuard::open(
        path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0, &number);
    const int why = errno;
    fd = Fd(number);
    if (!fd && why == ENOENT)
      continue;
    *found = true;
    struct stat info {};
    if ((fd ? fstat(fd.get(), &info) : lstat(path.c_str(), &info)) != 0)
      info.st_uid = geteuid();
    if (info.st_uid != geteuid())
      fail(error, ErrorKind::Denied,
           path + " is owned by " + user_name(info.st_uid) +
               ": choose another shm-name or let the owner remove it");
    else if (!fd)
      fail_system(error, "cannot open " + path, why);
    else if (!S_ISREG(info.st_mode))
      fail(error, ErrorKind::Denied, path + " is not a plain file: remove it");
    else {
      ShmFile file(std::move(fd), std::move(guard));
      file.set_name(name);
      return file;
    }
    return std::nullopt;
  }
  return std::nullopt;
}

void ShmFile::set_name(const std::string &name) {
  path_ = path_of(name);
  keep_path_ = path_of("." + name + ".keep");
}

std::string ShmFile::descriptor_path() const {
  return "/proc/self/fd/" + std::to_string(fd_.get());
}

bool ShmFile::link_to(const std::string &path) const {
  return linkat(AT_FDCWD, descriptor_path().c_str(), AT_FDCWD, path.c_str(),
                AT_SYMLINK_FOLLOW) == 0;
}

void ShmFile::keep() {
  if (is_at(keep_path_))
    return;
  unlink(keep_path_.c_str());
  link_to(keep_path_);
}

bool ShmFile::publish(const std::string &name, const ShmFile *over) {
  set_name(name);
  if (over && over->is_at(path_) ? !rename_over() : !link_to(path_))
    return false;
  keep();
  return true;
}

bool ShmFile::rename_over() {
  // By way of the keep link: whoever dies in between leaves names that are known.
  std::string next = keep_path_;
  unlink(next.c_str());
  if (!link_to(next)) {
    // Others cannot be kept from making a file of that name, nor can it be removed then.
    uint16_t number = 0;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
      return false;
    next = keep_path_.substr(0, keep_path_.rfind('.') + 1) + hexadecimal(number);
    if (!link_to(next))
      return false;
  }
  if (rename(next.c_str(), path_.c_str()) == 0)
    return true;
  const int why = errno;
  unlink(next.c_str());
  errno = why;
  return false;
}

bool ShmFile::adopt() {
  if (!is_at(path_) && !link_to(path_))
    return false;
  keep();
  return true;
}

bool ShmFile::lock() {
  for (int attempt = 0; attempt < kLockAttempts; attempt++) {
    if (flock(fd_.get(), LOCK_EX | LOCK_NB) == 0)
      return true;
    if (errno != EWOULDBLOCK && errno != EINTR)
      break;
    poll(nullptr, 0, kLockPauseMs);
  }
  return false;
}

void ShmFile::unlock() {
  flock(fd_.get(), LOCK_UN);
}

Mapping ShmFile::map() const {
  const Fd own(::open(descriptor_path().c_str(), O_RDWR | O_CLOEXEC));
  return own ? Mapping(own.get(), size_) : Mapping();
}

bool ShmFile::is_at(const std::string &path) const {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0 && info.st_dev == device_ &&
         info.st_ino == inode_;
}

bool ShmFile::in_use() const {
  // A write lease is given only where nobody else has the file open. Whoever opens it
  // before it is returned has us sent a signal: one that does nothing unless asked for.
  fcntl(fd_.get(), F_SETSIG, SIGURG);
  if (fcntl(fd_.get(), F_SETLEASE, F_WRLCK) != 0)
    return true;
  fcntl(fd_.get(), F_SETLEASE, F_UNLCK);
  return false;
}

ShmFile::Names ShmFile::repair() {
  if (is_at(path_)) {
    keep();
    return Names::Whole;
  }
  if (!is_at(keep_path_))
    return Names::Lost;
  if (link(keep_path_.c_str(), path_.c_str()) == 0 || is_at(path_))
    return Names::Whole;
  return Names::Taken;
}

void ShmFile::remove() {
  for (const std::string &path : {path_, keep_path_})
    if (is_at(path))
      unlink(path.c_str());
}

bool ShmFile::set_mode(mode_t mode) {
  return fchmod(fd_.get(), mode) == 0;
}

bool ShmFile::reserve(Error *error) {
  return reserve_pages(fd_.get(), size_, error);
}

} // namespace vdn::shm
