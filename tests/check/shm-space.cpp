// SPDX-License-Identifier: LGPL-2.1-or-later
// /dev/shm that is full, read-only or somebody else's. Needs root, to mount one of its
// own and to become another user; each test runs in a child process.
#include <grp.h>

#include "shm-support.h"
#include "shm-writer.h"

// Last: it has a global variable called mutex.
#include <gst/check/gstcheck.h>

using shmtest::Name;
using vdn::shm::Config;
using vdn::shm::Error;
using vdn::shm::ErrorKind;
using vdn::shm::Ring;
using vdn::shm::Slot;
using vdn::shm::Writer;

constexpr uid_t kNobody = 65534;

static bool need(bool possible, const char *what) {
  if (!possible)
    GST_WARNING("skipped: needs root to %s", what);
  return possible;
}

static Config config_for(const Name &name, uint64_t bytes) {
  Config config;
  config.name = name.text;
  config.slot_bytes = bytes;
  config.legacy_bytes = 100000;
  return config;
}

static bool refused(const Config &config, ErrorKind kind, const char *says) {
  Error error;
  const bool started = Writer::start(config, nullptr, &error) != nullptr;
  if (started || error.kind != kind || !strstr(error.message.c_str(), says)) {
    fprintf(stderr, "expected '%s', got kind %d: %s\n", says,
            static_cast<int>(error.kind), error.message.c_str());
    return false;
  }
  return true;
}

static bool publish(Writer &writer, uint32_t side, ErrorKind *kind = nullptr) {
  Error error;
  if (!writer.fit(side * side * 3, &error)) {
    if (kind)
      *kind = error.kind;
    return false;
  }
  const Slot slot = writer.acquire(Ring::Use::Sink);
  if (!slot)
    return false;
  memset(slot.pixels(), 1, side * side * 3);
  return writer.publish(slot.pixels(), shmtest::rgb_frame(side, side)) ==
         Writer::Outcome::Published;
}

GST_START_TEST(test_shm_space_full_at_start_is_an_error) {
  if (!need(shmtest::can_mount(), "mount a small /dev/shm"))
    return;
  fail_unless(shmtest::in_child([] {
    const Name name;
    return shmtest::mount_shm("size=8m") &&
           refused(config_for(name, 4 << 20), ErrorKind::NoSpace, "/dev/shm") &&
           name.files().empty();
  }));
}
GST_END_TEST

GST_START_TEST(test_shm_space_no_room_for_legacy_is_an_error) {
  if (!need(shmtest::can_mount(), "mount a small /dev/shm"))
    return;
  fail_unless(shmtest::in_child([] {
    const Name name;
    Config config = config_for(name, 1 << 20);
    config.legacy_bytes = 7 << 20;
    return shmtest::mount_shm("size=8m") &&
           refused(config, ErrorKind::NoSpace, "/dev/shm") && name.files().empty();
  }));
}
GST_END_TEST

// given a ring, when there is no room for a larger one, then that is an error, and the
// ring that is there goes on.
GST_START_TEST(test_shm_space_full_at_growth_keeps_the_ring) {
  if (!need(shmtest::can_mount(), "mount a small /dev/shm"))
    return;
  fail_unless(shmtest::in_child([] {
    const Name name;
    Error error;
    if (!shmtest::mount_shm("size=8m"))
      return false;
    const std::unique_ptr<Writer> writer =
        Writer::start(config_for(name, 300 * 300 * 3), nullptr, &error);
    ErrorKind kind = ErrorKind::Failed;
    return writer && publish(*writer, 300) && !publish(*writer, 2000, &kind) &&
           kind == ErrorKind::NoSpace && publish(*writer, 300) &&
           shmtest::View(name.path(".ring")).number() == 2;
  }));
}
GST_END_TEST

// A file that was truncated to its size has no pages: filling it would be SIGBUS.
GST_START_TEST(test_shm_space_sparse_left_over_is_an_error_not_a_signal) {
  if (!need(shmtest::can_mount(), "mount a small /dev/shm"))
    return;
  fail_unless(shmtest::in_child([] {
    const Name name;
    if (!shmtest::mount_shm("size=8m"))
      return false;
    const int fd = open(name.path().c_str(), O_CREAT | O_RDWR, 0600);
    Config config = config_for(name, 1 << 20);
    config.legacy_bytes = 7 << 20;
    return ftruncate(fd, 7 << 20) == 0 && refused(config, ErrorKind::NoSpace, "/dev/shm");
  }));
}
GST_END_TEST

