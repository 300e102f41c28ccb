// SPDX-License-Identifier: LGPL-2.1-or-later
#include "outputs.h"

#include <algorithm>
#include <map>
#include <utility>

#include "output.h"
#include "structure-list.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_pads_debug);
#define GST_CAT_DEFAULT vdoninja_pads_debug

namespace vdn {

namespace {

constexpr unsigned kWatchMs = 500;
constexpr unsigned kLongestRequestGapMs = 2000;
constexpr unsigned kDecoderStalledMs = 3000;
constexpr unsigned kBitrateMs = 2000;
// A decoder is made anew so often before it makes way, unless it worked well in between.
constexpr unsigned kRelapsesForgiven = 2;
constexpr unsigned kProvenMs = 60000;
constexpr unsigned kStartOverMs = 2000;

} // namespace

Outputs::Outputs(Loop &loop, GstElement *element, std::shared_ptr<Disposer> disposer,
                 OutputConfig config, Callbacks callbacks)
    : loop_(loop), element_(element), disposer_(std::move(disposer)),
      config_(std::move(config)), callbacks_(std::move(callbacks)),
      group_id_(gst_util_group_id_next()) {}

Outputs::~Outputs() {
  clear();
}

void Outputs::report(GQuark domain, int code, const std::string &text, bool fatal) {
  ErrorPtr error(g_error_new_literal(domain, code, text.c_str()));
  callbacks_.problem(error.get(), fatal);
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
  bool video = output.kind == MediaKind::kVideo;
  auto *templ = gst_element_class_get_pad_template(GST_ELEMENT_GET_CLASS(element_),
                                                   video ? "video_%u" : "audio_%u");
  StrPtr name(video ? g_strdup_printf("video_%u", next_video_++)
                    : g_strdup_printf("audio_%u", next_audio_++));
  // Of the path, as names repeat in other bins.
  StrPtr path(gst_object_get_path_string(GST_OBJECT(element_)));
  StrPtr id(g_strdup_printf("vdoninja/%s%s/%s", output.shown_id().c_str(), path.get(),
                            name.get()));
  auto stream = ObjPtr<GstStream>::adopt(gst_stream_new(
      id.get(), nullptr, video ? GST_STREAM_TYPE_VIDEO : GST_STREAM_TYPE_AUDIO,
      GST_STREAM_FLAG_NONE));
  output.pad = ObjPtr<GstPad>::ref(
      gst_vdoninja_src_pad_new(templ, name.get(), stream.get(), group_id_));
  gst_vdoninja_src_pad_set_latency(output.src_pad(), config_.latency * GST_MSECOND);
  watch_links(output);
  // Known when pad-added is emitted: it tells whom the application links.
  gst_vdoninja_src_pad_describe(output.src_pad(), output.shown_id().c_str(), nullptr,
                                nullptr, nullptr);
  gst_pad_set_active(output.pad.get(), TRUE);
  gst_element_add_pad(element_, output.pad.get());
  if (finished_)
    finish(output);
}

// Thread of the signals: whoever links. The loop stops before the pads and this object
// go.
void Outputs::watch_links(Output &output) {
  struct Link {
    Outputs *outputs;
    unsigned id;
    void (Outputs::*job)(Output &);
  };
  auto notify = [&](const char *signal, void (Outputs::*job)(Output &)) {
    output.handlers.push_back(g_signal_connect_data(
        output.pad.get(), signal, G_CALLBACK(+[](GstPad *, GstPad *, gpointer data) {
          auto link = *static_cast<Link *>(data);
          link.outputs->loop_.post([link] {
            for (auto &known : link.outputs->outputs_)
              if (known->id == link.id) {
                known->forget_failures(); // of another peer, perhaps
                (link.outputs->*link.job)(*known);
                break;
              }
          });
        }),
        new Link{this, output.id, job},
        [](gpointer data, GClosure *) { delete static_cast<Link *>(data); },
        static_cast<GConnectFlags>(0)));
  };
  notify("linked", &Outputs::refresh);
  notify("unlinked", &Outputs::unlinked);
}

// One collection for all pads, so that decodebin3 and playbin3 see what there is.
void Outputs::announce_streams() {
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
  if (added) {
    announce_streams();
    gst_element_no_more_pads(element_);
  }
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
  output->source = std::move(source);
  gst_vdoninja_src_pad_describe(output->src_pad(), nullptr, nullptr, nullptr,
                                output->source.encoding.c_str());
  refresh(*output);
}

void Outputs::detach(const void *owner) {
  for (auto &output : outputs_)
    if (output->source.owner == owner)
      disconnect_source(*output);
}

// Brings what is behind a pad in line with whether somebody takes it.
void Outputs::refresh(Output &output) {
  if (!output.source.pad)
    return;
  if (gst_pad_is_linked(output.pad.get()) && !output.branch.bin && !output.given_up)
    connect_source(output);
  if (!output.branch.bin)
    output.discard();
}

// By now somebody else may be linked, who takes another form.
void Outputs::unlinked(Output &output) {
  drop_branch(output);
  refresh(output);
}

void Outputs::connect_source(Output &output) {
  probe_peer(output);
  if (!output.takes(output.source.encoding)) {
    output.given_up = true; // of this source
    callbacks_.renegotiate(output.stream_id);
    return;
  }
  BranchRequest request;
  request.codec = find_codec(output.source.encoding);
  request.form = output.form;
  if (output.kind == MediaKind::kVideo)
    request.decoder = config_.video_decoder;
  request.failed_decoders = output.failed_decoders;
  request.conceal_errors = config_.conceal_errors;
  request.decoder_setup = callbacks_.decoder_setup;
  unsigned output_id = output.id, branch_id = next_id_++;
  request.broken = [this, loop = loop_.shared_from_this(), output_id,
                    branch_id](GstFlowReturn flow) {
    loop->post([this, output_id, branch_id, flow] {
      branch_broken(output_id, branch_id, flow);
    });
  };
  GError *raw = nullptr;
  if (request.codec)
    output.branch = make_branch(request, &raw);
  ErrorPtr error(raw);
  if (!output.branch.bin && !output.failed_decoders.empty()) {
    start_over(output);
    return;
  }
  if (!output.branch.bin) {
    output.given_up = true;
    if (error)
      callbacks_.problem(error.get(), true);
    return;
  }
  output.branch_id = branch_id;
  GstElement *bin = output.branch.bin.get();
  GST_INFO_OBJECT(output.pad.get(), "delivering %s, decoder %s",
                  output.source.encoding.c_str(),
                  output.branch.decoder.empty() ? "none" : output.branch.decoder.c_str());
  gst_bin_add(GST_BIN(element_), bin);
  auto src = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(bin, "src"));
  auto sink = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(bin, "sink"));
  gst_vdoninja_src_pad_set_source(output.src_pad(), src.get());
  gst_element_sync_state_with_parent(bin);
  gst_pad_link_full(output.source.pad.get(), sink.get(), GST_PAD_LINK_CHECK_NOTHING);
  bool missed = output.drop_probe != 0;
  output.let_flow();
  gst_element_post_message(element_, gst_message_new_latency(GST_OBJECT(element_)));
  output.delivered = gst_vdoninja_src_pad_get_buffers(output.src_pad());
  output.received = output.decoding = 0;
  output.stalled_ms = output.working_ms = 0;
  output.next_request_ms = kWatchMs;
  output.produced = false;
  output.measured_bytes = output.bitrate = 0;
  output.bitrate_timer.start(kBitrateMs, [this, &output] { measure_bitrate(output); });
  if (output.kind != MediaKind::kVideo || output.form == Form::kRtp)
    return;
  if (missed)
    request_keyframe(output.source.pad.get());
  output.watch_timer.start(kWatchMs, [this, &output] { watch(output); });
}

