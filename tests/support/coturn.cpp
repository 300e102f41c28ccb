// SPDX-License-Identifier: LGPL-2.1-or-later
#include "coturn.h"

#include <glib/gstdio.h>

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

namespace vdn {

namespace {

// The kernel's choice, given back at once: coturn does not take 0.
unsigned free_port(const std::string &address, GSocketType type) {
  const auto wanted = ObjPtr<GSocketAddress>::adopt(
      g_inet_socket_address_new_from_string(address.c_str(), 0));
  const auto socket =
      ObjPtr<GSocket>::adopt(g_socket_new(g_socket_address_get_family(wanted.get()), type,
                                          G_SOCKET_PROTOCOL_DEFAULT, nullptr));
  fail_unless(socket && g_socket_bind(socket.get(), wanted.get(), FALSE, nullptr),
              "no port of %s", address.c_str());
  const auto got =
      ObjPtr<GSocketAddress>::adopt(g_socket_get_local_address(socket.get(), nullptr));
  return g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(got.get()));
}

void write_file(const std::string &path, const std::string &text) {
  fail_unless(g_file_set_contents(path.c_str(), text.c_str(), -1, nullptr));
}

std::string escaped(const std::string &text) {
  return StrPtr(g_uri_escape_string(text.c_str(), nullptr, FALSE)).get();
}

} // namespace

bool Coturn::is_installed() {
  const StrPtr program(g_find_program_in_path("turnserver"));
  if (!program)
    g_print("skipped: no TURN server here; install coturn\n");
  return program != nullptr;
}

Coturn::Coturn(Over over, const CertificateText &certificate, std::string address)
    : over_(over), address_(std::move(address)),
      port_(free_port(address_, over == Over::kUdp ? G_SOCKET_TYPE_DATAGRAM
                                                   : G_SOCKET_TYPE_STREAM)) {
  folder_ = StrPtr(g_dir_make_tmp("vdn-coturn-XXXXXX", nullptr)).get();
  if (over_ == Over::kTls) {
    const SelfSigned own = make_self_signed(nullptr, certificate);
    fail_unless(bool(own.certificate), "no certificate");
    gchar *key = nullptr;
    g_object_get(own.certificate.get(), "private-key-pem", &key, nullptr);
    write_file(path("certificate.pem"), own.pem);
    write_file(path("key.pem"), StrPtr(key).get());
    authority_ = ObjPtr<GTlsDatabase>::adopt(G_TLS_DATABASE(
        g_tls_file_database_new(path("certificate.pem").c_str(), nullptr)));
  }
  start();
}

Coturn::~Coturn() {
  kill();
  for (const char *file : {"certificate.pem", "key.pem", "users", "pid"})
    g_unlink(path(file).c_str());
  g_rmdir(folder_.c_str());
}

void Coturn::start() {
  const StrPtr program(g_find_program_in_path("turnserver"));
  const std::string port = std::to_string(port_);
  std::vector<std::string> arguments = {"-n",
                                        "-v",
                                        "--log-file=stdout",
                                        "--no-cli",
                                        "--no-dtls",
                                        "--lt-cred-mech",
                                        "--realm=test",
                                        std::string("--user=") + kUser + ":" + kPassword,
                                        "--listening-ip=" + address_,
                                        "--relay-ip=" + address_,
                                        "--allocation-default-address-family=keep",
                                        "--listening-port=" + port,
                                        "--tls-listening-port=" + port,
                                        "--allow-loopback-peers",
                                        "--userdb=" + path("users"),
                                        "--pidfile=" + path("pid")};
  if (over_ != Over::kUdp)
    arguments.emplace_back("--no-udp");
  if (over_ != Over::kTcp)
    arguments.emplace_back("--no-tcp");
  if (over_ == Over::kTls) {
    arguments.push_back("--cert=" + path("certificate.pem"));
    arguments.push_back("--pkey=" + path("key.pem"));
  } else {
    arguments.emplace_back("--no-tls");
  }
  process_ = std::make_unique<Process>(program.get(), std::move(arguments));
  std::string line;
  do {
    line = process_->read_line();
    fail_unless(!line.empty() || process_->ended(std::chrono::milliseconds(0)) == false,
                "coturn ended before it listened");
  } while (line.find("listener opened on") == std::string::npos);
}

std::string Coturn::name() const {
  const bool v6 = address_.find(':') != std::string::npos;
  return (over_ == Over::kTls ? "turns://" : "turn://") +
         (v6 ? "[" + address_ + "]" : address_) + ":" + std::to_string(port_);
}

std::string Coturn::uri(const std::string &password) const {
  const std::string scheme = over_ == Over::kTls ? "turns://" : "turn://";
  return scheme + escaped(kUser) + ":" + escaped(password) + "@" +
         name().substr(scheme.size()) +
         (over_ == Over::kUdp ? "?transport=udp" : "?transport=tcp");
}

} // namespace vdn
