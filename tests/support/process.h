// SPDX-License-Identifier: LGPL-2.1-or-later
// A program, to be killed. Ends with the thread that started it. Thread:
// any, for every function.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <gio/gio.h>

#include "glib-ptr.h"
#include "message.h"

namespace vdn {

class Process {
public:
  // `program`: its name in tests/support of this build, or its path. Fails the test when
  // it does not start.
  Process(const std::string &program, std::vector<std::string> arguments);
  ~Process();
  Process(const Process &) = delete;
  Process &operator=(const Process &) = delete;

  void signal(int number);
  // SIGKILL; when it returns, the kernel has closed whatever the process had open.
  void kill();
  // Waits for its end; false when it still runs after `limit`.
  bool ended(std::chrono::milliseconds limit);
  // The next line of its output, empty at its end.
  std::string read_line();

private:
  ObjPtr<GSubprocess> process_;
  int pidfd_ = -1;
  ObjPtr<GDataInputStream> output_;
};

// Arguments for vdoninja-publisher: a small picture of stream "abc", without sound.
std::vector<std::string> small_publisher(const std::string &server, Dialect dialect,
                                         const std::string &codec);

} // namespace vdn
