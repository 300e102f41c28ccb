// SPDX-License-Identifier: LGPL-2.1-or-later
/**
 * SECTION:element-vdoninjasink
 * @title: vdoninjasink
 * @short_description: Publishes a live stream to VDO.Ninja
 *
 * Whatever is linked to it can be watched in browsers, OBS and other players of
 * VDO.Ninja, peer to peer. Raw media are encoded once for all viewers, encoded media pass
 * unchanged. Each viewer has a pipeline of its own: none holds up another, nor the
 * pipeline that publishes.
 *
 * ## Example launch lines
 * |[
 * gst-launch-1.0 videotestsrc is-live=true ! vdoninjasink stream-id=abc
 * gst-launch-1.0 libcamerasrc ! vdoninjasink stream-id=abc
 * ]|
 *
 * Since: 0.1
 */
#include "gstvdoninjasink.h"

#include <algorithm>

#include "publish-impl.h"

using vdn::Lock;
using vdn::ObjPtr;

GST_DEBUG_CATEGORY(vdoninja_sink_debug);
#define GST_CAT_DEFAULT vdoninja_sink_debug

G_DEFINE_FINAL_TYPE(GstVdoNinjaSink, gst_vdoninja_sink, GST_TYPE_BIN)
GST_ELEMENT_REGISTER_DEFINE(vdoninjasink, "vdoninjasink", GST_RANK_NONE,
                            GST_TYPE_VDONINJA_SINK)

namespace {

void tell_inputs(GstVdoNinjaSink *self) {
  if (auto sender = vdn::current_sender(self))
    sender->set_inputs(vdn::current_inputs(self));
}

bool is_video_pad(GstPad *pad) {
  return g_str_has_prefix(GST_OBJECT_NAME(pad), "video");
}

// What stands behind `pad` in this run.
void make_input(GstVdoNinjaSink *self, GstPad *pad) {
  vdn::InputConfig config;
  bool muted;
  {
    Lock lock(self->impl->mutex);
    const auto &plan = self->impl->plan;
    config = is_video_pad(pad) ? plan.video : plan.audio;
    muted = is_video_pad(pad) ? self->impl->settings.mute_video
                              : self->impl->settings.mute_audio;
  }
  auto input = vdn::Input::create(std::move(config), *self->impl);
  input->set_muted(muted);
  gst_bin_add(GST_BIN(self), input->element());
  gst_element_sync_state_with_parent(input->element());
  const auto inside =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(input->element(), "sink"));
  gst_ghost_pad_set_target(GST_GHOST_PAD(pad), inside.get());
  GstClockTime epoch;
  {
    Lock lock(self->impl->mutex);
    self->impl->inputs[pad] = input;
    epoch = self->impl->epoch;
  }
  // What is linked later is to be in time with what plays already.
  if (GST_CLOCK_TIME_IS_VALID(epoch))
    input->set_epoch(epoch);
}

void close_input(GstVdoNinjaSink *self, GstPad *pad) {
  std::shared_ptr<vdn::Input> input;
  {
    Lock lock(self->impl->mutex);
    input = std::move(self->impl->inputs[pad]);
    self->impl->ended_inputs.erase(input.get());
  }
  if (input)
    input->close();
  gst_ghost_pad_set_target(GST_GHOST_PAD(pad), nullptr);
}

std::vector<ObjPtr<GstPad>> current_pads(GstVdoNinjaSink *self) {
  std::vector<ObjPtr<GstPad>> pads;
  Lock lock(self->impl->mutex);
  for (const auto &[pad, input] : self->impl->inputs)
    pads.push_back(ObjPtr<GstPad>::ref(pad));
  return pads;
}

const char *sentence(GstVdoNinjaSinkState state) {
  switch (state) {
  case GST_VDONINJA_SINK_STATE_CONNECTING:
    return "Connecting to the server";
  case GST_VDONINJA_SINK_STATE_PUBLISHED:
    return "Published";
  case GST_VDONINJA_SINK_STATE_STREAMING:
    return "Sending to viewers";
  case GST_VDONINJA_SINK_STATE_RECONNECTING:
    return "Reconnecting to the server";
  case GST_VDONINJA_SINK_STATE_FAILED:
    return "Given up";
  default:
    return "Disconnected";
  }
}

