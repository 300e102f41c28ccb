// SPDX-License-Identifier: LGPL-2.1-or-later
// One ring: who gets which slot, what readers see, and that no instruction leaves a torn
// frame.
#include <cerrno>
#include <climits>
#include <thread>

#include <linux/futex.h>
#include <sys/inotify.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "ring.h"
#include "shared-word.h"
#include "shm-support.h"

// Last: it has a global variable called mutex.
#include <gst/check/gstcheck.h>

using vdn::shm::Error;
using vdn::shm::Ring;
using Use = vdn::shm::Ring::Use;

static std::shared_ptr<Ring> make_ring(unsigned slots, uint64_t bytes) {
  Error error;
  std::shared_ptr<Ring> ring = Ring::create(slots, bytes, 0600, 7, &error);
  fail_unless(ring != nullptr, "%s", error.message.c_str());
  return ring;
}

static const shmnumpy_slot &slot_of(Ring &ring, int index) {
  const auto *base = reinterpret_cast<const uint8_t *>(ring.header());
  return reinterpret_cast<const shmnumpy_slot *>(base + SHMNUMPY_SLOT_DESC_OFFSET)[index];
}

GST_START_TEST(test_shm_ring_header_says_what_readers_need) {
  const std::shared_ptr<Ring> ring = make_ring(5, 100000);
  const shmnumpy_header &head = *ring->header();
  fail_unless(memcmp(head.magic, SHMNUMPY_MAGIC, 8) == 0);
  fail_unless_equals_int(head.abi, SHMNUMPY_ABI);
  fail_unless_equals_int(head.header_bytes, 4096);
  fail_unless_equals_int(head.slot_count, 5);
  fail_unless_equals_int(head.slot_desc_bytes, 256);
  fail_unless_equals_uint64(head.slot_stride, 2 * 65536);
  fail_unless_equals_uint64(head.segment_bytes, ring->file().size());
  fail_unless_equals_uint64(head.generation, 7);
  fail_unless_equals_int(head.reader_rows, 0);
  fail_unless_equals_int(head.writer_pid, getpid());
  fail_unless_equals_int(head.state, SHMNUMPY_STATE_INIT);
  fail_unless_equals_uint64(head.latest, 0);
  // No more than the frames and 256 KiB.
  fail_unless(head.segment_bytes <= 5 * head.slot_stride + 256 * 1024);
}
GST_END_TEST

GST_START_TEST(test_shm_ring_publish_orders_numbers_and_words) {
  const std::shared_ptr<Ring> ring = make_ring(3, 48);
  const uint32_t wake = ring->header()->wake;
  for (uint64_t number = 1; number <= 20; number++) {
    const int slot = ring->acquire(Use::Sink);
    fail_unless(slot >= 0);
    fail_unless_equals_int(slot_of(*ring, slot).seq & 1, 1);
    fail_unless(slot != static_cast<int>(ring->header()->latest & 255) - 1);
    fail_unless(ring->publish(ring->pixels(slot), number, shmtest::rgb_frame(4, 4)));
    fail_unless_equals_uint64(slot_of(*ring, slot).seq, 2 * number);
    fail_unless_equals_uint64(slot_of(*ring, slot).frame_no, number);
    fail_unless_equals_uint64(ring->header()->latest, number << 8 | (slot + 1));
    fail_unless_equals_int(ring->header()->state, SHMNUMPY_STATE_LIVE);
    fail_unless(!ring->publish(ring->pixels(slot), number, shmtest::rgb_frame(4, 4)));
    fail_unless(slot_of(*ring, slot).publish_monotonic > 0);
    ring->release(slot);
  }
  fail_unless_equals_int(ring->header()->wake, wake + 20);
}
GST_END_TEST

