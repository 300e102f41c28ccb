// SPDX-License-Identifier: LGPL-2.1-or-later
// Whether a decoder copes with what comes, and what size to ask the publisher for when it
// does not: sizes are for processors as bitrates are for networks. Times are told, in
// microseconds. Thread: one at a time.
#pragma once

#include <optional>

#include <glib.h>

namespace vdn {

class Overload {
public:
  // What was measured up to `now`: whether pictures were skipped again and again, and the
  // share of time that decoding took. Returns the size to ask for when that changes: the
  // share of width and height of what the publisher sends by itself.
  std::optional<double> judge(bool skips, double load, gint64 now);
  bool is_relieved() const { return step_ > 0; }

private:
  std::optional<double> change(unsigned step, gint64 now);

  unsigned step_ = 0;
  unsigned busy_ = 0;         // measurements in a row
  gint64 changed_ = 0;        // 0: never
  gint64 calm_ = 0;           // since when, 0: is not
  gint64 blocked_ = 0;        // no step back before
  bool stepped_back_ = false; // was the last change
};

} // namespace vdn
