// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sdp-check.h"

#include <set>

#include "candidate-line.h"
#include "fingerprint.h"
#include "message.h"

namespace vdn {

bool refuse_sdp(GError **error, OfferError code, const char *problem) {
  g_set_error(error, offer_error_quark(), code, "%s", problem);
  return false;
}

bool check_limits(std::string_view sdp, GError **error) {
  if (sdp.size() > kMaxSdpBytes)
    return refuse_sdp(error, OFFER_ERROR_SIZE, "too long");
  if (!g_utf8_validate_len(sdp.data(), sdp.size(), nullptr))
    return refuse_sdp(error, OFFER_ERROR_SYNTAX, "not UTF-8 text");
  const auto lines = split_words(sdp, '\n');
  if (lines.size() > kMaxOfferLines)
    return refuse_sdp(error, OFFER_ERROR_SIZE, "too many lines");
  for (std::string_view line : lines)
    if (line.size() > kMaxOfferLineLength)
      return refuse_sdp(error, OFFER_ERROR_SIZE, "a line is too long");
  return true;
}

// GStreamer acts on attributes that nobody needs here: a jitterbuffer asks the NTP server
// that `ts-refclk` names, whatever its address, and reads beyond a short one.
void keep_known(SdpText *text) {
  using Names = std::set<std::string_view>;
  static const Names common = {"fingerprint", "ice-pwd",  "ice-ufrag", "inactive",
                               "recvonly",    "sendonly", "sendrecv",  "setup"};
  static const Names of_session = {"group", "ice-lite", "ice-options", "msid-semantic"};
  static const Names of_media = {
      "bundle-only", "candidate", "extmap",  "fmtp",       "framerate",
      "mid",         "msid",      "rtcp-fb", "rtcp-mux",   "rtcp-rsize",
      "rtpmap",      "sctp-port", "ssrc",    "ssrc-group", "max-message-size"};
  const auto keep = [](SdpSection *section, const Names &own) {
    section->remove_if([&own](std::string_view line) {
      const auto name = line.substr(2, line.find(':') - 2);
      return line.rfind("a=", 0) == 0 && !common.count(name) && !own.count(name);
    });
  };
  keep(&text->session, of_session);
  for (SdpSection &media : text->media)
    keep(&media, of_media);
}

void copy_down(SdpText *text, const char *name) {
  const auto found = text->session.values(name);
  if (found.empty())
    return;
  const std::string line = std::string("a=") + name + ":" + std::string(found[0]);
  for (SdpSection &media : text->media)
    if (!media.has(name))
      media.lines.push_back(line);
  text->session.remove_attribute(name);
}

std::string common_value(const SdpText &text, const char *name, OfferError code,
                         GError **error) {
  std::string common;
  for (const SdpSection &media : text.media) {
    const auto found = media.values(name);
    if (found.size() != 1 || found[0].empty() ||
        (!common.empty() && common != found[0])) {
      g_set_error(error, offer_error_quark(), code, "not every m-line has the same %s",
                  name);
      return {};
    }
    common = found[0];
  }
  return common;
}

// webrtcbin refuses equal fingerprints in both places, and ones that differ in case.
bool settle_fingerprint(SdpText *text, std::string *fingerprint, GError **error) {
  std::vector<std::string_view> all = text->session.values("fingerprint");
  for (const SdpSection &media : text->media) {
    const auto own = media.values("fingerprint");
    if (own.empty() && !text->session.has("fingerprint"))
      return refuse_sdp(error, OFFER_ERROR_SECURITY, "an m-line has no fingerprint");
    all.insert(all.end(), own.begin(), own.end());
  }
  for (std::string_view value : all) {
    const std::string normal = normalize_fingerprint(value);
    if (normal.empty())
      return refuse_sdp(error, OFFER_ERROR_SECURITY, "a fingerprint is malformed");
    if (!fingerprint->empty() && *fingerprint != normal)
      return refuse_sdp(error, OFFER_ERROR_SECURITY, "fingerprints differ");
    *fingerprint = normal;
  }
  text->session.remove_attribute("fingerprint");
  for (SdpSection &media : text->media) {
    const auto own = media.values("fingerprint");
    if (own.size() == 1 && own[0] == *fingerprint)
      continue;
    media.remove_attribute("fingerprint");
    media.lines.push_back("a=fingerprint:" + *fingerprint);
  }
  return true;
}

void keep_candidates(SdpText *text) {
  for (SdpSection &section : text->media)
    section.remove_if([](std::string_view line) {
      if (line.rfind("a=candidate:", 0) != 0)
        return line[0] == 'k';
      // Hidden ones come by message, too; a connection looks those up itself.
      return !is_candidate_line(line.substr(2)) || !hidden_address(line).empty();
    });
}

} // namespace vdn
