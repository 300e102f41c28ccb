// SPDX-License-Identifier: LGPL-2.1-or-later
#include "script.h"

#include <algorithm>

#include "json.h"

namespace vdn {

namespace {

constexpr const char *kPeers[] = {"peer-one", "peer-two", "peer-three"};
constexpr const char *kSessions[] = {"\"one\"", "\"two\"", "null"};
constexpr const char *kWrong[] = {"null",  "true",  "false",  "0",         "-1",
                                  "\"\"",  "\"0\"", "[]",     "{}",        "[[[[[]]]]]",
                                  "1e999", "4.5",   "[null]", "{\"a\":{}}"};
constexpr const char *kVideo = "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\n"
                               "a=rtpmap:102 H264/90000\r\na=fmtp:102 "
                               "packetization-mode=1;profile-level-id=42e01f\r\n";
constexpr const char *kAudio = "a=rtpmap:111 opus/48000/2\r\n";

std::string repeated(const std::string &text, unsigned count) {
  std::string result;
  while (count--)
    result += text;
  return result;
}

} // namespace

Script::Script(Random &random, Dialect dialect, std::string stream, std::string room)
    : random_(random), dialect_(dialect), secret_(nullptr, "vdo.ninja"),
      stream_(std::move(stream)), room_(std::move(room)) {}

std::string Script::quoted(const std::string &text) const {
  JsonNode *node = json_node_init_string(json_node_alloc(), text.c_str());
  const JsonNodePtr owner(node);
  return to_json(node);
}

std::string Script::text(unsigned longest) {
  static constexpr const char *kPieces[] = {"a", "7", " ",    "\\", "\"",
                                            "ä", "🔒", "\r\n", "/"};
  std::string result;
  for (unsigned count = random_.below(longest); count > 0; count--)
    result += random_.pick(kPieces);
  return result;
}

// Any value, of whatever type.
std::string Script::json() {
  switch (random_.below(6)) {
  case 0:
    return quoted(text());
  case 1:
    return quoted(std::string(random_.below(70000), 'x'));
  case 2:
    return repeated("[", 40) + repeated("]", 40);
  case 3:
    return std::to_string(static_cast<int>(random_.below(5000)) - 2500);
  default:
    return random_.pick(kWrong);
  }
}

std::string Script::wire_id() {
  switch (random_.below(8)) {
  case 0:
    return text(80);
  case 1:
    return stream_; // without the suffix of the password
  case 2:
    return secret_.wire_stream_id("somebody");
  default:
    return secret_.wire_stream_id(stream_);
  }
}

std::string Script::candidate() {
  static constexpr const char *kAddresses[] = {"127.0.0.1", "::1", "300.1.2.3", "x.local",
                                               ""};
  static constexpr const char *kTypes[] = {"host", "srflx", "relay", "prflx", "none"};
  static constexpr const char *kTransports[] = {"UDP", "udp", "TCP", "tcp", "SCTP"};
  static constexpr const char *kTails[] = {"", " tcptype active", " tcptype", " raddr x"};
  if (random_.chance(10))
    return text();
  return std::string(random_.chance(80) ? "candidate:" : "a=candidate:") +
         std::to_string(random_.below(99)) + " " + std::to_string(random_.below(3)) +
         " " + random_.pick(kTransports) + " " + std::to_string(random_.below(1u << 31)) +
         " " + random_.pick(kAddresses) + " " + std::to_string(random_.below(70000)) +
         " typ " + random_.pick(kTypes) + random_.pick(kTails);
}

// One m-line with all that it needs, or nearly all.
std::string Script::media_line(const char *mid) {
  static constexpr const char *kDirections[] = {"sendrecv", "sendonly", "recvonly",
                                                "inactive"};
  const unsigned kind = random_.below(3);
  const char *port = random_.chance(10) ? "0" : "9";
  std::string line =
      kind == 0
          ? std::string("m=application ") + port + " UDP/DTLS/SCTP webrtc-datachannel\r\n"
      : kind == 1 ? std::string("m=video ") + port + " UDP/TLS/RTP/SAVPF 96 102\r\n"
                  : std::string("m=audio ") + port + " UDP/TLS/RTP/SAVPF 111\r\n";
  line += "c=IN IP4 0.0.0.0\r\na=ice-ufrag:";
  // Seldom another: each is a new session.
  line += random_.chance(2) ? "other" : "ufrag";
  line +=
      "\r\na=ice-pwd:passwordpasswordpassword\r\na=setup:actpass\r\na=rtcp-mux\r\na=mid:";
  line += std::string(mid) + "\r\na=fingerprint:sha-256 " +
          repeated(random_.chance(2) ? "CD:" : "AB:", 31) + "AB\r\n";
  line += kind == 0 ? "a=sctp-port:5000\r\n" : kind == 1 ? kVideo : kAudio;
  if (kind > 0)
    line += std::string("a=") + random_.pick(kDirections) + "\r\n";
  if (random_.chance(20))
    line += (random_.chance(50) ? "a=" : "") + candidate() + "\r\n";
  return line;
}

std::string Script::sdp() {
  static constexpr const char *kMids[] = {"0", "1", "2", "3", "4", "5"};
  const unsigned count = 1 + random_.below(random_.chance(95) ? 4 : 6);
  std::string bundle, lines;
  for (unsigned i = 0; i < count; i++) {
    const char *mid = kMids[random_.chance(97) ? i : 0];
    bundle += std::string(" ") + mid;
    lines += media_line(mid);
  }
  const std::string whole =
      "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE" + bundle +
      "\r\n" + lines;
  return random_.chance(95) ? whole : spoil(whole);
}

void Script::add_offer(Fields *fields) {
  const bool answer = random_.chance(10);
  const std::string description = std::string("{\"type\":\"") +
                                  (answer ? "answer" : "offer") +
                                  "\",\"sdp\":" + quoted(sdp()) + "}";
  fields->emplace_back("session", random_.pick(kSessions));
  if (random_.chance(90))
    fields->emplace_back("streamID", quoted(wire_id()));
  if (random_.chance(10))
    fields->emplace_back("screen", "[0,1,-1,99]");
  Iv iv;
  for (auto &byte : iv)
    byte = static_cast<uint8_t>(random_.below(256));
  const std::string cipher =
      random_.chance(30) ? secret_.encrypt(description, iv) : std::string();
  fields->emplace_back("description", cipher.empty() ? description : quoted(cipher));
  if (!cipher.empty() || random_.chance(5))
    fields->emplace_back("vector", quoted(to_hex(iv.data(), iv.size())));
}

void Script::add_candidates(Fields *fields) {
  std::string list;
  for (unsigned count = random_.below(random_.chance(5) ? 400 : 5); count > 0; count--)
    list += (list.empty() ? "" : ",") + std::string("{\"candidate\":") +
            quoted(candidate()) + ",\"sdpMid\":\"0\",\"sdpMLineIndex\":" +
            std::to_string(static_cast<int>(random_.below(5)) - 1) + "}";
  fields->emplace_back("session", random_.pick(kSessions));
  fields->emplace_back("type", "\"local\"");
  if (random_.chance(20))
    fields->emplace_back("candidate", "{\"candidate\":" + quoted(candidate()) + "}");
  else
    fields->emplace_back("candidates", "[" + list + "]");
}

void Script::add_members(Fields *fields) {
  std::string list;
  for (unsigned count = random_.below(random_.chance(5) ? 600 : 4); count > 0; count--)
    list += (list.empty() ? "" : ",") +
            (random_.chance(20) ? quoted(random_.pick(kPeers))
                                : "{\"UUID\":" + quoted(random_.pick(kPeers)) +
                                      ",\"streamID\":" + quoted(wire_id()) + "}");
  fields->emplace_back("request", random_.chance(80) ? "\"listing\"" : "\"transferred\"");
  fields->emplace_back("list", "[" + list + "]");
  fields->emplace_back("director", quoted(random_.pick(kPeers)));
}

// What stands by itself on the data channel.
void Script::add_news(Fields *fields) {
  static constexpr const char *kKeys[] = {"info",
                                          "muteState",
                                          "videoMuted",
                                          "screenShareState",
                                          "rotate_video",
                                          "changeLabel",
                                          "value",
                                          "audio",
                                          "video",
                                          "bitrate",
                                          "keyframe",
                                          "screenStopped",
                                          "chat",
                                          "pipe",
                                          "allowmidi",
                                          "targetBitrate",
                                          "allowscreenvideo",
                                          "scene"};
  for (unsigned count = 1 + random_.below(3); count > 0; count--)
    fields->emplace_back(random_.pick(kKeys), json());
  if (random_.chance(20))
    fields->emplace_back("info", "{\"label\":" + json() + ",\"muted\":" + json() +
                                     ",\"video_muted_init\":true,\"rotate_video\":90}");
}

void Script::add_request(Fields *fields) {
  static constexpr const char *kRequests[] = {
      "someonejoined", "videoaddedtoroom", "seed",        "joinroom", "play",
      "offerSDP",      "cleanup",          "bye",         "alert",    "error",
      "warn",          "roomclaimed",      "joinpending", "migrate",  "SEED"};
  static constexpr const char *kTexts[] = {"room is full", "not approved", "busy",
                                           "hello"};
  const std::string request = random_.pick(kRequests);
  fields->emplace_back("request", quoted(request));
  if (request == "alert" || request == "error" || request == "warn")
    fields->emplace_back("message",
                         random_.chance(70) ? quoted(random_.pick(kTexts)) : json());
  else
    fields->emplace_back("streamID", quoted(wire_id()));
}

void Script::add_address(Fields *fields) {
  const std::string peer = quoted(random_.pick(kPeers));
  if (dialect_ == Dialect::kHosted) {
    fields->emplace_back("UUID", peer);
    return;
  }
  fields->emplace_back("from", peer);
  if (random_.chance(70))
    fields->emplace_back("UUID", quoted(random_.chance(95) ? viewer_ : text(40)));
  if (!room_.empty())
    fields->emplace_back("roomid", quoted(secret_.wire_room(room_, "")));
}

// Cut, doubled, or with bytes changed.
std::string Script::spoil(std::string text) {
  switch (random_.below(4)) {
  case 0:
    return text.substr(0, random_.below(static_cast<unsigned>(text.size()) + 1));
  case 1:
    return text + text;
  case 2:
    return std::string(random_.below(600 * 1024), ' ') + text;
  default:
    for (unsigned count = 1 + random_.below(8); count > 0 && !text.empty(); count--)
      text[random_.below(static_cast<unsigned>(text.size()))] =
          static_cast<char>(random_.below(256));
    return text;
  }
}

std::string Script::next(bool channel) {
  Fields fields;
  if (!channel || random_.chance(10))
    add_address(&fields);
  const unsigned kind = random_.below(100);
  if (kind < 35)
    add_offer(&fields);
  else if (kind < 55)
    add_candidates(&fields);
  else if (kind < 65)
    add_members(&fields);
  else if (kind < 75 || channel)
    add_news(&fields);
  else if (kind < 90)
    add_request(&fields);
  if (kind >= 85 || random_.chance(5)) {
    static constexpr const char *kLone[] = {"ping", "pong", "bye",    "iceRestartRequest",
                                            "id",   "x",    "isScene"};
    fields.emplace_back(random_.pick(kLone), json());
  }
  // Every field may be of another type, be missing, or come twice, in any order.
  for (size_t i = 0; i < fields.size(); i++) {
    if (random_.chance(2))
      fields[i].second = json();
    if (random_.chance(1))
      fields.push_back(fields[i]);
  }
  for (size_t i = fields.size(); i > 1; i--)
    std::swap(fields[i - 1], fields[random_.below(static_cast<unsigned>(i))]);
  std::string result;
  for (const auto &[name, value] : fields)
    if (!random_.chance(2))
      result += (result.empty() ? "{\"" : ",\"") + name + "\":" + value;
  result += result.empty() ? "{}" : "}";
  if (random_.chance(96))
    return result;
  // libsoup does not send anything else as text, nor does it hand it over.
  const std::string spoiled = spoil(result);
  return StrPtr(g_utf8_make_valid(spoiled.data(), static_cast<gssize>(spoiled.size())))
      .get();
}

} // namespace vdn
