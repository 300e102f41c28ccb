// SPDX-License-Identifier: LGPL-2.1-or-later
// Makes up what a server, a publisher or somebody who pretends to be one might say: every
// message of docs/protocol.md, right and wrong, from a seed.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "message.h"

namespace vdn {

class Random {
public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  unsigned below(unsigned limit) { return static_cast<unsigned>(engine_() % limit); }
  bool chance(unsigned percent) { return below(100) < percent; }
  template <typename List> auto pick(const List &list) {
    return *(std::begin(list) + below(static_cast<unsigned>(std::size(list))));
  }

private:
  std::mt19937_64 engine_;
};

class Script {
public:
  // `stream` and `room` as the viewer was told.
  Script(Random &random, Dialect dialect, std::string stream, std::string room);

  // Who the viewer is on the socket, for what is addressed to it (custom dialect).
  void set_viewer(std::string peer) { viewer_ = std::move(peer); }
  // The next text for the socket or the data channel.
  std::string next(bool channel);

private:
  using Fields = std::vector<std::pair<std::string, std::string>>; // name, JSON

  void add_address(Fields *fields);
  void add_offer(Fields *fields);
  void add_candidates(Fields *fields);
  void add_members(Fields *fields);
  void add_news(Fields *fields);
  void add_request(Fields *fields);
  std::string sdp();
  std::string media_line(const char *mid);
  std::string candidate();
  std::string wire_id();
  std::string text(unsigned longest = 200);
  std::string json();
  std::string quoted(const std::string &text) const;
  std::string spoil(std::string text);

  Random &random_;
  const Dialect dialect_;
  const Secret secret_;
  const std::string stream_, room_;
  std::string viewer_;
};

} // namespace vdn
