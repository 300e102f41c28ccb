// SPDX-License-Identifier: LGPL-2.1-or-later
#include "settings.h"

#include <algorithm>

#include "random-id.h"

namespace vdn {

namespace {

constexpr size_t kRandomIdLength = 8;

// What has no effect on publishing, though a link may say it.
std::vector<std::string> unsupported(const Link &link) {
  std::vector<std::string> names = link.unsupported;
  auto add = [&](const char *name, bool given) {
    if (given)
      names.emplace_back(name);
  };
  add("view", !link.streams.empty());
  add("scene", link.scene.has_value());
  add("exclude", !link.exclude.empty());
  add("addstun", link.stun_servers.size() > 1);
  return names;
}

bool plan_codecs(const PublishSettings &settings, InputConfig *video, GError **error) {
  std::string known;
  for (const EncodingFacts &facts : known_encodings())
    if (facts.video)
      known += std::string(known.empty() ? "" : ", ") + facts.name;
  for (const auto &name : settings.video_codecs) {
    const EncodingFacts *facts = find_encoding(name);
    if (!facts || !facts->video)
      return refuse_settings(error, "video-codecs: \"" + name +
                                        "\" is not known here; choose from " + known);
    if (!can_send(facts->encoding))
      return refuse_settings(error,
                             "video-codecs: " + name +
                                 " cannot be sent: its payloader is not installed");
    video->encodings.push_back(facts->encoding);
  }
  if (video->encodings.empty())
    video->encodings = {Encoding::kH264, Encoding::kVp8};
  return true;
}

bool plan_stream_id(const PublishSettings &settings, PublishPlan *plan, GError **error) {
  if (settings.stream_id.empty()) {
    plan->stream_id = random_id(kRandomIdLength);
    return true;
  }
  if (settings.stream_id.find(',') != std::string::npos)
    return refuse_settings(error,
                           "stream-id \"" + settings.stream_id +
                               "\" names several streams; an element publishes one");
  return check_stream_id(settings.stream_id, make_secret(settings).enabled(),
                         &plan->stream_id, &plan->warnings, error);
}

// For people: a page that shows the stream.
std::string view_link(const PublishSettings &settings, const PublishPlan &plan) {
  std::string link = "https://vdo.ninja/?view=" + plan.stream_id;
  if (!settings.room.empty())
    link += "&room=" + plan.publisher.presence.room + "&scene";
  if (settings.server != kDefaultServer)
    link += std::string("&wss=") +
            StrPtr(g_uri_escape_string(settings.server.c_str(), nullptr, FALSE)).get();
  const Secret secret = make_secret(settings);
  if (!secret.enabled())
    link += "&password=false";
  else if (secret.custom())
    link += "&password=";
  return link;
}

} // namespace

bool apply_push_link(const char *text, PublishSettings *settings, GError **error) {
  GError *raw = nullptr;
  auto link = parse_link(text, &raw);
  const ErrorPtr cause(raw);
  if (!link) {
    g_set_error_literal(error, GST_URI_ERROR, GST_URI_ERROR_BAD_URI, cause->message);
    return false;
  }
  if (link->published.empty()) {
    g_set_error_literal(error, GST_URI_ERROR, GST_URI_ERROR_BAD_URI,
                        "the link publishes nothing: it needs ?push=ID");
    return false;
  }
  apply_connection_link(*link, settings);
  settings->location_unsupported = unsupported(*link);
  settings->stream_id = link->published;
  if (!link->video_codecs.empty())
    settings->video_codecs = link->video_codecs;
  return true;
}

bool plan_publishing(const PublishSettings &settings, PublishPlan *plan, GError **error) {
  ConnectionPlan common;
  if (!plan_connection(settings, &common, &plan->warnings, error) ||
      !plan_stream_id(settings, plan, error) ||
      !plan_codecs(settings, &plan->video, error))
    return false;
  if (settings.min_video_bitrate > settings.video_bitrate)
    return refuse_settings(
        error, "min-video-bitrate=" + std::to_string(settings.min_video_bitrate) +
                   " is above video-bitrate=" + std::to_string(settings.video_bitrate));
  PublisherConfig &publisher = plan->publisher;
  publisher.presence = std::move(common.presence);
  publisher.presence.wire_id = make_secret(settings).wire_stream_id(plan->stream_id);
  publisher.connection = std::move(common.connection);
  publisher.limits = {settings.min_video_bitrate, settings.video_bitrate};
  publisher.sound_kbit_s = settings.audio_bitrate;
  publisher.paced = settings.congestion_control == CongestionControl::kShared;
  publisher.max_viewers = settings.max_viewers;
  publisher.retries_conflict = settings.on_conflict == OnConflict::kRetry;
  publisher.info.label = settings.label;
  publisher.info.version = "gst-vdoninja/" VERSION;
  publisher.info.max_kbit_s = settings.video_bitrate;
  publisher.info.video_muted = settings.mute_video;
  publisher.info.audio_muted = settings.mute_audio;

  InputConfig &video = plan->video, &audio = plan->audio;
  video.encoder = settings.video_encoder;
  video.kbps = settings.video_bitrate;
  video.keyframe_seconds = settings.keyframe_interval;
  video.true_profile = settings.true_profile;
  video.sync = audio.sync = settings.sync;
  audio.video = false;
  audio.encodings = {Encoding::kOpus};
  audio.encoder = settings.audio_encoder;
  audio.kbps = settings.audio_bitrate;
  plan->link = view_link(settings, *plan);
  return true;
}

} // namespace vdn
