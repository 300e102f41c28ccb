// SPDX-License-Identifier: LGPL-2.1-or-later
// The half of outputs.h that feeds a pad: the branch behind it is made when somebody
// takes what it gives, watched, and made anew when it fails.
#include <algorithm>
#include <tuple>
#include <utility>

#include "output.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_pads_debug);
#define GST_CAT_DEFAULT vdoninja_pads_debug

namespace vdn {

namespace {

constexpr unsigned kWatchMs = 500;
constexpr unsigned kLongestRequestGapMs = 2000;
constexpr unsigned kDecoderStalledMs = 3000;
constexpr unsigned kNoKeyframeMs = 6000; // by then it was asked five times
constexpr unsigned kMeasureMs = 2000;
// Told are so many skips within ten seconds; one may be a hiccup.
constexpr unsigned kSkipsForgiven = 2;
constexpr unsigned kSkipsWindow = 5; // measurements
// The share of time from which on skips are the decoder's doing.
constexpr double kWorksMostly = 0.5;
// A decoder is made anew so often before it makes way, unless it worked well in between.
constexpr unsigned kRelapsesForgiven = 2;
constexpr unsigned kProvenMs = 60000;
constexpr unsigned kStartOverMs = 2000;

bool has_system_memory(const GstCaps *caps) {
  for (guint i = 0; i < gst_caps_get_size(caps); i++) {
    const GstCapsFeatures *features = gst_caps_get_features(caps, i);
    if (gst_caps_features_is_any(features) ||
        gst_caps_features_contains(features, GST_CAPS_FEATURE_MEMORY_SYSTEM_MEMORY))
      return true;
  }
  return false;
}

const char *name_of(Form form) {
  return form == Form::kRaw ? "raw" : form == Form::kRtp ? "rtp" : "encoded";
}

} // namespace

// Brings what is behind a pad in line with whether somebody takes it.
void Outputs::refresh(Output &output) {
  if (!output.source.pad)
    return;
  if (gst_pad_is_linked(output.pad.get()) && !output.branch.bin && !output.given_up) {
    watch_wishes();
    connect_source(output);
  }
  if (!output.branch.bin)
    output.discard();
}

// By now somebody else may be linked, who takes another form.
void Outputs::unlinked(Output &output) {
  drop_branch(output);
  output.interrupt();
  refresh(output);
}

BranchRequest Outputs::make_request(const Output &output, unsigned branch_id) {
  BranchRequest request;
  request.home = GST_BIN(element_);
  request.codec = find_codec(output.source.encoding);
  request.form = output.form;
  if (output.kind == MediaKind::kVideo) {
    request.decoder = config_.video_decoder;
    if (output.form == Form::kRaw)
      request.shown = output.shown;
  }
  request.failed_decoders = output.failed_decoders;
  request.conceal_errors = config_.conceal_errors;
  request.decoder_setup = [this](GstElement *decoder) {
    observer_.decoder_made(decoder);
  };
  request.latency_us = static_cast<gint64>(latency_) * 1000;
  request.adaptive = is_adaptive();
  request.pipeline_latency = output.pipeline_latency;
  request.flowing = flowing_;
  request.broken = [this, loop = loop_.shared_from_this(), output_id = output.id,
                    branch_id](GstFlowReturn flow) {
    loop->post([this, output_id, branch_id, flow] {
      branch_broken(output_id, branch_id, flow);
    });
  };
  return request;
}

void Outputs::connect_source(Output &output) {
  probe_peer(output);
  if (!output.takes(output.source.encoding)) {
    output.given_up = true; // of this source
    observer_.renegotiate(output.stream_id);
    return;
  }
  unsigned branch_id = next_id_++;
  BranchRequest request = make_request(output, branch_id);
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
    const bool asked_for = !request.decoder.empty(); // by the user, who is to know
    if (error && asked_for)
      observer_.output_problem(error.get(), true);
    else if (error)
      report(error->domain, error->code, error->message, true);
    return;
  }
  output.branch_id = branch_id;
  GstElement *bin = output.branch.bin.get();
  GST_INFO_OBJECT(output.pad.get(), "delivering %s %s, decoder %s", name_of(output.form),
                  output.source.encoding.c_str(),
                  output.branch.decoder.empty() ? "none" : output.branch.decoder.c_str());
  gst_bin_add(GST_BIN(element_), bin);
  auto src = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(bin, "src"));
  auto sink = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(bin, "sink"));
  gst_vdoninja_src_pad_set_source(output.src_pad(), src.get());
  if (!gst_element_sync_state_with_parent(bin)) {
    branch_failed_to_start(output);
    return;
  }
  gst_pad_link_full(output.source.pad.get(), sink.get(), GST_PAD_LINK_CHECK_NOTHING);
  want_all_packets(output.source.pad.get(), output.form != Form::kRaw);
  const bool missed = output.drop_probe != 0;
  output.let_flow();
  gst_element_post_message(element_, gst_message_new_latency(GST_OBJECT(element_)));
  watch_from_now_on(output);
  if (missed && output.kind == MediaKind::kVideo && output.form != Form::kRtp)
    request_keyframe(output.source.pad.get());
}

