// SPDX-License-Identifier: LGPL-2.1-or-later
// The life of a writer: its names, its lock, growth, restart, and what goes wrong with
// them.
#include <atomic>

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

static Config config_for(const Name &name) {
  Config config;
  config.name = name.text;
  config.slots = 3;
  config.slot_bytes = 16 * 16 * 3;
  config.legacy_bytes = 16 * 16 * 3 + 5;
  return config;
}

static std::unique_ptr<Writer> start(const Config &config) {
  Error error;
  std::unique_ptr<Writer> writer = Writer::start(
      config, [](const std::string &) {}, &error);
  fail_unless(writer != nullptr, "%s", error.message.c_str());
  return writer;
}

static void publish(Writer &writer, uint32_t side = 16) {
  Error error;
  fail_unless(writer.fit(side * side * 3, &error), "%s", error.message.c_str());
  const Slot slot = writer.acquire(Ring::Use::Sink);
  fail_unless(bool(slot));
  const Writer::Outcome outcome =
      writer.publish(slot.pixels(), shmtest::rgb_frame(side, side));
  fail_unless(outcome != Writer::Outcome::NotASlot);
}

GST_START_TEST(test_shm_writer_stop_leaves_nothing_behind) {
  const Name name;
  for (int round = 0; round < 20; round++) {
    const std::unique_ptr<Writer> writer = start(config_for(name));
    publish(*writer);
    fail_unless_equals_int(name.files().size(), 4);
  }
  fail_unless(name.files().empty());
}
GST_END_TEST

GST_START_TEST(test_shm_writer_names_are_checked) {
  for (const std::string &text :
       {std::string(), std::string("a/b"), std::string("/x"), std::string("."),
        std::string(".."), std::string(SHMNUMPY_MAX_NAME + 1, 'x'),
        std::string(4000, 'x')}) {
    Config config;
    config.name = text;
    Error error;
    fail_unless(!Writer::start(config, nullptr, &error));
    fail_unless(error.kind == ErrorKind::BadName, "'%s'", text.c_str());
    fail_unless(!error.message.empty());
  }
  Config config = config_for(Name());
  config.name.resize(SHMNUMPY_MAX_NAME, 'x');
  publish(*start(config));
}
GST_END_TEST

GST_START_TEST(test_shm_writer_second_one_is_refused) {
  const Name name;
  const std::unique_ptr<Writer> first = start(config_for(name));
  const ino_t inode = shmtest::inode_of(name.path(".ring"));
  Error error;
  fail_unless(!Writer::start(config_for(name), nullptr, &error));
  fail_unless(error.kind == ErrorKind::Busy);
  fail_unless(strstr(error.message.c_str(), name.text.c_str()) != nullptr);
  // Also in the moment in which a reader's resource tracker has removed the name.
  unlink(name.path(".ring").c_str());
  fail_unless(!Writer::start(config_for(name), nullptr, &error));
  fail_unless(error.kind == ErrorKind::Busy);
  publish(*first);
  fail_unless(shmtest::wait_until(
      [&] { return shmtest::inode_of(name.path(".ring")) == inode; }));
}
GST_END_TEST

