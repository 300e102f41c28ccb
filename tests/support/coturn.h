// SPDX-License-Identifier: LGPL-2.1-or-later
// A real TURN server: coturn, of the package of that name. Thread: the test's.
#pragma once

#include <memory>
#include <string>

#include "certificate.h"
#include "process.h"

namespace vdn {

class Coturn {
public:
  enum class Over { kUdp, kTcp, kTls };
  static constexpr const char *kUser = "relayer";
  static constexpr const char *kPassword = "hush/4711";

  // False when it is not installed, and says so.
  static bool is_installed();

  // Listens at once, on a free port of `address`, and takes nothing but `over`.
  explicit Coturn(Over over, const CertificateText &certificate = {},
                  std::string address = "127.0.0.1");
  ~Coturn();
  Coturn(const Coturn &) = delete;
  Coturn &operator=(const Coturn &) = delete;

  // As SIGKILL does; start() brings it back under the same port.
  void kill() { process_.reset(); }
  void start();
  // "turns://127.0.0.1:PORT", as messages call it.
  std::string name() const;
  // An entry for turn-servers.
  std::string uri(const std::string &password = kPassword) const;
  // Of TLS: its authority, to be trusted.
  ObjPtr<GTlsDatabase> authority() const { return authority_; }

private:
  std::string path(const char *file) const { return folder_ + "/" + file; }

  const Over over_;
  const std::string address_;
  const unsigned port_;
  std::string folder_; // for what it reads and writes
  ObjPtr<GTlsDatabase> authority_;
  std::unique_ptr<Process> process_;
};

} // namespace vdn
