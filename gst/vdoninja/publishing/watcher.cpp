// SPDX-License-Identifier: LGPL-2.1-or-later
#include "watcher.h"

#include <algorithm>

#include "elements-of.h"
#include "made-by.h"
#include "report-gate.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

// A web client says what it wants right after the channel opens; others say nothing.
constexpr unsigned kFirstWordMs = 250;
// webrtcbin numbers what it repeats from 96 on; alternatives stand above that.
constexpr int kFirstPayloadType = 110;
constexpr int kFirstAlternative = 120;

using DescriptionPtr = std::unique_ptr<GstWebRTCSessionDescription,
                                       Releaser<gst_webrtc_session_description_free>>;

OfferedFormat format_of(const MediaTrack &track, int payload_type) {
  const SdpFacts facts = track.sdp();
  return {payload_type, facts.encoding_name, facts.clock_rate, facts.channels,
          facts.fmtp};
}

// Thread: streaming.
GstPadProbeReturn on_reports(GstPad *, GstPadProbeInfo *info, gpointer gate) {
  return static_cast<ReportGate *>(gate)->admits(GST_PAD_PROBE_INFO_BUFFER(info),
                                                 g_get_monotonic_time())
             ? GST_PAD_PROBE_OK
             : GST_PAD_PROBE_DROP;
}

// Thread: webrtcbin's.
void on_rtpbin_pad_added(GstElement *, GstPad *pad, gpointer) {
  if (g_str_has_prefix(GST_PAD_NAME(pad), "recv_rtcp_sink"))
    gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, on_reports, new ReportGate,
                      [](gpointer gate) { delete static_cast<ReportGate *>(gate); });
}

} // namespace

Watcher::Watcher(Loop &loop, GstBin *home, ObjPtr<GstElement> pipeline,
                 std::shared_ptr<Disposer> disposer, const Address &me,
                 const Secret &secret, WatcherConfig config, WatcherObserver &observer)
    : Connection(loop, GST_BIN(pipeline.get()), std::move(disposer), me, secret,
                 std::move(config.connection)),
      home_(home), pipeline_(std::move(pipeline)), config_(std::move(config)),
      observer_(observer), first_word_(loop),
      bandwidth_(config_.limits, config_.limits.max_kbit_s) {
  encrypt_ = secret.enabled();
  negotiating_ = true;
}

Watcher::~Watcher() = default;

std::shared_ptr<Watcher> Watcher::create(Loop &loop, GstBin *home,
                                         std::shared_ptr<Disposer> disposer,
                                         const Address &me, const Secret &secret,
                                         WatcherConfig config, WatcherObserver &observer,
                                         GError **error) {
  std::shared_ptr<Watcher> self(
      new Watcher(loop, home, ObjPtr<GstElement>::adopt(gst_pipeline_new(nullptr)),
                  std::move(disposer), me, secret, std::move(config), observer));
  if (self->setup(error))
    return self;
  self->close();
  return nullptr;
}

bool Watcher::setup(GError **error) {
  listen_to_bus();
  gst_pipeline_use_clock(GST_PIPELINE(pipeline_.get()), config_.clock.get());
  gst_element_set_base_time(pipeline_.get(), config().base_time);
  gst_element_set_start_time(pipeline_.get(), GST_CLOCK_TIME_NONE);
  if (!make_webrtcbin(error))
    return false;
  set_up_rtpbin();
  watch_inside(false);
  gst_bin_add(bin_.get(), webrtc_.get());
  // A data channel needs webrtcbin's thread, which READY starts.
  gst_element_set_state(pipeline_.get(), GST_STATE_READY);
  if (!add_feeds(error))
    return false;
  open_channel();
  if (gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING) ==
      GST_STATE_CHANGE_FAILURE) {
    g_set_error(error, connection_error_quark(), CONNECTION_ERROR_WEBRTC,
                "webrtcbin does not start; GST_DEBUG=webrtcbin:5 says why");
    return false;
  }
  return true;
}

void Watcher::set_time(GstClock *clock, GstClockTime base_time) {
  if (closed_)
    return;
  gst_pipeline_use_clock(GST_PIPELINE(pipeline_.get()), clock);
  gst_element_set_clock(pipeline_.get(), clock);
  gst_element_set_base_time(pipeline_.get(), base_time);
  for (const auto &element : elements_of(gst_bin_iterate_recurse(bin_.get())))
    gst_element_set_base_time(element.get(), base_time);
}

