// SPDX-License-Identifier: LGPL-2.1-or-later
#include "offer.h"

#include <algorithm>
#include <array>

#include "message.h"
#include "sdp-lines.h"

namespace vdn {

G_DEFINE_QUARK(vdn_offer_error, offer_error)

namespace {

constexpr unsigned kMaxPayloadType = 127;
constexpr size_t kMaxMid = 64;
constexpr char kTransportCc[] =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

constexpr const char *kDirections[] = {"sendrecv", "sendonly", "recvonly", "inactive"};

// Repair and signalling formats; webrtcbin negotiates rtx by itself.
constexpr const char *kHelperEncodings[] = {"RTX",        "RED", "ULPFEC",
                                            "FLEXFEC-03", "CN",  "TELEPHONE-EVENT"};

bool fail(GError **error, OfferError code, const char *problem) {
  g_set_error(error, offer_error_quark(), code, "offer: %s", problem);
  return false;
}

std::string upper(std::string_view text) {
  std::string result(text);
  for (char &c : result)
    c = g_ascii_toupper(c);
  return result;
}

struct MediaHead {
  std::string_view kind;
  unsigned port = 0;
  std::vector<std::string_view> formats;
};

std::optional<MediaHead> read_head(const SdpSection &media) {
  const auto words = split_words(std::string_view(media.lines[0]).substr(2));
  if (words.size() < 4)
    return std::nullopt;
  const auto port = read_number(words[1].substr(0, words[1].find('/')), 65535);
  if (!port)
    return std::nullopt;
  return MediaHead{words[0], *port, {words.begin() + 3, words.end()}};
}

// A bundled m-line may say port 0 and be alive all the same.
bool is_removed(const SdpSection &media, const MediaHead &head) {
  return head.port == 0 && !media.has("bundle-only");
}

bool check_limits(std::string_view sdp, GError **error) {
  if (sdp.size() > kMaxSdpBytes)
    return fail(error, OFFER_ERROR_SIZE, "too long");
  if (!g_utf8_validate_len(sdp.data(), sdp.size(), nullptr))
    return fail(error, OFFER_ERROR_SYNTAX, "not UTF-8 text");
  const auto lines = split_words(sdp, '\n');
  if (lines.size() > kMaxOfferLines)
    return fail(error, OFFER_ERROR_SIZE, "too many lines");
  for (std::string_view line : lines)
    if (line.size() > kMaxOfferLineLength)
      return fail(error, OFFER_ERROR_SIZE, "a line is too long");
  return true;
}

// Attributes that may stand once for all m-lines: webrtcbin reads some of them only
// there.
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
    return fail(error, OFFER_ERROR_SYNTAX, "an m-line is neither media nor data");
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
      return fail(error, OFFER_ERROR_SYNTAX, "an m-line is malformed");
    if (!living && !is_removed(media, *head))
      living = &media;
  }
  if (!living)
    return fail(error, OFFER_ERROR_SYNTAX, "every m-line is removed");
  for (size_t i = 0; i < text->media.size(); i++)
    if (is_removed(text->media[i], *read_head(text->media[i])) &&
        !replace_removed(text, i, *living, offer, error))
      return false;
  return true;
}

// The one value of `name` that every m-line has; empty and `error` otherwise.
std::string common_value(const SdpText &text, const char *name, OfferError code,
                         GError **error) {
  std::string common;
  for (const SdpSection &media : text.media) {
    const auto found = media.values(name);
    if (found.size() != 1 || found[0].empty() ||
        (!common.empty() && common != found[0])) {
      g_set_error(error, offer_error_quark(), code,
                  "offer: not every m-line has the same %s", name);
      return {};
    }
    common = found[0];
  }
  return common;
}

bool check_setup(const SdpText &text, GError **error) {
  for (const SdpSection &media : text.media) {
    const auto found = media.values("setup");
    if (found.size() != 1 ||
        (found[0] != "actpass" && found[0] != "active" && found[0] != "passive"))
      return fail(error, OFFER_ERROR_SYNTAX, "an m-line has no usable setup");
  }
  return true;
}

