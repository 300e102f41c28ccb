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
using vdn::shm::LegacyMode;
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

// A writer with one warning that has `says` in it, and a ring that works.
static bool warned_once(const Config &config, const char *says) {
  Error error;
  std::vector<std::string> warnings;
  std::unique_ptr<Writer> writer = Writer::start(
      config, [&](const std::string &text) { warnings.push_back(text); }, &error);
  const bool works = writer && publish(*writer, 100) && publish(*writer, 100);
  writer.reset();
  for (const std::string &text : warnings)
    fprintf(stderr, "%s\n", text.c_str());
  return works && warnings.size() == 1 && strstr(warnings[0].c_str(), says);
}

// Nobody has opened the older segment: it may be missing, but not if it was asked for.
GST_START_TEST(test_shm_space_no_room_for_legacy_is_a_warning) {
  if (!need(shmtest::can_mount(), "mount a small /dev/shm"))
    return;
  for (const LegacyMode mode : {LegacyMode::Auto, LegacyMode::Always})
    fail_unless(shmtest::in_child([=] {
      const Name name;
      Config config = config_for(name, 1 << 20);
      config.legacy = mode;
      config.legacy_bytes = 7 << 20;
      return shmtest::mount_shm("size=8m") &&
             (mode == LegacyMode::Auto
                  ? warned_once(config, "legacy=never")
                  : refused(config, ErrorKind::NoSpace, "/dev/shm")) &&
             name.files().empty();
    }));
}
GST_END_TEST

// The older segment makes way for a ring as long as nobody has opened it.
GST_START_TEST(test_shm_space_ring_goes_before_unopened_legacy) {
  if (!need(shmtest::can_mount(), "mount a small /dev/shm"))
    return;
  fail_unless(shmtest::in_child([] {
    const Name name;
    Config config = config_for(name, 0);
    config.legacy_bytes = 6 << 20;
    std::vector<std::string> warnings;
    Error error;
    if (!shmtest::mount_shm("size=8m"))
      return false;
    const std::unique_ptr<Writer> writer = Writer::start(
        config, [&](const std::string &text) { warnings.push_back(text); }, &error);
    return writer && publish(*writer, 100) && shmtest::inode_of(name.path()) != 0 &&
           publish(*writer, 700) && shmtest::inode_of(name.path()) == 0 &&
           warnings.size() == 1;
  }));
}
GST_END_TEST

// Whatever the picture will be, it is not known yet: only its caps reserve anything.
GST_START_TEST(test_shm_space_caps_decide_what_is_reserved) {
  if (!need(shmtest::can_mount(), "mount a small /dev/shm"))
    return;
  fail_unless(shmtest::in_child([] {
    if (!shmtest::mount_shm("size=8m"))
      return false;
    const Name name;
    Error error;
    Config config = config_for(name, 0);
    config.legacy = LegacyMode::Never;
    const uint64_t before = vdn::shm::free_bytes();
    const std::unique_ptr<Writer> writer = Writer::start(config, nullptr, &error);
    return writer && before - vdn::shm::free_bytes() <= 1 << 16 &&
           shmtest::View(name.path(".ring")).state() == SHMNUMPY_STATE_INIT &&
           !writer->acquire(Ring::Use::Sink) && publish(*writer, 300) &&
           writer->ring()->slots() == 6 &&
           before - vdn::shm::free_bytes() <=
               Ring::bytes_for(6, 300 * 300 * 3) + (1 << 16);
  }));
}
GST_END_TEST

// given a ring beside which a larger one does not fit, when a larger frame comes, then
// the old one is given up first; while a reader holds that, frames are dropped and
// nothing ends.
GST_START_TEST(test_shm_space_grows_in_the_place_of_the_old_ring) {
  if (!need(shmtest::can_mount(), "mount a small /dev/shm"))
    return;
  for (const bool held : {false, true})
    fail_unless(shmtest::in_child([=] {
      const Name name;
      Error error;
      if (!shmtest::mount_shm("size=8m"))
        return false;
      const std::unique_ptr<Writer> writer =
          Writer::start(config_for(name, 0), nullptr, &error);
      if (!writer || !publish(*writer, 800))
        return false;
      if (held) {
        const shmtest::View reader(name.path(".ring"));
        const uint64_t last = reader.number();
        if (!writer->fit(900 * 900 * 3, &error) || writer->acquire(Ring::Use::Sink) ||
            reader.state() != SHMNUMPY_STATE_RETIRED || reader.number() != last ||
            shmtest::inode_of(name.path(".ring")) == 0)
          return false;
      }
      return shmtest::wait_until([&] { return publish(*writer, 900); }) &&
             writer->ring()->slots() == 3 &&
             shmtest::View(name.path(".ring")).number() == 2 &&
             shmtest::View(name.path(".ring")).header().writer_start_boottime_ns > 0;
    }));
}
GST_END_TEST

// given a reader that keeps the old ring, when that lasts, then one warning says so.
GST_START_TEST(test_shm_space_waiting_for_readers_is_told_once) {
  if (!need(shmtest::can_mount(), "mount a small /dev/shm"))
    return;
  fail_unless(shmtest::in_child([] {
    const Name name;
    Error error;
    std::vector<std::string> warnings;
    if (!shmtest::mount_shm("size=8m"))
      return false;
    const std::unique_ptr<Writer> writer = Writer::start(
        config_for(name, 0), [&](const std::string &text) { warnings.push_back(text); },
        &error);
    if (!writer || !publish(*writer, 800))
      return false;
    {
      const shmtest::View reader(name.path(".ring"));
      if (!shmtest::wait_until(
              [&] { return !publish(*writer, 900) && !warnings.empty(); }))
        return false;
      for (int frame = 0; frame < 100; frame++)
        publish(*writer, 900);
    }
    return shmtest::wait_until([&] { return publish(*writer, 900); }) &&
           warnings.size() == 1 &&
           warnings[0].find("until readers let go of the smaller ring") !=
               std::string::npos;
  }));
}
GST_END_TEST

