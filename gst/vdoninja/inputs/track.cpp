// SPDX-License-Identifier: LGPL-2.1-or-later
#include "track.h"

#include <algorithm>
#include <cstdint>

namespace vdn {

namespace {

constexpr unsigned kBaseline = 66;

struct Sets {
  unsigned profile = 0, compatibility = 0, level = 0;
};

// ISO/IEC 14496-15, AVCDecoderConfigurationRecord: the bytes that stand in the SPS, too.
Sets h264_sets(const GstCaps *caps) {
  const GValue *value =
      caps ? gst_structure_get_value(gst_caps_get_structure(caps, 0), "codec_data")
           : nullptr;
  GstBuffer *data =
      value && GST_VALUE_HOLDS_BUFFER(value) ? gst_value_get_buffer(value) : nullptr;
  guint8 head[4];
  if (!data || gst_buffer_extract(data, 0, head, sizeof head) != sizeof head)
    return {};
  return {head[1], head[2], head[3]};
}

// The lowest level from 3.1 on that such pictures need: ITU-T H.264 table A-1,
// macroblocks a second and in a picture.
unsigned level_for(const GstCaps *raw) {
  static constexpr struct {
    guint64 per_second, per_picture;
    unsigned level;
  } kLevels[] = {{108000, 3600, 31},
                 {245760, 8192, 40},
                 {522240, 8704, 42},
                 {589824, 22080, 50},
                 {983040, 36864, 51}};
  int width = 0, height = 0, n = 0, d = 1;
  if (raw) {
    const GstStructure *structure = gst_caps_get_structure(raw, 0);
    gst_structure_get_int(structure, "width", &width);
    gst_structure_get_int(structure, "height", &height);
    gst_structure_get_fraction(structure, "framerate", &n, &d);
  }
  const guint64 picture = guint64((width + 15) / 16) * ((height + 15) / 16);
  const guint64 second = picture * (n > 0 && d > 0 ? (n + d - 1) / d : 30);
  for (const auto &row : kLevels)
    if (picture <= row.per_picture && second <= row.per_second)
      return row.level;
  return 52;
}

std::string h264_profile_level(const GstCaps *encoded, const GstCaps *raw,
                               bool true_profile) {
  const Sets sets = h264_sets(encoded);
  char text[8];
  if (true_profile && sets.profile && sets.profile != kBaseline)
    g_snprintf(text, sizeof text, "%02x%02x%02x", sets.profile, sets.compatibility,
               sets.level);
  else
    g_snprintf(text, sizeof text, "42e0%02x", sets.level ? sets.level : level_for(raw));
  return text;
}

// "3.1" is 93: thirty times the level.
std::string h265_level(const GstCaps *encoded) {
  const char *level =
      encoded ? gst_structure_get_string(gst_caps_get_structure(encoded, 0), "level")
              : nullptr;
  const double value = level ? g_ascii_strtod(level, nullptr) : 0;
  return std::to_string(value > 0 && value < 10 ? int(value * 30 + 0.5) : 93);
}

bool is_stereo(const GstCaps *caps) {
  int channels = 0;
  return caps &&
         gst_structure_get_int(gst_caps_get_structure(caps, 0), "channels", &channels) &&
         channels == 2;
}

// NONE stays; what would be before the epoch is at it.
GstClockTime shifted(GstClockTime time, GstClockTimeDiff by) {
  if (!GST_CLOCK_TIME_IS_VALID(time))
    return time;
  return std::max<GstClockTimeDiff>(0, GstClockTimeDiff(time) + by);
}

// In running time. DTS may lie before the segment, as of the first pictures with
// B-frames.
GstClockTime running_time(const GstSegment *segment, GstClockTime time) {
  guint64 result = 0;
  if (!GST_CLOCK_TIME_IS_VALID(time) || segment->format != GST_FORMAT_TIME)
    return GST_CLOCK_TIME_NONE;
  const int sign =
      gst_segment_to_running_time_full(segment, GST_FORMAT_TIME, time, &result);
  return sign > 0 ? result : sign < 0 ? 0 : GST_CLOCK_TIME_NONE;
}

} // namespace

unsigned h264_profile_idc(const GstCaps *caps) {
  return h264_sets(caps).profile;
}

SdpFacts sdp_facts(Encoding encoding, const GstCaps *encoded, const GstCaps *raw,
                   bool true_profile) {
  const EncodingFacts &known = facts_of(encoding);
  SdpFacts facts;
  facts.encoding_name = known.name;
  facts.clock_rate = known.clock_rate;
  switch (encoding) {
  case Encoding::kH264:
    facts.fmtp = {{"level-asymmetry-allowed", "1"},
                  {"packetization-mode", "1"},
                  {"profile-level-id", h264_profile_level(encoded, raw, true_profile)}};
    break;
  case Encoding::kH265:
    facts.fmtp = {{"level-id", h265_level(encoded)},
                  {"profile-id", "1"},
                  {"tier-flag", "0"},
                  {"tx-mode", "SRST"}};
    break;
  case Encoding::kVp9:
    facts.fmtp = {{"profile-id", "0"}};
    break;
  case Encoding::kOpus:
    facts.channels = 2; // whatever it carries: RFC 7587
    facts.fmtp = {{"minptime", "10"}, {"useinbandfec", "1"}};
    if (is_stereo(encoded ? encoded : raw))
      facts.fmtp.insert(facts.fmtp.end(), {{"stereo", "1"}, {"sprop-stereo", "1"}});
    break;
  case Encoding::kVp8:
  case Encoding::kAv1:
    break;
  }
  return facts;
}

CapsPtr MediaTrack::caps() const {
  Lock lock(mutex_);
  return CapsPtr(caps_ ? gst_caps_ref(caps_.get()) : nullptr);
}

SdpFacts MediaTrack::sdp() const {
  Lock lock(mutex_);
  return sdp_facts(encoding_, caps_.get(), raw_caps_.get(), true_profile_);
}

std::string MediaTrack::payloader(int payload_type) const {
  return std::string(facts_of(encoding_).payloader) +
         " mtu=1200 pt=" + std::to_string(payload_type);
}

void MediaTrack::add(TrackListener *listener) {
  auto entry = std::make_shared<Entry>();
  entry->listener = listener;
  {
    Lock lock(mutex_);
    entries_.push_back(std::move(entry));
  }
  source_.demand_changed();
}

void MediaTrack::remove(TrackListener *listener) {
  {
    Lock lock(mutex_);
    const auto at =
        std::find_if(entries_.begin(), entries_.end(),
                     [&](const EntryPtr &entry) { return entry->listener == listener; });
    if (at == entries_.end())
      return;
    const EntryPtr entry = *at;
    entries_.erase(at);
    entry->removed = true;
    while (entry->called && entry->caller != std::this_thread::get_id())
      lock.wait(returned_);
  }
  source_.demand_changed();
}

bool MediaTrack::taken() const {
  Lock lock(mutex_);
  return !entries_.empty();
}

void MediaTrack::set_raw_caps(const GstCaps *caps) {
  Lock lock(mutex_);
  raw_caps_.reset(caps ? gst_caps_copy(caps) : nullptr);
}

void MediaTrack::set_muted(bool muted) {
  if (muted_.exchange(muted) && !muted) {
    restart();
    source_.keyframe();
  }
}

void MediaTrack::restart() {
  Lock lock(mutex_);
  for (const auto &entry : entries_) {
    entry->started = false;
    entry->discont = true;
  }
}

void MediaTrack::take_caps(GstCaps *caps) {
  Lock lock(mutex_);
  if (!caps || (caps_ && gst_caps_is_equal(caps, caps_.get())))
    return;
  caps_.reset(gst_caps_ref(caps));
  formats_++;
}

void MediaTrack::push(GstSample *sample, GstClockTime base_time) {
  GstBuffer *made = gst_sample_get_buffer(sample);
  if (!made)
    return;
  take_caps(gst_sample_get_caps(sample));
  const bool muted = muted_;
  if (!muted)
    bytes_ += gst_buffer_get_size(made);
  const bool keyframe = !GST_BUFFER_FLAG_IS_SET(made, GST_BUFFER_FLAG_DELTA_UNIT);
  const GstClockTime epoch = epoch_;
  const GstClockTimeDiff shift =
      GST_CLOCK_TIME_IS_VALID(epoch) && GST_CLOCK_TIME_IS_VALID(base_time)
          ? GST_CLOCK_DIFF(epoch, base_time)
          : 0;
  const GstSegment *segment = gst_sample_get_segment(sample);
  const GstClockTime pts = shifted(running_time(segment, GST_BUFFER_PTS(made)), shift);
  const GstClockTime dts = shifted(running_time(segment, GST_BUFFER_DTS(made)), shift);
  std::vector<EntryPtr> now;
  {
    Lock lock(mutex_);
    now = entries_;
  }
  for (const auto &entry : now) {
    if (muted) {
      give(*entry, nullptr, false); // viewers are offered what is muted, too
      continue;
    }
    GstBuffer *own = gst_buffer_copy(made);
    GST_BUFFER_PTS(own) = pts;
    GST_BUFFER_DTS(own) = dts;
    give(*entry, own, keyframe);
  }
}

// The calls themselves are made without the lock; remove() waits for `called` to be taken
// back. `buffer`: NULL to tell of new caps alone.
void MediaTrack::give(Entry &entry, GstBuffer *buffer, bool keyframe) {
  BufferPtr own(buffer);
  CapsPtr caps;
  bool passes = false;
  {
    Lock lock(mutex_);
    passes = buffer && (keyframe || entry.started);
    if (entry.removed || (buffer && !passes) || (!buffer && entry.formats == formats_))
      return;
    if (passes) {
      entry.started = true;
      if (std::exchange(entry.discont, false))
        GST_BUFFER_FLAG_SET(buffer, GST_BUFFER_FLAG_DISCONT);
    }
    if (std::exchange(entry.formats, formats_) != formats_)
      caps.reset(gst_caps_ref(caps_.get()));
    entry.called = true;
    entry.caller = std::this_thread::get_id();
  }
  TrackListener *listener = entry.listener;
  if (caps)
    listener->on_caps(caps.get());
  bool removed = false;
  {
    Lock lock(mutex_);
    removed = entry.removed;
  }
  // Who removed itself in on_caps() may be gone by now.
  if (passes && !removed)
    listener->on_frame(own.release(), keyframe);
  {
    Lock lock(mutex_);
    entry.called = false;
  }
  returned_.notify_all();
}

} // namespace vdn
