// SPDX-License-Identifier: LGPL-2.1-or-later
#include "encoder-branch.h"

#include <algorithm>

#include "sample-sink.h"

namespace vdn {

namespace {

// An encoder that is a few frames behind has not failed.
constexpr unsigned kFramesOfPatience = 5;
constexpr int kAssumedFps = 30;
constexpr unsigned kSmallest = 90; // pixels, of the shorter side that is scaled to

struct Guard {
  std::function<bool()> idle;
  std::function<void(const std::string &)> on_failure;
  std::shared_ptr<BranchCounts> counts;
  std::shared_ptr<BranchSize> size;
  gint64 patience_us;
};

Guard *guard_of(GstPad *pad) {
  return static_cast<Guard *>(pad->chaindata);
}

void watch(Guard *guard, GstFlowReturn flow) {
  if (flow != GST_FLOW_OK && flow != GST_FLOW_FLUSHING && flow != GST_FLOW_EOS) {
    guard->on_failure(std::string("it does not take the frames: ") +
                      gst_flow_get_name(flow));
    return;
  }
  const gint64 waited = g_get_monotonic_time() - guard->counts->since;
  if (guard->counts->waiting > kFramesOfPatience && waited > guard->patience_us)
    guard->on_failure("nothing came out of it for " + std::to_string(waited / 1000) +
                      " ms");
}

// The tee before it would hand an error to the user's pipeline.
GstFlowReturn chain(GstPad *pad, GstObject *parent, GstBuffer *buffer) {
  Guard *guard = guard_of(pad);
  // What comes out first tells what the track is.
  if (guard->counts->made > 0 && guard->idle()) {
    guard->counts->waiting = 0;
    gst_buffer_unref(buffer);
    return GST_FLOW_OK;
  }
  if (guard->counts->waiting == 0)
    guard->counts->since = g_get_monotonic_time();
  guard->counts->waiting++;
  watch(guard, gst_proxy_pad_chain_default(pad, parent, buffer));
  return GST_FLOW_OK;
}

GstFlowReturn chain_list(GstPad *pad, GstObject *parent, GstBufferList *list) {
  for (guint i = 0; i < gst_buffer_list_length(list); i++)
    chain(pad, parent, gst_buffer_ref(gst_buffer_list_get(list, i)));
  gst_buffer_list_unref(list);
  return GST_FLOW_OK;
}

// Each size costs a keyframe, and some encoders a new start: there are few. One that is
// hardly too small for its place is large enough.
unsigned quarters_for(unsigned width, unsigned height, const PictureBox &box) {
  auto fits = [](unsigned side, unsigned place, unsigned quarters) {
    return place && side * quarters * 100ull >= place * 380ull;
  };
  unsigned quarters = 1;
  while (quarters < 4 &&
         (!fits(width, box.width, quarters) && !fits(height, box.height, quarters)))
    quarters++;
  while (quarters < 4 && std::min(width, height) * quarters / 4 < kSmallest)
    quarters++;
  return quarters;
}

// 4:2:0 has no odd sizes, and x264 refuses them: the last line or column is scaled away.
// True when what comes out changes.
bool fit_size(GstElement *bin, BranchSize &size) {
  const auto filter =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(bin), "size"));
  Lock lock(size.mutex);
  if (!filter || !size.width || !size.height)
    return false;
  const unsigned quarters = quarters_for(size.width, size.height, size.box);
  const auto even = [quarters](unsigned side) {
    return static_cast<int>(std::max(side * quarters / 4 & ~1u, 2u));
  };
  GstCaps *held = nullptr;
  g_object_get(filter.get(), "caps", &held, nullptr);
  const CapsPtr now(held);
  CapsPtr fitting(gst_caps_is_any(held) ? gst_caps_new_empty_simple("video/x-raw")
                                        : gst_caps_copy(held));
  const bool scales = quarters < 4 || ((size.width | size.height) & 1);
  for (guint i = 0; i < gst_caps_get_size(fitting.get()); i++) {
    GstStructure *structure = gst_caps_get_structure(fitting.get(), i);
    gst_structure_remove_fields(structure, "width", "height", nullptr);
    if (scales)
      gst_structure_set(structure, "width", G_TYPE_INT, even(size.width), "height",
                        G_TYPE_INT, even(size.height), nullptr);
  }
  if ((!scales && gst_caps_is_any(held)) || gst_caps_is_equal(fitting.get(), held))
    return false;
  g_object_set(filter.get(), "caps", fitting.get(), nullptr);
  return true;
}

