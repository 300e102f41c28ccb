// SPDX-License-Identifier: LGPL-2.1-or-later
// What shmnumpysink costs per frame: time in the sink's chain function, median over many
// frames, beside memcpy, libyuv alone and GStreamer's shmsink, in one run. Prints "name
// us". With a first argument, frames per measurement (300).
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <gst/video/video.h>

#include "../check/shm-support.h"
#include "shm-writer.h"
#include "yuv-convert.h"

#include <gst/check/gstharness.h>

#include <linux/futex.h>
#include <sys/inotify.h>
#include <sys/syscall.h>

using vdn::shm::Ring;

static int frames = 300;
// What reading the clock twice takes: a system call each, microseconds on some machines.
static double clock_us = 0;

struct Size {
  const char *name;
  int width, height;
};
constexpr int kFirsts = 21;
constexpr Size k1080 = {"1080p", 1920, 1080};

static double cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

static double microseconds(const std::function<void()> &work) {
  const double begin = cpu_us();
  work();
  return cpu_us() - begin;
}

// `prepare` is not timed, nor is the reading of the clock.
static double median(const std::function<void(int)> &prepare,
                     const std::function<void(int)> &work) {
  std::vector<double> times;
  for (int frame = 0; frame < frames; frame++) {
    prepare(frame);
    times.push_back(microseconds([&] { work(frame); }));
  }
  std::nth_element(times.begin(), times.begin() + frames / 2, times.end());
  return times[static_cast<size_t>(frames / 2)] - clock_us;
}

static double report(const std::string &name, double value) {
  printf("%-34s %10.1f us\n", name.c_str(), value);
  fflush(stdout);
  return value;
}

static void ratio(const std::string &name, double value, const char *target) {
  printf("%-34s %10.2f    (%s)\n", name.c_str(), value, target);
  fflush(stdout);
}

static gsize bytes_of(const Size &size, GstVideoFormat format) {
  GstVideoInfo info;
  gst_video_info_set_format(&info, format, static_cast<guint>(size.width),
                            static_cast<guint>(size.height));
  return info.size;
}

// A sink that plays, its source pad, and the pool it offers.
struct Bench {
  Bench(const std::string &line, const Size &size, const char *format)
      : harness(gst_harness_new_parse(line.c_str())) {
    const std::string text = std::string("video/x-raw,format=") + format +
                             ",width=" + std::to_string(size.width) +
                             ",height=" + std::to_string(size.height) + ",framerate=60/1";
    gst_harness_set_src_caps_str(harness, text.c_str());
    GstCaps *caps = gst_caps_from_string(text.c_str());
    GstQuery *query = gst_query_new_allocation(caps, TRUE);
    gst_pad_peer_query(harness->srcpad, query);
    if (gst_query_get_n_allocation_pools(query) > 0)
      gst_query_parse_nth_allocation_pool(query, 0, &pool, nullptr, nullptr, nullptr);
    else if (gst_query_get_n_allocation_params(query) > 0)
      gst_query_parse_nth_allocation_param(query, 0, &allocator, nullptr);
    if (pool)
      gst_buffer_pool_set_active(pool, TRUE);
    gst_query_unref(query);
    gst_caps_unref(caps);
  }
  ~Bench() {
    if (pool) {
      gst_buffer_pool_set_active(pool, FALSE);
      gst_object_unref(pool);
    }
    gst_harness_teardown(harness);
    if (allocator)
      gst_object_unref(allocator);
  }
  GstHarness *harness;
  GstBufferPool *pool = nullptr;
  GstAllocator *allocator = nullptr;
};

// Frames that come from elsewhere: eight in turn, as a decoder's pool has them.
static std::vector<GstBuffer *> foreign(gsize bytes) {
  std::vector<GstBuffer *> buffers;
  for (int i = 0; i < 8; i++) {
    buffers.push_back(gst_buffer_new_allocate(nullptr, bytes, nullptr));
    gst_buffer_memset(buffers.back(), 0, static_cast<guint8>(100 + i), bytes);
  }
  return buffers;
}