// given all slots that upstream may hold are held, when it wants one more, then it gets
// none at once, and the sink still has one for a copy.
GST_START_TEST(test_shm_ring_held_slots_leave_one_for_the_sink) {
  const std::shared_ptr<Ring> ring = make_ring(6, 48);
  std::vector<int> held;
  for (int slot; (slot = ring->acquire(Use::Upstream)) >= 0;)
    held.push_back(slot);
  fail_unless_equals_int(held.size(), 4);
  for (uint64_t number = 1; number < 10; number++) {
    const int slot = ring->acquire(Use::Sink);
    fail_unless(slot >= 0);
    ring->publish(ring->pixels(slot), number, shmtest::rgb_frame(4, 4));
    ring->release(slot);
  }
  for (int slot : held)
    ring->release(slot);
  fail_unless(ring->acquire(Use::Upstream) >= 0);
}
GST_END_TEST

GST_START_TEST(test_shm_ring_oldest_frame_goes_first) {
  const std::shared_ptr<Ring> ring = make_ring(4, 48);
  std::vector<int> order;
  for (uint64_t number = 1; number <= 12; number++) {
    const int slot = ring->acquire(Use::Sink);
    ring->publish(ring->pixels(slot), number, shmtest::rgb_frame(4, 4));
    ring->release(slot);
    order.push_back(slot);
  }
  // Each slot comes round once in four frames: a view lasts three frames.
  for (size_t i = 4; i < order.size(); i++)
    fail_unless_equals_int(order[i], order[i - 4]);
}
GST_END_TEST

GST_START_TEST(test_shm_ring_garbage_from_readers_decides_nothing) {
  const std::shared_ptr<Ring> ring = make_ring(3, 48);
  for (uint64_t number = 1; number <= 6; number++) {
    memset(ring->header(), 0xff, sizeof(shmnumpy_header));
    memset(const_cast<shmnumpy_slot *>(&slot_of(*ring, 0)), 0xff, 3 * 256);
    const int slot = ring->acquire(Use::Sink);
    fail_unless(slot >= 0 && slot < 3);
    ring->publish(ring->pixels(slot), number, shmtest::rgb_frame(4, 4));
    fail_unless_equals_uint64(slot_of(*ring, slot).seq, 2 * number);
    fail_unless_equals_uint64(slot_of(*ring, slot).data_offset,
                              SHMNUMPY_DATA_OFFSET + slot * 65536u);
    ring->release(slot);
  }
}
GST_END_TEST

GST_START_TEST(test_shm_ring_pointers_beside_slots_are_refused) {
  const std::shared_ptr<Ring> ring = make_ring(3, 48);
  const int slot = ring->acquire(Use::Sink);
  const uint8_t *pixels = ring->pixels(slot);
  const uint8_t *const others[] = {pixels + 1, ring->pixels(3), pixels - 65536, nullptr};
  for (const uint8_t *other : others)
    fail_unless(!ring->publish(other, 1, shmtest::rgb_frame(4, 4)));
  fail_unless_equals_uint64(ring->header()->latest, 0);
  fail_unless(ring->publish(pixels, 1, shmtest::rgb_frame(4, 4)));
}
GST_END_TEST

static bool wait_for_wake(uint32_t *word, uint32_t value) {
  const timespec limit{20 * vdn::time_factor(), 0};
  return syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, nullptr, 0) == 0 ||
         errno == EAGAIN;
}

GST_START_TEST(test_shm_ring_frames_and_states_wake_readers) {
  const std::shared_ptr<Ring> ring = make_ring(3, 48);
  uint32_t *word = &ring->header()->wake;
  for (int round = 0; round < 2; round++) {
    const uint32_t before = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    bool woken[4] = {};
    std::vector<std::thread> readers;
    for (bool &mine : woken)
      readers.emplace_back([&mine, word, before] { mine = wait_for_wake(word, before); });
    if (round == 0)
      ring->publish(ring->pixels(ring->acquire(Use::Sink)), 1, shmtest::rgb_frame(4, 4));
    else
      ring->set_state(SHMNUMPY_STATE_EOS);
    for (std::thread &reader : readers)
      reader.join();
    for (bool mine : woken)
      fail_unless(mine);
  }
}
GST_END_TEST

