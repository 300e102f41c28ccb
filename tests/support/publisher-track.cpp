// SPDX-License-Identifier: LGPL-2.1-or-later
#include "publisher-track.h"

#include "stamp.h"

namespace vdn {

// Browsers send keyframes on request only; so do we, but for one every ten seconds.
constexpr int kKeyframeSeconds = 10;
constexpr GstClockTime kTick = 20 * GST_MSECOND;

bool parse_codec(std::string_view name, Codec *codec) {
  static constexpr struct {
    std::string_view name;
    Codec codec;
  } kCodecs[] = {{"vp8", Codec::kVp8},           {"vp9", Codec::kVp9},
                 {"h264", Codec::kX264},         {"x264", Codec::kX264},
                 {"openh264", Codec::kOpenH264}, {"h265", Codec::kX265},
                 {"opus", Codec::kOpus}};
  for (const auto &known : kCodecs) {
    if (known.name != name)
      continue;
    *codec = known.codec;
    return true;
  }
  return false;
}

static std::string number(unsigned value) {
  return std::to_string(value);
}

// The encoder and what brings its output into the form that payloaders announce fully.
static std::string encoder_line(const TrackConfig &config) {
  const std::string distance = number(config.fps * kKeyframeSeconds);
  const std::string bps = number(config.kbps * 1000);
  const std::string slices = number(config.slices);
  // Parameter sets in the caps: the offer can then name profile and level before a frame.
  const std::string parse = " ! h264parse ! video/x-h264,stream-format=avc,alignment=au";
  // x264 names the lowest profile that has what it uses.
  const std::string tools = config.profile == "high"   ? ":cabac=1:8x8dct=1"
                            : config.profile == "main" ? ":cabac=1"
                                                       : "";
  switch (config.codec) {
  case Codec::kVp8:
    // One thread: libvpx spins while it waits for others, which starves a busy machine.
    return "vp8enc name=encoder deadline=1 cpu-used=8 threads=1 lag-in-frames=0 "
           "end-usage=cbr keyframe-max-dist=" +
           distance + " target-bitrate=" + bps;
  case Codec::kVp9:
    return "vp9enc name=encoder deadline=1 cpu-used=8 threads=2 row-mt=true "
           "lag-in-frames=0 end-usage=cbr keyframe-max-dist=" +
           distance + " target-bitrate=" + bps;
  case Codec::kX264:
    return "x264enc name=encoder tune=zerolatency speed-preset=ultrafast key-int-max=" +
           distance + " bitrate=" + number(config.kbps) + " threads=" + slices +
           " option-string=sliced-threads=" + (config.slices > 1 ? "1" : "0") +
           ":slices=" + slices + tools + " ! video/x-h264,profile=" + config.profile +
           parse;
  case Codec::kOpenH264:
    return "openh264enc name=encoder complexity=low rate-control=bitrate "
           "slice-mode=n-slices num-slices=" +
           slices + " gop-size=" + distance + " bitrate=" + bps +
           " ! video/x-h264,profile=constrained-baseline" + parse;
  case Codec::kX265:
    return "x265enc name=encoder tune=zerolatency speed-preset=ultrafast key-int-max=" +
           distance + " bitrate=" + number(config.kbps) +
           " option-string=pools=1:frame-threads=1:log-level=none"
           " ! h265parse ! video/x-h265,stream-format=hvc1,alignment=au";
  case Codec::kOpus:
    return "opusenc name=encoder frame-size=20 bitrate=64000";
  }
  return {};
}

static std::string launch_line(const TrackConfig &config) {
  const std::string out = " ! appsink name=out sync=false max-buffers=60";
  if (config.codec == Codec::kOpus)
    return "audiotestsrc name=source is-live=true samplesperbuffer=960 wave=sine "
           "volume=0.2 ! audio/x-raw,format=S16LE,rate=48000,channels=2 ! " +
           encoder_line(config) + out;
  // A slow encoder loses frames in the queue, before they are numbered.
  return "videotestsrc name=source is-live=true pattern=" + config.pattern +
         " ! capsfilter name=size ! queue name=queue leaky=downstream max-size-buffers=2 "
         "max-size-bytes=0 max-size-time=0 ! " +
         encoder_line(config) + out;
}

Track::Track(TrackConfig config, GstClockTime epoch, std::function<void()> on_caps)
    : config_(std::move(config)), epoch_(epoch), on_caps_(std::move(on_caps)) {}

Track::~Track() {
  stop();
}

static ObjPtr<GstElement> child(GstElement *bin, const char *name) {
  return ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(bin), name));
}

