// SPDX-License-Identifier: LGPL-2.1-or-later
// The element's properties as one value, and what the layers below need made of it.
#pragma once

#include <gst/gst.h>

#include <string>
#include <vector>

#include "link.h"
#include "outputs.h"
#include "viewer.h"

typedef enum {
  GST_VDONINJA_SIGNALING_AUTO,
  GST_VDONINJA_SIGNALING_HOSTED,
  GST_VDONINJA_SIGNALING_CUSTOM
} GstVdoNinjaSignaling;

typedef enum {
  GST_VDONINJA_ON_DISCONNECT_RECONNECT,
  GST_VDONINJA_ON_DISCONNECT_EOS,
  GST_VDONINJA_ON_DISCONNECT_ERROR
} GstVdoNinjaOnDisconnect;

typedef enum {
  GST_VDONINJA_ON_LEAVE_KEEP,
  GST_VDONINJA_ON_LEAVE_REMOVE
} GstVdoNinjaOnLeave;

namespace vdn {

constexpr const char *kDefaultServer = "wss://wss.vdo.ninja:443";
constexpr int kAdaptiveLatency = -1;
constexpr int kMaxLatency = 10000;
constexpr unsigned kMaxStreamsLimit = 256;

// Copied under the element's lock; then anybody's. Empty strings stand for unset.
struct Settings {
  std::string stream_id;
  std::string room;
  std::string password;
  std::string server = kDefaultServer;
  GstVdoNinjaSignaling signaling = GST_VDONINJA_SIGNALING_AUTO;
  std::string salt;
  std::string label;
  bool stun_set = false; // otherwise the service's own
  std::string stun_server;
  std::vector<std::string> turn_servers;
  bool relay_only = false;
  int latency = kAdaptiveLatency; // ms
  std::vector<std::string> video_codecs;
  std::string video_decoder;
  FormChoice output_format = FormChoice::kAuto;
  bool conceal_errors = false;
  bool enable_video = true;
  bool enable_audio = true;
  unsigned video_bitrate = 0;
  unsigned max_streams = 0;
  unsigned timeout_s = 0; // 0: for ever
  GstVdoNinjaOnDisconnect on_disconnect = GST_VDONINJA_ON_DISCONNECT_RECONNECT;
  GstVdoNinjaOnLeave on_leave = GST_VDONINJA_ON_LEAVE_KEEP;
  GTlsCertificateFlags tls_flags = G_TLS_CERTIFICATE_VALIDATE_ALL;
  ObjPtr<GTlsDatabase> tls_database;
  std::string location;       // of the link that was taken, without its password
  std::string location_error; // why a link was not
  std::string published;      // by the link
  std::vector<std::string> location_unsupported; // parameters without a meaning here
  // What only a link can say.
  std::vector<std::string> excluded;
  std::string room_token;
  std::optional<unsigned> total_bitrate; // kbit/s, of all streams
  std::optional<bool> allow_plain;
  bool stereo = false;
  Wishes wishes;
};

// Takes over what a pasted link or vdoninja: URI says. False and a GST_URI_ERROR `error`
// when it is no such link.
bool apply_link(const char *text, Settings *settings, GError **error);

struct Plan {
  ViewerConfig viewer;
  OutputConfig outputs;
  unsigned timeout_s = 0;
  std::vector<std::string> warnings; // sentences for the user
};

// Checks `settings`. False and a GST_RESOURCE_ERROR_SETTINGS `error` when they cannot
// work. Thread: any; asks the kernel for addresses, never the network.
bool make_plan(const Settings &settings, Plan *plan, GError **error);
Secret make_secret(const Settings &settings);

} // namespace vdn