// Told when it is another by a quarter: tags are news, not a meter.
void Outputs::measure_bitrate(Output &output) {
  guint64 bytes = output.branch.progress->received_bytes;
  auto bitrate = static_cast<guint>(
      (bytes - std::exchange(output.measured_bytes, bytes)) * 8 * 1000 / kBitrateMs);
  guint change = std::max(bitrate, output.bitrate) - std::min(bitrate, output.bitrate);
  if (bitrate && change > output.bitrate / 4) {
    output.bitrate = bitrate;
    gst_vdoninja_src_pad_set_bitrate(output.src_pad(), bitrate);
  }
  output.bitrate_timer.start(kBitrateMs, [this, &output] { measure_bitrate(output); });
}

// Data comes in and no picture out: asks for a keyframe, again and again since a PLI may
// be lost, and gives a decoder up that takes data and delivers nothing.
void Outputs::watch(Output &output) {
  guint64 delivered = gst_vdoninja_src_pad_get_buffers(output.src_pad());
  const Progress &progress = *output.branch.progress;
  // A buffer that does not come through, and is not held up downstream, is stuck here.
  bool pushing = gst_vdoninja_src_pad_is_pushing(output.src_pad());
  bool stuck = !pushing && progress.received != progress.passed;
  bool came = stuck || progress.received !=
                           std::exchange(output.received, progress.received.load());
  bool decoding = stuck || progress.decoding !=
                               std::exchange(output.decoding, progress.decoding.load());
  if (delivered != std::exchange(output.delivered, delivered)) {
    output.produced = true;
    output.stalled_ms = 0;
    output.next_request_ms = kWatchMs;
    output.working_ms += kWatchMs;
    if (output.working_ms >= kProvenMs)
      output.relapses = 0;
  } else if (came && !pushing) {
    output.stalled_ms += kWatchMs;
    if (output.stalled_ms >= output.next_request_ms) {
      request_keyframe(output.source.pad.get());
      output.next_request_ms += std::min(output.next_request_ms, kLongestRequestGapMs);
    }
    if (decoding && output.stalled_ms >= kDecoderStalledMs && output.form == Form::kRaw) {
      GST_WARNING_OBJECT(output.pad.get(), "%s delivers nothing for %u ms",
                         output.branch.decoder.c_str(), output.stalled_ms);
      retry_decoder(output);
      return;
    }
  }
  output.watch_timer.start(kWatchMs, [this, &output] { watch(output); });
}

