// SPDX-License-Identifier: LGPL-2.1-or-later
#include "candidate-line.h"

#include <algorithm>
#include <string>

#include <gst/check/gstcheck.h>

using namespace vdn;

GST_START_TEST(test_candidate_line_of_clients_are_taken) {
  for (const char *text : {
           "candidate:1 1 udp 1 192.0.2.1 9 typ host",
           "candidate:842163049 1 udp 1677729535 192.0.2.1 54063 typ srflx raddr 0.0.0.0 "
           "rport 0 generation 0 ufrag zK+3 network-cost 999",
           "candidate:0 1 UDP 2122252543 fe80::1%eth0 65535 typ host",
           "candidate:3 1 TCP 1010827519 10.77.0.1 9 typ host tcptype active",
           "candidate:3 1 tcp 1 5b2f7c12.local 9 typ host generation 0 tcptype passive",
           "candidate:Hc0a80101 1 TCP-PASS 4294967295 x 0 typ of-tomorrow",
       })
    fail_unless(is_candidate_line(text), "%s", text);
}
GST_END_TEST

// Cut after every character: the first eight words are needed, and whole pairs behind
// them.
GST_START_TEST(test_candidate_line_in_pieces_is_refused) {
  const std::string start = "candidate:1 1 UDP 1 192.0.2.1 9 typ ";
  const std::string whole = start + "host tcptype so ufrag abcd";
  for (size_t size = 0; size < whole.size(); size++) {
    const std::string text = whole.substr(0, size);
    const auto spaces = std::count(text.begin(), text.end(), ' ');
    const bool complete = spaces >= 7 && spaces % 2 && text.back() != ' ';
    fail_unless(is_candidate_line(text) == complete, "%s", text.c_str());
  }
}
GST_END_TEST

GST_START_TEST(test_candidate_line_that_libnice_stumbles_over_is_refused) {
  for (const std::string &text : {
           std::string(""),
           std::string("candidate:"),
           std::string("end-of-candidates"),
           std::string("candidate:1 0 UDP 1 192.0.2.1 9 typ host"),
           std::string("candidate:1 2 UDP 1 192.0.2.1 9 typ host"),
           std::string("candidate:1 01 UDP 1 192.0.2.1 9 typ host"),
           std::string("candidate:1 1 UDP 4294967296 192.0.2.1 9 typ host"),
           std::string("candidate:1 1 UDP 1 192.0.2.1 65536 typ host"),
           std::string("candidate:1 1 UDP 1 192.0.2.1 9 host typ"),
           std::string("candidate:1 1 UDP 1 192.0.2.1 9 typ host raddr"),
           std::string("candidate:1 1 UDP 1 192.0.2.1 9  typ host x"),
           std::string("candidate:1 1 UDP 1 192.0.2.1 9 typ host "),
           std::string("candidate: 1 UDP 1 192.0.2.1 9 typ host"),
           std::string("candidate:1 1 TCP 1 192.0.2.1 9 typ host"),
           std::string("candidate:1 1 tcp 1 192.0.2.1 9 typ host tcppt passive"),
           std::string("candidate:1 1 UDP 1 192.0.2.1 9 typ host\r\na=x y"),
           "candidate:" + std::string(33, '1') + " 1 UDP 1 192.0.2.1 9 typ host",
           "candidate:1 1 UDP 1 192.0.2.1 9 typ host x " + std::string(1024, '1'),
       })
    fail_if(is_candidate_line(text), "%s", text.c_str());
}
GST_END_TEST

GST_START_TEST(test_candidate_line_hidden_address) {
  const std::string start = "candidate:1 1 UDP 1 ", end = " 9 typ host";
  for (const char *name : {"x.local", "5b2f7c12-1c2d.LOCAL", ".local"})
    fail_unless(hidden_address(start + name + end) == name);
  for (const char *address : {"192.0.2.1", "::1", "x.local.", "local", "x.locality"})
    fail_unless(hidden_address(start + address + end).empty());
  fail_unless(hidden_address("").empty() && hidden_address("a b c .local").empty());
}
GST_END_TEST

static Suite *candidate_line_suite() {
  Suite *suite = suite_create("candidate-line");
  TCase *tc = tcase_create("candidate-line");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_candidate_line_of_clients_are_taken);
  tcase_add_test(tc, test_candidate_line_in_pieces_is_refused);
  tcase_add_test(tc, test_candidate_line_that_libnice_stumbles_over_is_refused);
  tcase_add_test(tc, test_candidate_line_hidden_address);
  return suite;
}

GST_CHECK_MAIN(candidate_line);
