// SPDX-License-Identifier: LGPL-2.1-or-later
// What downstream sees: the lasting pads of the element, and the branches that feed them
// from one session after the other. A pad that nobody linked costs no decoding. Thread:
// loop, unless a function says otherwise.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "branch.h"
#include "disposer.h"
#include "gstvdoninjasrcpad.h"
#include "lateness.h"
#include "loop.h"

namespace vdn {

enum class FormChoice { kAuto, kRaw, kEncoded, kRtp };

struct OutputConfig {
  std::vector<std::string> video_codecs; // upper case, in order; empty: ours
  std::string video_decoder;
  bool conceal_errors = false;
  FormChoice form = FormChoice::kAuto;
  bool video = true;
  bool audio = true;
  int latency = -1; // ms, as set_latency() takes it
};

// An RTP pad with the m-line it belongs to, blocked by `block`.
struct RtpSource {
  const void *owner = nullptr; // the session
  std::string stream_id;
  unsigned mline = 0;
  MediaKind kind = MediaKind::kVideo;
  std::string encoding;
  ObjPtr<GstPad> pad;
  gulong block = 0;
};

using Size = std::optional<std::pair<unsigned, unsigned>>; // width, height

// Once, before anything else here.
void pads_debug_init();

// Who has the pads. Thread: loop, unless stated.
class OutputsObserver {
public:
  virtual void output_problem(const GError *error, bool fatal) = 0;
  // Thread: any.
  virtual void decoder_made(GstElement *decoder) = 0;
  // Whether one of the stream's video pads is linked; told when it changes.
  virtual void video_wanted(const std::string &stream_id, bool wanted) = 0;
  // The decoder of a stream's picture does not cope, or does again: ask for pictures of
  // this size, nullopt: of any. False when that cannot be asked for.
  virtual bool size_wanted(const std::string &stream_id, const Size &size) = 0;
  // What is declared now, ms.
  virtual void latency_declared(unsigned ms) = 0;
  // What is linked now takes another codec than this stream's answer asked for.
  virtual void renegotiate(const std::string &stream_id) = 0;

protected:
  ~OutputsObserver() = default;
};

class Outputs {
public:
  // `element`: the GstBin that pads and branches are added to; borrowed, outlives this,
  // as `observer` does.
  Outputs(Loop &loop, GstElement *element, std::shared_ptr<Disposer> disposer,
          OutputConfig config, OutputsObserver &observer);
  ~Outputs();
  Outputs(const Outputs &) = delete;
  Outputs &operator=(const Outputs &) = delete;

  // For each of `offer.media` the format to ask for, NULL to refuse the line. Adds the
  // pads that are missing, so that what gets linked to them decides; announces
  // no-more-pads.
  std::vector<const Format *> negotiate(const WantedStream &wanted,
                                        const std::string &label, const Offer &offer);
  void attach(RtpSource source);
  // The session `owner` is going away; its pads stay, empty.
  void detach(const void *owner);
  // Removes the pads of a stream for good, after EOS.
  void remove(const std::string &stream_id);
  void set_label(const std::string &stream_id, const std::string &label);
  // Of the camera, in degrees, clockwise.
  void set_rotation(const std::string &stream_id, int degrees);
  // Tells the sinks behind a stream's pads, by an out-of-band event, that it is away or
  // back.
  void set_reconnecting(const std::string &stream_id, bool active);
  // Asks for a keyframe on every video pad of the stream, of all streams when empty.
  void request_keyframes(const std::string &stream_id);
  // ms; below 0: as the network and the decoder need it.
  void set_latency(int ms);
  unsigned latency() const { return latency_; } // as declared
  // From now on what arrives is dropped, as a live source has nothing in PAUSED; the
  // sessions go on. Thread: any.
  void pause() { *flowing_ = false; }
  // What comes from now on goes downstream. `offset`: from the running time of the
  // sessions to that of the pipeline.
  void resume(gint64 offset);
  // Adds the list "pads": what each pad of the stream delivers.
  void add_stats(const std::string &stream_id, GstStructure *to) const;
  // An element inside a branch posted an error. False when it is none of ours.
  bool element_failed(GstObject *source, const GError *error);
  // Sends EOS on every pad, also those to come, each from a thread of its own; data
  // stops. While there is no pad, one of each kind appears and ends.
  void finish();
  // Removes the pads but for those that are linked, which serve the next run: what
  // gst_parse_launch() made links a pad only once. Thread: any, once the loop has
  // stopped.
  void clear();
  // Whether anything went downstream.
  bool has_delivered() const;

private:
  struct Output;

  Output *find(const std::string &stream_id, const MediaLine &line, unsigned ordinal);
  Output *add_output(const std::string &stream_id, const MediaLine &line,
                     unsigned ordinal);
  void expose(Output &output);
  void watch_links(Output &output);
  void unlinked(Output &output);
  void announce();
  std::vector<std::string> acceptable(Output &output);
  void probe_peer(Output &output);
  void refresh(Output &output);
  BranchRequest make_request(const Output &output, unsigned branch_id);
  void connect_source(Output &output);
  void disconnect_source(Output &output);
  void drop_branch(Output &output);
  void branch_broken(unsigned output_id, unsigned branch_id, GstFlowReturn flow);
  void watch(Output &output);
  void tell_of_no_keyframe(Output &output);
  void measure(Output &output);
  void measure_bitrate(Output &output);
  bool watch_skips(Output &output);
  void relieve(Output &output, bool skips);
  void branch_failed_to_start(Output &output);
  void watch_from_now_on(Output &output);
  void retry_decoder(Output &output);
  void start_over(Output &output);
  void report(GQuark domain, int code, const std::string &text, bool fatal);
  void report_no_codec(const MediaLine &line, Output &output);
  void report_refused(Output &output, GstFlowReturn flow, const CapsPtr &given,
                      const CapsPtr &taken);
  void find_spare_pads();
  ObjPtr<GstPad> take_spare(MediaKind kind);
  ObjPtr<GstPad> make_pad(MediaKind kind);
  void look_around();
  void fill_gaps();
  static unsigned first_latency(int wanted);
  bool is_adaptive() const { return config_.latency < 0; }
  void declare_latency(unsigned ms);
  void adapt_latency();
  void watch_wishes();
  void tell_of_unlinked();
  bool waits_for_other_sinks() const;
  void tell_of_waiting();
  void forget(Output &output);
  void end_those_that_wait();
  void finish(GstPad *pad);
  void push_later(GstPad *pad, GstEvent *event);

  Loop &loop_;
  GstElement *element_;
  std::shared_ptr<Disposer> disposer_;
  OutputConfig config_;
  OutputsObserver &observer_;
  std::vector<std::unique_ptr<Output>> outputs_;
  std::vector<ObjPtr<GstPad>> spare_; // of earlier runs, linked
  const std::shared_ptr<std::atomic<bool>> flowing_ =
      std::make_shared<std::atomic<bool>>(false);
  gint64 offset_ = 0; // ns
  unsigned group_id_;
  unsigned latency_; // ms, as declared
  LatencyChoice latency_choice_;
  bool finished_ = false;
  bool had_buffers_ = false; // a pad that was removed
  unsigned next_id_ = 1;
  unsigned next_video_ = 0;
  unsigned next_audio_ = 0;
  std::map<std::string, unsigned> unwatched_; // ticks without a linked video pad
  unsigned unlinked_ = 0;                     // ticks without any linked pad
  unsigned held_up_ = 0; // looks in a row at which other sinks were waited for
  Timer look_timer_;
};

} // namespace vdn
