// SPDX-License-Identifier: LGPL-2.1-or-later
// A VDO.Ninja handshake server as a program: for the demo, and for local networks without
// internet. Prints its URL and runs until SIGINT or SIGTERM. With --line a bad network is
// between those whom it brings together, each line that is written to its input changes
// it to that one, and a line of JSON at the end tells what passed.
#include <glib-unix.h>

#include <unistd.h>

#include "handshake-server.h"
#include "relayed.h"

namespace {

struct Arguments {
  vdn::StrPtr address, dialect, certificate, key, line;
  gint port = 0, die_at = 0, seed = 1;
  gboolean fan_out = FALSE;
};

bool parse(Arguments *into, int *argc, char ***argv, GError **error) {
  gchar *address = nullptr, *dialect = nullptr, *certificate = nullptr, *key = nullptr;
  gchar *line = nullptr;
  const GOptionEntry entries[] = {
      {"port", 'p', 0, G_OPTION_ARG_INT, &into->port, "Port to listen on (0: a free one)",
       "N"},
      {"address", 'a', 0, G_OPTION_ARG_STRING, &address,
       "Address to listen on (127.0.0.1; 0.0.0.0 for the whole network)", "IP"},
      {"dialect", 'd', 0, G_OPTION_ARG_STRING, &dialect,
       "hosted: as wss.vdo.ninja (default); custom: as self-hosted servers", "NAME"},
      {"fan-out", 0, 0, G_OPTION_ARG_NONE, &into->fan_out,
       "Custom dialect: pass everything to everybody", nullptr},
      {"die-at", 0, 0, G_OPTION_ARG_INT, &into->die_at,
       "Kill the server instead of passing on the Nth message", "N"},
      {"tls-cert", 0, 0, G_OPTION_ARG_FILENAME, &certificate,
       "Serve wss:// with this PEM certificate", "FILE"},
      {"tls-key", 0, 0, G_OPTION_ARG_FILENAME, &key, "Private key of --tls-cert", "FILE"},
      {"line", 0, 0, G_OPTION_ARG_STRING, &line,
       "Media of those without a password, all on 127.0.0.1, pass a bad network: wifi, "
       "loss5, burst, lte ..., or as \"loss=0.05 delay=20|delay=20\"",
       "NAME"},
      {"seed", 0, 0, G_OPTION_ARG_INT, &into->seed, "Of the choices of --line (1)", "N"},
      {nullptr, 0, 0, G_OPTION_ARG_NONE, nullptr, nullptr, nullptr}};
  GOptionContext *context = g_option_context_new("- VDO.Ninja handshake server");
  g_option_context_add_main_entries(context, entries, nullptr);
  const bool parsed = g_option_context_parse(context, argc, argv, error);
  g_option_context_free(context);
  into->address.reset(address);
  into->dialect.reset(dialect);
  into->certificate.reset(certificate);
  into->key.reset(key);
  into->line.reset(line);
  return parsed;
}

bool make_options(const Arguments &from, vdn::HandshakeServer::Options *options,
                  GError **error) {
  const std::string dialect = from.dialect ? from.dialect.get() : "hosted";
  if (dialect != "hosted" && dialect != "custom") {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--dialect is hosted or custom, not %s", dialect.c_str());
    return false;
  }
  if (from.port < 0 || from.port > 65535) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "--port is 0 to 65535, not %d", from.port);
    return false;
  }
  options->routing.dialect =
      dialect == "custom" ? vdn::Dialect::kCustom : vdn::Dialect::kHosted;
  options->routing.fan_out = from.fan_out;
  options->port = from.port;
  if (from.address)
    options->address = from.address.get();
  if (!from.certificate)
    return true;
  const char *key = from.key ? from.key.get() : from.certificate.get();
  options->certificate = vdn::ObjPtr<GTlsCertificate>::adopt(
      g_tls_certificate_new_from_files(from.certificate.get(), key, error));
  return static_cast<bool>(options->certificate);
}

