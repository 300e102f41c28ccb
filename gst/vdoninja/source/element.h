// SPDX-License-Identifier: LGPL-2.1-or-later
// What the files of the element share: its instance, properties, signals and messages.
#pragma once

#include <memory>

#include "bus.h"
#include "enums.h"
#include "gstvdoninjasrc.h"
#include "receiver.h"

GST_DEBUG_CATEGORY_EXTERN(vdoninja_src_debug);

namespace vdn {

struct SrcImpl final : ReceiverObserver {
  explicit SrcImpl(GstVdoNinjaSrc *src) : self(src) {}

  void state_changed(ViewerState viewer_state) override;
  void problem(GstMessageType type, GQuark domain, int code,
               const std::string &text) override;
  void peer_news(const std::string &stream_id, const char *news,
                 GstStructure *details) override;
  void received(const std::string &stream_id, std::string_view json) override;
  void webrtcbin_ready(const std::string &stream_id, GstElement *webrtcbin) override;
  void decoder_made(GstElement *decoder) override;

  GstVdoNinjaSrc *const self;
  Mutex mutex;
  SourceSettings settings GUARDED_BY(mutex);
  GstVdoNinjaState state GUARDED_BY(mutex) = GST_VDONINJA_STATE_DISCONNECTED;
  // Progress is told from PLAYING on only: gst-launch does not leave PAUSED while one is
  // open.
  bool tells_progress GUARDED_BY(mutex) = false;
  // Set between READY and PAUSED. Closed by the state change; copies may outlive that.
  std::shared_ptr<Receiver> receiver GUARDED_BY(mutex);
};

} // namespace vdn

struct _GstVdoNinjaSrc {
  GstBin parent;
  vdn::SrcImpl *impl;
};

namespace vdn {

// Thread: any, for all functions here.
SourceSettings copy_settings(GstVdoNinjaSrc *self);
std::shared_ptr<Receiver> current_receiver(GstVdoNinjaSrc *self);

// "state" and the list "streams", of `stream_id` alone unless that is empty. Not from a
// streaming thread.
StructurePtr read_stats(GstVdoNinjaSrc *self, const std::string &stream_id);

// properties.cpp
void install_src_properties(GObjectClass *object_class);
// signals.cpp
void install_src_signals(GObjectClass *object_class);
void emit_message(GstVdoNinjaSrc *self, const std::string &stream_id,
                  std::string_view json);
void emit_webrtcbin(GstVdoNinjaSrc *self, const std::string &stream_id,
                    GstElement *webrtcbin);
void emit_decoder(GstVdoNinjaSrc *self, GstElement *decoder);
// Takes `details`, which may be NULL.
void post_peer(GstVdoNinjaSrc *self, const std::string &stream_id, const char *news,
               GstStructure *details);

} // namespace vdn
