// SPDX-License-Identifier: LGPL-2.1-or-later
#include "relays.h"

#include <utility>

#include <gst/gst.h>

#include "connection.h"

namespace vdn {

Relays::Relays(Loop &loop, const std::vector<std::string> &servers,
               GTlsCertificateFlags tls_flags, const ObjPtr<GTlsDatabase> &tls_database,
               Problem problem)
    : problem_(std::move(problem)) {
  for (const auto &text : servers) {
    auto server = read_turn_server(text, nullptr);
    if (!server || !server->tls) {
      direct_.push_back(text);
      continue;
    }
    const std::string name = server->name();
    auto tunnel = std::make_unique<TlsTunnel>(
        loop, TlsTunnel::Config{std::move(*server), tls_flags, tls_database},
        [this](const std::string &sentence) {
          problem_(GST_RESOURCE_ERROR_OPEN_READ_WRITE, sentence);
        });
    GError *raw = nullptr;
    if (tunnel->listen(&raw)) {
      tunnels_.push_back(std::move(tunnel));
      continue;
    }
    const ErrorPtr error(raw);
    problem_(GST_RESOURCE_ERROR_OPEN_READ_WRITE,
             "TURN server " + name +
                 " cannot be used: nothing can listen on loopback: " + error->message);
  }
}

std::vector<std::string> Relays::uris(bool gather_on_loopback) const {
  std::vector<std::string> result = direct_;
  if (!tunnels_.empty()) {
    const bool ipv4 = Connection::gathers_ipv4(gather_on_loopback);
    for (const auto &tunnel : tunnels_)
      result.push_back(tunnel->uri(ipv4));
  }
  return result;
}

// Told once until one gives a relay again; libnice says no more than that. Why a tunnel
// does not work it has told itself.
void Relays::gathered(bool relayed) {
  std::string names;
  auto add_name = [&names](const std::string &name) {
    names += (names.empty() ? "" : ", ") + name;
  };
  for (const auto &text : direct_)
    if (auto server = read_turn_server(text, nullptr))
      add_name(server->name());
  for (const auto &tunnel : tunnels_)
    if (!tunnel->has_failed())
      add_name(tunnel->name());
  if (relayed)
    told_ = false;
  else if (!names.empty() && !std::exchange(told_, true))
    problem_(GST_RESOURCE_ERROR_NOT_AUTHORIZED, "no relay was given by TURN server " +
                                                    names +
                                                    "; check address, user and password");
}

} // namespace vdn
