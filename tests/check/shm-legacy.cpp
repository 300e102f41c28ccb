// SPDX-License-Identifier: LGPL-2.1-or-later
// The segment of Raspberry.Ninja's readers, byte for byte, and when it is filled.
#include <atomic>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "shm-support.h"
#include "shm-writer.h"

// Last: it has a global variable called mutex.
#include <gst/check/gstcheck.h>

using shmtest::Name;
using shmtest::View;
using vdn::shm::Config;
using vdn::shm::Error;
using vdn::shm::ErrorKind;
using vdn::shm::LegacyMode;
using vdn::shm::Ring;
using vdn::shm::Slot;
using vdn::shm::Writer;
using Outcome = vdn::shm::Writer::Outcome;

static Config config_for(const Name &name, LegacyMode legacy = LegacyMode::Always) {
  Config config;
  config.name = name.text;
  config.slots = 3;
  config.slot_bytes = 1 << 16;
  config.legacy = legacy;
  config.legacy_bytes = 640 * 16 * 3 + 5;
  return config;
}

static std::unique_ptr<Writer> start(const Config &config) {
  Error error;
  std::unique_ptr<Writer> writer = Writer::start(
      config, [](const std::string &) {}, &error);
  fail_unless(writer != nullptr, "%s", error.message.c_str());
  return writer;
}

static uint8_t pixel(uint32_t x, uint32_t y) {
  return static_cast<uint8_t>(x * 7 + y * 31 + 1);
}

static Outcome publish(Writer &writer, shmnumpy_slot frame) {
  Error error;
  fail_unless(writer.fit(frame.data_bytes, &error), "%s", error.message.c_str());
  const Slot slot = writer.acquire(Ring::Use::Sink);
  for (uint32_t y = 0; y < frame.height; y++)
    for (uint32_t x = 0; x < frame.planes[0].stride; x++)
      slot.pixels()[y * frame.planes[0].stride + x] = pixel(x, y);
  return writer.publish(slot.pixels(), frame);
}

// That of RGB, as BGR: red and blue change places, unless `swapped` is false.
static bool packed_pixels(const View &legacy, uint32_t width, uint32_t height,
                          bool swapped = true) {
  for (uint32_t y = 0; y < height; y++)
    for (uint32_t x = 0; x < width * 3; x++)
      if (legacy.data[5 + y * width * 3 + x] !=
          pixel(swapped ? x / 3 * 3 + 2 - x % 3 : x, y))
        return false;
  return true;
}

GST_START_TEST(test_shm_legacy_header_is_that_of_publish_py) {
  const Name name;
  const std::unique_ptr<Writer> writer = start(config_for(name));
  const View legacy(name.path());
  fail_unless_equals_int(legacy.size, 640 * 16 * 3 + 5);
  for (unsigned frame = 0; frame < 600; frame++) {
    fail_unless(publish(*writer, shmtest::rgb_frame(600, 3)) == Outcome::Published);
    fail_unless_equals_int(legacy.data[0], 600 / 255);
    fail_unless_equals_int(legacy.data[1], 600 % 255);
    fail_unless_equals_int(legacy.data[2], 0);
    fail_unless_equals_int(legacy.data[3], 3);
    fail_unless_equals_int(legacy.data[4], frame % 255);
  }
  fail_unless(packed_pixels(legacy, 600, 3));
}
GST_END_TEST

GST_START_TEST(test_shm_legacy_rows_are_packed_and_sizes_may_change) {
  const Name name;
  const std::unique_ptr<Writer> writer = start(config_for(name));
  const View legacy(name.path());
  for (uint32_t width : {1u, 2u, 5u, 255u, 256u, 333u, 640u})
    for (uint32_t stride : {width * 3, (width * 3 + 3) & ~3u, width * 3 + 64}) {
      fail_unless(publish(*writer, shmtest::rgb_frame(width, 9, stride)) ==
                  Outcome::Published);
      fail_unless(packed_pixels(legacy, width, 9), "width %u stride %u", width, stride);
      fail_unless_equals_int(legacy.data[0] * 255 + legacy.data[1], width);
      shmnumpy_slot bgr = shmtest::rgb_frame(width, 9, stride);
      strcpy(bgr.format, "BGR");
      fail_unless(publish(*writer, bgr) == Outcome::Published);
      fail_unless(packed_pixels(legacy, width, 9, false), "BGR, width %u", width);
    }
}
GST_END_TEST