static pid_t start_in_child(const Config &config) {
  int ready[2];
  fail_unless(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const std::unique_ptr<Writer> writer = start(config);
    publish(*writer);
    const Slot filling = writer->acquire(Ring::Use::Sink);
    if (write(ready[1], "x", 1) == 1)
      pause();
    _exit(1);
  }
  char byte;
  fail_unless_equals_int(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  close(ready[1]);
  return child;
}

// given a writer that was killed with a slot half written, when another starts, then
// readers of the old ring are told, the legacy file goes on in place, and generations
// grow.
GST_START_TEST(test_shm_writer_takes_over_from_a_killed_one) {
  const Name name;
  const pid_t child = start_in_child(config_for(name));
  const View old(name.path(".ring"));
  fail_unless(flock(old.fd, LOCK_SH | LOCK_NB) != 0, "a living writer holds the lock");
  const ino_t legacy = shmtest::inode_of(name.path());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  fail_unless(flock(old.fd, LOCK_SH | LOCK_NB) == 0, "a dead writer holds no lock");
  flock(old.fd, LOCK_UN);
  fail_unless_equals_int(old.state(), SHMNUMPY_STATE_LIVE);
  const uint32_t wake = old.header().wake;

  const std::unique_ptr<Writer> writer = start(config_for(name));
  publish(*writer);
  const View fresh(name.path(".ring"));
  fail_unless_equals_int(old.state(), SHMNUMPY_STATE_RETIRED);
  fail_unless(old.header().wake != wake);
  fail_unless(fresh.header().generation > old.header().generation);
  fail_unless(shmtest::inode_of(name.path()) == legacy);
}
GST_END_TEST

// given a writer with a forked child, also after growth, when it is killed and the child
// lives on (as a worker of Python's multiprocessing does), then it is seen to be dead,
// and another may start.
GST_START_TEST(test_shm_writer_dies_although_a_forked_child_lives) {
  const Name name;
  int ready[2];
  fail_unless(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const std::unique_ptr<Writer> writer = start(config_for(name));
    publish(*writer);
    publish(*writer, 400);
    if (fork() == 0) {
      alarm(60); // whatever becomes of the test
      const pid_t self = getpid();
      if (write(ready[1], &self, sizeof(self)) != sizeof(self))
        _exit(1);
    }
    pause();
    _exit(1);
  }
  pid_t worker = 0;
  fail_unless(read(ready[0], &worker, sizeof(worker)) == sizeof(worker));
  close(ready[0]);
  close(ready[1]);
  const View old(name.path(".ring"));
  fail_unless(flock(old.fd, LOCK_SH | LOCK_NB) != 0, "a living writer holds the lock");
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  fail_unless(kill(worker, 0) == 0);
  fail_unless(flock(old.fd, LOCK_SH | LOCK_NB) == 0, "a dead writer holds no lock");
  flock(old.fd, LOCK_UN);
  publish(*start(config_for(name)));
  fail_unless_equals_int(old.state(), SHMNUMPY_STATE_RETIRED);
  kill(worker, SIGKILL);
}
GST_END_TEST

// Forked before there is a lock: while pages are reserved, say.
GST_START_TEST(test_shm_writer_lock_is_not_that_of_an_earlier_child) {
  Error error;
  auto file = vdn::shm::ShmFile::create(4096, 4096, 0600, &error);
  fail_unless(file.has_value(), "%s", error.message.c_str());
  const int other = open(file->descriptor_path().c_str(), O_RDWR | O_CLOEXEC);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    pause();
    _exit(1);
  }
  fail_unless(file->lock());
  fail_unless(flock(other, LOCK_SH | LOCK_NB) != 0);
  file.reset();
  fail_unless(shmtest::wait_until([&] { return flock(other, LOCK_SH | LOCK_NB) == 0; }),
              "the child has the lock");
  close(other);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}
GST_END_TEST

GST_START_TEST(test_shm_writer_takes_over_garbage) {
  const Name name;
  for (const char *suffix : {"", ".ring"}) {
    const int fd = open(name.path(suffix).c_str(), O_CREAT | O_RDWR, 0600);
    fail_unless_equals_int(write(fd, "garbage", 7), 7);
    close(fd);
  }
  publish(*start(config_for(name)));
  fail_unless(name.files().empty());
}
GST_END_TEST

GST_START_TEST(test_shm_writer_removed_names_come_back) {
  const Name name;
  const std::unique_ptr<Writer> writer = start(config_for(name));
  publish(*writer);
  for (const std::string &path :
       {name.path(), name.path(".ring"), name.keep(), name.keep(".ring")}) {
    const ino_t inode = shmtest::inode_of(path);
    unlink(path.c_str());
    fail_unless(shmtest::wait_until([&] { return shmtest::inode_of(path) == inode; }),
                "%s did not come back", path.c_str());
  }
}
GST_END_TEST

