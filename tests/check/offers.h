// SPDX-License-Identifier: LGPL-2.1-or-later
// Offers for tests: recorded ones and one to be bent.
#pragma once

#include "offer.h"
#include "transcripts.h"

namespace vdn {

constexpr char kChromiumSocket[] = "web-viewer-default-password.ws.jsonl";  // data only
constexpr char kChromiumChannel[] = "web-viewer-default-password.dc.jsonl"; // and video
constexpr char kRaspberry[] = "web-viewer-of-raspberry-publisher.ws.jsonl";

// The first offer of a transcript.
inline std::string recorded_offer(const char *file) {
  std::string found;
  for_each_line_of(file, [&](const TranscriptLine &line) {
    JsonObject *plain = line.plain ? line.plain : line.raw;
    if (!found.empty() || !json_object_has_member(plain, "description"))
      return;
    JsonObject *inner = json_object_get_object_member(plain, "description");
    if (g_str_equal(vector_string(inner, "type"), "offer"))
      found = vector_string(inner, "sdp");
  });
  fail_if(found.empty(), "%s has no offer", file);
  return found;
}

inline std::string repeat(const std::string &text, int count) {
  std::string result;
  while (count-- > 0)
    result += text;
  return result;
}

inline std::string fingerprint_line(const char *byte) {
  const std::string value = repeat(std::string(byte) + ":", 32);
  return "a=fingerprint:sha-256 " + value.substr(0, value.size() - 1) + "\r\n";
}

// What stands in every m-line.
inline std::string transport_lines(const char *mid) {
  return std::string(
             "c=IN IP4 0.0.0.0\r\na=ice-ufrag:ufrag\r\na=ice-pwd:"
             "passwordpasswordpassword\r\na=setup:actpass\r\na=rtcp-mux\r\na=mid:") +
         mid + "\r\n" + fingerprint_line("AB");
}

inline std::string session_lines(const char *mids) {
  return std::string(
             "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE ") +
         mids + "\r\n";
}

inline std::string data_lines(const char *mid) {
  return "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n" + transport_lines(mid) +
         "a=sctp-port:5000\r\n";
}

// `formats`: payload types of the m-line, `attributes`: its further lines.
inline std::string media_lines(const char *kind, const char *mid, const char *formats,
                               const char *attributes, const char *port = "9") {
  return std::string("m=") + kind + " " + port + " UDP/TLS/RTP/SAVPF " + formats +
         "\r\n" + transport_lines(mid) + attributes;
}

constexpr char kVp8[] = "a=sendrecv\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\n"
                        "a=rtcp-fb:96 nack pli\r\n";
constexpr char kOpus[] = "a=sendonly\r\na=rtpmap:111 opus/48000/2\r\n"
                         "a=fmtp:111 minptime=10;useinbandfec=1\r\n";

// Data, VP8 and Opus, as a browser would offer them.
inline std::string plain_offer() {
  return session_lines("0 1 2") + data_lines("0") +
         media_lines("video", "1", "96", kVp8) + media_lines("audio", "2", "111", kOpus);
}

inline std::string replace(std::string text, const std::string &from,
                           const std::string &to) {
  fail_unless(text.find(from) != std::string::npos, "nothing to replace: %s",
              from.c_str());
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

inline std::string replace_first(std::string text, const std::string &from,
                                 const std::string &to) {
  const size_t at = text.find(from);
  fail_unless(at != std::string::npos, "nothing to replace: %s", from.c_str());
  return text.replace(at, from.size(), to);
}

inline bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

inline Offer must_read(const std::string &sdp) {
  GError *error = nullptr;
  auto offer = read_offer(sdp, &error);
  fail_unless(offer.has_value(), "%s\n%s", error ? error->message : "", sdp.c_str());
  return std::move(*offer);
}

inline Offer with_video(const char *formats, const char *attributes) {
  return must_read(session_lines("0") + media_lines("video", "0", formats, attributes));
}

inline void assert_refused(const std::string &sdp, OfferError code) {
  GError *raw = nullptr;
  fail_if(read_offer(sdp, &raw).has_value(), "%.2000s", sdp.c_str());
  const ErrorPtr error(raw);
  fail_unless(g_error_matches(raw, offer_error_quark(), code), "%s: %.2000s",
              raw->message, sdp.c_str());
}

} // namespace vdn