GST_START_TEST(test_shm_legacy_frame_that_does_not_fit_has_no_size) {
  const Name name;
  const std::unique_ptr<Writer> writer = start(config_for(name));
  const View legacy(name.path());
  publish(*writer, shmtest::rgb_frame(640, 16));
  fail_unless(publish(*writer, shmtest::rgb_frame(641, 16)) == Outcome::LegacyTooLarge);
  const uint8_t zero[4] = {};
  fail_unless(memcmp(legacy.data, zero, 4) == 0);
  fail_unless_equals_uint64(View(name.path(".ring")).number(), 2);
  fail_unless(publish(*writer, shmtest::rgb_frame(640, 16)) == Outcome::Published);
  fail_unless(packed_pixels(legacy, 640, 16));
  shmnumpy_slot gray = shmtest::rgb_frame(16, 16);
  strcpy(gray.format, "GRAY8");
  fail_unless(publish(*writer, gray) == Outcome::LegacyNotPacked);
  fail_unless(memcmp(legacy.data, zero, 4) == 0);
}
GST_END_TEST

GST_START_TEST(test_shm_legacy_auto_fills_once_somebody_opens) {
  const Name name;
  const std::unique_ptr<Writer> writer = start(config_for(name, LegacyMode::Auto));
  const auto copies = [&] {
    const View ring(name.path(".ring"));
    return __atomic_load_n(&ring.header().stat_legacy_copies, __ATOMIC_RELAXED);
  };
  // Too large a first frame is nobody's concern yet.
  fail_unless(publish(*writer, shmtest::rgb_frame(641, 16)) == Outcome::Published);
  for (int frame = 0; frame < 50; frame++)
    publish(*writer, shmtest::rgb_frame(16, 16));
  fail_unless_equals_uint64(copies(), 0);
  const View legacy(name.path());
  fail_unless(shmtest::wait_until([&] {
    publish(*writer, shmtest::rgb_frame(16, 16));
    return copies() > 0;
  }));
  fail_unless(packed_pixels(legacy, 16, 16));
}
GST_END_TEST

GST_START_TEST(test_shm_legacy_auto_fills_the_first_frame) {
  const Name name;
  const std::unique_ptr<Writer> writer = start(config_for(name, LegacyMode::Auto));
  publish(*writer, shmtest::rgb_frame(16, 16));
  fail_unless(packed_pixels(View(name.path()), 16, 16));
}
GST_END_TEST

GST_START_TEST(test_shm_legacy_never_makes_no_file) {
  const Name name;
  const std::unique_ptr<Writer> writer = start(config_for(name, LegacyMode::Never));
  publish(*writer, shmtest::rgb_frame(16, 16));
  fail_unless_equals_int(shmtest::inode_of(name.path()), 0);
  fail_unless_equals_int(name.files().size(), 2);
  fail_unless_equals_int(View(name.path(".ring")).header().flags, 0);
}
GST_END_TEST

// given a file left by a crash, when its size is right, it is filled in place for the
// readers that have it open (also when it was only truncated to its size); else it is
// replaced.
GST_START_TEST(test_shm_legacy_left_over_is_taken_over) {
  for (const off_t size : {off_t{640 * 16 * 3 + 5}, off_t{100}, off_t{1 << 20}}) {
    const Name name;
    const Config config = config_for(name, LegacyMode::Auto);
    const int fd = open(name.path().c_str(), O_CREAT | O_RDWR, 0600);
    fail_unless(ftruncate(fd, size) == 0);
    close(fd);
    fail_unless(link(name.path().c_str(), name.keep().c_str()) == 0);
    const View attached(name.path());
    const std::unique_ptr<Writer> writer = start(config);
    const bool same = static_cast<uint64_t>(size) == config.legacy_bytes;
    for (int frame = 0; frame < 3; frame++)
      publish(*writer, shmtest::rgb_frame(16, 16));
    const View legacy(name.path());
    fail_unless(packed_pixels(legacy, 16, 16));
    fail_unless_equals_int(packed_pixels(attached, 16, 16), same);
    // Nobody can tell whether that file is open, so it is filled from the start.
    fail_unless_equals_int(legacy.data[4], same ? 2 : 0);
  }
}
GST_END_TEST