// What the branch delivers.
void Outputs::watch_from_now_on(Output &output) {
  output.delivered = gst_vdoninja_src_pad_get_buffers(output.src_pad());
  output.pushing_us = gst_vdoninja_src_pad_get_pushing_us(output.src_pad());
  output.received = output.decoding = 0;
  output.stalled_ms = output.working_ms = 0;
  output.next_request_ms = kWatchMs;
  output.produced = false;
  output.measured_bytes = output.bitrate = 0;
  output.decoded_us = 0;
  output.measurements = output.skips = 0;
  output.measure_timer.start(kMeasureMs, [this, &output] { measure(output); });
  if (output.kind == MediaKind::kVideo && output.form != Form::kRtp)
    output.watch_timer.start(kWatchMs, [this, &output] { watch(output); });
}

// Nothing may flow into it: what is not in PAUSED refuses packets, and that would end the
// session.
void Outputs::branch_failed_to_start(Output &output) {
  const std::string decoder = output.branch.decoder;
  drop_branch(output);
  const bool wanted = output.kind == MediaKind::kVideo && !config_.video_decoder.empty();
  if (decoder.empty() || wanted) {
    output.given_up = true;
    report(GST_STREAM_ERROR, GST_STREAM_ERROR_DECODE,
           (wanted ? "video-decoder of " : "what is for ") +
               std::string(GST_PAD_NAME(output.pad.get())) +
               " does not start; GST_DEBUG=2 says why",
           true);
    return;
  }
  output.failed_decoders.push_back(decoder);
  refresh(output);
}

void Outputs::measure(Output &output) {
  measure_bitrate(output);
  relieve(output, watch_skips(output));
  output.measure_timer.start(kMeasureMs, [this, &output] { measure(output); });
}

// Told when it is another by a quarter: tags are news, not a meter.
void Outputs::measure_bitrate(Output &output) {
  guint64 bytes = output.branch.progress->received_bytes;
  auto bitrate = static_cast<guint>(
      (bytes - std::exchange(output.measured_bytes, bytes)) * 8 * 1000 / kMeasureMs);
  guint change = std::max(bitrate, output.bitrate) - std::min(bitrate, output.bitrate);
  if (bitrate && change > output.bitrate / 4) {
    output.bitrate = bitrate;
    gst_vdoninja_src_pad_set_bitrate(output.src_pad(), bitrate);
  }
}

// A smaller picture for a decoder that does not cope. What is linked may be slow for
// other reasons than size.
void Outputs::relieve(Output &output, bool skips) {
  // Less than before where a decoder pushes from a thread of its own.
  const guint64 worked = output.working_us();
  const guint64 before = std::exchange(output.decoded_us, worked);
  const double load =
      static_cast<double>(worked - std::min(worked, before)) / (kMeasureMs * 1000.0);
  if (output.kind != MediaKind::kVideo || output.branch.decoder.empty())
    return;
  if (!output.overload.is_relieved())
    std::tie(output.full_width, output.full_height) = output.picture_size();
  const bool is_slow = skips && load > kWorksMostly;
  const auto share = output.overload.judge(is_slow, load, g_get_monotonic_time());
  if (!share || output.full_width <= 0)
    return;
  // All of it is no size: that of a moment may be what the network allowed then.
  Size size;
  if (*share < 1)
    size = {{static_cast<unsigned>(output.full_width * *share),
             static_cast<unsigned>(output.full_height * *share)}};
  if (!observer_.size_wanted(output.stream_id, size))
    output.overload = Overload();
}

