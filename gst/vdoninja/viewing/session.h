// SPDX-License-Identifier: LGPL-2.1-or-later
// A connection to one publisher, which answers one lineage of its offers. Disposable;
// what outlives it are the pads. Thread: loop, for everything public.
#pragma once

#include <map>

#include "connection.h"
#include "offer.h"
#include "repair.h"
#include "ssrc-gate.h"

namespace vdn {

struct SessionConfig {
  ConnectionConfig connection;
  std::string stream_id; // plain
  unsigned latency = 0;  // ms, as declared downstream
  AnswerHints hints;
  // Whether offers in clear are answered; unset: unless the user set a password.
  std::optional<bool> allow_plain;
  std::string init; // first data-channel message, JSON
};

// An RTP pad of webrtcbin, blocked by `probe` until its receiver removes that.
struct IncomingTrack {
  unsigned mline = 0;
  MediaKind kind = MediaKind::kVideo;
  std::string encoding; // upper case
  ObjPtr<GstPad> pad;
  gulong probe = 0;
};

// Who has a session. Thread: loop. Each of these may close it.
class SessionObserver {
public:
  virtual bool send_on_socket(const std::string &text) = 0;
  // The format wanted for each of `offer.media`, in that order; NULL refuses the line.
  virtual std::vector<const Format *> choose(const Offer &offer) = 0;
  // Media begin to arrive, from a publisher whose certificate was checked.
  virtual void media(IncomingTrack track) = 0;
  virtual void link_changed(LinkState state) = 0;
  // All candidates of ours are known; whether one of them is a relay's.
  virtual void gathered(bool relayed) = 0;
  virtual void channel_opened() = 0;
  virtual void received(const Message &message, std::string_view text) = 0;
  // An offer that this webrtcbin cannot take, though the publisher may make it.
  virtual void needs_new_session(const Message &offer, bool over_channel,
                                 bool same_certificate, const std::string &why) = 0;
  // A later offer that nobody would take; the session goes on without it.
  virtual void offer_refused(const GError *error) = 0;
  virtual void session_failed(const GError *error) = 0;
  // Something the user should know; the session goes on.
  virtual void warn(int code, const std::string &text) = 0;

protected:
  ~SessionObserver() = default;
};

class Session final : public Connection {
public:
  // `me`, `secret` and `observer` outlive the session. Adds a webrtcbin to `bin`.
  static std::shared_ptr<Session> create(Loop &loop, GstBin *bin,
                                         std::shared_ptr<Disposer> disposer,
                                         const Address &me, const Secret &secret,
                                         SessionConfig config, SessionObserver &observer,
                                         GError **error);

  // The offer in `message`, nullopt and `error` when it is none, or in clear though it
  // must not be.
  static std::optional<Offer> read(const Message &message, bool over_channel,
                                   const SessionConfig &config, const Secret &secret,
                                   GError **error);
  void handle_offer(const Message &message, bool over_channel);
  void set_latency(unsigned ms);
  void stop() override;
  // As the data channel has it.
  void set_round_trip(gint64 us) { repair_hints_->round_trip_us = us; }
  // RTP packets and data-channel messages received so far; it grows while the peer lives.
  guint64 activity() const { return *packets_ + messages_; }
  // Adds its path and the list "rtp", one structure for each RTP stream that arrives.
  void add_stats(GstStructure *to);

private:
  struct Pending {
    Offer offer;
    bool over_channel;
    bool encrypted;
  };
  struct Preference {
    CapsPtr caps;
    bool video = false;
  };
  using Plan = std::map<unsigned, Preference>;

  Session(Loop &loop, GstBin *bin, std::shared_ptr<Disposer> disposer, const Address &me,
          const Secret &secret, SessionConfig config, SessionObserver &observer);
  bool setup(GError **error);
  void set_up_jitterbuffers();
  void tell_unanswered();

  bool send_on_socket(const std::string &text) override;
  void link_changed(LinkState state) override { observer_.link_changed(state); }
  void gathered(bool relayed) override { observer_.gathered(relayed); }
  void channel_opened() override;
  void received(const Message &message, std::string_view text) override;
  void failed(const GError *error) override { observer_.session_failed(error); }

  void set_transport(const Offer &offer);
  void pump();
  std::shared_ptr<const Plan> make_plan(Offer &offer);
  void offer_applied(const GstStructure *reply);
  void answer_created(const GstStructure *reply);
  void answer_applied(const GstStructure *reply);
  void send_answer();
  void pad_has_media(ObjPtr<GstPad> pad, gulong probe);

  static void on_new_transceiver(GstElement *, GstWebRTCRTPTransceiver *, gpointer);
  static void on_pad_added(GstElement *, GstPad *, gpointer);
  static void on_rtpbin_element_added(GstBin *, GstElement *child, gpointer);
  static void count_packets(GstPad *pad, std::shared_ptr<std::atomic<guint64>> packets);
  static GstPadProbeReturn on_first_buffer(GstPad *, GstPadProbeInfo *, gpointer);

  SessionConfig config_;
  SessionObserver &observer_;
  std::deque<Pending> offers_;
  std::optional<Offer> offer_; // the newest that was queued
  Pending current_{};          // the one being answered
  std::string answer_;
  std::vector<ObjPtr<GstPad>> announced_;
  const std::shared_ptr<std::atomic<guint64>> packets_ =
      std::make_shared<std::atomic<guint64>>(0);
  const std::shared_ptr<RepairHints> repair_hints_ = std::make_shared<RepairHints>();
  const std::shared_ptr<SsrcGate> gate_ = std::make_shared<SsrcGate>();

  Mutex plan_mutex_;
  std::shared_ptr<const Plan> plan_ GUARDED_BY(plan_mutex_);
};

} // namespace vdn
