// SPDX-License-Identifier: LGPL-2.1-or-later
// Has a rtpjitterbuffer ask for what is missing at the right time, wait for it as long as
// it is worth, and the publisher be asked for keyframes no more often than they help.
// All by properties and probes; the element stays as it is.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "gst-ptr.h"
#include "mutex.h"
#include "repair-timing.h"

namespace vdn {

// What the jitterbuffers of one session are told. Thread: any.
struct RepairHints {
  // Sound is never sent again, so to wait for it longer than it is delayed anyway is lost
  // time; but for what is late. ms.
  std::atomic<unsigned> sound_wait_ms{0};
  std::atomic<gint64> round_trip_us{0}; // 0: not known
  // Of what was asked for nothing has ever come. Once for each jitterbuffer; thread:
  // streaming. Set before data flow.
  std::function<void()> unanswered = [] {};
};

class Repair {
public:
  // Before data flows. `session`: of its rtpbin. Thread: any.
  static void install(GstElement *jitterbuffer, guint session,
                      std::shared_ptr<const RepairHints> hints);
  // Adds what was lost, asked for and repaired. Thread: any.
  static void add_stats(GstElement *jitterbuffer, GstStructure *to);

private:
  Repair(GstElement *jitterbuffer, guint session,
         std::shared_ptr<const RepairHints> hints);
  static GstPadProbeReturn on_packet(GstPad *, GstPadProbeInfo *info, gpointer data);
  static GstPadProbeReturn on_request(GstPad *, GstPadProbeInfo *info, gpointer data);
  static GstPadProbeReturn on_news(GstPad *, GstPadProbeInfo *info, gpointer data);
  static GstPadProbeReturn on_wish(GstPad *, GstPadProbeInfo *info, gpointer data);
  void watch(GstPad *pad, GstPadProbeType what, GstPadProbeCallback callback,
             const std::shared_ptr<Repair> &self);
  // As RepairTiming has it.
  bool arrived(GstPad *sink, GstBuffer *packet, gint64 now);
  void skip_hole(GstPad *sink, gint64 now);
  void forget_silence(GstPad *sink, GstBuffer *packet, guint16 number, guint32 timestamp);
  // Whether it may leave.
  bool requested(GstPad *sink, const GstStructure *request);
  void look_at_format(int payload_type);
  void apply(gint64 now);
  unsigned sound_wait() const;
  void ask_as_owed();
  void ask_for_keyframe(GstPad *sink);
  void report_each(unsigned ms);
  bool may_ask_for_keyframe();

  GstElement *const jitterbuffer_; // outlives its probes
  const guint session_;
  const std::shared_ptr<const RepairHints> hints_;
  std::atomic<int> payload_type_{-1};
  std::atomic<bool> is_sound_{false};
  gint clock_rate_ = 0; // 0: not known; thread: streaming, as all to the mutex
  gint64 sent_ = 0;     // RTP timestamp, extended
  Transit transit_;     // of sound
  BufferPtr last_;      // packet of sound, and its marks
  guint16 last_number_ = 0;
  guint32 last_timestamp_ = 0;
  bool repeats_ = false;
  bool told_unanswered_ = false;
  gint64 applied_ = G_MININT64 / 2; // us
  RepairTiming::Settings now_;      // as the jitterbuffer has them
  mutable Mutex mutex_;
  RepairTiming timing_ GUARDED_BY(mutex_);
  gint64 asked_ GUARDED_BY(mutex_) = G_MININT64 / 2; // for a keyframe, us
  gint64 ask_again_ GUARDED_BY(mutex_) = 0;          // after so many us
  bool owed_ GUARDED_BY(mutex_) = false;             // a wish came too early
};

} // namespace vdn
