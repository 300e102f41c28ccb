// SPDX-License-Identifier: LGPL-2.1-or-later
// The codecs that can be sent, and what each needs. Thread: any.
#pragma once

#include <string_view>
#include <vector>

#include "gst-ptr.h"

namespace vdn {

enum class Encoding { kH264, kH265, kVp8, kVp9, kAv1, kOpus };

struct EncodingFacts {
  Encoding encoding;
  const char *name; // as in SDP and in `video-codecs`
  bool video;
  unsigned clock_rate;
  const char *media_type; // of its caps
  // What is handed on: parameter sets in the caps, a picture per buffer, so that a
  // payloader can announce all of it before a frame comes.
  const char *form;
  const char *parser;    // from anything of `media_type` to `form`; NULL: none needed
  const char *payloader; // launch text, without what all have
  const char *package;   // of Debian, with an encoder
};

const std::vector<EncodingFacts> &known_encodings();
const EncodingFacts &facts_of(Encoding encoding);
// By the names above, in any case; NULL for anything else.
const EncodingFacts *find_encoding(std::string_view name);
// The one that caps like these are of, NULL for raw and unknown ones.
const EncodingFacts *encoding_of(const GstCaps *caps);
// Whether parser and payloader are installed: AV1's is not in Debian.
bool can_send(Encoding encoding);
// Whether there is an element of that name.
bool has_factory(const char *name);

} // namespace vdn
