// SPDX-License-Identifier: LGPL-2.1-or-later
#include "settings.h"

#include <algorithm>

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

void refuse(GError **error, const std::string &text) {
  g_set_error_literal(error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS,
                      text.c_str());
}

void want(std::vector<WantedStream> *streams, const std::string &id, bool screen) {
  auto at = std::find_if(streams->begin(), streams->end(),
                         [&](const auto &stream) { return stream.id == id; });
  if (at == streams->end())
    at = streams->insert(at, {id, false, false});
  (screen ? at->screen : at->camera) = true;
}

bool read_ids(const Settings &settings, Plan *plan, GError **error) {
  g_auto(GStrv) ids = g_strsplit(settings.stream_id.c_str(), ",", -1);
  bool encrypted = make_secret(settings).enabled();
  for (char **id = ids; *id; id++) {
    std::string given = g_strstrip(*id);
    bool screen = take_screen_suffix(&given);
    std::string clean = sanitize_stream_id(given);
    if (given.empty())
      continue;
    if (clean.find_first_not_of('_') == std::string::npos) {
      refuse(error, "stream-id \"" + given +
                        "\" has no letter or digit; it may hold A-Z, "
                        "a-z, 0-9 and _");
      return false;
    }
    if (clean != given)
      plan->warnings.push_back("stream-id \"" + given +
                               "\" has characters outside A-Z, a-z, "
                               "0-9 and _ or is too long; looking for \"" +
                               clean + "\", as web publishers announce it");
    if (encrypted && clean.size() > kMaxWireIdLength)
      plan->warnings.push_back(
          "stream-id \"" + clean + "\" is longer than " +
          std::to_string(kMaxWireIdLength) +
          " characters; publishers other than web browsers will not be "
          "found, choose a shorter one");
    want(&plan->viewer.streams, clean, screen);
  }
  if (!settings.room.empty()) {
    plan->viewer.room = sanitize_room(settings.room);
    if (plan->viewer.room != settings.room)
      plan->warnings.push_back(
          "room \"" + settings.room +
          "\" has characters outside A-Z, a-z, 0-9 and _ or is too long; "
          "joining \"" +
          plan->viewer.room + "\"");
  }
  if (plan->viewer.streams.empty() && plan->viewer.room.empty()) {
    refuse(error,
           settings.published.empty()
               ? "nothing to play: set stream-id, as in vdoninjasrc stream-id=abc"
               : "nothing to play: the link publishes \"" + settings.published +
                     "\"; to view that stream set stream-id=" + settings.published +
                     ", or room=" + settings.published + " if it is a room");
    return false;
  }
  return true;
}

bool read_codecs(const Settings &settings, Plan *plan, GError **error) {
  std::string known;
  for (const auto &codec : known_codecs())
    if (codec.kind == MediaKind::kVideo)
      known += std::string(known.empty() ? "" : ", ") + codec.encoding;
  for (const auto &name : settings.video_codecs) {
    std::string upper = StrPtr(g_ascii_strup(name.c_str(), -1)).get();
    const Codec *codec = find_codec(upper);
    if (!codec || codec->kind != MediaKind::kVideo) {
      refuse(error,
             "video-codecs: \"" + name + "\" is not known here; choose from " + known);
      return false;
    }
    plan->outputs.video_codecs.push_back(upper);
  }
  return true;
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

bool check_ice_servers(const Settings &settings, GError **error) {
  for (const auto &server : settings.turn_servers) {
    GError *raw = nullptr;
    if (!read_turn_server(server, &raw)) {
      const ErrorPtr cause(raw);
      refuse(error, std::string("turn-servers: ") + cause->message);
      return false;
    }
  }
  if (!settings.stun_server.empty() && !is_stun_server(settings.stun_server)) {
    refuse(error, "stun-server \"" + settings.stun_server + "\" is not stun://host:port");
    return false;
  }
  if (settings.relay_only && settings.turn_servers.empty()) {
    refuse(error, "ice-transport-policy=relay connects by relays only: set turn-servers");
    return false;
  }
  return true;
}

// Those without a property of their own.
void apply_wishes(const Link &link, Settings *to) {
  to->excluded.clear();
  for (const auto &id : link.exclude)
    to->excluded.push_back(sanitize_stream_id(id));
  to->room_token = link.token;
  to->total_bitrate = link.total_bitrate;
  to->allow_plain = link.allow_plain;
  to->stereo = link.stereo.value_or(false);
  Wishes wishes;
  wishes.scene = link.scene.value_or("");
  wishes.show_director = link.show_director.value_or(wishes.show_director);
  wishes.keyframe_interval = link.keyframe_interval;
  wishes.scale = link.scale;
  wishes.max_width = link.width;
  wishes.max_height = link.height;
  wishes.audio_bitrate = link.audio_bitrate;
  to->wishes = wishes;
}

// The parameters that change nothing here, known or not.
std::vector<std::string> unsupported(const Link &link) {
  std::vector<std::string> names = link.unsupported;
  auto add = [&](const char *name, bool given) {
    if (given)
      names.emplace_back(name);
  };
  add("hash", !link.hash.empty());
  add("directoronly", link.only_director);
  add("novideo", !link.video_from.empty());
  add("noaudio", !link.audio_from.empty());
  add("excludeaudio", !link.audio_not_from.empty());
  add("h264profile", !link.h264_profile.empty());
  add("retry", link.retry.has_value());
  add("addstun", link.stun_servers.size() > 1);
  return names;
}

} // namespace

