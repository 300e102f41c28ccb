// SPDX-License-Identifier: LGPL-2.1-or-later
// The half of offer.h that decides what we answer.
#include <algorithm>
#include <array>
#include <climits>

#include "offer.h"
#include "sdp-lines.h"

namespace vdn {

namespace {

// What a browser starts with when no maximum was asked for: enough for 720p at once.
constexpr unsigned kStartBitrate = 2500;
// A start beyond this floods slow links before the first feedback arrives.
constexpr unsigned kMaxStartBitrate = 4000;

// Constrained baseline decodes everywhere and costs the least latency; the lower the
// better.
int h264_profile_rank(std::string_view level_id) {
  const auto digit = [&](size_t i) {
    return i < level_id.size() ? g_ascii_xdigit_value(level_id[i]) : -1;
  };
  const int profile = digit(0) * 16 + digit(1);
  const bool constrained = digit(2) >= 0 && (digit(2) & 4);
  switch (profile) {
  case 66:
    return constrained ? 0 : 1;
  case 77:
    return 2;
  case 100:
    return 3;
  default:
    return level_id.empty() ? 1 : 4;
  }
}

int format_rank(const Format &format) {
  if (format.encoding == "H264") {
    const bool single_nal = fmtp_value(format.fmtp, "packetization-mode") != "1";
    return (single_nal ? 10 : 0) +
           h264_profile_rank(fmtp_value(format.fmtp, "profile-level-id"));
  }
  // VP9, AV1: profile 0 is what every decoder takes, higher ones are deep colour.
  const char *key = format.encoding == "VP9" ? "profile-id" : "profile";
  const std::string_view profile = fmtp_value(format.fmtp, key);
  return profile.empty() ? 0
                         : static_cast<int>(read_number(profile, 1000).value_or(1000));
}

bool offers_format(const MediaLine &line, const Format &wanted) {
  return std::any_of(line.formats.begin(), line.formats.end(), [&](const Format &format) {
    return format.payload_type == wanted.payload_type &&
           format.encoding == wanted.encoding && format.clock_rate == wanted.clock_rate;
  });
}

// Why `next` cannot follow `current` on the same transceiver, NULL when it can.
const char *find_line_obstacle(const MediaLine &current, const MediaLine &next) {
  if (current.kind != next.kind || current.index != next.index)
    return "an m-line changed its kind";
  if (next.active && !current.active)
    return "an m-line started to send";
  if (next.active && current.extensions != next.extensions)
    return "header extensions changed";
  for (const Format &format : current.formats)
    if (!offers_format(next, format))
      return "a payload type changed";
  return nullptr;
}

const char *find_obstacle(const Offer &current, const Offer &next) {
  if (current.fingerprint != next.fingerprint)
    return "the fingerprint changed";
  if (current.ice_ufrag != next.ice_ufrag)
    return "the ICE credentials changed";
  if (next.mids.size() < current.mids.size() ||
      !std::equal(current.mids.begin(), current.mids.end(), next.mids.begin()))
    return "an m-line is gone";
  if (current.data_mline >= 0 && current.data_mline != next.data_mline)
    return "the data channel is gone";
  if (current.removed != next.removed || next.media.size() < current.media.size())
    return "an m-line is gone";
  // webrtcbin goes on reading packets of, say, a former rtx as rtx.
  for (const auto &[payload_type, meaning] : current.payload_types) {
    const auto at = next.payload_types.find(payload_type);
    if (at != next.payload_types.end() && at->second != meaning)
      return "a payload type has another meaning";
  }
  for (size_t i = 0; i < current.media.size(); i++)
    if (const char *obstacle = find_line_obstacle(current.media[i], next.media[i]))
      return obstacle;
  return nullptr;
}

// The first payload type of a living video or audio m-line, empty otherwise.
std::string first_payload(const SdpSection &media, std::string_view kind) {
  const auto words = split_words(std::string_view(media.lines[0]).substr(2));
  if (words.size() < 4 || words[0] != kind || words[1] == "0")
    return {};
  return std::string(words[3]);
}

// Adds `parameters` to the fmtp line of `payload`, which is made when there is none.
void extend_fmtp(SdpSection *media, const std::string &payload,
                 const std::string &parameters) {
  const std::string fmtp = "a=fmtp:" + payload + " ",
                    rtpmap = "a=rtpmap:" + payload + " ";
  auto &lines = media->lines;
  for (std::string &line : lines)
    if (line.rfind(fmtp, 0) == 0) {
      line += ";" + parameters;
      return;
    }
  const auto after =
      std::find_if(lines.begin(), lines.end(),
                   [&](const std::string &line) { return line.rfind(rtpmap, 0) == 0; });
  lines.insert(after == lines.end() ? after : after + 1, fmtp + parameters);
}

std::string bitrate_parameters(unsigned kbps) {
  if (kbps == 0)
    return "x-google-start-bitrate=" + std::to_string(kStartBitrate);
  return "x-google-start-bitrate=" + std::to_string(std::min(kbps, kMaxStartBitrate)) +
         ";x-google-min-bitrate=" + std::to_string(std::max(kbps / 10, 1u)) +
         ";x-google-max-bitrate=" + std::to_string(kbps);
}

// b= lines stand right after c=, or after m= where that is missing.
void set_bandwidth(SdpSection *media, unsigned kbps) {
  media->remove_if([](std::string_view line) { return line[0] == 'b'; });
  auto &lines = media->lines;
  const auto connection = std::find_if(
      lines.begin(), lines.end(), [](const std::string &line) { return line[0] == 'c'; });
  const auto after = connection == lines.end() ? lines.begin() : connection;
  lines.insert(after + 1, {"b=AS:" + std::to_string(kbps),
                           "b=TIAS:" + std::to_string(uint64_t(kbps) * 1000)});
}

// A line that the offer had removed: port 0 and outside of the bundle.
void reject(SdpText *text, const Offer &offer, unsigned index) {
  if (index >= text->media.size())
    return;
  std::string &head = text->media[index].lines[0];
  if (const size_t port = head.find(" 9 "); port != std::string::npos)
    head.replace(port, 3, " 0 ");
  for (std::string &line : text->session.lines) {
    if (line.rfind("a=group:BUNDLE", 0) != 0)
      continue;
    std::string group;
    for (std::string_view word : split_words(line))
      if (word != offer.mids[index])
        group.append(group.empty() ? "" : " ").append(word);
    line = group;
  }
}

} // namespace

bool continues(const Offer &current, const Offer &next, std::string *why) {
  const char *obstacle = find_obstacle(current, next);
  if (obstacle)
    *why = obstacle;
  return obstacle == nullptr;
}

const Format *choose_format(const MediaLine &line,
                            const std::vector<std::string> &encodings) {
  for (const std::string &encoding : encodings) {
    const Format *best = nullptr;
    for (const Format &format : line.formats)
      if (format.encoding == encoding &&
          (!best || format_rank(format) < format_rank(*best)))
        best = &format;
    if (best)
      return best;
  }
  return nullptr;
}

CapsPtr codec_preferences(const MediaLine &line, const Format &format) {
  // webrtcbin intersects this with the offer, so the payload type selects and the offer
  // adds fmtp and rtcp-fb fields. Repeating those here would only risk an empty result.
  CapsPtr caps(gst_caps_new_simple(
      "application/x-rtp", "media", G_TYPE_STRING,
      line.kind == MediaKind::kVideo ? "video" : "audio", "encoding-name", G_TYPE_STRING,
      format.encoding.c_str(), "payload", G_TYPE_INT, format.payload_type, "clock-rate",
      G_TYPE_INT, format.clock_rate, nullptr));
  // Except this one, which GstSDPMedia turns into profile and then leaves out of the
  // answer; browsers read that as constrained baseline, whatever they had offered.
  const std::string level(fmtp_value(format.fmtp, "profile-level-id"));
  if (format.encoding == "H264" && !level.empty())
    gst_caps_set_simple(caps.get(), "profile-level-id", G_TYPE_STRING, level.c_str(),
                        nullptr);
  for (const auto &[id, uri] : line.extensions) {
    const std::string field = "extmap-" + std::to_string(id);
    gst_caps_set_simple(caps.get(), field.c_str(), G_TYPE_STRING, uri.c_str(), nullptr);
  }
  return caps;
}

std::string finish_answer(std::string_view sdp, const Offer &offer,
                          const AnswerHints &hints) {
  auto text = split_sdp(sdp);
  if (!text || text->media.empty())
    return std::string(sdp);
  // b=TIAS has to stay within 32 bits at the other end.
  const unsigned kbps = std::min(hints.video_bitrate, UINT_MAX / 1000);
  for (unsigned index : offer.removed)
    reject(&*text, offer, index);
  for (SdpSection &media : text->media) {
    if (const std::string video = first_payload(media, "video"); !video.empty()) {
      extend_fmtp(&media, video, bitrate_parameters(kbps));
      if (kbps)
        set_bandwidth(&media, kbps);
    }
    if (const std::string audio = first_payload(media, "audio");
        hints.stereo && !audio.empty())
      extend_fmtp(&media, audio, "stereo=1;sprop-stereo=1");
  }
  return text->join();
}

} // namespace vdn
