// SPDX-License-Identifier: LGPL-2.1-or-later
// What both elements have to be told to find others: server, room, secret, ICE, TLS; and
// what presence and connections need made of it. Thread: any.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "connection.h"
#include "link.h"
#include "presence.h"

namespace vdn {

constexpr const char *kDefaultServer = "wss://wss.vdo.ninja:443";

enum class SignalingChoice { kAuto, kHosted, kCustom };

// Properties as one value. Copied under the element's lock; then anybody's. Empty strings
// stand for unset.
struct ConnectionSettings {
  std::string room;
  std::string password;
  std::string server = kDefaultServer;
  SignalingChoice signaling = SignalingChoice::kAuto;
  std::string salt;
  std::string label;
  bool stun_set = false; // otherwise the service's own
  std::string stun_server;
  std::vector<std::string> turn_servers;
  bool relay_only = false;
  GTlsCertificateFlags tls_flags = G_TLS_CERTIFICATE_VALIDATE_ALL;
  ObjPtr<GTlsDatabase> tls_database;
  std::string location;       // of the link that was taken, without its password
  std::string location_error; // why a link was not
  std::vector<std::string> location_unsupported; // parameters without a meaning here
  std::string room_token;                        // only a link can say it
};

// Takes over what `link` says of all that.
void apply_connection_link(const Link &link, ConnectionSettings *settings);

struct ConnectionPlan {
  PresenceConfig presence;
  ConnectionConfig connection; // template
};

// Checks `settings`, fills `plan` and adds to `warnings` sentences for the user. False
// and a GST_RESOURCE_ERROR_SETTINGS `error` when they cannot work. Asks the kernel for
// addresses, never the network.
bool plan_connection(const ConnectionSettings &settings, ConnectionPlan *plan,
                     std::vector<std::string> *warnings, GError **error);

// A stream id as it will be looked for. False and `error` when nothing of it is left.
// `warnings`: when it is not what the user wrote, or others would not find it.
bool check_stream_id(const std::string &given, bool encrypted, std::string *clean,
                     std::vector<std::string> *warnings, GError **error);

Secret make_secret(const ConnectionSettings &settings);

// Sets a GST_RESOURCE_ERROR_SETTINGS error. Returns false.
bool refuse_settings(GError **error, const std::string &text);

} // namespace vdn