// RemoveIPC of systemd-logind removes all files of a user at once.
GST_START_TEST(test_shm_writer_makes_a_new_ring_when_all_links_are_gone) {
  const Name name;
  const std::unique_ptr<Writer> writer = start(config_for(name));
  publish(*writer);
  const View old(name.path(".ring"));
  // The housekeeper may put one back in between: that is all right too.
  fail_unless(shmtest::wait_until([&] {
    for (const std::string &file : name.files())
      unlink(("/dev/shm/" + file).c_str());
    return name.files().empty();
  }));
  fail_unless(shmtest::wait_until([&] {
    publish(*writer);
    return name.files().size() == 4;
  }));
  fail_unless_equals_int(old.state(), SHMNUMPY_STATE_RETIRED);
  publish(*writer);
  fail_unless_equals_int(View(name.path(".ring")).state(), SHMNUMPY_STATE_LIVE);
}
GST_END_TEST

GST_START_TEST(test_shm_writer_does_not_fight_for_a_taken_name) {
  const Name name;
  std::atomic<unsigned> warnings{0};
  Error error;
  std::unique_ptr<Writer> writer = Writer::start(
      config_for(name), [&](const std::string &) { warnings++; }, &error);
  const std::string other = name.path("-other");
  close(open(other.c_str(), O_CREAT | O_RDWR, 0600));
  const ino_t inode = shmtest::inode_of(other);
  fail_unless(rename(other.c_str(), name.path(".ring").c_str()) == 0);
  fail_unless(shmtest::wait_until([&] { return warnings > 0; }));
  publish(*writer);
  fail_unless(!writer->fit(1 << 20, &error));
  fail_unless(error.kind == ErrorKind::Busy);
  writer.reset();
  fail_unless_equals_int(warnings, 1);
  fail_unless(shmtest::inode_of(name.path(".ring")) == inode);
}
GST_END_TEST

// given a reader and a held slot, when a larger frame comes, then a new inode takes the
// name, the old ring says so, the slot stays usable memory, and numbers go on.
GST_START_TEST(test_shm_writer_grows_by_a_new_inode) {
  const Name name;
  const std::unique_ptr<Writer> writer = start(config_for(name));
  publish(*writer);
  publish(*writer);
  const View old(name.path(".ring"));
  const Slot held = writer->acquire(Ring::Use::Upstream);
  publish(*writer, 400);
  const View fresh(name.path(".ring"));
  fail_unless_equals_int(old.state(), SHMNUMPY_STATE_RETIRED);
  fail_unless(flock(old.fd, LOCK_SH | LOCK_NB) == 0, "nobody writes the old ring");
  fail_unless_equals_int(fresh.state(), SHMNUMPY_STATE_LIVE);
  fail_unless_equals_uint64(fresh.number(), 3);
  fail_unless_equals_uint64(fresh.header().generation, old.header().generation + 1);
  // By these readers know that numbers go on, and count what they missed.
  fail_unless_equals_int(fresh.header().writer_pid, getpid());
  fail_unless(fresh.header().writer_start_boottime_ns > 0);
  fail_unless_equals_uint64(fresh.header().writer_start_boottime_ns,
                            old.header().writer_start_boottime_ns);
  fail_unless(fresh.header().slot_stride >= 400 * 400 * 3);
  fail_unless(memcmp(old.header().magic, SHMNUMPY_MAGIC, 8) == 0);
  memset(held.pixels(), 1, 16 * 16 * 3);
  fail_unless(writer->publish(held.pixels(), shmtest::rgb_frame(16, 16)) ==
              Writer::Outcome::NotASlot);
  const ino_t inode = shmtest::inode_of(name.path(".ring"));
  publish(*writer, 10);
  fail_unless(shmtest::inode_of(name.path(".ring")) == inode, "rings never shrink");
}
GST_END_TEST