bool is_published(GstVdoNinjaSinkState state) {
  return state == GST_VDONINJA_SINK_STATE_PUBLISHED ||
         state == GST_VDONINJA_SINK_STATE_STREAMING;
}

GstProgressType progress_type(GstVdoNinjaSinkState before, GstVdoNinjaSinkState state) {
  if (is_published(state))
    return GST_PROGRESS_TYPE_COMPLETE;
  if (state == GST_VDONINJA_SINK_STATE_FAILED)
    return GST_PROGRESS_TYPE_ERROR;
  if (state == GST_VDONINJA_SINK_STATE_DISCONNECTED)
    return is_published(before) ? GST_PROGRESS_TYPE_COMPLETE : GST_PROGRESS_TYPE_CANCELED;
  return is_published(before) ? GST_PROGRESS_TYPE_START : GST_PROGRESS_TYPE_CONTINUE;
}

void set_state(GstVdoNinjaSink *self, GstVdoNinjaSinkState state) {
  GstVdoNinjaSinkState before;
  bool tells_progress;
  {
    Lock lock(self->impl->mutex);
    before = std::exchange(self->impl->state, state);
    tells_progress = self->impl->tells_progress;
  }
  if (before == state)
    return;
  g_object_notify(G_OBJECT(self), "state");
  vdn::post_state(GST_ELEMENT(self), GST_TYPE_VDONINJA_SINK_STATE, before, state);
  const bool open = tells_progress && !(is_published(before) && is_published(state));
  if (open)
    vdn::post_progress(GST_ELEMENT(self), progress_type(before, state), sentence(state));
}

bool start(GstVdoNinjaSink *self) {
  vdn::PublishSettings settings;
  {
    Lock lock(self->impl->mutex);
    settings = self->impl->settings;
  }
  vdn::PublishPlan plan;
  GError *raw = nullptr;
  const bool usable = vdn::plan_publishing(settings, &plan, &raw);
  const vdn::ErrorPtr error(raw);
  for (const auto &warning : plan.warnings)
    vdn::post_problem(GST_ELEMENT(self), GST_MESSAGE_WARNING, GST_RESOURCE_ERROR,
                      GST_RESOURCE_ERROR_SETTINGS, warning);
  if (!usable) {
    vdn::post_problem(GST_ELEMENT(self), GST_MESSAGE_ERROR, error->domain, error->code,
                      error->message);
    return false;
  }
  auto sender = std::make_shared<vdn::Sender>(
      GST_ELEMENT(self), vdn::make_secret(settings), plan.publisher, *self->impl);
  sender->start();
  {
    Lock lock(self->impl->mutex);
    self->impl->plan = std::move(plan);
    self->impl->sender = std::move(sender);
    self->impl->ended_inputs.clear();
    self->impl->epoch = GST_CLOCK_TIME_NONE;
  }
  for (const auto &pad : current_pads(self))
    make_input(self, pad.get());
  tell_inputs(self);
  return true;
}

void close_sender(GstVdoNinjaSink *self) {
  std::shared_ptr<vdn::Sender> sender;
  {
    Lock lock(self->impl->mutex);
    sender = std::move(self->impl->sender);
  }
  if (sender)
    sender->close();
}

// Pads are inactive by now, so that nothing comes to one that leads nowhere.
void close_inputs(GstVdoNinjaSink *self) {
  for (const auto &pad : current_pads(self))
    close_input(self, pad.get());
  set_state(self, GST_VDONINJA_SINK_STATE_DISCONNECTED);
  Lock lock(self->impl->mutex);
  self->impl->tells_progress = false;
}

void play(GstVdoNinjaSink *self) {
  auto sender = vdn::current_sender(self);
  if (!sender)
    return;
  GstVdoNinjaSinkState state;
  bool first;
  {
    Lock lock(self->impl->mutex);
    state = std::max(self->impl->state, GST_VDONINJA_SINK_STATE_CONNECTING);
    first = !std::exchange(self->impl->tells_progress, true);
  }
  if (first)
    vdn::post_progress(GST_ELEMENT(self), GST_PROGRESS_TYPE_START, sentence(state));
  const GstClockTime epoch = sender->play();
  {
    Lock lock(self->impl->mutex);
    self->impl->epoch = epoch;
  }
  for (const auto &input : vdn::current_inputs(self))
    input->set_epoch(epoch);
}

