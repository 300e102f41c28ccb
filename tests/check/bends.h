// SPDX-License-Identifier: LGPL-2.1-or-later
// What passes a handshake server in clear: bent, kept, and said again.
#pragma once

#include <string>
#include <vector>

#include <cstring>

#include "handshake-server.h"

namespace vdn {

inline bool has(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}
inline bool is_answer(const Passing &passing) {
  return has(passing.text, "\"answer\"");
}
inline bool is_offer(const Passing &passing) {
  return has(passing.text, "\"offer\"") && has(passing.text, "m=application");
}

// How often `from` was there.
inline unsigned replace_all(std::string *text, const std::string &from,
                            const std::string &to) {
  unsigned count = 0;
  for (size_t at = 0; (at = text->find(from, at)) != std::string::npos; at += to.size()) {
    text->replace(at, from.size(), to);
    count++;
  }
  return count;
}

// Takes out the attribute lines of an SDP, as JSON has it, that have `part`.
inline void remove_lines(std::string *text, const std::string &part) {
  constexpr char kEnd[] = "\\r\\n";
  for (size_t at; (at = text->find(part)) != std::string::npos;) {
    const size_t begin = text->rfind("a=", at), end = text->find(kEnd, at);
    text->erase(begin, end + strlen(kEnd) - begin);
  }
}

// What viewers say to who publishes, by the server; to be said once more.
class Overheard {
public:
  explicit Overheard(HandshakeServer &server) : server_(server) {
    server.set_hook([this](Passing &passing) {
      if (is_answer(passing) || has(passing.text, R"("type":"remote")"))
        all_.update([&](auto &all) { all.push_back(passing); });
    });
  }
  ~Overheard() { server_.set_hook(nullptr); }
  Overheard(const Overheard &) = delete;
  Overheard &operator=(const Overheard &) = delete;

  size_t repeat() const {
    const auto all = all_.get();
    for (const Passing &one : all)
      server_.send_text(one.to, one.text);
    return all.size();
  }

private:
  HandshakeServer &server_;
  Watched<std::vector<Passing>> all_;
};

} // namespace vdn
