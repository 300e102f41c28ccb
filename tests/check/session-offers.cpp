// SPDX-License-Identifier: LGPL-2.1-or-later
// Offers that follow each other, at a real webrtcbin: whatever passes our check must
// leave the process alive, without a warning of GLib's, and be answered or refused.
#include "session.h"

#include "loop-call.h"
#include "random-offers.h"
#include "watched.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

// One viewer's sessions with one publisher, as a Stream keeps them.
class Viewing final : SessionObserver {
public:
  explicit Viewing(unsigned seed) : seed_(seed) {
    gst_element_set_state(bin_.get(), GST_STATE_PLAYING);
  }
  ~Viewing() {
    call(*loop_, [&] { close(); });
    loop_->stop();
    fail_unless(disposer_->wait());
    gst_element_set_state(bin_.get(), GST_STATE_NULL);
  }

  enum class Outcome { kNone, kAnswered, kRefused, kNewSession };

  // What became of `sdp`; an offer that wants a new session gets one.
  Outcome offer(const std::string &sdp) {
    for (bool retried : {false, true}) {
      outcome_.update([](Outcome &outcome) { outcome = Outcome::kNone; });
      call(*loop_, [&] { hand_over(sdp); });
      fail_unless(
          outcome_.wait(30s, [](Outcome outcome) { return outcome != Outcome::kNone; }),
          "neither answered nor refused:\n%s", sdp.c_str());
      if (outcome_.get() != Outcome::kNewSession)
        return outcome_.get();
      fail_if(retried, "a new session wants a new session:\n%s", sdp.c_str());
      call(*loop_, [&] { close(); });
    }
    return Outcome::kNone;
  }

private:
  void hand_over(const std::string &sdp) {
    if (!session_)
      session_ = Session::create(*loop_, GST_BIN(bin_.get()), disposer_, me_, secret_, {},
                                 *this, nullptr);
    fail_unless(session_ != nullptr);
    Message candidate;
    candidate.candidates = {{"candidate:1 1 udp 1 127.0.0.1 9 typ host", "0", 0}};
    session_->handle_candidates(candidate, false);
    Message message;
    message.description = Description{true, sdp};
    const auto session = session_; // which may end in there
    session->handle_offer(message, false);
  }
  void close() {
    if (session_)
      session_->close();
    session_.reset();
  }
  void report(Outcome outcome) {
    outcome_.update([=](Outcome &value) { value = outcome; });
  }
  std::vector<const Format *> choose(const Offer &offer) override {
    std::vector<const Format *> chosen;
    for (const MediaLine &line : offer.media) // as long as it is the same line
      chosen.push_back((std::hash<std::string>()(line.mid) + seed_) % 4
                           ? choose_format(line, {"VP8", "H264", "OPUS"})
                           : nullptr);
    return chosen;
  }
  bool send_on_socket(const std::string &text) override {
    if (contains(text, "\"description\""))
      report(Outcome::kAnswered);
    return true;
  }
  void link_changed(LinkState) override {}
  void gathered(bool) override {}
  void media(IncomingTrack) override { fail("media without a connection"); }
  void channel_opened() override {}
  void received(const Message &, std::string_view) override {}
  void offer_refused(const GError *) override { report(Outcome::kRefused); }
  void needs_new_session(const Message &, bool, bool, const std::string &) override {
    report(Outcome::kNewSession);
  }
  void session_failed(const GError *) override {
    close();
    report(Outcome::kRefused);
  }
  void warn(int, const std::string &text) override { fail("%s", text.c_str()); }

  const unsigned seed_;
  const std::shared_ptr<Loop> loop_ = std::make_shared<Loop>("test");
  const std::shared_ptr<Disposer> disposer_ = std::make_shared<Disposer>();
  const ObjPtr<GstElement> bin_ = ObjPtr<GstElement>::adopt(gst_pipeline_new(nullptr));
  const Address me_;
  const Secret secret_{"false", "salt"};
  std::shared_ptr<Session> session_;
  Watched<Outcome> outcome_;
};

