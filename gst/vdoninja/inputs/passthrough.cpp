// SPDX-License-Identifier: LGPL-2.1-or-later
#include "passthrough.h"

#include <gst/video/video.h>

#include "sample-sink.h"

namespace vdn {

namespace {

enum Warning : unsigned {
  kNoPicture = 1,
  kUnaligned = 2,
  kReordered = 4,
  kProfile = 8,
  kFewKeyframes = 16
};

constexpr unsigned kBaseline = 66;

} // namespace

std::shared_ptr<Passthrough> Passthrough::create(PassthroughConfig config,
                                                 GError **error) {
  std::shared_ptr<Passthrough> made(new Passthrough(std::move(config)));
  const EncodingFacts &facts = facts_of(made->config_.encoding);
  const std::weak_ptr<Passthrough> weak = made;
  GstElement *sink = make_sample_sink(
      false,
      [weak](GstSample *sample) {
        if (const auto self = weak.lock())
          self->taken(sample);
      },
      [] {});
  GstElement *parser =
      facts.parser ? gst_element_factory_make(facts.parser, nullptr) : nullptr;
  made->bin_ = ObjPtr<GstElement>::adopt(gst_bin_new(nullptr));
  if (sink)
    gst_bin_add(GST_BIN(made->bin_.get()), sink);
  if (parser)
    gst_bin_add(GST_BIN(made->bin_.get()), parser);
  if (!sink || (facts.parser && !parser)) {
    g_set_error(error, GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN,
                "element %s is missing; install gstreamer1.0-plugins-%s",
                sink ? facts.parser : "appsink", sink ? "bad" : "base");
    return nullptr;
  }
  const CapsPtr form(gst_caps_from_string(facts.form));
  if (parser)
    gst_element_link_filtered(parser, sink, form.get());
  const auto target =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(parser ? parser : sink, "sink"));
  gst_element_add_pad(made->bin_.get(), gst_ghost_pad_new("sink", target.get()));
  made->sink_ = sink;
  MediaTrack::Source source;
  source.demand_changed = [] {}; // it comes anyhow
  source.keyframe = [weak] {
    if (const auto self = weak.lock())
      self->request_keyframe();
  };
  made->track_ = std::make_shared<MediaTrack>(
      made->config_.encoding, made->config_.true_profile, std::move(source));
  return made;
}

// They are made by whoever encodes. Thread: any.
void Passthrough::request_keyframe() {
  gint64 nobody = 0;
  asked_.compare_exchange_strong(nobody, g_get_monotonic_time());
  const auto sink = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(bin_.get(), "sink"));
  gst_pad_push_event(sink.get(), gst_video_event_new_upstream_force_key_unit(
                                     GST_CLOCK_TIME_NONE, TRUE, 0));
}

void Passthrough::set_sync(bool sync) {
  g_object_set(sink_, "sync", gboolean(sync), nullptr);
}

void Passthrough::warn_once(unsigned what, const char *text) {
  if (!(warned_.fetch_or(what) & what))
    config_.warn(text, facts_of(config_.encoding).name);
}

void Passthrough::given() {
  const gint64 now = g_get_monotonic_time();
  since_ = since_ ? since_ : now;
  if (!made_ && now - since_ > config_.patience_us)
    warn_once(kNoPicture,
              "No picture can be sent of what comes: it has no parameter sets "
              "(SPS and PPS), or no keyframe. Let the encoder repeat them "
              "before each keyframe.");
  const gint64 asked = asked_;
  if (made_ && asked && now - asked > config_.patience_us && track_->taken())
    warn_once(kFewKeyframes,
              "A viewer waits for a keyframe: what comes has few, and gets no more when "
              "it is asked. Let the encoder make one every 2 s.");
}

bool Passthrough::set_caps(const GstCaps *caps, GError **error) {
  const GstStructure *structure = gst_caps_get_structure(caps, 0);
  const char *format = gst_structure_get_string(structure, "stream-format");
  if (!g_strcmp0(format, "byte-stream") &&
      !gst_structure_has_field(structure, "alignment"))
    warn_once(kUnaligned, "The caps do not say where a picture ends (alignment=au), so "
                          "each waits for the next one. Put a parser before.");
  int family = 0, channels = 0;
  gst_structure_get_int(structure, "channel-mapping-family", &family);
  gst_structure_get_int(structure, "channels", &channels);
  if (config_.encoding != Encoding::kOpus || (family == 0 && channels <= 2))
    return true;
  g_set_error(error, GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT,
              "Opus of %d channels cannot be sent, two are the most; put opusdec before",
              channels);
  return false;
}

void Passthrough::taken(GstSample *sample) {
  made_ = true;
  GstBuffer *buffer = gst_sample_get_buffer(sample);
  if (buffer && !GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DELTA_UNIT))
    asked_ = 0;
  const GstClockTime pts = buffer ? GST_BUFFER_PTS(buffer) : GST_CLOCK_TIME_NONE;
  if (GST_CLOCK_TIME_IS_VALID(pts)) {
    // By more, somebody seeked.
    if (GST_CLOCK_TIME_IS_VALID(last_pts_) && pts < last_pts_ &&
        last_pts_ - pts < GST_SECOND)
      warn_once(kReordered, "The stream has B-frames, which browsers show in the wrong "
                            "order or late. Encode without (bframes=0).");
    last_pts_ = pts;
  }
  const unsigned profile = config_.encoding == Encoding::kH264
                               ? h264_profile_idc(gst_sample_get_caps(sample))
                               : 0;
  if (profile && profile != kBaseline && !config_.true_profile)
    warn_once(kProfile,
              "The stream is not H.264 baseline and is announced as such: Safari and "
              "some phones may show nothing. Encode with profile=constrained-baseline, "
              "or try h264-profile-in-sdp=true.");
  track_->push(sample, gst_element_get_base_time(sink_));
}

} // namespace vdn