// Thread: any.
void Watcher::listen_to_bus() {
  const auto bus = ObjPtr<GstBus>::adopt(gst_element_get_bus(pipeline_.get()));
  gst_bus_set_sync_handler(
      bus.get(),
      [](GstBus *, GstMessage *message, gpointer data) {
        auto *at = static_cast<Hook *>(data);
        if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
          GError *raw = nullptr;
          gst_message_parse_error(message, &raw, nullptr);
          const ErrorPtr error(raw);
          run_later<Watcher>(*at, [text = std::string(raw->message)](Watcher &self) {
            self.fail(CONNECTION_ERROR_WEBRTC, text);
          });
        }
        // Sender reports need to know it.
        if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_LATENCY)
          run_later<Watcher>(
              *at, [](Watcher &self) { gst_bin_recalculate_latency(self.bin_.get()); });
        gst_message_unref(message);
        return GST_BUS_DROP;
      },
      new_hook(), Hook::free_data);
}

// Sender reports with the times of capture, each second: browsers need two of both media
// before lips are in sync.
void Watcher::set_up_rtpbin() {
  const auto rtpbin =
      ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(webrtc_.get()), "rtpbin"));
  g_object_set(rtpbin.get(), "rtcp-sync-send-time", FALSE, nullptr);
  g_signal_connect(rtpbin.get(), "element-added", G_CALLBACK(on_rtpbin_element_added),
                   nullptr);
  g_signal_connect(rtpbin.get(), "pad-added", G_CALLBACK(on_rtpbin_pad_added), nullptr);
  if (config_.paced)
    hook(webrtc_.get(), "request-aux-sender", G_CALLBACK(on_request_aux_sender));
}

// Thread: webrtcbin's.
void Watcher::on_rtpbin_element_added(GstBin *, GstElement *child, gpointer) {
  if (is_made_by(GST_OBJECT(child), "rtpsession"))
    g_object_set(child, "rtcp-min-interval", GST_SECOND, nullptr);
}

// Thread: webrtcbin's. A floating reference: before 1.26 a full one leaks.
GstElement *Watcher::on_request_aux_sender(GstElement *, GObject *, gpointer hook) {
  auto *at = static_cast<Hook *>(hook);
  auto self = at->lock<Watcher>();
  if (!self || self->pacer_)
    return nullptr;
  PacerConfig config;
  config.kbit_s = self->config_.limits.max_kbit_s;
  for (const OfferedMedium &medium : self->offered_)
    for (const OfferedFormat &format : medium.formats) {
      const auto type = static_cast<size_t>(format.payload_type);
      if (medium.kind == MediaKind::kAudio)
        config.payloads.sound.set(type);
      else if (format.encoding == "VP8")
        config.payloads.vp8.set(type);
      else if (format.encoding == "VP9")
        config.payloads.vp9.set(type);
    }
  config.feedback = [at = *at](std::vector<SentPacket> packets) {
    run_later<Watcher>(at, [packets = std::move(packets)](Watcher &watcher) {
      watcher.take_feedback(packets);
    });
  };
  GstElement *pacer = pacer_new(std::move(config));
  self->pacer_ = pacer;
  return pacer;
}

