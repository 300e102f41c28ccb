// SPDX-License-Identifier: LGPL-2.1-or-later
#include "offer-out.h"

#include <algorithm>

#include "offer-parts.h"
#include "sdp-check.h"

namespace vdn {

namespace {

constexpr const char *kVideoFeedback[] = {"nack", "nack pli", "ccm fir"};
constexpr char kTransportCc[] = "transport-cc";
constexpr unsigned kMaxKbits = 1000000;

using Parameters = std::vector<std::pair<std::string, std::string>>;

// What `known` (of an fmtp line) says, changed and extended by `ours`.
std::string merged_fmtp(std::string_view known, const Parameters &ours) {
  Parameters all;
  for (std::string_view pair : split_words(known, ';')) {
    while (!pair.empty() && pair.front() == ' ')
      pair.remove_prefix(1);
    const size_t equals = std::min(pair.find('='), pair.size());
    all.emplace_back(pair.substr(0, equals),
                     pair.substr(std::min(equals + 1, pair.size())));
  }
  for (const auto &[name, value] : ours) {
    const auto at =
        std::find_if(all.begin(), all.end(),
                     [&wanted = name](const auto &one) { return one.first == wanted; });
    if (at == all.end())
      all.emplace_back(name, value);
    else
      at->second = value;
  }
  std::string text;
  for (const auto &[name, value] : all)
    text += (text.empty() ? "" : ";") + name + (value.empty() ? "" : "=" + value);
  return text;
}

std::string rtpmap_of(const OfferedFormat &format) {
  return format.encoding + "/" + std::to_string(format.clock_rate) +
         (format.channels ? "/" + std::to_string(format.channels) : "");
}

// Writes the fmtp line of `format` behind its rtpmap.
void write_fmtp(SdpSection *media, const OfferedFormat &format) {
  const std::string pt = std::to_string(format.payload_type);
  const std::string fmtp = "a=fmtp:" + pt + " ", rtpmap = "a=rtpmap:" + pt + " ";
  std::string known;
  for (const std::string &line : media->lines)
    if (line.rfind(fmtp, 0) == 0)
      known = line.substr(fmtp.size());
  const std::string text = merged_fmtp(known, format.fmtp);
  media->remove_if([&](std::string_view line) { return line.rfind(fmtp, 0) == 0; });
  if (text.empty())
    return;
  auto &lines = media->lines;
  const auto after = std::find_if(lines.begin(), lines.end(), [&](const auto &line) {
    return line.rfind(rtpmap, 0) == 0;
  });
  lines.insert(after == lines.end() ? after : after + 1, fmtp + text);
}

void write_feedback(SdpSection *media, const OfferedMedium &medium,
                    const OfferedFormat &format) {
  const std::string start = "a=rtcp-fb:" + std::to_string(format.payload_type) + " ";
  media->remove_if([&](std::string_view line) { return line.rfind(start, 0) == 0; });
  if (medium.kind == MediaKind::kVideo)
    for (const char *feedback : kVideoFeedback)
      media->lines.push_back(start + feedback);
  if (medium.transport_cc)
    media->lines.push_back(start + kTransportCc);
}

void write_medium(SdpSection *media, const OfferedMedium &medium) {
  for (size_t i = 0; i < medium.formats.size(); i++) {
    const OfferedFormat &format = medium.formats[i];
    const std::string pt = std::to_string(format.payload_type);
    if (i > 0) {
      media->lines[0] += " " + pt;
      media->lines.push_back("a=rtpmap:" + pt + " " + rtpmap_of(format));
    }
    write_fmtp(media, format);
    write_feedback(media, medium, format);
  }
}

bool is_media(const SdpSection &section) {
  const auto head = read_head(section);
  return head && head->kind != "application";
}

// --- answers ---

bool in_bundle(const SdpText &text, std::string_view mid) {
  for (std::string_view group : text.session.values("group"))
    if (const auto words = split_words(group);
        !words.empty() && words[0] == "BUNDLE" &&
        std::find(words.begin() + 1, words.end(), mid) != words.end())
      return true;
  return false;
}

bool check_answer_setup(const SdpText &text, GError **error) {
  for (const SdpSection &media : text.media) {
    const auto found = media.values("setup");
    if (found.size() != 1 || (found[0] != "active" && found[0] != "passive"))
      return refuse_sdp(error, OFFER_ERROR_SYNTAX, "an m-line has no usable setup");
  }
  return true;
}

// Media come first in our offers. A line of another kind would be no answer to them.
bool check_answer_mids(const SdpText &text, const std::vector<std::string> &mids,
                       const std::vector<OfferedMedium> &media, GError **error) {
  const auto kind_of = [&media](size_t line) {
    return line >= media.size()                    ? "application"
           : media[line].kind == MediaKind::kVideo ? "video"
                                                   : "audio";
  };
  bool same = text.media.size() == mids.size();
  for (size_t i = 0; same && i < mids.size(); i++) {
    const auto found = text.media[i].values("mid");
    const auto head = read_head(text.media[i]);
    same = found.size() == 1 && found[0] == mids[i] && head && head->kind == kind_of(i);
  }
  return same || refuse_sdp(error, OFFER_ERROR_SYNTAX,
                            "it does not answer our m-lines one by one");
}

void remove_directions(SdpSection *section) {
  for (const char *direction : kDirections)
    section->remove_attribute(direction);
}

// Whether the peer receives on it. We never do: to a line that wants to send webrtcbin
// would make a receiving side.
bool settle_answered_direction(SdpSection *media) {
  bool receives = true; // without a direction: both ways
  for (const char *direction : kDirections)
    if (media->has(direction))
      receives = std::string_view(direction) == "sendrecv" ||
                 std::string_view(direction) == "recvonly";
  remove_directions(media);
  media->lines.push_back(receives ? "a=recvonly" : "a=inactive");
  return receives;
}

unsigned wished_kbits(const SdpSection &media, int payload_type) {
  unsigned wish = 0;
  const auto take = [&wish](std::optional<unsigned> kbits) {
    if (kbits && *kbits > 0)
      wish = wish ? std::min(wish, *kbits) : *kbits;
  };
  for (const std::string &line : media.lines) {
    if (line.rfind("b=AS:", 0) == 0)
      take(read_number(std::string_view(line).substr(5), kMaxKbits));
    else if (line.rfind("b=TIAS:", 0) == 0)
      if (const auto bits = read_number(std::string_view(line).substr(7), UINT_MAX))
        take(*bits / 1000);
  }
  for (std::string_view value : media.values("fmtp"))
    if (const auto numbered = read_numbered(value, 127);
        numbered && static_cast<int>(numbered->number) == payload_type)
      take(read_number(fmtp_value(numbered->rest, "x-google-max-bitrate"), kMaxKbits));
  return wish;
}

// Of packets of that format, which can be named: one without the other is neither.
bool promises_reports(const SdpSection &media, std::string_view format) {
  bool reports = false, numbers = false;
  for (std::string_view value : media.values("rtcp-fb")) {
    const auto words = split_words(value);
    const bool applies = words.size() > 1 && (words[0] == "*" || words[0] == format);
    reports |= applies && words[1] == kTransportCc;
  }
  for (std::string_view value : media.values("extmap")) {
    const auto words = split_words(value);
    numbers |= words.size() > 1 && words[1] == kTransportWideCc;
  }
  return reports && numbers;
}

// What the line says of the format of ours that it names first.
bool read_answered_line(const SdpText &text, SdpSection *media, const std::string &mid,
                        const OfferedMedium &medium, AnsweredLine *line, GError **error) {
  const auto head = read_head(*media);
  line->accepted = head->port != 0 && in_bundle(text, mid);
  if (!line->accepted)
    return true;
  line->active = settle_answered_direction(media);
  const auto number = read_number(head->formats[0], 127);
  const bool ours =
      number && std::any_of(medium.formats.begin(), medium.formats.end(),
                            [&](const OfferedFormat &format) {
                              return format.payload_type == static_cast<int>(*number);
                            });
  if (!ours)
    return refuse_sdp(error, OFFER_ERROR_SYNTAX, "it chooses a format of its own");
  line->payload_type = static_cast<int>(*number);
  line->max_kbit_s = wished_kbits(*media, line->payload_type);
  line->transport_cc = medium.transport_cc && promises_reports(*media, head->formats[0]);
  for (std::string_view value : media->values("fmtp"))
    if (const auto numbered = read_numbered(value, 127))
      line->rtx |= fmtp_value(numbered->rest, "apt") == head->formats[0];
  media->remove_if([](std::string_view text_line) {
    return text_line.rfind("a=ssrc", 0) == 0 || text_line.rfind("a=msid", 0) == 0;
  });
  return true;
}

bool check_answer(SdpText *text, Answer *answer, GError **error) {
  keep_known(text);
  for (const char *name : {"ice-ufrag", "ice-pwd", "setup"})
    copy_down(text, name);
  return check_answer_setup(*text, error) &&
         settle_fingerprint(text, &answer->fingerprint, error) &&
         !common_value(*text, "ice-ufrag", OFFER_ERROR_SYNTAX, error).empty() &&
         !common_value(*text, "ice-pwd", OFFER_ERROR_SYNTAX, error).empty();
}

} // namespace

std::string finish_offer(std::string_view sdp, const std::vector<OfferedMedium> &media) {
  auto text = split_sdp(sdp);
  if (!text)
    return std::string(sdp);
  size_t next = 0;
  for (SdpSection &section : text->media)
    if (is_media(section) && next < media.size())
      write_medium(&section, media[next++]);
  return text->join();
}

std::vector<std::string> mids_of(std::string_view sdp) {
  std::vector<std::string> mids;
  if (const auto text = split_sdp(sdp))
    for (const SdpSection &section : text->media) {
      const auto found = section.values("mid");
      mids.emplace_back(found.empty() ? "" : found[0]);
    }
  return mids;
}

std::optional<Answer> read_answer(std::string_view sdp,
                                  const std::vector<std::string> &mids,
                                  const std::vector<OfferedMedium> &media,
                                  GError **error) {
  if (!check_limits(sdp, error))
    return std::nullopt;
  auto text = split_sdp(sdp);
  if (!text || text->session.lines.empty() || text->session.lines[0] != "v=0" ||
      text->media.empty()) {
    refuse_sdp(error, OFFER_ERROR_SYNTAX, "no session description with media");
    return std::nullopt;
  }
  Answer answer;
  if (!check_answer_mids(*text, mids, media, error))
    return std::nullopt;
  bool complete = true;
  remove_directions(&text->session);
  for (size_t i = 0; i < text->media.size(); i++) {
    SdpSection &section = text->media[i];
    if (!is_media(section)) {
      remove_directions(&section);
      complete &= read_head(section)->port != 0 && in_bundle(*text, mids[i]);
      continue;
    }
    AnsweredLine line;
    if (!read_answered_line(*text, &section, mids[i], media[answer.media.size()], &line,
                            error))
      return std::nullopt;
    complete &= line.accepted;
    answer.media.push_back(line);
  }
  if (!complete)
    return answer;
  if (!check_answer(&*text, &answer, error))
    return std::nullopt;
  keep_candidates(&*text);
  answer.sdp = text->join();
  return answer;
}

} // namespace vdn
