// SPDX-License-Identifier: LGPL-2.1-or-later
// The header pins its offsets itself; here: it compiles as C11 too, and the constants
// agree.
#include <cstring>

#include <gst/check/gstcheck.h>

#include "shm-layout.h"

extern "C" unsigned shm_layout_seen_from_c(unsigned what);

GST_START_TEST(test_shm_layout_c_and_cpp_agree) {
  const size_t expected[] = {sizeof(shmnumpy_header), sizeof(shmnumpy_slot),
                             sizeof(shmnumpy_plane), sizeof(shmnumpy_reader),
                             sizeof(shmnumpy_legacy_header)};
  for (unsigned i = 0; i < G_N_ELEMENTS(expected); i++)
    fail_unless_equals_uint64(shm_layout_seen_from_c(i), expected[i]);
}
GST_END_TEST

GST_START_TEST(test_shm_layout_constants_match_published_values) {
  fail_unless_equals_int(SHMNUMPY_LEGACY_DEFAULT_BYTES, 1920 * 1080 * 3 + 5);
  fail_unless_equals_int(SHMNUMPY_LEGACY_MAX_SIDE, 255 * 255 + 254);
  fail_unless_equals_int(SHMNUMPY_ABI, SHMNUMPY_ABI_MAJOR << 16 | SHMNUMPY_ABI_MINOR);
  fail_unless(memcmp(SHMNUMPY_MAGIC, "SHMNPY2\0", 8) == 0);
  // Issued in this order by every writer so far; readers hold the numbers.
  fail_unless_equals_int(SHMNUMPY_STATE_LIVE, 1);
  fail_unless_equals_int(SHMNUMPY_STATE_EOS, 2);
  fail_unless_equals_int(SHMNUMPY_STATE_RECONNECTING, 3);
  fail_unless_equals_int(SHMNUMPY_STATE_RETIRED, 4);
  fail_unless_equals_int(SHMNUMPY_STATE_STOPPED, 5);
}
GST_END_TEST

GST_START_TEST(test_shm_layout_regions_fit_large_pages) {
  const unsigned offsets[] = {SHMNUMPY_READER_TABLE_OFFSET, SHMNUMPY_DATA_OFFSET,
                              SHMNUMPY_SLOT_ALIGN};
  for (unsigned offset : offsets)
    fail_unless_equals_int(offset % 0x10000, 0);
  fail_unless(SHMNUMPY_DATA_OFFSET <= 256 * 1024);
}
GST_END_TEST

static Suite *shm_layout_suite(void) {
  Suite *suite = suite_create("shm-layout");
  TCase *tcase = tcase_create("general");
  suite_add_tcase(suite, tcase);
  tcase_add_test(tcase, test_shm_layout_c_and_cpp_agree);
  tcase_add_test(tcase, test_shm_layout_constants_match_published_values);
  tcase_add_test(tcase, test_shm_layout_regions_fit_large_pages);
  return suite;
}

GST_CHECK_MAIN(shm_layout)
