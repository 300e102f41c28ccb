// SPDX-License-Identifier: LGPL-2.1-or-later
#include "offer.h"

#include <algorithm>

#include "fingerprint.h"
#include "message.h"
#include "offer-parts.h"

namespace vdn {

G_DEFINE_QUARK(vdn_offer_error, offer_error)

namespace {

constexpr size_t kMaxMid = 64;

// A bundled m-line may say port 0 and be alive all the same.
bool is_removed(const SdpSection &media, const MediaHead &head) {
  return head.port == 0 && !media.has("bundle-only");
}

// webrtcbin 1.22 answers a removed m-line like a living one, and what it rejects itself
// it cannot set as its own description, because the rejected line keeps the peer's
// fingerprint. So it gets an inactive line in that place, with formats that nobody uses,
// and finish_answer() takes this back.
bool replace_removed(SdpText *text, size_t index, const SdpSection &living, Offer *offer,
                     GError **error) {
  SdpSection &media = text->media[index];
  const auto head = read_head(media);
  const auto mids = media.values("mid");
  const std::string mid =
      mids.empty() ? "removed" + std::to_string(index) : std::string(mids[0]);
  SdpSection next;
  if (head->kind == "application")
    next.lines = {"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=sctp-port:5000"};
  else if (head->kind == "audio")
    next.lines = {"m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=rtpmap:0 PCMU/8000", "a=inactive"};
  else if (head->kind == "video")
    next.lines = {"m=video 9 UDP/TLS/RTP/SAVPF 26", "a=rtpmap:26 JPEG/90000",
                  "a=inactive"};
  else
    return refuse_sdp(error, OFFER_ERROR_SYNTAX, "an m-line is neither media nor data");
  next.lines.insert(next.lines.begin() + 1, "c=IN IP4 0.0.0.0");
  next.lines.push_back("a=mid:" + mid);
  next.lines.push_back("a=rtcp-mux");
  for (const char *name : {"ice-ufrag", "ice-pwd", "setup", "fingerprint", "candidate"})
    for (std::string_view value : living.values(name))
      next.lines.push_back(std::string("a=") + name + ":" + std::string(value));
  media = std::move(next);
  for (std::string &line : text->session.lines)
    if (const auto words = split_words(line);
        words[0] == "a=group:BUNDLE" && !std::count(words.begin(), words.end(), mid))
      line += " " + mid;
  offer->removed.push_back(static_cast<unsigned>(index));
  return true;
}

bool replace_all_removed(SdpText *text, Offer *offer, GError **error) {
  const SdpSection *living = nullptr;
  for (const SdpSection &media : text->media) {
    const auto head = read_head(media);
    if (!head)
      return refuse_sdp(error, OFFER_ERROR_SYNTAX, "an m-line is malformed");
    if (!living && !is_removed(media, *head))
      living = &media;
  }
  if (!living)
    return refuse_sdp(error, OFFER_ERROR_SYNTAX, "every m-line is removed");
  for (size_t i = 0; i < text->media.size(); i++)
    if (is_removed(text->media[i], *read_head(text->media[i])) &&
        !replace_removed(text, i, *living, offer, error))
      return false;
  return true;
}

bool check_setup(const SdpText &text, GError **error) {
  for (const SdpSection &media : text.media) {
    const auto found = media.values("setup");
    if (found.size() != 1 ||
        (found[0] != "actpass" && found[0] != "active" && found[0] != "passive"))
      return refuse_sdp(error, OFFER_ERROR_SYNTAX, "an m-line has no usable setup");
  }
  return true;
}

bool check_mids(const SdpText &text, Offer *offer, GError **error) {
  for (const SdpSection &media : text.media) {
    const auto found = media.values("mid");
    if (found.size() != 1 || found[0].empty() || found[0].size() > kMaxMid ||
        found[0].find(' ') != std::string_view::npos)
      return refuse_sdp(error, OFFER_ERROR_SYNTAX, "an m-line has no usable mid");
    std::string mid(found[0]);
    if (std::count(offer->mids.begin(), offer->mids.end(), mid))
      return refuse_sdp(error, OFFER_ERROR_SYNTAX, "two m-lines have the same mid");
    offer->mids.push_back(std::move(mid));
  }
  return true;
}

// One bundle with every m-line: there is then a single DTLS transport, whose
// certificate is the one that gets compared. It goes by the order of the m-lines, because
// webrtcbin names the transport after the first, and makes another one when that changes.
bool check_bundle(SdpText *text, const Offer &offer, GError **error) {
  text->session.remove_if([](std::string_view line) {
    return line.rfind("a=group", 0) == 0 && split_words(line)[0] != "a=group:BUNDLE";
  });
  const auto groups = text->session.values("group");
  if (groups.size() > 1)
    return refuse_sdp(error, OFFER_ERROR_SYNTAX, "there is more than one bundle");
  if (groups.empty())
    return text->media.size() == 1 ||
           refuse_sdp(error, OFFER_ERROR_SYNTAX, "m-lines are not bundled");
  auto bundle = split_words(groups[0]);
  bundle.erase(bundle.begin());
  if (bundle.empty())
    return refuse_sdp(error, OFFER_ERROR_SYNTAX, "the bundle is empty");
  for (size_t i = 0; i < bundle.size(); i++)
    if (!std::count(offer.mids.begin(), offer.mids.end(), bundle[i]) ||
        std::count(bundle.begin(), bundle.begin() + i, bundle[i]))
      return refuse_sdp(error, OFFER_ERROR_SYNTAX, "the bundle names an unknown m-line");
  if (bundle.size() != text->media.size())
    return refuse_sdp(error, OFFER_ERROR_SYNTAX, "m-lines are not bundled");
  text->session.remove_attribute("group");
  std::string group = "a=group:BUNDLE";
  for (const std::string &mid : offer.mids)
    group += " " + mid;
  text->session.lines.push_back(group);
  return true;
}

} // namespace

std::optional<Offer> read_offer(std::string_view sdp, GError **error) {
  if (!check_limits(sdp, error))
    return std::nullopt;
  auto text = split_sdp(sdp);
  if (!text || text->session.lines.empty() || text->session.lines[0] != "v=0" ||
      text->media.empty()) {
    refuse_sdp(error, OFFER_ERROR_SYNTAX, "no session description with media");
    return std::nullopt;
  }
  if (text->media.size() > kMaxMediaLines) {
    refuse_sdp(error, OFFER_ERROR_SIZE, "too many m-lines");
    return std::nullopt;
  }
  // Keys in the SDP are obsolete, and webrtcbin refuses them.
  text->session.remove_if([](std::string_view line) { return line[0] == 'k'; });
  keep_known(&*text);
  for (const char *name : {"ice-ufrag", "ice-pwd", "setup"})
    copy_down(&*text, name);
  Offer offer;
  if (!replace_all_removed(&*text, &offer, error) ||
      !settle_fingerprint(&*text, &offer.fingerprint, error) ||
      !check_mids(*text, &offer, error) || !check_setup(*text, error) ||
      !check_bundle(&*text, offer, error))
    return std::nullopt;
  offer.ice_ufrag = common_value(*text, "ice-ufrag", OFFER_ERROR_SYNTAX, error);
  if (offer.ice_ufrag.empty() ||
      common_value(*text, "ice-pwd", OFFER_ERROR_SYNTAX, error).empty())
    return std::nullopt;
  for (size_t i = 0; i < text->media.size(); i++)
    if (!read_media(&*text, i, &offer, error))
      return std::nullopt;
  if (!check_payload_types(offer, error))
    return std::nullopt;
  keep_candidates(&*text);
  offer.sdp = text->join();
  return offer;
}

void mark_screens(Offer *offer, const std::vector<int> &indexes, const Offer *before) {
  for (int index : indexes)
    if (index >= 0 && static_cast<size_t>(index) < offer->media.size())
      offer->media[index].screen = true;
  for (size_t i = 0; before && i < before->media.size() && i < offer->media.size(); i++)
    offer->media[i].screen |= before->media[i].screen;
}

void decline(Offer *offer, unsigned index) {
  auto text = split_sdp(offer->sdp);
  g_return_if_fail(text && index < text->media.size());
  SdpSection &media = text->media[index];
  for (const char *direction : kDirections)
    media.remove_attribute(direction);
  media.lines.push_back("a=inactive");
  offer->sdp = text->join();
  for (MediaLine &line : offer->media)
    if (line.index == index)
      line.active = false;
}

} // namespace vdn
