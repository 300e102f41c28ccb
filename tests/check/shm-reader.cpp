// SPDX-License-Identifier: LGPL-2.1-or-later
// The C++ reader against segments that the test writes byte by byte.
#include "shmnumpy-reader.hpp"

#include <functional>
#include <sstream>

#include "shm-raw-writer.h"

using namespace std::chrono_literals;
using rawshm::kSize;
using rawshm::kSlots;
using rawshm::Writer;

namespace {

bool is_solid(const shmnumpy::Frame &frame) {
  for (uint32_t row = 0; row < frame.height; ++row)
    for (uint32_t i = 0; i < frame.planes[0].row_bytes; ++i)
      if (frame.planes[0].data[row * frame.planes[0].stride + i] != frame.number % 256)
        return false;
  return true;
}

} // namespace

GST_START_TEST(test_shm_reader_newest_frame_with_its_metadata) {
  Writer writer;
  shmnumpy::Reader reader(writer.name);
  writer.publish();
  auto frame = reader.read(5s);
  fail_unless(frame && frame->number == 1 && frame->missed == 0 &&
              frame->format == "RGB");
  fail_unless(frame->width == 60 && frame->height == 40 && frame->info.pts == 1234);
  fail_unless(is_solid(*frame) && frame->valid());
  writer.publish();
  writer.publish();
  frame = reader.read(5s);
  fail_unless(frame && frame->number == 3 && frame->missed == 1);
  fail_if(reader.read(0s));
  fail_unless(reader.error().empty() && reader.state() == shmnumpy::State::Live);
}
GST_END_TEST

GST_START_TEST(test_shm_reader_end_comes_behind_the_last_frame) {
  Writer writer;
  writer.publish();
  shmnumpy::Reader reader(writer.name);
  fail_unless(reader.read(5s).has_value());
  fail_if(reader.ended(), "by its first frame");
  writer.publish();
  writer.set_state(SHMNUMPY_STATE_EOS);
  fail_unless(reader.read(5s).has_value());
  fail_if(reader.ended(), "by its last frame");
  fail_if(reader.read(1ms));
  fail_unless(reader.ended());
}
GST_END_TEST

GST_START_TEST(test_shm_reader_overwritten_view_is_not_valid) {
  Writer writer;
  shmnumpy::Reader reader(writer.name);
  writer.publish();
  auto view = reader.read(5s);
  auto late = *view;
  std::vector<uint8_t> memory, nothing;
  fail_unless(view->copy_to(&memory) && memory.size() == 60 * 40 * 3);
  for (uint32_t i = 0; i < kSlots - 1; ++i)
    writer.publish();
  fail_unless(late.valid());
  writer.begin();
  fail_if(late.valid() || late.copy_to(&nothing));
  fail_unless(view->valid() && is_solid(*view));
}
GST_END_TEST

GST_START_TEST(test_shm_reader_copy_packs_padded_rows) {
  Writer writer;
  shmnumpy::Reader reader(writer.name);
  writer.publish(7, 5, 32);
  std::vector<uint8_t> memory;
  auto frame = reader.read_copy(&memory, 5s);
  fail_unless(frame && frame->planes[0].stride == 21 && memory.size() == 105);
  fail_unless(frame->planes[0].data == memory.data() && is_solid(*frame));
}
GST_END_TEST

GST_START_TEST(test_shm_reader_waits_for_a_frame_of_another_thread) {
  Writer writer;
  shmnumpy::Reader reader(writer.name);
  fail_if(reader.read(1ms));
  std::thread thread([&] { writer.publish(); });
  auto frame = reader.read(5s);
  thread.join();
  fail_unless(frame && frame->number == 1);
}
GST_END_TEST

