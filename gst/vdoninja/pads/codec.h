// SPDX-License-Identifier: LGPL-2.1-or-later
// The codecs that can arrive, the elements that each needs, and the choice of a decoder.
// Thread: any.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "gst-ptr.h"
#include "offer.h"

namespace vdn {

enum class Form { kRaw, kEncoded, kRtp };

struct Codec {
  const char *encoding; // as in SDP, upper case
  const char *name;     // for people
  MediaKind kind;
  const char *caps; // of the encoded stream between depayloader and decoder
  const char *depayloader;
  const char *parser;          // NULL: none needed
  const char *decoder_package; // of Debian
  const char *depayloader_package = "gstreamer1.0-plugins-good";
};

// In our order of preference, which is that of browsers' hardware support.
const std::vector<Codec> &known_codecs();
const Codec *find_codec(const std::string &encoding);

// The installed decoders for `codec`, best rank first.
std::vector<ObjPtr<GstElementFactory>> decoders_for(const Codec &codec);
// Whether everything is installed to deliver `codec` as `form`. `missing`: what is not,
// as a sentence that names the Debian package.
bool can_deliver(const Codec &codec, Form form, std::string *missing);

// The message by which players offer to install what is missing, NULL when nothing is.
// (transfer full)
GstMessage *missing_plugin_message(GstElement *element, const Codec &codec, Form form);

// The first decoder that reaches READY, in `home` for that time, so that what it needs is
// asked for on the bus: `wanted` (a factory name or a bin description)
// alone if set, and only as long as `failed` is empty; otherwise by rank, without those
// named in `failed`. `setup` sees each
// candidate before it starts. NULL and `error` when none does.
ObjPtr<GstElement>
make_decoder(GstBin *home, const Codec &codec, const std::string &wanted,
             const std::vector<std::string> &failed, bool conceal_errors,
             const std::function<void(GstElement *)> &setup, GError **error);

} // namespace vdn