bool Track::start(GError **error) {
  GError *raw = nullptr;
  pipeline_ = ObjPtr<GstElement>::adopt(gst_parse_launch_full(
      launch_line(config_).c_str(), nullptr, GST_PARSE_FLAG_FATAL_ERRORS, &raw));
  if (raw) {
    g_propagate_error(error, raw);
    pipeline_.reset();
    return false;
  }
  {
    Lock lock(mutex_);
    encoder_ = child(pipeline_.get(), "encoder");
  }
  const auto clock = ObjPtr<GstClock>::adopt(gst_system_clock_obtain());
  gst_pipeline_use_clock(GST_PIPELINE(pipeline_.get()), clock.get());
  gst_element_set_base_time(pipeline_.get(), epoch_);
  gst_element_set_start_time(pipeline_.get(), GST_CLOCK_TIME_NONE);
  // A track that starts late must not make up for the time before.
  const auto source = child(pipeline_.get(), "source");
  g_object_set(source.get(), "timestamp-offset",
               static_cast<gint64>(gst_clock_get_time(clock.get()) - epoch_), nullptr);
  if (config_.ticks) {
    const auto pad =
        ObjPtr<GstPad>::adopt(gst_element_get_static_pad(source.get(), "src"));
    gst_pad_add_probe(
        pad.get(), GST_PAD_PROBE_TYPE_BUFFER,
        [](GstPad *, GstPadProbeInfo *info, gpointer self) {
          return static_cast<Track *>(self)->leave_ticks(info);
        },
        this, nullptr);
  }
  if (is_video()) {
    g_object_set(child(pipeline_.get(), "size").get(), "caps", raw_caps().get(), nullptr);
    const auto pad = ObjPtr<GstPad>::adopt(
        gst_element_get_static_pad(child(pipeline_.get(), "queue").get(), "src"));
    gst_pad_add_probe(
        pad.get(),
        GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
        [](GstPad *, GstPadProbeInfo *info, gpointer self) {
          return static_cast<Track *>(self)->stamp(info);
        },
        this, nullptr);
  }
  GstAppSinkCallbacks callbacks{};
  callbacks.new_sample = [](GstAppSink *sink, gpointer self) {
    const MiniPtr<GstSample> sample(gst_app_sink_pull_sample(sink));
    if (sample)
      static_cast<Track *>(self)->distribute(sample.get());
    return GST_FLOW_OK;
  };
  gst_app_sink_set_callbacks(GST_APP_SINK(child(pipeline_.get(), "out").get()),
                             &callbacks, this, nullptr);
  gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
  return true;
}

void Track::stop() {
  if (pipeline_)
    gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
  {
    Lock lock(mutex_);
    encoder_.reset();
  }
  pipeline_.reset();
}

ObjPtr<GstElement> Track::encoder() const {
  Lock lock(mutex_);
  return encoder_;
}

std::string Track::payloader(int payload_type) const {
  const std::string pt = number(payload_type);
  const std::string mtu =
      " mtu=1200 pt=" + pt + " ! capsfilter caps=application/x-rtp,payload=" + pt;
  const std::string feedback = ",rtcp-fb-nack-pli=(boolean)true";
  switch (config_.codec) {
  case Codec::kVp8:
    return "rtpvp8pay picture-id-mode=15-bit" + mtu + feedback;
  case Codec::kVp9:
    return "rtpvp9pay picture-id-mode=15-bit" + mtu + feedback;
  case Codec::kX264:
  case Codec::kOpenH264:
    return "rtph264pay config-interval=-1 aggregate-mode=zero-latency" + mtu + feedback;
  case Codec::kX265:
    return "rtph265pay config-interval=-1 aggregate-mode=zero-latency" + mtu + feedback;
  case Codec::kOpus:
    return "rtpopuspay" + mtu;
  }
  return {};
}

