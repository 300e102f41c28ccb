// SPDX-License-Identifier: LGPL-2.1-or-later
#include "outputs.h"

#include <algorithm>
#include <map>
#include <utility>

#include "output.h"
#include "pipeline-of.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_pads_debug);
#define GST_CAT_DEFAULT vdoninja_pads_debug

namespace vdn {

namespace {

constexpr unsigned kLookMs = 500;
// Ticks: what is linked late is linked by then.
constexpr unsigned kUnwatched = 4;
constexpr unsigned kUnlinked = 10, kHeldUp = 10;

} // namespace

Outputs::Outputs(Loop &loop, GstElement *element, std::shared_ptr<Disposer> disposer,
                 OutputConfig config, OutputsObserver &observer)
    : loop_(loop), element_(element), disposer_(std::move(disposer)),
      config_(std::move(config)), observer_(observer),
      group_id_(gst_util_group_id_next()), latency_(first_latency(config_.latency)),
      look_timer_(loop) {
  find_spare_pads();
}

Outputs::~Outputs() {
  clear();
}

void Outputs::find_spare_pads() {
  gst_element_foreach_src_pad(
      element_,
      [](GstElement *, GstPad *pad, gpointer data) -> gboolean {
        auto *self = static_cast<Outputs *>(data);
        gst_vdoninja_src_pad_restart(GST_VDONINJA_SRC_PAD(pad), nullptr, self->group_id_);
        self->spare_.push_back(ObjPtr<GstPad>::ref(pad));
        const std::string name = GST_PAD_NAME(pad);
        const size_t end = name.find('_') + 1;
        const auto next =
            static_cast<unsigned>(g_ascii_strtoull(name.c_str() + end, nullptr, 10) + 1);
        unsigned &counter = name[0] == 'v' ? self->next_video_ : self->next_audio_;
        counter = std::max(counter, next);
        return TRUE;
      },
      this);
}

// One of an earlier run, NULL if there is none.
ObjPtr<GstPad> Outputs::take_spare(MediaKind kind) {
  const char first = kind == MediaKind::kVideo ? 'v' : 'a';
  for (auto at = spare_.begin(); at != spare_.end(); ++at)
    if (GST_PAD_NAME(at->get())[0] == first) {
      auto pad = std::move(*at);
      spare_.erase(at);
      return pad;
    }
  return nullptr;
}

// What one pad cannot deliver is no reason to end the others.
void Outputs::report(GQuark domain, int code, const std::string &text, bool fatal) {
  fatal = fatal && std::none_of(outputs_.begin(), outputs_.end(), [](const auto &output) {
            return output->branch.bin && gst_pad_is_linked(output->pad.get());
          });
  ErrorPtr error(g_error_new_literal(domain, code, text.c_str()));
  observer_.output_problem(error.get(), fatal);
}

Outputs::Output *Outputs::find(const std::string &stream_id, const MediaLine &line,
                               unsigned ordinal) {
  for (auto &output : outputs_)
    if (output->stream_id == stream_id && output->kind == line.kind &&
        output->screen == line.screen && output->ordinal == ordinal)
      return output.get();
  return nullptr;
}

Outputs::Output *Outputs::add_output(const std::string &stream_id, const MediaLine &line,
                                     unsigned ordinal) {
  auto output = std::make_unique<Output>(loop_);
  output->id = next_id_++;
  output->stream_id = stream_id;
  output->kind = line.kind;
  output->screen = line.screen;
  output->ordinal = ordinal;
  outputs_.push_back(std::move(output));
  expose(*outputs_.back());
  return outputs_.back().get();
}

void Outputs::expose(Output &output) {
  const bool is_new = !(output.pad = take_spare(output.kind));
  if (is_new)
    output.pad = make_pad(output.kind);
  auto *pad = output.src_pad();
  const char *name = GST_PAD_NAME(output.pad.get());
  // Of the path, as names repeat in other bins.
  StrPtr path(gst_object_get_path_string(GST_OBJECT(element_)));
  StrPtr id(
      g_strdup_printf("vdoninja/%s%s/%s", output.shown_id().c_str(), path.get(), name));
  auto stream = ObjPtr<GstStream>::adopt(gst_stream_new(
      id.get(), nullptr,
      output.kind == MediaKind::kVideo ? GST_STREAM_TYPE_VIDEO : GST_STREAM_TYPE_AUDIO,
      GST_STREAM_FLAG_NONE));
  gst_vdoninja_src_pad_restart(pad, stream.get(), group_id_);
  gst_vdoninja_src_pad_set_latency(pad, latency_ * GST_MSECOND);
  watch_links(output);
  // Known when pad-added is emitted: it tells whom the application links.
  gst_vdoninja_src_pad_describe(pad, output.shown_id().c_str(), nullptr, nullptr,
                                nullptr);
  gst_vdoninja_src_pad_set_time_offset(pad, offset_);
  if (is_new) {
    gst_pad_set_active(output.pad.get(), TRUE);
    gst_element_add_pad(element_, output.pad.get());
  }
  if (finished_)
    finish(output.pad.get());
}

ObjPtr<GstPad> Outputs::make_pad(MediaKind kind) {
  const bool video = kind == MediaKind::kVideo;
  auto *templ = gst_element_class_get_pad_template(GST_ELEMENT_GET_CLASS(element_),
                                                   video ? "video_%u" : "audio_%u");
  StrPtr name(video ? g_strdup_printf("video_%u", next_video_++)
                    : g_strdup_printf("audio_%u", next_audio_++));
  return ObjPtr<GstPad>::ref(gst_vdoninja_src_pad_new(templ, name.get()));
}

// Thread of the signals: whoever links. The loop stops before the pads and this object
// go.
void Outputs::watch_links(Output &output) {
  struct Link {
    std::shared_ptr<Loop> loop;
    Outputs *outputs; // for the loop, which stops before they go
    unsigned id;
    void (Outputs::*job)(Output &);
  };
  auto notify = [&](const char *signal, void (Outputs::*job)(Output &)) {
    output.handlers.push_back(g_signal_connect_data(
        output.pad.get(), signal, G_CALLBACK(+[](GstPad *, GstPad *, gpointer data) {
          auto link = *static_cast<Link *>(data);
          link.loop->post([link] {
            for (auto &known : link.outputs->outputs_)
              if (known->id == link.id) {
                known->forget_failures(); // of another peer, perhaps
                (link.outputs->*link.job)(*known);
                break;
              }
          });
        }),
        new Link{loop_.shared_from_this(), this, output.id, job},
        [](gpointer data, GClosure *) { delete static_cast<Link *>(data); },
        static_cast<GConnectFlags>(0)));
  };
  notify("linked", &Outputs::refresh);
  notify("unlinked", &Outputs::unlinked);
}

// One collection for all pads, so that decodebin3 and playbin3 see what there is.
void Outputs::announce() {
  auto collection =
      ObjPtr<GstStreamCollection>::adopt(gst_stream_collection_new("vdoninja"));
  for (auto &output : outputs_)
    gst_stream_collection_add_stream(
        collection.get(),
        GST_STREAM(gst_object_ref(gst_vdoninja_src_pad_get_stream(output->src_pad()))));
  for (auto &output : outputs_)
    gst_vdoninja_src_pad_set_collection(output->src_pad(), collection.get());
  gst_element_post_message(element_, gst_message_new_stream_collection(
                                         GST_OBJECT(element_), collection.get()));
  gst_element_no_more_pads(element_);
}

std::vector<const Format *> Outputs::negotiate(const WantedStream &wanted,
                                               const std::string &label,
                                               const Offer &offer) {
  for (auto &output : outputs_)
    if (output->stream_id == wanted.id)
      output->mline = kNoLine;
  bool added = false;
  std::map<std::pair<MediaKind, bool>, unsigned> ordinals; // of a kind, of the screen
  std::vector<const Format *> formats;
  for (const auto &line : offer.media) {
    if (!(line.kind == MediaKind::kVideo ? config_.video : config_.audio) ||
        !(line.screen ? wanted.screen : wanted.camera)) {
      formats.push_back(nullptr);
      continue;
    }
    // Lines keep their place even while nothing is sent on them.
    unsigned ordinal = ordinals[{line.kind, line.screen}]++;
    Output *output = find(wanted.id, line, ordinal);
    if (!output && line.active) {
      output = add_output(wanted.id, line, ordinal);
      added = true;
    }
    if (!output) {
      formats.push_back(line.formats.empty() ? nullptr : &line.formats.front());
      continue;
    }
    output->mline = line.index;
    const Format *format = choose_format(line, acceptable(*output));
    formats.push_back(format);
    gst_vdoninja_src_pad_describe(output->src_pad(), output->shown_id().c_str(),
                                  label.c_str(), line.mid.c_str(),
                                  format ? format->encoding.c_str() : nullptr);
    if (!format && line.active)
      report_no_codec(line, *output);
  }
  if (added)
    announce();
  return formats;
}

void Outputs::attach(RtpSource source) {
  Output *output = nullptr;
  for (auto &known : outputs_)
    if (known->stream_id == source.stream_id && known->kind == source.kind &&
        known->mline == source.mline)
      output = known.get();
  if (!output) {
    discard_media(source.pad.get(), source.block);
    return;
  }
  disconnect_source(*output);
  output->overload = Overload();
  output->source = std::move(source);
  gst_vdoninja_src_pad_describe(output->src_pad(), nullptr, nullptr, nullptr,
                                output->source.encoding.c_str());
  refresh(*output);
}

void Outputs::detach(const void *owner) {
  for (auto &output : outputs_)
    if (output->source.owner == owner) {
      unwatched_.erase(output->stream_id); // of the next session nothing was asked
      disconnect_source(*output);
    }
}

void Outputs::set_label(const std::string &stream_id, const std::string &label) {
  for (auto &output : outputs_)
    if (output->stream_id == stream_id)
      gst_vdoninja_src_pad_describe(output->src_pad(), nullptr, label.c_str(), nullptr,
                                    nullptr);
}

void Outputs::set_rotation(const std::string &stream_id, int degrees) {
  for (auto &output : outputs_)
    if (output->stream_id == stream_id && output->kind == MediaKind::kVideo &&
        !output->screen)
      gst_vdoninja_src_pad_set_rotation(output->src_pad(), degrees);
}

// At once, and once more behind the last frame, which may be on its way for longer.
void Outputs::set_reconnecting(const std::string &stream_id, bool active) {
  const auto event = [active](GstEventType type) {
    return gst_event_new_custom(
        type, gst_structure_new("vdoninja/reconnecting", "active", G_TYPE_BOOLEAN,
                                static_cast<gboolean>(active), nullptr));
  };
  for (auto &output : outputs_) {
    if (output->stream_id != stream_id)
      continue;
    gst_pad_push_event(output->pad.get(), event(GST_EVENT_CUSTOM_DOWNSTREAM_OOB));
    if (active && gst_vdoninja_src_pad_get_buffers(output->src_pad()) > 0)
      push_later(output->pad.get(), event(GST_EVENT_CUSTOM_DOWNSTREAM));
  }
}

// Downstream may hold the event up.
void Outputs::push_later(GstPad *pad, GstEvent *event) {
  struct Later {
    ObjPtr<GstPad> pad;
    EventPtr event;
  };
  gst_element_call_async(
      element_,
      [](GstElement *, gpointer data) {
        auto *later = static_cast<Later *>(data);
        gst_pad_push_event(later->pad.get(), later->event.release());
      },
      new Later{ObjPtr<GstPad>::ref(pad), EventPtr(event)},
      [](gpointer data) { delete static_cast<Later *>(data); });
}

void Outputs::request_keyframes(const std::string &stream_id) {
  for (auto &output : outputs_)
    if ((stream_id.empty() || output->stream_id == stream_id) &&
        output->kind == MediaKind::kVideo && output->branch.bin)
      request_keyframe(output->source.pad.get());
}

void Outputs::resume(gint64 offset) {
  offset_ = offset;
  for (auto &output : outputs_) {
    gst_vdoninja_src_pad_set_time_offset(output->src_pad(), offset);
    if (output->branch.playout)
      playout_clear(output->branch.playout.get());
    output->interrupt();
  }
  if (!flowing_->exchange(true))
    request_keyframes({});
  if (!look_timer_.active())
    look_around();
}

void Outputs::look_around() {
  adapt_latency();
  fill_gaps();
  watch_wishes();
  tell_of_unlinked();
  tell_of_waiting();
  look_timer_.start(kLookMs, [this] { look_around(); });
}

// A picture that nobody takes costs the whole bitrate all the same.
void Outputs::watch_wishes() {
  std::map<std::string, bool> linked; // of streams that have video
  for (const auto &output : outputs_)
    if (output->kind == MediaKind::kVideo && output->source.pad)
      linked[output->stream_id] |= gst_pad_is_linked(output->pad.get()) != FALSE;
  for (const auto &[id, is_linked] : linked) {
    unsigned &ticks = unwatched_[id];
    if (is_linked && ticks >= kUnwatched)
      observer_.video_wanted(id, true);
    ticks = is_linked ? 0 : ticks + 1;
    if (ticks == kUnwatched)
      observer_.video_wanted(id, false);
  }
}

// As when somebody waits for a picture, and the publisher has but sound.
void Outputs::tell_of_unlinked() {
  std::string have;
  for (const auto &output : outputs_) {
    if (gst_pad_is_linked(output->pad.get())) {
      unlinked_ = 0;
      return;
    }
    if (output->source.pad)
      have += std::string(have.empty() ? "" : ", ") + GST_PAD_NAME(output->pad.get()) +
              " (" + output->source.encoding + " of " + output->shown_id() + ")";
  }
  if (have.empty() || ++unlinked_ != kUnlinked)
    return;
  report(GST_CORE_ERROR, GST_CORE_ERROR_PAD,
         "nothing is linked to what the publisher sends: " + have, false);
}

// A live source plays, and sinks that have something wait for those that have nothing:
// with sound to be heard and none sent the picture stands still, and nobody says why.
bool Outputs::waits_for_other_sinks() const {
  const auto pipeline = pipeline_of(element_);
  return *flowing_ && GST_STATE(pipeline.get()) != GST_STATE_PLAYING &&
         GST_STATE_TARGET(pipeline.get()) == GST_STATE_PLAYING;
}

void Outputs::tell_of_waiting() {
  std::string held_up;
  bool kinds[2] = {false, false};
  for (const auto &output : outputs_) {
    kinds[output->kind == MediaKind::kVideo] |= bool(output->source.pad);
    if (gst_vdoninja_src_pad_is_pushing(output->src_pad()))
      held_up = GST_PAD_NAME(output->pad.get());
  }
  if (held_up.empty() || !waits_for_other_sinks()) {
    held_up_ = 0;
    return;
  }
  if (++held_up_ != kHeldUp)
    return;
  const char *lacks = !kinds[0]   ? "; the publisher sends no sound"
                      : !kinds[1] ? "; the publisher sends no picture"
                                  : "";
  report(GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED,
         "what is linked to " + held_up +
             " waits for another sink of the pipeline, which has got nothing so far" +
             lacks + "; leave that sink out, or give it async=false",
         false);
}

// Who is to be linked once a pad appears has nobody to hear of the end from, and without
// its sinks no pipeline ends: `gst-launch-1.0 -e` would wait forever. Not of one kind
// alone: whoever plays the other well, as playbin does, takes an empty pad for an error.
void Outputs::end_those_that_wait() {
  if (!outputs_.empty())
    return;
  for (MediaKind kind : {MediaKind::kVideo, MediaKind::kAudio}) {
    MediaLine line;
    line.kind = kind;
    if (kind == MediaKind::kVideo ? config_.video : config_.audio)
      add_output({}, line, 0); // of no stream
  }
  if (!outputs_.empty())
    announce();
}

void Outputs::finish() {
  finished_ = true;
  look_timer_.stop();
  end_those_that_wait();
  for (auto &output : outputs_) {
    output->watch_timer.stop();
    output->measure_timer.stop();
    finish(output->pad.get());
  }
  for (const auto &pad : spare_)
    finish(pad.get());
}

void Outputs::finish(GstPad *pad) {
  gst_element_call_async(
      element_,
      [](GstElement *, gpointer data) {
        gst_vdoninja_src_pad_finish(GST_VDONINJA_SRC_PAD(data));
      },
      gst_object_ref(pad), gst_object_unref);
}

void Outputs::forget(Output &output) {
  for (gulong handler : output.handlers)
    g_signal_handler_disconnect(output.pad.get(), handler);
  disconnect_source(output);
}

void Outputs::remove(const std::string &stream_id) {
  auto gone = [&](const std::unique_ptr<Output> &output) {
    if (output->stream_id != stream_id)
      return false;
    had_buffers_ |= gst_vdoninja_src_pad_get_buffers(output->src_pad()) > 0;
    forget(*output);
    // EOS waits for a buffer that is on its way, so not here.
    gst_element_call_async(
        element_,
        [](GstElement *element, gpointer data) {
          auto *pad = static_cast<GstPad *>(data);
          gst_vdoninja_src_pad_finish(GST_VDONINJA_SRC_PAD(pad));
          gst_pad_set_active(pad, FALSE);
          gst_element_remove_pad(element, pad);
        },
        gst_object_ref(output->pad.get()), gst_object_unref);
    return true;
  };
  outputs_.erase(std::remove_if(outputs_.begin(), outputs_.end(), gone), outputs_.end());
}

void Outputs::clear() {
  for (auto &output : outputs_) {
    forget(*output);
    spare_.push_back(output->pad);
  }
  outputs_.clear();
  for (const auto &pad : std::exchange(spare_, {})) {
    if (gst_pad_is_linked(pad.get()))
      continue;
    gst_pad_set_active(pad.get(), FALSE);
    gst_element_remove_pad(element_, pad.get());
  }
}

bool Outputs::has_delivered() const {
  return had_buffers_ ||
         std::any_of(outputs_.begin(), outputs_.end(), [](const auto &output) {
           return gst_vdoninja_src_pad_get_buffers(output->src_pad()) > 0;
         });
}

} // namespace vdn