// A decoder that worked is made anew: some cannot follow a change of resolution. One that
// never delivered, or fails again and again, makes way for the next.
void Outputs::retry_decoder(Output &output) {
  std::string decoder = output.branch.decoder;
  bool produced = output.produced ||
                  gst_vdoninja_src_pad_get_buffers(output.src_pad()) != output.delivered;
  bool resized = output.branch.progress->formats > 1;
  drop_branch(output);
  if (!produced || (!resized && ++output.relapses > kRelapsesForgiven)) {
    output.relapses = 0;
    output.failed_decoders.push_back(decoder);
  }
  refresh(output);
}

// Every decoder failed; it may well be the stream. At leisure, since each attempt costs
// the publisher a keyframe.
void Outputs::start_over(Output &output) {
  std::string names;
  for (const auto &name : output.failed_decoders)
    names += (names.empty() ? "" : ", ") + name;
  if (!std::exchange(output.told_all_failed, true))
    report(GST_STREAM_ERROR, GST_STREAM_ERROR_DECODE,
           std::string("no decoder copes with the stream of ") +
               GST_PAD_NAME(output.pad.get()) + ", tried " + names +
               "; they are tried again",
           false);
  output.failed_decoders.clear();
  output.watch_timer.start(kStartOverMs, [this, &output] { refresh(output); });
}

void Outputs::drop_branch(Output &output) {
  output.watch_timer.stop();
  output.bitrate_timer.stop();
  if (!output.branch.bin)
    return;
  GstElement *bin = output.branch.bin.get();
  output.discard();
  auto sink = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(bin, "sink"));
  gst_pad_unlink(output.source.pad.get(), sink.get());
  gst_vdoninja_src_pad_set_source(output.src_pad(), nullptr);
  disposer_->dispose(GST_BIN(element_), std::move(output.branch.bin));
  output.branch = Branch();
  output.branch_id = 0;
}

void Outputs::disconnect_source(Output &output) {
  if (!output.source.pad)
    return;
  drop_branch(output);
  output.discard();
  output.source = RtpSource();
  output.drop_probe = 0;
  output.forget_failures();
}

