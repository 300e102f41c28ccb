// SPDX-License-Identifier: LGPL-2.1-or-later
#include "connection.h"

#include <algorithm>

#include <sys/random.h>

#include "fingerprint.h"

GST_DEBUG_CATEGORY(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

Iv fresh_iv() {
  Iv iv{};
  if (getrandom(iv.data(), iv.size(), 0) != static_cast<ssize_t>(iv.size()))
    g_error("the system has no random numbers");
  return iv;
}

StrPtr error_text(const GstStructure *reply) {
  GError *error = nullptr;
  gst_structure_get(reply, "error", G_TYPE_ERROR, &error, nullptr);
  ErrorPtr owner(error);
  return StrPtr(g_strdup(error ? error->message : "no reason given"));
}

LinkState link_state_of(GstElement *webrtc) {
  GstWebRTCPeerConnectionState connection;
  GstWebRTCICEConnectionState ice;
  g_object_get(webrtc, "connection-state", &connection, "ice-connection-state", &ice,
               nullptr);
  if (connection == GST_WEBRTC_PEER_CONNECTION_STATE_FAILED ||
      ice == GST_WEBRTC_ICE_CONNECTION_STATE_FAILED)
    return LinkState::kFailed;
  if (connection == GST_WEBRTC_PEER_CONNECTION_STATE_DISCONNECTED ||
      connection == GST_WEBRTC_PEER_CONNECTION_STATE_CLOSED ||
      ice == GST_WEBRTC_ICE_CONNECTION_STATE_DISCONNECTED)
    return LinkState::kDisconnected;
  if (connection == GST_WEBRTC_PEER_CONNECTION_STATE_CONNECTED)
    return LinkState::kConnected;
  return connection == GST_WEBRTC_PEER_CONNECTION_STATE_NEW ? LinkState::kNew
                                                            : LinkState::kConnecting;
}

} // namespace

GQuark connection_error_quark() {
  return g_quark_from_static_string("vdoninja-connection-error");
}

void connection_debug_init() {
  GST_DEBUG_CATEGORY_INIT(vdoninja_session_debug, "vdoninja-session", 0,
                          "VDO.Ninja sessions");
}

Connection::Connection(Loop &loop, GstBin *bin, std::shared_ptr<Disposer> disposer,
                       const Address &me, const Secret &secret, ConnectionConfig config)
    : loop_(loop), bin_(ObjPtr<GstBin>::ref(bin)), disposer_(std::move(disposer)),
      secret_(secret), config_(std::move(config)), me_(me), bundle_timer_(loop) {}

Connection::~Connection() {
  g_warn_if_fail(closed_);
}

bool Connection::make_webrtcbin(GError **error) {
  webrtc_ = ObjPtr<GstElement>::adopt(gst_element_factory_make("webrtcbin", nullptr));
  if (!webrtc_) {
    g_set_error(error, connection_error_quark(), CONNECTION_ERROR_WEBRTC,
                "element webrtcbin is missing; install gstreamer1.0-plugins-bad");
    return false;
  }
  gst_util_set_object_arg(G_OBJECT(webrtc_.get()), "bundle-policy", "max-bundle");
  set_up_ice();
  hook(webrtc_.get(), "on-ice-candidate",
       G_CALLBACK(+[](GstElement *, guint, gchar *text, gpointer data) {
         run_later<Connection>(*static_cast<Hook *>(data),
                               [text = std::string(text)](Connection &self) {
                                 self.local_candidate(text);
                               });
       }));
  auto changed = +[](GObject *, GParamSpec *, gpointer data) {
    run_later<Connection>(*static_cast<Hook *>(data),
                          [](Connection &self) { self.update_link_state(); });
  };
  hook(webrtc_.get(), "notify::connection-state", G_CALLBACK(changed));
  hook(webrtc_.get(), "notify::ice-connection-state", G_CALLBACK(changed));
  hook(webrtc_.get(), "notify::ice-gathering-state",
       G_CALLBACK(+[](GObject *, GParamSpec *, gpointer data) {
         run_later<Connection>(*static_cast<Hook *>(data),
                               [](Connection &self) { self.gathering_changed(); });
       }));
  return true;
}

void Connection::watch_inside(bool receives) {
  keep_channels(webrtc_.get());
  hook(webrtc_.get(), "element-added", G_CALLBACK(on_channel_bin));
  const auto rtpbin =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(webrtc_.get()), "rtpbin"));
  if (rtpbin) {
    hook(rtpbin.get(), "on-new-ssrc", G_CALLBACK(on_new_ssrc));
    for (const char *signal : {"on-timeout", "on-bye-timeout"})
      hook(rtpbin.get(), signal, G_CALLBACK(on_ssrc_forgotten));
  }
  g_signal_connect(webrtc_.get(), "element-added", G_CALLBACK(on_element_added),
                   GINT_TO_POINTER(receives));
}

