// SPDX-License-Identifier: LGPL-2.1-or-later
#include "report-gate.h"

#include <vector>

// Last: it defines `fail` as a macro.
#include <gst/check/gstcheck.h>

using namespace vdn;

namespace {

constexpr unsigned kRun = 0x2000, kVector = 0x8000, kPairs = 0xc000; // chunks: of small

std::vector<uint8_t> report(unsigned first, unsigned count,
                            const std::vector<unsigned> &chunks, size_t deltas) {
  std::vector<uint8_t> bytes;
  const auto word = [&](unsigned value) {
    bytes.push_back(static_cast<uint8_t>(value >> 8));
    bytes.push_back(static_cast<uint8_t>(value));
  };
  for (unsigned value : {first, count, 0u, 0u})
    word(value);
  for (unsigned chunk : chunks)
    word(chunk);
  bytes.resize(bytes.size() + deltas);
  return bytes;
}

bool admits(ReportGate &gate, const std::vector<uint8_t> &bytes, double at_s = 100) {
  return gate.admits(bytes.data(), bytes.size(),
                     static_cast<int64_t>(at_s * G_USEC_PER_SEC));
}

} // namespace

GST_START_TEST(test_report_gate_wants_whole_reports) {
  const struct {
    unsigned count;
    std::vector<unsigned> chunks;
    size_t deltas; // that are needed
  } kCases[] = {{3, {kRun | 3}, 3},
                {3, {kRun | 8191}, 3},
                {3, {0x4000 | 3}, 6}, // large ones
                {3, {3}, 0},          // lost
                {14, {kVector | 0x3fff}, 14},
                {5, {kVector | 0x3fff}, 5},
                {7, {kPairs | 0x1555}, 7}, // small ones
                {7, {kPairs | 0x2aaa}, 14},
                {7, {kPairs | 0x3fff}, 0}, // reserved
                {20, {kPairs | 0x1555, kRun | 13}, 20},
                {4096, {kRun | 4096}, 4096}};
  for (const auto &one : kCases) {
    ReportGate gate, padded;
    fail_unless(admits(gate, report(7, one.count, one.chunks, one.deltas)));
    fail_unless(admits(padded, report(7, one.count, one.chunks, one.deltas + 3)));
    if (one.deltas)
      fail_if(admits(gate, report(7, one.count, one.chunks, one.deltas - 1)));
    fail_if(admits(gate, report(7, one.count + 9000, one.chunks, one.deltas)));
  }
  ReportGate gate;
  fail_if(admits(gate, report(7, 0, {}, 0)));
  fail_if(admits(gate, report(7, 3, {}, 9)));
  fail_if(admits(gate, report(7, 3, {kRun}, 9)), "a run of none");
  fail_if(admits(gate, report(7, 4097, {kRun | 4097}, 4097)));
  for (size_t bytes = 0; bytes < 8; bytes++)
    fail_if(gate.admits(report(0, 3, {3}, 0).data(), bytes, 0));
}
GST_END_TEST

GST_START_TEST(test_report_gate_wants_them_one_after_the_other) {
  ReportGate gate;
  unsigned first = 65000; // and over the end of the numbers
  for (int i = 0; i < 100; i++, first = (first + 30) & 0xffff)
    fail_unless(admits(gate, report(first, 30, {30}, 0), 100 + i * 0.05));
  const double now = 105;
  fail_unless(admits(gate, report(first + 4000, 30, {30}, 0), now), "after an outage");
  fail_unless(admits(gate, report(first + 3950, 30, {30}, 0), now), "late");
  fail_if(admits(gate, report(first + 9000, 30, {30}, 0), now));
  fail_if(admits(gate, report(first - 9000 + 65536, 30, {30}, 0), now));
  fail_if(admits(gate, report(first + 9000, 30, {30}, 0), now + 2.9));
  fail_unless(admits(gate, report(first + 9000, 30, {30}, 0), now + 3.1),
              "after a long outage");
  fail_unless(admits(gate, report(first + 9030, 30, {30}, 0), now + 3.2));
}
GST_END_TEST

static Suite *report_gate_suite() {
  Suite *suite = suite_create("report-gate");
  TCase *tc = tcase_create("report-gate");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_report_gate_wants_whole_reports);
  tcase_add_test(tc, test_report_gate_wants_them_one_after_the_other);
  return suite;
}

GST_CHECK_MAIN(report_gate)
