// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-vdoninjasrc
 * @title: vdoninjasrc
 * @short_description: Receives live VDO.Ninja streams
 *
 * Plays a VDO.Ninja stream by its id, peer to peer, from browsers, phones, OBS and
 * Raspberry Pis. Pads appear when the publisher offers media and stay when it goes away
 * and comes back: downstream notices a gap, no more. Pads that nobody links cost no
 * decoding.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 vdoninjasrc stream-id=abc ! shmnumpysink
 * gst-launch-1.0 vdoninjasrc stream-id=abc ! videoconvert ! autovideosink
 * ]|
 *
 * Since: 0.1
 */
#include "gstvdoninjasrc.h"

#include "element.h"
#include "made-by.h"

using vdn::Lock;
using vdn::ObjPtr;

GST_DEBUG_CATEGORY(vdoninja_src_debug);
#define GST_CAT_DEFAULT vdoninja_src_debug

static void gst_vdoninja_src_uri_handler_init(gpointer iface, gpointer);

G_DEFINE_FINAL_TYPE_WITH_CODE(GstVdoNinjaSrc, gst_vdoninja_src, GST_TYPE_BIN,
                              G_IMPLEMENT_INTERFACE(GST_TYPE_URI_HANDLER,
                                                    gst_vdoninja_src_uri_handler_init))
GST_ELEMENT_REGISTER_DEFINE(vdoninjasrc, "vdoninjasrc", GST_RANK_PRIMARY,
                            GST_TYPE_VDONINJA_SRC)

// Raw comes first: with a peer that takes anything, pads deliver what they promise.
#define RAW_VIDEO "video/x-raw(ANY)"
#define ENCODED_VIDEO                                                                    \
  "video/x-h264, stream-format=(string){ byte-stream, avc }, alignment=(string)au; "     \
  "video/x-vp8; video/x-vp9; "                                                           \
  "video/x-h265, stream-format=(string){ byte-stream, hvc1, hev1 }, "                    \
  "alignment=(string)au; "                                                               \
  "video/x-av1"

static GstStaticPadTemplate video_template = GST_STATIC_PAD_TEMPLATE(
    "video_%u", GST_PAD_SRC, GST_PAD_SOMETIMES,
    GST_STATIC_CAPS(RAW_VIDEO "; " ENCODED_VIDEO "; application/x-rtp, "
                              "media=(string)video"));
static GstStaticPadTemplate audio_template = GST_STATIC_PAD_TEMPLATE(
    "audio_%u", GST_PAD_SRC, GST_PAD_SOMETIMES,
    GST_STATIC_CAPS("audio/x-raw; audio/x-opus, channel-mapping-family=(int)0; "
                    "application/x-rtp, media=(string)audio"));

