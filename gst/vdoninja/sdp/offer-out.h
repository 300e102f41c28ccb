// SPDX-License-Identifier: LGPL-2.1-or-later
// An offer of ours, as webrtcbin made it and as it is sent, and the answer to it, checked
// before webrtcbin sees it. Pure functions. Thread: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "offer.h"

namespace vdn {

// The extension that numbers packets.
inline constexpr char kTransportWideCc[] =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

struct OfferedFormat {
  int payload_type = -1;
  std::string encoding; // as in rtpmap
  unsigned clock_rate = 0;
  unsigned channels = 0; // 0: not said
  std::vector<std::pair<std::string, std::string>> fmtp;
};

// One m-line of ours, in the order of webrtcbin's pads.
struct OfferedMedium {
  MediaKind kind = MediaKind::kVideo;
  // The first is what webrtcbin offers; the others are written behind it, and never given
  // to webrtcbin: before 1.26 it makes duplicate payload types of them
  // (gstwebrtcbin.c, sdp_media_from_transceiver()).
  std::vector<OfferedFormat> formats;
  bool transport_cc = true; // reports for each packet are wanted
};

// What webrtcbin offered, with the formats in full. `sdp` unchanged when it does not
// parse.
std::string finish_offer(std::string_view sdp, const std::vector<OfferedMedium> &media);
// Of each m-line, in order; empty when it does not parse.
std::vector<std::string> mids_of(std::string_view sdp);

struct AnsweredLine {
  bool accepted = false;     // its port is not 0, and it is in the bundle
  bool active = false;       // it wants to receive
  int payload_type = -1;     // of ours: that decides
  bool transport_cc = false; // reports, and the numbers that they need
  bool rtx = false;
  unsigned max_kbit_s = 0; // a wish: b=AS, b=TIAS or x-google-max-bitrate; 0: none
};

struct Answer {
  std::string sdp; // for webrtcbin; empty when a line was not accepted
  std::string fingerprint;
  std::vector<AnsweredLine> media; // as OfferedMedium
  bool complete() const { return !sdp.empty(); }
};

// Checks as read_offer() does: bounded size, one BUNDLE with our mids in our order, one
// fingerprint, ufrag and pwd, setup active or passive. Whoever wants to send is answered
// as if it did not. nullopt and an OFFER_ERROR `error` otherwise.
std::optional<Answer> read_answer(std::string_view sdp,
                                  const std::vector<std::string> &mids,
                                  const std::vector<OfferedMedium> &media,
                                  GError **error);

} // namespace vdn