// The last input that ends is the end of the element.
void finish_if_ended(GstVdoNinjaSink *self) {
  std::shared_ptr<vdn::Sender> sender;
  {
    Lock lock(self->impl->mutex);
    const size_t count = self->impl->inputs.size();
    if (count > 0 && self->impl->ended_inputs.size() == count)
      sender = self->impl->sender;
  }
  if (sender)
    sender->finish();
}

} // namespace

std::shared_ptr<vdn::Sender> vdn::current_sender(GstVdoNinjaSink *self) {
  Lock lock(self->impl->mutex);
  return self->impl->sender;
}

std::vector<std::shared_ptr<vdn::Input>> vdn::current_inputs(GstVdoNinjaSink *self) {
  std::vector<std::shared_ptr<Input>> inputs;
  Lock lock(self->impl->mutex);
  for (const auto &[pad, input] : self->impl->inputs)
    if (input)
      inputs.push_back(input);
  return inputs;
}

vdn::StructurePtr vdn::read_publish_stats(GstVdoNinjaSink *self) {
  StructurePtr stats(gst_structure_new_empty("vdoninja/stats"));
  if (auto sender = current_sender(self))
    sender->add_stats(stats.get());
  Lock lock(self->impl->mutex);
  gst_structure_set(stats.get(), "state", GST_TYPE_VDONINJA_SINK_STATE, self->impl->state,
                    "stream-id", G_TYPE_STRING, self->impl->plan.stream_id.c_str(),
                    nullptr);
  return stats;
}

// ---------------------------------------------------------------------------------
// what the sender and the inputs tell

void vdn::PublishImpl::state_changed(PublisherState publisher_state) {
  set_state(self, static_cast<GstVdoNinjaSinkState>(publisher_state));
}

void vdn::PublishImpl::published() {
  std::string stream_id, link;
  {
    Lock lock(mutex);
    stream_id = plan.stream_id;
    link = plan.link;
  }
  GST_INFO_OBJECT(self, "published as %s: %s", stream_id.c_str(), link.c_str());
  post_news(GST_ELEMENT(self), "vdoninja/published",
            gst_structure_new("details", "stream-id", G_TYPE_STRING, stream_id.c_str(),
                              "link", G_TYPE_STRING, link.c_str(), nullptr));
}

void vdn::PublishImpl::problem(GstMessageType type, GQuark domain, int code,
                               const std::string &text) {
  post_problem(GST_ELEMENT(self), type, domain, code, text);
}

void vdn::PublishImpl::webrtcbin_ready(const std::string &viewer, GstElement *webrtcbin) {
  emit_viewer_webrtcbin(self, viewer, webrtcbin);
}

void vdn::PublishImpl::viewer_joined(const std::string &viewer,
                                     const std::string &label) {
  post_news(GST_ELEMENT(self), "vdoninja/viewer-joined",
            gst_structure_new("details", "viewer", G_TYPE_STRING, viewer.c_str(), "label",
                              G_TYPE_STRING, label.c_str(), nullptr));
  g_object_notify(G_OBJECT(self), "viewers");
  emit_viewer_joined(self, viewer, label);
}

void vdn::PublishImpl::viewer_left(const std::string &viewer, const std::string &why) {
  post_news(GST_ELEMENT(self), "vdoninja/viewer-left",
            gst_structure_new("details", "viewer", G_TYPE_STRING, viewer.c_str(), "why",
                              G_TYPE_STRING, why.c_str(), nullptr));
  g_object_notify(G_OBJECT(self), "viewers");
  emit_viewer_left(self, viewer, why);
}

void vdn::PublishImpl::received(const std::string &viewer, std::string_view json) {
  emit_viewer_message(self, viewer, json);
}

void vdn::PublishImpl::ended() {
  gst_element_post_message(GST_ELEMENT(self), gst_message_new_eos(GST_OBJECT(self)));
}

