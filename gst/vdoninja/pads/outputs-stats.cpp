// SPDX-License-Identifier: LGPL-2.1-or-later
// What each pad delivers, and how smoothly.
#include "output.h"
#include "structure-list.h"

namespace vdn {

namespace {

double ms(gint64 us) {
  return static_cast<double>(us) / 1000;
}

void add_drops(GstStructure *to, const Backlog::Drops &drops) {
  gst_structure_set(to, "dropped", G_TYPE_UINT64, drops.all(), "dropped-disposable",
                    G_TYPE_UINT64, drops.disposable, "dropped-before-keyframe",
                    G_TYPE_UINT64, drops.before_keyframe, "dropped-given-up",
                    G_TYPE_UINT64, drops.given_up, nullptr);
}

// Of decoded pictures.
void add_pictures(GstStructure *to, Shown &shown, std::pair<gint, gint> size) {
  Lock lock(shown.mutex);
  gst_structure_set(to, "width", G_TYPE_INT, size.first, "height", G_TYPE_INT,
                    size.second, "frames-decoded", G_TYPE_UINT64, shown.decoded, "fps",
                    G_TYPE_DOUBLE, shown.freezes.rate(), "freezes", G_TYPE_UINT,
                    shown.freezes.count(), "freeze-ms", G_TYPE_DOUBLE,
                    ms(shown.freezes.total()), "longest-ms", G_TYPE_DOUBLE,
                    ms(shown.freezes.longest()), "decode-ms-p95", G_TYPE_DOUBLE,
                    ms(shown.times.p95()), nullptr);
}

} // namespace

void Outputs::add_stats(const std::string &stream_id, GstStructure *to) const {
  StructureList pads;
  for (const auto &output : outputs_) {
    if (output->stream_id != stream_id)
      continue;
    const Branch &branch = output->branch;
    const Progress &progress = *branch.progress;
    const PlayoutStats pictures = output->pictures();
    StructurePtr about(gst_structure_new(
        "pad", "name", G_TYPE_STRING, GST_PAD_NAME(output->pad.get()), "codec",
        G_TYPE_STRING, output->source.encoding.c_str(), "decoder", G_TYPE_STRING,
        branch.decoder.c_str(), "linked", G_TYPE_BOOLEAN,
        gst_pad_is_linked(output->pad.get()), "packets", G_TYPE_UINT64,
        progress.received.load(), "buffers", G_TYPE_UINT64,
        gst_vdoninja_src_pad_get_buffers(output->src_pad()), "playout-ms", G_TYPE_DOUBLE,
        ms(progress.delay_us), "late-ms", G_TYPE_DOUBLE, ms(progress.wanted_us),
        "late-ms-p95", G_TYPE_DOUBLE, ms(pictures.late_p95_us), "latency-ms", G_TYPE_UINT,
        latency_, nullptr));
    add_drops(about.get(), pictures.drops);
    if (output->kind == MediaKind::kVideo && output->form != Form::kRtp)
      gst_structure_set(about.get(), "frames-received", G_TYPE_UINT64, pictures.frames,
                        "keyframes", G_TYPE_UINT64, pictures.keyframes, nullptr);
    if (branch.bin && output->kind == MediaKind::kVideo && output->form == Form::kRaw) {
      const guint64 handed = std::max<guint64>(progress.handed, 1);
      gst_structure_set(about.get(), "decode-ms", G_TYPE_DOUBLE,
                        ms(static_cast<gint64>(output->working_us() / handed)), nullptr);
      add_pictures(about.get(), *output->shown, output->picture_size());
    }
    pads.add(std::move(about));
  }
  pads.put(to, "pads");
}

} // namespace vdn
