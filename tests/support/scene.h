// SPDX-License-Identifier: LGPL-2.1-or-later
// A server, publishers and a launch line that fit together. Thread: the test's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "handshake-server.h"
#include "player.h"
#include "publisher.h"

namespace vdn {

struct Scene {
  explicit Scene(Dialect dialect = Dialect::kHosted);

  // A small picture, quick to encode; VP8.
  PublisherConfig config(const std::string &stream_id = "abc") const;
  // Starts one and waits until the server knows it.
  std::unique_ptr<Publisher> publish(const PublisherConfig &config) const;
  std::unique_ptr<Publisher> publish(const std::string &stream_id = "abc") const {
    return publish(config(stream_id));
  }
  // The same without sound, in "room1".
  std::unique_ptr<Publisher> join(const std::string &stream_id) const {
    PublisherConfig guest = config(stream_id);
    guest.room = "room1";
    guest.with_audio = false;
    return publish(guest);
  }
  // "vdoninjasrc name=src ... ! video/x-raw,format=I420 ! fakesink name=sink"
  std::string line(const std::string &properties = "stream-id=abc") const;
  // Without what follows the source.
  std::string source(const std::string &properties = "stream-id=abc") const;

  Dialect dialect;
  std::unique_ptr<HandshakeServer> server;
};

// Behind "src", for the pad video_NUMBER: raw video, in the sink "sinkNUMBER".
inline std::string raw_sink(unsigned number) {
  const std::string n = std::to_string(number);
  return " src.video_" + n +
         " ! video/x-raw,format=I420 ! fakesink sync=false async=false name=sink" + n;
}

// A scene that plays: five buffers have reached the sink. Taken apart where it is made:
//   auto [scene, publisher, player] = Playing();
struct Playing {
  explicit Playing(Dialect dialect = Dialect::kHosted,
                   const std::string &properties = "stream-id=abc");
  Playing(Scene set, const PublisherConfig &config, const std::string &line,
          std::vector<std::string> sinks = {"sink"});

  Scene scene;
  std::unique_ptr<Publisher> publisher;
  Player player;
};

} // namespace vdn
