// SPDX-License-Identifier: LGPL-2.1-or-later
// Feeds shmnumpysink for the benchmarks of the readers:
//   py-writer NAME WIDTH HEIGHT FPS SECONDS LEGACY UDP_PORT
// Every frame is of one value, another each time; its first 8 bytes are the time of
// CLOCK_MONOTONIC in ns just before it was pushed if WIDTH is negative. FPS 0 = as fast
// as it goes, SECONDS 0 = until its standard input is closed. LEGACY is the property's
// value.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include <time.h>
#include <unistd.h>

#include <gst/check/gstharness.h>

namespace {

int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

void sleep_until(int64_t ns) {
  timespec at{static_cast<time_t>(ns / 1000000000), static_cast<long>(ns % 1000000000)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
}

// The pool that the sink offers, so that frames are written in place.
GstBufferPool *offered_pool(GstHarness *harness, const char *text) {
  GstCaps *caps = gst_caps_from_string(text);
  GstQuery *query = gst_query_new_allocation(caps, TRUE);
  GstBufferPool *pool = nullptr;
  if (gst_pad_peer_query(harness->srcpad, query) &&
      gst_query_get_n_allocation_pools(query) > 0)
    gst_query_parse_nth_allocation_pool(query, 0, &pool, nullptr, nullptr, nullptr);
  if (pool)
    gst_buffer_pool_set_active(pool, TRUE);
  gst_query_unref(query);
  gst_caps_unref(caps);
  return pool;
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 8) {
    std::fprintf(stderr, "see the head of %s\n", __FILE__);
    return 2;
  }
  gst_init(nullptr, nullptr);
  const bool stamped = std::atoi(argv[2]) < 0;
  const int width = std::abs(std::atoi(argv[2])), height = std::atoi(argv[3]);
  const double fps = std::atof(argv[4]), seconds = std::atof(argv[5]);
  const std::string launch = std::string("shmnumpysink shm-name=") + argv[1] +
                             " legacy=" + argv[6] + " udp-port=" + argv[7];
  GstHarness *harness = gst_harness_new_parse(launch.c_str());
  const std::string caps =
      "video/x-raw,format=RGB,framerate=60/1,width=" + std::to_string(width) +
      ",height=" + std::to_string(height);
  gst_harness_set_src_caps_str(harness, caps.c_str());

  std::atomic<bool> stop{false};
  std::thread watch([&] {
    char byte;
    while (seconds <= 0 && read(STDIN_FILENO, &byte, 1) > 0)
      ;
    stop = seconds <= 0;
  });
  GstBufferPool *pool = offered_pool(harness, caps.c_str());
  if (!pool) {
    std::fprintf(stderr, "shmnumpysink offers no pool for %s\n", caps.c_str());
    return 1;
  }
  const int64_t start = now_ns(), end = start + static_cast<int64_t>(seconds * 1e9);
  int64_t pushed = 0;
  while (!stop && (seconds <= 0 || now_ns() < end)) {
    if (fps > 0)
      sleep_until(start + static_cast<int64_t>(pushed * 1e9 / fps));
    GstBuffer *buffer = nullptr;
    GstMapInfo map;
    if (gst_buffer_pool_acquire_buffer(pool, &buffer, nullptr) != GST_FLOW_OK ||
        !gst_buffer_map(buffer, &map, GST_MAP_WRITE))
      return 1;
    if (!stamped)
      std::memset(map.data, static_cast<int>(pushed % 251), map.size);
    const int64_t stamp = now_ns();
    if (stamped)
      std::memcpy(map.data, &stamp, sizeof stamp);
    gst_buffer_unmap(buffer, &map);
    GST_BUFFER_PTS(buffer) = stamp - start;
    if (gst_harness_push(harness, buffer) != GST_FLOW_OK)
      return 1;
    ++pushed;
  }
  watch.join();
  gst_object_unref(pool);
  gst_harness_teardown(harness);
  std::printf("%lld\n", static_cast<long long>(pushed));
  return 0;
}
