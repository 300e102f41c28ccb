// SPDX-License-Identifier: LGPL-2.1-or-later
// What stands behind one sink pad: raw media are encoded once in each codec that somebody
// takes, encoded ones pass. What comes of it are tracks.
#pragma once

#include <condition_variable>
#include <memory>
#include <string>
#include <vector>

#include "encoder.h"
#include "passthrough.h"
#include "retimer.h"

namespace vdn {

// kAuto: what is not live waits for the clock, as LATENCY queries tell.
enum class InputSync { kAuto, kOn, kOff };

struct InputConfig {
  bool video = true;
  std::vector<Encoding> encodings; // of raw media, best first
  std::string encoder;             // factory or bin description; empty: by rank
  unsigned kbps = 2500;
  unsigned keyframe_seconds = 10; // 0: on request only
  InputSync sync = InputSync::kAuto;
  bool true_profile = false;               // H.264 that passes is announced as it is
  gint64 patience_us = 3 * G_USEC_PER_SEC; // with an encoder or stream without output
};

class Input;

// None comes after Input::close(). Must not call close(), and must not block: streaming
// threads wait.
class InputObserver {
public:
  virtual ~InputObserver() = default;
  // tracks() is another. Thread: streaming, or GStreamer's pool.
  virtual void tracks_changed(Input &input) = 0;
  // For a WARNING message. Thread: streaming, or the pool.
  virtual void input_warning(Input &input, const std::string &text,
                             const std::string &debug) = 0;
  // For an ERROR message; nothing more comes of it. Thread: streaming, or the pool.
  virtual void input_failed(Input &input, const GError &error,
                            const std::string &debug) = 0;
  // Upstream is at its end; up to three frames are still being encoded. Thread:
  // streaming.
  virtual void input_eos(Input &input) = 0;
  // It goes on after its end: somebody seeked back, or another stream came. Thread: any.
  virtual void input_resumed(Input &input) = 0;
  // For the signal `encoder-setup`: about to start. Thread: the pool.
  virtual void encoder_made(Input &input, GstElement *encoder) = 0;
};

class Input : public std::enable_shared_from_this<Input>, private EncoderObserver {
public:
  // `observer` must outlive close().
  static std::shared_ptr<Input> create(InputConfig config, InputObserver &observer);
  ~Input() override { close(); }
  Input(const Input &) = delete;
  Input &operator=(const Input &) = delete;

  // All that a pad of the element may be given: for its template. (transfer full)
  static GstCaps *template_caps(bool video);
  // A bin with the pad "sink", to be added to the element and to stand behind its ghost
  // pad. Errors of its children come out of the observer only, their EOS messages not at
  // all.
  GstElement *element() const { return bin_.get(); }

  // Best first; empty until a frame came: an offer would wait for what sleeps. Thread:
  // any.
  using Tracks = std::vector<std::shared_ptr<MediaTrack>>;
  Tracks tracks() const { return *given_us_ ? all_tracks() : Tracks(); }
  bool is_video() const { return config_.video; }
  // When the latest frame came, monotonic; 0: none did. Thread: any.
  std::shared_ptr<const std::atomic<gint64>> given_us() const { return given_us_; }
  // Whether it is encoded here, so that set_bitrate() has an effect. Thread: any.
  bool encodes() const { return !encoders().empty(); }
  // Of all encoders, while they run and for those to come. Thread: any.
  void set_bitrate(unsigned kbps);
  // Raw pictures that are larger are scaled to a quarter, half or three quarters of their
  // size. Thread: any.
  void set_box(const PictureBox &box);
  // From whoever encodes. Thread: any.
  void request_keyframe();
  // Encodes nothing while muted, and starts again with a keyframe. Thread: any.
  void set_muted(bool muted);
  // The base time that listeners share: frames carry running times since it. NONE: the
  // element's. Thread: any.
  void set_epoch(GstClockTime epoch);
  // Sets the bin to NULL and takes it out of the element; no frame and no news come
  // afterwards. Thread: any but a streaming thread and those of the observer.
  void close();

private:
  Input(InputConfig config, InputObserver &observer)
      : config_(std::move(config)), observer_(&observer), kbps_(config_.kbps) {}

  // Streaming thread.
  GstFlowReturn chain(GstPad *pad, GstObject *parent, GstBuffer *buffer);
  gboolean event(GstPad *pad, GstObject *parent, GstEvent *event);
  void resume();
  void flush_inside();
  void restart(GstEvent *flush_stop);
  void learn_liveness(GstPad *pad);
  bool set_caps(GstCaps *caps);
  bool set_raw(GstCaps *caps);
  bool set_encoded(GstCaps *caps, const EncodingFacts &facts);
  bool make_raw_inside();
  std::vector<std::shared_ptr<Encoder>> make_encoders();
  void leave_inside();
  void install(std::vector<std::shared_ptr<Encoder>> encoders,
               std::shared_ptr<Passthrough> passthrough);
  bool refuse(GQuark domain, int code, const std::string &text, const std::string &debug);

  // Any thread.
  Tracks all_tracks() const;
  bool on_message(GstMessage *message);
  template <typename Call> void tell(Call call);
  void tell_tracks();
  std::vector<std::shared_ptr<Encoder>> encoders() const;

  // EncoderObserver
  void encoder_made(GstElement *encoder) override;
  void encoder_warning(const std::string &text, const std::string &debug) override;
  void encoder_gave_up(Encoder &encoder, const std::string &text,
                       const std::string &debug) override;

  const InputConfig config_;
  const std::shared_ptr<Disposer> disposer_ = std::make_shared<Disposer>();
  ObjPtr<GstElement> bin_;

  // Streaming thread.
  ObjPtr<GstPad> pad_;
  ObjPtr<GstElement> tee_, pace_; // raw: what paces it, a sink
  std::shared_ptr<Passthrough> passing_;
  Retimer retimer_;
  GstFlowReturn flow_ = GST_FLOW_OK;
  bool live_ = false;
  bool live_known_ = false;
  bool jump_told_ = false;
  std::atomic<bool> ended_{false};
  const std::shared_ptr<std::atomic<gint64>> given_us_ =
      std::make_shared<std::atomic<gint64>>(0);

  mutable Mutex mutex_;
  std::condition_variable told_;
  InputObserver *observer_ GUARDED_BY(mutex_);
  unsigned telling_ GUARDED_BY(mutex_) = 0;
  bool closed_ GUARDED_BY(mutex_) = false;
  std::vector<std::shared_ptr<Encoder>> encoders_ GUARDED_BY(mutex_);
  std::vector<const Encoder *> dead_ GUARDED_BY(mutex_); // no element works for these
  std::shared_ptr<Passthrough> passthrough_ GUARDED_BY(mutex_);
  PictureBox box_ GUARDED_BY(mutex_);
  std::atomic<unsigned> kbps_{0};
  std::atomic<bool> muted_{false};
  std::atomic<GstClockTime> epoch_{GST_CLOCK_TIME_NONE};
};

} // namespace vdn
