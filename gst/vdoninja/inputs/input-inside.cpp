// SPDX-License-Identifier: LGPL-2.1-or-later
// The half of input.h that builds what stands behind the pad. Thread: streaming, but
// leave_inside() in close().
#include <algorithm>

#include <gst/video/video.h>

#include "input.h"

namespace vdn {

namespace {

ObjPtr<GstPad> sink_of(GstElement *element) {
  return ObjPtr<GstPad>::adopt(gst_element_get_static_pad(element, "sink"));
}

} // namespace

void Input::install(std::vector<std::shared_ptr<Encoder>> made,
                    std::shared_ptr<Passthrough> passthrough) {
  PictureBox box;
  {
    Lock lock(mutex_);
    box = box_;
    if (closed_)
      return; // and none was started
    encoders_ = std::move(made);
    passthrough_ = std::move(passthrough);
    dead_.clear();
  }
  for (const auto &track : all_tracks()) {
    track->set_epoch(epoch_);
    track->set_muted(muted_);
  }
  for (const auto &encoder : encoders()) {
    encoder->set_rate(kbps_);
    encoder->set_box(box);
  }
}

void Input::leave_inside() {
  std::vector<std::shared_ptr<Encoder>> ending;
  {
    Lock lock(mutex_);
    ending.swap(encoders_);
    passthrough_.reset();
  }
  for (const auto &encoder : ending)
    encoder->close();
  gst_ghost_pad_set_target(GST_GHOST_PAD(pad_.get()), nullptr);
  auto *bin = GST_BIN(bin_.get());
  if (passing_)
    disposer_->dispose(bin, ObjPtr<GstElement>::ref(passing_->bin()));
  passing_.reset();
  if (tee_)
    disposer_->dispose(bin, std::exchange(tee_, nullptr));
  if (pace_)
    disposer_->dispose(bin, std::exchange(pace_, nullptr));
}

// A tee for encoders that come and go, and a sink that is always there: it waits for the
// clock where that is wanted, answers for latency, and takes what nobody encodes.
bool Input::make_raw_inside() {
  tee_ = ObjPtr<GstElement>::adopt(gst_element_factory_make("tee", nullptr));
  pace_ = ObjPtr<GstElement>::adopt(gst_element_factory_make("fakesink", nullptr));
  if (!tee_ || !pace_)
    return refuse(GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN,
                  "GStreamer's core elements are missing", "tee, fakesink");
  g_object_set(tee_.get(), "allow-not-linked", TRUE, nullptr);
  g_object_set(pace_.get(), "async", FALSE, "sync", FALSE, "enable-last-sample", FALSE,
               nullptr);
  gst_bin_add_many(GST_BIN(bin_.get()), tee_.get(), pace_.get(), nullptr);
  gst_element_link(tee_.get(), pace_.get());
  gst_element_sync_state_with_parent(pace_.get());
  gst_element_sync_state_with_parent(tee_.get());
  gst_ghost_pad_set_target(GST_GHOST_PAD(pad_.get()), sink_of(tee_.get()).get());
  return true;
}

// One for each codec that can be made; those that the user's element makes come first.
std::vector<std::shared_ptr<Encoder>> Input::make_encoders() {
  ObjPtr<GstElement> wanted;
  if (!config_.encoder.empty()) {
    GError *raw_error = nullptr;
    wanted = make_encoder(config_.encoder, &raw_error);
    const ErrorPtr error(raw_error);
    if (!wanted) {
      refuse(GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN,
             std::string(config_.video ? "video" : "audio") + "-encoder=\"" +
                 config_.encoder + "\" cannot be made",
             error ? error->message : "");
      return {};
    }
  }
  std::vector<std::shared_ptr<Encoder>> first, others;
  std::string names;
  for (const Encoding encoding : config_.encodings) {
    const EncodingFacts &facts = facts_of(encoding);
    names += (names.empty() ? "" : ", ") + std::string(facts.name);
    const bool by_wanted = wanted && makes(wanted.get(), encoding);
    if (facts.video != config_.video || !can_send(encoding) ||
        (!by_wanted && encoders_for(encoding).empty()))
      continue;
    EncoderPlan plan;
    plan.encoding = encoding;
    plan.wanted = by_wanted ? config_.encoder : "";
    plan.kbps = kbps_;
    plan.keyframe_seconds = config_.keyframe_seconds;
    plan.patience_us = config_.patience_us;
    (by_wanted ? first : others)
        .push_back(Encoder::create(std::move(plan), GST_BIN(bin_.get()), tee_.get(),
                                   *this, disposer_));
  }
  first.insert(first.end(), others.begin(), others.end());
  if (first.empty())
    refuse(GST_CORE_ERROR, GST_CORE_ERROR_MISSING_PLUGIN,
           "no encoder for " + (names.empty() ? "any codec" : names) +
               " is installed; install gstreamer1.0-plugins-ugly or -good",
           "");
  return first;
}

bool Input::set_raw(GstCaps *caps) {
  GstVideoInfo video;
  const bool video_ok = config_.video && gst_video_info_from_caps(&video, caps) &&
                        GST_VIDEO_INFO_WIDTH(&video) > 0 &&
                        GST_VIDEO_INFO_HEIGHT(&video) > 0;
  const StrPtr text(gst_caps_to_string(caps));
  // Frames in memory of their own may have a format that is not known here.
  if (config_.video && !video_ok && memory_of(caps).empty())
    return refuse(GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT,
                  "raw video without a format or a size cannot be encoded", text.get());
  bool changed = !tee_;
  if (!tee_) {
    leave_inside();
    if (!make_raw_inside())
      return false;
    auto made = make_encoders();
    if (made.empty())
      return false;
    install(std::move(made), nullptr);
  }
  {
    Lock lock(mutex_);
    changed |= !dead_.empty();
    dead_.clear();
  }
  for (const auto &encoder : encoders())
    encoder->set_input(caps);
  if (changed)
    tell_tracks();
  return true;
}

bool Input::set_encoded(GstCaps *caps, const EncodingFacts &facts) {
  GError *raw_error = nullptr;
  const bool changed = !passing_ || passing_->encoding() != facts.encoding;
  if (changed) {
    leave_inside();
    PassthroughConfig config;
    config.encoding = facts.encoding;
    config.true_profile = config_.true_profile;
    config.patience_us = config_.patience_us;
    config.warn = [weak = weak_from_this()](const std::string &text,
                                            const std::string &debug) {
      if (const auto self = weak.lock())
        self->encoder_warning(text, debug);
    };
    passing_ = Passthrough::create(std::move(config), &raw_error);
  }
  if (!passing_ || !passing_->set_caps(caps, &raw_error)) {
    const ErrorPtr error(raw_error);
    leave_inside();
    return refuse(error->domain, error->code, error->message, "");
  }
  if (!changed)
    return true;
  gst_bin_add(GST_BIN(bin_.get()), passing_->bin());
  gst_element_sync_state_with_parent(passing_->bin());
  gst_ghost_pad_set_target(GST_GHOST_PAD(pad_.get()), sink_of(passing_->bin()).get());
  install({}, passing_);
  tell_tracks();
  return true;
}

} // namespace vdn
