// SPDX-License-Identifier: LGPL-2.1-or-later
// The segment of Raspberry.Ninja's readers: one frame behind five bytes, and a datagram.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <netinet/in.h>
#include <sys/socket.h>

#include "shm-file.h"
#include "shm-layout.h"

namespace vdn::shm {

// Sends "update" to one UDP address; a receiver that is not there costs a system call.
class UpdateSocket {
public:
  // Port 0: sends nothing. Resolves `host`, which may block. Errors: BadAddress.
  static bool open(const std::string &host, uint16_t port, UpdateSocket *socket,
                   Error *error);
  // Never blocks. Thread: streaming.
  void send() const;

private:
  Fd fd_;
  sockaddr_storage address_{};
  socklen_t address_bytes_ = 0;
};

// Threads: write() on the streaming thread; the file is serialised by the owner.
class LegacySegment {
public:
  // A file of the right size that was left behind is filled further, so that readers that
  // have it open go on; any other is removed. One that we did not make and somebody has
  // open is left alone: Raspberry.Ninja's publish.py makes the same name.
  // Errors: Busy, Denied, NoSpace, Failed.
  static std::unique_ptr<LegacySegment> open(const std::string &name, uint64_t bytes,
                                             mode_t mode, Error *error);

  // Gives a new file its name; nothing to do for one that was there. Errors: Failed.
  bool show(const std::string &name, Error *error);
  // Somebody may have opened the file before it was ours.
  bool was_there() const { return was_there_; }

  enum class Result { Written, TooLarge, NotPacked };
  // Copies a frame of RGB or BGR, as BGR, which is what publish.py writes and its readers
  // take: pixels: uint8[height][planes[0].stride].
  // Where that cannot be, the size in the header becomes zero.
  Result write(const uint8_t *pixels, const shmnumpy_slot &frame);

  ShmFile &file() { return file_; }

  LegacySegment(ShmFile file, Mapping mapping, bool was_there);

private:
  ShmFile file_;
  Mapping mapping_;
  const bool was_there_;
  unsigned counter_ = 0;
};

} // namespace vdn::shm
