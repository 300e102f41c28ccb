// SPDX-License-Identifier: LGPL-2.1-or-later
#include "repair.h"

#include <algorithm>

#include <gst/rtp/gstrtpbuffer.h>

#include "rtp-pad.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr const char *kData = "vdoninja-repair";
constexpr gint64 kApplyUs = 100000;
// What is nearer than this to what was set is left as it is.
constexpr unsigned kSameMs = 3;
// As this one leaves, only a keyframe can still be in time.
constexpr guint kLastHope = 3;
constexpr unsigned kHoleWait = 20;
constexpr gint64 kHoleUs = 300000; // until all of it was waited for
constexpr gint64 kAskAgainUs = 500000, kLongestUs = 2000000;
constexpr unsigned kShortestSoundWait = 40, kLongestSoundWait = 200, kSoundMargin = 20;

constexpr gint kSilencesPerSecond = 10; // no packet is of 100 ms

using Shared = std::shared_ptr<Repair>;

const Shared &repair_of(gpointer data) {
  return *static_cast<Shared *>(data);
}

void free_shared(gpointer data) {
  delete static_cast<Shared *>(data);
}

bool differ(unsigned a, unsigned b) {
  return std::max(a, b) - std::min(a, b) >= kSameMs;
}

bool is_named(const GstEvent *event, const char *name) {
  const GstStructure *s = gst_event_get_structure(const_cast<GstEvent *>(event));
  return s && gst_structure_has_name(s, name);
}

} // namespace

Repair::Repair(GstElement *jitterbuffer, guint session,
               std::shared_ptr<const RepairHints> hints)
    : jitterbuffer_(jitterbuffer), session_(session), hints_(std::move(hints)) {
  // Each of these is told by us; without the last but one no packet would be asked for
  // again before the next picture is due. Waiting costs nothing while nothing is missing.
  g_object_set(jitterbuffer, "rtx-delay", static_cast<gint>(now_.delay),
               "rtx-delay-reorder", 0, "rtx-retry-timeout", static_cast<gint>(now_.retry),
               "rtx-min-retry-timeout", 0, "latency", now_.wait, nullptr);
}

void Repair::install(GstElement *jitterbuffer, guint session,
                     std::shared_ptr<const RepairHints> hints) {
  const Shared self(new Repair(jitterbuffer, session, std::move(hints)));
  const auto sink =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(jitterbuffer, "sink"));
  const auto src = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(jitterbuffer, "src"));
  self->watch(sink.get(),
              static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER |
                                           GST_PAD_PROBE_TYPE_BUFFER_LIST),
              on_packet, self);
  self->watch(sink.get(), GST_PAD_PROBE_TYPE_EVENT_UPSTREAM, on_request, self);
  self->watch(src.get(), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, on_news, self);
  self->watch(src.get(), GST_PAD_PROBE_TYPE_EVENT_UPSTREAM, on_wish, self);
  g_object_set_data_full(G_OBJECT(jitterbuffer), kData, new Shared(self), free_shared);
}

void Repair::watch(GstPad *pad, GstPadProbeType what, GstPadProbeCallback callback,
                   const Shared &self) {
  gst_pad_add_probe(pad, what, callback, new Shared(self), free_shared);
}

// Thread: streaming.
GstPadProbeReturn Repair::on_packet(GstPad *pad, GstPadProbeInfo *info, gpointer data) {
  const Shared &self = repair_of(data);
  const gint64 now = g_get_monotonic_time();
  if (self->repeats_)
    return GST_PAD_PROBE_OK;
  bool is_hole = false;
  if (info->type & GST_PAD_PROBE_TYPE_BUFFER) {
    is_hole = self->arrived(pad, GST_PAD_PROBE_INFO_BUFFER(info), now);
  } else {
    GstBufferList *list = GST_PAD_PROBE_INFO_BUFFER_LIST(info);
    for (guint i = 0; i < gst_buffer_list_length(list); i++)
      is_hole |= self->arrived(pad, gst_buffer_list_get(list, i), now);
  }
  if (is_hole && !self->is_sound_)
    self->skip_hole(pad, now);
  else if (now - self->applied_ >= kApplyUs)
    self->apply(now);
  return GST_PAD_PROBE_OK;
}