void vdn::PublishImpl::tracks_changed(Input &) {
  if (auto current = current_sender(self))
    current->inputs_changed();
}

void vdn::PublishImpl::input_warning(Input &, const std::string &text,
                                     const std::string &debug) {
  GST_ELEMENT_WARNING(self, STREAM, FAILED, ("%s", text.c_str()), ("%s", debug.c_str()));
}

void vdn::PublishImpl::input_failed(Input &, const GError &error,
                                    const std::string &debug) {
  gst_element_message_full(GST_ELEMENT(self), GST_MESSAGE_ERROR, error.domain, error.code,
                           g_strdup(error.message), g_strdup(debug.c_str()), __FILE__,
                           GST_FUNCTION, __LINE__);
}

void vdn::PublishImpl::input_eos(Input &input) {
  {
    Lock lock(mutex);
    ended_inputs.insert(&input);
  }
  finish_if_ended(self);
}

void vdn::PublishImpl::input_resumed(Input &input) {
  {
    Lock lock(mutex);
    ended_inputs.erase(&input);
  }
  if (auto current = current_sender(self))
    current->resume();
}

void vdn::PublishImpl::encoder_made(Input &, GstElement *encoder) {
  emit_encoder(self, encoder);
}

// ---------------------------------------------------------------------------------

// The network is never waited for: the socket opens on the loop, and closing only joins
// it.
static GstStateChangeReturn gst_vdoninja_sink_change_state(GstElement *element,
                                                           GstStateChange transition) {
  auto *self = GST_VDONINJA_SINK(element);
  if (transition == GST_STATE_CHANGE_NULL_TO_READY && !vdn::check_installed(element))
    return GST_STATE_CHANGE_FAILURE;
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED && !start(self))
    return GST_STATE_CHANGE_FAILURE;
  if (transition == GST_STATE_CHANGE_PLAYING_TO_PAUSED)
    if (auto sender = vdn::current_sender(self))
      sender->pause();
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY)
    close_sender(self);
  const GstStateChangeReturn result = GST_ELEMENT_CLASS(gst_vdoninja_sink_parent_class)
                                          ->change_state(element, transition);
  if (result == GST_STATE_CHANGE_FAILURE &&
      transition == GST_STATE_CHANGE_READY_TO_PAUSED)
    close_sender(self);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      (result == GST_STATE_CHANGE_FAILURE &&
       transition == GST_STATE_CHANGE_READY_TO_PAUSED))
    close_inputs(self);
  if (result != GST_STATE_CHANGE_FAILURE &&
      transition == GST_STATE_CHANGE_PAUSED_TO_PLAYING)
    play(self);
  return result;
}

// Of inputs the observer tells; nothing of theirs is the element's.
static void gst_vdoninja_sink_handle_message(GstBin *bin, GstMessage *message) {
  switch (GST_MESSAGE_TYPE(message)) {
  case GST_MESSAGE_EOS:
  case GST_MESSAGE_TAG:
  case GST_MESSAGE_STREAM_START:
  case GST_MESSAGE_ASYNC_START:
  case GST_MESSAGE_ASYNC_DONE:
    gst_message_unref(message);
    return;
  default:
    GST_BIN_CLASS(gst_vdoninja_sink_parent_class)->handle_message(bin, message);
  }
}

// One of each kind.
static GstPad *gst_vdoninja_sink_request_new_pad(GstElement *element,
                                                 GstPadTemplate *template_,
                                                 const gchar *name, const GstCaps *) {
  auto *self = GST_VDONINJA_SINK(element);
  const bool video = g_str_has_prefix(GST_PAD_TEMPLATE_NAME_TEMPLATE(template_), "video");
  const std::string wanted = name ? name : video ? "video_0" : "audio_0";
  auto pad = ObjPtr<GstPad>::ref(
      gst_ghost_pad_new_no_target_from_template(wanted.c_str(), template_));
  bool runs;
  {
    Lock lock(self->impl->mutex);
    const bool taken = std::any_of(
        self->impl->inputs.begin(), self->impl->inputs.end(),
        [&](const auto &entry) { return is_video_pad(entry.first) == video; });
    if (taken) {
      GST_WARNING_OBJECT(self,
                         "there is a pad for %s already; one stream has one of each",
                         video ? "video" : "audio");
      return nullptr;
    }
    self->impl->inputs[pad.get()] = nullptr;
    runs = self->impl->sender != nullptr;
  }
  if (runs) {
    make_input(self, pad.get());
    gst_pad_set_active(pad.get(), TRUE);
  }
  gst_element_add_pad(element, pad.get());
  if (runs)
    tell_inputs(self);
  return pad.get(); // the element has it
}