namespace {

GstProgressType progress_type(GstVdoNinjaState before, GstVdoNinjaState state) {
  switch (state) {
  case GST_VDONINJA_STATE_PLAYING:
    return GST_PROGRESS_TYPE_COMPLETE;
  case GST_VDONINJA_STATE_FAILED:
    return GST_PROGRESS_TYPE_ERROR;
  case GST_VDONINJA_STATE_DISCONNECTED:
    return before == GST_VDONINJA_STATE_PLAYING ? GST_PROGRESS_TYPE_COMPLETE
                                                : GST_PROGRESS_TYPE_CANCELED;
  default:
    return before == GST_VDONINJA_STATE_PLAYING ? GST_PROGRESS_TYPE_START
                                                : GST_PROGRESS_TYPE_CONTINUE;
  }
}

const char *sentence(GstVdoNinjaState state) {
  switch (state) {
  case GST_VDONINJA_STATE_CONNECTING:
    return "Connecting to the server";
  case GST_VDONINJA_STATE_WAITING:
    return "Waiting for the publisher";
  case GST_VDONINJA_STATE_NEGOTIATING:
    return "Negotiating with the publisher";
  case GST_VDONINJA_STATE_PLAYING:
    return "Connected with the publisher";
  case GST_VDONINJA_STATE_RECONNECTING:
    return "Reconnecting";
  case GST_VDONINJA_STATE_FAILED:
    return "Given up";
  default:
    return "Disconnected";
  }
}

void set_state(GstVdoNinjaSrc *self, vdn::ViewerState state) {
  auto value = static_cast<GstVdoNinjaState>(state);
  GstVdoNinjaState before;
  bool tells_progress;
  {
    Lock lock(self->impl->mutex);
    before = std::exchange(self->impl->state, value);
    tells_progress = self->impl->tells_progress;
  }
  if (before == value)
    return;
  GST_DEBUG_OBJECT(self, "state %d -> %d", before, value);
  g_object_notify(G_OBJECT(self), "state");
  vdn::post_state(GST_ELEMENT(self), GST_TYPE_VDONINJA_STATE, before, value);
  if (tells_progress)
    vdn::post_progress(GST_ELEMENT(self), progress_type(before, value), sentence(value));
}

void play(GstVdoNinjaSrc *self) {
  std::shared_ptr<vdn::Receiver> receiver;
  GstVdoNinjaState state;
  bool first;
  {
    Lock lock(self->impl->mutex);
    receiver = self->impl->receiver;
    state = std::max(self->impl->state, GST_VDONINJA_STATE_CONNECTING);
    first = !std::exchange(self->impl->tells_progress, true);
  }
  if (first)
    vdn::post_progress(GST_ELEMENT(self), GST_PROGRESS_TYPE_START, sentence(state));
  if (receiver)
    receiver->play();
}

bool start(GstVdoNinjaSrc *self) {
  vdn::SourceSettings settings = vdn::copy_settings(self);
  vdn::SourcePlan plan;
  GError *raw = nullptr;
  bool usable = vdn::plan_source(settings, &plan, &raw);
  vdn::ErrorPtr error(raw);
  for (const auto &warning : plan.warnings)
    vdn::post_problem(GST_ELEMENT(self), GST_MESSAGE_WARNING, GST_RESOURCE_ERROR,
                      GST_RESOURCE_ERROR_SETTINGS, warning);
  if (!usable) {
    vdn::post_problem(GST_ELEMENT(self), GST_MESSAGE_ERROR, error->domain, error->code,
                      error->message);
    return false;
  }
  auto receiver = std::make_shared<vdn::Receiver>(
      GST_ELEMENT(self), vdn::make_secret(settings), std::move(plan), *self->impl);
  receiver->start();
  Lock lock(self->impl->mutex);
  self->impl->receiver = std::move(receiver);
  return true;
}

void stop(GstVdoNinjaSrc *self) {
  std::shared_ptr<vdn::Receiver> receiver;
  {
    Lock lock(self->impl->mutex);
    receiver = std::move(self->impl->receiver);
  }
  if (receiver)
    receiver->close();
  set_state(self, vdn::ViewerState::kDisconnected);
  Lock lock(self->impl->mutex);
  self->impl->tells_progress = false;
}

} // namespace

void vdn::SrcImpl::state_changed(ViewerState viewer_state) {
  set_state(self, viewer_state);
}

void vdn::SrcImpl::problem(GstMessageType type, GQuark domain, int code,
                           const std::string &text) {
  post_problem(GST_ELEMENT(self), type, domain, code, text);
}

void vdn::SrcImpl::peer_news(const std::string &stream_id, const char *news,
                             GstStructure *details) {
  post_peer(self, stream_id, news, details);
}

void vdn::SrcImpl::received(const std::string &stream_id, std::string_view json) {
  emit_message(self, stream_id, json);
}

void vdn::SrcImpl::webrtcbin_ready(const std::string &stream_id, GstElement *webrtcbin) {
  emit_webrtcbin(self, stream_id, webrtcbin);
}

void vdn::SrcImpl::decoder_made(GstElement *decoder) {
  emit_decoder(self, decoder);
}

vdn::SourceSettings vdn::copy_settings(GstVdoNinjaSrc *self) {
  Lock lock(self->impl->mutex);
  return self->impl->settings;
}

