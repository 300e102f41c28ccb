// SPDX-License-Identifier: LGPL-2.1-or-later
// What a session makes of a second offer.
#include "session.h"

#include "loop-call.h"
#include "offers.h"
#include "watched.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

// What the session reports about `second`, which comes after plain_offer().
struct Asked final : SessionObserver {
  bool anew = false;
  bool same_certificate = false;

  bool send_on_socket(const std::string &) override { return true; }
  std::vector<const Format *> choose(const Offer &offer) override {
    return std::vector<const Format *>(offer.media.size());
  }
  void media(IncomingTrack) override { fail("media without a connection"); }
  void link_changed(LinkState) override {}
  void gathered(bool) override {}
  void channel_opened() override {}
  void received(const Message &, std::string_view) override {}
  void needs_new_session(const Message &, bool, bool same, const std::string &) override {
    anew = true;
    same_certificate = same;
  }
  void offer_refused(const GError *error) override { fail("%s", error->message); }
  void session_failed(const GError *error) override { fail("%s", error->message); }
  void warn(int, const std::string &text) override { fail("%s", text.c_str()); }
};

Asked second_offer(const std::string &second) {
  // The process's key, which no session shall wait for while it is stopped
  // (receiver.cpp).
  ObjPtr<GstElement>::adopt(gst_element_factory_make("dtlsdec", nullptr));
  const auto loop = std::make_shared<Loop>("test");
  const auto disposer = std::make_shared<Disposer>();
  const auto bin = ObjPtr<GstElement>::adopt(gst_bin_new(nullptr));
  const Address me;
  const Secret secret("false", "salt");
  Asked asked;
  Watched<bool> gone;
  call(*loop, [&] {
    const auto session = Session::create(*loop, GST_BIN(bin.get()), disposer, me, secret,
                                         {}, asked, nullptr);
    fail_unless(session != nullptr);
    for (const std::string &sdp : {plain_offer(), second}) {
      Message message;
      message.description = Description{true, sdp};
      session->handle_offer(message, false);
    }
    g_object_weak_ref(
        G_OBJECT(session->webrtcbin()),
        [](gpointer data, GObject *) {
          static_cast<Watched<bool> *>(data)->update([](bool &yes) { yes = true; });
        },
        &gone);
    session->close();
  });
  loop->stop();
  fail_unless(gone.wait(20s, [](bool yes) { return yes; }));
  disposer->wait();
  return asked;
}

} // namespace

GST_START_TEST(test_session_goes_on_with_an_offer_that_continues) {
  fail_if(second_offer(plain_offer()).anew);
}
GST_END_TEST

// Of the same peer connection, which has to let go of us first.
GST_START_TEST(test_session_other_credentials_are_of_the_same_peer) {
  const Asked asked = second_offer(replace(plain_offer(), "ufrag:ufrag", "ufrag:other"));
  fail_unless(asked.anew && asked.same_certificate);
}
GST_END_TEST

GST_START_TEST(test_session_other_certificate_is_another_peer) {
  const std::string other =
      replace(plain_offer(), fingerprint_line("AB"), fingerprint_line("AC"));
  const Asked asked = second_offer(replace(other, "ufrag:ufrag", "ufrag:other"));
  fail_unless(asked.anew && !asked.same_certificate);
}
GST_END_TEST

static Suite *session_suite() {
  Suite *suite = suite_create("session");
  TCase *tc = tcase_create("session");
  suite_add_tcase(suite, tc);
  tcase_add_checked_fixture(tc, connection_debug_init, nullptr);
  tcase_add_test(tc, test_session_goes_on_with_an_offer_that_continues);
  tcase_add_test(tc, test_session_other_credentials_are_of_the_same_peer);
  tcase_add_test(tc, test_session_other_certificate_is_another_peer);
  return suite;
}

GST_CHECK_MAIN(session)
