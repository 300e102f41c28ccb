// SPDX-License-Identifier: LGPL-2.1-or-later
#include "scene.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace std::chrono_literals;

namespace vdn {

Scene::Scene(Dialect dialect_) : dialect(dialect_) {
  HandshakeServer::Options options;
  options.routing.dialect = dialect;
  server = std::make_unique<HandshakeServer>(options);
  GError *error = nullptr;
  fail_unless(server->start(&error), "%s", error ? error->message : "");
}

PublisherConfig Scene::config(const std::string &stream_id) const {
  PublisherConfig result;
  result.server = server->url();
  result.dialect = dialect;
  result.stream_id = stream_id;
  result.with_audio = false;
  result.video.width = 320;
  result.video.height = 180;
  result.video.fps = 15;
  return result;
}

std::unique_ptr<Publisher> Scene::publish(const PublisherConfig &wanted) const {
  auto publisher = std::make_unique<Publisher>(wanted);
  GError *error = nullptr;
  fail_unless(publisher->start(&error), "%s", error ? error->message : "");
  fail_unless(publisher->wait(20s, [](const auto &state) { return state.online; }),
              "the publisher does not reach the server");
  return publisher;
}

std::string Scene::source(const std::string &properties) const {
  return "vdoninjasrc name=src signaling=" +
         std::string(dialect == Dialect::kHosted ? "hosted" : "custom") +
         " server=" + server->url() + " " + properties;
}

std::string Scene::line(const std::string &properties) const {
  return source(properties) +
         " ! video/x-raw,format=I420 ! fakesink name=sink sync=false";
}

Playing::Playing(Scene set, const PublisherConfig &config, const std::string &line,
                 std::vector<std::string> sinks)
    : scene(std::move(set)), publisher(scene.publish(config)),
      player(line, std::move(sinks)) {
  player.play();
  player.expect_buffers("sink", 5);
}

Playing::Playing(Dialect dialect, const std::string &properties)
    : scene(dialect), publisher(scene.publish()), player(scene.line(properties)) {
  player.play();
  player.expect_buffers("sink", 5);
}

} // namespace vdn
