// SPDX-License-Identifier: LGPL-2.1-or-later
#include "input.h"

#include <algorithm>

#include "input-bin.h"
#include "input-pad.h"
#include "running-time.h"

namespace vdn {

std::shared_ptr<Input> Input::create(InputConfig config, InputObserver &observer) {
  std::shared_ptr<Input> made(new Input(std::move(config), observer));
  const std::weak_ptr<Input> weak = made;
  made->bin_ = ObjPtr<GstElement>::adopt(input_bin_new([weak](GstMessage *message) {
    const auto input = weak.lock();
    return input && input->on_message(message);
  }));
  InputPadFunctions functions;
  functions.chain = [weak](GstPad *pad, GstObject *parent, GstBuffer *buffer) {
    if (const auto input = weak.lock())
      return input->chain(pad, parent, buffer);
    gst_buffer_unref(buffer);
    return GST_FLOW_FLUSHING;
  };
  functions.event = [weak](GstPad *pad, GstObject *parent, GstEvent *event) {
    if (const auto input = weak.lock())
      return input->event(pad, parent, event);
    gst_event_unref(event);
    return FALSE;
  };
  functions.video = made->config_.video;
  GstPad *pad = input_pad_new(std::move(functions));
  gst_element_add_pad(made->bin_.get(), pad);
  made->pad_ = ObjPtr<GstPad>::ref(pad);
  return made;
}

GstCaps *Input::template_caps(bool video) {
  return input_pad_caps(video);
}

template <typename Call> void Input::tell(Call call) {
  InputObserver *observer = nullptr;
  {
    Lock lock(mutex_);
    observer = observer_;
    if (!observer)
      return;
    telling_++;
  }
  call(*observer);
  {
    Lock lock(mutex_);
    telling_--;
  }
  told_.notify_all();
}

void Input::tell_tracks() {
  if (*given_us_)
    tell([&](InputObserver &observer) { observer.tracks_changed(*this); });
}

void Input::close() {
  std::vector<std::shared_ptr<Encoder>> ending;
  {
    Lock lock(mutex_);
    if (closed_)
      return;
    closed_ = true;
    observer_ = nullptr;
    while (telling_)
      lock.wait(told_);
    ending.swap(encoders_);
  }
  for (const auto &encoder : ending)
    encoder->close();
  gst_element_set_locked_state(bin_.get(), TRUE);
  gst_element_set_state(bin_.get(), GST_STATE_NULL);
  disposer_->wait();
  leave_inside();
  disposer_->wait();
  if (const auto parent =
          ObjPtr<GstObject>::adopt(gst_object_get_parent(GST_OBJECT(bin_.get()))))
    gst_bin_remove(GST_BIN(parent.get()), bin_.get());
}

std::vector<std::shared_ptr<Encoder>> Input::encoders() const {
  Lock lock(mutex_);
  return encoders_;
}

Input::Tracks Input::all_tracks() const {
  Tracks all;
  Lock lock(mutex_);
  if (passthrough_)
    all.push_back(passthrough_->track());
  for (const auto &encoder : encoders_)
    if (std::find(dead_.begin(), dead_.end(), encoder.get()) == dead_.end())
      all.push_back(encoder->track());
  return all;
}

void Input::set_bitrate(unsigned kbps) {
  kbps_ = kbps;
  for (const auto &encoder : encoders())
    encoder->set_rate(kbps);
}

void Input::set_box(const PictureBox &box) {
  {
    Lock lock(mutex_);
    box_ = box;
  }
  for (const auto &encoder : encoders())
    encoder->set_box(box);
}

void Input::request_keyframe() {
  for (const auto &track : all_tracks())
    track->request_keyframe();
}

void Input::set_muted(bool muted) {
  muted_ = muted;
  for (const auto &track : all_tracks())
    track->set_muted(muted);
}

void Input::set_epoch(GstClockTime epoch) {
  epoch_ = epoch;
  for (const auto &track : all_tracks())
    track->set_epoch(epoch);
}

// Thread: whoever posts. True: it goes no further.
bool Input::on_message(GstMessage *message) {
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS)
    return true; // of a sink in here; event() tells
  if (GST_MESSAGE_TYPE(message) != GST_MESSAGE_ERROR)
    return false;
  bool taken = Encoder::is_branch(GST_MESSAGE_SRC(message));
  for (const auto &encoder : encoders())
    taken |= encoder->take_error(message);
  // A parser that saw nothing says so at the end.
  if (taken || ended_)
    return true;
  GError *raw_error = nullptr;
  gchar *raw_debug = nullptr;
  gst_message_parse_error(message, &raw_error, &raw_debug);
  const ErrorPtr error(raw_error);
  const StrPtr debug(raw_debug);
  tell([&](InputObserver &observer) {
    observer.input_failed(*this, *error, debug ? debug.get() : "");
  });
  return true;
}

