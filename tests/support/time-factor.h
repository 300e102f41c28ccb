// SPDX-License-Identifier: LGPL-2.1-or-later
// By how much a deadline is longer than a test says: VDN_TEST_TIME_FACTOR, for machines
// on which everything takes longer. Only for how long a test waits before it gives up,
// and how long a change to NULL, or to come back after a loss, may take; never for what
// else it measures.
// tests/python/deadlines.py has the same for Python.
#pragma once

#include <algorithm>

#include <cstdlib>

namespace vdn {

// 1 unless set. Thread: any.
inline int time_factor() {
  const char *text = std::getenv("VDN_TEST_TIME_FACTOR");
  return std::max(1, text ? std::atoi(text) : 1);
}

} // namespace vdn