bool apply_link(const char *text, Settings *settings, GError **error) {
  GError *raw = nullptr;
  auto link = parse_link(text, &raw);
  ErrorPtr cause(raw);
  if (!link) {
    g_set_error_literal(error, GST_URI_ERROR, GST_URI_ERROR_BAD_URI, cause->message);
    return false;
  }
  Settings &to = *settings;
  to.stream_id.clear();
  for (const auto &stream : link->streams)
    to.stream_id += (to.stream_id.empty() ? "" : ",") + stream.id +
                    (stream.screen ? kScreenSuffix : "");
  to.room = link->room;
  to.password = link->encrypted ? link->password : "false";
  to.salt = link->salt;
  if (!link->server.empty())
    to.server = link->server;
  if (link->dialect)
    to.signaling = *link->dialect == Dialect::kHosted ? GST_VDONINJA_SIGNALING_HOSTED
                                                      : GST_VDONINJA_SIGNALING_CUSTOM;
  if (!link->label.empty())
    to.label = link->label;
  // A bitrate of 0 asks for no video.
  const auto &bitrates = link->video_bitrates;
  to.enable_video = link->video && (bitrates.empty() || bitrates.front() > 0);
  to.enable_audio = link->audio;
  to.relay_only = link->relay_only;
  if (!link->video_codecs.empty())
    to.video_codecs = link->video_codecs;
  if (!bitrates.empty() && bitrates.front() > 0)
    to.video_bitrate = bitrates.front();
  if (link->latency)
    to.latency = static_cast<int>(std::min<unsigned>(*link->latency, kMaxLatency));
  to.max_streams = std::min(link->max_streams.value_or(to.max_streams), kMaxStreamsLimit);
  if (!link->default_stun || !link->stun_servers.empty()) {
    to.stun_set = true;
    to.stun_server = link->stun_servers.empty() ? "" : link->stun_servers.front();
  }
  if (!link->turn_servers.empty())
    to.turn_servers = link->turn_servers;
  if (link->lan_only) {
    to.stun_set = true;
    to.stun_server.clear();
    to.turn_servers.clear();
  }
  apply_wishes(*link, &to);
  to.published = link->published;
  to.location = link_to_uri(*link);
  to.location_unsupported = unsupported(*link);
  return true;
}

Secret make_secret(const Settings &settings) {
  return Secret(settings.password.c_str(),
                settings.salt.empty() ? kDefaultSalt : settings.salt);
}

bool make_plan(const Settings &settings, Plan *plan, GError **error) {
  GError *raw = nullptr;
  std::string host;
  if (!check_server_url(settings.server.c_str(), &host, &raw)) {
    ErrorPtr cause(raw);
    refuse(error, cause->message);
    return false;
  }
  if (!settings.location_error.empty()) {
    refuse(error, "location: " + settings.location_error);
    return false;
  }
  for (const auto &name : settings.location_unsupported)
    plan->warnings.push_back("the link's parameter \"" + name +
                             "\" has no meaning here and is ignored");
  if (!read_ids(settings, plan, error) || !read_codecs(settings, plan, error) ||
      !check_ice_servers(settings, error))
    return false;

  ViewerConfig &viewer = plan->viewer;
  bool hosted = settings.signaling == GST_VDONINJA_SIGNALING_AUTO
                    ? is_hosted(host)
                    : settings.signaling == GST_VDONINJA_SIGNALING_HOSTED;
  viewer.dialect = hosted ? Dialect::kHosted : Dialect::kCustom;
  viewer.signaling.url = settings.server;
  viewer.signaling.tls_flags = settings.tls_flags;
  viewer.signaling.tls_database = settings.tls_database;
  viewer.signaling.user_agent = "gst-vdoninja/" VERSION;
  if (settings.server == kDefaultServer)
    viewer.fallback_url = kFallbackServer;
  viewer.max_streams = settings.max_streams;
  viewer.remove_on_leave = settings.on_leave == GST_VDONINJA_ON_LEAVE_REMOVE;

  SessionConfig &session = viewer.session;
  session.stun_server = settings.stun_set ? settings.stun_server
                        : is_hosted(host) ? kServiceStun
                                          : "";
  session.turn_servers = settings.turn_servers;
  session.relay_only = settings.relay_only;
  session.hints.video_bitrate = settings.video_bitrate;
  if (!settings.video_bitrate)
    viewer.total_bitrate = settings.total_bitrate.value_or(0);
  session.hints.stereo = settings.stereo;
  session.allow_plain = settings.allow_plain;
  session.gather_on_loopback = is_loopback(host);

  viewer.excluded = settings.excluded;
  viewer.room_token = settings.room_token;
  viewer.wishes = settings.wishes;
  viewer.wishes.audio = settings.enable_audio;
  viewer.wishes.video = settings.enable_video;
  if (!viewer.room.empty() && viewer.wishes.scene.empty())
    viewer.wishes.scene = "0";
  viewer.wishes.label = settings.label;
  viewer.wishes.version = "gst-vdoninja/" VERSION;

  plan->timeout_s = settings.timeout_s;
  OutputConfig &outputs = plan->outputs;
  if (!outputs.video_codecs.empty())
    viewer.wishes.video_codec =
        StrPtr(g_ascii_strdown(outputs.video_codecs.front().c_str(), -1)).get();
  outputs.video_decoder = settings.video_decoder;
  outputs.form = settings.output_format;
  outputs.conceal_errors = settings.conceal_errors;
  outputs.video = settings.enable_video;
  outputs.audio = settings.enable_audio;
  outputs.latency = settings.latency;
  return true;
}

} // namespace vdn
