// SPDX-License-Identifier: LGPL-2.1-or-later
#include "handshake-server.h"

#include "crypto.h"

#include "loop-call.h"

namespace vdn {

// Long enough for every sane message, and for tests of senders that are not.
constexpr guint64 kMaxPayload = 1024 * 1024;

unsigned HandshakeServer::State::count(std::string_view request) const {
  unsigned result = 0;
  for (const Record &record : records)
    result += record.received && record.request == request;
  return result;
}

const HandshakeRouter::Client *
HandshakeServer::State::find_stream(std::string_view wire_id) const {
  for (const Client &client : clients)
    if (client.stream == wire_id)
      return &client;
  return nullptr;
}

HandshakeServer::HandshakeServer(Options options)
    : options_(std::move(options)), router_(options_.routing), loop_("handshake") {
  crypto_init(); // before a test does anything with OpenSSL
}

HandshakeServer::~HandshakeServer() {
  loop_.stop([this] { shut(); });
}

bool HandshakeServer::start(GError **error) {
  return call(loop_, [this, error] { return listen(error); });
}

void HandshakeServer::stop() {
  call(loop_, [this] { shut(); });
}

std::string HandshakeServer::url() const {
  const std::string &address = options_.address;
  const bool v6 = address.find(':') != std::string::npos;
  return std::string(options_.certificate ? "wss://" : "ws://") +
         (address == "0.0.0.0" ? "127.0.0.1"
          : v6                 ? "[" + address + "]"
                               : address) +
         ":" + std::to_string(options_.port);
}

void HandshakeServer::set_door(Door door) {
  call(loop_, [this, door] { door_ = door; });
}

void HandshakeServer::set_hook(Hook hook) {
  call(loop_, [this, &hook] { hook_ = std::move(hook); });
}

void HandshakeServer::send_text(ClientId client, std::string text) {
  call(loop_, [this, client, &text] { send(client, text); });
}

void HandshakeServer::send_binary(ClientId client, std::string data) {
  call(loop_, [this, client, &data] {
    if (SoupWebsocketConnection *connection = open_connection(client))
      soup_websocket_connection_send_binary(connection, data.data(), data.size());
  });
}

void HandshakeServer::alert(ClientId client, std::string_view text) {
  send_text(client,
            to_json(make_object({{"request", "alert"}, {"message", text}}).get()));
}

static void cut(SoupWebsocketConnection *connection) {
  g_io_stream_close(soup_websocket_connection_get_io_stream(connection), nullptr,
                    nullptr);
}

void HandshakeServer::kick(ClientId client, bool abruptly) {
  call(loop_, [this, client, abruptly] {
    const auto found = connections_.find(client);
    if (found == connections_.end())
      return;
    const ConnectionPtr connection = found->second;
    if (!abruptly) {
      if (open_connection(client))
        soup_websocket_connection_close(connection.get(), SOUP_WEBSOCKET_CLOSE_GOING_AWAY,
                                        nullptr);
      return;
    }
    closed(client);
    cut(connection.get());
  });
}

// --- on the server's thread ---

bool HandshakeServer::listen(GError **error) {
  if (server_)
    return true;
  auto server = ObjPtr<SoupServer>::adopt(soup_server_new(nullptr, nullptr));
  if (options_.certificate)
    soup_server_set_tls_certificate(server.get(), options_.certificate.get());
  soup_server_add_early_handler(
      server.get(), nullptr,
      [](SoupServer *, SoupServerMessage *message, const char *, GHashTable *,
         gpointer self) { static_cast<HandshakeServer *>(self)->arrive(message); },
      this, nullptr);
  soup_server_add_websocket_handler(
      server.get(), nullptr, nullptr, nullptr,
      [](SoupServer *, SoupServerMessage *, const char *,
         SoupWebsocketConnection *connection,
         gpointer self) { static_cast<HandshakeServer *>(self)->connected(connection); },
      this, nullptr);

  auto address = ObjPtr<GSocketAddress>::adopt(
      g_inet_socket_address_new_from_string(options_.address.c_str(), options_.port));
  if (!address) {
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "%s is no numeric address", options_.address.c_str());
    return false;
  }
  const auto tls =
      options_.certificate ? SOUP_SERVER_LISTEN_HTTPS : SoupServerListenOptions(0);
  if (!soup_server_listen(server.get(), address.get(), tls, error))
    return false;
  GSList *uris = soup_server_get_uris(server.get());
  options_.port = g_uri_get_port(static_cast<GUri *>(uris->data));
  g_slist_free_full(uris, reinterpret_cast<GDestroyNotify>(g_uri_unref));
  server_ = server;
  state_.update([](State &state) { state.running = true; });
  return true;
}