// given a reader that waits for a segment, or for a frame of one, when another thread
// cancels it, then read() returns long before its time.
GST_START_TEST(test_shm_reader_cancel_ends_a_wait_at_once) {
  for (bool there : {false, true}) {
    const std::string name = Writer::unique();
    std::optional<Writer> writer;
    if (there)
      writer.emplace(name);
    shmnumpy::Reader reader(name);
    int64_t waited = 0;
    for (int round = 0; round < 200; ++round) {
      const int64_t start = shmnumpy::detail::monotonic_ns();
      std::thread thread([&] { reader.cancel(); });
      fail_if(reader.read(60s));
      thread.join();
      fail_if(reader.read(60s));
      waited += shmnumpy::detail::monotonic_ns() - start;
      reader.resume();
    }
    // By itself it looks around after a quarter of a second.
    fail_unless(waited < 200 * 100'000'000ll, "%lld ns", static_cast<long long>(waited));
    if (there)
      writer->publish();
    fail_unless(reader.read(there ? 5s : 0s).has_value() == there);
  }
}
GST_END_TEST

GST_START_TEST(test_shm_reader_follows_a_new_writer_and_ends_with_it) {
  auto first = std::make_unique<Writer>();
  std::string name = first->name;
  shmnumpy::Reader reader(name), ending(name, true);
  first->publish();
  auto old = reader.read(5s);
  Writer second(name);
  first->set_state(SHMNUMPY_STATE_RETIRED);
  second.publish();
  auto fresh = reader.read(5s);
  fail_unless(fresh && fresh->number == 1 && is_solid(*fresh));
  fail_unless(old->valid() && is_solid(*old));
  fail_unless(ending.read(5s) && ending.read(5s));
  second.set_state(SHMNUMPY_STATE_EOS);
  fail_if(ending.read(5s));
  fail_unless(reader.state() == shmnumpy::State::Eos && reader.error().empty());
}
GST_END_TEST

GST_START_TEST(test_shm_reader_half_published_frame_is_not_given) {
  Writer writer;
  shmnumpy::Reader reader(writer.name);
  for (uint32_t i = 0; i < kSlots; ++i)
    writer.publish();
  writer.begin();
  writer.fill(60, 40, 180);
  auto frame = reader.read(5s);
  fail_unless(frame && frame->number == kSlots && is_solid(*frame));
  fail_if(reader.read(1ms));
}
GST_END_TEST

GST_START_TEST(test_shm_reader_absent_and_unfinished_segments_are_waited_for) {
  std::string name = Writer::unique();
  shmnumpy::Reader reader(name);
  fail_if(reader.read(1ms));
  fail_unless(reader.state() == shmnumpy::State::Absent && reader.error().empty());
  Writer writer(name);
  std::memset(writer.header().magic, 0, 8);
  fail_if(reader.read(1ms));
  std::memcpy(writer.header().magic, SHMNUMPY_MAGIC, 8);
  writer.publish();
  fail_unless(reader.read(5s).has_value());
}
GST_END_TEST

// given a reader that does not read, when writers come and go, then it tells what the one
// of now does, and the last frame of the old one is still there to be read.
GST_START_TEST(test_shm_reader_state_is_that_of_now_without_a_read) {
  const std::string name = Writer::unique();
  shmnumpy::Reader reader(name);
  fail_unless(reader.state() == shmnumpy::State::Absent);
  Writer first(name);
  first.publish();
  fail_unless(reader.state() == shmnumpy::State::Live);
  fail_unless(reader.read(5s).has_value());
  first.publish();
  first.set_state(SHMNUMPY_STATE_RETIRED);
  fail_unless(reader.state() == shmnumpy::State::Retired);
  Writer second(name);
  second.set_state(SHMNUMPY_STATE_RECONNECTING);
  fail_unless(reader.state() == shmnumpy::State::Reconnecting);
  auto frame = reader.read(5s);
  fail_unless(frame && frame->number == 2);
}
GST_END_TEST

// given a reader that was busy, when the ring grew and the writer died since, so that
// nobody can go over to the new one, then a read ends as with any writer that died.
GST_START_TEST(test_shm_reader_ends_with_a_writer_that_died_after_it_grew) {
  Writer first;
  shmnumpy::Reader reader(first.name, true);
  first.publish();
  fail_unless(reader.read(5s).has_value());
  Writer larger(first.name);
  first.set_state(SHMNUMPY_STATE_RETIRED);
  for (Writer *writer : {&first, &larger}) {
    writer->header().heartbeat -= 2'000'000'000;
    fail_unless(!flock(writer->fd, LOCK_UN));
  }
  fail_if(reader.read(5s));
  fail_unless(reader.ended() && reader.error().empty());
}
GST_END_TEST