// given who watches the file, as event loops do, when there is a frame or a state, then
// it hears of it after the word has changed; and nothing happens to the attributes of the
// file, for which the writer itself watches it.
GST_START_TEST(test_shm_ring_frames_and_states_tell_who_watches) {
  const std::shared_ptr<Ring> ring = make_ring(3, 48);
  const int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  fail_unless(inotify_add_watch(watch, ring->file().descriptor_path().c_str(),
                                IN_MODIFY | IN_ATTRIB) > 0);
  for (uint32_t round = 0; round < 4; round++) {
    inotify_event event{};
    fail_unless(read(watch, &event, sizeof(event)) < 0 && errno == EAGAIN);
    if (round % 2 == 0)
      ring->publish(ring->pixels(ring->acquire(Use::Sink)), round + 1,
                    shmtest::rgb_frame(4, 4));
    else
      ring->set_state(SHMNUMPY_STATE_EOS);
    fail_unless_equals_int(read(watch, &event, sizeof(event)), sizeof(event));
    fail_unless_equals_int(event.mask, IN_MODIFY);
    fail_unless_equals_int(ring->header()->wake, round + 1);
    fail_unless_equals_int(ring->header()->touched, 0);
  }
  close(watch);
}
GST_END_TEST

// given a word that is stored in halves, when a reader sees a low half, then it sees the
// high half of the same value or of a later one.
GST_START_TEST(test_shm_ring_low_half_comes_with_its_high_half) {
  constexpr uint32_t kLast = 1'000'000;
  uint64_t word = 0;
  std::thread writer([&word] {
    for (uint64_t n = 1; n <= kLast; n++)
      vdn::shm::store_halves(&word, n << 32 | n, __ATOMIC_RELEASE);
  });
  const auto *half = reinterpret_cast<const uint32_t *>(&word);
  unsigned early = 0;
  for (uint32_t low = 0; low < kLast;) {
    low = __atomic_load_n(half, __ATOMIC_ACQUIRE);
    early += __atomic_load_n(half + 1, __ATOMIC_RELAXED) < low;
  }
  writer.join();
  fail_unless_equals_int(early, 0);
  fail_unless_equals_uint64(word, uint64_t{kLast} << 32 | kLast);
}
GST_END_TEST

constexpr size_t kBytes = 48;

static bool whole(const uint8_t *pixels, uint64_t number) {
  for (size_t i = 0; i < kBytes; i++)
    if (pixels[i] != static_cast<uint8_t>(number))
      return false;
  return true;
}

// What a reader that arrives now makes of the ring: each frame that claims to be whole
// is.
static bool consistent(Ring &ring) {
  const uint64_t latest = __atomic_load_n(&ring.header()->latest, __ATOMIC_ACQUIRE);
  if (!latest ||
      slot_of(ring, static_cast<int>(latest & 255) - 1).seq != 2 * (latest >> 8))
    return false;
  for (int i = 0; i < 3; i++) {
    const uint64_t seq = slot_of(ring, i).seq;
    if (seq && seq % 2 == 0 &&
        (!whole(ring.pixels(i), seq / 2) || slot_of(ring, i).frame_no != seq / 2 ||
         slot_of(ring, i).width != 4))
      return false;
  }
  return true;
}

static void publish_filled(Ring &ring, uint64_t number) {
  const int slot = ring.acquire(Use::Sink);
  memset(ring.pixels(slot), static_cast<int>(number), kBytes);
  ring.publish(ring.pixels(slot), number, shmtest::rgb_frame(4, 4));
  ring.release(slot);
}

