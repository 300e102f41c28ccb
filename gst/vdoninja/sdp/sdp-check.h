// SPDX-License-Identifier: LGPL-2.1-or-later
// What is checked of every description that comes from outside, offer or answer, before
// anything else looks at it. Pure functions. Thread: any.
#pragma once

#include <string>

#include "offer.h"
#include "sdp-lines.h"

namespace vdn {

// Sets `error` to `problem`. Returns false.
bool refuse_sdp(GError **error, OfferError code, const char *problem);

// Its size, and that of its lines.
bool check_limits(std::string_view sdp, GError **error);

// Takes out the attributes that nobody needs here.
void keep_known(SdpText *text);

// Attributes that may stand once for all m-lines: webrtcbin reads some only there.
void copy_down(SdpText *text, const char *name);

// The one value of `name` that every m-line has; empty and `error` otherwise.
std::string common_value(const SdpText &text, const char *name, OfferError code,
                         GError **error);

// Leaves the one fingerprint of all m-lines in each of them.
bool settle_fingerprint(SdpText *text, std::string *fingerprint, GError **error);

// Takes out candidates that webrtcbin must not be given, and keys.
void keep_candidates(SdpText *text);

} // namespace vdn
