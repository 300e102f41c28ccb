// SPDX-License-Identifier: LGPL-2.1-or-later
// What downstream is told of time: the latency, and gaps.
#include <algorithm>
#include <utility>

#include "output.h"

namespace vdn {

// ms, before anything is known of the network.
unsigned Outputs::first_latency(int wanted) {
  return wanted < 0 ? LatencyChoice::kLeastMs : static_cast<unsigned>(wanted);
}

void Outputs::set_latency(int ms) {
  config_.latency = ms;
  declare_latency(first_latency(ms));
}

void Outputs::declare_latency(unsigned ms) {
  latency_ = ms;
  latency_choice_.told(g_get_monotonic_time());
  for (auto &output : outputs_) {
    gst_vdoninja_src_pad_set_latency(output->src_pad(), ms * GST_MSECOND);
    if (output->branch.playout)
      playout_set_latency(output->branch.playout.get(), static_cast<gint64>(ms) * 1000,
                          is_adaptive());
  }
  observer_.latency_declared(ms);
  gst_element_post_message(element_, gst_message_new_latency(GST_OBJECT(element_)));
}

// So that a sink that syncs finds next to nothing late: what the network does, and
// decoding. Of pictures, as sound is sent once and waits for nothing but the latency;
// where there are none, of sound. All pads have the same, or picture and sound would
// part.
void Outputs::adapt_latency() {
  if (!is_adaptive())
    return;
  gint64 needed[2] = {0, 0}; // us, of sound and of pictures
  bool pictures = false;
  for (const auto &output : outputs_) {
    if (!output->branch.bin)
      continue;
    const bool video = output->kind == MediaKind::kVideo;
    pictures |= video;
    const Progress &progress = *output->branch.progress;
    const guint64 decoding = output->working_us() / std::max<guint64>(progress.handed, 1);
    needed[video] =
        std::max(needed[video], progress.wanted_us + static_cast<gint64>(2 * decoding));
  }
  if (const auto ms =
          latency_choice_.judge(latency_, needed[pictures], g_get_monotonic_time()))
    declare_latency(*ms);
}

// Whoever waits for all pads, as muxers and mixers do, must not wait for one whose
// publisher is away or sends nothing. What is late may still come within the latency.
void Outputs::fill_gaps() {
  const auto clock = ObjPtr<GstClock>::adopt(gst_element_get_clock(element_));
  const GstClockTime late = gst_element_get_base_time(element_) + latency_ * GST_MSECOND;
  const GstClockTime now = clock ? gst_clock_get_time(clock.get()) : 0;
  for (auto &output : outputs_) {
    const guint64 delivered = gst_vdoninja_src_pad_get_buffers(output->src_pad());
    const bool idle = std::exchange(output->before_gap, delivered) == delivered;
    if (!idle || now < late || !*flowing_ || !gst_pad_is_linked(output->pad.get()) ||
        gst_vdoninja_src_pad_is_pushing(output->src_pad()))
      continue;
    struct Gap {
      ObjPtr<GstPad> pad;
      GstClockTime time;
    };
    gst_element_call_async(
        element_,
        [](GstElement *, gpointer data) {
          auto *gap = static_cast<Gap *>(data);
          gst_vdoninja_src_pad_push_gap(GST_VDONINJA_SRC_PAD(gap->pad.get()), gap->time);
        },
        new Gap{output->pad, now - late},
        [](gpointer data) { delete static_cast<Gap *>(data); });
  }
}

} // namespace vdn
