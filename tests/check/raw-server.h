// SPDX-License-Identifier: LGPL-2.1-or-later
// A TCP server on loopback that says one thing to whoever comes, and hangs up.
#pragma once

#include <string>

#include <gio/gio.h>

#include "glib-ptr.h"

namespace vdn {

class RawServer {
public:
  explicit RawServer(std::string reply) : reply_(std::move(reply)) {
    // Adding an address begins to accept, in the context of the moment.
    g_main_context_push_thread_default(context_);
    service_ = ObjPtr<GSocketService>::adopt(g_threaded_socket_service_new(4));
    auto any =
        ObjPtr<GInetAddress>::adopt(g_inet_address_new_loopback(G_SOCKET_FAMILY_IPV4));
    auto address = ObjPtr<GSocketAddress>::adopt(g_inet_socket_address_new(any.get(), 0));
    ObjPtr<GSocketAddress> bound;
    g_socket_listener_add_address(listener(), address.get(), G_SOCKET_TYPE_STREAM,
                                  G_SOCKET_PROTOCOL_TCP, nullptr, bound.out(), nullptr);
    g_main_context_pop_thread_default(context_);
    port_ = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound.get()));
    g_signal_connect(
        service_.get(), "run",
        G_CALLBACK(+[](GThreadedSocketService *, GSocketConnection *connection, GObject *,
                       gpointer self) -> gboolean {
          static_cast<RawServer *>(self)->serve(connection);
          return TRUE;
        }),
        this);
    thread_ = g_thread_new("raw-server", run, this);
  }
  ~RawServer() {
    // On the loop: before it runs, quitting would be lost.
    GSource *quit = g_idle_source_new();
    g_source_set_callback(
        quit,
        [](gpointer loop) -> gboolean {
          g_main_loop_quit(static_cast<GMainLoop *>(loop));
          return G_SOURCE_REMOVE;
        },
        loop_, nullptr);
    g_source_attach(quit, context_);
    g_source_unref(quit);
    g_thread_join(thread_);
    g_main_loop_unref(loop_);
    g_main_context_unref(context_);
  }
  RawServer(const RawServer &) = delete;
  RawServer &operator=(const RawServer &) = delete;

  std::string url() const { return "ws://127.0.0.1:" + std::to_string(port_); }

private:
  GSocketListener *listener() const { return G_SOCKET_LISTENER(service_.get()); }
  static gpointer run(gpointer data) {
    auto *self = static_cast<RawServer *>(data);
    g_main_context_push_thread_default(self->context_);
    g_main_loop_run(self->loop_);
    g_socket_service_stop(self->service_.get());
    g_socket_listener_close(self->listener());
    g_main_context_pop_thread_default(self->context_);
    return nullptr;
  }
  void serve(GSocketConnection *connection) const {
    // The request is read first: a reset in its middle would be another fault.
    char request[4096];
    g_input_stream_read(g_io_stream_get_input_stream(G_IO_STREAM(connection)), request,
                        sizeof request, nullptr, nullptr);
    g_output_stream_write_all(g_io_stream_get_output_stream(G_IO_STREAM(connection)),
                              reply_.data(), reply_.size(), nullptr, nullptr, nullptr);
  }

  const std::string reply_;
  ObjPtr<GSocketService> service_;
  GMainContext *context_ = g_main_context_new();
  GMainLoop *loop_ = g_main_loop_new(context_, FALSE);
  GThread *thread_ = nullptr;
  guint16 port_ = 0;
};

// A URL on which nothing listens: the port was free a moment ago.
inline std::string closed_url() {
  return RawServer("").url();
}

} // namespace vdn
