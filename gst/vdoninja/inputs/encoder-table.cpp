// SPDX-License-Identifier: LGPL-2.1-or-later
#include "encoder-table.h"

#include <algorithm>
#include <cstring>

#include <gst/video/video.h>

namespace vdn {

namespace {

constexpr unsigned kPracticallyNever = 1u << 20; // frames; all take that many
constexpr unsigned kRateStep = 25000;            // bit/s, of the Raspberry Pi's driver

// Every browser, and the hardware of phones, decodes constrained baseline.
constexpr const char *kConstrained = "video/x-h264,profile=(string)constrained-baseline";
// Some encoders only say "baseline", and make what is constrained baseline as well.
constexpr const char *kBaseline =
    "video/x-h264,profile=(string){constrained-baseline,baseline}";
constexpr const char *kPlanar = "video/x-raw,format=(string){I420,NV12}";
// What is mono stays it; what has more channels than two becomes stereo.
constexpr const char *kSound = "audio/x-raw,rate=(int)48000,channels=(int)2;"
                               "audio/x-raw,rate=(int)48000,channels=(int)1";
constexpr const char *kNvmm = "video/x-raw(memory:NVMM),format=(string){NV12,I420}";

// Where a list holds a property twice, the last value that the element knows is taken.
const std::vector<EncoderRow> &rows() {
  static const std::vector<EncoderRow> all = {
      // One thread: several make several slices of a picture, which some viewers do not
      // take, or a delay of a picture each.
      {"x264enc",
       {{"tune", "zerolatency"},
        {"speed-preset", "$preset"},
        {"threads", "1"},
        {"b-adapt", "false"},
        {"bframes", "0"},
        {"key-int-max", "$gop"},
        {"vbv-buf-capacity", "200"},
        {"option-string", "scenecut=0"}},
       {"bitrate", "$kbps"},
       kPlanar,
       kConstrained},
      {"openh264enc",
       {{"usage-type", "camera"},
        {"rate-control", "bitrate"},
        {"complexity", "low"},
        {"gop-size", "$gop"},
        {"scene-change-detection", "false"},
        {"slice-mode", "n-slices"},
        {"num-slices", "1"}},
       {"bitrate", "$bps"},
       "video/x-raw,format=(string)I420",
       kConstrained},
      // Controls belong to the open device, so all of them are set through the element.
      // Level 4, or the driver does not negotiate.
      {"v4l2*h264enc",
       {{"extra-controls",
         "controls,video_bitrate_mode=(int)1,video_bitrate=(int)$bps25k,"
         "h264_i_frame_period=(int)$gop,repeat_sequence_header=(int)1,"
         "h264_minimum_qp_value=(int)20"}},
       {"extra-controls", "controls,video_bitrate=(int)$bps25k"},
       kPlanar,
       "video/x-h264,level=(string)4,profile=(string)constrained-baseline",
       {"v4l2convert"},
       KeyframeRequest::kExtraControls},
      {"v4l2*vp8enc",
       {{"extra-controls", "controls,video_bitrate_mode=(int)1,"
                           "video_bitrate=(int)$bps25k,video_gop_size=(int)$gop"}},
       {"extra-controls", "controls,video_bitrate=(int)$bps25k"},
       kPlanar,
       nullptr,
       {"v4l2convert"},
       KeyframeRequest::kExtraControls},
      {"nvv4l2h264enc",
       {{"control-rate", "1"},
        {"preset-level", "1"},
        {"maxperf-enable", "true"},
        {"insert-sps-pps", "true"},
        {"insert-vui", "true"},
        {"idrinterval", "$gop"},
        {"iframeinterval", "$gop"}},
       {"bitrate", "$bps"},
       kNvmm,
       "video/x-h264,stream-format=(string)byte-stream,alignment=(string)au",
       {"nvvidconv", "nvvideoconvert"},
       KeyframeRequest::kForceIdr},
      // RGB input gives wrong colours in browsers.
      {"nvh264enc",
       {{"preset", "low-latency-hq"},
        {"zerolatency", "true"},
        {"rc-mode", "cbr"},
        {"rc-mode", "cbr-ld-hq"}, // not of the newer ones
        {"gop-size", "$gop"},
        {"bframes", "0"}},
       {"bitrate", "$kbps"},
       kPlanar,
       kBaseline},
      {"vah264*enc",
       {{"rate-control", "cbr"},
        {"key-int-max", "$gop"},
        {"b-frames", "0"},
        {"ref-frames", "1"}},
       {"bitrate", "$kbps"},
       nullptr,
       kBaseline},
      {"vaapih264enc",
       {{"rate-control", "cbr"},
        {"keyframe-period", "$gop"},
        {"max-bframes", "0"},
        {"refs", "1"}},
       {"bitrate", "$kbps"},
       nullptr,
       kBaseline},
      {"mpph264enc",
       {{"rc-mode", "cbr"},
        {"gop", "$gop"},
        {"header-mode", "each-idr"},
        {"profile", "baseline"}},
       {"bps", "$bps"},
       kPlanar},
      {"omxh264enc",
       {{"control-rate", "variable"},
        {"interval-intraframes", "$gop"},
        {"inline-header", "true"}},
       {"target-bitrate", "$bps"},
       kPlanar,
       kBaseline},
      {"x265enc",
       {{"tune", "zerolatency"},
        {"speed-preset", "ultrafast"},
        {"key-int-max", "$gop"},
        {"option-string", "bframes=0:frame-threads=1:scenecut=0:log-level=none"}},
       {"bitrate", "$kbps"},
       "video/x-raw,format=(string)I420",
       "video/x-h265,profile=(string)main"},
      {"vp8enc",
       {{"deadline", "1"},
        {"cpu-used", "8"},
        {"threads", "$threads"},
        {"lag-in-frames", "0"},
        {"end-usage", "cbr"},
        {"buffer-size", "300"},
        {"buffer-initial-size", "150"},
        {"buffer-optimal-size", "200"},
        {"max-intra-bitrate", "300"},
        {"keyframe-max-dist", "$gop"},
        {"error-resilient", "default"}},
       {"target-bitrate", "$bps"},
       "video/x-raw,format=(string)I420"},
      {"vp9enc",
       {{"deadline", "1"},
        {"cpu-used", "8"},
        {"threads", "$threads"},
        {"row-mt", "true"},
        {"lag-in-frames", "0"},
        {"end-usage", "cbr"},
        {"buffer-size", "300"},
        {"buffer-initial-size", "150"},
        {"buffer-optimal-size", "200"},
        {"max-intra-bitrate", "300"},
        {"keyframe-max-dist", "$gop"},
        {"error-resilient", "default"}},
       {"target-bitrate", "$bps"},
       "video/x-raw,format=(string)I420",
       "video/x-vp9,profile=(string)0"},
      {"opusenc",
       {{"frame-size", "20"},
        {"inband-fec", "true"},
        {"packet-loss-percentage", "5"},
        {"audio-type", "generic"},
        // Chromium wants time stamps without gaps, and lip sync that they follow
        // upstream: the default would let them be 40 ms away for good.
        {"perfect-timestamp", "true"},
        {"tolerance", "10000000"}},
       {"bitrate", "$bps"},
       kSound},
      {"avenc_opus", {{"tolerance", "10000000"}}, {"bitrate", "$bps"}, kSound},
      // Whatever else there is: the names that encoders of GStreamer share.
      {"*",
       {{"rate-control", "cbr"},
        {"rc-mode", "cbr"},
        {"gop-size", "$gop"},
        {"gop", "$gop"},
        {"key-int-max", "$gop"},
        {"keyframe-period", "$gop"},
        {"max-keyframe-interval", "$gop"},
        {"bframes", "0"},
        {"b-frames", "0"},
        {"max-bframes", "0"},
        {"allow-frame-reordering", "false"},
        {"rc-lookahead", "0"},
        {"realtime", "true"},
        {"zerolatency", "true"},
        {"low-latency", "true"}},
       {nullptr, nullptr}},
  };
  return all;
}

std::string factory_of(GstElement *element) {
  GstElementFactory *factory = gst_element_get_factory(element);
  return factory ? GST_OBJECT_NAME(factory) : "";
}

bool is_encoder(GstElement *element) {
  GstElementFactory *factory = gst_element_get_factory(element);
  return factory &&
         gst_element_factory_list_is_type(factory, GST_ELEMENT_FACTORY_TYPE_ENCODER);
}

GParamSpec *property_of(GstElement *element, const char *name) {
  return g_object_class_find_property(G_OBJECT_GET_CLASS(element), name);
}

std::string number(unsigned value) {
  return std::to_string(value);
}

std::string filled(const char *value, const EncoderNumbers &numbers) {
  const unsigned fps = std::clamp(numbers.fps, 1u, 1000u);
  const unsigned gop = numbers.keyframe_seconds
                           ? std::min(numbers.keyframe_seconds, 3600u) * fps
                           : kPracticallyNever;
  const unsigned bps = std::min(numbers.kbps, 2000000u) * 1000;
  // Its threads spin while they wait: never more than half of what there is.
  const unsigned threads = std::clamp(numbers.cores / 2, 1u, 4u);
  const std::pair<const char *, std::string> kWords[] = {
      {"$kbps", number(numbers.kbps)},
      {"$bps25k", number(std::max(bps / kRateStep, 1u) * kRateStep)},
      {"$bps", number(bps)},
      {"$gop", number(gop)},
      {"$threads", number(threads)},
      {"$preset", numbers.cores >= 4 ? "superfast" : "ultrafast"},
  };
  std::string text(value);
  for (const auto &[word, meaning] : kWords)
    for (size_t at = text.find(word); at != std::string::npos; at = text.find(word))
      text.replace(at, std::strlen(word), meaning);
  return text;
}

// What is beyond the range of a property becomes the nearest that is in it.
void apply(GstElement *element, const char *name, const std::string &text) {
  GParamSpec *spec = property_of(element, name);
  if (!spec || !(spec->flags & G_PARAM_WRITABLE))
    return;
  GValue value = G_VALUE_INIT;
  g_value_init(&value, G_PARAM_SPEC_VALUE_TYPE(spec));
  if (gst_value_deserialize(&value, text.c_str())) {
    g_param_value_validate(spec, &value);
    g_object_set_property(G_OBJECT(element), name, &value);
  }
  g_value_unset(&value);
}

// Whether both have the same value.
bool agree(GstElement *one, GstElement *other, const char *name) {
  GParamSpec *spec = property_of(one, name);
  if (!spec || !(spec->flags & G_PARAM_READABLE))
    return true;
  GValue a = G_VALUE_INIT, b = G_VALUE_INIT;
  g_object_get_property(G_OBJECT(one), name, g_value_init(&a, spec->value_type));
  g_object_get_property(G_OBJECT(other), name, g_value_init(&b, spec->value_type));
  const bool same = g_param_values_cmp(spec, &a, &b) == 0;
  g_value_unset(&a);
  g_value_unset(&b);
  return same;
}

// By what the property says of its unit, else by its default: nobody encodes at 10 kbit/s
// or at 10 Gbit/s.
bool counts_bits(GParamSpec *spec) {
  const StrPtr says(g_ascii_strdown(g_param_spec_get_blurb(spec), -1));
  for (const char *word : {"kbit", "kbps", "kb/s", "kilobit", "1000 bit"})
    if (std::strstr(says.get(), word))
      return false;
  for (const char *word : {"bit/s", "bits/s", "bps", "bits per sec", "bit per sec"})
    if (std::strstr(says.get(), word))
      return true;
  GValue value = G_VALUE_INIT;
  g_value_init(&value, G_TYPE_DOUBLE);
  const bool big =
      g_value_type_transformable(G_PARAM_SPEC_VALUE_TYPE(spec), G_TYPE_DOUBLE) &&
      g_value_transform(g_param_spec_get_default_value(spec), &value) &&
      g_value_get_double(&value) >= 10000;
  g_value_unset(&value);
  return big;
}

EncoderSetting rate_of(GstElement *encoder) {
  const EncoderRow &row = encoder_row(encoder);
  if (row.rate.property)
    return row.rate;
  for (const char *name : {"bitrate", "target-bitrate", "bps"})
    if (GParamSpec *spec = property_of(encoder, name))
      return {name, counts_bits(spec) ? "$bps" : "$kbps"};
  return {nullptr, nullptr};
}

void ask_by_event(GstElement *encoder) {
  const auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(encoder, "src"));
  if (pad)
    gst_pad_send_event(pad.get(), gst_video_event_new_upstream_force_key_unit(
                                      GST_CLOCK_TIME_NONE, TRUE, 0));
}

// Events reach the driver from 1.24 on (gst-plugins-good commit 8dd51501d0).
bool takes_events() {
  guint major, minor, micro, nano;
  gst_version(&major, &minor, &micro, &nano);
  return major > 1 || minor >= 24;
}

} // namespace

