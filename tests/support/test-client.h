// SPDX-License-Identifier: LGPL-2.1-or-later
// A bare handshake client for tests: keeps what it receives, sends what it is told.
#pragma once

#include <string>
#include <vector>

#include "json-text.h"
#include "loop-call.h"
#include "signaling.h"
#include "watched.h"

namespace vdn {

class TestClient {
public:
  struct State {
    bool open = false;
    unsigned lost = 0;
    std::string error; // of the last loss
    std::vector<std::string> messages;
  };

  explicit TestClient(SignalingConfig config)
      : loop_("test-client"),
        signaling_(std::make_unique<Signaling>(loop_, std::move(config), callbacks())) {
    call(loop_, [this] { signaling_->open(); });
  }
  explicit TestClient(const std::string &url) : TestClient(config_for(url)) {}
  ~TestClient() {
    loop_.stop([this] { signaling_.reset(); });
  }

  void send(const std::string &text) {
    call(loop_, [this, &text] { signaling_->send(text); });
  }
  void reopen() {
    call(loop_, [this] { signaling_->open(); });
  }

  State state() const { return state_.get(); }
  bool wait(const std::function<bool(const State &)> &ready) const {
    return state_.wait(std::chrono::seconds(5), ready);
  }
  bool wait_open() const {
    return wait([](const State &state) { return state.open; });
  }
  // Waits for the `n`-th message (from 0); empty when it does not come.
  std::string message(size_t n) const {
    wait([n](const State &state) { return state.messages.size() > n; });
    const State state = state_.get();
    return state.messages.size() > n ? state.messages[n] : std::string();
  }
  // String member of the `n`-th message.
  std::string member(size_t n, const char *name) const {
    const JsonObjectPtr object = parse_object(message(n));
    return object ? string_member(object.get(), name) : std::string();
  }

private:
  static SignalingConfig config_for(const std::string &url) {
    SignalingConfig result;
    result.url = url;
    return result;
  }

  Signaling::Callbacks callbacks() {
    Signaling::Callbacks result;
    result.opened = [this] { state_.update([](State &state) { state.open = true; }); };
    result.message = [this](std::string_view text) {
      state_.update([text](State &state) { state.messages.emplace_back(text); });
    };
    result.lost = [this](const GError *error) {
      state_.update([error](State &state) {
        state.open = false;
        state.lost++;
        state.error = error ? error->message : "";
      });
    };
    return result;
  }

  Watched<State> state_;
  Loop loop_;
  std::unique_ptr<Signaling> signaling_;
};

} // namespace vdn
