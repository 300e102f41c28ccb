// SPDX-License-Identifier: LGPL-2.1-or-later
// When to try again, and when not. Pure functions; `random` is uniform in [0, 1). Thread:
// any.
#pragma once

#include <string_view>

#include "message.h"

namespace vdn {

// Before opening the socket again: 1, 2, 4 ... 30 s, +-20 %. `attempt` counts from 0.
unsigned reconnect_delay_ms(unsigned attempt, double random);

// Before asking for a stream once more, +-20 %. `attempt` counts the requests made since
// the stream was last connected. A hosted server remembers a request until a publisher
// has it, who may die before he offers; a stream that was connected before may be held
// back by a publisher that has not noticed yet, so it is asked sooner.
unsigned play_delay_ms(Dialect dialect, bool was_connected, unsigned attempt,
                       double random);

// kTerminal: trying again is pointless. kBackOff: wait kBackOffMs first. kNote: tell
// only.
enum class Alert { kNote, kBackOff, kTerminal };
constexpr unsigned kBackOffMs = 15000;
Alert classify_alert(std::string_view text);

} // namespace vdn