// A writer that died between the halves of its heartbeat, or that read garbage there.
GST_START_TEST(test_shm_reader_heartbeat_ahead_of_the_time_hides_no_death) {
  Writer writer;
  writer.header().heartbeat += 4'000'000'000;
  shmnumpy::Reader reader(writer.name);
  writer.publish();
  fail_unless(reader.state() == shmnumpy::State::Live);
  fail_unless(!flock(writer.fd, LOCK_UN));
  fail_unless(reader.state() == shmnumpy::State::Absent);
}
GST_END_TEST

GST_START_TEST(test_shm_reader_bad_header_is_an_error) {
  const std::pair<const char *, std::function<void(shmnumpy_header &)>> kCases[] = {
      {"does not hold", [](auto &h) { h.magic[0] = 'P'; }},
      {"version 1", [](auto &h) { h.abi = 0x10000; }},
      {"version 3", [](auto &h) { h.abi = 0x30000; }},
      {"truncated", [](auto &h) { h.segment_bytes = kSize + 1; }},
      {"truncated", [](auto &h) { h.segment_bytes = ~0ull; }},
      {"slots", [](auto &h) { h.segment_bytes = 0x1000; }},
      {"slots", [](auto &h) { h.slot_count = 1; }},
      {"slots", [](auto &h) { h.slot_count = 61; }},
      {"slots", [](auto &h) { h.slot_desc_bytes = 248; }},
      {"slots", [](auto &h) { h.slot_desc_bytes = 0xfffffff8; }},
      {"slots", [](auto &h) { h.slot_desc_offset = ~7ull; }},
      {"slots", [](auto &h) { h.slot_desc_offset = 0x1001; }},
  };
  for (const auto &[text, damage] : kCases) {
    Writer writer;
    damage(writer.header());
    shmnumpy::Reader reader(writer.name);
    fail_if(reader.error().find(text) == std::string::npos, "%s instead of %s",
            reader.error().c_str(), text);
    fail_if(reader.read(1ms));
  }
}
GST_END_TEST

GST_START_TEST(test_shm_reader_takes_names_that_a_writer_takes) {
  const std::string longest(SHMNUMPY_MAX_NAME, 'x');
  fail_unless(shmnumpy::Reader(longest).error().empty());
  for (const std::string &name : {std::string(), std::string("."), std::string(".."),
                                  std::string("../x"), longest + 'x'})
    fail_if(shmnumpy::Reader(name).error().find("1 to 244 bytes") == std::string::npos);
}
GST_END_TEST

GST_START_TEST(test_shm_reader_knows_all_formats) {
  std::istringstream names(SHMNUMPY_PACKED_FORMATS ", " SHMNUMPY_YUV_FORMATS ",");
  for (std::string name; names >> name;) {
    char format[16] = {};
    name.copy(format, name.size() - 1);
    const auto *found = shmnumpy::detail::find_format(format);
    fail_unless(found && format == std::string(found->name), "%s", format);
  }
}
GST_END_TEST

