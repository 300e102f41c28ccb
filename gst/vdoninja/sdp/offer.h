// SPDX-License-Identifier: LGPL-2.1-or-later
// A publisher's SDP offer, checked and put into the form that webrtcbin 1.22 takes, and
// the finishing touches of our answer. Pure functions. Thread: any (gst_init() must have
// run).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gst-ptr.h"

namespace vdn {

constexpr size_t kMaxOfferLines = 4000;
constexpr size_t kMaxOfferLineLength = 4096;
constexpr size_t kMaxMediaLines = 32;

enum class MediaKind { kVideo, kAudio };

// One payload type that the publisher can send.
struct Format {
  int payload_type = -1;
  std::string encoding; // upper case: "H264", "VP8", "OPUS", ...
  int clock_rate = 0;
  std::string fmtp; // parameters as offered, empty if none
};

struct MediaLine {
  unsigned index = 0; // m-line index
  std::string mid;
  MediaKind kind = MediaKind::kVideo;
  bool active = false; // the publisher sends on it: port is not 0, sendrecv or sendonly
  bool screen = false; // a screen share beside the camera, as the message said
  std::vector<Format> formats;           // in the offered order; rtx, red, fec left out
  std::map<int, std::string> extensions; // id -> URI, those that we take
};

struct Offer {
  std::string sdp; // sanitised
  std::string ice_ufrag;
  std::string fingerprint; // "sha-256 AA:BB:...": algorithm lower case, hex upper case
  std::vector<MediaLine> media; // audio and video only
  // What each payload type of the bundle stands for, rtx, red and fec among them.
  std::map<int, std::string> payload_types;
  int data_mline = -1;
  std::vector<std::string> mids; // of every m-line, in order
  std::set<unsigned> ssrcs;      // announced for audio and video, each with a cname
  std::vector<unsigned> removed; // m-lines with port 0; in `sdp` they are inactive
};

// A stream and what of it: the camera, the screen that is shared beside it, or both.
struct WantedStream {
  std::string id; // sanitised
  bool camera = true;
  bool screen = false;
};

enum OfferError { OFFER_ERROR_SIZE, OFFER_ERROR_SYNTAX, OFFER_ERROR_SECURITY };
GQuark offer_error_quark();

// Checks and sanitises: bounded size; at least one m-line, each with its own mid and
// setup and all with the same ufrag, pwd and fingerprint (what stands at session level is
// copied to each m-line and removed, different values are refused); one BUNDLE of every
// m-line that is not removed, so that there is one DTLS transport to be checked, in `sdp`
// in the order of the m-lines; one data channel at most; no payload type with two
// meanings; SSRCs only for media; video-orientation and other header extensions that we
// do not take are removed, so that senders rotate before they encode; transport-cc is
// kept only where `rtphdrexttwcc` is installed.
std::optional<Offer> read_offer(std::string_view sdp, GError **error);

// Marks the lines that the publisher named as screen shares, by their place among audio
// and video, and those that were marked in `before` (may be NULL): later offers need not
// repeat it.
void mark_screens(Offer *offer, const std::vector<int> &indexes, const Offer *before);

// Makes webrtcbin answer `inactive` on m-line `index`: for media that nobody wants or
// that nothing here can decode. To be repeated for each later offer of the session.
void decline(Offer *offer, unsigned index);

// True when `next` may be applied to the webrtcbin that serves `current`: same ICE
// credentials and fingerprint, m-lines only added, no direction change that 1.22 refuses,
// every format kept and no payload type given to another one.
// `why` names the difference otherwise.
bool continues(const Offer &current, const Offer &next, std::string *why);

// The format to ask for: the first of `encodings` (upper case, in order of preference)
// that `line` offers. H.264: packetization-mode 1 before 0, then constrained baseline,
// baseline, main, high; others: the lowest profile. NULL when none is offered.
const Format *choose_format(const MediaLine &line,
                            const std::vector<std::string> &encodings);

// Caps for the transceiver's `codec-preferences`: exactly this payload type with the
// header extensions that we take; webrtcbin adds fmtp and rtcp-fb of the offer. `do-nack`
// has to be set beside it, or the answer has neither nack nor rtx.
CapsPtr codec_preferences(const MediaLine &line, const Format &format);

struct AnswerHints {
  unsigned video_bitrate =
      0; // kbit/s, 0: let browsers start high and use their own maximum
  bool stereo = false;
};
// The answer as it is sent: the start bitrate in the fmtp line of the first video payload
// type, and min, max, b=AS and b=TIAS when video_bitrate is set. `sdp` unchanged when it
// does not parse. The local description stays without these.
std::string finish_answer(std::string_view sdp, const Offer &offer,
                          const AnswerHints &hints);

} // namespace vdn
