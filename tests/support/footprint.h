// SPDX-License-Identifier: LGPL-2.1-or-later
// What this process holds, to be compared with what it held before. Thread: any.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstring>

#include <dirent.h>
#include <glib.h>
#include <unistd.h>

namespace vdn {

// Entries of a folder; of the links in it those whose target begins with `target`.
inline unsigned count_entries(const char *folder, const char *target = nullptr) {
  DIR *dir = opendir(folder);
  unsigned count = 0;
  while (const dirent *entry = dir ? readdir(dir) : nullptr) {
    char link[64] = "";
    if (entry->d_name[0] == '.')
      continue;
    if (target && readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1) < 0)
      continue;
    count += !target || strncmp(link, target, strlen(target)) == 0;
  }
  if (dir)
    closedir(dir);
  return count;
}

struct Footprint {
  // Without those that GLib's pool keeps for the next who wants one, up to 8 for 15 s.
  unsigned threads =
      count_entries("/proc/self/task") - g_thread_pool_get_num_unused_threads();
  unsigned files = count_entries("/proc/self/fd");
  unsigned sockets = count_entries("/proc/self/fd", "socket:");
  unsigned resident_kb = 0;

  Footprint() {
    if (FILE *file = fopen("/proc/self/statm", "r")) {
      unsigned total = 0, pages = 0;
      if (fscanf(file, "%u %u", &total, &pages) == 2)
        resident_kb = pages * (sysconf(_SC_PAGESIZE) / 1024);
      fclose(file);
    }
  }

  // The least and the most of several moments.
  void lower(const Footprint &other) {
    combine(other, [](unsigned a, unsigned b) { return std::min(a, b); });
  }
  void raise(const Footprint &other) {
    combine(other, [](unsigned a, unsigned b) { return std::max(a, b); });
  }

private:
  template <typename Choose> void combine(const Footprint &other, Choose choose) {
    threads = choose(threads, other.threads);
    files = choose(files, other.files);
    sockets = choose(sockets, other.sockets);
    resident_kb = choose(resident_kb, other.resident_kb);
  }
};

} // namespace vdn