Connection::Hook *Connection::new_hook() {
  return new Hook{weak_from_this(), loop_.shared_from_this()};
}

void Connection::hook(gpointer object, const char *signal, GCallback handler) {
  gulong id = g_signal_connect_data(object, signal, handler, new_hook(), Hook::free,
                                    static_cast<GConnectFlags>(0));
  handlers_.emplace_back(ObjPtr<GObject>::ref(G_OBJECT(object)), id);
}

void Connection::fail(ConnectionError code, const std::string &text) {
  ErrorPtr error(g_error_new_literal(connection_error_quark(), code, text.c_str()));
  GST_WARNING_OBJECT(webrtc_.get(), "%s", text.c_str());
  failed(error.get());
}

void Connection::stop() {
  if (closed_)
    return;
  closed_ = true;
  bundle_timer_.stop();
  g_cancellable_cancel(lookups_.get());
  for (auto &[object, id] : handlers_)
    g_signal_handler_disconnect(object.get(), id);
  handlers_.clear();
  // webrtcbin drops unanswered promises when it stops, and GLib then warns.
  if (path_promise_)
    pending_.push_back(std::exchange(path_promise_, nullptr));
  for (GstPromise *promise : std::exchange(pending_, {})) {
    gst_promise_interrupt(promise);
    gst_promise_unref(promise);
  }
}

void Connection::close() {
  stop();
  channel_.reset();
  channel_ready_ = false;
  if (webrtc_)
    dispose();
}

void Connection::dispose() {
  disposer_->dispose(bin_.get(), std::move(webrtc_), stop_webrtcbin);
}

GstPromise *Connection::promise(Step step) {
  struct Waiting {
    Hook hook;
    Step step;
  };
  auto answered = [](GstPromise *promise, gpointer data) {
    auto *waiting = static_cast<Waiting *>(data);
    if (gst_promise_wait(promise) != GST_PROMISE_RESULT_REPLIED)
      return;
    const GstStructure *reply = gst_promise_get_reply(promise);
    std::shared_ptr<GstStructure> copy(reply ? gst_structure_copy(reply)
                                             : gst_structure_new_empty("reply"),
                                       gst_structure_free);
    auto reply_came = [promise, copy, step = waiting->step](Connection &self) {
      auto &pending = self.pending_;
      const auto at = std::find(pending.begin(), pending.end(), promise);
      if (at == pending.end())
        return; // stop() has let go of it
      pending.erase(at);
      gst_promise_unref(promise);
      step(self, copy.get());
    };
    run_later<Connection>(waiting->hook, std::move(reply_came));
  };
  pending_.push_back(gst_promise_new_with_change_func(
      answered,
      new Waiting{{weak_from_this(), loop_.shared_from_this()}, std::move(step)},
      [](gpointer data) { delete static_cast<Waiting *>(data); }));
  return pending_.back();
}

bool Connection::reply_failed(const GstStructure *reply, const char *what) {
  if (!gst_structure_has_field(reply, "error"))
    return false;
  fail(CONNECTION_ERROR_WEBRTC, std::string(what) + ": " + error_text(reply).get());
  return true;
}

Envelope Connection::envelope() const {
  Envelope to;
  to.me = &me_;
  to.peer = config_.peer;
  to.session = config_.id;
  to.stream_id = config_.wire_id;
  if (encrypt_) {
    to.secret = &secret_;
    to.iv = fresh_iv();
  }
  return to;
}

// Raspberry.Ninja, known by its null session, reads answers and candidates on the socket
// only.
bool Connection::send_signal(const std::string &text, bool over_channel) {
  if (text.empty())
    return false;
  return over_channel ? send(text) : send_on_socket(text);
}

void Connection::update_link_state() {
  const LinkState state = link_state_of(webrtc_.get());
  if (state == link_state_)
    return;
  link_state_ = state;
  if (state == LinkState::kConnected)
    look_for_path();
  link_changed(state);
}

// webrtcbin does not compare them, before 1.28.5. Media and data exist only after the
// handshake, so the certificate is known by then.
bool Connection::verified() {
  if (verified_)
    return true;
  auto dtls = dtls_transport(webrtc_.get());
  gchar *raw = nullptr;
  if (dtls)
    g_object_get(dtls.get(), "remote-certificate", &raw, nullptr);
  StrPtr pem(raw);
  const std::string &announced = transport_.fingerprint;
  const std::string algorithm = announced.substr(0, announced.find(' '));
  verified_ = pem && !announced.empty() &&
              certificate_fingerprint(pem.get(), algorithm) == announced;
  if (!verified_)
    fail(CONNECTION_ERROR_SECURITY,
         std::string("the ") + (config_.wire_id.empty() ? "publisher" : "viewer") +
             "'s certificate is not the one that it announced; somebody may be in "
             "between");
  return verified_;
}

} // namespace vdn
