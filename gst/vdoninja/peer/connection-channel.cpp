// SPDX-License-Identifier: LGPL-2.1-or-later
// The data channel of a connection: what is said to the peer and what it says.
#include "connection.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr unsigned kMaxWaitingMessages = 1000;
// What a peer does not take must not fill the memory: it may ask without end, and read
// nothing.
constexpr guint64 kMostUnsent = 1 << 20;

} // namespace

bool Connection::send(const std::string &text) {
  if (!channel_ready_ || text.empty())
    return false;
  guint64 unsent = 0;
  g_object_get(channel_.get(), "buffered-amount", &unsent, nullptr);
  if (unsent > kMostUnsent) {
    GST_INFO_OBJECT(webrtc_.get(), "the data channel is full, a message is dropped");
    return false;
  }
  g_signal_emit_by_name(channel_.get(), "send-string", text.c_str());
  return true;
}

// Thread: webrtcbin's. Messages are hooked up before this returns, so none is lost.
void Connection::channel_arrived(ObjPtr<GstWebRTCDataChannel> channel, bool open) {
  StrPtr label;
  gchar *raw = nullptr;
  g_object_get(channel.get(), "label", &raw, nullptr);
  label.reset(raw);
  if (g_strcmp0(label.get(), "sendChannel") != 0) {
    GST_INFO_OBJECT(webrtc_.get(), "ignoring data channel \"%s\"", label.get());
    return;
  }
  // Weak: the job may still be waiting when webrtcbin goes, and the channel goes first.
  auto weak = std::make_shared<WeakPtr<GstWebRTCDataChannel>>(channel.get());
  run_later<Connection>({weak_from_this(), loop_.shared_from_this()},
                        [weak, open](Connection &self) {
                          self.channel_ = weak->lock();
                          if (self.channel_ && open)
                            self.channel_is_ready();
                        });
  auto connect = [&](const char *signal, GCallback handler) {
    g_signal_connect_data(channel.get(), signal, handler, new_hook(), Hook::free,
                          static_cast<GConnectFlags>(0));
  };
  if (!open)
    connect("on-open", G_CALLBACK(+[](GstWebRTCDataChannel *, gpointer data) {
              run_later<Connection>(*static_cast<Hook *>(data), [](Connection &self) {
                if (self.channel_)
                  self.channel_is_ready();
              });
            }));
  connect("on-message-string",
          G_CALLBACK(+[](GstWebRTCDataChannel *, gchar *text, gpointer data) {
            queue_message(static_cast<Hook *>(data), text ? text : "");
          }));
  connect("on-message-data",
          G_CALLBACK(+[](GstWebRTCDataChannel *, GBytes *bytes, gpointer data) {
            gsize size = 0;
            auto *text = static_cast<const char *>(g_bytes_get_data(bytes, &size));
            queue_message(static_cast<Hook *>(data), std::string(text, size));
          }));
  connect("on-close", G_CALLBACK(+[](GstWebRTCDataChannel *, gpointer data) {
            run_later<Connection>(*static_cast<Hook *>(data),
                                  [](Connection &self) { self.channel_ready_ = false; });
          }));
}

// The loop may be held up, by a slow handler of on-message for one; what comes meanwhile
// must not fill the memory. Thread: webrtcbin's.
void Connection::queue_message(Hook *at, std::string text) {
  auto self = at->connection.lock();
  if (!self)
    return;
  if (self->waiting_messages_->fetch_add(1) >= kMaxWaitingMessages) {
    self->waiting_messages_->fetch_sub(1);
    GST_WARNING_OBJECT(self->bin_.get(),
                       "more than %u messages of the data channel wait, one is dropped",
                       kMaxWaitingMessages);
    return;
  }
  at->loop->post(
      [weak = at->connection, waiting = self->waiting_messages_, text = std::move(text)] {
        waiting->fetch_sub(1);
        auto connection = weak.lock();
        if (connection && !connection->closed_)
          connection->channel_message(text);
      });
}

void Connection::channel_is_ready() {
  if (!verified())
    return;
  channel_ready_ = true;
  GST_INFO_OBJECT(webrtc_.get(), "data channel is open");
  channel_opened();
}

void Connection::channel_message(const std::string &text) {
  if (!verified())
    return;
  messages_++;
  GError *raw = nullptr;
  auto message = parse_message(text, nullptr, secret_, &raw);
  ErrorPtr error(raw);
  if (!message) {
    GST_INFO_OBJECT(webrtc_.get(), "ignoring a data-channel message: %s", error->message);
    return;
  }
  if (message->ping)
    send(encode_pong(*message->ping));
  received(*message, text);
}

} // namespace vdn
