// SPDX-License-Identifier: LGPL-2.1-or-later
#include "encoder.h"

#include <algorithm>
#include <utility>

namespace vdn {

namespace {

// Whose encoder a branch is; so that errors of one that is on its way out are known, too.
constexpr const char *kOwner = "vdn-encoder";
// An encoder that worked for so long and failed is made anew; one that fails with a new
// format too, but not for ever.
constexpr gint64 kProven = 60 * G_USEC_PER_SEC;
constexpr unsigned kAnew = 2;

unsigned fps_of(const GstCaps *raw) {
  int n = 0, d = 1;
  if (!raw ||
      !gst_structure_get_fraction(gst_caps_get_structure(raw, 0), "framerate", &n, &d) ||
      n <= 0 || d <= 0)
    return 30;
  return std::max((n + d - 1) / d, 1);
}

bool contains(const std::vector<std::string> &all, const std::string &one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

} // namespace

std::shared_ptr<Encoder> Encoder::create(EncoderPlan plan, GstBin *home, GstElement *tee,
                                         EncoderObserver &observer,
                                         std::shared_ptr<Disposer> disposer) {
  std::shared_ptr<Encoder> made(
      new Encoder(std::move(plan), home, tee, observer, std::move(disposer)));
  const std::weak_ptr<Encoder> weak = made;
  MediaTrack::Source source;
  source.demand_changed = [weak] {
    if (const auto encoder = weak.lock())
      encoder->kick();
  };
  source.keyframe = [weak] {
    if (const auto encoder = weak.lock())
      encoder->request_keyframe();
  };
  made->track_ =
      std::make_shared<MediaTrack>(made->plan_.encoding, false, std::move(source));
  return made;
}

void Encoder::close() {
  {
    Lock lock(mutex_);
    closed_ = true;
    while (busy_)
      lock.wait(changed_);
  }
  drop();
}

void Encoder::set_input(const GstCaps *raw) {
  {
    Lock lock(mutex_);
    if (raw_ && gst_caps_is_equal(raw, raw_.get()))
      return;
    // A branch that reads other memory is not changed but made again.
    if (attempt_ && memory_of(raw) != memory_of(raw_.get()) && !failure_)
      failure_ = ""; // no fault of its own
    raw_.reset(gst_caps_copy(raw));
    if (std::exchange(gave_up_, false))
      failed_.clear();
  }
  track_->set_raw_caps(raw);
  kick();
}

void Encoder::set_rate(unsigned kbps) {
  if (kbps_.exchange(kbps) == kbps)
    return;
  ObjPtr<GstElement> encoder;
  {
    Lock lock(mutex_);
    if (attempt_)
      encoder = attempt_->branch.encoder;
  }
  if (encoder)
    set_encoder_rate(encoder.get(), kbps);
}

void Encoder::set_box(const PictureBox &box) {
  std::optional<EncoderBranch> branch;
  {
    Lock lock(mutex_);
    if (std::exchange(box_, box) == box)
      return;
    if (attempt_)
      branch = attempt_->branch;
  }
  if (branch)
    set_branch_box(*branch, box);
}

void Encoder::request_keyframe() {
  ObjPtr<GstElement> encoder;
  bool running = false;
  {
    Lock lock(mutex_);
    if (attempt_) {
      encoder = attempt_->branch.encoder;
      running = attempt_->branch.counts->made > 0;
    }
  }
  if (encoder)
    request_encoder_keyframe(encoder.get(), running);
}

namespace {

// The bin of the branch that `source` is in, NULL if there is none.
ObjPtr<GstObject> branch_of(GstObject *source) {
  auto at = ObjPtr<GstObject>::ref(source);
  while (at && !g_object_get_data(G_OBJECT(at.get()), kOwner))
    at = ObjPtr<GstObject>::adopt(gst_object_get_parent(at.get()));
  return at;
}

} // namespace

bool Encoder::is_branch(GstObject *source) {
  return bool(branch_of(source));
}

bool Encoder::take_error(GstMessage *message) {
  const auto bin = branch_of(GST_MESSAGE_SRC(message));
  if (!bin || g_object_get_data(G_OBJECT(bin.get()), kOwner) != this)
    return false;
  GError *raw_error = nullptr;
  gchar *raw_debug = nullptr;
  gst_message_parse_error(message, &raw_error, &raw_debug);
  const ErrorPtr error(raw_error);
  const StrPtr debug(raw_debug);
  unsigned number = 0;
  {
    Lock lock(mutex_);
    last_error_ = error->message;
    if (attempt_ && GST_OBJECT(attempt_->branch.bin.get()) == bin.get())
      number = attempt_->branch.number;
  }
  if (number)
    note_failure(number, error->message);
  return true;
}

// The state of the branch is looked at by one thread of the pool at a time.
void Encoder::kick() {
  {
    Lock lock(mutex_);
    dirty_ = true;
    if (busy_ || closed_)
      return;
    busy_ = true;
  }
  using Self = std::shared_ptr<Encoder>;
  gst_element_call_async(
      GST_ELEMENT(home_),
      [](GstElement *, gpointer data) { (*static_cast<Self *>(data))->work(); },
      new Self(shared_from_this()),
      [](gpointer data) { delete static_cast<Self *>(data); });
}

void Encoder::work() {
  for (;;) {
    {
      Lock lock(mutex_);
      if (!dirty_ || closed_) {
        busy_ = false;
        changed_.notify_all();
        return;
      }
      dirty_ = false;
    }
    step();
  }
}

void Encoder::step() {
  const auto failed = end_failed();
  bool running = false;
  {
    Lock lock(mutex_);
    running = attempt_.has_value();
  }
  if (wanted() && !running)
    start_next(failed);
  else if (!wanted() && running)
    drop();
}

bool Encoder::wanted() {
  const bool taken = track_->taken();
  Lock lock(mutex_);
  return taken && raw_ && !gave_up_ && !closed_;
}

void Encoder::note_failure(unsigned number, const std::string &reason) {
  {
    Lock lock(mutex_);
    if (!attempt_ || attempt_->branch.number != number || failure_)
      return;
    failure_ = reason;
  }
  kick();
}

// Thread: streaming.
void Encoder::frame(unsigned number, GstSample *sample) {
  {
    Lock lock(mutex_);
    if (!attempt_ || attempt_->branch.number != number || failure_)
      return;
    pushing_ = true;
  }
  track_->push(sample, gst_element_get_base_time(GST_ELEMENT(home_)));
  {
    Lock lock(mutex_);
    pushing_ = false;
  }
  changed_.notify_all();
}

// The branch that failed goes; returns why, if the next one is to be told of.
std::optional<Encoder::Failure> Encoder::end_failed() {
  Failure failure;
  bool again = false;
  {
    Lock lock(mutex_);
    if (!attempt_ || !failure_)
      return std::nullopt;
    const BranchCounts &counts = *attempt_->branch.counts;
    failure = {attempt_->branch.name, *failure_};
    const bool proven = g_get_monotonic_time() - attempt_->since > kProven;
    anew_ = proven ? 0 : anew_;
    again = failure.reason.empty() ||
            (counts.made > 0 && anew_ < kAnew && (proven || counts.formats > 1));
    if (again)
      anew_ += failure.reason.empty() ? 0 : 1;
    else
      failed_.push_back(failure.name);
  }
  drop();
  if (again)
    return std::nullopt;
  return failure;
}

void Encoder::drop() {
  std::optional<Attempt> old;
  {
    Lock lock(mutex_);
    old.swap(attempt_);
    failure_.reset();
    while (pushing_)
      lock.wait(changed_);
  }
  if (!old)
    return;
  track_->restart();
  const auto sink =
      ObjPtr<GstPad>::adopt(gst_element_get_static_pad(old->branch.bin.get(), "sink"));
  gst_pad_unlink(old->tee_pad.get(), sink.get());
  gst_element_release_request_pad(tee_, old->tee_pad.get());
  old->branch.encoder.reset();
  disposer_->dispose(home_, std::move(old->branch.bin));
}

std::vector<std::string> Encoder::candidates() {
  std::vector<std::string> names = encoders_for(plan_.encoding);
  if (!plan_.wanted.empty()) {
    names.erase(std::remove(names.begin(), names.end(), plan_.wanted), names.end());
    names.insert(names.begin(), plan_.wanted);
  }
  Lock lock(mutex_);
  names.erase(std::remove_if(names.begin(), names.end(),
                             [this](const std::string &name) NO_THREAD_SAFETY_ANALYSIS {
                               return contains(failed_, name);
                             }),
              names.end());
  return names;
}

void Encoder::start_next(std::optional<Failure> failed) {
  const char *codec = facts_of(plan_.encoding).name;
  for (const std::string &name : candidates()) {
    {
      Lock lock(mutex_);
      if (closed_)
        return;
      last_error_.clear();
      anew_ = failed ? 0 : anew_;
    }
    if (start(name)) {
      if (failed)
        observer_.encoder_warning(failed->name + " failed as encoder of " + codec + ", " +
                                      name + " goes on",
                                  failed->reason);
      return;
    }
    Lock lock(mutex_);
    failed_.push_back(name);
    failed = Failure{name, last_error_.empty() ? "it does not start" : last_error_};
  }
  give_up(failed ? *failed : Failure{"", "none is installed"});
}

void Encoder::give_up(const Failure &last) {
  const EncodingFacts &facts = facts_of(plan_.encoding);
  {
    Lock lock(mutex_);
    gave_up_ = true;
    anew_ = 0;
  }
  observer_.encoder_gave_up(*this,
                            std::string("no encoder of ") + facts.name +
                                " works here; install " + facts.package +
                                " or name one by video-encoder",
                            last.name + ": " + last.reason);
}

EncoderBranchConfig Encoder::configure(const std::string &name, unsigned number) {
  const std::weak_ptr<Encoder> weak = weak_from_this();
  EncoderBranchConfig config;
  {
    Lock lock(mutex_);
    config.raw.reset(gst_caps_ref(raw_.get()));
  }
  config.encoding = plan_.encoding;
  config.name = name;
  config.numbers = {kbps_, fps_of(config.raw.get()), plan_.keyframe_seconds,
                    g_get_num_processors()};
  config.patience_us = plan_.patience_us;
  config.made = [this](GstElement *encoder) { observer_.encoder_made(encoder); };
  config.idle = [track = std::weak_ptr<MediaTrack>(track_)] {
    const auto to = track.lock();
    return !to || to->muted();
  };
  config.on_sample = [weak, number](GstSample *sample) {
    if (const auto self = weak.lock())
      self->frame(number, sample);
  };
  config.on_failure = [weak, number](const std::string &reason) {
    if (const auto self = weak.lock())
      self->note_failure(number, reason);
  };
  return config;
}

bool Encoder::start(const std::string &name) {
  unsigned number = 0;
  {
    Lock lock(mutex_);
    number = ++numbers_;
  }
  GError *raw_error = nullptr;
  EncoderBranchConfig config = configure(name, number);
  const unsigned kbps = config.numbers.kbps;
  EncoderBranch branch = make_encoder_branch(std::move(config), &raw_error);
  const ErrorPtr error(raw_error);
  if (!branch.bin) {
    Lock lock(mutex_);
    last_error_ = error ? error->message : "";
    return false;
  }
  branch.number = number;
  g_object_set_data(G_OBJECT(branch.bin.get()), kOwner, this);
  return run(std::move(branch), kbps);
}

// In READY the device is opened; in `home_` for that, so that what it needs is asked for
// on the bus.
bool Encoder::run(EncoderBranch branch, unsigned kbps) {
  const auto bin = branch.bin, encoder = branch.encoder;
  const unsigned number = branch.number;
  gst_element_set_locked_state(bin.get(), TRUE);
  gst_bin_add(home_, bin.get());
  if (gst_element_set_state(bin.get(), GST_STATE_READY) == GST_STATE_CHANGE_FAILURE) {
    disposer_->dispose(home_, bin);
    return false;
  }
  const auto tee_pad =
      ObjPtr<GstPad>::adopt(gst_element_request_pad_simple(tee_, "src_%u"));
  {
    Lock lock(mutex_);
    {
      Lock of_size(branch.size->mutex);
      branch.size->box = box_; // caps are still to come
    }
    attempt_ = Attempt{std::move(branch), tee_pad, g_get_monotonic_time()};
  }
  // It may have changed meanwhile, when there was nobody to tell, and may yet.
  for (unsigned now = kbps_; now != kbps; now = kbps_)
    set_encoder_rate(encoder.get(), kbps = now);
  gst_element_set_locked_state(bin.get(), FALSE);
  if (!gst_element_sync_state_with_parent(bin.get()))
    note_failure(number, "it does not start");
  const auto sink = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(bin.get(), "sink"));
  if (gst_pad_link(tee_pad.get(), sink.get()) != GST_PAD_LINK_OK)
    note_failure(number, "it does not take such frames");
  return true;
}

} // namespace vdn
