// SPDX-License-Identifier: LGPL-2.1-or-later
// Signals of vdoninjasink.
#include "publish-impl.h"

namespace vdn {

namespace {

enum {
  SIGNAL_VIEWER_JOINED,
  SIGNAL_VIEWER_LEFT,
  SIGNAL_ON_MESSAGE,
  SIGNAL_ENCODER_SETUP,
  SIGNAL_WEBRTCBIN_READY,
  SIGNAL_SEND_MESSAGE,
  SIGNAL_REQUEST_KEYFRAME,
  SIGNAL_KICK,
  SIGNAL_GET_STATS,
  N_SIGNALS
};
guint signals[N_SIGNALS];

gboolean send_message(GstVdoNinjaSink *self, const gchar *viewer, const gchar *json) {
  auto sender = current_sender(self);
  return sender && json && sender->send(viewer ? viewer : "", json);
}

void request_keyframe(GstVdoNinjaSink *self) {
  if (auto sender = current_sender(self))
    sender->request_keyframe();
}

gboolean kick(GstVdoNinjaSink *self, const gchar *viewer) {
  auto sender = current_sender(self);
  return sender && viewer && sender->kick(viewer);
}

GstStructure *get_stats(GstVdoNinjaSink *self) {
  return read_publish_stats(self).release();
}

} // namespace

void emit_viewer_joined(GstVdoNinjaSink *self, const std::string &viewer,
                        const std::string &label) {
  g_signal_emit(self, signals[SIGNAL_VIEWER_JOINED], 0, viewer.c_str(), label.c_str());
}

void emit_viewer_left(GstVdoNinjaSink *self, const std::string &viewer,
                      const std::string &why) {
  g_signal_emit(self, signals[SIGNAL_VIEWER_LEFT], 0, viewer.c_str(), why.c_str());
}

void emit_viewer_message(GstVdoNinjaSink *self, const std::string &viewer,
                         std::string_view json) {
  g_signal_emit(self, signals[SIGNAL_ON_MESSAGE], 0, viewer.c_str(),
                std::string(json).c_str());
}

void emit_viewer_webrtcbin(GstVdoNinjaSink *self, const std::string &viewer,
                           GstElement *webrtcbin) {
  g_signal_emit(self, signals[SIGNAL_WEBRTCBIN_READY], 0, viewer.c_str(), webrtcbin);
}

void emit_encoder(GstVdoNinjaSink *self, GstElement *encoder) {
  g_signal_emit(self, signals[SIGNAL_ENCODER_SETUP], 0, encoder);
}

void install_publish_signals(GObjectClass *object_class) {
  const GType type = G_TYPE_FROM_CLASS(object_class);
  auto plain = [&](const char *name, guint n, GType first, GType second) {
    return g_signal_new(name, type, G_SIGNAL_RUN_LAST, 0, nullptr, nullptr, nullptr,
                        G_TYPE_NONE, n, first, second);
  };
  auto action = [&](const char *name, GCallback handler, GType result, guint n) {
    return g_signal_new_class_handler(
        name, type, static_cast<GSignalFlags>(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION),
        handler, nullptr, nullptr, nullptr, result, n, G_TYPE_STRING, G_TYPE_STRING);
  };
  // Handlers run on a thread of the element and must not change its state.
  /**
   * GstVdoNinjaSink::viewer-joined:
   * @viewer: its id
   * @label: its name, may be empty
   *
   * It is shown the stream from now on.
   *
   * Since: 0.1
   */
  signals[SIGNAL_VIEWER_JOINED] = plain("viewer-joined", 2, G_TYPE_STRING, G_TYPE_STRING);
  /**
   * GstVdoNinjaSink::viewer-left:
   * @viewer: its id
   * @why: a sentence
   *
   * Since: 0.1
   */
  signals[SIGNAL_VIEWER_LEFT] = plain("viewer-left", 2, G_TYPE_STRING, G_TYPE_STRING);
  /**
   * GstVdoNinjaSink::on-message:
   * @viewer: who sent it
   * @json: the message as it came: chat, pipe or anything else
   *
   * Since: 0.1
   */
  signals[SIGNAL_ON_MESSAGE] = plain("on-message", 2, G_TYPE_STRING, G_TYPE_STRING);
  /**
   * GstVdoNinjaSink::encoder-setup:
   * @encoder: an encoder before it starts
   *
   * Since: 0.1
   */
  signals[SIGNAL_ENCODER_SETUP] =
      plain("encoder-setup", 1, GST_TYPE_ELEMENT, G_TYPE_NONE);
  /**
   * GstVdoNinjaSink::webrtcbin-ready:
   * @viewer: the viewer that it will serve
   * @webrtcbin: a new webrtcbin, before its offer
   *
   * Since: 0.1
   */
  signals[SIGNAL_WEBRTCBIN_READY] =
      plain("webrtcbin-ready", 2, G_TYPE_STRING, GST_TYPE_ELEMENT);
  /**
   * GstVdoNinjaSink::send-message:
   * @viewer: (nullable): who gets it, %NULL for all
   * @json: a JSON object, such as {"chat":"hello"}
   *
   * Returns: whether it was sent
   *
   * Since: 0.1
   */
  signals[SIGNAL_SEND_MESSAGE] =
      action("send-message", G_CALLBACK(send_message), G_TYPE_BOOLEAN, 2);
  /**
   * GstVdoNinjaSink::request-keyframe:
   *
   * Has the encoders send a keyframe.
   *
   * Since: 0.1
   */
  signals[SIGNAL_REQUEST_KEYFRAME] =
      action("request-keyframe", G_CALLBACK(request_keyframe), G_TYPE_NONE, 0);
  /**
   * GstVdoNinjaSink::kick:
   * @viewer: who is sent away
   *
   * Returns: whether it was there
   *
   * Since: 0.1
   */
  signals[SIGNAL_KICK] = action("kick", G_CALLBACK(kick), G_TYPE_BOOLEAN, 1);
  /**
   * GstVdoNinjaSink::get-stats:
   *
   * What the property #GstVdoNinjaSink:stats holds. Not from a streaming thread.
   *
   * Returns: (transfer full): the statistics
   *
   * Since: 0.1
   */
  signals[SIGNAL_GET_STATS] =
      action("get-stats", G_CALLBACK(get_stats), GST_TYPE_STRUCTURE, 0);
}

} // namespace vdn
