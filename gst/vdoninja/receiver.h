// SPDX-License-Identifier: LGPL-2.1-or-later
// What an element has between READY and PAUSED: loop, viewer and pads, wired together.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "settings.h"

namespace vdn {

// News for the element; all on the loop thread.
struct ReceiverCallbacks {
  std::function<void(ViewerState state)> state;
  std::function<void(GstMessageType type, GQuark domain, int code,
                     const std::string &text)>
      problem; // type: GST_MESSAGE_WARNING or GST_MESSAGE_ERROR
  std::function<void(const std::string &stream_id, const char *news,
                     GstStructure *details)>
      peer; // takes `details`
  std::function<void(const std::string &stream_id, std::string_view json)> message;
  std::function<void(const std::string &stream_id, GstElement *webrtcbin)>
      webrtcbin_ready;
  std::function<void(GstElement *decoder)> decoder_setup;
};

class Receiver : public std::enable_shared_from_this<Receiver> {
public:
  // Thread: any, and nothing here waits for the network.
  Receiver(GstElement *element, Secret secret, Plan plan, GstVdoNinjaOnDisconnect policy,
           ReceiverCallbacks callbacks);
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
  void on_loop(const std::function<void()> &job);
  ViewerCallbacks viewer_callbacks();
  void expect_media();
  void lost(const Stream &stream);
  void ended(const Stream &stream);
  void problem(bool fatal, GQuark domain, int code, const std::string &text);
  void keep_time(ObjPtr<GstClock> clock, GstClockTime base_time);
  static void make_dtls_key(GstElement *, gpointer weak_receiver);
  void say_goodbye();
  void peer_news(const Stream &stream, const Message &message);
  bool request_size(const std::string &stream_id, const Size &size);

  GstElement *element_;
  GstVdoNinjaOnDisconnect policy_;
  ReceiverCallbacks callbacks_;
  std::shared_ptr<Disposer> disposer_ = std::make_shared<Disposer>();
  std::shared_ptr<Loop> loop_ = std::make_shared<Loop>("vdoninja");
  // Made, used and dropped on the loop, but for clearing the pads once it stopped.
  std::unique_ptr<Outputs> outputs_;
  std::unique_ptr<Viewer> viewer_;
  std::unique_ptr<Timer> farewell_, first_;
  const unsigned timeout_s_;
  // Of the sessions, from the first PLAYING on.
  ObjPtr<GstClock> clock_;
  GstClockTime base_time_ = GST_CLOCK_TIME_NONE;
};

} // namespace vdn
