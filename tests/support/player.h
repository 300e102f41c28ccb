// SPDX-License-Identifier: LGPL-2.1-or-later
// A pipeline with vdoninjasrc as an application sees it: what came on the bus and what
// came out of its pads, to be waited for with a deadline. Thread: the test's.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "gst-ptr.h"
#include "stamp.h"
#include "watched.h"

namespace vdn {

class Player {
public:
  // What reached one sink.
  struct Arrived {
    unsigned buffers = 0;
    unsigned disconts = 0;
    unsigned backwards = 0; // buffers with an earlier running time than the one before
    bool eos = false;
    unsigned stream_starts = 0;
    GstClockTime last_time = GST_CLOCK_TIME_NONE; // running time
    gint64 last_us = 0;                           // monotonic, of the last buffer
    gint64 gap_from_us = 0, gap_to_us = 0;        // the longest time between two buffers
    std::string caps;
    std::vector<std::string> all_caps;
    StampTracker stamps; // of I420 video
    unsigned unstamped = 0;
  };
  struct Trouble {
    GQuark domain = 0;
    int code = 0;
    std::string text;
  };
  struct State {
    std::map<std::string, Arrived> sinks; // by element name
    std::vector<Trouble> errors, warnings;
    std::vector<std::string> states;   // of vdoninjasrc, as posted
    std::vector<std::string> elements; // names of element messages
    std::vector<std::string> progress;
    std::vector<std::string> pads; // added to vdoninjasrc, in order
    std::vector<std::string> removed;
    unsigned no_more_pads = 0;
    bool eos = false;
    unsigned buffers(const std::string &sink) const;
    bool saw_state(const std::string &nick) const;
    // Whether `sink` shows a frame that was stamped after `ms`, of stamp_now_ms().
    bool shows_since(const std::string &sink, uint32_t ms) const;
  };

  // `launch`: with exactly one vdoninjasrc, and sinks whose names are in `sinks`.
  explicit Player(const std::string &launch, std::vector<std::string> sinks = {"sink"});
  ~Player();
  Player(const Player &) = delete;
  Player &operator=(const Player &) = delete;

  // Fails the test when the state change fails, unless `expect_failure`.
  void play(bool expect_failure = false);
  // Sets NULL and fails the test when that takes a second, times time_factor(), or more.
  void stop();
  State state() const { return state_.get(); }
  bool wait(std::chrono::milliseconds limit,
            const std::function<bool(const State &)> &ready) const {
    return state_.wait(limit, ready);
  }
  // Fails the test, telling what was there, when `ready` does not hold within the limit.
  void expect(const char *what, const std::function<bool(const State &)> &ready,
              std::chrono::milliseconds limit = std::chrono::seconds(20)) const;
  void expect_buffers(const std::string &sink, unsigned more) const;
  // Until the caps of `sink`, as text, have `part`.
  void expect_caps(const std::string &sink, const std::string &part) const;
  void expect_warning(const std::string &part) const;
  void expect_error(const std::string &part) const;
  // Fails the test unless it saw one pad from beginning to end, time that only grew, no
  // word of an end, and a DISCONT at the start and after each of `gaps` interruptions.
  void assert_seamless(unsigned gaps, const std::string &sink = "sink") const;
  // Fails the test unless the pad `name` is there and shows the stream `id`.
  void assert_stream(const char *name, const char *id) const;
  // Of the first pad of the stream `id`, as get-stats tells it.
  StructurePtr pad_stats(const char *id) const;
  GstElement *pipeline() const { return pipeline_.get(); }
  GstElement *source() const { return source_.get(); }
  // Starts counting frames of a sink that was added later.
  void watch(GstElement *sink);
  std::string describe() const;

private:
  static GstBusSyncReply on_message(GstBus *, GstMessage *message, gpointer self);
  static GstPadProbeReturn on_data(GstPad *pad, GstPadProbeInfo *info, gpointer data);
  void saw_buffer(Arrived &arrived, GstPad *pad, GstBuffer *buffer);

  ObjPtr<GstElement> pipeline_, source_;
  Watched<State> state_;
};

} // namespace vdn