std::vector<std::pair<std::string, std::string>> Track::sdp_lines() const {
  std::vector<std::pair<std::string, std::string>> lines;
  switch (config_.codec) {
  case Codec::kVp8:
    lines = {{"rtpmap", "VP8/90000"}};
    break;
  case Codec::kVp9:
    lines = {{"rtpmap", "VP9/90000"}, {"fmtp", "profile-id=0"}};
    break;
  case Codec::kX264:
  case Codec::kOpenH264:
    lines = {{"rtpmap", "H264/90000"},
             {"fmtp", "level-asymmetry-allowed=1;packetization-mode=1;"
                      "profile-level-id=42e01f"}};
    break;
  case Codec::kX265:
    lines = {{"rtpmap", "H265/90000"}};
    break;
  case Codec::kOpus:
    return {{"rtpmap", "OPUS/48000/2"}};
  }
  for (const char *feedback : {"nack", "nack pli", "ccm fir"})
    lines.emplace_back("rtcp-fb", feedback);
  return lines;
}

void Track::attach(GstAppSrc *source) {
  {
    Lock lock(mutex_);
    listeners_.push_back({ObjPtr<GstAppSrc>::ref(source)});
  }
  request_keyframe();
}

void Track::detach(GstAppSrc *source) {
  Lock lock(mutex_);
  for (auto it = listeners_.begin(); it != listeners_.end(); ++it) {
    if (it->source.get() == source) {
      listeners_.erase(it);
      return;
    }
  }
}

CapsPtr Track::caps() const {
  Lock lock(mutex_);
  return CapsPtr(caps_ ? gst_caps_ref(caps_.get()) : nullptr);
}

void Track::request_keyframe() {
  const auto encoder = this->encoder();
  if (!is_video() || !encoder)
    return;
  const auto pad =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(encoder.get(), "src"));
  gst_pad_send_event(pad.get(), gst_video_event_new_upstream_force_key_unit(
                                    GST_CLOCK_TIME_NONE, TRUE, 0));
}

void Track::set_size(int width, int height) {
  config_.width = width;
  config_.height = height;
  if (pipeline_ && is_video())
    g_object_set(child(pipeline_.get(), "size").get(), "caps", raw_caps().get(), nullptr);
}

void Track::set_bitrate(unsigned kbps) {
  config_.kbps = kbps;
  const auto encoder = this->encoder();
  if (!encoder)
    return;
  switch (config_.codec) {
  case Codec::kVp8:
  case Codec::kVp9:
    g_object_set(encoder.get(), "target-bitrate", static_cast<gint>(kbps * 1000),
                 nullptr);
    break;
  case Codec::kX264:
  case Codec::kX265:
    g_object_set(encoder.get(), "bitrate", kbps, nullptr);
    break;
  case Codec::kOpenH264:
    g_object_set(encoder.get(), "bitrate", kbps * 1000, nullptr);
    break;
  case Codec::kOpus:
    break;
  }
}

bool Track::set_profile(const std::string &profile, GError **error) {
  stop();
  config_.profile = profile;
  return start(error);
}

void Track::set_muted(bool muted) {
  {
    Lock lock(mutex_);
    muted_ = muted;
    for (Listener &listener : listeners_)
      listener.started = false;
  }
  request_keyframe();
}

CapsPtr Track::raw_caps() const {
  const std::string more = config_.raw_fields.empty() ? "" : "," + config_.raw_fields;
  return CapsPtr(gst_caps_from_string(
      ("video/x-raw,format=I420,width=" + number(config_.width) + ",height=" +
       number(config_.height) + ",framerate=" + number(config_.fps) + "/1" + more)
          .c_str()));
}

