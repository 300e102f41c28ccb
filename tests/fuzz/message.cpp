// SPDX-License-Identifier: LGPL-2.1-or-later
// Messages of the socket, both dialects, and of the data channel, where viewers ask.
#include "control.h"
#include "message.h"
#include "strict-log.h"

using namespace vdn;

namespace {

void check(std::string_view text, const Address *me) {
  static const Secret secret(nullptr, "vdo.ninja");
  GError *raw = nullptr;
  const auto message = parse_message(text, me, secret, &raw);
  const ErrorPtr error(raw);
  g_assert(message.has_value() == (raw == nullptr));
  if (!message)
    return;
  g_assert(message->candidates.size() <= kMaxCandidates);
  g_assert(message->members.size() <= kMaxListMembers);
  g_assert(g_utf8_validate(message->text.c_str(), -1, nullptr));
  if (message->ping)
    g_assert(parse_message(encode_pong(*message->ping), nullptr, secret, nullptr));
  if (!message->description)
    return;
  // What was read can be written and read again.
  Envelope to;
  to.me = me;
  to.session = message->session;
  const auto again = parse_message(encode_description(to, *message->description), nullptr,
                                   secret, nullptr);
  g_assert(again && again->description->sdp == message->description->sdp);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const std::string_view text(reinterpret_cast<const char *>(data), size);
  const Address hosted, custom = {Dialect::kCustom, "me", "room"};
  for (const Address *me : {&hosted, &custom, static_cast<const Address *>(nullptr)})
    check(text, me);
  if (const auto request = parse_viewer_request(text)) {
    g_assert(request->video_bitrate.value_or(0) >= -1);
    g_assert(!request->label || g_utf8_validate(request->label->c_str(), -1, nullptr));
    for (const auto &name : request->refused)
      encode_rejected(name);
  }
  return 0;
}
