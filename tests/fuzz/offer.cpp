// SPDX-License-Identifier: LGPL-2.1-or-later
// Offers, what is chosen from them, and answers made of them; answers to ours.
#include "offer-out.h"
#include "strict-log.h"

#include <gst/sdp/gstsdpmessage.h>

using namespace vdn;

namespace {

// As an answer to an offer whose m-lines are called as those of `text`.
void check_answer(std::string_view text) {
  const std::vector<OfferedMedium> media = {
      {MediaKind::kVideo, {{96, "H264", 90000, 0, {}}, {120, "VP8", 90000, 0, {}}}},
      {MediaKind::kAudio, {{111, "OPUS", 48000, 2, {{"useinbandfec", "1"}}}}}};
  GError *raw = nullptr;
  const auto answer = read_answer(text, mids_of(text), media, &raw);
  const ErrorPtr error(raw);
  g_assert(answer.has_value() == (raw == nullptr));
  finish_offer(text, media);
  if (!answer || !answer->complete())
    return;
  g_assert(!answer->fingerprint.empty() && answer->media.size() <= media.size());
  g_assert(answer->sdp.find("a=send") == std::string::npos);
  GstSDPMessage *sdp = nullptr;
  g_assert(gst_sdp_message_new_from_text(answer->sdp.c_str(), &sdp) == GST_SDP_OK);
  gst_sdp_message_free(sdp);
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int *argc, char ***argv) {
  gst_init(argc, argv);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const std::string_view text(reinterpret_cast<const char *>(data), size);
  check_answer(text);
  GError *raw = nullptr;
  auto offer = read_offer(text, &raw);
  const ErrorPtr error(raw);
  g_assert(offer.has_value() == (raw == nullptr));
  finish_answer(text, Offer(), {8000, true});
  if (!offer)
    return 0;
  std::string why;
  g_assert(continues(*offer, *offer, &why));
  for (const MediaLine &line : offer->media)
    if (const Format *format = choose_format(line, {"H264", "VP8", "VP9", "OPUS"}))
      codec_preferences(line, *format);
  finish_answer(offer->sdp, *offer, {8000, true});
  // What is clean stays as it is, and GStreamer sees the same lines. Removed ones live in
  // it, and of data channels there may be one.
  const auto again = read_offer(offer->sdp, nullptr);
  const bool clean = again && again->sdp == offer->sdp;
  g_assert(clean || (!again && offer->removed.size() >= (offer->data_mline < 0 ? 2 : 1)));
  GstSDPMessage *sdp = nullptr;
  g_assert(gst_sdp_message_new_from_text(offer->sdp.c_str(), &sdp) == GST_SDP_OK);
  g_assert(gst_sdp_message_medias_len(sdp) == offer->mids.size());
  gst_sdp_message_free(sdp);
  for (unsigned i = 0; i < offer->mids.size(); i++)
    decline(&*offer, i);
  g_assert(!again || read_offer(offer->sdp, nullptr));
  return 0;
}