// Before the jitterbuffer looks at it: what it waits with when it sees the gap is what it
// waits for all of it. As it was, when that is over (apply()).
void Repair::skip_hole(GstPad *sink, gint64 now) {
  GST_DEBUG_OBJECT(jitterbuffer_, "goes on behind what was lost in a silence");
  applied_ = now + kHoleUs - kApplyUs;
  now_.wait = kHoleWait;
  g_object_set(jitterbuffer_, "latency", now_.wait, nullptr);
  if (may_ask_for_keyframe())
    ask_for_keyframe(sink);
}

// Whoever mutes sends nothing, and goes on with the next number: the jitterbuffer takes
// the silence for the distance of packets, and waits for three quarters of it where the
// next one is lost (1.22 to 1.26: gstrtpjitterbuffer.c, calculate_packet_spacing()). An
// old packet has it begin that anew, and is dropped.
void Repair::forget_silence(GstPad *sink, GstBuffer *packet, guint16 number,
                            guint32 timestamp) {
  const BufferPtr last(last_.release());
  last_.reset(gst_buffer_ref(packet));
  const auto steps = static_cast<guint16>(number - std::exchange(last_number_, number));
  const auto passed =
      static_cast<gint32>(timestamp - std::exchange(last_timestamp_, timestamp));
  if (!last || steps != 1 || passed < clock_rate_ / kSilencesPerSecond)
    return;
  repeats_ = true;
  gst_pad_chain(sink, gst_buffer_copy(last.get()));
  repeats_ = false;
}

bool Repair::arrived(GstPad *sink, GstBuffer *packet, gint64 now) {
  GstRTPBuffer rtp = GST_RTP_BUFFER_INIT;
  if (!gst_rtp_buffer_map(packet, GST_MAP_READ, &rtp))
    return false;
  const auto number = gst_rtp_buffer_get_seq(&rtp);
  const auto timestamp = gst_rtp_buffer_get_timestamp(&rtp);
  const int payload_type = gst_rtp_buffer_get_payload_type(&rtp);
  gst_rtp_buffer_unmap(&rtp);
  payload_type_ = payload_type;
  if (!clock_rate_)
    look_at_format(payload_type);
  if (is_sound_) {
    forget_silence(sink, packet, number, timestamp);
    sent_ += static_cast<gint32>(timestamp - static_cast<guint32>(sent_));
    if (!transit_.arrived(sent_ * G_USEC_PER_SEC / clock_rate_, now))
      sent_ = timestamp; // jumps do not add up
  }
  Lock lock(mutex_);
  return timing_.arrived(
      number, timestamp,
      GST_BUFFER_FLAG_IS_SET(packet, GST_RTP_BUFFER_FLAG_RETRANSMISSION), now);
}

void Repair::look_at_format(int payload_type) {
  GstCaps *raw = nullptr;
  g_signal_emit_by_name(jitterbuffer_, "request-pt-map", static_cast<guint>(payload_type),
                        &raw);
  const CapsPtr caps(raw);
  const GstStructure *s = caps ? gst_caps_get_structure(caps.get(), 0) : nullptr;
  gint rate = 0;
  if (!s || !gst_structure_get_int(s, "clock-rate", &rate) || rate <= 0)
    return;
  clock_rate_ = rate;
  is_sound_ = !g_strcmp0(gst_structure_get_string(s, "media"), "audio");
  // As webrtcbin would, which misses it where packets come while an offer takes effect
  // (1.22 to 1.26: gstwebrtcbin.c, jitter_buffer_set_retransmission()).
  if (!is_sound_)
    g_object_set(jitterbuffer_, "do-retransmission", TRUE, nullptr);
}

