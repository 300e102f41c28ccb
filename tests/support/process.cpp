// SPDX-License-Identifier: LGPL-2.1-or-later
#include "process.h"

#include <csignal>
#include <cstdlib>

#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "time-factor.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

namespace vdn {

Process::Process(const std::string &program, std::vector<std::string> arguments) {
  const std::string path = program[0] == '/' ? program
                                             : std::string(g_getenv("BUILD_ROOT")) +
                                                   "/tests/support/" + program;
  std::vector<const char *> argv{path.c_str()};
  for (const std::string &argument : arguments)
    argv.push_back(argument.c_str());
  argv.push_back(nullptr);
  const auto launcher = ObjPtr<GSubprocessLauncher>::adopt(
      g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_PIPE));
  g_subprocess_launcher_set_child_setup(
      launcher.get(), [](gpointer) { prctl(PR_SET_PDEATHSIG, SIGKILL); }, nullptr,
      nullptr);
  GError *raw = nullptr;
  process_ = ObjPtr<GSubprocess>::adopt(
      g_subprocess_launcher_spawnv(launcher.get(), argv.data(), &raw));
  const ErrorPtr error(raw);
  fail_unless(process_.get() != nullptr, "%s: %s", path.c_str(),
              error ? error->message : "?");
  pidfd_ = static_cast<int>(
      syscall(SYS_pidfd_open, atoi(g_subprocess_get_identifier(process_.get())), 0));
  fail_unless(pidfd_ >= 0, "%s is gone at once", path.c_str());
  output_ = ObjPtr<GDataInputStream>::adopt(
      g_data_input_stream_new(g_subprocess_get_stdout_pipe(process_.get())));
}

Process::~Process() {
  kill();
  close(pidfd_);
}

void Process::signal(int number) {
  g_subprocess_send_signal(process_.get(), number);
}

void Process::kill() {
  signal(SIGKILL);
  ended(std::chrono::seconds(10));
}

bool Process::ended(std::chrono::milliseconds limit) {
  pollfd end{pidfd_, POLLIN, 0};
  limit *= time_factor();
  return poll(&end, 1, static_cast<int>(limit.count())) == 1;
}

std::string Process::read_line() {
  const StrPtr line(
      g_data_input_stream_read_line(output_.get(), nullptr, nullptr, nullptr));
  return line ? line.get() : "";
}

std::vector<std::string> small_publisher(const std::string &server, Dialect dialect,
                                         const std::string &codec) {
  return {"--server",    server,
          "--dialect",   dialect == Dialect::kHosted ? "hosted" : "custom",
          "--stream-id", "abc",
          "--size",      "160x90",
          "--fps",       "15",
          "--bitrate",   "200",
          "--no-audio",  "--codec",
          codec};
}

} // namespace vdn
