// SPDX-License-Identifier: LGPL-2.1-or-later
#include "shared-size.h"

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

constexpr int64_t kSecond = 1000000;

// With updates each 0.1 s.
struct Show {
  SharedSize size;
  int64_t now_us = 50 * kSecond;

  PictureBox after(double seconds) {
    for (int i = 0; i < seconds * 10; i++, now_us += kSecond / 10)
      size.update(now_us);
    return size.box();
  }
};

void assert_box(const PictureBox &box, unsigned width, unsigned height) {
  fail_unless(box == PictureBox({width, height}), "%u x %u instead of %u x %u", box.width,
              box.height, width, height);
}

} // namespace

GST_START_TEST(test_shared_size_nobody_gets_less_than_there_is_room_for) {
  Show show;
  assert_box(show.after(5), 0, 0);
  show.size.set("a", {640, 360});
  show.size.set("b", {320, 480});
  assert_box(show.after(5), 640, 480);
  show.size.set("c", {}); // does not say
  assert_box(show.after(0.1), 0, 0);
  show.size.remove("c");
  assert_box(show.after(5), 640, 480);
  show.size.set("b", {0, 480}); // as wide as you like
  assert_box(show.after(0.1), 0, 480);
}
GST_END_TEST

GST_START_TEST(test_shared_size_grows_at_once_and_shrinks_after_a_while) {
  Show show;
  show.size.set("a", {640, 360});
  assert_box(show.after(2.9), 0, 0);
  assert_box(show.after(0.3), 640, 360);
  show.size.set("a", {1280, 720});
  fail_unless(show.size.update(show.now_us));
  assert_box(show.size.box(), 1280, 720);
  fail_if(show.size.update(show.now_us));
  // A moment of less is none.
  show.size.set("a", {320, 180});
  assert_box(show.after(2), 1280, 720);
  show.size.set("a", {1280, 720});
  assert_box(show.after(2), 1280, 720);
  show.size.set("a", {320, 180});
  assert_box(show.after(2), 1280, 720);
  // Wider and lower: both at once.
  show.size.set("a", {1920, 180});
  assert_box(show.after(0.1), 1920, 180);
}
GST_END_TEST

GST_START_TEST(test_shared_size_who_comes_next_gets_all) {
  Show show;
  show.size.set("a", {320, 180});
  assert_box(show.after(5), 320, 180);
  show.size.remove("a");
  assert_box(show.after(0.1), 0, 0);
}
GST_END_TEST

static Suite *shared_size_suite() {
  Suite *suite = suite_create("shared-size");
  TCase *tc = tcase_create("shared-size");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_shared_size_nobody_gets_less_than_there_is_room_for);
  tcase_add_test(tc, test_shared_size_grows_at_once_and_shrinks_after_a_while);
  tcase_add_test(tc, test_shared_size_who_comes_next_gets_all);
  return suite;
}

GST_CHECK_MAIN(shared_size)
