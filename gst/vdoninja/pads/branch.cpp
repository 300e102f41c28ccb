// SPDX-License-Identifier: LGPL-2.1-or-later
#include "branch.h"

#include "h264-picture.h"

namespace vdn {

namespace {

constexpr gint64 kMs = G_USEC_PER_SEC / 1000;

struct Guard {
  std::function<void(GstFlowReturn)> broken;
  std::shared_ptr<const std::atomic<bool>> flowing;
  std::shared_ptr<Progress> progress;
  std::unique_ptr<H264Picture> picture; // H.264 that is depayloaded here
  std::atomic<bool> broke{false};

  void check(GstFlowReturn flow) {
    if (flow != GST_FLOW_OK && flow != GST_FLOW_FLUSHING && !broke.exchange(true))
      broken(flow);
  }
};

Guard *guard_of(GstPad *pad) {
  return static_cast<Guard *>(GST_PAD(pad)->chaindata);
}

GstFlowReturn chain(GstPad *pad, GstObject *parent, GstBuffer *buffer) {
  Guard *guard = guard_of(pad);
  if (!*guard->flowing) {
    gst_buffer_unref(buffer);
    return GST_FLOW_OK;
  }
  guard->progress->received++;
  guard->progress->received_bytes += gst_buffer_get_size(buffer);
  if (guard->broke) {
    gst_buffer_unref(buffer);
  } else {
    if (guard->picture)
      buffer = guard->picture->pass(buffer);
    if (buffer)
      guard->check(gst_proxy_pad_chain_default(pad, parent, buffer));
  }
  guard->progress->passed++;
  return GST_FLOW_OK;
}

GstFlowReturn chain_list(GstPad *pad, GstObject *parent, GstBufferList *list) {
  for (guint i = 0; i < gst_buffer_list_length(list); i++)
    chain(pad, parent, gst_buffer_ref(gst_buffer_list_get(list, i)));
  gst_buffer_list_unref(list);
  return GST_FLOW_OK;
}

// The end of one session is not the end of the stream.
gboolean event(GstPad *pad, GstObject *parent, GstEvent *event) {
  if (GST_EVENT_TYPE(event) != GST_EVENT_EOS)
    return gst_pad_event_default(pad, parent, event);
  gst_event_unref(event);
  return TRUE;
}

void add_guard(GstPad *sink, const BranchRequest &request,
               std::shared_ptr<Progress> progress) {
  auto *guard = new Guard{request.broken, request.flowing, std::move(progress)};
  if (request.form != Form::kRtp && !g_strcmp0(request.codec->encoding, "H264"))
    guard->picture = std::make_unique<H264Picture>();
  gst_pad_set_chain_function_full(
      sink, chain, guard, [](gpointer data) { delete static_cast<Guard *>(data); });
  gst_pad_set_chain_list_function(sink, chain_list);
  gst_pad_set_event_function(sink, event);
}

// Some hardware decoders refuse colorimetry with unknown parts, or a pixel aspect ratio,
// though they decode the stream: caps are offered once more without what only describes
// the picture. https://github.com/raspberrypi/linux/issues/7560
void simplify_caps(GstPad *decoder_sink, GstPadProbeInfo *info) {
  GstCaps *caps = nullptr;
  gst_event_parse_caps(gst_pad_probe_info_get_event(info), &caps);
  if (gst_pad_query_accept_caps(decoder_sink, caps))
    return;
  CapsPtr simple(gst_caps_copy(caps));
  for (const char *field : {"colorimetry", "chroma-site", "pixel-aspect-ratio"})
    gst_structure_remove_field(gst_caps_get_structure(simple.get(), 0), field);
  if (!gst_pad_query_accept_caps(decoder_sink, simple.get()))
    return;
  gst_event_unref(gst_pad_probe_info_get_event(info));
  info->data = gst_event_new_caps(simple.get());
}

void watch_decoder(GstElement *decoder, std::shared_ptr<Progress> progress) {
  using Shared = std::shared_ptr<Progress>;
  auto sink = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(decoder, "sink"));
  gst_pad_add_probe(
      sink.get(),
      static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER |
                                   GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
      [](GstPad *pad, GstPadProbeInfo *info, gpointer data) {
        auto &seen = **static_cast<Shared *>(data);
        if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
          seen.decoding++;
        } else if (GST_EVENT_TYPE(gst_pad_probe_info_get_event(info)) == GST_EVENT_CAPS) {
          seen.formats++;
          simplify_caps(pad, info);
        }
        return GST_PAD_PROBE_OK;
      },
      new Shared(std::move(progress)),
      [](gpointer data) { delete static_cast<Shared *>(data); });
}

// Calls `see` for each buffer of the decoder's pad `name`.
void watch_buffers(GstElement *decoder, const char *name, std::shared_ptr<Shown> shown,
                   void (*see)(Shown &, GstBuffer *)) {
  struct Watch {
    std::shared_ptr<Shown> shown;
    void (*see)(Shown &, GstBuffer *);
  };
  auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(decoder, name));
  gst_pad_add_probe(
      pad.get(), GST_PAD_PROBE_TYPE_BUFFER,
      [](GstPad *, GstPadProbeInfo *info, gpointer data) {
        const auto &watch = *static_cast<Watch *>(data);
        watch.see(*watch.shown, gst_pad_probe_info_get_buffer(info));
        return GST_PAD_PROBE_OK;
      },
      new Watch{std::move(shown), see},
      [](gpointer data) { delete static_cast<Watch *>(data); });
}

