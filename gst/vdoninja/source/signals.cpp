// SPDX-License-Identifier: LGPL-2.1-or-later
// Signals and bus messages of vdoninjasrc.
#include "element.h"

namespace vdn {

namespace {

enum {
  SIGNAL_ON_MESSAGE,
  SIGNAL_WEBRTCBIN_READY,
  SIGNAL_DECODER_SETUP,
  SIGNAL_PEER_JOINED,
  SIGNAL_PEER_LEFT,
  SIGNAL_SEND_MESSAGE,
  SIGNAL_REQUEST_KEYFRAME,
  SIGNAL_RECONNECT,
  SIGNAL_GET_STATS,
  N_SIGNALS
};
guint signals[N_SIGNALS];

gboolean send_message(GstVdoNinjaSrc *self, const gchar *stream_id, const gchar *json) {
  auto receiver = current_receiver(self);
  return receiver && json && receiver->send(stream_id ? stream_id : "", json);
}

GstStructure *get_stats(GstVdoNinjaSrc *self, const gchar *stream_id) {
  return read_stats(self, stream_id ? stream_id : "").release();
}

void request_keyframe_action(GstVdoNinjaSrc *self) {
  if (auto receiver = current_receiver(self))
    receiver->request_keyframe();
}

void reconnect_action(GstVdoNinjaSrc *self) {
  if (auto receiver = current_receiver(self))
    receiver->reconnect();
}

} // namespace

void post_peer(GstVdoNinjaSrc *self, const std::string &stream_id, const char *news,
               GstStructure *details) {
  GstStructure *s = details ? details : gst_structure_new_empty("details");
  gst_structure_set(s, "stream-id", G_TYPE_STRING, stream_id.c_str(), nullptr);
  post_news(GST_ELEMENT(self), std::string("vdoninja/") + news, s);
  if (g_str_equal(news, "peer-joined"))
    g_signal_emit(self, signals[SIGNAL_PEER_JOINED], 0, stream_id.c_str());
  else if (g_str_equal(news, "peer-left"))
    g_signal_emit(self, signals[SIGNAL_PEER_LEFT], 0, stream_id.c_str());
}

void emit_message(GstVdoNinjaSrc *self, const std::string &stream_id,
                  std::string_view json) {
  g_signal_emit(self, signals[SIGNAL_ON_MESSAGE], 0, stream_id.c_str(),
                std::string(json).c_str());
}

void emit_webrtcbin(GstVdoNinjaSrc *self, const std::string &stream_id,
                    GstElement *webrtcbin) {
  g_signal_emit(self, signals[SIGNAL_WEBRTCBIN_READY], 0, stream_id.c_str(), webrtcbin);
}

void emit_decoder(GstVdoNinjaSrc *self, GstElement *decoder) {
  g_signal_emit(self, signals[SIGNAL_DECODER_SETUP], 0, decoder);
}

void install_src_signals(GObjectClass *object_class) {
  GType type = G_TYPE_FROM_CLASS(object_class);
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
   * GstVdoNinjaSrc::on-message:
   * @stream_id: the stream whose publisher sent it
   * @json: the message as it came: chat, pipe or anything else
   *
   * Since: 0.1
   */
  signals[SIGNAL_ON_MESSAGE] = plain("on-message", 2, G_TYPE_STRING, G_TYPE_STRING);
  /**
   * GstVdoNinjaSrc::webrtcbin-ready:
   * @stream_id: the stream that it will serve
   * @webrtcbin: a new webrtcbin, before its first offer
   *
   * Since: 0.1
   */
  signals[SIGNAL_WEBRTCBIN_READY] =
      plain("webrtcbin-ready", 2, G_TYPE_STRING, GST_TYPE_ELEMENT);
  /**
   * GstVdoNinjaSrc::decoder-setup:
   * @decoder: a decoder before it starts
   *
   * Since: 0.1
   */
  signals[SIGNAL_DECODER_SETUP] =
      plain("decoder-setup", 1, GST_TYPE_ELEMENT, G_TYPE_NONE);
  /**
   * GstVdoNinjaSrc::peer-joined:
   * @stream_id: the stream that is connected now
   *
   * Since: 0.1
   */
  signals[SIGNAL_PEER_JOINED] = plain("peer-joined", 1, G_TYPE_STRING, G_TYPE_NONE);
  /**
   * GstVdoNinjaSrc::peer-left:
   * @stream_id: the stream that is gone
   *
   * Since: 0.1
   */
  signals[SIGNAL_PEER_LEFT] = plain("peer-left", 1, G_TYPE_STRING, G_TYPE_NONE);
  /**
   * GstVdoNinjaSrc::send-message:
   * @stream_id: (nullable): whose publisher gets it, %NULL for all
   * @json: a JSON object, such as {"chat":"hello"}
   *
   * Returns: whether it was sent
   *
   * Since: 0.1
   */
  signals[SIGNAL_SEND_MESSAGE] =
      action("send-message", G_CALLBACK(send_message), G_TYPE_BOOLEAN, 2);
  /**
   * GstVdoNinjaSrc::request-keyframe:
   *
   * Asks every publisher for a keyframe.
   *
   * Since: 0.1
   */
  signals[SIGNAL_REQUEST_KEYFRAME] =
      action("request-keyframe", G_CALLBACK(request_keyframe_action), G_TYPE_NONE, 0);
  /**
   * GstVdoNinjaSrc::reconnect:
   *
   * Drops all connections and starts over; pads stay.
   *
   * Since: 0.1
   */
  signals[SIGNAL_RECONNECT] =
      action("reconnect", G_CALLBACK(reconnect_action), G_TYPE_NONE, 0);
  /**
   * GstVdoNinjaSrc::get-stats:
   * @stream_id: (nullable): whose, %NULL for all
   *
   * What the property #GstVdoNinjaSrc:stats holds: `state` and the list `streams`, in it
   * `stream-id`, `label`, `connected`, `sessions`, `video-muted`, a list `pads` of what
   * leaves the element and a list `rtp` of what comes in, with the counters of rtpsession
   * and, in `jitterbuffer`, those of rtpjitterbuffer. Not from a streaming thread.
   *
   * Returns: (transfer full): the statistics
   *
   * Since: 0.1
   */
  signals[SIGNAL_GET_STATS] =
      action("get-stats", G_CALLBACK(get_stats), GST_TYPE_STRUCTURE, 1);
}

} // namespace vdn
