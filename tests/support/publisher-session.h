// SPDX-License-Identifier: LGPL-2.1-or-later
// One viewer of a publisher: a webrtcbin that owns every offer, its media and its data
// channel. Knows nothing of sockets, rooms or passwords. Thread: loop, callbacks
// included.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#define GST_USE_UNSTABLE_API
#include <gst/webrtc/webrtc.h>

#include "loop.h"
#include "media-hooks.h"
#include "message.h"
#include "publisher-track.h"

namespace vdn {

struct SessionConfig {
  GstClockTime epoch = 0;  // base time, as of the tracks
  std::string stun_server; // "stun://host:port", empty: none
  // Addresses to gather from instead of those that libnice finds; it skips loopback.
  std::vector<std::string> local_addresses;
  unsigned ping_ms = 0; // 0: no pings
  // The picture in other codecs, offered behind the first: the answer chooses.
  std::vector<std::shared_ptr<Track>> alternatives;
  SharedMediaHooks media_hooks = std::make_shared<Watched<MediaHooks>>();
};

class PublisherSession : public std::enable_shared_from_this<PublisherSession> {
public:
  struct Callbacks {
    std::function<void(const std::string &sdp)> offer;
    std::function<void(const std::vector<Candidate> &candidates)> candidates;
    std::function<void()> channel_open;
    std::function<void(std::string_view text)> message; // from the data channel
    std::function<void()> changed;                      // status() did
    std::function<void(const char *why)> failed;        // close it
  };
  struct Status {
    bool connected = false;
    bool channel_open = false;
    unsigned offers = 0;
    unsigned answers = 0;
    unsigned pings = 0;
    unsigned pongs = 0;
    unsigned keyframe_requests = 0; // PLI and FIR
    unsigned tracks = 0;
  };
  using TrackPtr = std::shared_ptr<Track>;

  PublisherSession(Loop &loop, SessionConfig config, Callbacks callbacks);
  ~PublisherSession();

  // `tracks`: media of the first offer, none for a data-channel-only one.
  bool start(const std::vector<TrackPtr> &tracks, GError **error);
  // Offers these, too. All must have caps().
  bool add_tracks(const std::vector<TrackPtr> &tracks, GError **error);
  void answer(const std::string &sdp);
  void add_candidates(const std::vector<Candidate> &candidates);
  // On the data channel; false while it is not open.
  bool send(const std::string &text);
  void pong(std::string_view value);
  // As a page may: the connection stays.
  void close_channel() {
    if (channel_)
      g_signal_emit_by_name(channel_.get(), "close");
  }
  // `abruptly`: the other side does not hear of it, as when a process is killed.
  void close(bool abruptly = false);

  Status status() const;

private:
  struct Sender {
    TrackPtr track;
    ObjPtr<GstAppSrc> source;
    ObjPtr<GstPad> pad; // webrtcbin's
    bool fed = false;
  };

  template <typename Function> void post(Function function);
  gulong connect(gpointer object, const char *signal, GCallback handler);
  GstPromise *promise(void (PublisherSession::*then)(const GstStructure *reply));
  bool make_webrtcbin(GError **error);
  void set_up_ice();
  void open_channel();
  void silence();
  bool add_sender(const TrackPtr &track, GError **error);
  bool feed_from(Sender &sender, const TrackPtr &track, int payload_type, GError **error);
  void offer_alternatives(GstSDPMessage *sdp) const;
  void take_choice(const GstSDPMessage *answer);
  void negotiate();
  void offer_created(const GstStructure *reply);
  void offer_applied(const GstStructure *reply);
  bool answers_ours(const GstSDPMessage *answer) const;
  void answer_applied(const GstStructure *reply);
  void local_candidate(unsigned mline, const std::string &text);
  void connection_changed();
  void feed();
  void ping();
  void fail(const char *why);

  Loop &loop_;
  const SessionConfig config_;
  const Callbacks callbacks_;
  Timer candidate_timer_;
  Timer ping_timer_;
  Timer grace_timer_;
  ObjPtr<GstElement> pipeline_;
  ObjPtr<GstElement> webrtc_;
  ObjPtr<GObject> channel_;
  std::vector<gulong> channel_handlers_;
  std::vector<Sender> senders_;
  std::vector<std::string> mids_; // of the last offer's m-lines
  std::vector<Candidate> candidates_;
  std::atomic<unsigned> keyframe_requests_{0};
  Status status_;
  bool needs_offer_ = false;
  bool negotiating_ = false;
};

// The codec of each line of an answer, as in SDP. Thread: any.
std::vector<std::string> answered_codecs(const GstSDPMessage *answer);

} // namespace vdn