bool Watcher::add_feeds(GError **error) {
  int payload_type = kFirstPayloadType, alternative = kFirstAlternative;
  for (const Medium &medium : config_.media) {
    OfferedMedium offered;
    offered.kind = medium.kind;
    offered.transport_cc = config_.paced;
    for (const auto &track : medium.tracks)
      offered.formats.push_back(
          format_of(*track, offered.formats.empty() ? payload_type++ : alternative++));
    offered_.push_back(std::move(offered));
  }
  const Hook at{weak_from_this(), loop_.shared_from_this()};
  for (size_t i = 0; i < config_.media.size(); i++) {
    Feed::Callbacks callbacks;
    callbacks.keyframe_asked = [at] {
      run_later<Watcher>(at, [](Watcher &self) {
        self.observer_.keyframe_wanted(self, KeyframeCause::kAsked);
      });
    };
    callbacks.backlogged = [this] {
      GstElement *pacer = pacer_;
      return pacer && pacer_state(pacer).backlogged;
    };
    callbacks.keyframe_came = [at](GstClockTime time) {
      run_later<Watcher>(at,
                         [time](Watcher &self) { self.observer_.keyframe_came(time); });
    };
    callbacks.caps_known = [at] {
      run_later<Watcher>(at, [](Watcher &self) { self.negotiate(); });
    };
    auto feed = Feed::create(bin_.get(), webrtc_.get(), config_.media[i].tracks.front(),
                             {offered_[i].formats.front().payload_type, config_.paced},
                             callbacks, error);
    if (!feed)
      return false;
    hook(feed->pad(), "notify::caps",
         G_CALLBACK(+[](GstPad *, GParamSpec *, gpointer data) {
           run_later<Watcher>(*static_cast<Hook *>(data),
                              [](Watcher &self) { self.negotiate(); });
         }));
    feeds_.push_back(std::move(feed));
  }
  return true;
}

void Watcher::open_channel() {
  ObjPtr<GstWebRTCDataChannel> channel;
  g_signal_emit_by_name(webrtc_.get(), "create-data-channel", "sendChannel", nullptr,
                        channel.out());
  if (channel)
    channel_arrived(std::move(channel), false);
}

void Watcher::stop() {
  if (closed_)
    return;
  first_word_.stop();
  for (auto &feed : feeds_)
    feed->set_open(false);
  Connection::stop();
}

// Feeds let go of their tracks before what they feed is taken apart.
void Watcher::dispose() {
  feeds_.clear();
  webrtc_.reset();
  disposer_->dispose(home_, std::move(pipeline_), stop_pipeline);
}

// A bin takes its children down step by step: a webrtcbin in NULL that is not locked
// would be taken up to PAUSED first, with all its threads and sockets.
void Watcher::stop_pipeline(GstElement *pipeline) {
  for (const auto &webrtc : elements_of(
           gst_bin_iterate_all_by_element_factory_name(GST_BIN(pipeline), "webrtcbin"))) {
    gst_element_set_locked_state(webrtc.get(), TRUE);
    stop_webrtcbin(webrtc.get());
  }
  gst_element_set_state(pipeline, GST_STATE_NULL);
}

// ---------------------------------------------------------------------------------
// offer and answer

// on-negotiation-needed is no help: it comes before all media have caps, and after every
// change of resolution.
void Watcher::negotiate() {
  if (!negotiating_ || !mids_.empty() || feeds_.size() != config_.media.size())
    return;
  for (const auto &feed : feeds_)
    if (!gst_pad_has_current_caps(feed->pad()))
      return;
  mids_.emplace_back(); // once
  // By now the tracks know what exactly they are.
  for (size_t i = 0; i < feeds_.size(); i++)
    offered_[i].formats[0] =
        format_of(*feeds_[i]->track(), offered_[i].formats[0].payload_type);
  g_signal_emit_by_name(webrtc_.get(), "create-offer", nullptr,
                        promise(&Watcher::offer_created));
}

void Watcher::offer_created(const GstStructure *reply) {
  if (reply_failed(reply, "webrtcbin made no offer"))
    return;
  GstWebRTCSessionDescription *raw = nullptr;
  gst_structure_get(reply, "offer", GST_TYPE_WEBRTC_SESSION_DESCRIPTION, &raw, nullptr);
  const DescriptionPtr offer(raw);
  if (!offer) {
    fail(CONNECTION_ERROR_WEBRTC, "webrtcbin made no offer");
    return;
  }
  const StrPtr text(gst_sdp_message_as_text(offer->sdp));
  mids_ = mids_of(text.get());
  transport_.mid = mids_.empty() ? std::string() : mids_.front();
  g_signal_emit_by_name(webrtc_.get(), "set-local-description", offer.get(),
                        promise(&Watcher::offer_applied));
  const std::string sdp = finish_offer(text.get(), offered_);
  GST_LOG_OBJECT(home_, "offer to %s: %s", peer().c_str(), sdp.c_str());
  // Before any candidate: those are posted behind this job.
  if (!send_signal(encode_description(envelope(), {true, sdp}), false))
    GST_INFO_OBJECT(home_, "the offer to %s could not be sent", peer().c_str());
  negotiating_ = false;
}