// "sha-256 AA:BB", normalised; empty when it is none.
std::string normalize_fingerprint(std::string_view value) {
  constexpr struct {
    const char *name;
    size_t bytes;
  } kHashes[] = {{"sha-1", 20}, {"sha-256", 32}, {"sha-384", 48}, {"sha-512", 64}};
  const auto words = split_words(value);
  if (words.size() != 2)
    return {};
  for (const auto &hash : kHashes) {
    if (g_ascii_strcasecmp(std::string(words[0]).c_str(), hash.name) != 0)
      continue;
    const std::string digits = upper(words[1]);
    bool good = digits.size() == hash.bytes * 3 - 1;
    for (size_t i = 0; i < digits.size(); i++)
      good &= i % 3 == 2 ? digits[i] == ':' : g_ascii_isxdigit(digits[i]);
    return good ? std::string(hash.name) + " " + digits : std::string();
  }
  return {};
}

// webrtcbin refuses equal fingerprints in both places, and ones that differ in case.
bool settle_fingerprint(SdpText *text, std::string *fingerprint, GError **error) {
  std::vector<std::string_view> all = text->session.values("fingerprint");
  for (const SdpSection &media : text->media) {
    const auto own = media.values("fingerprint");
    if (own.empty() && !text->session.has("fingerprint"))
      return fail(error, OFFER_ERROR_SECURITY, "an m-line has no fingerprint");
    all.insert(all.end(), own.begin(), own.end());
  }
  for (std::string_view value : all) {
    const std::string normal = normalize_fingerprint(value);
    if (normal.empty())
      return fail(error, OFFER_ERROR_SECURITY, "a fingerprint is malformed");
    if (!fingerprint->empty() && *fingerprint != normal)
      return fail(error, OFFER_ERROR_SECURITY, "fingerprints differ");
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

bool check_mids(const SdpText &text, Offer *offer, GError **error) {
  for (const SdpSection &media : text.media) {
    const auto found = media.values("mid");
    if (found.size() != 1 || found[0].empty() || found[0].size() > kMaxMid ||
        found[0].find(' ') != std::string_view::npos)
      return fail(error, OFFER_ERROR_SYNTAX, "an m-line has no usable mid");
    std::string mid(found[0]);
    if (std::count(offer->mids.begin(), offer->mids.end(), mid))
      return fail(error, OFFER_ERROR_SYNTAX, "two m-lines have the same mid");
    offer->mids.push_back(std::move(mid));
  }
  return true;
}

// One bundle with every m-line: there is then a single DTLS transport, whose
// certificate is the one that gets compared. It goes by the order of the m-lines, because
// webrtcbin names the transport after the first, and makes another one when that changes.
bool check_bundle(SdpText *text, const Offer &offer, GError **error) {
  text->session.remove_if([](std::string_view line) {
    return line.rfind("a=group:", 0) == 0 && line.rfind("a=group:BUNDLE", 0) != 0;
  });
  const auto groups = text->session.values("group");
  if (groups.size() > 1)
    return fail(error, OFFER_ERROR_SYNTAX, "there is more than one bundle");
  if (groups.empty())
    return text->media.size() == 1 ||
           fail(error, OFFER_ERROR_SYNTAX, "m-lines are not bundled");
  auto bundle = split_words(groups[0]);
  bundle.erase(bundle.begin());
  if (bundle.empty())
    return fail(error, OFFER_ERROR_SYNTAX, "the bundle is empty");
  for (size_t i = 0; i < bundle.size(); i++)
    if (!std::count(offer.mids.begin(), offer.mids.end(), bundle[i]) ||
        std::count(bundle.begin(), bundle.begin() + i, bundle[i]))
      return fail(error, OFFER_ERROR_SYNTAX, "the bundle names an unknown m-line");
  if (bundle.size() != text->media.size())
    return fail(error, OFFER_ERROR_SYNTAX, "m-lines are not bundled");
  text->session.remove_attribute("group");
  std::string group = "a=group:BUNDLE";
  for (const std::string &mid : offer.mids)
    group += " " + mid;
  text->session.lines.push_back(group);
  return true;
}

// `active`: the publisher sends. A line without direction means both ways; webrtcbin
// wants it written out.
bool settle_direction(const SdpSection &session, SdpSection *media, bool *active,
                      GError **error) {
  std::vector<const char *> own, inherited;
  for (const char *direction : kDirections) {
    own.insert(own.end(), media->values(direction).size(), direction);
    inherited.insert(inherited.end(), session.values(direction).size(), direction);
  }
  if (own.size() > 1)
    return fail(error, OFFER_ERROR_SYNTAX, "an m-line has two directions");
  const char *direction = !own.empty()         ? own[0]
                          : !inherited.empty() ? inherited[0]
                                               : kDirections[0];
  if (own.empty())
    media->lines.push_back(std::string("a=") + direction);
  *active = direction == kDirections[0] || direction == kDirections[1];
  return true;
}

// The encodings of one m-line by payload type.
using FormatTable = std::array<Format, kMaxPayloadType + 1>;

bool read_formats(const SdpSection &media, const MediaHead &head, FormatTable *table,
                  GError **error) {
  for (std::string_view value : media.values("rtpmap")) {
    const auto numbered = read_numbered(value, kMaxPayloadType);
    if (!numbered)
      return fail(error, OFFER_ERROR_SYNTAX, "an rtpmap is malformed");
    const auto parts = split_words(numbered->rest, '/');
    const auto rate = parts.size() < 2 ? std::nullopt : read_number(parts[1], G_MAXINT);
    Format &format = (*table)[numbered->number];
    if (!rate || *rate == 0)
      return fail(error, OFFER_ERROR_SYNTAX, "an rtpmap is malformed");
    if (format.payload_type >= 0)
      return fail(error, OFFER_ERROR_SYNTAX, "a payload type is mapped twice");
    format.payload_type = static_cast<int>(numbered->number);
    format.encoding = upper(parts[0]);
    format.clock_rate = static_cast<int>(*rate);
  }
  for (std::string_view value : media.values("fmtp"))
    if (const auto numbered = read_numbered(value, kMaxPayloadType))
      (*table)[numbered->number].fmtp = numbered->rest;
  std::array<bool, kMaxPayloadType + 1> listed{};
  for (std::string_view word : head.formats) {
    const auto number = read_number(word, kMaxPayloadType);
    if (!number || listed[*number])
      return fail(error, OFFER_ERROR_SYNTAX,
                  "a payload type is malformed or listed twice");
    listed[*number] = true;
  }
  return true;
}

bool is_helper(const Format &format) {
  return std::any_of(std::begin(kHelperEncodings), std::end(kHelperEncodings),
                     [&](const char *name) { return format.encoding == name; });
}

// Equal for formats that may share a payload type.
std::string meaning_of(MediaKind kind, const Format &format) {
  return std::to_string(static_cast<int>(kind)) + format.encoding +
         std::to_string(format.clock_rate) + std::string(fmtp_value(format.fmtp, "apt"));
}

bool supports_transport_cc() {
  GstElementFactory *factory = gst_element_factory_find("rtphdrexttwcc");
  const auto owner = ObjPtr<GstElementFactory>::adopt(factory);
  return factory != nullptr;
}

// Takes out what we would not honour; webrtcbin would agree to it in our name.
void keep_supported(SdpSection *media, std::map<int, std::string> *extensions) {
  const bool transport_cc = supports_transport_cc();
  media->remove_if([&](std::string_view line) {
    if (line.rfind("a=rtcp-fb:", 0) == 0)
      return line.find("goog-remb") != std::string_view::npos ||
             (!transport_cc && line.find("transport-cc") != std::string_view::npos);
    if (line.rfind("a=extmap:", 0) != 0)
      return false;
    // A direction may follow the id: "4/recvonly URI".
    const std::string_view value = line.substr(9);
    const auto words = split_words(value);
    const auto id = words.size() < 2 ? std::nullopt : read_number(words[0], 255);
    const bool keep =
        id && *id > 0 && transport_cc && words[1] == kTransportCc && extensions->empty();
    if (keep)
      extensions->emplace(static_cast<int>(*id), words[1]);
    return !keep;
  });
}

// webrtcbin takes an SSRC that is announced for a data channel for one of media, and
// reads numbers with scanf.
void read_ssrcs(SdpSection *media, bool is_data, Offer *offer) {
  media->remove_if([&](std::string_view line) {
    constexpr std::string_view kName = "a=ssrc";
    if (line.rfind(kName, 0) != 0 || line.rfind("a=ssrc-", 0) == 0)
      return false;
    const auto ssrc = line.substr(0, kName.size() + 1) == "a=ssrc:"
                          ? read_numbered(line.substr(kName.size() + 1), UINT_MAX)
                          : std::nullopt;
    if (is_data || !ssrc || ssrc->number == 0)
      return true;
    if (ssrc->rest.rfind("cname:", 0) == 0)
      offer->ssrcs.insert(ssrc->number);
    return false;
  });
}

// webrtcbin takes anything else for media without codecs; at two such lines 1.22 aborts.
bool read_data(const MediaHead &head, size_t index, bool removed, Offer *offer,
               GError **error) {
  if (head.formats.size() != 1 || head.formats[0] != "webrtc-datachannel")
    return fail(error, OFFER_ERROR_SYNTAX, "an application m-line is no data channel");
  if (removed)
    return true;
  if (offer->data_mline >= 0)
    return fail(error, OFFER_ERROR_SYNTAX, "there are two m-lines for data channels");
  offer->data_mline = static_cast<int>(index);
  return true;
}

bool read_media(SdpText *text, size_t index, Offer *offer, GError **error) {
  SdpSection &media = text->media[index];
  const auto head = read_head(media);
  const bool removed = std::count(offer->removed.begin(), offer->removed.end(),
                                  static_cast<unsigned>(index));
  read_ssrcs(&media, head->kind == "application", offer);
  if (head->kind == "application")
    return read_data(*head, index, removed, offer, error);
  if (head->kind != "video" && head->kind != "audio")
    return fail(error, OFFER_ERROR_SYNTAX, "an m-line is neither media nor data");
  MediaLine line;
  line.index = static_cast<unsigned>(index);
  line.mid = offer->mids[index];
  line.kind = head->kind == "video" ? MediaKind::kVideo : MediaKind::kAudio;
  FormatTable table;
  if (!settle_direction(text->session, &media, &line.active, error) ||
      !read_formats(media, *head, &table, error))
    return false;
  for (std::string_view word : head->formats) {
    const Format &format = table[read_number(word, kMaxPayloadType).value_or(0)];
    if (format.payload_type < 0 || removed)
      continue;
    offer->payload_types.emplace(format.payload_type, meaning_of(line.kind, format));
    if (!is_helper(format))
      line.formats.push_back(format);
  }
  keep_supported(&media, &line.extensions);
  offer->media.push_back(std::move(line));
  return true;
}

// In a bundle the payload type alone may have to tell packets apart.
bool check_payload_types(const Offer &offer, GError **error) {
  std::map<int, std::string> meanings;
  for (const MediaLine &line : offer.media)
    for (const Format &format : line.formats) {
      const std::string meaning = meaning_of(line.kind, format);
      if (meanings.emplace(format.payload_type, meaning).first->second != meaning)
        return fail(error, OFFER_ERROR_SYNTAX, "a payload type has two meanings");
    }
  return true;
}

} // namespace

std::optional<Offer> read_offer(std::string_view sdp, GError **error) {
  if (!check_limits(sdp, error))
    return std::nullopt;
  auto text = split_sdp(sdp);
  if (!text || text->session.lines.empty() || text->session.lines[0] != "v=0" ||
      text->media.empty()) {
    fail(error, OFFER_ERROR_SYNTAX, "no session description with media");
    return std::nullopt;
  }
  if (text->media.size() > kMaxMediaLines) {
    fail(error, OFFER_ERROR_SIZE, "too many m-lines");
    return std::nullopt;
  }
  // Keys in the SDP are obsolete, and webrtcbin refuses them.
  text->session.remove_if([](std::string_view line) { return line[0] == 'k'; });
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
  for (SdpSection &section : text->media)
    section.remove_if([](std::string_view line) { return line[0] == 'k'; });
  text->session.remove_attribute("extmap");
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
