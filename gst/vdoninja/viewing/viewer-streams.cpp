// SPDX-License-Identifier: LGPL-2.1-or-later
// The half of viewer.h that has to do with its streams: who is wanted, and what they are
// told.
#include <algorithm>
#include <utility>

#include "viewer.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr size_t kMaxStreams = 256, kMaxRefused = 64;
// kbit/s; what web publishers send who are asked for nothing.
constexpr unsigned kAnySide = 16384; // pixels; nobody's picture is enlarged
constexpr unsigned kUsualBitrate = 2500;

} // namespace

Stream *Viewer::add(const WantedStream &wanted) {
  StreamHost &host = *this;
  streams_.push_back(std::make_unique<Stream>(loop_, host, bin_, config_.presence.dialect,
                                              wanted, secret_.wire_stream_id(wanted.id)));
  return streams_.back().get();
}

// Takes the pads of a stream away, and the stream too unless the user named it, or it may
// be there, cut off from us: nobody would tell us when it is not any longer.
void Viewer::remove(const std::string &id, bool for_good) {
  auto at = std::find_if(streams_.begin(), streams_.end(),
                         [&](const auto &stream) { return stream->id() == id; });
  if (at == streams_.end() || (*at)->session())
    return; // it is back already
  observer_.removed(**at);
  if (!config_.streams.empty())
    return;
  if (for_good)
    streams_.erase(at);
  else
    (*at)->forget();
  update_state();
}

// Who announced itself while there was no room does so once only.
void Viewer::admit_refused() {
  for (const std::string &wire_id : std::exchange(refused_, {}))
    if (auto *stream = wanted(wire_id, true))
      stream->publisher_seen({});
}

// Whoever has been away for longest makes way for somebody new. False when all are here.
bool Viewer::make_room() {
  const Stream *absent = nullptr;
  for (const auto &stream : streams_)
    if (stream->is_away() && (!absent || stream->absent_since() < absent->absent_since()))
      absent = stream.get();
  if (!absent)
    return false;
  GST_INFO_OBJECT(bin_, "stream %s is away and makes way", absent->id().c_str());
  remove(std::string(absent->id()), true);
  return true;
}

// The stream behind a wire id, if it is wanted; other passwords' ids are nobody's.
Stream *Viewer::wanted(const std::string &wire_id, bool may_add) {
  auto id = secret_.plain_stream_id(wire_id);
  const auto &excluded = config_.excluded;
  if (!id || id->empty() ||
      std::find(excluded.begin(), excluded.end(), *id) != excluded.end())
    return nullptr;
  for (auto &stream : streams_)
    if (stream->wire_id() == wire_id)
      return stream.get();
  bool everybody = config_.streams.empty() && !config_.presence.room.empty();
  size_t limit = config_.max_streams ? config_.max_streams : kMaxStreams;
  if (!may_add || !everybody)
    return nullptr;
  if (streams_.size() < limit || make_room())
    return add({*id, true, true});
  if (std::find(refused_.begin(), refused_.end(), wire_id) == refused_.end())
    refused_.push_back(wire_id);
  if (refused_.size() > kMaxRefused)
    refused_.pop_front();
  return nullptr;
}

void Viewer::update_state() {
  ViewerState state = ViewerState::kWaiting;
  bool playing = false, negotiating = false, lost = false;
  for (const auto &stream : streams_) {
    playing |= stream->state() == StreamState::kPlaying;
    negotiating |= stream->state() == StreamState::kNegotiating && !stream->was_playing();
    lost |= stream->was_playing() && stream->state() != StreamState::kPlaying;
  }
  if (failed_)
    state = ViewerState::kFailed;
  else if (playing)
    state = ViewerState::kPlaying;
  else if (lost)
    state = ViewerState::kReconnecting;
  else if (negotiating)
    state = ViewerState::kNegotiating;
  else if (!presence_.is_open())
    state = ViewerState::kConnecting;
  if (state == state_)
    return;
  state_ = state;
  observer_.state_changed(state);
}

void Viewer::set_latency(unsigned ms) {
  config_.session.latency = ms;
  for (auto &stream : streams_)
    if (stream->session())
      stream->session()->set_latency(ms);
}

bool Viewer::send(const std::string &stream_id, const std::string &json) {
  bool sent = false;
  for (auto &stream : streams_)
    if (stream->session() && (stream_id.empty() || stream->id() == stream_id))
      sent |= stream->session()->send(json);
  return sent;
}

void Viewer::element_failed(GstObject *source, const GError *error) {
  for (auto &stream : streams_) {
    Session *session = stream->session();
    if (session && gst_object_has_as_ancestor(source, GST_OBJECT(session->webrtcbin()))) {
      GST_WARNING_OBJECT(bin_, "%s failed: %s", GST_OBJECT_NAME(source), error->message);
      stream->restart(error->message);
      return;
    }
  }
}

// Nothing lifts a limit but a new session.
void Viewer::set_video_bitrate(unsigned kbps) {
  config_.total_bitrate = 0;
  const unsigned before = std::exchange(config_.session.hints.video_bitrate, kbps);
  if (kbps)
    send({}, encode_bitrate(static_cast<int>(kbps)));
  else if (before)
    for (auto &stream : streams_)
      if (stream->session())
        stream->restart("no limit of bitrate any longer", false);
}

// What one stream may send of the limit for all of them.
unsigned Viewer::bitrate_of_each() const {
  const auto served =
      std::count_if(streams_.begin(), streams_.end(),
                    [](const auto &stream) { return stream->session() != nullptr; });
  return std::max<unsigned>(config_.total_bitrate / std::max<long>(served, 1), 1);
}

void Viewer::share_bitrate() {
  if (config_.total_bitrate)
    send({}, encode_bitrate(static_cast<int>(bitrate_of_each())));
}

// Raspberry.Ninja, known by its null session, has one encoder for all its viewers.
void Viewer::set_video_wanted(const std::string &stream_id, bool wanted) {
  const unsigned limit =
      config_.total_bitrate ? bitrate_of_each() : config_.session.hints.video_bitrate;
  for (auto &stream : streams_)
    if (stream->id() == stream_id && stream->session() && stream->session()->id())
      stream->session()->send(
          encode_bitrate(wanted ? static_cast<int>(limit ? limit : kUsualBitrate) : 0));
}

bool Viewer::request_size(const std::string &stream_id,
                          const std::optional<std::pair<unsigned, unsigned>> &size) {
  const Wishes &wishes = config_.wishes;
  const auto [width, height] = size.value_or(std::pair(
      wishes.max_width.value_or(kAnySide), wishes.max_height.value_or(kAnySide)));
  const std::string text = encode_resolution(width, height);
  bool asked = false;
  for (auto &stream : streams_)
    if (stream->id() == stream_id && stream->session() && stream->session()->id())
      asked |= stream->session()->send(text);
  return asked;
}

void Viewer::reconnect() {
  for (auto &stream : streams_)
    if (stream->session())
      stream->restart("asked to reconnect", false);
  presence_.open();
}

void Viewer::renegotiate(const std::string &stream_id) {
  for (auto &stream : streams_)
    if (stream->id() == stream_id && stream->session())
      stream->restart("another codec is wanted", false);
}

} // namespace vdn