void Input::encoder_made(GstElement *encoder) {
  tell([&](InputObserver &observer) { observer.encoder_made(*this, encoder); });
}

void Input::encoder_warning(const std::string &text, const std::string &debug) {
  tell([&](InputObserver &observer) { observer.input_warning(*this, text, debug); });
}

// Others may do without it, as long as there is one that works.
void Input::encoder_gave_up(Encoder &encoder, const std::string &text,
                            const std::string &debug) {
  {
    Lock lock(mutex_);
    if (std::find(dead_.begin(), dead_.end(), &encoder) == dead_.end())
      dead_.push_back(&encoder);
  }
  if (!all_tracks().empty()) {
    encoder_warning(text, debug);
    tell_tracks();
    return;
  }
  const ErrorPtr error(g_error_new_literal(
      GST_STREAM_ERROR, GST_STREAM_ERROR_CODEC_NOT_FOUND, text.c_str()));
  tell([&](InputObserver &observer) { observer.input_failed(*this, *error, debug); });
}

// What follows runs on the streaming thread.

bool Input::set_caps(GstCaps *caps) {
  const StrPtr text(gst_caps_to_string(caps));
  const GstStructure *structure = gst_caps_get_structure(caps, 0);
  if (gst_structure_has_name(structure, "image/jpeg"))
    return refuse(GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE,
                  "JPEG pictures cannot be sent; put jpegdec before", text.get());
  flow_ = GST_FLOW_OK;
  live_known_ = false;
  retimer_.set_caps(caps);
  if (gst_structure_has_name(structure, config_.video ? "video/x-raw" : "audio/x-raw"))
    return set_raw(caps);
  const EncodingFacts *facts = encoding_of(caps);
  if (!facts || facts->video != config_.video)
    return refuse(GST_STREAM_ERROR, GST_STREAM_ERROR_WRONG_TYPE,
                  "such a stream cannot be sent", text.get());
  if (!can_send(facts->encoding))
    return refuse(GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN,
                  std::string(facts->name) + " cannot be sent: parser or payloader is "
                                             "not installed",
                  facts->payloader);
  return set_encoded(caps, *facts);
}

// Always false.
bool Input::refuse(GQuark domain, int code, const std::string &text,
                   const std::string &debug) {
  flow_ = GST_FLOW_NOT_NEGOTIATED;
  const ErrorPtr error(g_error_new_literal(domain, code, text.c_str()));
  tell([&](InputObserver &observer) { observer.input_failed(*this, *error, debug); });
  return false;
}

// Files are as fast as one takes them, unless somebody waits for the clock.
void Input::learn_liveness(GstPad *pad) {
  if (std::exchange(live_known_, true))
    return;
  const MiniPtr<GstQuery> query(gst_query_new_latency());
  gboolean live = FALSE;
  if (gst_pad_peer_query(pad, query.get()))
    gst_query_parse_latency(query.get(), &live, nullptr, nullptr);
  live_ = live;
  const bool sync =
      config_.sync == InputSync::kOn || (config_.sync == InputSync::kAuto && !live_);
  if (pace_)
    g_object_set(pace_.get(), "sync", gboolean(sync), nullptr);
  if (passing_)
    passing_->set_sync(sync);
}

