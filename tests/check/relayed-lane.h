// SPDX-License-Identifier: LGPL-2.1-or-later
// A publisher and a player with a bad network between them. Thread: the test's.
#pragma once

#include "relayed.h"
#include "scene.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

namespace vdn {

// A server behind which all packets go through `relay`, which outlives it.
inline Scene relayed_scene(UdpRelay &relay) {
  Scene scene;
  scene.server->set_hook([&relay](Passing &passing) {
    passing.drop |= !lead_through(relay, &passing.text);
  });
  return scene;
}

// In clear and on the socket: the relay has to read the candidates.
inline PublisherConfig relayed_config(const Scene &scene) {
  PublisherConfig config = scene.config();
  config.password = "false";
  config.channel_signaling = false;
  // From elsewhere it cannot reach the relay, and would wait for that to fail.
  config.local_addresses = {"127.0.0.1"};
  return config;
}

inline std::string relayed_line(const Scene &scene, const std::string &properties = "") {
  return scene.line("stream-id=abc password=false " + properties);
}

// As long and as narrow, and nothing is lost.
inline Line whole(Line line) {
  for (PathConditions *conditions : {&line.to_viewer, &line.to_publisher})
    conditions->loss = 0;
  return line;
}

inline Playing play_through(UdpRelay &relay, const std::string &properties) {
  Scene scene = relayed_scene(relay);
  const PublisherConfig config = relayed_config(scene);
  const std::string line = relayed_line(scene, properties);
  return Playing(std::move(scene), config, line);
}

struct Lane {
  explicit Lane(unsigned seed_, const std::string &properties = "")
      : seed(seed_), relay(seed_), playing(play_through(relay, properties)) {
    // All there is came this way.
    fail_unless(relay.state().towards(End::kViewer).passed >= 5);
  }
  Player &player() { return playing.player; }
  Publisher &publisher() { return *playing.publisher; }
  Player::Arrived arrived() const { return playing.player.state().sinks.at("sink"); }

  const unsigned seed;
  unsigned requests_before = 0; // for keyframes, when the network was still good
  UdpRelay relay;               // outlives the server
  Playing playing;
};

} // namespace vdn
