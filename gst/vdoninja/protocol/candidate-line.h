// SPDX-License-Identifier: LGPL-2.1-or-later
// The text of an ICE candidate, as messages and SDP carry it. Thread: any.
#pragma once

#include <cstddef>
#include <string_view>

namespace vdn {

constexpr size_t kMaxCandidateBytes = 1024;

// Whether `text`, "candidate:..." without "a=", has the form of RFC 8839 5.1, over TCP of
// RFC 6544 4.5, and is of the one component that there is. Names and addresses are not
// looked at: webrtcbin and libnice drop what they do not know. But webrtcbin takes what
// does not begin so for the end of candidates, and libnice 0.1.21 (agent.c) reads a
// tcptype that is not there (nice_agent_parse_remote_candidate_sdp) and warns of
// components that it has not got (nice_agent_set_remote_candidates).
bool is_candidate_line(std::string_view text);

// The address of such a line where it is a name of multicast DNS, behind which browsers
// hide addresses (draft-ietf-mmusic-mdns-ice-candidates); else empty.
std::string_view hidden_address(std::string_view line);

} // namespace vdn
