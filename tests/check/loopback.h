// SPDX-License-Identifier: LGPL-2.1-or-later
// A handshake server, a publisher and launch lines for vdoninjasrc between them, all on
// loopback; and what went over the server, read again.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "handshake-server.h"
#include "player.h"
#include "publisher.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

namespace vdn {

inline constexpr auto kLoopbackLimit = std::chrono::seconds(20);

struct LoopbackServer : HandshakeServer {
  explicit LoopbackServer(Dialect dialect = Dialect::kHosted, Door door = {},
                          bool fan_out = false)
      : HandshakeServer(options(dialect, fan_out)) {
    set_door(door);
    GError *error = nullptr;
    fail_unless(start(&error), "%s", error ? error->message : "");
  }
  static Options options(Dialect dialect, bool fan_out) {
    Options result;
    result.routing.dialect = dialect;
    result.routing.fan_out = fan_out;
    return result;
  }
  // The source alone, with `properties`.
  std::string source(const std::string &properties = "stream-id=cam") const {
    return "vdoninjasrc name=src signaling=hosted server=" + url() + " " + properties;
  }
  // ... and sinks behind both pads.
  std::string play(const std::string &properties = "stream-id=cam") const;
  void await(const char *what, const std::function<bool(const State &)> &ready) const {
    fail_unless(wait(kLoopbackLimit, ready), "the server waited in vain for: %s", what);
  }
};

// Behind `src`: raw video and raw audio, to be counted.
inline std::string video_sink() {
  return " src.video_0 ! video/x-raw,format=I420 ! fakesink name=sink sync=false"
         " async=false";
}
inline std::string audio_sink() {
  return " src.audio_0 ! audio/x-raw ! fakesink name=audio sync=false async=false";
}

inline std::string LoopbackServer::play(const std::string &properties) const {
  return source(properties) + video_sink() + audio_sink();
}

inline PublisherConfig small_picture(Codec codec = Codec::kVp8) {
  PublisherConfig config;
  config.stream_id = "cam";
  config.video.codec = codec;
  config.video.width = 320;
  config.video.height = 180;
  config.video.fps = 15;
  config.video.kbps = 400;
  return config;
}

// Server and publisher; the latter starts with publish().
struct Loopback {
  explicit Loopback(PublisherConfig wanted = small_picture(), bool fan_out = false)
      : config(std::move(wanted)), server(config.dialect, {}, fan_out) {
    config.server = server.url();
    publisher = std::make_unique<Publisher>(config);
  }
  void publish() {
    GError *error = nullptr;
    fail_unless(publisher->start(&error), "%s", error ? error->message : "");
    // A custom server forgets a request that comes before the stream.
    server.await("the stream", [](const auto &state) {
      return state.count("seed") + state.count("joinroom") > 0;
    });
  }
  std::string source(const std::string &more = "") const {
    return std::string("vdoninjasrc name=src stream-id=cam signaling=") +
           (config.dialect == Dialect::kHosted ? "hosted" : "custom") +
           " server=" + server.url() + " " + more;
  }
  std::string play(const std::string &more = "") const {
    return source(more) + video_sink() + audio_sink();
  }
  void await(const char *what,
             const std::function<bool(const Publisher::State &)> &ready) const {
    const bool done = publisher->wait(kLoopbackLimit, ready);
    const auto state = publisher->state();
    fail_unless(done,
                "the publisher waited in vain for: %s; online %d, viewers %zu, "
                "connected %u, sessions %u, last ending '%s'",
                what, state.online, state.viewers.size(), state.connected(),
                state.sessions,
                state.endings.empty() ? "" : state.endings.back().c_str());
  }

  // What viewers said on the socket, opened with the publisher's secret.
  std::vector<Message> from_viewers() const { return from_viewers(server.state()); }
  std::vector<Message> from_viewers(const HandshakeServer::State &state) const {
    const Secret secret(config.password.c_str(), config.salt);
    Address me;
    me.dialect = config.dialect;
    me.self = publisher->state().self;
    std::vector<Message> result;
    for (const auto &record : state.records) {
      auto message = record.received ? parse_message(record.text, &me, secret, nullptr)
                                     : std::nullopt;
      if (message && !message->from_publisher &&
          !(message->description && message->description->offer))
        result.push_back(std::move(*message));
    }
    return result;
  }
  // The first answer that went over the server.
  std::string answer() const { return answer_in(server.state()); }
  std::string answer_in(const HandshakeServer::State &state) const {
    for (const auto &message : from_viewers(state))
      if (message.description)
        return message.description->sdp;
    return {};
  }

  PublisherConfig config;
  LoopbackServer server;
  std::unique_ptr<Publisher> publisher;
};

inline PublisherConfig video_only(Codec codec = Codec::kVp8, int fps = 30) {
  PublisherConfig config = small_picture(codec);
  config.with_audio = false;
  config.video.fps = fps;
  return config;
}

// A publisher and a player of its video, both at work.
struct Show : Loopback {
  explicit Show(const PublisherConfig &wanted = video_only(),
                const std::string &more = "", PublisherHooks hooks = {})
      : Loopback(wanted), player(source(more) + video_sink()) {
    publisher->set_hooks(std::move(hooks));
    publish();
    player.play();
  }
  Player player;
};

// The same with its sound, in the sink "audio".
struct ShowAndSound : Loopback {
  explicit ShowAndSound(const std::string &more = "")
      : player(play(more), {"sink", "audio"}) {
    publish();
    player.play();
  }
  Player player;
};

inline bool has_element(const char *name) {
  GstElementFactory *factory = gst_element_factory_find(name);
  if (factory)
    gst_object_unref(factory);
  else
    g_print("skipped: no element %s\n", name);
  return factory != nullptr;
}

// Frames came in order, next to none lost, with both stamps' numbers readable.
inline void expect_whole(const Player &player, const char *sink = "sink") {
  const auto state = player.state();
  const auto &video = state.sinks.at(sink);
  fail_unless(video.stamps.frames > 0, "no stamped frame\n%s", player.describe().c_str());
  fail_unless_equals_int(video.unstamped, 0);
  fail_unless_equals_int(video.backwards, 0);
  fail_unless_equals_int(video.stamps.backwards, 0);
  fail_unless(video.stamps.missing <= 1 + video.stamps.frames / 10,
              "%u frames missing of %u", video.stamps.missing, video.stamps.frames);
  fail_unless(state.errors.empty(), "%s", player.describe().c_str());
}

} // namespace vdn
