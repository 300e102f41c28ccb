// SPDX-License-Identifier: LGPL-2.1-or-later
// Ids as VDO.Ninja's clients make them for themselves. Thread: any.
#pragma once

#include <string>

#include <glib.h>

namespace vdn {

// `length` letters and digits.
inline std::string random_id(size_t length) {
  static constexpr char kLetters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::string result;
  for (size_t i = 0; i < length; i++)
    result += kLetters[g_random_int_range(0, sizeof(kLetters) - 1)];
  return result;
}

} // namespace vdn
