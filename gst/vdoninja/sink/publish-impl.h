// SPDX-License-Identifier: LGPL-2.1-or-later
// What the files of the element share: its instance, properties, signals and messages.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "bus.h"
#include "enums.h"
#include "gstvdoninjasink.h"
#include "sender.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_sink_debug);

namespace vdn {

// Observes what the element consists of; a bare pointer to that, which it outlives.
struct PublishImpl final : SenderObserver, InputObserver {
  explicit PublishImpl(GstVdoNinjaSink *sink) : self(sink) {}

  // Of the sender. Thread: loop.
  void state_changed(PublisherState publisher_state) override;
  void published() override;
  void problem(GstMessageType type, GQuark domain, int code,
               const std::string &text) override;
  void webrtcbin_ready(const std::string &viewer, GstElement *webrtcbin) override;
  void viewer_joined(const std::string &viewer, const std::string &label) override;
  void viewer_left(const std::string &viewer, const std::string &why) override;
  void received(const std::string &viewer, std::string_view json) override;
  void ended() override;

  // Of the inputs. Thread: streaming, or the pool.
  void tracks_changed(Input &input) override;
  void input_warning(Input &input, const std::string &text,
                     const std::string &debug) override;
  void input_failed(Input &input, const GError &error, const std::string &debug) override;
  void input_eos(Input &input) override;
  void input_resumed(Input &input) override;
  void encoder_made(Input &input, GstElement *encoder) override;

  GstVdoNinjaSink *const self;
  Mutex mutex;
  PublishSettings settings GUARDED_BY(mutex);
  GstVdoNinjaSinkState state GUARDED_BY(mutex) = GST_VDONINJA_SINK_STATE_DISCONNECTED;
  // Progress is told from PLAYING on only: gst-launch does not leave PAUSED while one is
  // open.
  bool tells_progress GUARDED_BY(mutex) = false;
  // Set between READY and PAUSED. Closed by the state change; copies may outlive that.
  std::shared_ptr<Sender> sender GUARDED_BY(mutex);
  // Of this run; what stands behind the pads is made for each.
  PublishPlan plan GUARDED_BY(mutex);
  // Since when running time of the viewers counts; NONE before the first PLAYING.
  GstClockTime epoch GUARDED_BY(mutex) = GST_CLOCK_TIME_NONE;
  // The element's pads; NULL outside of a run. Borrowed, they are the element's.
  std::map<GstPad *, std::shared_ptr<Input>> inputs GUARDED_BY(mutex);
  std::set<const Input *> ended_inputs GUARDED_BY(mutex);
};

} // namespace vdn

struct _GstVdoNinjaSink {
  GstBin parent;
  vdn::PublishImpl *impl;
};

namespace vdn {

// Thread: any, for all functions here.
std::shared_ptr<Sender> current_sender(GstVdoNinjaSink *self);
// Of this run.
std::vector<std::shared_ptr<Input>> current_inputs(GstVdoNinjaSink *self);
// "state", "stream-id", "video-bitrate", "keyframes" and the list "viewers". Not from a
// streaming thread.
StructurePtr read_publish_stats(GstVdoNinjaSink *self);

// properties.cpp
void install_publish_properties(GObjectClass *object_class);
// signals.cpp
void install_publish_signals(GObjectClass *object_class);
void emit_viewer_joined(GstVdoNinjaSink *self, const std::string &viewer,
                        const std::string &label);
void emit_viewer_left(GstVdoNinjaSink *self, const std::string &viewer,
                      const std::string &why);
void emit_viewer_message(GstVdoNinjaSink *self, const std::string &viewer,
                         std::string_view json);
void emit_viewer_webrtcbin(GstVdoNinjaSink *self, const std::string &viewer,
                           GstElement *webrtcbin);
void emit_encoder(GstVdoNinjaSink *self, GstElement *encoder);

} // namespace vdn
