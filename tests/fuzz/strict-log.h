// SPDX-License-Identifier: LGPL-2.1-or-later
// Whoever includes this ends at the first critical or warning of GLib, by the signal that
// libFuzzer catches; G_DEBUG=fatal-criticals would end it by one that it does not.
#pragma once

#include <cstdlib>

#include <glib.h>

// What is neither ours nor does harm: the tests' server, of a client that was faster to
// leave than it was to look; and rtpsession's thread for RTCP, which goes through its
// sources while another adds one (GStreamer 1.22, in the publisher of the tests).
constexpr const char *kHarmless[] = {"could not get remote address",
                                     "'version == hash_table->version' failed"};

inline bool is_harmless(const GLogField *fields, gsize count) {
  for (gsize i = 0; i < count; i++)
    for (const char *text : kHarmless)
      if (g_str_equal(fields[i].key, "MESSAGE") &&
          g_strstr_len(static_cast<const char *>(fields[i].value), fields[i].length,
                       text))
        return true;
  return false;
}

inline GLogWriterOutput strict_log(GLogLevelFlags level, const GLogField *fields,
                                   gsize count, gpointer) {
  if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING) &&
      !is_harmless(fields, count)) {
    g_log_writer_standard_streams(level, fields, count, nullptr);
    abort();
  }
  return G_LOG_WRITER_HANDLED;
}

inline const bool is_strict = [] {
  g_log_set_writer_func(strict_log, nullptr, nullptr);
  return true;
}();