// given the segment of a program that lives, as publish.py makes it (no lock, no second
// link), then it is neither filled nor removed: one warning, or an error if the segment
// was asked for. When nobody has it open it is a left-over.
GST_START_TEST(test_shm_legacy_of_another_program_is_left_alone) {
  for (const bool by_mapping : {false, true}) {
    const Name name;
    const Config config = config_for(name, LegacyMode::Auto);
    const size_t size = config.legacy_bytes;
    int fd = open(name.path().c_str(), O_CREAT | O_RDWR, 0600);
    fail_unless(ftruncate(fd, static_cast<off_t>(size)) == 0);
    void *map = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    fail_unless(map != MAP_FAILED);
    memset(map, 0xAA, size);
    if (by_mapping)
      close(std::exchange(fd, -1));
    const ino_t inode = shmtest::inode_of(name.path());
    std::vector<std::string> warnings;
    Error error;
    std::unique_ptr<Writer> writer = Writer::start(
        config, [&](const std::string &text) { warnings.push_back(text); }, &error);
    fail_unless(writer != nullptr, "%s", error.message.c_str());
    for (int frame = 0; frame < 3; frame++)
      fail_unless(publish(*writer, shmtest::rgb_frame(16, 16)) == Outcome::Published);
    fail_unless_equals_uint64(View(name.path(".ring")).number(), 3);
    writer.reset();
    fail_unless_equals_int(warnings.size(), 1);
    fail_unless(strstr(warnings[0].c_str(), "publish.py") != nullptr);
    fail_unless(shmtest::inode_of(name.path()) == inode);
    const auto *bytes = static_cast<const uint8_t *>(map);
    for (size_t i = 0; i < size; i++)
      fail_unless_equals_int(bytes[i], 0xAA);

    fail_unless(!Writer::start(config_for(name), nullptr, &error));
    fail_unless(error.kind == ErrorKind::Busy);
    fail_unless(strstr(error.message.c_str(), "shm-name") != nullptr);
    fail_unless(shmtest::inode_of(name.path()) == inode);
    munmap(map, size);
    if (fd >= 0)
      close(fd);
    publish(*start(config_for(name)), shmtest::rgb_frame(16, 16));
    fail_unless(name.files().empty());
  }
}
GST_END_TEST

GST_START_TEST(test_shm_legacy_datagram_follows_each_frame) {
  const int receiver = socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof(address);
  fail_unless(bind(receiver, reinterpret_cast<sockaddr *>(&address), bytes) == 0);
  getsockname(receiver, reinterpret_cast<sockaddr *>(&address), &bytes);
  const Name name;
  Config config = config_for(name);
  config.udp_host = "127.0.0.1";
  config.udp_port = ntohs(address.sin_port);
  const std::unique_ptr<Writer> writer = start(config);
  const View legacy(name.path());
  for (int frame = 0; frame < 5; frame++) {
    publish(*writer, shmtest::rgb_frame(16, 16));
    pollfd wait{receiver, POLLIN, 0};
    fail_unless_equals_int(poll(&wait, 1, 10000), 1);
    char text[64];
    fail_unless_equals_int(recv(receiver, text, sizeof(text), 0), 6);
    fail_unless(memcmp(text, "update", 6) == 0);
    fail_unless_equals_int(legacy.data[4], frame);
  }
  close(receiver);
  // Nobody listens any more: no harm.
  for (int frame = 0; frame < 100; frame++)
    fail_unless(publish(*writer, shmtest::rgb_frame(16, 16)) == Outcome::Published);
}
GST_END_TEST

GST_START_TEST(test_shm_legacy_unknown_host_is_an_error) {
  const Name name;
  Config config = config_for(name);
  config.udp_host = "not a host";
  config.udp_port = 1;
  Error error;
  fail_unless(!Writer::start(config, nullptr, &error));
  fail_unless(error.kind == ErrorKind::BadAddress);
  fail_unless(strstr(error.message.c_str(), "not a host") != nullptr);
  fail_unless(name.files().empty());
}
GST_END_TEST

static Suite *shm_legacy_suite(void) {
  Suite *suite = suite_create("shm-legacy");
  TCase *tcase = tcase_create("general");
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, test_shm_legacy_header_is_that_of_publish_py);
  tcase_add_test(tcase, test_shm_legacy_rows_are_packed_and_sizes_may_change);
  tcase_add_test(tcase, test_shm_legacy_frame_that_does_not_fit_has_no_size);
  tcase_add_test(tcase, test_shm_legacy_auto_fills_once_somebody_opens);
  tcase_add_test(tcase, test_shm_legacy_auto_fills_the_first_frame);
  tcase_add_test(tcase, test_shm_legacy_never_makes_no_file);
  tcase_add_test(tcase, test_shm_legacy_left_over_is_taken_over);
  tcase_add_test(tcase, test_shm_legacy_of_another_program_is_left_alone);
  tcase_add_test(tcase, test_shm_legacy_datagram_follows_each_frame);
  tcase_add_test(tcase, test_shm_legacy_unknown_host_is_an_error);
  return suite;
}

GST_CHECK_MAIN(shm_legacy)
