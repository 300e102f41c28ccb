// SPDX-License-Identifier: LGPL-2.1-or-later
// A VDO.Ninja handshake server as a program: for the demo, and for local networks without
// internet. Prints its URL and runs until SIGINT or SIGTERM.
#include <glib-unix.h>

#include "handshake-server.h"

namespace {

struct Arguments {
  vdn::StrPtr address, dialect, certificate, key;
  gint port = 0, die_at = 0;
  gboolean fan_out = FALSE;
};

bool parse(Arguments *into, int *argc, char ***argv, GError **error) {
  gchar *address = nullptr, *dialect = nullptr, *certificate = nullptr, *key = nullptr;
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
      {nullptr, 0, 0, G_OPTION_ARG_NONE, nullptr, nullptr, nullptr}};
  GOptionContext *context = g_option_context_new("- VDO.Ninja handshake server");
  g_option_context_add_main_entries(context, entries, nullptr);
  const bool parsed = g_option_context_parse(context, argc, argv, error);
  g_option_context_free(context);
  into->address.reset(address);
  into->dialect.reset(dialect);
  into->certificate.reset(certificate);
  into->key.reset(key);
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

} // namespace

int main(int argc, char **argv) {
  Arguments arguments;
  vdn::HandshakeServer::Options options;
  GError *error = nullptr;
  if (!parse(&arguments, &argc, &argv, &error) ||
      !make_options(arguments, &options, &error)) {
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
  if (arguments.die_at > 0)
    server.set_hook([left = arguments.die_at](vdn::Passing &) mutable {
      if (--left == 0)
        raise(SIGKILL);
    });
  g_print("%s\n", server.url().c_str());
  fflush(stdout);

  GMainLoop *loop = g_main_loop_new(nullptr, FALSE);
  const GSourceFunc quit = [](gpointer data) -> gboolean {
    g_main_loop_quit(static_cast<GMainLoop *>(data));
    return G_SOURCE_CONTINUE;
  };
  g_unix_signal_add(SIGINT, quit, loop);
  g_unix_signal_add(SIGTERM, quit, loop);
  g_main_loop_run(loop);
  g_main_loop_unref(loop);
  return 0;
}
