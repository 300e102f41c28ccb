// SPDX-License-Identifier: LGPL-2.1-or-later
// Well-formed offers of one publisher at random: a first one, and later ones in which
// lines are added, removed, reordered, stopped and recycled. One seed, one series.
#pragma once

#include <algorithm>
#include <random>

#include "offers.h"

namespace vdn {

class RandomOffers {
public:
  explicit RandomOffers(unsigned seed) : random_(seed) {
    for (unsigned count = 1 + below(4); count > 0; count--)
      add();
  }

  // The offer as it stands now.
  std::string sdp() {
    std::string group, media;
    std::vector<const Line *> bundle;
    for (const Line &line : lines_)
      if (!line.removed)
        bundle.push_back(&line);
    if (one_in(6)) // the first of the bundle names the transport
      std::shuffle(bundle.begin(), bundle.end(), random_);
    for (const Line *line : bundle)
      group += (group.empty() ? "" : " ") + line->mid;
    for (const Line &line : lines_)
      media += text_of(line);
    return session_lines(group.c_str()) + media;
  }

  void change() {
    switch (below(10)) {
    case 0:
    case 1:
    case 2:
      for (unsigned count = 1 + below(3); count > 0; count--)
        add();
      break;
    case 3:
      any().removed = true;
      break;
    case 4: { // a removed line serves for another, or comes back as it was
      Line &line = any();
      if (line.removed && one_in(2))
        line = new_line();
      line.removed = false;
      break;
    }
    case 5:
      std::shuffle(lines_.begin(), lines_.end(), random_);
      break;
    case 6: // another peer connection, some with credentials that no browser has
      ufrag_ = one_in(2) ? std::to_string(random_()) : std::string(1 + below(600), 'u');
      password_ = std::string(one_in(2) ? 24 : 1 + below(600), 'p');
      break;
    case 7: {
      Line &line = any();
      line.formats = formats_for(line.kind);
      break;
    }
    case 8:
      any().ssrcs = {static_cast<unsigned>(random_() | 1u)};
      break;
    default:
      any().direction = direction();
      break;
    }
  }

  unsigned below(unsigned bound) { return random_() % bound; }
  bool one_in(unsigned count) { return below(count) == 0; }

private:
  struct Line {
    std::string kind, mid, direction;
    std::vector<std::string> formats; // "96 VP8/90000", and lines that go with it
    std::vector<unsigned> ssrcs;
    bool removed = false;
  };

