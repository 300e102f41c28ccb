// SPDX-License-Identifier: LGPL-2.1-or-later
#include "retry.h"

#include <algorithm>
#include <iterator>
#include <string>

#include <glib.h>

namespace vdn {

namespace {

constexpr double kJitter = 0.2;
constexpr unsigned kLongestReconnect = 30000;

unsigned with_jitter(unsigned ms, double random) {
  return static_cast<unsigned>(ms * (1.0 - kJitter + 2.0 * kJitter * random));
}

template <size_t N> unsigned step(const unsigned (&delays)[N], unsigned attempt) {
  return delays[std::min<size_t>(attempt, N - 1)];
}

} // namespace

unsigned reconnect_delay_ms(unsigned attempt, double random) {
  unsigned delay = attempt < 5 ? 1000u << attempt : kLongestReconnect;
  return with_jitter(delay, random);
}

unsigned play_delay_ms(Dialect dialect, bool was_connected, unsigned attempt,
                       double random) {
  static const unsigned custom[] = {5000, 10000, 20000, 40000, 60000};
  static const unsigned lost[] = {1500, 5000, 15000, 45000, 180000};
  static const unsigned waiting[] = {5000, 15000, 45000, 180000, 900000};
  unsigned delay = was_connected                 ? step(lost, attempt)
                   : dialect == Dialect::kCustom ? step(custom, attempt)
                                                 : step(waiting, attempt);
  return with_jitter(delay, random);
}

Alert classify_alert(std::string_view text) {
  static const char *const terminal[] = {
      "already in use", "already claimed", "already been claimed",
      "duplicate",      "conflict",        "not approved",
      "rejected"};
  static const char *const busy[] = {"busy", "unavailable", "try again shortly",
                                     "capacity", "room is full"};
  StrPtr lower(g_ascii_strdown(text.data(), static_cast<gssize>(text.size())));
  std::string_view low(lower.get());
  auto has = [&](const char *word) { return low.find(word) != std::string_view::npos; };
  if (std::any_of(std::begin(terminal), std::end(terminal), has))
    return Alert::kTerminal;
  return std::any_of(std::begin(busy), std::end(busy), has) ? Alert::kBackOff
                                                            : Alert::kNote;
}

} // namespace vdn
