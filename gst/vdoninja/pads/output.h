// SPDX-License-Identifier: LGPL-2.1-or-later
// One lasting pad and what feeds it at the moment. Private to the pads layer. Thread:
// loop.
#pragma once

#include <algorithm>
#include <utility>

#include "outputs.h"
#include "overload.h"
#include "rtp-pad.h"

namespace vdn {

constexpr unsigned kNoLine = G_MAXUINT;

struct Outputs::Output {
  explicit Output(Loop &loop) : watch_timer(loop), measure_timer(loop) {}

  GstVdoNinjaSrcPad *src_pad() const { return GST_VDONINJA_SRC_PAD(pad.get()); }
  // Drops what arrives, instead of blocking or failing.
  void discard() {
    if (source.pad && !drop_probe)
      drop_probe = discard_media(source.pad.get(), std::exchange(source.block, 0));
  }
  // Width and height of what goes downstream, 0 while that is not known.
  std::pair<gint, gint> picture_size() const {
    const CapsPtr caps(gst_pad_get_current_caps(pad.get()));
    std::pair<gint, gint> size;
    if (caps)
      gst_structure_get(gst_caps_get_structure(caps.get(), 0), "width", G_TYPE_INT,
                        &size.first, "height", G_TYPE_INT, &size.second, nullptr);
    return size;
  }
  // That nothing is shown is no freeze.
  void interrupt() {
    Lock lock(shown->mutex);
    shown->freezes.interrupt();
  }
  void forget_failures() {
    given_up = told_all_failed = told_no_keyframe = false;
    failed_decoders.clear();
    relapses = 0;
  }
  // The branch is linked: neither block nor drop any longer.
  void let_flow() {
    for (gulong probe : {std::exchange(drop_probe, 0), std::exchange(source.block, 0)})
      if (probe)
        gst_pad_remove_probe(source.pad.get(), probe);
  }

  // As the web client names it.
  std::string shown_id() const { return stream_id + (screen ? ":s" : ""); }
  bool takes(const std::string &encoding) const {
    return wanted.empty() ||
           std::find(wanted.begin(), wanted.end(), encoding) != wanted.end();
  }
  // For how long the decoder, or what is in its place, was at work since the branch
  // began.
  guint64 working_us() const {
    const guint64 pushing = gst_vdoninja_src_pad_get_pushing_us(src_pad()) - pushing_us;
    const guint64 working = branch.progress->working_us;
    return working - std::min(working, pushing);
  }
  // What came and what of it was dropped, of all branches.
  PlayoutStats pictures() const {
    PlayoutStats sum =
        branch.playout ? playout_stats(branch.playout.get()) : PlayoutStats();
    sum.frames += earlier.frames;
    sum.keyframes += earlier.keyframes;
    sum.drops.disposable += earlier.drops.disposable;
    sum.drops.before_keyframe += earlier.drops.before_keyframe;
    sum.drops.given_up += earlier.drops.given_up;
    return sum;
  }
  // What the branch gives, or could give while it gives nothing.
  CapsPtr given_caps() const {
    auto src = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(branch.bin.get(), "src"));
    GstCaps *current = gst_pad_get_current_caps(src.get());
    return CapsPtr(current ? current : gst_pad_query_caps(src.get(), nullptr));
  }

  unsigned id = 0;
  std::string stream_id;
  MediaKind kind = MediaKind::kVideo;
  bool screen = false;      // not the camera, but the screen beside it
  unsigned ordinal = 0;     // among the lines that are the same in both
  unsigned mline = kNoLine; // in the newest offer
  ObjPtr<GstPad> pad;
  std::vector<gulong> handlers;

  const std::shared_ptr<Shown> shown = std::make_shared<Shown>();
  const PipelineLatency pipeline_latency = std::make_shared<std::atomic<gint64>>(0);
  RtpSource source;
  gulong drop_probe = 0;
  Branch branch;
  unsigned branch_id = 0; // tells late news of an earlier branch apart
  Form form = Form::kRaw;
  std::vector<std::string> wanted; // encodings that downstream takes, empty: any
  CapsPtr peer_caps;               // what downstream answered, NULL while unlinked
  // Decoders that made way for the next, how often in a row the one in use was made anew,
  // and whether a warning told that all of them failed.
  std::vector<std::string> failed_decoders;
  unsigned relapses = 0;
  bool told_all_failed = false;
  bool told_no_keyframe = false;
  bool given_up = false;  // downstream refused; try again when it is linked anew
  guint64 before_gap = 0; // buffers delivered when gaps were looked for last
  // What the watch saw last, and for how long data came in without a picture.
  guint64 delivered = 0, received = 0, decoding = 0;
  unsigned stalled_ms = 0, working_ms = 0;
  unsigned next_request_ms = 0;
  bool produced = false; // by this branch
  Timer watch_timer;
  PlayoutStats earlier;       // of earlier branches
  guint64 measured_bytes = 0; // up to the last measurement of the bitrate
  guint bitrate = 0;          // as told downstream
  guint64 pushing_us = 0;     // of the pad, when this branch began
  unsigned measurements = 0;  // of this branch
  unsigned skips = 0;         // up to the window of measurements that runs
  bool told_slow = false;
  // Of the decoder: for how long it worked up to the last measurement, us, and the size
  // that the publisher sends by itself.
  guint64 decoded_us = 0;
  Overload overload;
  gint full_width = 0, full_height = 0;
  Timer measure_timer;
};

} // namespace vdn
