// SPDX-License-Identifier: LGPL-2.1-or-later
// What the two halves of read_offer() share: offer.cpp checks what is common to all
// m-lines, offer-media.cpp what each of them says. Thread: any.
#pragma once

#include "offer.h"
#include "sdp-check.h"

namespace vdn {

constexpr const char *kDirections[] = {"sendrecv", "sendonly", "recvonly", "inactive"};

// The m= line of a section.
struct MediaHead {
  std::string_view kind;
  unsigned port = 0;
  std::vector<std::string_view> formats;
};

std::optional<MediaHead> read_head(const SdpSection &media);

// Adds m-line `index` to `offer`, and takes out of it what we would not honour.
bool read_media(SdpText *text, size_t index, Offer *offer, GError **error);

// In a bundle the payload type alone may have to tell packets apart.
bool check_payload_types(const Offer &offer, GError **error);

} // namespace vdn