// Some encoders divide by the frame rate, and baseline has no fields: what is interlaced
// is encoded as it stands in the picture.
GstEvent *plain(GstEvent *event, const GstCaps *caps) {
  int n = 0, d = 1;
  const GstStructure *raw = gst_caps_get_structure(caps, 0);
  const bool has_rate = gst_structure_get_fraction(raw, "framerate", &n, &d) && n > 0;
  const char *fields = gst_structure_get_string(raw, "interlace-mode");
  if (has_rate && (!fields || g_str_equal(fields, "progressive")))
    return event;
  CapsPtr fixed(gst_caps_copy(caps));
  if (!has_rate)
    gst_caps_set_simple(fixed.get(), "framerate", GST_TYPE_FRACTION, kAssumedFps, 1,
                        nullptr);
  gst_caps_set_simple(fixed.get(), "interlace-mode", G_TYPE_STRING, "progressive",
                      nullptr);
  GstEvent *better = gst_event_new_caps(fixed.get());
  gst_event_set_seqnum(better, gst_event_get_seqnum(event));
  gst_event_unref(event);
  return better;
}

void take_size(BranchSize &size, const GstStructure *raw) {
  int width = 0, height = 0;
  gst_structure_get(raw, "width", G_TYPE_INT, &width, "height", G_TYPE_INT, &height,
                    nullptr);
  Lock lock(size.mutex);
  size.width = static_cast<unsigned>(std::max(width, 0));
  size.height = static_cast<unsigned>(std::max(height, 0));
}

gboolean on_event(GstPad *pad, GstObject *parent, GstEvent *event) {
  if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS) {
    GstCaps *caps = nullptr;
    gst_event_parse_caps(event, &caps);
    guard_of(pad)->counts->formats++;
    const GstStructure *raw = gst_caps_get_structure(caps, 0);
    if (gst_structure_has_name(raw, "video/x-raw")) {
      take_size(*guard_of(pad)->size, raw);
      fit_size(GST_ELEMENT(parent), *guard_of(pad)->size);
      event = plain(event, caps);
    }
  }
  return gst_pad_event_default(pad, parent, event);
}

// What brings frames in such memory, or for such an encoder, to where they can be read.
const char *converter_for(const EncoderRow &row, const std::string &memory) {
  static const struct {
    const char *memory;
    std::vector<const char *> converters;
  } kReaders[] = {{"memory:NVMM", {"nvvidconv", "nvvideoconvert"}},
                  {"memory:DMABuf", {"v4l2convert"}},
                  {"memory:GLMemory", {"gldownload"}},
                  {"memory:CUDAMemory", {"cudadownload"}},
                  {"memory:VAMemory", {"vapostproc"}},
                  {"memory:VASurface", {"vaapipostproc"}}};
  for (const char *converter : row.converters)
    if (has_factory(converter))
      return converter;
  for (const auto &reader : kReaders)
    if (memory == reader.memory)
      for (const char *converter : reader.converters)
        if (has_factory(converter))
          return converter;
  return nullptr;
}

// Elements in order, linked as they are added.
class Chain {
public:
  explicit Chain(GError **error)
      : bin_(ObjPtr<GstElement>::adopt(gst_bin_new(nullptr))), error_(error) {}

  // (floating) NULL when an element is missing, which is told by its name.
  bool add(GstElement *element, const char *name, const char *caps = nullptr) {
    if (!element) {
      if (!*error_)
        g_set_error(error_, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN,
                    "element %s is missing", name);
      return false;
    }
    gst_bin_add(GST_BIN(bin_.get()), element);
    const CapsPtr filter(caps ? gst_caps_from_string(caps) : nullptr);
    if (last_ && !gst_element_link_filtered(last_, element, filter.get())) {
      g_set_error(error_, GST_CORE_ERROR, GST_CORE_ERROR_NEGOTIATION,
                  "%s does not link to %s", GST_ELEMENT_NAME(last_), name);
      return false;
    }
    first_ = first_ ? first_ : element;
    last_ = element;
    return true;
  }
  bool add(const char *factory) {
    return add(gst_element_factory_make(factory, nullptr), factory);
  }
  GstElement *first() const { return first_; }
  ObjPtr<GstElement> take() { return std::move(bin_); }

private:
  ObjPtr<GstElement> bin_;
  GError **error_;
  GstElement *first_ = nullptr;
  GstElement *last_ = nullptr;
};

// A slow encoder loses frames here, before they cost anything, and never holds up the
// user's pipeline.
GstElement *make_queue() {
  GstElement *queue = gst_element_factory_make("queue", nullptr);
  if (queue) {
    gst_util_set_object_arg(G_OBJECT(queue), "leaky", "downstream");
    g_object_set(queue, "max-size-buffers", 2u, "max-size-bytes", 0u, "max-size-time",
                 guint64(0), nullptr);
  }
  return queue;
}

