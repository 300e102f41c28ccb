// SPDX-License-Identifier: LGPL-2.1-or-later
#include <cstring>

#include "link.h"

namespace vdn {

namespace {

std::string join(const std::vector<std::string> &parts) {
  std::string result;
  for (const std::string &part : parts)
    result.append(result.empty() ? "" : ",").append(part);
  return result;
}

class UriWriter {
public:
  explicit UriWriter(std::string start) : uri_(std::move(start)) {}

  void add(const char *name, const std::string &value) {
    if (value.empty())
      return;
    flag(name, true);
    uri_.append("=").append(
        StrPtr(g_uri_escape_string(value.c_str(), "!*'(),:", FALSE)).get());
  }
  void add(const char *name, const std::optional<unsigned> &value) {
    if (value)
      add(name, std::to_string(*value));
  }
  void flag(const char *name, bool on) {
    if (!on)
      return;
    uri_.append(first_ ? "?" : "&").append(name);
    first_ = false;
  }
  std::string take() { return std::move(uri_); }

private:
  std::string uri_;
  bool first_ = true;
};

void add_ids(UriWriter *uri, const Link &link) {
  std::vector<std::string> ids;
  for (const LinkStream &stream : link.streams)
    ids.push_back(stream.id + (stream.screen ? kScreenSuffix : ""));
  uri->add("view", join(ids));
  uri->add("push", link.published);
  uri->add("exclude", join(link.exclude));
  uri->add("room", link.room);
  uri->flag("nopassword", !link.encrypted);
  uri->add("salt", link.salt_given ? link.salt : "");
  uri->add("token", link.token);
  uri->add("hash", link.hash);
  uri->add(link.dialect == Dialect::kHosted ? "wss2" : "wss", link.server);
}

void add_role(UriWriter *uri, const Link &link) {
  if (link.scene)
    uri->add("scene", *link.scene);
  uri->add("showdirector", link.show_director);
  uri->flag("directoronly", link.only_director);
  uri->add("label", link.label);
  uri->add("maxpublishers", link.max_streams);
}

void add_media(UriWriter *uri, const Link &link) {
  std::vector<std::string> bitrates;
  for (unsigned kbps : link.video_bitrates)
    bitrates.push_back(std::to_string(kbps));
  uri->flag("novideo", !link.video);
  uri->add("novideo", join(link.video_from));
  uri->flag("noaudio", !link.audio);
  uri->add("noaudio", join(link.audio_from));
  uri->add("excludeaudio", join(link.audio_not_from));
  uri->add("codec", join(link.video_codecs));
  uri->add("h264profile", link.h264_profile);
  uri->add("videobitrate", join(bitrates));
  uri->add("totalbitrate", link.total_bitrate);
  uri->add("audiobitrate", link.audio_bitrate);
  if (link.stereo)
    uri->add("stereo", *link.stereo ? "2" : "0");
  uri->add("scale", link.scale);
  uri->add("viewwidth", link.width);
  uri->add("viewheight", link.height);
  uri->add("buffer", link.latency);
  uri->add("keyframeinterval", link.keyframe_interval);
}

void add_transport(UriWriter *uri, const Link &link) {
  if (!link.default_stun && link.stun_servers.empty())
    uri->add("stun", "false");
  for (size_t i = 0; i < link.stun_servers.size(); i++)
    uri->add(i == 0 && !link.default_stun ? "stun" : "addstun",
             link.stun_servers[i].substr(strlen("stun://")));
  uri->add("turn", link.default_turn || !link.turn_servers.empty() ? "" : "false");
  uri->flag("relay", link.relay_only);
  uri->flag("lanonly", link.lan_only);
  uri->add("retry", link.retry);
  if (link.allow_plain)
    uri->flag(*link.allow_plain ? "unsafe" : "requireencryption", true);
}

} // namespace

std::string link_to_uri(const Link &link) {
  std::string start = "vdoninja://" + (link.host.empty() ? "vdo.ninja" : link.host);
  if (link.port)
    start += ":" + std::to_string(*link.port);
  UriWriter uri(start + "/");
  add_ids(&uri, link);
  add_role(&uri, link);
  add_media(&uri, link);
  add_transport(&uri, link);
  return uri.take();
}

} // namespace vdn