GST_START_TEST(test_shm_writer_state_word_follows_the_stream) {
  const Name name;
  std::unique_ptr<Writer> writer = start(config_for(name));
  const View ring(name.path(".ring"));
  fail_unless_equals_int(ring.state(), SHMNUMPY_STATE_INIT);
  publish(*writer);
  fail_unless_equals_int(ring.state(), SHMNUMPY_STATE_LIVE);
  for (shmnumpy_state state : {SHMNUMPY_STATE_RECONNECTING, SHMNUMPY_STATE_EOS}) {
    const uint32_t wake = ring.header().wake;
    writer->set_state(state);
    fail_unless_equals_int(ring.state(), state);
    fail_unless_equals_int(ring.header().wake, wake + 1);
    publish(*writer);
    fail_unless_equals_int(ring.state(), SHMNUMPY_STATE_LIVE);
  }
  writer.reset();
  fail_unless_equals_int(ring.state(), SHMNUMPY_STATE_STOPPED);
  fail_unless(flock(ring.fd, LOCK_SH | LOCK_NB) == 0);
}
GST_END_TEST

GST_START_TEST(test_shm_writer_heart_beats_without_frames) {
  const Name name;
  const std::unique_ptr<Writer> writer = start(config_for(name));
  const View ring(name.path(".ring"));
  const auto beat = [&] {
    return __atomic_load_n(&ring.header().heartbeat, __ATOMIC_RELAXED);
  };
  const uint64_t first = beat();
  fail_unless(shmtest::wait_until([&] { return beat() > first; }));
}
GST_END_TEST

GST_START_TEST(test_shm_writer_chooses_slots) {
  struct Row {
    unsigned wanted;
    uint64_t bytes;
    unsigned expected;
  };
  for (const Row &row : {Row{0, 1920 * 1080 * 3, 6}, Row{0, (16 << 20) + 1, 4},
                         Row{1, 100, 3}, Row{9, 100, 9}, Row{1000, 100, 60}}) {
    const Name name;
    Config config = config_for(name);
    config.slots = row.wanted;
    config.slot_bytes = row.bytes;
    config.legacy = LegacyMode::Never;
    const std::unique_ptr<Writer> writer = start(config);
    fail_unless_equals_int(writer->ring()->slots(), row.expected);
  }
}
GST_END_TEST

GST_START_TEST(test_shm_writer_slots_outlive_it) {
  const Name name;
  std::unique_ptr<Writer> writer = start(config_for(name));
  const Slot slot = writer->acquire(Ring::Use::Upstream);
  writer.reset();
  memset(slot.pixels(), 7, slot.capacity());
  fail_unless(name.files().empty());
  publish(*start(config_for(name)));
}
GST_END_TEST

static Suite *shm_writer_suite(void) {
  Suite *suite = suite_create("shm-writer");
  TCase *tcase = tcase_create("general");
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, test_shm_writer_stop_leaves_nothing_behind);
  tcase_add_test(tcase, test_shm_writer_names_are_checked);
  tcase_add_test(tcase, test_shm_writer_second_one_is_refused);
  tcase_add_test(tcase, test_shm_writer_takes_over_from_a_killed_one);
  tcase_add_test(tcase, test_shm_writer_dies_although_a_forked_child_lives);
  tcase_add_test(tcase, test_shm_writer_lock_is_not_that_of_an_earlier_child);
  tcase_add_test(tcase, test_shm_writer_takes_over_garbage);
  tcase_add_test(tcase, test_shm_writer_removed_names_come_back);
  tcase_add_test(tcase, test_shm_writer_makes_a_new_ring_when_all_links_are_gone);
  tcase_add_test(tcase, test_shm_writer_does_not_fight_for_a_taken_name);
  tcase_add_test(tcase, test_shm_writer_grows_by_a_new_inode);
  tcase_add_test(tcase, test_shm_writer_state_word_follows_the_stream);
  tcase_add_test(tcase, test_shm_writer_heart_beats_without_frames);
  tcase_add_test(tcase, test_shm_writer_chooses_slots);
  tcase_add_test(tcase, test_shm_writer_slots_outlive_it);
  return suite;
}

GST_CHECK_MAIN(shm_writer)