  Line &any() { return lines_[below(lines_.size())]; }
  std::string direction() {
    constexpr const char *kDirections[] = {"sendonly", "sendrecv", "recvonly",
                                           "inactive", "sendonly", "sendrecv"};
    return kDirections[below(6)];
  }
  void add() {
    if (lines_.size() < 12)
      lines_.push_back(new_line());
  }
  Line new_line() {
    const bool data = std::any_of(lines_.begin(), lines_.end(), [](const Line &line) {
      return line.kind == "application" && !line.removed;
    });
    Line line;
    line.kind = !data && one_in(2) ? "application" : one_in(2) ? "audio" : "video";
    line.mid = (one_in(4) ? "mid-" : "") + std::to_string(next_mid_++);
    line.direction = direction();
    line.formats = formats_for(line.kind);
    for (unsigned count = below(3); count > 0; count--)
      line.ssrcs.push_back(static_cast<unsigned>(random_()));
    return line;
  }
  // Each payload type has one meaning in the whole bundle.
  std::vector<std::string> formats_for(const std::string &kind) {
    static const std::vector<std::string> video = {
        "96 VP8/90000",
        "97 rtx/90000\r\na=fmtp:97 apt=96",
        "98 H264/90000\r\na=fmtp:98 level-asymmetry-allowed=1;packetization-mode=1;"
        "profile-level-id=42e01f",
        "99 rtx/90000\r\na=fmtp:99 apt=98",
        "100 H264/90000\r\na=fmtp:100 packetization-mode=0;profile-level-id=640c1f",
        "101 VP9/90000\r\na=fmtp:101 profile-id=2",
        "102 red/90000",
        "103 ulpfec/90000",
        "104 AV1/90000\r\na=fmtp:104 level-idx=5;profile=0;tier=0",
        "105 flexfec-03/90000\r\na=fmtp:105 repair-window=10000000"};
    static const std::vector<std::string> audio = {
        "111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1",
        "63 red/48000/2\r\na=fmtp:63 111/111",
        "9 G722/8000",
        "0 PCMU/8000",
        "8 PCMA/8000",
        "13 CN/8000",
        "110 telephone-event/48000"};
    std::vector<std::string> chosen = kind == "video" ? video : audio;
    if (one_in(3))
      std::shuffle(chosen.begin(), chosen.end(), random_);
    if (one_in(3))
      chosen.resize(1 + below(chosen.size()));
    return chosen;
  }
  std::string text_of(const Line &line) {
    std::string text;
    if (line.kind == "application") {
      text = data_lines(line.mid.c_str());
    } else {
      std::string formats, attributes = "a=" + line.direction + "\r\n";
      for (const std::string &format : line.formats) {
        const std::string type = format.substr(0, format.find(' '));
        formats += (formats.empty() ? "" : " ") + type;
        attributes += "a=rtpmap:" + format + "\r\n";
        for (const char *feedback : {" nack", " nack pli", " ccm fir", " transport-cc"})
          if (line.kind == "video")
            attributes += "a=rtcp-fb:" + type + feedback + "\r\n";
      }
      text = media_lines(line.kind.c_str(), line.mid.c_str(), formats.c_str(),
                         (attributes + odds(line)).c_str());
    }
    text = replace(text, "ufrag:ufrag", "ufrag:" + ufrag_);
    text = replace(text, "passwordpasswordpassword", password_);
    const bool bundle_only = !line.removed && one_in(8);
    if (line.removed || bundle_only)
      text = replace_first(text, " 9 ", " 0 ");
    return bundle_only ? text + "a=bundle-only\r\n" : text;
  }
  // What browsers write besides, and what nobody should.
  std::string odds(const Line &line) {
    std::string text;
    for (unsigned ssrc : line.ssrcs)
      text += "a=ssrc:" + std::to_string(ssrc) +
              " cname:name\r\na=ssrc:" + std::to_string(ssrc) + " msid:stream track\r\n";
    constexpr const char *kOdds[] = {
        "a=ssrc-group:FID 1 2\r\n",
        "a=ssrc:0 cname:none\r\n",
        "a=ssrc\r\n",
        "a=ssrc:17\r\n",
        "a=rid:hi send\r\na=rid:lo send\r\na=simulcast:send hi;lo\r\n",
        "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
        "a=extmap:2 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n"
        "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n",
        "a=extmap:4/sendonly http://www.ietf.org/id/"
        "draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n",
        "a=extmap-allow-mixed\r\n",
        "a=msid:- track\r\n",
        "a=rtcp:9 IN IP4 0.0.0.0\r\na=rtcp-rsize\r\n",
        "a=candidate:1 1 udp 2122260223 127.0.0.1 9 typ host generation 0\r\n",
        "a=candidate:x\r\n",
        "a=end-of-candidates\r\n",
        "a=framerate:30\r\na=framesize:96 640-360\r\n",
        "a=imageattr:96 send [x=640,y=360] recv *\r\n",
        "a=fmtp:96 payload=200;encoding-name=H264;clock-rate=1;media=audio\r\n",
        "a=ts-refclk:ptp=IEEE1588-2008:\r\na=mediaclk:direct=1\r\n",
        "a=fmtp:96 a-ts-refclk=ptp=IEEE1588-2008:;extmap-1=urn:x;ssrc-1-cname=x\r\n",
        "a=fmtp:111 =;;a;a=;stereo=1;stereo=2\r\n",
        "a=rtcp-fb:* nack\r\na=rtcp-fb:96\r\na=rtcp-fb:200 nack\r\n",
        "a=ptime:20\r\na=maxptime:60\r\n",
        "b=AS:30\r\nb=X-Y:none\r\n",
        "a=x-google-flag:conference\r\n",
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n",
    };
    for (const char *odd : kOdds)
      if (one_in(8))
        text += odd;
    return text;
  }

  std::mt19937 random_;
  std::vector<Line> lines_;
  std::string ufrag_ = "ufrag", password_ = "passwordpasswordpassword";
  unsigned next_mid_ = 0;
};

} // namespace vdn