GstPadProbeReturn Track::stamp(GstPadProbeInfo *info) {
  if (GST_PAD_PROBE_INFO_TYPE(info) & GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM) {
    GstEvent *event = GST_PAD_PROBE_INFO_EVENT(info);
    GstCaps *caps = nullptr;
    if (GST_EVENT_TYPE(event) == GST_EVENT_CAPS) {
      gst_event_parse_caps(event, &caps);
      gst_video_info_from_caps(&video_info_, caps);
    }
    return GST_PAD_PROBE_OK;
  }
  GstBuffer *buffer = gst_buffer_make_writable(GST_PAD_PROBE_INFO_BUFFER(info));
  GST_PAD_PROBE_INFO_DATA(info) = buffer;
  GstVideoFrame frame;
  if (!gst_video_frame_map(&frame, &video_info_, buffer, GST_MAP_READWRITE))
    return GST_PAD_PROBE_OK;
  const StampPixels luma{static_cast<uint8_t *>(GST_VIDEO_FRAME_PLANE_DATA(&frame, 0)),
                         GST_VIDEO_FRAME_WIDTH(&frame), GST_VIDEO_FRAME_HEIGHT(&frame),
                         GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 0)};
  paint_stamp(luma, {static_cast<uint8_t>(frames_), stamp_now_ms()});
  // Grey under the blocks, or colours of the picture would shine through in RGB.
  const int rows = stamp_height(luma.height) / 2;
  for (int plane = 1; plane <= 2; plane++) {
    auto *data = static_cast<uint8_t *>(GST_VIDEO_FRAME_PLANE_DATA(&frame, plane));
    const int stride = GST_VIDEO_FRAME_PLANE_STRIDE(&frame, plane);
    const int height = GST_VIDEO_FRAME_COMP_HEIGHT(&frame, plane);
    memset(data, 128, rows * stride);
    memset(data + (height - rows) * stride, 128, rows * stride);
  }
  gst_video_frame_unmap(&frame);
  frames_++;
  return GST_PAD_PROBE_OK;
}

// Thread: streaming.
GstPadProbeReturn Track::leave_ticks(GstPadProbeInfo *info) {
  GstBuffer *buffer = gst_buffer_make_writable(GST_PAD_PROBE_INFO_BUFFER(info));
  GST_PAD_PROBE_INFO_DATA(info) = buffer;
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_READWRITE))
    return GST_PAD_PROBE_OK;
  const GstClockTime begin = GST_BUFFER_PTS(buffer) + epoch_;
  constexpr gsize kFrame = 2 * sizeof(gint16);
  for (gsize at = 0; at + kFrame <= map.size; at += kFrame)
    if ((begin + at / kFrame * GST_SECOND / 48000) % GST_SECOND >= kTick)
      memset(map.data + at, 0, kFrame);
  gst_buffer_unmap(buffer, &map);
  return GST_PAD_PROBE_OK;
}

// As running times: x264enc's segment starts a thousand hours late, sessions have their
// own.
static BufferPtr in_running_time(GstSample *sample) {
  BufferPtr buffer(gst_buffer_copy(gst_sample_get_buffer(sample)));
  const GstSegment *segment = gst_sample_get_segment(sample);
  GST_BUFFER_PTS(buffer.get()) =
      gst_segment_to_running_time(segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer.get()));
  GST_BUFFER_DTS(buffer.get()) = GST_CLOCK_TIME_NONE;
  return buffer;
}

void Track::distribute(GstSample *sample) {
  const BufferPtr buffer = in_running_time(sample);
  GstCaps *caps = gst_sample_get_caps(sample);
  const bool keyframe = !GST_BUFFER_FLAG_IS_SET(buffer.get(), GST_BUFFER_FLAG_DELTA_UNIT);
  std::vector<ObjPtr<GstAppSrc>> receivers;
  bool news = false;
  {
    Lock lock(mutex_);
    news = !caps_ || !gst_caps_is_equal(caps_.get(), caps);
    caps_.reset(gst_caps_ref(caps));
    for (Listener &listener : listeners_) {
      listener.started |= keyframe && !muted_;
      if (listener.started && !muted_)
        receivers.push_back(listener.source);
    }
  }
  encoded_++;
  if (news && on_caps_)
    on_caps_();
  // A buffer for each, which share the bytes: appsrc writes times into what it passes on,
  // whoever else reads them.
  for (const auto &receiver : receivers) {
    const BufferPtr own(gst_buffer_copy(buffer.get()));
    const MiniPtr<GstSample> copy(gst_sample_new(own.get(), caps, nullptr, nullptr));
    gst_app_src_push_sample(receiver.get(), copy.get());
  }
}

} // namespace vdn
