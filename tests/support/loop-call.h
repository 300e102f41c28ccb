// SPDX-License-Identifier: LGPL-2.1-or-later
// Runs something on a loop and waits for its result. Thread: any but the loop's own users
// that the loop may itself be waiting for; on the loop it runs at once.
#pragma once

#include <future>

#include "loop.h"

namespace vdn {

template <typename Function>
auto call(Loop &loop, Function function) -> decltype(function()) {
  if (loop.is_current())
    return function();
  std::packaged_task<decltype(function())()> task(std::move(function));
  auto result = task.get_future();
  // The job refers to this stack frame, which outlives it: get() below waits for it.
  const bool posted = loop.post([&task] { task(); });
  g_assert(posted);
  return result.get();
}

} // namespace vdn