GstFlowReturn Input::chain(GstPad *pad, GstObject *parent, GstBuffer *buffer) {
  if (flow_ == GST_FLOW_OK && !tee_ && !passing_)
    refuse(GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT,
           "the input does not say what it is; put a parser or a decoder before",
           "buffers without caps");
  if (flow_ != GST_FLOW_OK) {
    gst_buffer_unref(buffer);
    return flow_;
  }
  learn_liveness(pad);
  bool jumped = false;
  buffer = retimer_.pass(buffer, running_time_now(bin_.get(), live_), live_, &jumped);
  if (!buffer)
    return GST_FLOW_OK;
  if (jumped && !std::exchange(jump_told_, true))
    encoder_warning("The time stamps of the input jump; it goes on without the jump.",
                    GST_OBJECT_NAME(pad));
  if (!given_us_->exchange(g_get_monotonic_time()))
    tell_tracks();
  if (passing_)
    passing_->given();
  return gst_proxy_pad_chain_default(pad, parent, buffer);
}

void Input::flush_inside() {
  const auto inside =
      ObjPtr<GstPad>::adopt(gst_ghost_pad_get_target(GST_GHOST_PAD(pad_.get())));
  if (!inside)
    return;
  gst_pad_send_event(inside.get(), gst_event_new_flush_start());
  gst_pad_send_event(inside.get(), gst_event_new_flush_stop(FALSE));
}

void Input::resume() {
  if (ended_.exchange(false))
    tell([&](InputObserver &observer) {
      observer.input_resumed(*this);
      observer.tracks_changed(*this);
    });
}

// What is not live goes on at once, as far as its picture and its sound are concerned at
// the same time, where nothing else has the pipeline wait: it plays on meanwhile.
void Input::restart(GstEvent *flush_stop) {
  gboolean anew = FALSE;
  gst_event_parse_flush_stop(flush_stop, &anew);
  const bool plays = GST_STATE(pipeline_of(bin_.get()).get()) == GST_STATE_PLAYING;
  retimer_.restart(anew && live_known_ && !live_,
                   plays ? running_time_now(bin_.get(), false) : GST_CLOCK_TIME_NONE);
}

gboolean Input::event(GstPad *pad, GstObject *parent, GstEvent *event) {
  EventPtr own(event);
  switch (GST_EVENT_TYPE(event)) {
  case GST_EVENT_STREAM_START:
    if (ended_)
      flush_inside(); // before 1.24 a sink takes nothing after an EOS
    resume();
    live_known_ = false;
    break;
  case GST_EVENT_FLUSH_STOP:
    resume();
    if (tee_ || passing_)
      flow_ = GST_FLOW_OK;
    restart(event);
    break;
  case GST_EVENT_CAPS: {
    GstCaps *caps = nullptr;
    gst_event_parse_caps(event, &caps);
    if (!set_caps(caps))
      return FALSE;
    break;
  }
  case GST_EVENT_SEGMENT: {
    const GstSegment *segment = nullptr;
    gst_event_parse_segment(event, &segment);
    retimer_.set_segment(segment);
    GstSegment running;
    gst_segment_init(&running, GST_FORMAT_TIME);
    own.reset(gst_event_new_segment(&running));
    gst_event_set_seqnum(own.get(), gst_event_get_seqnum(event));
    break;
  }
  case GST_EVENT_GAP:
    return TRUE; // in times that are not ours
  case GST_EVENT_EOS:
    ended_ = true;
    if (tee_ || passing_)
      gst_pad_event_default(pad, parent, own.release());
    tell([&](InputObserver &observer) {
      observer.tracks_changed(*this);
      observer.input_eos(*this);
    });
    return TRUE;
  default:
    break;
  }
  return gst_pad_event_default(pad, parent, own.release());
}

} // namespace vdn