GST_START_TEST(test_shm_space_short_of_room_fewer_slots_do) {
  if (!need(shmtest::can_mount(), "mount a small /dev/shm"))
    return;
  fail_unless(shmtest::in_child([] {
    const Name name;
    Error error;
    if (!shmtest::mount_shm("size=8m"))
      return false;
    const std::unique_ptr<Writer> writer =
        Writer::start(config_for(name, 800 * 800 * 3), nullptr, &error);
    return writer && writer->ring()->slots() == 4 && publish(*writer, 800);
  }));
}
GST_END_TEST

GST_START_TEST(test_shm_space_unwritable_folder_is_an_error) {
  if (!need(shmtest::can_mount(), "mount a read-only /dev/shm"))
    return;
  fail_unless(shmtest::in_child([] {
    return shmtest::mount_shm("size=8m", MS_RDONLY) &&
           refused(config_for(Name(), 1000), ErrorKind::Denied, "writable");
  }));
  fail_unless(shmtest::in_child([] {
    return shmtest::mount_shm("size=8m,mode=0755") && setuid(kNobody) == 0 &&
           refused(config_for(Name(), 1000), ErrorKind::Denied, "writable");
  }));
}
GST_END_TEST

GST_START_TEST(test_shm_space_file_of_another_user_is_an_error) {
  if (!need(geteuid() == 0, "become another user"))
    return;
  for (const char *suffix : {"", ".ring"}) {
    const Name name;
    close(open(name.path(suffix).c_str(), O_CREAT | O_RDWR, 0600));
    fail_unless(shmtest::in_child([&] {
      return setuid(kNobody) == 0 &&
             refused(config_for(name, 1000), ErrorKind::Denied, "owned by root");
    }));
    // Nor does root write into what a user prepared.
    fail_unless(chown(name.path(suffix).c_str(), kNobody, kNobody) == 0);
    fail_unless(refused(config_for(name, 1000), ErrorKind::Denied, "owned by nobody"));
    fail_unless_equals_int(name.files().size(), 1);
  }
}
GST_END_TEST

GST_START_TEST(test_shm_space_mode_decides_who_reads) {
  if (!need(geteuid() == 0, "become another user"))
    return;
  for (const mode_t mode : {0600, 0660}) {
    const Name name;
    Config config = config_for(name, 1000);
    config.mode = mode;
    const mode_t mask = umask(0077);
    Error error;
    const std::unique_ptr<Writer> writer = Writer::start(config, nullptr, &error);
    umask(mask);
    fail_unless(writer != nullptr);
    for (const char *suffix : {"", ".ring"}) {
      struct stat info {};
      fail_unless(stat(name.path(suffix).c_str(), &info) == 0);
      fail_unless_equals_int(info.st_mode & 0777, mode);
      const bool readable = shmtest::in_child([&] {
        // Another user of the same group.
        return setgroups(0, nullptr) == 0 && setgid(info.st_gid) == 0 &&
               setuid(kNobody) == 0 && open(name.path(suffix).c_str(), O_RDONLY) >= 0;
      });
      fail_unless_equals_int(readable, mode == 0660);
    }
  }
}
GST_END_TEST

static Suite *shm_space_suite(void) {
  Suite *suite = suite_create("shm-space");
  TCase *tcase = tcase_create("general");
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, test_shm_space_full_at_start_is_an_error);
  tcase_add_test(tcase, test_shm_space_no_room_for_legacy_is_an_error);
  tcase_add_test(tcase, test_shm_space_full_at_growth_keeps_the_ring);
  tcase_add_test(tcase, test_shm_space_sparse_left_over_is_an_error_not_a_signal);
  tcase_add_test(tcase, test_shm_space_short_of_room_fewer_slots_do);
  tcase_add_test(tcase, test_shm_space_unwritable_folder_is_an_error);
  tcase_add_test(tcase, test_shm_space_file_of_another_user_is_an_error);
  tcase_add_test(tcase, test_shm_space_mode_decides_who_reads);
  return suite;
}

GST_CHECK_MAIN(shm_space)