void Outputs::branch_broken(unsigned output_id, unsigned branch_id, GstFlowReturn flow) {
  for (auto &output : outputs_) {
    if (output->id != output_id || output->branch_id != branch_id)
      continue;
    GstFlowReturn downstream = gst_vdoninja_src_pad_get_flow(output->src_pad());
    GST_INFO_OBJECT(output->pad.get(), "branch stopped: %s, downstream said %s",
                    gst_flow_get_name(flow), gst_flow_get_name(downstream));
    CapsPtr given = output->given_caps();
    CapsPtr taken(gst_pad_peer_query_caps(output->pad.get(), nullptr));
    bool ours = downstream == GST_FLOW_OK && !output->branch.decoder.empty() &&
                gst_caps_can_intersect(given.get(), taken.get());
    if (flow != GST_FLOW_NOT_LINKED && flow != GST_FLOW_EOS && ours) {
      retry_decoder(*output);
      return;
    }
    drop_branch(*output);
    output->given_up = flow != GST_FLOW_NOT_LINKED;
    refresh(*output);
    if (output->given_up && flow != GST_FLOW_EOS) // EOS: downstream has all it wants
      report_refused(*output, flow, given, taken);
    return;
  }
}

bool Outputs::element_failed(GstObject *source, const GError *error) {
  for (auto &output : outputs_) {
    GstElement *bin = output->branch.bin.get();
    if (!bin || !gst_object_has_as_ancestor(source, GST_OBJECT(bin)))
      continue;
    GST_WARNING_OBJECT(output->pad.get(), "%s failed: %s", GST_OBJECT_NAME(source),
                       error->message);
    branch_broken(output->id, output->branch_id, GST_FLOW_ERROR);
    return true;
  }
  return false;
}

void Outputs::set_label(const std::string &stream_id, const std::string &label) {
  for (auto &output : outputs_)
    if (output->stream_id == stream_id)
      gst_vdoninja_src_pad_describe(output->src_pad(), nullptr, label.c_str(), nullptr,
                                    nullptr);
}

void Outputs::set_reconnecting(const std::string &stream_id, bool active) {
  for (auto &output : outputs_)
    if (output->stream_id == stream_id)
      gst_pad_push_event(
          output->pad.get(),
          gst_event_new_custom(
              GST_EVENT_CUSTOM_DOWNSTREAM_OOB,
              gst_structure_new("vdoninja/reconnecting", "active", G_TYPE_BOOLEAN,
                                static_cast<gboolean>(active), nullptr)));
}

void Outputs::request_keyframes() {
  for (auto &output : outputs_)
    if (output->kind == MediaKind::kVideo && output->branch.bin)
      request_keyframe(output->source.pad.get());
}

void Outputs::set_latency(unsigned ms) {
  config_.latency = ms;
  for (auto &output : outputs_)
    gst_vdoninja_src_pad_set_latency(output->src_pad(), ms * GST_MSECOND);
}

void Outputs::add_stats(const std::string &stream_id, GstStructure *to) const {
  StructureList pads;
  for (const auto &output : outputs_) {
    if (output->stream_id != stream_id)
      continue;
    const Branch &branch = output->branch;
    pads.add(StructurePtr(gst_structure_new(
        "pad", "name", G_TYPE_STRING, GST_PAD_NAME(output->pad.get()), "codec",
        G_TYPE_STRING, output->source.encoding.c_str(), "decoder", G_TYPE_STRING,
        branch.decoder.c_str(), "linked", G_TYPE_BOOLEAN,
        gst_pad_is_linked(output->pad.get()), "packets", G_TYPE_UINT64,
        branch.progress->received.load(), "buffers", G_TYPE_UINT64,
        gst_vdoninja_src_pad_get_buffers(output->src_pad()), nullptr)));
  }
  pads.put(to, "pads");
}

void Outputs::finish() {
  finished_ = true;
  for (auto &output : outputs_)
    finish(*output);
}

void Outputs::finish(Output &output) {
  output.watch_timer.stop();
  output.bitrate_timer.stop();
  gst_element_call_async(
      element_,
      [](GstElement *, gpointer pad) {
        gst_vdoninja_src_pad_finish(GST_VDONINJA_SRC_PAD(pad));
      },
      gst_object_ref(output.pad.get()), gst_object_unref);
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
    gst_pad_set_active(output->pad.get(), FALSE);
    gst_element_remove_pad(element_, output->pad.get());
  }
  outputs_.clear();
  next_video_ = next_audio_ = 0;
}

} // namespace vdn
