// SPDX-License-Identifier: LGPL-2.1-or-later
// The half of PublisherSession that lets the viewer choose among codecs.
#include "publisher-session.h"

namespace vdn {

// Above those that webrtcbin hands out.
constexpr int kFirstAlternative = 120;

static std::string encoding_of(const GstSDPMedia *media, const char *payload_type) {
  for (guint i = 0; i < gst_sdp_media_attributes_len(media); i++) {
    const GstSDPAttribute *attribute = gst_sdp_media_get_attribute(media, i);
    int number = -1;
    char encoding[32] = "";
    if (g_str_equal(attribute->key, "rtpmap") &&
        sscanf(attribute->value, "%d %31[^/]", &number, encoding) == 2 &&
        std::to_string(number) == payload_type)
      return StrPtr(g_ascii_strup(encoding, -1)).get();
  }
  return {};
}

std::vector<std::string> answered_codecs(const GstSDPMessage *answer) {
  std::vector<std::string> codecs;
  for (guint i = 0; i < gst_sdp_message_medias_len(answer); i++) {
    const GstSDPMedia *media = gst_sdp_message_get_media(answer, i);
    if (gst_sdp_media_get_port(media) != 0 && gst_sdp_media_formats_len(media) > 0 &&
        !g_str_equal(gst_sdp_media_get_media(media), "application"))
      codecs.push_back(encoding_of(media, gst_sdp_media_get_format(media, 0)));
  }
  return codecs;
}

// webrtcbin offers what flows; browsers offer all that they could send.
void PublisherSession::offer_alternatives(GstSDPMessage *sdp) const {
  for (guint i = 0; i < gst_sdp_message_medias_len(sdp); i++) {
    auto *media = const_cast<GstSDPMedia *>(gst_sdp_message_get_media(sdp, i));
    if (!g_str_equal(gst_sdp_media_get_media(media), "video"))
      continue;
    int payload_type = kFirstAlternative;
    for (const TrackPtr &track : config_.alternatives) {
      const std::string pt = std::to_string(payload_type++);
      gst_sdp_media_add_format(media, pt.c_str());
      for (const auto &[key, value] : track->sdp_lines())
        gst_sdp_media_add_attribute(media, key.c_str(), (pt + " " + value).c_str());
    }
    return;
  }
}

// The picture comes from the encoder whose codec the answer names first.
void PublisherSession::take_choice(const GstSDPMessage *answer) {
  for (guint i = 0; i < gst_sdp_message_medias_len(answer); i++) {
    const GstSDPMedia *media = gst_sdp_message_get_media(answer, i);
    if (!g_str_equal(gst_sdp_media_get_media(media), "video") ||
        gst_sdp_media_formats_len(media) == 0)
      continue;
    const int payload_type = atoi(gst_sdp_media_get_format(media, 0));
    const size_t chosen = payload_type - kFirstAlternative;
    if (payload_type < kFirstAlternative || chosen >= config_.alternatives.size())
      return;
    Sender &sender = senders_.front();
    const auto old = ObjPtr<GstElement>::adopt(
        GST_ELEMENT(gst_object_get_parent(GST_OBJECT(sender.source.get()))));
    gst_element_set_state(old.get(), GST_STATE_NULL);
    gst_bin_remove(GST_BIN(pipeline_.get()), old.get());
    if (!feed_from(sender, config_.alternatives[chosen], payload_type, nullptr))
      return;
    const auto bin =
        ObjPtr<GstObject>::adopt(gst_object_get_parent(GST_OBJECT(sender.source.get())));
    gst_element_sync_state_with_parent(GST_ELEMENT(bin.get()));
    return;
  }
}

} // namespace vdn