std::shared_ptr<vdn::Receiver> vdn::current_receiver(GstVdoNinjaSrc *self) {
  Lock lock(self->impl->mutex);
  return self->impl->receiver;
}

vdn::StructurePtr vdn::read_stats(GstVdoNinjaSrc *self, const std::string &stream_id) {
  auto receiver = current_receiver(self);
  StructurePtr stats = receiver ? receiver->stats(stream_id)
                                : StructurePtr(gst_structure_new_empty("vdoninja/stats"));
  Lock lock(self->impl->mutex);
  gst_structure_set(stats.get(), "state", GST_TYPE_VDONINJA_STATE, self->impl->state,
                    nullptr);
  return stats;
}

// The network is never waited for: the socket opens on the loop, and closing only joins
// it.
static GstStateChangeReturn gst_vdoninja_src_change_state(GstElement *element,
                                                          GstStateChange transition) {
  auto *self = GST_VDONINJA_SRC(element);
  if (transition == GST_STATE_CHANGE_NULL_TO_READY && !vdn::check_installed(element))
    return GST_STATE_CHANGE_FAILURE;
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !start(self))
    return GST_STATE_CHANGE_FAILURE;
  if (transition == GST_STATE_CHANGE_PLAYING_TO_PAUSED)
    if (auto receiver = vdn::current_receiver(self))
      receiver->pause();
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY)
    stop(self);
  GstStateChangeReturn result =
      GST_ELEMENT_CLASS(gst_vdoninja_src_parent_class)->change_state(element, transition);
  if (result == GST_STATE_CHANGE_FAILURE) {
    if (transition == GST_STATE_CHANGE_READY_TO_PAUSED)
      stop(self);
    return result;
  }
  if (transition == GST_STATE_CHANGE_PAUSED_TO_PLAYING) {
    play(self);
  } else if (GST_STATE_TRANSITION_NEXT(transition) == GST_STATE_PAUSED) {
    result = GST_STATE_CHANGE_NO_PREROLL;
  }
  return result;
}

static gboolean gst_vdoninja_src_send_event(GstElement *element, GstEvent *event) {
  // GstBin would hand an EOS to webrtcbin, where it ends the session instead of the
  // streams.
  bool eos = GST_EVENT_TYPE(event) == GST_EVENT_EOS;
  gst_event_unref(event);
  auto receiver = vdn::current_receiver(GST_VDONINJA_SRC(element));
  if (eos && receiver)
    receiver->finish();
  return eos && receiver;
}

// Thread: any. What goes wrong inside is healed or told in our own words, and no
// session's end is the end of the element.
static void gst_vdoninja_src_handle_message(GstBin *bin, GstMessage *message) {
  auto *self = GST_VDONINJA_SRC(bin);
  switch (GST_MESSAGE_TYPE(message)) {
  case GST_MESSAGE_ERROR: {
    GError *raw = nullptr;
    gchar *debug = nullptr;
    gst_message_parse_error(message, &raw, &debug);
    vdn::ErrorPtr error(raw);
    vdn::StrPtr text(debug);
    GST_INFO_OBJECT(self, "%s: %s (%s)", GST_MESSAGE_SRC_NAME(message), error->message,
                    text ? text.get() : "no details");
    if (auto receiver = vdn::current_receiver(self))
      receiver->child_failed(ObjPtr<GstObject>::ref(GST_MESSAGE_SRC(message)),
                             error.get());
    gst_message_unref(message);
    return;
  }
  case GST_MESSAGE_WARNING:
  case GST_MESSAGE_EOS:
  case GST_MESSAGE_STREAM_START:
  case GST_MESSAGE_STREAM_COLLECTION:
  case GST_MESSAGE_ASYNC_START:
  case GST_MESSAGE_ASYNC_DONE:
    GST_DEBUG_OBJECT(self, "keeping %" GST_PTR_FORMAT, message);
    gst_message_unref(message);
    return;
  case GST_MESSAGE_LATENCY:
    // How long a packet is waited for changes, and is not what we declare.
    if (vdn::is_made_by(GST_MESSAGE_SRC(message), "rtpjitterbuffer")) {
      gst_message_unref(message);
      return;
    }
    break;
  default:
    break;
  }
  GST_BIN_CLASS(gst_vdoninja_src_parent_class)->handle_message(bin, message);
}

