// SPDX-License-Identifier: LGPL-2.1-or-later
// The least that plays a publisher: a webrtcbin that answers, and a decoder that reads
// stamps. It verifies the publishers of tests, not our elements. Thread: any, as
// Publisher.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#define GST_USE_UNSTABLE_API
#include <gst/webrtc/webrtc.h>

#include "gst-ptr.h"
#include "loop.h"
#include "message.h"
#include "signaling.h"
#include "stamp.h"
#include "watched.h"

namespace vdn {

struct ViewerConfig {
  std::string server;
  Dialect dialect = Dialect::kHosted;
  std::string stream_id;
  std::string room;     // custom dialect: wait there for offers instead of asking
  std::string password; // as Secret takes it
  bool send_pongs = true;
  bool say_init = true;
  // Before it starts. Thread: the viewer's.
  std::function<void(GstElement *webrtc)> on_webrtcbin;
};

class TestViewer {
public:
  struct State {
    bool open = false;
    unsigned offers = 0;
    std::string offer; // the last one
    bool offer_had_session = false;
    bool encrypted = false; // the last offer was
    bool connected = false;
    bool channel_open = false;
    std::string encoding; // of the last video pad
    int width = 0;
    int height = 0;
    StampTracker video;
    unsigned unreadable = 0; // frames without a stamp that checks
    unsigned audio_buffers = 0;
    unsigned video_pads = 0;
    std::vector<std::string> received; // data-channel texts
    unsigned byes = 0;
  };

  explicit TestViewer(ViewerConfig config);
  ~TestViewer();
  TestViewer(const TestViewer &) = delete;
  TestViewer &operator=(const TestViewer &) = delete;

  // Over the data channel.
  void send(const std::string &text);
  void send_binary(const std::string &data);
  // Beside that of the publisher, as many as wanted.
  void open_channels(unsigned count);
  // Asks for the stream again; a later offer replaces what plays.
  void play();

  State state() const { return state_.get(); }
  bool wait(std::chrono::milliseconds limit,
            const std::function<bool(const State &)> &ready) const {
    return state_.wait(limit, ready);
  }

private:
  void received(std::string_view text, bool channel);
  void handle(const Message &message, bool channel);
  void take_offer(const Message &message, bool channel);
  void make_pipeline();
  void drop_pipeline();
  void pad_added(GstPad *pad);
  void answer_created(GstPromise *promise);
  void send_answer(const std::string &sdp);
  void send_candidate(unsigned mline, const std::string &text);
  void channel_opened(GObject *channel);
  Envelope envelope(bool channel) const;

  const ViewerConfig config_;
  const Secret secret_;
  Watched<State> state_;
  Address self_;
  std::string peer_;
  std::optional<std::string> session_;
  bool answer_by_channel_ = false;
  ObjPtr<GstElement> pipeline_;
  ObjPtr<GstElement> webrtc_;
  ObjPtr<GObject> channel_;
  Loop loop_;
  std::unique_ptr<Signaling> signaling_;
};

} // namespace vdn
