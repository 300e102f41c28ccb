// SPDX-License-Identifier: LGPL-2.1-or-later
// Fingerprints of DTLS certificates, as SDP has them. Pure functions. Thread: any.
#pragma once

#include <string>
#include <string_view>

namespace vdn {

// "sha-256 AA:BB:...": algorithm lower case, hex upper case; empty when `value` is none.
std::string normalize_fingerprint(std::string_view value);

// The same of a PEM certificate, "" when it does not parse. `algorithm` as in the SDP;
// sha-1 to sha-512.
std::string certificate_fingerprint(const char *pem, std::string_view algorithm);

} // namespace vdn