// Packets of media, by what it is told of each: RTP on its way to the viewer.
class BadNetwork {
public:
  BadNetwork(const vdn::Line &line, unsigned seed) : relay_(seed) {
    relay_.set(line);
    relay_.set_tap(
        [this](vdn::End to, vdn::BadLine::Fate fate, const std::string &packet) {
          // DTLS and STUN begin otherwise.
          if (to == vdn::End::kViewer && (packet[0] & 0xc0) == 0x80)
            count(fate == vdn::BadLine::Fate::kPassed, packet.size());
        });
  }
  vdn::UdpRelay &relay() { return relay_; }
  // As more of what was written to the input comes.
  void read(const char *text, size_t size) {
    input_.append(text, size);
    for (size_t end; (end = input_.find('\n')) != std::string::npos;) {
      vdn::Line line;
      const std::string name = input_.substr(0, end);
      input_.erase(0, end + 1);
      if (vdn::find_line(name, &line))
        relay_.set(line);
      else
        g_printerr("no line is called %s\n", name.c_str());
    }
  }
  void print() {
    relay_.set_tap({});
    const double seconds = double(last_us_ - first_us_) / G_USEC_PER_SEC;
    g_print("{\"event\":\"end\",\"passed\":%u,\"lost\":%u,\"seconds\":%.2f,"
            "\"kbit_s\":%.0f,\"late_ms\":%.1f}\n",
            passed_, lost_, seconds, seconds > 0 ? double(bytes_) / 125 / seconds : 0,
            double(relay_.state().late_us) / 1000);
  }

private:
  void count(bool passed, size_t bytes) {
    last_us_ = g_get_monotonic_time();
    if (first_us_ == 0)
      first_us_ = last_us_;
    bytes_ += bytes;
    (passed ? passed_ : lost_)++;
  }

  // The relay's thread, until it is not told any more.
  unsigned passed_ = 0, lost_ = 0;
  guint64 bytes_ = 0;
  gint64 first_us_ = 0, last_us_ = 0;
  std::string input_; // the last line of it, which has not come to its end
  vdn::UdpRelay relay_;
};

bool make_network(const Arguments &from, std::unique_ptr<BadNetwork> *network,
                  GError **error) {
  if (!from.line)
    return true;
  vdn::Line line;
  if (!vdn::find_line(from.line.get(), &line)) {
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "--line knows no %s",
                from.line.get());
    return false;
  }
  *network = std::make_unique<BadNetwork>(line, from.seed);
  return true;
}

// What happens to messages on their way.
void set_hook(vdn::HandshakeServer &server, int die_at, BadNetwork *network) {
  if (die_at <= 0 && !network)
    return;
  server.set_hook([left = die_at, network](vdn::Passing &passing) mutable {
    if (left > 0 && --left == 0)
      raise(SIGKILL);
    if (network)
      passing.drop |= !vdn::lead_through(network->relay(), &passing.text);
  });
}

gboolean read_input(gint fd, GIOCondition, gpointer network) {
  char text[256];
  const ssize_t size = read(fd, text, sizeof text);
  if (size <= 0)
    return G_SOURCE_REMOVE;
  static_cast<BadNetwork *>(network)->read(text, static_cast<size_t>(size));
  return G_SOURCE_CONTINUE;
}

} // namespace

int main(int argc, char **argv) {
  Arguments arguments;
  std::unique_ptr<BadNetwork> network; // outlives the server
  vdn::HandshakeServer::Options options;
  GError *error = nullptr;
  if (!parse(&arguments, &argc, &argv, &error) ||
      !make_options(arguments, &options, &error) ||
      !make_network(arguments, &network, &error)) {
    g_printerr("%s\n", error->message);
    g_error_free(error);
    return 2;
  }
  vdn::HandshakeServer server(std::move(options));
  if (!server.start(&error)) {
    g_printerr("%s\n", error->message);
    g_error_free(error);
    return 1;
  }
  set_hook(server, arguments.die_at, network.get());
  g_print("%s\n", server.url().c_str());
  fflush(stdout);

  GMainLoop *loop = g_main_loop_new(nullptr, FALSE);
  const GSourceFunc quit = [](gpointer data) -> gboolean {
    g_main_loop_quit(static_cast<GMainLoop *>(data));
    return G_SOURCE_CONTINUE;
  };
  g_unix_signal_add(SIGINT, quit, loop);
  g_unix_signal_add(SIGTERM, quit, loop);
  if (network)
    g_unix_fd_add(STDIN_FILENO, static_cast<GIOCondition>(G_IO_IN | G_IO_HUP), read_input,
                  network.get());
  g_main_loop_run(loop);
  g_main_loop_unref(loop);
  if (network)
    network->print();
  return 0;
}
