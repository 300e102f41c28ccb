// SPDX-License-Identifier: LGPL-2.1-or-later
#include "legacy-segment.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include <netdb.h>

#ifdef HAVE_LIBYUV
#include "yuv-convert.h"
#endif

namespace vdn::shm {
namespace {

void set_size(uint8_t *header, uint32_t width, uint32_t height) {
  header[0] = static_cast<uint8_t>(width / SHMNUMPY_LEGACY_BASE);
  header[1] = static_cast<uint8_t>(width % SHMNUMPY_LEGACY_BASE);
  header[2] = static_cast<uint8_t>(height / SHMNUMPY_LEGACY_BASE);
  header[3] = static_cast<uint8_t>(height % SHMNUMPY_LEGACY_BASE);
}

// RGB to BGR. 3 * width * rows bytes are written.
void swap_rows(uint8_t *to, const uint8_t *from, uint64_t row, uint64_t stride,
               uint32_t rows) {
#ifdef HAVE_LIBYUV
  swap_red_and_blue(from, static_cast<int>(stride), to, static_cast<int>(row),
                    static_cast<int>(row / 3), static_cast<int>(rows));
#else
  for (uint32_t y = 0; y < rows; y++, to += row, from += stride)
    for (uint64_t x = 0; x < row; x += 3) {
      to[x] = from[x + 2];
      to[x + 1] = from[x + 1];
      to[x + 2] = from[x];
    }
#endif
}

void copy_rows(uint8_t *to, const uint8_t *from, uint64_t row, uint64_t stride,
               uint32_t rows) {
  if (row == stride) {
    memcpy(to, from, row * rows);
    return;
  }
  for (uint32_t y = 0; y < rows; y++)
    memcpy(to + y * row, from + y * stride, row);
}

bool fail(Error *error, ErrorKind kind, std::string message) {
  *error = {kind, std::move(message)};
  return false;
}

} // namespace

bool UpdateSocket::open(const std::string &host, uint16_t port, UpdateSocket *socket,
                        Error *error) {
  *socket = UpdateSocket();
  if (port == 0)
    return true;
  addrinfo hints{}, *list = nullptr;
  hints.ai_socktype = SOCK_DGRAM;
  const int result =
      getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (result != 0)
    return fail(error, ErrorKind::BadAddress,
                "udp-host '" + host + "' is unknown: " + gai_strerror(result) +
                    "; give an address, or udp-port=0 for none");
  memcpy(&socket->address_, list->ai_addr, list->ai_addrlen);
  socket->address_bytes_ = list->ai_addrlen;
  socket->fd_ =
      Fd(::socket(list->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  freeaddrinfo(list);
  return socket->fd_ || fail(error, ErrorKind::Failed,
                             std::string("cannot make a UDP socket: ") + strerror(errno));
}

void UpdateSocket::send() const {
  if (fd_)
    sendto(fd_.get(), SHMNUMPY_LEGACY_UDP_TEXT, strlen(SHMNUMPY_LEGACY_UDP_TEXT),
           MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<const sockaddr *>(&address_),
           address_bytes_);
}

std::unique_ptr<LegacySegment>
LegacySegment::open(const std::string &name, uint64_t bytes, mode_t mode, Error *error) {
  bool was_there = false;
  std::optional<ShmFile> file = ShmFile::open(name, &was_there, error);
  if (was_there && !file)
    return nullptr;
  // Ours have a second link. publish.py holds no lock that could be tried.
  if (file && !file->is_at(file->keep_path()) && file->in_use()) {
    fail(error, ErrorKind::Busy,
         "another program, such as Raspberry.Ninja's publish.py, uses " + path_of(name) +
             ": choose another shm-name or stop that program");
    return nullptr;
  }
  if (file && (file->size() != bytes || !file->set_mode(mode) || !file->adopt())) {
    file->remove();
    file.reset();
    was_there = false;
  }
  // A file that was only truncated to its size has no pages yet.
  if (file && !file->reserve(error)) {
    file->remove();
    return nullptr;
  }
  if (!file)
    file = ShmFile::create(bytes, bytes, mode, error);
  if (!file)
    return nullptr;
  Mapping mapping(file->fd(), bytes);
  if (!mapping) {
    fail(error, ErrorKind::Failed,
         "cannot map " + path_of(name) + ": " + strerror(errno));
    return nullptr;
  }
  return std::make_unique<LegacySegment>(std::move(*file), std::move(mapping), was_there);
}

bool LegacySegment::show(const std::string &name, Error *error) {
  return was_there_ || file_.publish(name, nullptr) ||
         fail(error, ErrorKind::Failed,
              "cannot name " + path_of(name) + ": " + strerror(errno));
}

LegacySegment::LegacySegment(ShmFile file, Mapping mapping, bool was_there)
    : file_(std::move(file)), mapping_(std::move(mapping)), was_there_(was_there) {}

LegacySegment::Result LegacySegment::write(const uint8_t *pixels,
                                           const shmnumpy_slot &frame) {
  uint8_t *header = mapping_.data();
  const bool rgb = strcmp(frame.format, "RGB") == 0;
  const bool packed = rgb || strcmp(frame.format, "BGR") == 0;
  const uint64_t row = static_cast<uint64_t>(frame.width) * 3;
  const bool fits = frame.width <= SHMNUMPY_LEGACY_MAX_SIDE &&
                    frame.height <= SHMNUMPY_LEGACY_MAX_SIDE &&
                    row * frame.height <= mapping_.size() - SHMNUMPY_LEGACY_PIXELS;
  if (!packed || !fits) {
    set_size(header, 0, 0);
    return packed ? Result::TooLarge : Result::NotPacked;
  }
  // Pixels, size, counter: the order in which publish.py stores them.
  const auto fill = rgb ? swap_rows : copy_rows;
  fill(header + SHMNUMPY_LEGACY_PIXELS, pixels, row, frame.planes[0].stride,
       frame.height);
  std::atomic_thread_fence(std::memory_order_release);
  set_size(header, frame.width, frame.height);
  std::atomic_thread_fence(std::memory_order_release);
  header[4] = static_cast<uint8_t>(counter_++ % SHMNUMPY_LEGACY_BASE);
  return Result::Written;
}

} // namespace vdn::shm
