// SPDX-License-Identifier: LGPL-2.1-or-later
#include "test-viewer.h"

#include <sys/random.h>

#include <gst/video/video.h>

#include "loop-call.h"
#include "publisher.h"
#include "random-id.h"
#include "webrtcbin-teardown.h"

namespace vdn {

TestViewer::TestViewer(ViewerConfig config)
    : config_(std::move(config)), secret_(config_.password.c_str(), "vdo.ninja"),
      loop_("test-viewer") {
  self_.dialect = config_.dialect;
  if (config_.dialect == Dialect::kCustom)
    self_.self = random_id(20);
  if (!config_.room.empty())
    self_.wire_room = secret_.wire_room(sanitize_room(config_.room));
  SignalingConfig signaling;
  signaling.url = config_.server;
  Signaling::Callbacks callbacks;
  callbacks.opened = [this] {
    state_.update([](State &state) { state.open = true; });
    if (!self_.wire_room.empty())
      signaling_->send(encode_join(self_, self_.wire_room));
    if (self_.wire_room.empty() || config_.dialect == Dialect::kHosted)
      signaling_->send(encode_play(self_, secret_.wire_stream_id(config_.stream_id)));
  };
  callbacks.message = [this](std::string_view text) { received(text, false); };
  callbacks.lost = [this](const GError *) {
    state_.update([](State &state) { state.open = false; });
  };
  signaling_ =
      std::make_unique<Signaling>(loop_, std::move(signaling), std::move(callbacks));
  call(loop_, [this] { signaling_->open(); });
}

TestViewer::~TestViewer() {
  loop_.stop([this] {
    signaling_.reset();
    drop_pipeline();
  });
}

void TestViewer::send(const std::string &text) {
  call(loop_, [this, &text] {
    if (channel_)
      g_signal_emit_by_name(channel_.get(), "send-string", text.c_str());
  });
}

void TestViewer::send_binary(const std::string &data) {
  call(loop_, [this, &data] {
    GBytes *bytes = g_bytes_new(data.data(), data.size());
    if (channel_)
      g_signal_emit_by_name(channel_.get(), "send-data", bytes);
    g_bytes_unref(bytes);
  });
}

void TestViewer::open_channels(unsigned count) {
  call(loop_, [this, count] {
    for (unsigned i = 0; i < count && webrtc_; i++) {
      ObjPtr<GObject> channel;
      g_signal_emit_by_name(webrtc_.get(), "create-data-channel", "more", nullptr,
                            channel.out());
    }
  });
}

void TestViewer::play() {
  call(loop_, [this] {
    signaling_->send(encode_play(self_, secret_.wire_stream_id(config_.stream_id)));
  });
}

// --- on the loop ---

void TestViewer::received(std::string_view text, bool channel) {
  if (channel)
    state_.update([text](State &state) { state.received.emplace_back(text); });
  const auto message = parse_message(text, channel ? nullptr : &self_, secret_, nullptr);
  if (message && (channel || is_for_us(*message, self_)))
    handle(*message, channel);
}

void TestViewer::handle(const Message &message, bool channel) {
  const std::string wire_id = secret_.wire_stream_id(config_.stream_id);
  if (message.request == "seed" && message.stream_id == wire_id)
    signaling_->send(encode_play(self_, wire_id));
  if (message.description && message.description->offer)
    take_offer(message, channel);
  for (const Candidate &candidate : message.candidates)
    if (webrtc_ && message.from_publisher)
      g_signal_emit_by_name(webrtc_.get(), "add-ice-candidate",
                            std::max(candidate.mline, 0), candidate.text.c_str());
  if (message.ping && channel && config_.send_pongs)
    g_signal_emit_by_name(channel_.get(), "send-string",
                          encode_pong(*message.ping).c_str());
  if (message.bye)
    state_.update([](State &state) { state.byes++; });
}

void TestViewer::take_offer(const Message &message, bool channel) {
  if (!channel) {
    peer_ = message.peer;
    drop_pipeline();
  }
  session_ = message.session;
  answer_by_channel_ = channel && message.session;
  state_.update([&message](State &state) {
    state.offers++;
    state.offer = message.description->sdp;
    state.offer_had_session = message.session.has_value();
    state.encrypted = message.encrypted;
  });
  if (!pipeline_)
    make_pipeline();
  GstSDPMessage *sdp = nullptr;
  if (gst_sdp_message_new_from_text(message.description->sdp.c_str(), &sdp) != GST_SDP_OK)
    return;
  GstWebRTCSessionDescription *offer =
      gst_webrtc_session_description_new(GST_WEBRTC_SDP_TYPE_OFFER, sdp);
  g_signal_emit_by_name(webrtc_.get(), "set-remote-description", offer, nullptr);
  gst_webrtc_session_description_free(offer);
  g_signal_emit_by_name(webrtc_.get(), "create-answer", nullptr,
                        gst_promise_new_with_change_func(
                            [](GstPromise *promise, gpointer self) {
                              static_cast<TestViewer *>(self)->answer_created(promise);
                            },
                            this, nullptr));
}

void TestViewer::make_pipeline() {
  pipeline_ = ObjPtr<GstElement>::adopt(gst_pipeline_new(nullptr));
  webrtc_ = ObjPtr<GstElement>::adopt(gst_element_factory_make("webrtcbin", nullptr));
  gst_bin_add(GST_BIN(pipeline_.get()), webrtc_.get());
  gst_util_set_object_arg(G_OBJECT(webrtc_.get()), "bundle-policy", "max-bundle");
  ObjPtr<GObject> ice, agent;
  g_object_get(webrtc_.get(), "ice-agent", ice.out(), nullptr);
  g_object_get(ice.get(), "agent", agent.out(), nullptr);
  g_object_set(agent.get(), "upnp", FALSE, nullptr);
  for (const std::string &address : local_addresses(config_.server)) {
    gboolean added = FALSE;
    g_signal_emit_by_name(ice.get(), "add-local-ip-address", address.c_str(), &added);
  }
  // All of these end before drop_pipeline() returns, except what they posted.
  g_signal_connect(
      webrtc_.get(), "on-ice-candidate",
      G_CALLBACK(+[](GstElement *, guint mline, gchar *text, TestViewer *self) {
        self->loop_.post([self, mline, copy = std::string(text)] {
          self->send_candidate(mline, copy);
        });
      }),
      this);
  g_signal_connect(webrtc_.get(), "on-new-transceiver",
                   G_CALLBACK(+[](GstElement *, GObject *transceiver, TestViewer *) {
                     g_object_set(transceiver, "do-nack", TRUE, nullptr);
                   }),
                   this);
  g_signal_connect(webrtc_.get(), "on-data-channel",
                   G_CALLBACK(+[](GstElement *, GObject *channel, TestViewer *self) {
                     self->channel_opened(channel);
                   }),
                   this);
  g_signal_connect(webrtc_.get(), "notify::connection-state",
                   G_CALLBACK(+[](GstElement *webrtc, GParamSpec *, TestViewer *self) {
                     GstWebRTCPeerConnectionState now =
                         GST_WEBRTC_PEER_CONNECTION_STATE_NEW;
                     g_object_get(webrtc, "connection-state", &now, nullptr);
                     self->state_.update([now](State &state) {
                       state.connected =
                           now == GST_WEBRTC_PEER_CONNECTION_STATE_CONNECTED;
                     });
                   }),
                   this);
  g_signal_connect(webrtc_.get(), "pad-added",
                   G_CALLBACK(+[](GstElement *, GstPad *pad, TestViewer *self) {
                     if (GST_PAD_IS_SRC(pad))
                       self->pad_added(pad);
                   }),
                   this);
  if (config_.on_webrtcbin)
    config_.on_webrtcbin(webrtc_.get());
  gst_element_set_state(pipeline_.get(), GST_STATE_PLAYING);
}

void TestViewer::drop_pipeline() {
  if (!pipeline_)
    return;
  g_signal_handlers_disconnect_by_data(webrtc_.get(), this);
  if (channel_)
    g_signal_handlers_disconnect_by_data(channel_.get(), this);
  channel_.reset();
  give_up_channels(webrtc_.get());
  gst_element_set_state(pipeline_.get(), GST_STATE_NULL);
  stop_left_behind(webrtc_.get());
  webrtc_.reset();
  pipeline_.reset();
  state_.update([](State &state) { state.connected = state.channel_open = false; });
}

Envelope TestViewer::envelope(bool channel) const {
  Envelope result;
  result.me = channel ? nullptr : &self_;
  result.peer = peer_;
  result.session = session_;
  if (state_.read([](const State &state) { return state.encrypted; })) {
    result.secret = &secret_;
    if (getrandom(result.iv.data(), result.iv.size(), 0) < 0)
      g_error("no random numbers");
  }
  return result;
}

void TestViewer::send_answer(const std::string &sdp) {
  const std::string text = encode_description(envelope(answer_by_channel_), {false, sdp});
  if (answer_by_channel_ && channel_)
    g_signal_emit_by_name(channel_.get(), "send-string", text.c_str());
  else
    signaling_->send(text);
}

void TestViewer::send_candidate(unsigned mline, const std::string &text) {
  if (!text.empty())
    signaling_->send(
        encode_candidates(envelope(false), {{text, "", static_cast<int>(mline)}}, false));
}

// --- on webrtcbin's threads ---

void TestViewer::answer_created(GstPromise *promise) {
  GstWebRTCSessionDescription *answer = nullptr;
  const GstStructure *reply = gst_promise_get_reply(promise);
  if (reply)
    gst_structure_get(reply, "answer", GST_TYPE_WEBRTC_SESSION_DESCRIPTION, &answer,
                      nullptr);
  gst_promise_unref(promise);
  if (!answer)
    return;
  const std::string sdp = StrPtr(gst_sdp_message_as_text(answer->sdp)).get();
  std::shared_ptr<GstWebRTCSessionDescription> shared(
      answer, gst_webrtc_session_description_free);
  loop_.post([this, shared, sdp] {
    if (!webrtc_)
      return;
    g_signal_emit_by_name(webrtc_.get(), "set-local-description", shared.get(), nullptr);
    send_answer(sdp);
  });
}

void TestViewer::channel_opened(GObject *channel) {
  g_signal_connect(channel, "on-message-string",
                   G_CALLBACK(+[](GObject *, gchar *text, TestViewer *self) {
                     self->loop_.post([self, copy = std::string(text ? text : "")] {
                       if (self->channel_)
                         self->received(copy, true);
                     });
                   }),
                   this);
  loop_.post([this, held = ObjPtr<GObject>::ref(channel)] {
    if (!webrtc_)
      return;
    channel_ = held;
    if (config_.say_init)
      g_signal_emit_by_name(channel_.get(), "send-string", encode_init({}).c_str());
    state_.update([](State &state) { state.channel_open = true; });
  });
}

void TestViewer::pad_added(GstPad *pad) {
  const CapsPtr caps(gst_pad_get_current_caps(pad));
  const GstStructure *structure = gst_caps_get_structure(caps.get(), 0);
  const char *encoding = gst_structure_get_string(structure, "encoding-name");
  const bool video = g_str_equal(gst_structure_get_string(structure, "media"), "video");
  const char *line =
      video ? "queue name=in ! decodebin ! videoconvert ! "
              "video/x-raw,format=I420 ! fakesink name=out sync=false "
              "signal-handoffs=true"
            : "queue name=in ! fakesink name=out sync=false signal-handoffs=true";
  GstElement *bin = gst_parse_bin_from_description(line, FALSE, nullptr);
  const auto in = ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(bin), "in"));
  const auto target = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(in.get(), "sink"));
  GstPad *sink = gst_ghost_pad_new("sink", target.get());
  gst_element_add_pad(bin, sink);
  const auto out = ObjPtr<GstElement>::adopt(gst_bin_get_by_name(GST_BIN(bin), "out"));
  state_.update([&](State &state) {
    if (video) {
      state.encoding = encoding ? encoding : "";
      state.video_pads++;
    }
  });
  const auto handoff =
      video ? G_CALLBACK(+[](GstElement *, GstBuffer *buffer, GstPad *from,
                             TestViewer *self) {
        const CapsPtr raw(gst_pad_get_current_caps(from));
        GstVideoInfo info;
        GstVideoFrame frame;
        gst_video_info_from_caps(&info, raw.get());
        gst_video_frame_map(&frame, &info, buffer, GST_MAP_READ);
        const auto stamp =
            read_stamp({static_cast<uint8_t *>(GST_VIDEO_FRAME_PLANE_DATA(&frame, 0)),
                        GST_VIDEO_FRAME_WIDTH(&frame), GST_VIDEO_FRAME_HEIGHT(&frame),
                        GST_VIDEO_FRAME_PLANE_STRIDE(&frame, 0)});
        gst_video_frame_unmap(&frame);
        self->state_.update([&](State &state) {
          state.width = GST_VIDEO_INFO_WIDTH(&info);
          state.height = GST_VIDEO_INFO_HEIGHT(&info);
          if (stamp)
            state.video.see(*stamp);
          else
            state.unreadable++;
        });
      })
            : G_CALLBACK(+[](GstElement *, GstBuffer *, GstPad *, TestViewer *self) {
                self->state_.update([](State &state) { state.audio_buffers++; });
              });
  g_signal_connect(out.get(), "handoff", handoff, this);
  g_signal_connect(
      bin, "deep-element-added",
      G_CALLBACK(+[](GstBin *, GstBin *, GstElement *element, gpointer) {
        for (const char *name : {"wait-for-keyframe", "request-keyframe"})
          if (g_object_class_find_property(G_OBJECT_GET_CLASS(element), name))
            g_object_set(element, name, TRUE, nullptr);
      }),
      nullptr);
  gst_bin_add(GST_BIN(pipeline_.get()), bin);
  gst_element_sync_state_with_parent(bin);
  gst_pad_link(pad, sink);
}

} // namespace vdn
