// SPDX-License-Identifier: LGPL-2.1-or-later
#include "link-query.h"

#include <algorithm>

namespace vdn {

namespace {

constexpr char kProxyServer[] = "wss://proxywss.rtc.ninja:443";
constexpr size_t kMaxName = 64;

// The web client decodes passwords once more, and keeps them when that fails.
std::string decode_password(const std::string &text) {
  for (size_t i = 0; i < text.size(); i++)
    if (text[i] == '%' && (i + 2 >= text.size() || !g_ascii_isxdigit(text[i + 1]) ||
                           !g_ascii_isxdigit(text[i + 2])))
      return text;
  std::string decoded = percent_decode(text, false);
  return g_utf8_validate_len(decoded.data(), decoded.size(), nullptr) ? decoded : text;
}

// Trimmed entries, without empty ones.
std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty() && parts.size() < kMaxLinkList) {
    const size_t end = std::min(text.find(separator), text.size());
    std::string part = trim_text(text.substr(0, end));
    if (!part.empty())
      parts.push_back(std::move(part));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

bool is_off(const std::string &value) {
  const std::string word = lower_text(value);
  return word == "false" || word == "off" || word == "no" || word == "0";
}

// Each applies a value and tells whether it could.

bool add_streams(Link &link, const std::string &value) {
  for (std::string &id : split(value, ',')) {
    if (link.streams.size() >= kMaxLinkList)
      return false;
    LinkStream stream;
    stream.screen = take_screen_suffix(&id);
    stream.id = std::move(id);
    link.streams.push_back(std::move(stream));
  }
  return true;
}

bool set_password(Link &link, const std::string &value) {
  link.password = trim_text(decode_password(value));
  link.encrypted = Secret(link.password.c_str(), "").enabled();
  if (!link.encrypted)
    link.password.clear();
  return true;
}

bool set_plain(Link &link, const std::string &) {
  link.encrypted = !link.password.empty();
  return true;
}

bool set_room(Link &link, const std::string &value) {
  link.room = sanitize_room(value);
  return !link.room.empty();
}

bool set_salt(Link &link, const std::string &value) {
  if (value.empty())
    return false;
  link.salt = value;
  link.salt_given = true;
  return true;
}

bool set_hash(Link &link, const std::string &value) {
  const bool hex =
      std::all_of(value.begin(), value.end(), [](char c) { return g_ascii_isxdigit(c); });
  if (!hex || value.empty() || value.size() > 6)
    return false;
  link.hash = lower_text(value);
  return true;
}

bool set_server(Link &link, const std::string &value, Dialect dialect) {
  const std::string given = trim_text(value);
  const bool complete = given.rfind("wss://", 0) == 0 || given.rfind("ws://", 0) == 0;
  if (given.empty() || (!complete && given.find("://") != std::string::npos))
    return false;
  link.server = complete ? given : "wss://" + given;
  link.dialect = dialect;
  return true;
}

bool set_scene(Link &link, const std::string &value) {
  std::string id = value.empty() ? "0" : value;
  for (char &c : id)
    if (!g_ascii_isalnum(c) && c != '_')
      c = '_';
  link.scene = std::move(id);
  return true;
}

bool set_guest_view(Link &link, const std::string &) {
  if (!link.scene)
    link.scene = "0";
  return true;
}

bool set_show_director(Link &link, const std::string &value) {
  if (value.empty()) {
    link.show_director = 1;
    return true;
  }
  if (is_off(value)) {
    link.show_director = 0;
    return true;
  }
  return read_decimal(value, 4, &link.show_director);
}

bool set_codecs(Link &link, const std::string &value) {
  constexpr const char *kCodecs[] = {"h264", "vp8", "vp9", "av1", "h265"};
  bool known = true;
  for (const std::string &codec : split(lower_text(value), ',')) {
    if (std::find(std::begin(kCodecs), std::end(kCodecs), codec) == std::end(kCodecs))
      known = false;
    else
      link.video_codecs.push_back(codec);
  }
  return known;
}

bool set_profile(Link &link, const std::string &value) {
  const bool hex =
      std::all_of(value.begin(), value.end(), [](char c) { return g_ascii_isxdigit(c); });
  if (!hex || value.size() != 6)
    return false;
  link.h264_profile = lower_text(value);
  return true;
}

bool set_video_bitrates(Link &link, const std::string &value) {
  constexpr unsigned kBlank = 8000;
  if (value.empty())
    link.video_bitrates = {kBlank};
  for (const std::string &entry : split(value, ',')) {
    std::optional<unsigned> kbps;
    if (entry[0] == '-')
      continue; // no wish
    if (!read_decimal(entry, 1000000, &kbps))
      return false;
    link.video_bitrates.push_back(*kbps);
  }
  return true;
}

// 0 and 3 (out only) send nothing in stereo to us.
bool set_stereo(Link &link, const std::string &value) {
  std::optional<unsigned> mode = 5;
  if (is_off(value))
    mode = 0;
  else if (!value.empty() && !read_decimal(value, 6, &mode))
    return false;
  link.stereo = *mode != 0 && *mode != 3;
  return true;
}

bool set_scale(Link &link, const std::string &value) {
  return is_off(value) || read_decimal(value, 100, &link.scale);
}

// Without a value nobody may send, else those in the list.
bool set_senders(const std::string &value, bool *any, std::vector<std::string> *from) {
  *from = split(value, ',');
  *any = !from->empty();
  return true;
}

// The last field of "user;password;turn:host:port" without its scheme; empty when
// malformed.
std::string server_host(const std::string &field, const char *scheme) {
  std::string host = field;
  if (const std::string prefix = std::string(scheme) + ":"; host.rfind(prefix, 0) == 0)
    host.erase(0, prefix.size());
  if (host.rfind("//", 0) == 0)
    host.erase(0, 2);
  return is_host_name(host.substr(0, host.find('?'))) ? host : std::string();
}

bool add_stun(Link &link, const std::string &value) {
  const auto fields = split(value, ';');
  const std::string host = fields.empty() ? "" : server_host(fields.back(), "stun");
  if (host.empty())
    return false;
  link.stun_servers.push_back("stun://" + host);
  return true;
}

bool set_stun(Link &link, const std::string &value) {
  link.default_stun = false;
  return is_off(value) || add_stun(link, value);
}

bool set_turn(Link &link, const std::string &value) {
  if (is_off(value) || value == "nostun") {
    link.default_turn = false;
    if (value == "nostun") {
      link.default_stun = false;
      link.stun_servers.clear();
    }
    return true;
  }
  const auto fields = split(value, ';');
  if (fields.size() != 1 && fields.size() != 3)
    return false;
  const std::string scheme = fields.back().rfind("turns:", 0) == 0 ? "turns" : "turn";
  const std::string host = server_host(fields.back(), scheme.c_str());
  if (host.empty() || host == "twilio")
    return false;
  std::string login;
  if (fields.size() == 3)
    login = std::string(
                StrPtr(g_uri_escape_string(fields[0].c_str(), nullptr, FALSE)).get()) +
            ":" + StrPtr(g_uri_escape_string(fields[1].c_str(), nullptr, FALSE)).get() +
            "@";
  link.turn_servers.push_back(scheme + "://" + login + host);
  link.default_turn = false;
  return true;
}

bool cannot(Link &, const std::string &) {
  return false;
}
bool ignore(Link &, const std::string &) {
  return true;
}

// `names`: aliases, the first one present counts.
struct Rule {
  const char *names;
  bool (*apply)(Link &link, const std::string &value);
};

using S = const std::string &;

constexpr Rule kRules[] = {
    {"streamid,view,v,pull", add_streams},
    {"include", add_streams},
    {"push,permaid,director,dir", [](Link &l, S v) { return l.published = v, true; }},
    {"exclude,ex", [](Link &l, S v) { return l.exclude = split(v, ','), true; }},
    {"room,roomid,r", set_room},
    {"password,pass,pw,p", set_password},
    {"nopassword,nopass,nopw,p0", set_plain},
    {"salt", set_salt},
    {"token", [](Link &l, S v) { return l.token = v, true; }},
    {"hash,crc,check", set_hash},
    {"proxy", [](Link &l, S) { return set_server(l, kProxyServer, Dialect::kHosted); }},
    {"wss2", [](Link &l, S v) { return set_server(l, v, Dialect::kHosted); }},
    {"wss", [](Link &l, S v) { return set_server(l, v, Dialect::kCustom); }},
    {"scene,scn", set_scene},
    {"solo", set_guest_view},
    {"viewonly,nopush,noseed,viewmode", set_guest_view},
    {"showdirector,sd", set_show_director},
    {"directoronly,directorsonly,do", [](Link &l, S) { return l.only_director = true; }},
    {"novideo,nv,hidevideo,showonly",
     [](Link &l, S v) { return set_senders(v, &l.video, &l.video_from); }},
    {"noaudio,na,hideaudio",
     [](Link &l, S v) { return set_senders(v, &l.audio, &l.audio_from); }},
    {"excludeaudio,exaudio,silence",
     [](Link &l, S v) { return l.audio_not_from = split(v, ','), true; }},
    {"codec,codecs,videocodec", set_codecs},
    {"h264profile", set_profile},
    {"videobitrate,bitrate,vb", set_video_bitrates},
    {"totalbitrate,tb,totalroombitrate,trb,totalscenebitrate,tsb",
     [](Link &l, S v) { return read_decimal(v, 1000000, &l.total_bitrate); }},
    {"audiobitrate,ab",
     [](Link &l, S v) { return read_decimal(v, 510, &l.audio_bitrate); }},
    {"stereo,s,proaudio", set_stereo},
    {"mono", [](Link &l, S) { return l.stereo = false, true; }},
    {"scale", set_scale},
    {"viewwidth,vw", [](Link &l, S v) { return read_decimal(v, 16384, &l.width); }},
    {"viewheight,vh", [](Link &l, S v) { return read_decimal(v, 16384, &l.height); }},
    {"buffer,buffer2", [](Link &l, S v) { return read_decimal(v, 60000, &l.latency); }},
    {"keyframeinterval,keyframerate,keyframe,fki",
     [](Link &l, S v) { return read_decimal(v, 3600000, &l.keyframe_interval); }},
    {"label,l",
     [](Link &l, S v) {
       l.label = v;
       std::replace(l.label.begin(), l.label.end(), '_', ' ');
       return true;
     }},
    {"stun", set_stun},
    {"addstun", add_stun},
    {"turn", set_turn},
    {"relay,privacy,private", [](Link &l, S) { return l.relay_only = true; }},
    {"lanonly", [](Link &l, S) { return l.lan_only = true; }},
    {"retry,retrytimeout",
     [](Link &l, S v) { return read_decimal(v, 3600000, &l.retry); }},
    {"maxpublishers,mp,maxconnections,mc",
     [](Link &l, S v) { return read_decimal(v, 1000, &l.max_streams); }},
    {"requireencryption", [](Link &l, S) { return l.allow_plain = false, true; }},
    {"unsafe", [](Link &l, S) { return l.allow_plain.emplace(true); }},
    // A viewer that is no browser has these anyway, or no use for them.
    {"nochunk,nochunked,sync,audiocodec,redaudio,width,w,height,h,quality,q,optimize,"
     "degrade,order,remote,broadcast,bc,group,cleanoutput,clean,autostart,transparent",
     ignore},
    {"invite,i,code", cannot},
    {"pie", cannot},
};

const LinkParameter *find(const LinkQuery &query, const std::string &name) {
  const auto it = std::find_if(query.begin(), query.end(),
                               [&](const LinkParameter &p) { return p.name == name; });
  return it == query.end() ? nullptr : &*it;
}

void report(Link *link, const std::string &name) {
  auto &list = link->unsupported;
  // The cut may have torn a character.
  const std::string shown =
      StrPtr(g_utf8_make_valid(name.substr(0, kMaxName).c_str(), -1)).get();
  if (list.size() < kMaxLinkList &&
      std::find(list.begin(), list.end(), shown) == list.end())
    list.push_back(shown);
}

} // namespace

void apply_link_query(const LinkQuery &query, Link *link) {
  std::vector<std::string> known;
  for (const Rule &rule : kRules) {
    const LinkParameter *chosen = nullptr;
    for (std::string &name : split(rule.names, ',')) {
      if (!chosen)
        chosen = find(query, name);
      known.push_back(std::move(name));
    }
    if (chosen && !rule.apply(*link, chosen->value))
      report(link, chosen->name);
  }
  for (const LinkParameter &parameter : query)
    if (std::find(known.begin(), known.end(), parameter.name) == known.end())
      report(link, parameter.name);
}

} // namespace vdn