ObjPtr<GstElement> find_encoder(GstElement *element) {
  if (!GST_IS_BIN(element) || is_encoder(element))
    return ObjPtr<GstElement>::ref(element);
  GstIterator *all = gst_bin_iterate_recurse(GST_BIN(element));
  GValue found = G_VALUE_INIT;
  const bool any = gst_iterator_find_custom(
      all,
      [](gconstpointer value, gconstpointer) -> gint {
        return is_encoder(
                   GST_ELEMENT(g_value_get_object(static_cast<const GValue *>(value))))
                   ? 0
                   : 1;
      },
      &found, nullptr);
  gst_iterator_free(all);
  auto encoder =
      ObjPtr<GstElement>::ref(any ? GST_ELEMENT(g_value_get_object(&found)) : element);
  if (any)
    g_value_unset(&found);
  return encoder;
}

const EncoderRow &encoder_row(GstElement *encoder) {
  const std::string factory = factory_of(find_encoder(encoder).get());
  for (const EncoderRow &row : rows())
    if (g_pattern_match_simple(row.factory, factory.c_str()))
      return row;
  return rows().back();
}

void set_up_encoder(GstElement *element, const EncoderNumbers &numbers) {
  const auto encoder = find_encoder(element);
  // What a description has set is told by a fresh element: vp9enc's properties are not
  // what their specifications call the default.
  ObjPtr<GstElement> fresh;
  if (encoder.get() != element)
    fresh = ObjPtr<GstElement>::adopt(
        gst_element_factory_create(gst_element_get_factory(encoder.get()), nullptr));
  for (const auto &[property, value] : encoder_row(encoder.get()).settings)
    if (!fresh || agree(encoder.get(), fresh.get(), property))
      apply(encoder.get(), property, filled(value, numbers));
  // The rate of a running V4L2 encoder is one of several controls in one property.
  const EncoderSetting rate = rate_of(encoder.get());
  if (rate.property && !g_str_equal(rate.property, "extra-controls"))
    apply(encoder.get(), rate.property, filled(rate.value, numbers));
}