// Without a limit the system says that nothing is free.
GST_START_TEST(test_shm_space_without_a_limit_there_is_room) {
  if (!need(shmtest::can_mount(), "mount another /dev/shm"))
    return;
  fail_unless(shmtest::in_child([] {
    const Name name;
    Error error;
    if (!shmtest::mount_shm("size=0"))
      return false;
    const std::unique_ptr<Writer> writer =
        Writer::start(config_for(name, 0), nullptr, &error);
    return writer && publish(*writer, 300) && writer->ring()->slots() == 6;
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
    config.legacy = LegacyMode::Always;
    config.legacy_bytes = 7 << 20;
    return ftruncate(fd, 7 << 20) == 0 && close(fd) == 0 &&
           refused(config, ErrorKind::NoSpace, "/dev/shm");
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
    Config config = config_for(name, 1000);
    config.legacy = LegacyMode::Always;
    close(open(name.path(suffix).c_str(), O_CREAT | O_RDWR, 0600));
    fail_unless(shmtest::in_child([&] {
      return setuid(kNobody) == 0 && refused(config, ErrorKind::Denied, "owned by root");
    }));
    // Nor does root write into what a user prepared.
    fail_unless(chown(name.path(suffix).c_str(), kNobody, kNobody) == 0);
    fail_unless(refused(config, ErrorKind::Denied, "owned by nobody"));
    // Where the older segment is not asked for it is left alone, and the ring works.
    config.legacy = LegacyMode::Auto;
    if (!*suffix)
      fail_unless(warned_once(config, "owned by nobody"));
    fail_unless_equals_int(name.files().size(), 1);
  }
}
GST_END_TEST

// given files of another user under hidden names that can be foreseen, when a writer
// follows a dead one and grows, then it works as ever.
GST_START_TEST(test_shm_space_hidden_files_of_another_user_are_no_hindrance) {
  if (!need(geteuid() == 0, "become another user"))
    return;
  const Name name;
  Config config = config_for(name, 1000);
  config.legacy = LegacyMode::Never;
  const std::string hidden = "/dev/shm/." + name.text + ".ring";
  close(open((hidden + ".new").c_str(), O_CREAT | O_RDWR, 0600));
  int steps[2], answers[2];
  fail_unless(pipe(steps) == 0 && pipe(answers) == 0);
  const pid_t child = fork();
  if (child == 0) {
    Error error;
    std::unique_ptr<Writer> writer;
    char step;
    // The ring of a writer that died, a name that is free, and growth.
    bool works = setuid(kNobody) == 0 && shmtest::in_child([&] {
                   return (writer = Writer::start(config, nullptr, &error)) != nullptr;
                 }) &&
                 (writer = Writer::start(config, nullptr, &error)) &&
                 publish(*writer, 10);
    works = works && write(answers[1], "1", 1) == 1 && read(steps[0], &step, 1) == 1 &&
            publish(*writer, 200) && publish(*writer, 400);
    if (!works)
      fprintf(stderr, "%s\n", error.message.c_str());
    writer.reset();
    _exit(works ? 0 : 1);
  }
  close(answers[1]);
  char answer = 0;
  const bool started = read(answers[0], &answer, 1) == 1;
  // As somebody else may who is quick when the link is not there for a moment.
  close(open((hidden + "-other").c_str(), O_CREAT | O_RDWR, 0600));
  fail_unless(rename((hidden + "-other").c_str(), name.keep(".ring").c_str()) == 0);
  fail_unless_equals_int(write(steps[1], "1", 1), 1);
  int status = 1;
  waitpid(child, &status, 0);
  fail_unless(started && status == 0);
  // Both of ours, and nothing of the writer's.
  fail_unless_equals_int(name.files().size(), 2);
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
  tcase_add_test(tcase, test_shm_space_no_room_for_legacy_is_a_warning);
  tcase_add_test(tcase, test_shm_space_ring_goes_before_unopened_legacy);
  tcase_add_test(tcase, test_shm_space_caps_decide_what_is_reserved);
  tcase_add_test(tcase, test_shm_space_grows_in_the_place_of_the_old_ring);
  tcase_add_test(tcase, test_shm_space_waiting_for_readers_is_told_once);
  tcase_add_test(tcase, test_shm_space_without_a_limit_there_is_room);
  tcase_add_test(tcase, test_shm_space_full_at_growth_keeps_the_ring);
  tcase_add_test(tcase, test_shm_space_sparse_left_over_is_an_error_not_a_signal);
  tcase_add_test(tcase, test_shm_space_short_of_room_fewer_slots_do);
  tcase_add_test(tcase, test_shm_space_unwritable_folder_is_an_error);
  tcase_add_test(tcase, test_shm_space_file_of_another_user_is_an_error);
  tcase_add_test(tcase, test_shm_space_hidden_files_of_another_user_are_no_hindrance);
  tcase_add_test(tcase, test_shm_space_mode_decides_who_reads);
  return suite;
}

GST_CHECK_MAIN(shm_space)