// Whether some was dropped again and again because it was late; tells it once.
bool Outputs::watch_skips(Output &output) {
  const Progress &progress = *output.branch.progress;
  const bool often = progress.skips - output.skips > kSkipsForgiven;
  if (++output.measurements % kSkipsWindow == 0)
    output.skips = progress.skips;
  if (!often || waits_for_other_sinks() || std::exchange(output.told_slow, true))
    return often;
  const bool downstream =
      gst_vdoninja_src_pad_get_pushing_us(output.src_pad()) - output.pushing_us >
      progress.working_us / 2;
  const std::string pad = GST_PAD_NAME(output.pad.get());
  std::string text = downstream || output.branch.decoder.empty()
                         ? "what is linked to " + pad
                     : output.branch.decoder == "bin" // the user's own description
                         ? "video-decoder of " + pad
                         : "decoder " + output.branch.decoder + " of " + pad;
  text += " is slower than the stream: " + std::to_string(progress.dropped) +
          " of what came was dropped to stay live; ";
  text += output.kind == MediaKind::kAudio ? "make it faster"
                                           : "ask the publisher for a smaller picture "
                                             "or fewer of them, or make it faster";
  if (!downstream && !output.branch.decoder.empty())
    text += " (video-decoder chooses another decoder)";
  report(GST_STREAM_ERROR, GST_STREAM_ERROR_DECODE, text, false);
  return true;
}

// Data comes in and no picture out: asks for a keyframe, again and again since a PLI may
// be lost, and gives a decoder up that takes data and delivers nothing.
void Outputs::watch(Output &output) {
  guint64 delivered = gst_vdoninja_src_pad_get_buffers(output.src_pad());
  const Progress &progress = *output.branch.progress;
  // A buffer that does not come through, and is not held up downstream, is stuck here.
  bool pushing = gst_vdoninja_src_pad_is_pushing(output.src_pad());
  bool stuck = !pushing && (progress.received != progress.passed ||
                            progress.taken != progress.handed);
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
    if (!decoding && output.stalled_ms >= kNoKeyframeMs)
      tell_of_no_keyframe(output);
    if (decoding && output.stalled_ms >= kDecoderStalledMs && output.form == Form::kRaw) {
      GST_WARNING_OBJECT(output.pad.get(), "%s delivers nothing for %u ms",
                         output.branch.decoder.c_str(), output.stalled_ms);
      retry_decoder(output);
      return;
    }
  }
  output.watch_timer.start(kWatchMs, [this, &output] { watch(output); });
}

// Depayloaders let nothing through before one. It may come yet.
void Outputs::tell_of_no_keyframe(Output &output) {
  if (!std::exchange(output.told_no_keyframe, true))
    report(GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED,
           std::string("packets come for ") + GST_PAD_NAME(output.pad.get()) +
               ", and no picture: no keyframe arrives, which the publisher was asked for "
               "several times; it is asked again",
           false);
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
  output.measure_timer.stop();
  if (!output.branch.bin)
    return;
  GstElement *bin = output.branch.bin.get();
  output.discard();
  auto sink = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(bin, "sink"));
  gst_pad_unlink(output.source.pad.get(), sink.get());
  gst_vdoninja_src_pad_set_source(output.src_pad(), nullptr);
  output.earlier = output.pictures();
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
    // Memory that downstream cannot take is the decoder's fault, too, as long as it was
    // not the user who chose it: the next one may give another.
    const bool foreign = flow == GST_FLOW_NOT_NEGOTIATED &&
                         config_.video_decoder.empty() && !has_system_memory(given.get());
    bool ours = downstream == GST_FLOW_OK && !output->branch.decoder.empty() &&
                (foreign || gst_caps_can_intersect(given.get(), taken.get()));
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

} // namespace vdn