static const gchar *const *gst_vdoninja_src_get_protocols(GType) {
  static const gchar *const protocols[] = {"vdoninja", nullptr};
  return protocols;
}

static gchar *gst_vdoninja_src_get_uri(GstURIHandler *handler) {
  std::string uri = vdn::copy_settings(GST_VDONINJA_SRC(handler)).location;
  return uri.empty() ? nullptr : g_strdup(uri.c_str());
}

static gboolean gst_vdoninja_src_set_uri(GstURIHandler *handler, const gchar *uri,
                                         GError **error) {
  auto *self = GST_VDONINJA_SRC(handler);
  Lock lock(self->impl->mutex);
  if (self->impl->receiver) {
    g_set_error_literal(error, GST_URI_ERROR, GST_URI_ERROR_BAD_STATE,
                        "the URI cannot be changed while the element runs");
    return FALSE;
  }
  self->impl->settings.location_error.clear();
  return vdn::apply_link(uri, &self->impl->settings, error);
}

static void gst_vdoninja_src_uri_handler_init(gpointer iface, gpointer) {
  auto *handler = static_cast<GstURIHandlerInterface *>(iface);
  handler->get_type = [](GType) { return GST_URI_SRC; };
  handler->get_protocols = gst_vdoninja_src_get_protocols;
  handler->get_uri = gst_vdoninja_src_get_uri;
  handler->set_uri = gst_vdoninja_src_set_uri;
}

static void gst_vdoninja_src_finalize(GObject *object) {
  delete GST_VDONINJA_SRC(object)->impl;
  G_OBJECT_CLASS(gst_vdoninja_src_parent_class)->finalize(object);
}

static void gst_vdoninja_src_init(GstVdoNinjaSrc *self) {
  self->impl = new vdn::SrcImpl(self);
  // webrtcbin would make us a sink, and a pipeline would wait for our EOS.
  gst_bin_set_suppressed_flags(
      GST_BIN(self),
      static_cast<GstElementFlags>(GST_ELEMENT_FLAG_SOURCE | GST_ELEMENT_FLAG_SINK));
  GST_OBJECT_FLAG_SET(self, GST_ELEMENT_FLAG_SOURCE);
}

static void gst_vdoninja_src_class_init(GstVdoNinjaSrcClass *klass) {
  auto *object_class = G_OBJECT_CLASS(klass);
  auto *element_class = GST_ELEMENT_CLASS(klass);
  GST_DEBUG_CATEGORY_INIT(vdoninja_src_debug, "vdoninjasrc", 0, "VDO.Ninja source");
  vdn::crypto_init();
  vdn::pads_debug_init();
  vdn::connection_debug_init();

  object_class->finalize = gst_vdoninja_src_finalize;
  element_class->change_state = GST_DEBUG_FUNCPTR(gst_vdoninja_src_change_state);
  element_class->send_event = GST_DEBUG_FUNCPTR(gst_vdoninja_src_send_event);
  GST_BIN_CLASS(klass)->handle_message =
      GST_DEBUG_FUNCPTR(gst_vdoninja_src_handle_message);

  vdn::install_src_properties(object_class);
  gst_element_class_add_static_pad_template_with_gtype(element_class, &video_template,
                                                       GST_TYPE_VDONINJA_SRC_PAD);
  gst_element_class_add_static_pad_template_with_gtype(element_class, &audio_template,
                                                       GST_TYPE_VDONINJA_SRC_PAD);
  gst_element_class_set_static_metadata(
      element_class, "VDO.Ninja source", "Source/Network/WebRTC",
      "Receives live VDO.Ninja streams, peer to peer over WebRTC", "gst-vdoninja");
  vdn::install_src_signals(object_class);
}
