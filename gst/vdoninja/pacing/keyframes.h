// SPDX-License-Identifier: LGPL-2.1-or-later
// Who asked for a keyframe, and when the encoder is asked for one: a single one serves
// all, none sooner than 300 ms after another, and a viewer that asks all the time gets
// those that others caused. Times are told. Thread: one at a time.
#pragma once

#include <map>
#include <optional>
#include <string>

#include <cstdint>

namespace vdn {

enum class KeyframeCause {
  kJoined,  // the viewer begins to watch, again perhaps: costs nothing
  kAsked,   // PLI, FIR, data channel
  kDamaged, // it was refused repeats: from the same allowance
  kSlow,    // it watches from keyframe to keyframe: 4 s after any, costs nothing else
};

class Keyframes {
public:
  struct Counts {
    unsigned asked = 0;   // by this viewer, or by all
    unsigned refused = 0; // of those: over the allowance
    unsigned made = 0;    // that came from the encoder; since it joined
  };

  // False when it is refused, and served by the next that another causes.
  bool request(const std::string &viewer, KeyframeCause cause, int64_t now_us);
  void remove(const std::string &viewer) { viewers_.erase(viewer); }
  // Whether to ask the encoder now; true once. After each request, and when due.
  bool take(int64_t now_us);
  // When take() may say yes; nullopt while nobody waits.
  std::optional<int64_t> due_us() const;
  // The encoder made one, asked or by itself.
  void came(int64_t now_us);

  const Counts &counts() const { return counts_; }
  Counts counts(const std::string &viewer) const;

private:
  struct Viewer {
    double tokens = 3;
    int64_t filled_us = 0; // up to when tokens were given
    unsigned made_before = 0;
    Counts counts;
  };

  bool allows(Viewer *viewer, KeyframeCause cause, int64_t now_us) const;
  bool on_the_way(int64_t now_us) const;

  std::map<std::string, Viewer> viewers_;
  bool wanted_ = false;
  std::optional<int64_t> asked_us_;  // the encoder, which has not answered yet
  std::optional<int64_t> latest_us_; // it was asked, or made one
  Counts counts_;
};

// Whether what a viewer's pacer refused is worth a keyframe: not while its network is
// full, and once a second. Thread: one at a time.
class DamageWatch {
public:
  // `overused_us`: when its network was found full, the last time. True: request one.
  bool asks(bool damaged, int64_t overused_us, int64_t now_us);

private:
  std::optional<int64_t> asked_us_;
};

} // namespace vdn