// A packet that comes later than this has the jitterbuffer move all that follows.
unsigned Repair::sound_wait() const {
  const auto late_ms = static_cast<unsigned>(transit_.spread() / 1000);
  return std::max({hints_->sound_wait_ms.load(), kShortestSoundWait,
                   std::min(late_ms + kSoundMargin, kLongestSoundWait)});
}

void Repair::apply(gint64 now) {
  applied_ = now;
  ask_as_owed();
  RepairTiming::Settings next;
  bool unanswered = false;
  {
    Lock lock(mutex_);
    timing_.hint_round_trip(hints_->round_trip_us);
    next = timing_.settings(now);
    unanswered = timing_.is_unanswered();
  }
  if (unanswered && !std::exchange(told_unanswered_, true))
    hints_->unanswered();
  if (is_sound_)
    next.wait = sound_wait();
  if (next.wait != now_.wait || differ(next.delay, now_.delay) ||
      differ(next.retry, now_.retry) || next.max_requests != now_.max_requests)
    GST_DEBUG_OBJECT(jitterbuffer_,
                     "asks after %u ms, again after %u ms, %d times, waits %u ms",
                     next.delay, next.retry, next.max_requests, next.wait);
  if (next.wait != now_.wait)
    g_object_set(jitterbuffer_, "latency", next.wait, nullptr);
  now_.wait = next.wait;
  if (is_sound_)
    return;
  if (next.max_requests != now_.max_requests)
    g_object_set(jitterbuffer_, "rtx-max-retries", next.max_requests, nullptr);
  now_.max_requests = next.max_requests;
  if (differ(next.delay, now_.delay) || (!next.delay && now_.delay)) {
    g_object_set(jitterbuffer_, "rtx-delay", static_cast<gint>(next.delay), nullptr);
    now_.delay = next.delay;
  }
  if (next.report != now_.report)
    report_each(next.report);
  now_.report = next.report;
  if (differ(next.retry, now_.retry)) {
    g_object_set(jitterbuffer_, "rtx-retry-timeout", static_cast<gint>(next.retry),
                 nullptr);
    now_.retry = next.retry;
  }
}

// TWCC. As late as here, since rtpbin's locks are held while it makes jitterbuffers.
void Repair::report_each(unsigned ms) {
  const auto rtpbin =
      ObjPtr<GstObject>::adopt(gst_object_get_parent(GST_OBJECT(jitterbuffer_)));
  ObjPtr<GObject> session;
  if (rtpbin)
    g_signal_emit_by_name(rtpbin.get(), "get-internal-session", session_, session.out());
  if (session)
    g_object_set(session.get(), "twcc-feedback-interval", ms * GST_MSECOND, nullptr);
}

// Thread: the jitterbuffer's timers, or streaming.
GstPadProbeReturn Repair::on_request(GstPad *pad, GstPadProbeInfo *info, gpointer data) {
  const GstEvent *event = GST_PAD_PROBE_INFO_EVENT(info);
  if (!is_named(event, "GstRTPRetransmissionRequest"))
    return GST_PAD_PROBE_OK;
  const GstStructure *request = gst_event_get_structure(const_cast<GstEvent *>(event));
  return repair_of(data)->requested(pad, request) ? GST_PAD_PROBE_OK : GST_PAD_PROBE_DROP;
}

bool Repair::requested(GstPad *sink, const GstStructure *request) {
  guint number = 0, retry = 0;
  gst_structure_get(request, "seqnum", G_TYPE_UINT, &number, "retry", G_TYPE_UINT, &retry,
                    nullptr);
  GST_LOG_OBJECT(jitterbuffer_, "asks for #%u, %u times before", number, retry);
  bool leaves = true;
  {
    Lock lock(mutex_);
    leaves = timing_.requested(static_cast<uint16_t>(number), g_get_monotonic_time());
  }
  if (retry >= kLastHope && !is_sound_ && may_ask_for_keyframe())
    ask_for_keyframe(sink);
  return leaves;
}