GST_START_TEST(test_shm_reader_bad_descriptor_is_an_error) {
  const std::function<void(shmnumpy_slot &)> kCases[] = {
      [](auto &s) { s.data_offset = ~0ull; },
      [](auto &s) { s.data_offset = kSize; },
      [](auto &s) { s.data_bytes = ~0ull; },
      [](auto &s) { s.data_bytes = 100; },
      [](auto &s) { s.width = 61; },
      [](auto &s) { s.width = 0; },
      [](auto &s) { s.height = 0xffffffff; },
      [](auto &s) { s.n_planes = 2; },
      [](auto &s) { std::strncpy(s.format, "P010_10LE", sizeof s.format); },
      [](auto &s) { std::memset(s.format, 'R', sizeof s.format); },
      [](auto &s) { s.planes[0].offset = ~0ull; },
      [](auto &s) { s.planes[0].offset = 1; },
      [](auto &s) { s.planes[0].stride = 179; },
      [](auto &s) { s.planes[0].stride = 0xffffffff; },
      [](auto &s) { s.planes[0].rows = 39; },
      [](auto &s) { s.frame_no = 7; },
  };
  for (const auto &damage : kCases) {
    Writer writer;
    writer.publish();
    damage(writer.slot(1));
    shmnumpy::Reader reader(writer.name);
    fail_if(reader.read(5s));
    fail_if(reader.error().empty());
  }
  Writer writer;
  writer.header().latest = 1 << 8 | 200;
  shmnumpy::Reader reader(writer.name);
  fail_if(reader.read(5s));
  fail_if(reader.error().empty());
}
GST_END_TEST

GST_START_TEST(test_shm_reader_segment_that_shrinks_is_an_error) {
  Writer writer;
  shmnumpy::Reader reader(writer.name);
  writer.publish();
  fail_unless(reader.read(5s).has_value());
  fail_unless(!ftruncate(writer.fd, 0));
  fail_if(reader.read(5s));
  fail_if(reader.error().find("shrank") == std::string::npos);
  fail_unless(!ftruncate(writer.fd, kSize));
}
GST_END_TEST

// Frames of one value from a thread that never pauses: none may show two.
GST_START_TEST(test_shm_reader_unthrottled_writer_gives_no_torn_frame) {
  Writer writer;
  shmnumpy::Reader reader(writer.name);
  std::vector<uint8_t> memory;
  bool stop = false;
  std::thread thread([&] {
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
      writer.begin();
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
      writer.fill(140, 150, 420);
      __atomic_thread_fence(__ATOMIC_SEQ_CST);
      writer.finish();
    }
  });
  for (int i = 0; i < 500; ++i) {
    auto frame = reader.read_copy(&memory, 5s);
    fail_unless(frame && is_solid(*frame));
  }
  __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
  thread.join();
}
GST_END_TEST

static Suite *shm_reader_suite() {
  Suite *suite = suite_create("shm-reader");
  TCase *tests = tcase_create("reader");
  suite_add_tcase(suite, tests);
  tcase_add_test(tests, test_shm_reader_newest_frame_with_its_metadata);
  tcase_add_test(tests, test_shm_reader_end_comes_behind_the_last_frame);
  tcase_add_test(tests, test_shm_reader_ends_with_a_writer_that_died_after_it_grew);
  tcase_add_test(tests, test_shm_reader_overwritten_view_is_not_valid);
  tcase_add_test(tests, test_shm_reader_copy_packs_padded_rows);
  tcase_add_test(tests, test_shm_reader_waits_for_a_frame_of_another_thread);
  tcase_add_test(tests, test_shm_reader_cancel_ends_a_wait_at_once);
  tcase_add_test(tests, test_shm_reader_follows_a_new_writer_and_ends_with_it);
  tcase_add_test(tests, test_shm_reader_half_published_frame_is_not_given);
  tcase_add_test(tests, test_shm_reader_absent_and_unfinished_segments_are_waited_for);
  tcase_add_test(tests, test_shm_reader_heartbeat_ahead_of_the_time_hides_no_death);
  tcase_add_test(tests, test_shm_reader_bad_header_is_an_error);
  tcase_add_test(tests, test_shm_reader_takes_names_that_a_writer_takes);
  tcase_add_test(tests, test_shm_reader_knows_all_formats);
  tcase_add_test(tests, test_shm_reader_bad_descriptor_is_an_error);
  tcase_add_test(tests, test_shm_reader_segment_that_shrinks_is_an_error);
  tcase_add_test(tests, test_shm_reader_state_is_that_of_now_without_a_read);
  tcase_add_test(tests, test_shm_reader_unthrottled_writer_gives_no_torn_frame);
  return suite;
}

GST_CHECK_MAIN(shm_reader)
