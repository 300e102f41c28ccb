// SPDX-License-Identifier: LGPL-2.1-or-later
#include "settings.h"

#include <algorithm>

namespace vdn {

namespace {

void want(std::vector<WantedStream> *streams, const std::string &id, bool screen) {
  auto at = std::find_if(streams->begin(), streams->end(),
                         [&](const auto &stream) { return stream.id == id; });
  if (at == streams->end())
    at = streams->insert(at, {id, false, false});
  (screen ? at->screen : at->camera) = true;
}

bool read_ids(const SourceSettings &settings, SourcePlan *plan, GError **error) {
  g_auto(GStrv) ids = g_strsplit(settings.stream_id.c_str(), ",", -1);
  const bool encrypted = make_secret(settings).enabled();
  for (char **id = ids; *id; id++) {
    std::string given = g_strstrip(*id), clean;
    const bool screen = take_screen_suffix(&given);
    if (given.empty())
      continue;
    if (!check_stream_id(given, encrypted, &clean, &plan->warnings, error))
      return false;
    want(&plan->viewer.streams, clean, screen);
  }
  if (!plan->viewer.streams.empty() || !settings.room.empty())
    return true;
  const std::string &published = settings.published;
  return refuse_settings(
      error, published.empty()
                 ? "nothing to play: set stream-id, as in vdoninjasrc stream-id=abc"
                 : "nothing to play: the link publishes \"" + published +
                       "\"; to view that stream set stream-id=" + published +
                       ", or room=" + published + " if it is a room");
}

bool read_codecs(const SourceSettings &settings, SourcePlan *plan, GError **error) {
  std::string known;
  for (const auto &codec : known_codecs())
    if (codec.kind == MediaKind::kVideo)
      known += std::string(known.empty() ? "" : ", ") + codec.encoding;
  for (const auto &name : settings.video_codecs) {
    std::string upper = StrPtr(g_ascii_strup(name.c_str(), -1)).get();
    const Codec *codec = find_codec(upper);
    if (!codec || codec->kind != MediaKind::kVideo)
      return refuse_settings(error, "video-codecs: \"" + name +
                                        "\" is not known here; choose from " + known);
    plan->outputs.video_codecs.push_back(upper);
  }
  return true;
}

// Those without a property of their own.
void apply_wishes(const Link &link, SourceSettings *to) {
  to->excluded.clear();
  for (const auto &id : link.exclude)
    to->excluded.push_back(sanitize_stream_id(id));
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

bool apply_link(const char *text, SourceSettings *settings, GError **error) {
  GError *raw = nullptr;
  auto link = parse_link(text, &raw);
  ErrorPtr cause(raw);
  if (!link) {
    g_set_error_literal(error, GST_URI_ERROR, GST_URI_ERROR_BAD_URI, cause->message);
    return false;
  }
  SourceSettings &to = *settings;
  apply_connection_link(*link, &to);
  to.location_unsupported = unsupported(*link);
  to.stream_id.clear();
  for (const auto &stream : link->streams)
    to.stream_id += (to.stream_id.empty() ? "" : ",") + stream.id +
                    (stream.screen ? kScreenSuffix : "");
  // A bitrate of 0 asks for no video.
  const auto &bitrates = link->video_bitrates;
  to.enable_video = link->video && (bitrates.empty() || bitrates.front() > 0);
  to.enable_audio = link->audio;
  if (!link->video_codecs.empty())
    to.video_codecs = link->video_codecs;
  if (!bitrates.empty() && bitrates.front() > 0)
    to.video_bitrate = bitrates.front();
  if (link->latency)
    to.latency = static_cast<int>(std::min<unsigned>(*link->latency, kMaxLatency));
  to.max_streams = std::min(link->max_streams.value_or(to.max_streams), kMaxStreamsLimit);
  apply_wishes(*link, &to);
  to.published = link->published;
  return true;
}

bool plan_source(const SourceSettings &settings, SourcePlan *plan, GError **error) {
  ConnectionPlan common;
  if (!plan_connection(settings, &common, &plan->warnings, error) ||
      !read_ids(settings, plan, error) || !read_codecs(settings, plan, error))
    return false;
  ViewerConfig &viewer = plan->viewer;
  viewer.presence = std::move(common.presence);
  viewer.max_streams = settings.max_streams;
  viewer.remove_on_leave = settings.on_leave == OnLeave::kRemove;
  viewer.excluded = settings.excluded;
  if (!settings.video_bitrate)
    viewer.total_bitrate = settings.total_bitrate.value_or(0);

  SessionConfig &session = viewer.session;
  session.connection = std::move(common.connection);
  session.hints.video_bitrate = settings.video_bitrate;
  session.hints.stereo = settings.stereo;
  session.allow_plain = settings.allow_plain;

  plan->timeout_s = settings.timeout_s;
  plan->on_disconnect = settings.on_disconnect;
  OutputConfig &outputs = plan->outputs;
  outputs.video_decoder = settings.video_decoder;
  outputs.form = settings.output_format;
  outputs.conceal_errors = settings.conceal_errors;
  outputs.video = settings.enable_video;
  outputs.audio = settings.enable_audio;
  outputs.latency = settings.latency;

  viewer.wishes = settings.wishes;
  viewer.wishes.audio = settings.enable_audio;
  viewer.wishes.video = settings.enable_video;
  if (!viewer.presence.room.empty() && viewer.wishes.scene.empty())
    viewer.wishes.scene = "0";
  viewer.wishes.label = settings.label;
  viewer.wishes.version = "gst-vdoninja/" VERSION;
  if (!outputs.video_codecs.empty())
    viewer.wishes.video_codec =
        StrPtr(g_ascii_strdown(outputs.video_codecs.front().c_str(), -1)).get();
  return true;
}

} // namespace vdn