// As the demultiplexer behind would complete it.
void Repair::ask_for_keyframe(GstPad *sink) {
  GstEvent *wish = new_keyframe_request();
  gst_structure_set(gst_event_writable_structure(wish), "payload", G_TYPE_UINT,
                    static_cast<guint>(payload_type_.load()), nullptr);
  gst_pad_push_event(sink, wish);
}

// The depayloader asks once, and then waits for what it asked for.
void Repair::ask_as_owed() {
  {
    Lock lock(mutex_);
    if (!owed_)
      return;
  }
  if (!may_ask_for_keyframe())
    return;
  const auto sink =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(jitterbuffer_, "sink"));
  ask_for_keyframe(sink.get());
}

// Thread: streaming.
GstPadProbeReturn Repair::on_news(GstPad *, GstPadProbeInfo *info, gpointer data) {
  if (is_named(GST_PAD_PROBE_INFO_EVENT(info), "GstRTPPacketLost")) {
    Repair &self = *repair_of(data);
    Lock lock(self.mutex_);
    self.timing_.gave_up();
  }
  return GST_PAD_PROBE_OK;
}

// The depayloader, the decoder, the playout stage and the application ask as they like;
// keyframes are the heaviest pictures there are, on lines that can hardly carry the
// others. Thread: any.
GstPadProbeReturn Repair::on_wish(GstPad *, GstPadProbeInfo *info, gpointer data) {
  const GstEvent *event = GST_PAD_PROBE_INFO_EVENT(info);
  if (is_named(event, kKeepAll)) {
    gboolean wanted = FALSE;
    gst_structure_get_boolean(gst_event_get_structure(const_cast<GstEvent *>(event)),
                              "wanted", &wanted);
    Repair &self = *repair_of(data);
    Lock lock(self.mutex_);
    self.timing_.keep_all(wanted != FALSE);
    return GST_PAD_PROBE_DROP;
  }
  if (!is_named(event, "GstForceKeyUnit") || repair_of(data)->may_ask_for_keyframe())
    return GST_PAD_PROBE_OK;
  return GST_PAD_PROBE_DROP;
}

bool Repair::may_ask_for_keyframe() {
  const gint64 now = g_get_monotonic_time();
  Lock lock(mutex_);
  const gint64 since = now - asked_;
  owed_ = since < ask_again_;
  if (owed_)
    return false;
  ask_again_ =
      since < 2 * ask_again_ ? std::min(2 * ask_again_, kLongestUs) : kAskAgainUs;
  asked_ = now;
  return true;
}

void Repair::add_stats(GstElement *jitterbuffer, GstStructure *to) {
  auto *shared = static_cast<Shared *>(g_object_get_data(G_OBJECT(jitterbuffer), kData));
  if (!shared)
    return;
  guint wait = 0;
  g_object_get(jitterbuffer, "latency", &wait, nullptr);
  const Repair &self = **shared;
  Lock lock(self.mutex_);
  const RepairTiming &timing = self.timing_;
  const RepairTiming::Counts &counts = timing.counts();
  gst_structure_set(
      to, "rtt-ms", G_TYPE_DOUBLE, static_cast<double>(timing.round_trip()) / 1000,
      "rtt-spread-ms", G_TYPE_DOUBLE, static_cast<double>(timing.spread()) / 1000,
      "wait-ms", G_TYPE_UINT, wait, "missed", G_TYPE_UINT64, counts.missed,
      "out-of-order", G_TYPE_UINT64, counts.out_of_order, "nacks-asked", G_TYPE_UINT64,
      counts.requests, "repaired", G_TYPE_UINT64, counts.repaired, "rtx-duplicates",
      G_TYPE_UINT64, counts.duplicates, "given-up", G_TYPE_UINT64, counts.given_up,
      "repaired-p95-ms", G_TYPE_DOUBLE, static_cast<double>(timing.repaired_in()) / 1000,
      nullptr);
}

} // namespace vdn
