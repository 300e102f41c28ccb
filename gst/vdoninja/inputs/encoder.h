// SPDX-License-Identifier: LGPL-2.1-or-later
// Encodes what a tee gives, as long as somebody takes it, and replaces an encoder that
// fails by the next one without anybody behind it noticing more than a gap.
#pragma once

#include <condition_variable>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "disposer.h"
#include "encoder-branch.h"
#include "track.h"

namespace vdn {

struct EncoderPlan {
  Encoding encoding = Encoding::kH264;
  std::string wanted; // factory or bin description that is tried first; empty: by rank
  unsigned kbps = 0;
  unsigned keyframe_seconds = 10;
  gint64 patience_us = 3 * G_USEC_PER_SEC; // frames go in and nothing comes out
};

class Encoder;

// Thread: GStreamer's pool, one call at a time, none after Encoder::close(). Must not
// call close().
class EncoderObserver {
public:
  virtual ~EncoderObserver() = default;
  // An element is about to start; the last word on its properties. (transfer none)
  virtual void encoder_made(GstElement *encoder) = 0;
  virtual void encoder_warning(const std::string &text, const std::string &debug) = 0;
  // None is left. Tried again, from the first, when the raw caps change.
  virtual void encoder_gave_up(Encoder &encoder, const std::string &text,
                               const std::string &debug) = 0;
};

class Encoder : public std::enable_shared_from_this<Encoder> {
public:
  // Nothing runs before set_input() and before somebody takes the track. `home`: where
  // branches live; `tee`: in it, what they are linked to. Both must outlive close().
  static std::shared_ptr<Encoder> create(EncoderPlan plan, GstBin *home, GstElement *tee,
                                         EncoderObserver &observer,
                                         std::shared_ptr<Disposer> disposer);
  // Thread: any but a streaming thread.
  void close();

  // The rest: any thread.
  const std::shared_ptr<MediaTrack> &track() const { return track_; }
  Encoding encoding() const { return plan_.encoding; }
  // What the tee gives from now on; before the caps event passes it.
  void set_input(const GstCaps *raw);
  void set_rate(unsigned kbps);
  void set_box(const PictureBox &box);
  void request_keyframe();
  // Whether an error message is of a branch of ours. It then needs no other treatment.
  bool take_error(GstMessage *message);
  // Whether it is in a branch of any encoder, one that is on its way out included.
  static bool is_branch(GstObject *source);

private:
  struct Failure {
    std::string name, reason;
  };
  struct Attempt {
    EncoderBranch branch;
    ObjPtr<GstPad> tee_pad;
    gint64 since = 0;
  };

  Encoder(EncoderPlan plan, GstBin *home, GstElement *tee, EncoderObserver &observer,
          std::shared_ptr<Disposer> disposer)
      : plan_(std::move(plan)), kbps_(plan_.kbps), home_(home), tee_(tee),
        observer_(observer), disposer_(std::move(disposer)) {}

  void kick();
  void work();
  void step();
  void note_failure(unsigned number, const std::string &reason);
  void frame(unsigned number, GstSample *sample);
  // Pool thread, or close().
  std::optional<Failure> end_failed();
  void drop();
  bool wanted();
  void start_next(std::optional<Failure> failed);
  bool start(const std::string &name);
  EncoderBranchConfig configure(const std::string &name, unsigned number);
  bool run(EncoderBranch branch, unsigned kbps);
  void give_up(const Failure &last);
  std::vector<std::string> candidates();

  const EncoderPlan plan_;
  std::atomic<unsigned> kbps_;
  GstBin *const home_;
  GstElement *const tee_;
  EncoderObserver &observer_;
  const std::shared_ptr<Disposer> disposer_;
  std::shared_ptr<MediaTrack> track_;

  Mutex mutex_;
  std::condition_variable changed_;
  bool closed_ GUARDED_BY(mutex_) = false;
  bool busy_ GUARDED_BY(mutex_) = false;  // somebody is in work()
  bool dirty_ GUARDED_BY(mutex_) = false; // and is to look again
  bool pushing_ GUARDED_BY(mutex_) = false;
  unsigned numbers_ GUARDED_BY(mutex_) = 0;
  PictureBox box_ GUARDED_BY(mutex_);
  std::optional<Attempt> attempt_ GUARDED_BY(mutex_);
  std::optional<std::string> failure_ GUARDED_BY(mutex_); // of the attempt
  std::string last_error_ GUARDED_BY(mutex_);             // of whichever branch
  CapsPtr raw_ GUARDED_BY(mutex_);
  bool gave_up_ GUARDED_BY(mutex_) = false;
  std::vector<std::string> failed_ GUARDED_BY(mutex_);
  unsigned anew_ GUARDED_BY(mutex_) = 0; // times that the present one was made again
};

} // namespace vdn
