// SPDX-License-Identifier: LGPL-2.1-or-later
// What an element has between READY and PAUSED: loop, viewer and pads, wired together.
#pragma once

#include <memory>
#include <string>

#include "settings.h"

namespace vdn {

// The element. Thread: loop, unless stated.
class ReceiverObserver {
public:
  virtual void state_changed(ViewerState state) = 0;
  // `type`: GST_MESSAGE_WARNING or GST_MESSAGE_ERROR.
  virtual void problem(GstMessageType type, GQuark domain, int code,
                       const std::string &text) = 0;
  // Takes `details`.
  virtual void peer_news(const std::string &stream_id, const char *news,
                         GstStructure *details) = 0;
  virtual void received(const std::string &stream_id, std::string_view json) = 0;
  virtual void webrtcbin_ready(const std::string &stream_id, GstElement *webrtcbin) = 0;
  virtual void decoder_made(GstElement *decoder) = 0; // thread: any

protected:
  ~ReceiverObserver() = default;
};

class Receiver final : public std::enable_shared_from_this<Receiver>,
                       ViewerObserver,
                       OutputsObserver {
public:
  // `observer` outlives it. Thread: any, and nothing here waits for the network.
  Receiver(GstElement *element, Secret secret, SourcePlan plan,
           ReceiverObserver &observer);
  // Opens the socket.
  void start();
  // Closes sessions, removes pads, joins; what is called later has no effect. Not from
  // the loop's or a streaming thread.
  void close();
  Receiver(const Receiver &) = delete;
  Receiver &operator=(const Receiver &) = delete;

  // Thread: the state change's.
  void pause();
  void play();
  // Thread: any, for all of these. send() and stats() wait for the loop, so they are not
  // for a streaming thread.
  void finish(); // EOS on all pads
  void set_latency(int ms);
  void set_video_bitrate(unsigned kbps);
  bool send(const std::string &stream_id, const std::string &json);
  // One structure for each stream, of `stream_id` alone unless that is empty.
  StructurePtr stats(const std::string &stream_id);
  void request_keyframe();
  void reconnect();
  // A child posted an error: heals it, or starts the session over.
  void child_failed(ObjPtr<GstObject> source, const GError *error);

private:
  // Of the viewer.
  std::vector<const Format *> choose(const Stream &stream, const Offer &offer) override;
  void media(const Stream &stream, IncomingTrack track) override;
  void detach(const Stream &stream, bool is_lost) override;
  void removed(const Stream &stream) override { outputs_->remove(stream.id()); }
  void state_changed(ViewerState state) override { observer_.state_changed(state); }
  void stream_state_changed(const Stream &stream, StreamState before) override;
  void session_ready(const Stream &stream, GstElement *webrtcbin) override;
  void received(const Stream &stream, const Message &message,
                std::string_view text) override;
  void problem(int code, const std::string &text, bool fatal) override;

  // Of the pads.
  void output_problem(const GError *error, bool fatal) override;
  void decoder_made(GstElement *decoder) override { observer_.decoder_made(decoder); }
  void video_wanted(const std::string &stream_id, bool wanted) override;
  bool size_wanted(const std::string &stream_id, const Size &size) override;
  void latency_declared(unsigned ms) override;
  void renegotiate(const std::string &stream_id) override;

  void expect_media();
  void lost(const Stream &stream);
  void ended(const Stream &stream);
  void tell(bool fatal, GQuark domain, int code, const std::string &text);
  void keep_time(ObjPtr<GstClock> clock, GstClockTime base_time);
  void peer_news(const Stream &stream, const Message &message);

  GstElement *element_;
  const OnDisconnect on_disconnect_;
  ReceiverObserver &observer_;
  std::shared_ptr<Disposer> disposer_ = std::make_shared<Disposer>();
  std::shared_ptr<Loop> loop_ = std::make_shared<Loop>("vdoninja");
  // Made, used and dropped on the loop, but for clearing the pads once it stopped.
  std::unique_ptr<Outputs> outputs_;
  std::unique_ptr<Viewer> viewer_;
  std::unique_ptr<Timer> first_;
  const unsigned timeout_s_;
  // Of the sessions, from the first PLAYING on.
  ObjPtr<GstClock> clock_;
  GstClockTime base_time_ = GST_CLOCK_TIME_NONE;
};

} // namespace vdn
