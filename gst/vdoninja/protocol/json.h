// SPDX-License-Identifier: LGPL-2.1-or-later
// json-glib made safe for hostile text, and JSON that every client family decodes alike.
// Thread: any.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <json-glib/json-glib.h>

#include "glib-ptr.h"

namespace vdn {

using JsonNodePtr = std::unique_ptr<JsonNode, Releaser<json_node_unref>>;
using JsonObjectPtr = std::unique_ptr<JsonObject, Releaser<json_object_unref>>;

// json-glib parses and frees recursively: without a bound, brackets exhaust the stack.
constexpr int kMaxJsonDepth = 32;

// The object or array that `text` holds, null when it is not JSON (UTF-8, no comments or
// other extensions of json-glib) or nested deeper than kMaxJsonDepth.
JsonNodePtr parse_json(std::string_view text);

// In ASCII, everything else as \uXXXX: the web client reads bytes as Latin-1 after
// decryption, the others as UTF-8. Source: vdo.ninja webrtc.js decryptMessage(), v26.1.
std::string to_json(JsonNode *node);
std::string to_json(JsonObject *object);

} // namespace vdn