GstElement *make_filter(const char *name, const char *caps) {
  GstElement *filter = gst_element_factory_make("capsfilter", name);
  if (filter && caps)
    gst_util_set_object_arg(G_OBJECT(filter), "caps", caps);
  return filter;
}

bool add_front(Chain &chain, const EncoderRow &row, const EncoderBranchConfig &config) {
  const EncodingFacts &facts = facts_of(config.encoding);
  if (!facts.video)
    return chain.add("audioconvert") && chain.add("audioresample") &&
           chain.add(make_filter("format", row.raw_caps), "capsfilter");
  const std::string memory = memory_of(config.raw.get());
  const char *converter = converter_for(row, memory);
  return chain.add(make_queue(), "queue") && (!converter || chain.add(converter)) &&
         chain.add("videoconvert") && chain.add("videoscale") &&
         chain.add(make_filter("size", row.raw_caps), "capsfilter");
}

bool add_back(Chain &chain, const EncoderRow &row, const EncoderBranchConfig &config,
              std::shared_ptr<BranchCounts> counts) {
  const EncodingFacts &facts = facts_of(config.encoding);
  if (row.out_caps && !chain.add(make_filter(nullptr, row.out_caps), "capsfilter"))
    return false;
  // Opus comes out as it is to be.
  if (facts.video && facts.parser && !chain.add(facts.parser))
    return false;
  auto on_sample = [counts, told = config.on_sample](GstSample *sample) {
    counts->made++;
    counts->waiting = 0;
    told(sample);
  };
  return chain.add(make_sample_sink(false, std::move(on_sample), [] {}), "appsink",
                   facts.form);
}

void expose(GstElement *bin, GstElement *first, Guard *guard) {
  const auto target = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(first, "sink"));
  GstPad *sink = gst_ghost_pad_new("sink", target.get());
  gst_pad_set_chain_function_full(
      sink, chain, guard, [](gpointer data) { delete static_cast<Guard *>(data); });
  gst_pad_set_chain_list_function(sink, chain_list);
  gst_pad_set_event_function(sink, on_event);
  gst_element_add_pad(bin, sink);
}

} // namespace

std::string memory_of(const GstCaps *raw) {
  const GstCapsFeatures *features = raw ? gst_caps_get_features(raw, 0) : nullptr;
  if (!features || gst_caps_features_is_any(features) ||
      gst_caps_features_contains(features, GST_CAPS_FEATURE_MEMORY_SYSTEM_MEMORY) ||
      !gst_caps_features_get_size(features))
    return "";
  return gst_caps_features_get_nth(features, 0);
}

ObjPtr<GstElement> make_encoder(const std::string &name, GError **error) {
  if (has_factory(name.c_str()))
    return ObjPtr<GstElement>::adopt(gst_element_factory_make(name.c_str(), nullptr));
  return ObjPtr<GstElement>::adopt(gst_parse_bin_from_description_full(
      name.c_str(), TRUE, nullptr, GST_PARSE_FLAG_FATAL_ERRORS, error));
}

void set_branch_box(const EncoderBranch &branch, const PictureBox &box) {
  {
    Lock lock(branch.size->mutex);
    branch.size->box = box;
  }
  // As a new format: an encoder that cannot follow is made anew.
  if (fit_size(branch.bin.get(), *branch.size))
    branch.counts->formats++;
}

EncoderBranch make_encoder_branch(EncoderBranchConfig config, GError **error) {
  EncoderBranch branch;
  branch.name = config.name;
  GError *local = nullptr;
  branch.encoder = make_encoder(config.name, &local);
  Chain chain(&local);
  if (branch.encoder) {
    set_up_encoder(branch.encoder.get(), config.numbers);
    if (config.made)
      config.made(branch.encoder.get());
    const EncoderRow &row = encoder_row(branch.encoder.get());
    if (add_front(chain, row, config) &&
        chain.add(branch.encoder.get(), config.name.c_str()) &&
        add_back(chain, row, config, branch.counts)) {
      GstElement *first = chain.first();
      branch.bin = chain.take();
      expose(branch.bin.get(), first,
             new Guard{config.idle, config.on_failure, branch.counts, branch.size,
                       config.patience_us});
      return branch;
    }
  }
  if (local)
    g_propagate_error(error, local);
  else
    g_set_error(error, GST_CORE_ERROR, GST_CORE_ERROR_FAILED, "%s cannot be made",
                config.name.c_str());
  return EncoderBranch();
}

} // namespace vdn
