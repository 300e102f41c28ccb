// SPDX-License-Identifier: LGPL-2.1-or-later
// The messages of VDO.Ninja's handshake and data channel: JSON text <-> values, both
// dialects, both roles. No I/O, clock, randomness or logging. Thread: any. All input is
// hostile: types are checked, sizes bounded, unknown keys ignored. Wire facts:
// docs/protocol.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "candidate-line.h"
#include "crypto.h"

namespace vdn {

// Larger texts are refused before they are parsed.
constexpr size_t kMaxMessageBytes = 512 * 1024;
constexpr size_t kMaxSdpBytes = 64 * 1024;
// More candidates in one message are left out; a session has its own limit on top.
constexpr size_t kMaxCandidates = 256;
// To send: web clients drop messages of more than 25000 characters, hex takes two each.
constexpr size_t kCandidatesPerMessage = 50;
constexpr size_t kMaxListMembers = 512;

// Hosted: the server assigns ids and routes. Custom: a bus that forwards, clients filter.
enum class Dialect { kHosted, kCustom };

// How we appear on a socket. In the hosted dialect only `dialect` matters.
struct Address {
  Dialect dialect = Dialect::kHosted;
  std::string self;      // custom: our id, sent as `from`
  std::string wire_room; // custom: sent with every message while in a room
};

struct Description {
  bool offer = false; // otherwise an answer
  std::string sdp;
};

struct Candidate {
  std::string text; // "candidate:..."; a leading "a=" is removed
  std::string mid;
  int mline = -1; // -1: not given, map by mid
};

struct Member {
  std::string peer;
  std::string stream_id; // wire form, empty for a pure viewer
};

// What a publisher says about itself on the data channel; absent fields were not in the
// message.
struct PeerNews {
  std::optional<std::string> label;
  std::optional<bool> audio_muted;
  std::optional<bool> video_muted;
  std::optional<bool> screen_share;
  std::optional<int> rotation; // degrees, clockwise
};

// One received message. Several parts may be present at once, on the data channel above
// all.
struct Message {
  std::string request;   // lower case, empty when absent
  std::string peer;      // sender: `UUID` (hosted), `from` (custom)
  std::string target;    // custom: UUID it is addressed to, empty = everybody
  std::string stream_id; // wire form
  std::string room;      // wire form (`roomid`)
  std::optional<std::string> session; // nullopt: null or absent
  std::optional<Description> description;
  std::vector<Candidate> candidates;
  bool candidates_cut = false; // more than kMaxCandidates were sent
  bool from_publisher = false; // candidates: `type` is "local"
  bool encrypted = false;      // description or candidates came in a `vector` envelope
  bool bye = false;            // `bye` present and not false, request cleanup or bye
  bool ice_restart = false;    // `iceRestartRequest` present
  bool scene = false;          // `isScene` present and not false
  std::vector<int> screen;     // sender indexes that are screen shares
  std::vector<Member> members; // listing, transferred
  bool has_members = false;
  std::string director;            // UUID
  std::string text;                // alert, error, warn: one printable line
  std::string own_id;              // `id` assigned by a hosted server
  std::optional<std::string> ping; // JSON text of the value, to be echoed unchanged
  std::optional<std::string> pong;
  // data channel, viewer to publisher
  std::optional<bool> wants_audio;
  std::optional<bool> wants_video;
  std::optional<bool> wants_screen;
  std::optional<int> bitrate; // kbit/s
  bool keyframe = false;
  PeerNews news;
  // application data: `chat`, `pipe` and keys that we do not know
  bool app_data = false;
};

enum MessageError {
  MESSAGE_ERROR_SIZE,
  MESSAGE_ERROR_SYNTAX,  // not a JSON object
  MESSAGE_ERROR_TYPE,    // a key of ours holds the wrong type
  MESSAGE_ERROR_PASSWORD // an envelope that this secret does not open
};
GQuark message_error_quark();

// Reads one text frame of the socket or, with `me` NULL, of the data channel, whose only
// sender is known: addresses and server notices in it are ignored, and a web client
// writes `stream_id` there without the password's suffix. A message that is not for `me`
// keeps its envelope closed. nullopt and `error` when the text is unusable; the error
// names the key and the problem, never the content. Wrong types are an error in
// addresses, descriptions and envelopes; elsewhere such a key counts as absent, and a
// candidate that is none is left out.
std::optional<Message> parse_message(std::string_view text, const Address *me,
                                     const Secret &secret, GError **error);

// Custom dialect: false when `message` is our own or meant for another client or room.
// Hosted: always true.
bool is_for_us(const Message &message, const Address &me);

// Where an outgoing description or candidate goes. On the data channel `me` is NULL and
// no address is written: peers fill it in themselves.
struct Envelope {
  const Address *me = nullptr;
  std::string peer;
  std::optional<std::string> session; // nullopt is written as null
  std::string stream_id;          // wire form; publishers add it, viewers leave it empty
  const Secret *secret = nullptr; // NULL: in clear
  Iv iv{};                        // used when `secret` is set, fresh for each message
};

// What a viewer asks for in its first data-channel message.
struct Wishes {
  bool audio = true;
  bool video = true;
  bool screen_video = false;
  bool screen_audio = false;
  std::string scene; // its id: receive as a scene, at full quality; empty: not as one
  unsigned show_director = 1; // to scenes: 0 no, 1 yes, 2 video, 3 screen, 4 everything
  std::optional<unsigned> keyframe_interval;     // ms
  std::optional<unsigned> scale;                 // %
  std::optional<unsigned> max_width, max_height; // pixels, to fit into
  std::optional<unsigned> audio_bitrate;         // kbit/s
  std::string video_codec; // lower case, empty = the publisher's own order
  std::string label;
  std::string version; // of this software
};

std::string encode_play(const Address &me, std::string_view wire_id);
std::string encode_seed(const Address &me, std::string_view wire_id);
// `wire_id` empty: as a viewer.
std::string encode_join(const Address &me, std::string_view wire_room,
                        std::string_view wire_id = {});
// Empty when encryption failed: nothing may then be sent in its place.
std::string encode_description(const Envelope &to, const Description &description);
std::string encode_candidates(const Envelope &to,
                              const std::vector<Candidate> &candidates,
                              bool from_publisher);
// Data channel only.
std::string encode_init(const Wishes &wishes);
std::string encode_pong(std::string_view ping_json);
std::string encode_ping(int64_t value);
std::string encode_bye();
std::string encode_bitrate(int kbps); // 0 pauses
// The picture is to fit into this.
std::string encode_resolution(unsigned width, unsigned height);

} // namespace vdn
