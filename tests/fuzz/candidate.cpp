// SPDX-License-Identifier: LGPL-2.1-or-later
// ICE candidates: what the parser lets through goes to a webrtcbin, and to libnice in it,
// as a session would hand it over.
#include "message.h"
#include "strict-log.h"

#define GST_USE_UNSTABLE_API
#include <gst/webrtc/webrtc.h>

#include "gst-ptr.h"

using namespace vdn;

namespace {

constexpr char kOffer[] =
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n"
    "a=ice-ufrag:ufrag\r\na=ice-pwd:passwordpasswordpassword\r\na=setup:actpass\r\n"
    "a=mid:0\r\na=sctp-port:5000\r\na=fingerprint:sha-256 "
    "AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:"
    "AB:AB:AB:AB\r\n";

// A webrtcbin that has answered an offer and gathers on loopback alone.
class Answerer {
public:
  Answerer()
      : webrtc_(
            ObjPtr<GstElement>::adopt(gst_element_factory_make("webrtcbin", nullptr))) {
    ObjPtr<GObject> ice, agent;
    gboolean added = FALSE;
    g_object_get(webrtc_.get(), "ice-agent", ice.out(), nullptr);
    g_signal_emit_by_name(ice.get(), "add-local-ip-address", "127.0.0.1", &added);
    g_object_get(ice.get(), "agent", agent.out(), nullptr);
    g_object_set(agent.get(), "upnp", FALSE, nullptr);
    gst_element_set_state(webrtc_.get(), GST_STATE_PLAYING);
    GstSDPMessage *sdp = nullptr;
    gst_sdp_message_new_from_text(kOffer, &sdp);
    describe("set-remote-description",
             gst_webrtc_session_description_new(GST_WEBRTC_SDP_TYPE_OFFER, sdp));
    GstPromise *made = gst_promise_new();
    g_signal_emit_by_name(webrtc_.get(), "create-answer", nullptr, made);
    gst_promise_wait(made);
    GstWebRTCSessionDescription *answer = nullptr;
    gst_structure_get(gst_promise_get_reply(made), "answer",
                      GST_TYPE_WEBRTC_SESSION_DESCRIPTION, &answer, nullptr);
    gst_promise_unref(made);
    describe("set-local-description", answer);
  }
  ~Answerer() { gst_element_set_state(webrtc_.get(), GST_STATE_NULL); }
  Answerer(const Answerer &) = delete;
  Answerer &operator=(const Answerer &) = delete;

  // Returns when webrtcbin is through with it.
  void add(const std::string &candidate) {
    g_signal_emit_by_name(webrtc_.get(), "add-ice-candidate", 0U, candidate.c_str());
    wait("get-stats", nullptr);
  }

private:
  void wait(const char *action, gpointer argument) {
    GstPromise *done = gst_promise_new();
    g_signal_emit_by_name(webrtc_.get(), action, argument, done);
    gst_promise_wait(done);
    gst_promise_unref(done);
  }
  void describe(const char *action, GstWebRTCSessionDescription *description) {
    wait(action, description);
    gst_webrtc_session_description_free(description);
  }

  ObjPtr<GstElement> webrtc_;
};

// libnice takes 25 candidates for each component and ignores those after them.
constexpr unsigned kPerAnswerer = 25;

} // namespace

extern "C" int LLVMFuzzerInitialize(int *argc, char ***argv) {
  gst_init(argc, argv);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const Secret open("false", "vdo.ninja");
  static std::unique_ptr<Answerer> answerer;
  static unsigned added = 0;
  const std::string text(reinterpret_cast<const char *>(data), size);
  const auto message = parse_message(encode_candidates({}, {{text, "0", 0}}, true),
                                     nullptr, open, nullptr);
  if (!message)
    return 0;
  for (const auto &candidate : message->candidates) {
    g_assert(g_str_has_prefix(candidate.text.c_str(), "candidate:"));
    g_assert(candidate.text.size() <= kMaxCandidateBytes);
    g_assert(candidate.text.find_first_of("\r\n") == std::string::npos);
    const auto again =
        parse_message(encode_candidates({}, {candidate}, false), nullptr, open, nullptr);
    g_assert(again && again->candidates.at(0).text == candidate.text);
    if (added++ % kPerAnswerer == 0)
      answerer = std::make_unique<Answerer>();
    answerer->add(candidate.text);
  }
  return 0;
}