unsigned number_from_environment(const char *name, unsigned otherwise) {
  const char *text = g_getenv(name);
  return text ? static_cast<unsigned>(g_ascii_strtoull(text, nullptr, 10)) : otherwise;
}

} // namespace

// Each way of adding lines to a session that has an answer: GStreamer 1.26 aborted when
// there were two.
GST_START_TEST(test_session_offers_later_ones_add_lines) {
  const std::string video = media_lines("video", "v", "96", kVp8);
  const std::string audio = media_lines("audio", "a", "111", kOpus);
  const std::string screen = media_lines("video", "s", "96", kVp8);
  const std::string sound = media_lines("audio", "t", "111", kOpus);
  const std::string data = data_lines("d");
  const struct {
    const char *what;
    std::vector<std::string> offers;
  } cases[] = {
      {"camera and microphone",
       {session_lines("d") + data, session_lines("d v a") + data + video + audio}},
      {"a screen with sound",
       {session_lines("d v a") + data + video + audio,
        session_lines("d v a s t") + data + video + audio + screen + sound}},
      {"a camera switched on later",
       {session_lines("d a") + data + audio,
        session_lines("d a v") + data + audio + video}},
      {"everything one by one",
       {session_lines("d") + data, session_lines("d v") + data + video,
        session_lines("d v a") + data + video + audio,
        session_lines("d v a s t") + data + video + audio + screen + sound}},
      {"data last",
       {session_lines("v") + video,
        session_lines("v a s d") + video + audio + screen + data}},
      {"four at once",
       {session_lines("d") + data,
        session_lines("d v a s t") + data + video + audio + screen + sound}},
  };
  for (const auto &c : cases)
    for (unsigned seed = 0; seed < 4; seed++) { // different lines declined
      Viewing viewing(seed);
      for (const std::string &sdp : c.offers)
        fail_unless(viewing.offer(sdp) == Viewing::Outcome::kAnswered, "%s, seed %u",
                    c.what, seed);
    }
}
GST_END_TEST

// A line that stops and offers another codec: webrtcbin cannot answer that any more.
GST_START_TEST(test_session_offers_stopped_line_with_another_codec) {
  const std::string head = session_lines("v d"), data = data_lines("d");
  const std::string stopped =
      media_lines("video", "v", "98", "a=inactive\r\na=rtpmap:98 H264/90000\r\n");
  Viewing viewing(1);
  for (const std::string &video : {media_lines("video", "v", "96", kVp8), stopped})
    fail_unless(viewing.offer(head + video + data) == Viewing::Outcome::kAnswered);
}
GST_END_TEST

// SESSION_OFFERS sequences from SESSION_OFFERS_SEED on.
GST_START_TEST(test_session_offers_at_random_leave_the_process_alive) {
  const unsigned first = number_from_environment("SESSION_OFFERS_SEED", 1);
  const unsigned count = number_from_environment("SESSION_OFFERS", 100);
  unsigned answered = 0, refused = 0;
  for (unsigned seed = first; seed < first + count; seed++) {
    g_printerr("seed %u\n", seed);
    Viewing viewing(seed);
    RandomOffers offers(seed);
    for (unsigned step = 0; step < 6; step++) {
      const bool good = viewing.offer(offers.sdp()) == Viewing::Outcome::kAnswered;
      (good ? answered : refused)++;
      for (unsigned changes = 1 + offers.below(2); changes > 0; changes--)
        offers.change();
    }
  }
  g_print("%u offers answered, %u refused\n", answered, refused);
  fail_unless(answered > refused, "%u offers answered, %u refused", answered, refused);
}
GST_END_TEST

static Suite *session_offers_suite() {
  Suite *suite = suite_create("session-offers");
  TCase *tc = tcase_create("session-offers");
  suite_add_tcase(suite, tc);
  tcase_set_timeout(tc, 120);
  tcase_add_checked_fixture(tc, connection_debug_init, nullptr);
  tcase_add_test(tc, test_session_offers_later_ones_add_lines);
  tcase_add_test(tc, test_session_offers_stopped_line_with_another_codec);
  tcase_add_test(tc, test_session_offers_at_random_leave_the_process_alive);
  return suite;
}

GST_CHECK_MAIN(session_offers)