// given a writer that is stopped after each single instruction of five frames (which is
// what a SIGKILL there would leave behind), then a reader never sees a frame that is not
// whole.
GST_START_TEST(test_shm_ring_no_instruction_of_publish_leaves_a_torn_frame) {
  if (getenv("VALGRIND") || getenv("LD_PRELOAD")) {
    GST_WARNING("skipped: single steps do not work under valgrind");
    return;
  }
  const std::shared_ptr<Ring> ring = make_ring(3, kBytes);
  publish_filled(*ring, 1);
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0)
      _exit(77);
    raise(SIGSTOP);
    for (uint64_t number = 2; number <= 6; number++)
      publish_filled(*ring, number);
    _exit(0);
  }
  int status = 0;
  uint64_t steps = 0;
  waitpid(child, &status, 0);
  while (WIFSTOPPED(status)) {
    fail_unless(consistent(*ring), "torn after %" G_GUINT64_FORMAT " instructions",
                steps);
    if (ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) != 0)
      break;
    waitpid(child, &status, 0);
    steps++;
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    GST_WARNING("skipped: this system does not let a process be traced");
    return;
  }
  fail_unless(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  fail_unless(steps > 500, "only %" G_GUINT64_FORMAT " steps", steps);
  fail_unless_equals_uint64(ring->header()->latest >> 8, 6);
}
GST_END_TEST

// One writer as fast as it can, four readers that copy and check; 20,000 reads.
GST_START_TEST(test_shm_ring_copies_that_pass_the_check_are_whole) {
  const std::shared_ptr<Ring> ring = make_ring(3, kBytes);
  publish_filled(*ring, 1);
  std::atomic<bool> stop{false};
  std::atomic<unsigned> torn{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; i++)
    readers.emplace_back([&] {
      for (unsigned reads = 0; reads < 5000;) {
        const uint64_t latest =
            __atomic_load_n(&ring->header()->latest, __ATOMIC_ACQUIRE);
        const int index = static_cast<int>(latest & 255) - 1;
        const shmnumpy_slot &slot = slot_of(*ring, index);
        if (__atomic_load_n(&slot.seq, __ATOMIC_ACQUIRE) != 2 * (latest >> 8))
          continue;
        uint8_t copy[kBytes];
        for (size_t b = 0; b < kBytes; b++)
          copy[b] = __atomic_load_n(ring->pixels(index) + b, __ATOMIC_RELAXED);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (__atomic_load_n(&slot.seq, __ATOMIC_RELAXED) != 2 * (latest >> 8))
          continue;
        torn += !whole(copy, latest >> 8);
        reads++;
      }
    });
  std::thread writer([&] {
    for (uint64_t number = 2; !stop; number++)
      publish_filled(*ring, number);
  });
  for (std::thread &reader : readers)
    reader.join();
  stop = true;
  writer.join();
  fail_unless_equals_int(torn, 0);
}
GST_END_TEST

static Suite *shm_ring_suite(void) {
  Suite *suite = suite_create("shm-ring");
  TCase *tcase = tcase_create("general");
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, test_shm_ring_header_says_what_readers_need);
  tcase_add_test(tcase, test_shm_ring_publish_orders_numbers_and_words);
  tcase_add_test(tcase, test_shm_ring_held_slots_leave_one_for_the_sink);
  tcase_add_test(tcase, test_shm_ring_oldest_frame_goes_first);
  tcase_add_test(tcase, test_shm_ring_garbage_from_readers_decides_nothing);
  tcase_add_test(tcase, test_shm_ring_pointers_beside_slots_are_refused);
  tcase_add_test(tcase, test_shm_ring_frames_and_states_wake_readers);
  tcase_add_test(tcase, test_shm_ring_frames_and_states_tell_who_watches);
  tcase_add_test(tcase, test_shm_ring_low_half_comes_with_its_high_half);
  tcase_add_test(tcase, test_shm_ring_no_instruction_of_publish_leaves_a_torn_frame);
  tcase_add_test(tcase, test_shm_ring_copies_that_pass_the_check_are_whole);
  return suite;
}

GST_CHECK_MAIN(shm_ring)
