// SPDX-License-Identifier: LGPL-2.1-or-later
// vdoninjasink on a custom server, in clear, and what its viewers see and say.
#pragma once

#include "sending.h"
#include "test-viewer.h"

namespace vdn {

// Custom, in clear: what passes can be read and bent.
struct Show {
  explicit Show(const std::string &more = "", const std::string &source = small_video())
      : sending(source + sink_line(scene, "stream-id=abc password=false " + more)) {
    sending.play();
    sending.expect_published();
  }
  ViewerConfig viewer() const {
    ViewerConfig config;
    config.server = scene.server->url();
    config.dialect = Dialect::kCustom;
    config.stream_id = "abc";
    config.password = "false";
    return config;
  }
  std::string play() const { return "stream-id=abc password=false"; }

  const Scene scene{Dialect::kCustom};
  Sending sending;
};

// ... and a vdoninjasrc that has frames of it.
struct Shown : Show {
  explicit Shown(const std::string &more = "") : Show(more) {
    player.play();
    player.expect_buffers("sink", 5);
  }

  Player player{scene.line(play())};
};

inline void expect(const TestViewer &viewer, const char *what,
                   const std::function<bool(const TestViewer::State &)> &ready) {
  fail_unless(viewer.wait(std::chrono::seconds(20), ready), "waited in vain for: %s",
              what);
}

// Frames of the test picture have no stamp.
inline unsigned frames(const TestViewer::State &state) {
  return state.unreadable;
}

inline void expect_frames(const TestViewer &viewer, unsigned more) {
  const unsigned before = frames(viewer.state());
  expect(viewer, "frames",
         [=](const auto &state) { return frames(state) >= before + more; });
}

inline bool heard(const TestViewer::State &state, const std::string &part) {
  return std::any_of(state.received.begin(), state.received.end(), [&](const auto &text) {
    return text.find(part) != std::string::npos;
  });
}

// It is answered: what was said before has been heard.
inline void expect_pong(TestViewer &viewer, int number) {
  const std::string value = std::to_string(number);
  viewer.send(R"({"ping":)" + value + "}");
  expect(viewer, "a pong",
         [&](const auto &state) { return heard(state, "\"pong\":" + value); });
}

inline std::string request_of(const std::string &from, const char *request = "play") {
  return std::string(R"({"request":")") + request + R"(","streamID":"abc","from":")" +
         from + "\"}";
}

// Offers that came by the server.
inline unsigned offers(const Scene &scene) {
  unsigned count = 0;
  for (const Record &record : scene.server->state().records)
    count += record.received && record.text.find("m=application") != std::string::npos &&
             record.text.find("\"offer\"") != std::string::npos;
  return count;
}

} // namespace vdn
