// SPDX-License-Identifier: LGPL-2.1-or-later
// Envelopes: the input once as hex text, once as what comes out of a proper envelope.
#include "message.h"
#include "strict-log.h"

using namespace vdn;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const Secret secret("hunter2", "vdo.ninja");
  const std::string_view text(reinterpret_cast<const char *>(data), size);
  const Iv iv{};
  const std::string vector = to_hex(iv.data(), iv.size());
  GError *raw = nullptr;
  g_assert(secret.decrypt(text, vector, &raw).has_value() == (raw == nullptr));
  g_clear_error(&raw);
  const std::string cipher = secret.encrypt(text, iv);
  g_assert(secret.decrypt(cipher, vector, nullptr) == std::string(text));
  for (const char *key : {"description", "candidates", "candidate"}) {
    const std::string message =
        std::string("{\"") + key + "\":\"" + cipher + "\",\"vector\":\"" + vector + "\"}";
    parse_message(message, nullptr, secret, nullptr);
  }
  return 0;
}
