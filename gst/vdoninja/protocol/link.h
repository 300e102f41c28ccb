// SPDX-License-Identifier: LGPL-2.1-or-later
// A VDO.Ninja view link, as pasted (https://vdo.ninja/?view=...) or as our own URI, which
// is the same with another scheme (vdoninja://vdo.ninja/?view=..., or
// vdoninja:?view=...). Pure functions of their arguments, no I/O or logging. Thread: any.
// Names and meanings: docs/protocol.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "message.h"

namespace vdn {

constexpr size_t kMaxLinkBytes = 8 * 1024;
constexpr size_t kMaxLinkList = 64; // entries of any list in a link

struct LinkStream {
  std::string id;      // as typed; the caller cleans up
  bool screen = false; // "X:s": the screen share of X
};
constexpr const char *kScreenSuffix = ":s";
// Cuts that off `id`; false when it is not there.
bool take_screen_suffix(std::string *id);

// What a link says about viewing. Unset members were not in the link.
struct Link {
  std::string host; // of the page, lower case, no port
  std::optional<unsigned> port;
  std::vector<LinkStream> streams;
  std::vector<std::string> exclude; // stream ids
  std::string published;            // what the link publishes: a stream id, or a room
  std::string room;                 // sanitised
  std::string token;                // goes into the room's hash
  std::string password;             // decoded; empty: the default one
  bool encrypted = true;            // false: no password, neither hashes nor encryption
  std::string salt;                 // as given or of the host, never empty
  bool salt_given = false;
  std::string hash; // up to 6 characters of a wire id's suffix, to check a password by

  std::string server; // WebSocket URL, empty: the service's own
  std::optional<Dialect> dialect;

  std::optional<std::string> scene;      // id; as a guest when unset
  std::optional<unsigned> show_director; // 0 no, 1 yes, 2 video, 3 screen, 4 everything
  bool only_director = false;
  std::string label;
  std::optional<unsigned> max_streams;

  bool video = true, audio = true;
  std::vector<std::string> video_from, audio_from; // ids that may; empty: all
  std::vector<std::string> audio_not_from;
  std::vector<std::string> video_codecs; // lower case, in order of preference
  std::string h264_profile;              // 6 hex digits
  std::vector<unsigned> video_bitrates;  // kbit/s in the order of `streams`, 0: paused
  std::optional<unsigned> total_bitrate; // kbit/s
  std::optional<unsigned> audio_bitrate; // kbit/s
  std::optional<bool> stereo;
  std::optional<unsigned> scale, width, height; // %, pixels
  std::optional<unsigned> latency;              // ms
  std::optional<unsigned> keyframe_interval;    // ms
  std::optional<unsigned> retry;                // ms

  bool default_stun = true;              // false: `stun_servers` are all there are
  std::vector<std::string> stun_servers; // stun://host:port
  bool default_turn = true;
  std::vector<std::string> turn_servers; // turn(s)://user:password@host:port
  bool relay_only = false;
  bool lan_only = false;
  std::optional<bool> allow_plain; // offers without encryption

  // Names of parameters that we do not know, or whose value we cannot use.
  std::vector<std::string> unsupported;
};

enum LinkError { LINK_ERROR_SIZE, LINK_ERROR_SYNTAX };
GQuark link_error_quark();

// nullopt and `error` for what is no such link. The error never repeats the link, which
// may hold a password.
std::optional<Link> parse_link(std::string_view text, GError **error);

// The vdoninja: URI of `link`, without password, TURN servers (they have passwords too)
// and unsupported parameters. parse_link() of it gives the rest back.
std::string link_to_uri(const Link &link);

} // namespace vdn