void Watcher::offer_applied(const GstStructure *reply) {
  reply_failed(reply, "webrtcbin refused its own offer");
}

void Watcher::handle_answer(const Message &message, bool over_channel) {
  if (answered_ || negotiating_ || mids_.empty())
    return;
  if (!message.encrypted && !over_channel && config_.refuse_plain) {
    fail(CONNECTION_ERROR_SECURITY,
         "the viewer's answer is not encrypted although a password is set");
    return;
  }
  GError *raw = nullptr;
  const auto answer = read_answer(message.description->sdp, mids_, offered_, &raw);
  const ErrorPtr error(raw);
  if (!answer) {
    fail(CONNECTION_ERROR_DESCRIPTION,
         std::string("the viewer's answer is unusable: ") + error->message);
    return;
  }
  answered_ = true;
  if (!answer->complete()) {
    std::vector<bool> accepted;
    for (const AnsweredLine &line : answer->media)
      accepted.push_back(line.accepted);
    observer_.media_left_out(*this, accepted);
    return;
  }
  transport_.fingerprint = answer->fingerprint;
  if (!take_choices(*answer, &raw)) {
    const ErrorPtr cause(raw);
    fail(CONNECTION_ERROR_WEBRTC, cause->message);
    return;
  }
  GstSDPMessage *sdp = nullptr;
  gst_sdp_message_new_from_text(answer->sdp.c_str(), &sdp);
  const DescriptionPtr description(
      gst_webrtc_session_description_new(GST_WEBRTC_SDP_TYPE_ANSWER, sdp));
  g_signal_emit_by_name(webrtc_.get(), "set-remote-description", description.get(),
                        promise(&Watcher::answer_applied));
}

// Media come from the encoder whose codec the answer names first, and have numbers where
// it promises reports.
bool Watcher::take_choices(const Answer &answer, GError **error) {
  for (size_t i = 0; i < feeds_.size(); i++) {
    const AnsweredLine &line = answer.media[i];
    bool &wanted =
        config_.media[i].kind == MediaKind::kVideo ? wants_video_ : wants_audio_;
    wanted &= line.active;
    transport_cc_ |= line.transport_cc;
    if (config_.media[i].kind == MediaKind::kVideo)
      described_kbit_s_ = line.max_kbit_s;
    const auto &formats = offered_[i].formats;
    const auto chosen = std::find_if(formats.begin(), formats.end(), [&](const auto &of) {
      return of.payload_type == line.payload_type;
    });
    const size_t track = chosen - formats.begin();
    const bool as_offered = track == 0 && line.transport_cc == offered_[i].transport_cc;
    if (!as_offered && !feeds_[i]->replace(config_.media[i].tracks[track],
                                           {line.payload_type, line.transport_cc}, error))
      return false;
  }
  return true;
}

void Watcher::answer_applied(const GstStructure *reply) {
  if (!reply_failed(reply, "webrtcbin refused the viewer's answer"))
    remote_description_set();
}

// ---------------------------------------------------------------------------------

bool Watcher::send_on_socket(const std::string &text) {
  return observer_.send_on_socket(text);
}

void Watcher::failed(const GError *error) {
  observer_.watcher_ended(*this, error->message);
}

void Watcher::link_changed(LinkState state) {
  GST_INFO_OBJECT(home_, "viewer %s: link state %d", peer().c_str(),
                  static_cast<int>(state));
  if (state == LinkState::kFailed)
    observer_.watcher_ended(*this, "the connection failed");
}

void Watcher::channel_opened() {
  heard();
  send(config_.info);
  openness_ = Openness::kWaitsForWord;
  first_word_.start(kFirstWordMs, [this] { show(); });
}

void Watcher::received(const Message &message, std::string_view text) {
  heard();
  const auto request = parse_viewer_request(text);
  if (!request)
    return;
  auto alive = shared_from_this();
  if (message.description && !message.description->offer) {
    handle_answer(message, true);
    return;
  }
  if (!message.candidates.empty()) {
    handle_candidates(message, true);
    return;
  }
  take_request(*request);
  if (!closed_)
    observer_.watcher_message(*this, message, *request, text);
}

} // namespace vdn