void watch_pictures(GstElement *decoder, const std::shared_ptr<Shown> &shown) {
  watch_buffers(decoder, "sink", shown, [](Shown &seen, GstBuffer *buffer) {
    Lock lock(seen.mutex);
    seen.times.given(GST_BUFFER_PTS(buffer), g_get_monotonic_time());
  });
  watch_buffers(decoder, "src", shown, [](Shown &seen, GstBuffer *buffer) {
    const gint64 now = g_get_monotonic_time();
    Lock lock(seen.mutex);
    seen.freezes.shown(now);
    seen.times.came_out(GST_BUFFER_PTS(buffer), now);
    seen.decoded++;
  });
}

void set_true_if_present(GstElement *element, const char *property) {
  if (g_object_class_find_property(G_OBJECT_GET_CLASS(element), property))
    g_object_set(element, property, TRUE, nullptr);
}

ObjPtr<GstElement> make(const char *factory) {
  return ObjPtr<GstElement>::adopt(gst_element_factory_make(factory, nullptr));
}

// Who takes what is encoded may record it, and wants all of it as long as memory lasts;
// what we decode is looked at.
BacklogLimits limits_for(MediaKind kind, Form form) {
  BacklogLimits limits;
  limits.bound_us =
      form == Form::kRaw && kind == MediaKind::kAudio ? 300 * kMs : 3000 * kMs;
  limits.keyframes = form != Form::kRtp && kind == MediaKind::kVideo;
  if (form == Form::kRaw && kind == MediaKind::kVideo) {
    limits.drop_us = 80 * kMs;
    limits.skip_us = 150 * kMs;
    limits.ask_us = 300 * kMs;
  }
  return limits;
}

ObjPtr<GstElement> make_playout(const BranchRequest &request,
                                std::shared_ptr<Progress> progress) {
  PlayoutConfig config;
  config.limits = limits_for(request.codec->kind, request.form);
  config.video = request.codec->kind == MediaKind::kVideo;
  config.h264 =
      request.form == Form::kRaw && g_str_equal(request.codec->encoding, "H264");
  config.latency_us = request.latency_us;
  config.can_smooth =
      request.form == Form::kRaw && request.codec->kind == MediaKind::kVideo;
  config.adaptive = request.adaptive;
  config.pipeline_latency = request.pipeline_latency;
  config.progress = std::move(progress);
  config.broken = request.broken;
  return ObjPtr<GstElement>::adopt(playout_new(std::move(config)));
}

// The elements in order; empty and `error` when one is not to be had.
std::vector<ObjPtr<GstElement>> make_elements(const BranchRequest &request,
                                              Branch *branch, GError **error) {
  std::vector<ObjPtr<GstElement>> elements;
  branch->playout = make_playout(request, branch->progress);
  if (request.form == Form::kRtp) {
    elements.push_back(branch->playout);
    return elements;
  }
  const Codec &codec = *request.codec;
  auto depayloader = make(codec.depayloader);
  set_true_if_present(depayloader.get(), "request-keyframe");
  if (!request.conceal_errors)
    set_true_if_present(depayloader.get(), "wait-for-keyframe");
  elements.push_back(depayloader);
  if (codec.parser) {
    auto parser = make(codec.parser);
    // Parameter sets in front of each keyframe: whoever joins late can start there.
    if (g_object_class_find_property(G_OBJECT_GET_CLASS(parser.get()), "config-interval"))
      g_object_set(parser.get(), "config-interval", -1, nullptr);
    elements.push_back(parser);
  }
  elements.push_back(branch->playout);
  if (request.form == Form::kRaw) {
    auto made =
        make_decoder(request.home, codec, request.decoder, request.failed_decoders,
                     request.conceal_errors, request.decoder_setup, error);
    if (!made)
      return {};
    if (auto *factory = gst_element_get_factory(made.get()))
      branch->decoder = GST_OBJECT_NAME(factory);
    elements.push_back(made);
  }
  return elements;
}

void expose(GstElement *bin, GstElement *child, const char *name) {
  auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(child, name));
  gst_element_add_pad(bin, gst_ghost_pad_new(name, pad.get()));
}

} // namespace

Branch make_branch(BranchRequest request, GError **error) {
  Branch branch;
  std::string missing;
  if (!can_deliver(*request.codec, request.form, &missing)) {
    g_set_error_literal(error, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN,
                        missing.c_str());
    return branch;
  }
  auto elements = make_elements(request, &branch, error);
  if (elements.empty())
    return Branch();
  auto bin = ObjPtr<GstElement>::adopt(gst_bin_new(nullptr));
  for (auto &element : elements)
    gst_bin_add(GST_BIN(bin.get()), element.get());
  for (size_t i = 1; i < elements.size(); i++) {
    // An access unit per buffer, or the parser would wait for the next picture.
    CapsPtr caps(i == 1 && request.codec->parser
                     ? gst_caps_from_string(request.codec->caps)
                     : nullptr);
    if (!gst_element_link_filtered(elements[i - 1].get(), elements[i].get(),
                                   caps.get())) {
      g_set_error(error, GST_CORE_ERROR, GST_CORE_ERROR_NEGOTIATION,
                  "%s does not link to %s", GST_ELEMENT_NAME(elements[i - 1].get()),
                  GST_ELEMENT_NAME(elements[i].get()));
      gst_element_set_state(bin.get(), GST_STATE_NULL); // the decoder is in READY
      return Branch();
    }
  }
  expose(bin.get(), elements.front().get(), "sink");
  expose(bin.get(), elements.back().get(), "src");
  const auto sink = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(bin.get(), "sink"));
  add_guard(sink.get(), request, branch.progress);
  if (request.form == Form::kRaw)
    watch_decoder(elements.back().get(), branch.progress);
  if (request.shown)
    watch_pictures(elements.back().get(), request.shown);
  branch.bin = bin;
  return branch;
}

} // namespace vdn
