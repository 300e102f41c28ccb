// SPDX-License-Identifier: LGPL-2.1-or-later
#include "codec.h"

#include <algorithm>

#include <gst/pbutils/pbutils.h>

#include "opus-guard.h"

namespace vdn {

namespace {

constexpr auto kVideo = MediaKind::kVideo;
constexpr const char *kKeyUnitInterval = "500000000"; // ns

ObjPtr<GstElementFactory> find_factory(const char *name) {
  return ObjPtr<GstElementFactory>::adopt(gst_element_factory_find(name));
}

// Sets what the element has and the user's bin description has not changed.
void propose(GstElement *element, const char *property, const char *value) {
  GParamSpec *spec = g_object_class_find_property(G_OBJECT_GET_CLASS(element), property);
  if (!spec)
    return;
  GValue now = G_VALUE_INIT;
  g_object_get_property(G_OBJECT(element), property,
                        g_value_init(&now, G_PARAM_SPEC_VALUE_TYPE(spec)));
  if (g_param_value_defaults(spec, &now))
    gst_util_set_object_arg(G_OBJECT(element), property, value);
  g_value_unset(&now);
}

// For live pictures: never a frame of delay, never an error for a bad packet, and a
// request for a keyframe where the picture is broken.
void configure(GstElement *decoder, bool conceal_errors) {
  propose(decoder, "thread-type", "slice");
  propose(decoder, "max-errors", "-1");
  propose(decoder, "output-corrupt", conceal_errors ? "true" : "false");
  propose(decoder, "automatic-request-sync-points", "true");
  // By default what comes between loss and keyframe is discarded.
  if (conceal_errors)
    propose(decoder, "automatic-request-sync-point-flags", "0");
  propose(decoder, "min-force-key-unit-interval", kKeyUnitInterval);
  propose(decoder, "plc", "true");
  if (g_object_class_find_property(G_OBJECT_GET_CLASS(decoder), "use-inband-fec")) {
    g_object_set(decoder, "use-inband-fec", TRUE, nullptr);
    guard_opusdec(decoder);
  }
  if (!GST_IS_BIN(decoder))
    return;
  GstIterator *children = gst_bin_iterate_elements(GST_BIN(decoder));
  gst_iterator_foreach(
      children,
      [](const GValue *child, gpointer conceal) {
        configure(GST_ELEMENT(g_value_get_object(child)), conceal != nullptr);
      },
      GINT_TO_POINTER(conceal_errors));
  gst_iterator_free(children);
}

// A factory name or a bin description.
ObjPtr<GstElement> make_wanted(const std::string &wanted, GError **error) {
  if (find_factory(wanted.c_str()))
    return ObjPtr<GstElement>::adopt(gst_element_factory_make(wanted.c_str(), nullptr));
  return ObjPtr<GstElement>::adopt(gst_parse_bin_from_description_full(
      wanted.c_str(), TRUE, nullptr, GST_PARSE_FLAG_FATAL_ERRORS, error));
}

bool starts(GstBin *home, GstElement *decoder) {
  gst_element_set_locked_state(decoder, TRUE);
  gst_bin_add(home, decoder);
  const bool ready =
      gst_element_set_state(decoder, GST_STATE_READY) != GST_STATE_CHANGE_FAILURE;
  if (!ready)
    gst_element_set_state(decoder, GST_STATE_NULL);
  gst_bin_remove(home, decoder);
  gst_element_set_locked_state(decoder, FALSE);
  return ready;
}

} // namespace

const std::vector<Codec> &known_codecs() {
  static const std::vector<Codec> codecs = {
      {"H264", "H.264", kVideo,
       "video/x-h264, stream-format=(string)byte-stream, alignment=(string)au",
       "rtph264depay", "h264parse", "gstreamer1.0-libav"},
      {"VP8", "VP8", kVideo, "video/x-vp8, codec-alpha=(boolean)false", "rtpvp8depay",
       nullptr, "gstreamer1.0-plugins-good"},
      {"VP9", "VP9", kVideo, "video/x-vp9, codec-alpha=(boolean)false", "rtpvp9depay",
       nullptr, "gstreamer1.0-plugins-good"},
      {"H265", "H.265", kVideo,
       "video/x-h265, stream-format=(string)byte-stream, alignment=(string)au",
       "rtph265depay", "h265parse", "gstreamer1.0-libav"},
      {"AV1", "AV1", kVideo, "video/x-av1", "rtpav1depay", "av1parse",
       "gstreamer1.0-plugins-bad", "gst-plugins-rs, which Debian does not have"},
      {"OPUS", "Opus", MediaKind::kAudio, "audio/x-opus, channel-mapping-family=(int)0",
       "rtpopusdepay", nullptr, "gstreamer1.0-plugins-base"},
  };
  return codecs;
}

const Codec *find_codec(const std::string &encoding) {
  for (const auto &codec : known_codecs())
    if (encoding == codec.encoding)
      return &codec;
  return nullptr;
}

std::vector<ObjPtr<GstElementFactory>> decoders_for(const Codec &codec) {
  auto type = GST_ELEMENT_FACTORY_TYPE_DECODER |
              (codec.kind == kVideo ? GST_ELEMENT_FACTORY_TYPE_MEDIA_VIDEO
                                    : GST_ELEMENT_FACTORY_TYPE_MEDIA_AUDIO);
  GList *all = gst_element_factory_list_get_elements(type, GST_RANK_MARGINAL);
  CapsPtr caps(gst_caps_from_string(codec.caps));
  GList *fitting = gst_element_factory_list_filter(all, caps.get(), GST_PAD_SINK, FALSE);
  fitting = g_list_sort(fitting, gst_plugin_feature_rank_compare_func);
  std::vector<ObjPtr<GstElementFactory>> result;
  for (GList *at = fitting; at; at = at->next)
    result.push_back(ObjPtr<GstElementFactory>::ref(GST_ELEMENT_FACTORY(at->data)));
  gst_plugin_feature_list_free(fitting);
  gst_plugin_feature_list_free(all);
  return result;
}

bool can_deliver(const Codec &codec, Form form, std::string *missing) {
  if (form == Form::kRtp)
    return true;
  if (!find_factory(codec.depayloader)) {
    *missing = std::string("element ") + codec.depayloader + " is missing; install " +
               codec.depayloader_package;
    return false;
  }
  if (codec.parser && !find_factory(codec.parser)) {
    *missing = std::string("element ") + codec.parser +
               " is missing; install gstreamer1.0-plugins-bad";
    return false;
  }
  if (form == Form::kRaw && decoders_for(codec).empty()) {
    *missing = std::string("no decoder for ") + codec.encoding +
               " is installed; install " + codec.decoder_package;
    return false;
  }
  return true;
}

GstMessage *missing_plugin_message(GstElement *element, const Codec &codec, Form form) {
  if (form == Form::kRtp)
    return nullptr;
  for (const char *name : {codec.depayloader, codec.parser})
    if (name && !find_factory(name))
      return gst_missing_element_message_new(element, name);
  if (form != Form::kRaw || !decoders_for(codec).empty())
    return nullptr;
  const CapsPtr caps(gst_caps_from_string(codec.caps));
  return gst_missing_decoder_message_new(element, caps.get());
}

ObjPtr<GstElement>
make_decoder(GstBin *home, const Codec &codec, const std::string &wanted,
             const std::vector<std::string> &failed, bool conceal_errors,
             const std::function<void(GstElement *)> &setup, GError **error) {
  auto attempt = [&](ObjPtr<GstElement> decoder) {
    configure(decoder.get(), conceal_errors);
    if (setup)
      setup(decoder.get());
    return starts(home, decoder.get()) ? decoder : ObjPtr<GstElement>();
  };
  if (!wanted.empty() && failed.empty()) {
    auto decoder = make_wanted(wanted, error);
    if (!decoder)
      return nullptr;
    if (auto started = attempt(decoder))
      return started;
    g_set_error(error, GST_CORE_ERROR, GST_CORE_ERROR_STATE_CHANGE,
                "video-decoder=\"%s\" does not start", wanted.c_str());
    return nullptr;
  }
  std::vector<ObjPtr<GstElementFactory>> candidates;
  if (wanted.empty())
    candidates = decoders_for(codec);
  for (const auto &factory : candidates) {
    if (std::find(failed.begin(), failed.end(), GST_OBJECT_NAME(factory.get())) !=
        failed.end())
      continue;
    auto decoder =
        ObjPtr<GstElement>::adopt(gst_element_factory_create(factory.get(), nullptr));
    if (!decoder)
      continue;
    if (auto started = attempt(decoder))
      return started;
  }
  g_set_error(error, GST_STREAM_ERROR, GST_STREAM_ERROR_CODEC_NOT_FOUND,
              "no decoder for %s works here; install %s", codec.encoding,
              codec.decoder_package);
  return nullptr;
}

} // namespace vdn
