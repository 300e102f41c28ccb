// SPDX-License-Identifier: LGPL-2.1-or-later
#include "encoding.h"

#include <string>

namespace vdn {

// `config-interval=-1`: parameter sets before each keyframe, from the caps. Before 1.24
// rtph264pay repeats them before every slice of one, hence encoders with one slice.
// `zero-latency`: no packet waits for the next picture. `picture-id-mode`: browsers
// conceal losses by the picture's number.
const std::vector<EncodingFacts> &known_encodings() {
  static const std::vector<EncodingFacts> known = {
      {Encoding::kH264, "H264", true, 90000, "video/x-h264",
       "video/x-h264,stream-format=(string)avc,alignment=(string)au", "h264parse",
       "rtph264pay config-interval=-1 aggregate-mode=zero-latency",
       "gstreamer1.0-plugins-ugly"},
      {Encoding::kH265, "H265", true, 90000, "video/x-h265",
       "video/x-h265,stream-format=(string)hvc1,alignment=(string)au", "h265parse",
       "rtph265pay config-interval=-1 aggregate-mode=zero-latency",
       "gstreamer1.0-plugins-bad"},
      {Encoding::kVp8, "VP8", true, 90000, "video/x-vp8", "video/x-vp8", nullptr,
       "rtpvp8pay picture-id-mode=15-bit", "gstreamer1.0-plugins-good"},
      {Encoding::kVp9, "VP9", true, 90000, "video/x-vp9", "video/x-vp9", nullptr,
       "rtpvp9pay picture-id-mode=15-bit", "gstreamer1.0-plugins-good"},
      {Encoding::kAv1, "AV1", true, 90000, "video/x-av1",
       "video/x-av1,stream-format=(string)obu-stream,alignment=(string)tu", "av1parse",
       "rtpav1pay", "gstreamer1.0-plugins-bad"},
      {Encoding::kOpus, "OPUS", false, 48000, "audio/x-opus",
       "audio/x-opus,channel-mapping-family=(int)0", "opusparse", "rtpopuspay",
       "gstreamer1.0-plugins-base"},
  };
  return known;
}

const EncodingFacts &facts_of(Encoding encoding) {
  for (const auto &facts : known_encodings())
    if (facts.encoding == encoding)
      return facts;
  return known_encodings().front(); // all are known
}

const EncodingFacts *find_encoding(std::string_view name) {
  for (const auto &facts : known_encodings())
    if (name.size() == std::string_view(facts.name).size() &&
        !g_ascii_strncasecmp(name.data(), facts.name, name.size()))
      return &facts;
  return nullptr;
}

const EncodingFacts *encoding_of(const GstCaps *caps) {
  if (!caps || gst_caps_is_any(caps) || gst_caps_is_empty(caps))
    return nullptr;
  for (const auto &facts : known_encodings())
    if (gst_structure_has_name(gst_caps_get_structure(caps, 0), facts.media_type))
      return &facts;
  return nullptr;
}

bool can_send(Encoding encoding) {
  const EncodingFacts &facts = facts_of(encoding);
  const std::string payloader(facts.payloader);
  return has_factory(payloader.substr(0, payloader.find(' ')).c_str()) &&
         (!facts.parser || has_factory(facts.parser));
}

bool has_factory(const char *name) {
  return bool(ObjPtr<GstElementFactory>::adopt(gst_element_factory_find(name)));
}

} // namespace vdn