void HandshakeServer::shut() {
  if (!server_)
    return;
  delayed_.clear();
  const auto connections = connections_;
  for (const auto &[client, connection] : connections) {
    closed(client);
    cut(connection.get());
  }
  unanswered_.clear();
  soup_server_disconnect(server_.get());
  server_.reset();
  state_.update([](State &state) { state.running = false; });
}

void HandshakeServer::arrive(SoupServerMessage *message) {
  state_.update([](State &state) { state.attempts++; });
  if (door_.kind == Door::Kind::kRefuse)
    soup_server_message_set_status(message, door_.status, nullptr);
  if (door_.kind == Door::Kind::kSilent) {
    soup_server_message_pause(message);
    unanswered_.push_back(ObjPtr<SoupServerMessage>::ref(message));
  }
}

void HandshakeServer::connected(SoupWebsocketConnection *connection) {
  const ClientId client = ++last_client_;
  state_.update([](State &state) { state.connections++; });
  if (door_.kind == Door::Kind::kCloseAtOnce) {
    cut(connection);
    return;
  }
  soup_websocket_connection_set_max_incoming_payload_size(connection, kMaxPayload);
  connections_[client] = ConnectionPtr::ref(connection);
  router_.add(client);
  g_object_set_data(G_OBJECT(connection), "client", GUINT_TO_POINTER(client));
  g_signal_connect(connection, "message",
                   G_CALLBACK(+[](SoupWebsocketConnection *from, gint type, GBytes *bytes,
                                  HandshakeServer *self) {
                     gsize size = 0;
                     const auto *data =
                         static_cast<const char *>(g_bytes_get_data(bytes, &size));
                     const gpointer id = g_object_get_data(G_OBJECT(from), "client");
                     if (type == SOUP_WEBSOCKET_DATA_TEXT)
                       self->received(GPOINTER_TO_UINT(id), {data, size});
                   }),
                   this);
  g_signal_connect(connection, "closed",
                   G_CALLBACK(+[](SoupWebsocketConnection *from, HandshakeServer *self) {
                     const gpointer id = g_object_get_data(G_OBJECT(from), "client");
                     self->closed(GPOINTER_TO_UINT(id));
                   }),
                   this);
  state_.update([this](State &state) { state.clients = router_.clients(); });
}

void HandshakeServer::received(ClientId client, std::string_view text) {
  Deliveries deliveries;
  if (door_.kind != Door::Kind::kDeaf)
    deliveries = router_.route(client, text);
  note(client, true, text);
  deliver(deliveries);
}

void HandshakeServer::closed(ClientId client) {
  const auto found = connections_.find(client);
  if (found == connections_.end())
    return;
  g_signal_handlers_disconnect_by_data(found->second.get(), this);
  connections_.erase(found);
  const Deliveries farewells = router_.remove(client);
  state_.update([this](State &state) { state.clients = router_.clients(); });
  deliver(farewells);
}

void HandshakeServer::deliver(const Deliveries &deliveries) {
  for (const Delivery &delivery : deliveries) {
    Passing passing{delivery.from, delivery.to, delivery.text};
    if (hook_)
      hook_(passing);
    if (passing.drop)
      continue;
    if (passing.delay_ms == 0) {
      send(passing.to, passing.text);
      continue;
    }
    auto timer = std::make_shared<Timer>(loop_);
    delayed_.insert(timer);
    timer->start(passing.delay_ms, [this, passing, weak = std::weak_ptr<Timer>(timer)] {
      send(passing.to, passing.text);
      delayed_.erase(weak.lock());
    });
  }
}

SoupWebsocketConnection *HandshakeServer::open_connection(ClientId client) const {
  const auto found = connections_.find(client);
  const bool open = found != connections_.end() &&
                    soup_websocket_connection_get_state(found->second.get()) ==
                        SOUP_WEBSOCKET_STATE_OPEN;
  return open ? found->second.get() : nullptr;
}

void HandshakeServer::send(ClientId client, const std::string &text) {
  SoupWebsocketConnection *connection = open_connection(client);
  if (!connection)
    return;
  // First: whoever has the message finds it in the records.
  note(client, false, text);
  soup_websocket_connection_send_message(
      connection, SOUP_WEBSOCKET_DATA_TEXT,
      BytesPtr(g_bytes_new(text.data(), text.size())).get());
}

void HandshakeServer::note(ClientId client, bool received, std::string_view text) {
  const JsonObjectPtr object = parse_object(text);
  Record record{client, received, object ? string_member(object.get(), "request") : "",
                std::string(text)};
  state_.update([this, &record](State &state) {
    (record.received ? state.received : state.sent)++;
    state.clients = router_.clients();
    state.records.push_back(std::move(record));
    if (state.records.size() > kMaxRecords)
      state.records.pop_front();
  });
}

} // namespace vdn
