// SPDX-License-Identifier: LGPL-2.1-or-later
// Media lines that pause, turn, go and come back while a session plays, and SSRCs that
// are not what the offer says: the pads stay, and play whatever is sent.
#include "loopback.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

// The part of an SDP that begins with `m=` for the nth time, from 0; changed in place.
void change_line(std::string &sdp, int nth,
                 const std::function<void(std::string &)> &change) {
  size_t from = sdp.find("\r\nm=") + 2;
  while (nth-- > 0)
    from = sdp.find("\r\nm=", from) + 2;
  const size_t end = sdp.find("\r\nm=", from);
  const size_t length = end == std::string::npos ? sdp.size() - from : end + 2 - from;
  std::string section = sdp.substr(from, length);
  change(section);
  sdp.replace(from, length, section);
}

void replace_first(std::string &text, const std::string &from, const std::string &to) {
  const size_t at = text.find(from);
  fail_unless(at != std::string::npos, "no %s in %s", from.c_str(), text.c_str());
  text.replace(at, from.size(), to);
}

struct Lines : Loopback {
  void set_offer_hook(std::function<void(std::string &)> hook) {
    PublisherHooks hooks;
    hooks.offer = std::move(hook);
    publisher->set_hooks(hooks);
  }
  // One line is changed in the offers of one peer connection, and as before in the next
  // one's. Its pad plays again then, the other one's all the time.
  void pause_and_return(int line, const std::function<void(std::string &)> &change) {
    publish();
    Player player(play(), {"sink", "audio"});
    player.play();
    player.expect_buffers("sink", 5);
    player.expect_buffers("audio", 5);
    const std::string pausing = line == 0 ? "sink" : "audio";
    const std::string steady = line == 0 ? "audio" : "sink";
    set_offer_hook([&](std::string &sdp) { change_line(sdp, line, change); });
    offer_anew(2);
    player.expect("the other line on the new connection", [&](const auto &state) {
      return state.sinks.at(steady).disconts >= 2;
    });
    player.expect_buffers(steady, 5);
    set_offer_hook({});
    offer_anew(3);
    player.expect_buffers(pausing, 5);
    player.expect_buffers(steady, 5);
    const auto state = player.state();
    fail_unless(state.errors.empty(), "%s", player.describe().c_str());
    fail_unless_equals_int(state.pads.size(), 2);
    fail_unless_equals_int(state.removed.size(), 0);
    fail_unless_equals_int(state.sinks.at("sink").backwards, 0);
  }
  void offer_anew(unsigned sessions) {
    publisher->restart_ice();
    await("another session",
          [sessions](const auto &state) { return state.sessions >= sessions; });
  }
  // Plays video and audio of offers that `hook` has changed.
  void play_changed(std::function<void(std::string &)> hook) {
    set_offer_hook(std::move(hook));
    publish();
    Player player(play(), {"sink", "audio"});
    player.play();
    player.expect_buffers("sink", 10);
    player.expect_buffers("audio", 10);
    fail_unless(player.state().errors.empty(), "%s", player.describe().c_str());
    fail_unless_equals_int(player.state().pads.size(), 2);
  }
};

// The number in the first "a=ssrc:" of a section.
std::string ssrc_of(const std::string &section) {
  const size_t from = section.find("a=ssrc:") + 7;
  return section.substr(from, section.find(' ', from) - from);
}

} // namespace

GST_START_TEST(test_lines_inactive_and_back) {
  Lines().pause_and_return(
      0, [](std::string &line) { replace_first(line, "a=sendonly", "a=inactive"); });
}
GST_END_TEST

GST_START_TEST(test_lines_turned_round_and_back) {
  Lines().pause_and_return(
      0, [](std::string &line) { replace_first(line, "a=sendonly", "a=recvonly"); });
}
GST_END_TEST

// Port 0 is a removed line unless it says bundle-only.
GST_START_TEST(test_lines_removed_and_back) {
  Lines().pause_and_return(
      1, [](std::string &line) { replace_first(line, "a=bundle-only\r\n", ""); });
}
GST_END_TEST

GST_START_TEST(test_lines_one_ssrc_for_two_lines) {
  Lines().play_changed([](std::string &sdp) {
    std::string video;
    change_line(sdp, 0, [&](std::string &line) { video = ssrc_of(line); });
    change_line(sdp, 1, [&](std::string &line) {
      const std::string own = ssrc_of(line);
      for (size_t at = line.find(own); at != std::string::npos; at = line.find(own, at))
        line.replace(at, own.size(), video);
    });
  });
}
GST_END_TEST

// What is sent has other SSRCs than what was announced.
GST_START_TEST(test_lines_ssrcs_that_are_not_as_announced) {
  Lines().play_changed([](std::string &sdp) {
    for (int line = 0; line < 2; line++)
      change_line(sdp, line, [line](std::string &text) {
        const std::string own = ssrc_of(text);
        const std::string other = std::to_string(1000 + line);
        for (size_t at = text.find(own); at != std::string::npos; at = text.find(own, at))
          text.replace(at, own.size(), other);
      });
  });
}
GST_END_TEST

static Suite *lines_suite() {
  Suite *suite = suite_create("vdoninjasrc-lines");
  TCase *tc = tcase_create("lines");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_lines_inactive_and_back);
  tcase_add_test(tc, test_lines_turned_round_and_back);
  tcase_add_test(tc, test_lines_removed_and_back);
  tcase_add_test(tc, test_lines_one_ssrc_for_two_lines);
  tcase_add_test(tc, test_lines_ssrcs_that_are_not_as_announced);
  return suite;
}

GST_CHECK_MAIN(lines);
