// SPDX-License-Identifier: LGPL-2.1-or-later
// Brings media under a UdpRelay: in messages on their way through a handshake server.
// Thread: any.
#pragma once

#include <string>

#include "udp-relay.h"

namespace vdn {

// `text`: a message in clear. Its candidates on 127.0.0.1 are changed to lead through
// `relay`, where its session is a path; all others are left out, and so are those that
// an SDP holds. False when nothing is left of the message.
bool lead_through(UdpRelay &relay, std::string *text);

} // namespace vdn
