// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>
#include <array>

#include "offer-out.h"
#include "offer-parts.h"

namespace vdn {

namespace {

constexpr unsigned kMaxPayloadType = 127;

// Repair and signalling formats; webrtcbin negotiates rtx by itself.
constexpr const char *kHelperEncodings[] = {"RTX",        "RED", "ULPFEC",
                                            "FLEXFEC-03", "CN",  "TELEPHONE-EVENT"};

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
    return refuse_sdp(error, OFFER_ERROR_SYNTAX, "an m-line has two directions");
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
      return refuse_sdp(error, OFFER_ERROR_SYNTAX, "an rtpmap is malformed");
    const auto parts = split_words(numbered->rest, '/');
    const auto rate = parts.size() < 2 ? std::nullopt : read_number(parts[1], G_MAXINT);
    Format &format = (*table)[numbered->number];
    if (!rate || *rate == 0)
      return refuse_sdp(error, OFFER_ERROR_SYNTAX, "an rtpmap is malformed");
    if (format.payload_type >= 0)
      return refuse_sdp(error, OFFER_ERROR_SYNTAX, "a payload type is mapped twice");
    format.payload_type = static_cast<int>(numbered->number);
    format.encoding = to_upper(parts[0]);
    format.clock_rate = static_cast<int>(*rate);
  }
  for (std::string_view value : media.values("fmtp"))
    if (const auto numbered = read_numbered(value, kMaxPayloadType))
      (*table)[numbered->number].fmtp = numbered->rest;
  std::array<bool, kMaxPayloadType + 1> listed{};
  for (std::string_view word : head.formats) {
    const auto number = read_number(word, kMaxPayloadType);
    if (!number || listed[*number])
      return refuse_sdp(error, OFFER_ERROR_SYNTAX,
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

// In caps the parameters of a format stand beside what GStreamer itself keeps there.
bool poses_as_attribute(std::string_view parameter) {
  while (!parameter.empty() && parameter.front() == ' ')
    parameter.remove_prefix(1);
  for (std::string_view prefix : {"a-", "extmap-", "rtcp-fb-", "ssrc-", "rid-"})
    if (to_upper(parameter.substr(0, prefix.size())) == to_upper(prefix))
      return true;
  return false;
}

void keep_parameters(std::string *line) {
  const size_t start = line->find(' ');
  if (line->rfind("a=fmtp:", 0) != 0 || start == std::string::npos)
    return;
  const auto all = split_words(std::string_view(*line).substr(start + 1), ';');
  if (std::none_of(all.begin(), all.end(), poses_as_attribute))
    return;
  std::string kept;
  for (std::string_view parameter : all)
    if (!poses_as_attribute(parameter))
      kept.append(kept.empty() ? "" : ";").append(parameter);
  line->replace(start + 1, std::string::npos, kept);
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
    const bool keep = id && *id > 0 && transport_cc && words[1] == kTransportWideCc &&
                      extensions->empty();
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
    return refuse_sdp(error, OFFER_ERROR_SYNTAX,
                      "an application m-line is no data channel");
  if (removed)
    return true;
  if (offer->data_mline >= 0)
    return refuse_sdp(error, OFFER_ERROR_SYNTAX,
                      "there are two m-lines for data channels");
  offer->data_mline = static_cast<int>(index);
  return true;
}

} // namespace

std::optional<MediaHead> read_head(const SdpSection &media) {
  const auto words = split_words(std::string_view(media.lines[0]).substr(2));
  if (words.size() < 4)
    return std::nullopt;
  const auto port = read_number(words[1].substr(0, words[1].find('/')), 65535);
  if (!port)
    return std::nullopt;
  return MediaHead{words[0], *port, {words.begin() + 3, words.end()}};
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
    return refuse_sdp(error, OFFER_ERROR_SYNTAX, "an m-line is neither media nor data");
  MediaLine line;
  line.index = static_cast<unsigned>(index);
  line.mid = offer->mids[index];
  line.kind = head->kind == "video" ? MediaKind::kVideo : MediaKind::kAudio;
  for (std::string &attribute : media.lines)
    keep_parameters(&attribute);
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

bool check_payload_types(const Offer &offer, GError **error) {
  std::map<int, std::string> meanings;
  for (const MediaLine &line : offer.media)
    for (const Format &format : line.formats) {
      const std::string meaning = meaning_of(line.kind, format);
      if (meanings.emplace(format.payload_type, meaning).first->second != meaning)
        return refuse_sdp(error, OFFER_ERROR_SYNTAX, "a payload type has two meanings");
    }
  return true;
}

} // namespace vdn