void set_encoder_rate(GstElement *element, unsigned kbps) {
  const auto encoder = find_encoder(element);
  const EncoderSetting rate = rate_of(encoder.get());
  EncoderNumbers numbers;
  numbers.kbps = kbps;
  if (rate.property)
    apply(encoder.get(), rate.property, filled(rate.value, numbers));
}

void request_encoder_keyframe(GstElement *element, bool running) {
  const auto encoder = find_encoder(element);
  switch (encoder_row(encoder.get()).keyframe) {
  case KeyframeRequest::kForceIdr:
    if (running && g_signal_lookup("force-IDR", G_OBJECT_TYPE(encoder.get())))
      g_signal_emit_by_name(encoder.get(), "force-IDR");
    return;
  case KeyframeRequest::kExtraControls:
    if (!takes_events()) {
      apply(encoder.get(), "extra-controls", "controls,force_key_frame=(int)1");
      return;
    }
    [[fallthrough]];
  case KeyframeRequest::kEvent:
    ask_by_event(encoder.get());
  }
}

std::vector<std::string> encoders_for(Encoding encoding) {
  const EncodingFacts &facts = facts_of(encoding);
  const auto type = GST_ELEMENT_FACTORY_TYPE_ENCODER |
                    (facts.video ? GST_ELEMENT_FACTORY_TYPE_MEDIA_VIDEO
                                 : GST_ELEMENT_FACTORY_TYPE_MEDIA_AUDIO);
  const CapsPtr caps(gst_caps_new_empty_simple(facts.media_type));
  GList *all = gst_element_factory_list_get_elements(type, GST_RANK_MARGINAL);
  GList *fitting = gst_element_factory_list_filter(all, caps.get(), GST_PAD_SRC, FALSE);
  fitting = g_list_sort(fitting, gst_plugin_feature_rank_compare_func);
  std::vector<std::string> names;
  for (GList *at = fitting; at; at = at->next)
    names.emplace_back(GST_OBJECT_NAME(at->data));
  gst_plugin_feature_list_free(fitting);
  gst_plugin_feature_list_free(all);
  return names;
}

bool makes(GstElement *encoder, Encoding encoding) {
  const auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(encoder, "src"));
  if (!pad)
    return false;
  const CapsPtr can(gst_pad_query_caps(pad.get(), nullptr));
  const CapsPtr wanted(gst_caps_new_empty_simple(facts_of(encoding).media_type));
  return gst_caps_can_intersect(can.get(), wanted.get());
}

} // namespace vdn