static double push_foreign(Bench &bench, gsize bytes) {
  std::vector<GstBuffer *> buffers = foreign(bytes);
  const double result =
      median([](int) {},
             [&](int frame) {
               gst_pad_push(bench.harness->srcpad,
                            gst_buffer_ref(buffers[static_cast<size_t>(frame % 8)]));
             });
  for (GstBuffer *buffer : buffers)
    gst_buffer_unref(buffer);
  return result;
}

// Buffers that upstream got from the sink and filled: only the push is timed.
static double push_own(Bench &bench, gsize bytes) {
  GstBuffer *buffer = nullptr;
  return median(
      [&](int frame) {
        if (bench.pool)
          gst_buffer_pool_acquire_buffer(bench.pool, &buffer, nullptr);
        else
          buffer = gst_buffer_new_allocate(bench.allocator, bytes, nullptr);
        gst_buffer_memset(buffer, 0, static_cast<guint8>(frame), bytes);
      },
      [&](int) { gst_pad_push(bench.harness->srcpad, buffer); });
}

static std::string sink(const shmtest::Name &name, const char *more) {
  return "shmnumpysink udp-port=0 max-width=64 max-height=64 shm-name=" + name.text +
         " " + more;
}

static double measure(const Size &size, const char *format, const char *more, bool own) {
  const shmtest::Name name;
  Bench bench(sink(name, more), size, format);
  const gsize bytes = bytes_of(size, gst_video_format_from_string(format));
  return own ? push_own(bench, bytes) : push_foreign(bench, bytes);
}

// Into the slots of a ring, in turn, as the sink does.
static double plain_copy(gsize bytes) {
  vdn::shm::Error error;
  const auto ring = Ring::create(6, bytes, 0600, 1, &error);
  std::vector<GstBuffer *> buffers = foreign(bytes);
  for (int slot = 0; slot < 6; slot++)
    memset(ring->pixels(slot), 0, bytes);
  GstMapInfo map;
  const double result = median(
      [&](int frame) {
        gst_buffer_map(buffers[static_cast<size_t>(frame % 8)], &map, GST_MAP_READ);
      },
      [&](int frame) {
        memcpy(ring->pixels(frame % 6), map.data, bytes);
        gst_buffer_unmap(buffers[static_cast<size_t>(frame % 8)], &map);
      });
  for (GstBuffer *buffer : buffers)
    gst_buffer_unref(buffer);
  return result;
}

static double plain_libyuv(const Size &size) {
  const gsize out = bytes_of(size, GST_VIDEO_FORMAT_RGB);
  vdn::shm::Error error;
  const auto ring = Ring::create(6, out, 0600, 1, &error);
  GstVideoInfo info;
  gst_video_info_set_format(&info, GST_VIDEO_FORMAT_I420, static_cast<guint>(size.width),
                            static_cast<guint>(size.height));
  std::vector<std::vector<uint8_t>> in(8, std::vector<uint8_t>(info.size, 100));
  return median([](int) {},
                [&](int frame) {
                  const uint8_t *data = in[static_cast<size_t>(frame % 8)].data();
                  vdn::YuvPicture picture;
                  picture.y = data + info.offset[0];
                  picture.u = data + info.offset[1];
                  picture.v = data + info.offset[2];
                  picture.y_stride = info.stride[0];
                  picture.u_stride = info.stride[1];
                  picture.v_stride = info.stride[2];
                  picture.width = size.width;
                  picture.height = size.height;
                  picture.matrix = vdn::YuvMatrix::Bt709;
                  vdn::convert_yuv(picture, vdn::PackedOrder::Rgb,
                                   ring->pixels(frame % 6), size.width * 3);
                });
}

