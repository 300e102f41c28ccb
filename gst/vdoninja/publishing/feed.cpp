// SPDX-License-Identifier: LGPL-2.1-or-later
#include "feed.h"

#include "offer-out.h"

#define GST_USE_UNSTABLE_API
#include <gst/video/video.h>
#include <gst/webrtc/webrtc.h>

namespace vdn {

namespace {

// The pacer takes packets at once, so frames wait here only while a relay over TCP does
// not take any; then newer ones are worth more.
constexpr guint64 kMaxWaiting = 60;

// What the payloader is to make; with numbers its packets can be named by reports. One id
// for each extension in a bundle.
CapsPtr packet_caps(int payload_type, bool video, bool numbered) {
  CapsPtr caps(gst_caps_new_simple("application/x-rtp", "payload", G_TYPE_INT,
                                   payload_type, nullptr));
  if (numbered)
    gst_caps_set_simple(caps.get(), "rtcp-fb-transport-cc", G_TYPE_BOOLEAN, TRUE,
                        "extmap-1", G_TYPE_STRING, kTransportWideCc, nullptr);
  if (video)
    gst_caps_set_simple(caps.get(), "rtcp-fb-nack-pli", G_TYPE_BOOLEAN, TRUE,
                        "rtcp-fb-ccm-fir", G_TYPE_BOOLEAN, TRUE, nullptr);
  return caps;
}

} // namespace

std::unique_ptr<Feed> Feed::create(GstBin *pipeline, GstElement *webrtc,
                                   std::shared_ptr<MediaTrack> track,
                                   const Packets &packets, Callbacks callbacks,
                                   GError **error) {
  std::unique_ptr<Feed> self(new Feed(pipeline, std::move(callbacks)));
  self->pad_ = ObjPtr<GstPad>::adopt(gst_element_request_pad_simple(webrtc, "sink_%u"));
  if (!self->pad_) {
    g_set_error(error, GST_CORE_ERROR, GST_CORE_ERROR_PAD,
                "webrtcbin gives no pad for a medium");
    return nullptr;
  }
  const bool video = track->is_video();
  if (!self->link(std::move(track), packets, error))
    return nullptr;
  ObjPtr<GObject> transceiver;
  g_object_get(self->pad_.get(), "transceiver", transceiver.out(), nullptr);
  // Not for sound: Chromium refuses an offer with retransmission there.
  g_object_set(transceiver.get(), "direction",
               GST_WEBRTC_RTP_TRANSCEIVER_DIRECTION_SENDONLY, "do-nack",
               static_cast<gboolean>(video), nullptr);
  return self;
}

Feed::~Feed() {
  if (track_)
    track_->remove(this);
}

bool Feed::link(std::shared_ptr<MediaTrack> track, const Packets &wanted,
                GError **error) {
  const std::string line =
      "appsrc name=source is-live=true leaky-type=downstream max-bytes=0 "
      "max-buffers=" +
      std::to_string(kMaxWaiting) + " ! " + track->payloader(wanted.payload_type) +
      " ssrc=" + std::to_string(ssrc_) + " ! capsfilter name=packets";
  GError *raw = nullptr;
  branch_ = ObjPtr<GstElement>::adopt(gst_parse_bin_from_description_full(
      line.c_str(), TRUE, nullptr, GST_PARSE_FLAG_FATAL_ERRORS, &raw));
  if (raw) {
    g_propagate_error(error, raw);
    return false;
  }
  gst_bin_add(pipeline_, branch_.get());
  const auto packets =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(branch_.get()), "packets"));
  g_object_set(packets.get(), "caps",
               packet_caps(wanted.payload_type, track->is_video(), wanted.numbered).get(),
               nullptr);
  source_ = ObjPtr<GstAppSrc>::adopt(
      GST_APP_SRC(gst_bin_get_by_name(GST_BIN(branch_.get()), "source")));
  g_object_set(source_.get(), "format", GST_FORMAT_TIME, nullptr);
  const auto requests = ObjPtr<GstPad>::adopt(
      gst_element_get_static_pad(GST_ELEMENT(source_.get()), "src"));
  gst_pad_add_probe(
      requests.get(), GST_PAD_PROBE_TYPE_EVENT_UPSTREAM,
      [](GstPad *, GstPadProbeInfo *info, gpointer data) {
        if (!gst_video_event_is_force_key_unit(GST_PAD_PROBE_INFO_EVENT(info)))
          return GST_PAD_PROBE_OK;
        (*static_cast<std::function<void()> *>(data))();
        return GST_PAD_PROBE_DROP;
      },
      new std::function<void()>(callbacks_.keyframe_asked),
      [](gpointer data) { delete static_cast<std::function<void()> *>(data); });
  const auto from =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(branch_.get(), "src"));
  if (gst_pad_link(from.get(), pad_.get()) != GST_PAD_LINK_OK) {
    g_set_error(error, GST_CORE_ERROR, GST_CORE_ERROR_PAD,
                "webrtcbin refuses the medium");
    return false;
  }
  track_ = std::move(track);
  // It tells them again with its next keyframe, for which an offer need not wait.
  if (const CapsPtr known = track_->caps())
    gst_app_src_set_caps(source_.get(), known.get());
  gst_element_sync_state_with_parent(branch_.get());
  track_->add(this);
  return true;
}

void Feed::unlink() {
  track_->remove(this);
  track_.reset();
  gst_element_set_state(branch_.get(), GST_STATE_NULL);
  gst_bin_remove(pipeline_, branch_.get());
  branch_.reset();
  source_.reset();
}

bool Feed::replace(std::shared_ptr<MediaTrack> track, const Packets &packets,
                   GError **error) {
  unlink();
  return link(std::move(track), packets, error);
}

void Feed::on_caps(GstCaps *caps) {
  gst_app_src_set_caps(source_.get(), caps);
  callbacks_.caps_known();
}

void Feed::on_frame(GstBuffer *buffer, bool keyframe) {
  BufferPtr own(buffer);
  if (keyframe && track_->is_video())
    callbacks_.keyframe_came(GST_BUFFER_PTS(buffer));
  if (!open_) {
    flowing_ = false;
    return;
  }
  const bool full =
      gst_app_src_get_current_level_buffers(source_.get()) >= kMaxWaiting - 1;
  const bool stuck = full || (slow_ && !keyframe && callbacks_.backlogged());
  if (keyframe && !full)
    flowing_ = true;
  else if (stuck && track_->is_video())
    flowing_ = false;
  if (flowing_)
    gst_app_src_push_buffer(source_.get(), own.release());
}

} // namespace vdn