static void gst_vdoninja_sink_release_pad(GstElement *element, GstPad *pad) {
  auto *self = GST_VDONINJA_SINK(element);
  // In PAUSED a buffer of what is not live waits in there, and a pad waits for it.
  gst_pad_send_event(pad, gst_event_new_flush_start());
  gst_pad_set_active(pad, FALSE);
  close_input(self, pad);
  {
    Lock lock(self->impl->mutex);
    self->impl->inputs.erase(pad);
  }
  tell_inputs(self);
  finish_if_ended(self);
  gst_element_remove_pad(element, pad);
}

// Seeks go to each pad's upstream once, not once for each encoder behind it.
static gboolean gst_vdoninja_sink_send_event(GstElement *element, GstEvent *event) {
  if (GST_EVENT_TYPE(event) != GST_EVENT_SEEK)
    return GST_ELEMENT_CLASS(gst_vdoninja_sink_parent_class)->send_event(element, event);
  gboolean sent = FALSE;
  for (const auto &pad : current_pads(GST_VDONINJA_SINK(element)))
    sent |= gst_pad_push_event(pad.get(), gst_event_ref(event));
  gst_event_unref(event);
  return sent;
}

static void gst_vdoninja_sink_finalize(GObject *object) {
  delete GST_VDONINJA_SINK(object)->impl;
  G_OBJECT_CLASS(gst_vdoninja_sink_parent_class)->finalize(object);
}

static void gst_vdoninja_sink_init(GstVdoNinjaSink *self) {
  self->impl = new vdn::PublishImpl(self);
  gst_bin_set_suppressed_flags(
      GST_BIN(self),
      static_cast<GstElementFlags>(GST_ELEMENT_FLAG_SOURCE | GST_ELEMENT_FLAG_SINK));
  GST_OBJECT_FLAG_SET(self, GST_ELEMENT_FLAG_SINK);
}

static void add_template(GstElementClass *klass, const char *name, bool video) {
  const vdn::CapsPtr caps(vdn::Input::template_caps(video));
  gst_element_class_add_pad_template(
      klass, gst_pad_template_new(name, GST_PAD_SINK, GST_PAD_REQUEST, caps.get()));
}

static void gst_vdoninja_sink_class_init(GstVdoNinjaSinkClass *klass) {
  auto *object_class = G_OBJECT_CLASS(klass);
  auto *element_class = GST_ELEMENT_CLASS(klass);
  GST_DEBUG_CATEGORY_INIT(vdoninja_sink_debug, "vdoninjasink", 0, "VDO.Ninja sink");
  vdn::crypto_init();
  vdn::connection_debug_init();

  object_class->finalize = gst_vdoninja_sink_finalize;
  element_class->change_state = GST_DEBUG_FUNCPTR(gst_vdoninja_sink_change_state);
  element_class->send_event = GST_DEBUG_FUNCPTR(gst_vdoninja_sink_send_event);
  element_class->request_new_pad = GST_DEBUG_FUNCPTR(gst_vdoninja_sink_request_new_pad);
  element_class->release_pad = GST_DEBUG_FUNCPTR(gst_vdoninja_sink_release_pad);
  GST_BIN_CLASS(klass)->handle_message =
      GST_DEBUG_FUNCPTR(gst_vdoninja_sink_handle_message);

  vdn::install_publish_properties(object_class);
  add_template(element_class, "video_%u", true);
  add_template(element_class, "audio_%u", false);
  gst_element_class_set_static_metadata(
      element_class, "VDO.Ninja sink", "Sink/Network/WebRTC",
      "Publishes a live stream to VDO.Ninja, peer to peer over WebRTC", "gst-vdoninja");
  vdn::install_publish_signals(object_class);
}