static double shmsink(const Size &size, bool own) {
  const std::string path = "/dev/shm/vdn-bench-" + std::to_string(getpid());
  const gsize bytes = bytes_of(size, GST_VIDEO_FORMAT_RGB);
  Bench bench("shmsink sync=false wait-for-connection=false socket-path=" + path +
                  " shm-size=" + std::to_string(bytes * 8),
              size, "RGB");
  return own ? push_own(bench, bytes) : push_foreign(bench, bytes);
}

// What a frame ends with, when nobody waits or watches; a frame's worth of memory is
// written before each, as it is before a push.
static double at_the_end(const Size &size, const std::function<void(Ring &)> &work) {
  vdn::shm::Error error;
  const gsize bytes = bytes_of(size, GST_VIDEO_FORMAT_RGB);
  const auto ring = Ring::create(6, bytes, 0600, 1, &error);
  return median([&](int frame) { memset(ring->pixels(frame % 6), frame, bytes); },
                [&](int) { work(*ring); });
}

static double wake_up(const Size &size) {
  return at_the_end(size, [](Ring &ring) {
    syscall(SYS_futex, &ring.header()->wake, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  });
}

static double touch(const Size &size) {
  return at_the_end(size, [](Ring &ring) {
    if (pwrite(ring.file().fd(), "", 1, offsetof(shmnumpy_header, touched)) != 1)
      abort();
  });
}

static void costs(const Size &size) {
  const gsize rgb = bytes_of(size, GST_VIDEO_FORMAT_RGB);
  const std::string at = std::string(" ") + size.name;
  const double copy = report("memcpy into shared memory" + at, plain_copy(rgb));
  const double yuv = report("libyuv I420 to RGB alone" + at, plain_libyuv(size));
  const double zero = report("sink in place" + at, measure(size, "RGB", "", true));
  const double both =
      report("sink in place, legacy always" + at,
             measure(size, "RGB", "legacy=always legacy-size=24883205", true));
  const double copied = report("sink copies" + at, measure(size, "RGB", "", false));
  const double converted =
      report("sink converts I420" + at, measure(size, "I420", "", false));
  report("shmsink, other's buffers" + at, shmsink(size, false));
  const double bare = report("shmsink, own buffers" + at, shmsink(size, true));
  const double wake = report("one futex call" + at, wake_up(size));
  report("one byte for inotify" + at, touch(size));
  ratio("in place / (shmsink + futex)" + at, zero / (bare + wake), "about 1");
  ratio("converts / libyuv" + at, converted / yuv, "at most 1.2");
  ratio("copies / memcpy" + at, copied / copy, "at most 1.5");
  ratio("(legacy - in place) / memcpy" + at, (both - zero) / copy, "about 1: one copy");
}

enum class Reader { Waiting, Watching, Stopped, Slow, Killed };

// As an event loop does it.
[[noreturn]] static void hear(const std::string &path) {
  const int events = inotify_init1(IN_CLOEXEC);
  inotify_add_watch(events, path.c_str(), IN_MODIFY);
  inotify_event event{};
  while (read(events, &event, sizeof event) > 0)
    ;
  _exit(1);
}

static pid_t start_reader(const std::string &path, Reader kind) {
  const pid_t child = fork();
  if (child != 0)
    return child;
  const shmtest::View view(path);
  auto *word = const_cast<uint32_t *>(&view.header().wake);
  if (kind == Reader::Stopped)
    raise(SIGSTOP);
  if (kind == Reader::Watching)
    hear(path);
  volatile uint64_t sum = 0;
  while (true) {
    const uint32_t before = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    syscall(SYS_futex, word, FUTEX_WAIT, before, nullptr, nullptr, 0);
    // A pixel in a hundred: more would measure how two processes share a memory bus.
    for (size_t i = 0; kind != Reader::Waiting && i < view.size; i += 300)
      sum += view.data[i];
  }
}

// The cost per frame while such readers are there.
static double with_readers(Reader kind, int count) {
  const shmtest::Name name;
  Bench bench(sink(name, "legacy=never"), k1080, "RGB");
  std::vector<pid_t> readers;
  for (int i = 0; i < count; i++)
    readers.push_back(start_reader(name.path(".ring"), kind));
  if (kind == Reader::Killed)
    for (pid_t reader : readers)
      kill(reader, SIGKILL);
  // Until each reader is where it should be.
  for (pid_t reader : readers)
    if (kind == Reader::Stopped || kind == Reader::Killed) {
      siginfo_t info{};
      waitid(P_PID, static_cast<id_t>(reader), &info, WSTOPPED | WEXITED | WNOWAIT);
    }
  const double result = push_own(bench, bytes_of(k1080, GST_VIDEO_FORMAT_RGB));
  for (pid_t reader : readers) {
    kill(reader, SIGKILL);
    waitpid(reader, nullptr, 0);
  }
  return result;
}

static void readers() {
  const double alone =
      report("in place 1080p, no reader", with_readers(Reader::Killed, 0));
  const double stopped =
      report("with a stopped reader", with_readers(Reader::Stopped, 1));
  const double killed = report("with a killed reader", with_readers(Reader::Killed, 1));
  const double slow = report("with a slow reader", with_readers(Reader::Slow, 1));
  const double watching =
      report("with one that watches", with_readers(Reader::Watching, 1));
  const double sixteen =
      report("with 16 waiting readers", with_readers(Reader::Waiting, 16));
  ratio("stopped / none", stopped / alone, "within 10 %");
  ratio("killed / none", killed / alone, "within 10 %");
  ratio("slow / none", slow / alone, "the rest is its wake-up");
  ratio("one that watches, us more", watching - alone, "its wake-up");
  ratio("16 waiting, us more", sixteen - alone, "at most 100");
}

static double median_of(std::vector<double> *times) {
  std::sort(times->begin(), times->end());
  return (*times)[times->size() / 2];
}

// Into memory that is as fresh as a new ring's first slot is: page faults are behind it.
static double first_copy() {
  const gsize bytes = bytes_of(k1080, GST_VIDEO_FORMAT_RGB);
  std::vector<double> times;
  for (int round = 0; round < kFirsts; round++) {
    vdn::shm::Error error;
    const auto ring = Ring::create(6, bytes, 0600, 1, &error);
    const std::vector<uint8_t> from(bytes, 100);
    times.push_back(microseconds([&] { memcpy(ring->pixels(0), from.data(), bytes); }));
  }
  return median_of(&times);
}

static void first_frame() {
  report("first memcpy 1080p", first_copy());
  for (const char *format : {"RGB", "I420"}) {
    std::vector<double> times;
    for (int round = 0; round < kFirsts; round++) {
      const shmtest::Name name;
      Bench bench("shmnumpysink udp-port=0 legacy=never shm-name=" + name.text, k1080,
                  format);
      std::vector<GstBuffer *> buffers =
          foreign(bytes_of(k1080, gst_video_format_from_string(format)));
      times.push_back(
          microseconds([&] { gst_pad_push(bench.harness->srcpad, buffers[0]); }));
      for (size_t i = 1; i < buffers.size(); i++)
        gst_buffer_unref(buffers[i]);
      if (round == 0) {
        const shmtest::View ring(name.path(".ring"));
        const shmnumpy_header &head = ring.header();
        ratio("memory beyond the slots, KiB",
              static_cast<double>(ring.size - head.slot_count * head.slot_stride) / 1024,
              "at most 256");
      }
    }
    report(std::string("first frame 1080p ") + format + " (at most 1000)",
           median_of(&times));
  }
}

int main(int argc, char **argv) {
  gst_init(&argc, &argv);
  if (argc > 1)
    frames = std::max(10, atoi(argv[1]));
  clock_us = report("(reading the clock, taken off)", median([](int) {}, [](int) {}));
  for (const Size &size : {Size{"720p", 1280, 720}, k1080, Size{"2160p", 3840, 2160}})
    costs(size);
  readers();
  first_frame();
  return 0;
}
