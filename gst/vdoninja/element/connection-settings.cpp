// SPDX-License-Identifier: LGPL-2.1-or-later
#include "connection-settings.h"

#include "turn-server.h"

namespace vdn {

namespace {

constexpr const char *kFallbackServer = "wss://proxywss.rtc.ninja:443";
constexpr const char *kServiceStun = "stun://stun.cloudflare.com:3478";
constexpr const char *kDefaultSalt = "vdo.ninja";

bool is_hosted(const std::string &host) {
  return host == "wss.vdo.ninja" || host == "apibackup.vdo.ninja" ||
         host == "proxywss.rtc.ninja";
}

bool is_loopback(const std::string &host) {
  if (host == "localhost")
    return true;
  auto address =
      ObjPtr<GInetAddress>::adopt(g_inet_address_new_from_string(host.c_str()));
  return address && g_inet_address_get_is_loopback(address.get());
}

bool is_stun_server(const std::string &text) {
  GUri *uri = g_uri_parse(text.c_str(), G_URI_FLAGS_ENCODED, nullptr);
  if (!uri)
    return false;
  const char *host = g_uri_get_host(uri);
  const bool usable = g_str_equal(g_uri_get_scheme(uri), "stun") && host && *host;
  g_uri_unref(uri);
  return usable;
}

bool check_ice_servers(const ConnectionSettings &settings, GError **error) {
  for (const auto &server : settings.turn_servers) {
    GError *raw = nullptr;
    if (!read_turn_server(server, &raw)) {
      const ErrorPtr cause(raw);
      return refuse_settings(error, std::string("turn-servers: ") + cause->message);
    }
  }
  if (!settings.stun_server.empty() && !is_stun_server(settings.stun_server))
    return refuse_settings(error, "stun-server \"" + settings.stun_server +
                                      "\" is not stun://host:port");
  return !settings.relay_only || !settings.turn_servers.empty() ||
         refuse_settings(
             error,
             "ice-transport-policy=relay connects by relays only: set turn-servers");
}

void plan_room(const ConnectionSettings &settings, PresenceConfig *presence,
               std::vector<std::string> *warnings) {
  if (settings.room.empty())
    return;
  presence->room = sanitize_room(settings.room);
  presence->room_token = settings.room_token;
  if (presence->room != settings.room)
    warnings->push_back("room \"" + settings.room +
                        "\" has characters outside A-Z, a-z, 0-9 and _ or is too long; "
                        "joining \"" +
                        presence->room + "\"");
}

} // namespace

bool refuse_settings(GError **error, const std::string &text) {
  g_set_error_literal(error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS,
                      text.c_str());
  return false;
}

Secret make_secret(const ConnectionSettings &settings) {
  return Secret(settings.password.c_str(),
                settings.salt.empty() ? kDefaultSalt : settings.salt);
}

bool check_stream_id(const std::string &given, bool encrypted, std::string *clean,
                     std::vector<std::string> *warnings, GError **error) {
  *clean = sanitize_stream_id(given);
  if (clean->find_first_not_of('_') == std::string::npos)
    return refuse_settings(error, "stream-id \"" + given +
                                      "\" has no letter or digit; it may hold A-Z, "
                                      "a-z, 0-9 and _");
  if (*clean != given)
    warnings->push_back("stream-id \"" + given +
                        "\" has characters outside A-Z, a-z, 0-9 and _ or is too long; "
                        "looking for \"" +
                        *clean + "\", as web publishers announce it");
  if (encrypted && clean->size() > kMaxWireIdLength)
    warnings->push_back("stream-id \"" + *clean + "\" is longer than " +
                        std::to_string(kMaxWireIdLength) +
                        " characters; publishers other than web browsers will not be "
                        "found, choose a shorter one");
  return true;
}

void apply_connection_link(const Link &link, ConnectionSettings *settings) {
  ConnectionSettings &to = *settings;
  to.room = link.room;
  to.room_token = link.token;
  to.password = link.encrypted ? link.password : "false";
  to.salt = link.salt;
  if (!link.server.empty())
    to.server = link.server;
  if (link.dialect)
    to.signaling = *link.dialect == Dialect::kHosted ? SignalingChoice::kHosted
                                                     : SignalingChoice::kCustom;
  if (!link.label.empty())
    to.label = link.label;
  to.relay_only = link.relay_only;
  if (!link.default_stun || !link.stun_servers.empty()) {
    to.stun_set = true;
    to.stun_server = link.stun_servers.empty() ? "" : link.stun_servers.front();
  }
  if (!link.turn_servers.empty())
    to.turn_servers = link.turn_servers;
  if (link.lan_only) {
    to.stun_set = true;
    to.stun_server.clear();
    to.turn_servers.clear();
  }
  to.location = link_to_uri(link);
}

bool plan_connection(const ConnectionSettings &settings, ConnectionPlan *plan,
                     std::vector<std::string> *warnings, GError **error) {
  GError *raw = nullptr;
  std::string host;
  if (!check_server_url(settings.server.c_str(), &host, &raw)) {
    const ErrorPtr cause(raw);
    return refuse_settings(error, cause->message);
  }
  if (!settings.location_error.empty())
    return refuse_settings(error, "location: " + settings.location_error);
  for (const auto &name : settings.location_unsupported)
    warnings->push_back("the link's parameter \"" + name +
                        "\" has no meaning here and is ignored");
  if (!check_ice_servers(settings, error))
    return false;
  PresenceConfig &presence = plan->presence;
  plan_room(settings, &presence, warnings);
  const bool hosted = settings.signaling == SignalingChoice::kAuto
                          ? is_hosted(host)
                          : settings.signaling == SignalingChoice::kHosted;
  presence.dialect = hosted ? Dialect::kHosted : Dialect::kCustom;
  presence.signaling.url = settings.server;
  presence.signaling.tls_flags = settings.tls_flags;
  presence.signaling.tls_database = settings.tls_database;
  presence.signaling.user_agent = "gst-vdoninja/" VERSION;
  if (settings.server == kDefaultServer)
    presence.fallback_url = kFallbackServer;

  ConnectionConfig &connection = plan->connection;
  connection.stun_server = settings.stun_set ? settings.stun_server
                           : is_hosted(host) ? kServiceStun
                                             : "";
  connection.turn_servers = settings.turn_servers;
  connection.relay_only = settings.relay_only;
  connection.gather_on_loopback = is_loopback(host);
  return true;
}

} // namespace vdn
