// SPDX-License-Identifier: LGPL-2.1-or-later
// Candidates that hide their address behind a name of multicast DNS.
#include "loopback.h"

using namespace vdn;
using namespace std::chrono_literals;

namespace {

// Stands in for the system's: knows "known.local", never answers for any other name.
struct Lookups {
  unsigned answered = 0, cancelled = 0, waiting = 0;
};
Watched<Lookups> lookups;

typedef GResolver Resolver;
typedef GResolverClass ResolverClass;
G_DEFINE_TYPE(Resolver, resolver, G_TYPE_RESOLVER)

void look_up(GResolver *self, const gchar *name, GCancellable *cancellable,
             GAsyncReadyCallback callback, gpointer data) {
  GTask *task = g_task_new(self, cancellable, callback, data);
  if (g_str_equal(name, "known.local")) {
    lookups.update([](Lookups &state) { state.answered++; });
    g_task_return_pointer(
        task, g_list_append(nullptr, g_inet_address_new_from_string("127.0.0.1")),
        nullptr);
    g_object_unref(task);
    return;
  }
  lookups.update([](Lookups &state) { state.waiting++; });
  if (cancellable)
    g_cancellable_connect(cancellable, G_CALLBACK(+[](GCancellable *, gpointer waiting) {
                            lookups.update([](Lookups &state) { state.cancelled++; });
                            g_task_return_error_if_cancelled(G_TASK(waiting));
                          }),
                          task, g_object_unref);
}

void resolver_init(Resolver *) {}

void resolver_class_init(ResolverClass *klass) {
  klass->lookup_by_name_async = look_up;
  klass->lookup_by_name_finish = [](GResolver *, GAsyncResult *result, GError **error) {
    return static_cast<GList *>(g_task_propagate_pointer(G_TASK(result), error));
  };
}

void use_resolver() {
  auto *resolver = G_RESOLVER(g_object_new(resolver_get_type(), nullptr));
  g_resolver_set_default(resolver);
  g_object_unref(resolver);
}

// A publisher whose candidates all say `name` where their address should be.
void hide_addresses(Publisher *publisher, const std::string &name) {
  PublisherHooks hooks;
  hooks.candidate = [name](Candidate &candidate) {
    const size_t at = candidate.text.find("127.0.0.1");
    if (at == std::string::npos)
      return false;
    candidate.text.replace(at, 9, name);
    return true;
  };
  publisher->set_hooks(hooks);
}

} // namespace

GST_START_TEST(test_names_of_candidates_are_looked_up_for_webrtcbin) {
  use_resolver();
  Loopback loopback;
  hide_addresses(loopback.publisher.get(), "known.local");
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  static Watched<std::string> given{""};
  g_signal_connect(player.source(), "webrtcbin-ready",
                   G_CALLBACK(+[](GstElement *, const char *, GstElement *webrtc) {
                     auto note = [](GstElement *, guint, const char *text) {
                       given.update([&](std::string &all) { all += text; });
                     };
                     g_signal_connect(webrtc, "add-ice-candidate", G_CALLBACK(+note),
                                      nullptr);
                   }),
                   nullptr);
  player.play();
  player.expect_buffers("sink", 3);
  fail_unless(given.wait(10s, [](const std::string &all) {
    return all.find(" 127.0.0.1 ") != std::string::npos;
  }));
  fail_unless(given.get().find(".local") == std::string::npos);
}
GST_END_TEST

// libnice's agent used to stay for ever, with its sockets, for one name that was still
// looked up when the element stopped.
GST_START_TEST(test_names_without_an_answer_end_with_the_session) {
  use_resolver();
  Loopback loopback;
  hide_addresses(loopback.publisher.get(), "unknown.local");
  loopback.publish();
  Player player(loopback.play(), {"sink", "audio"});
  player.play();
  fail_unless(lookups.wait(20s, [](const Lookups &state) { return state.waiting > 0; }));
  player.stop();
  fail_unless(lookups.wait(
      10s, [](const Lookups &state) { return state.cancelled == state.waiting; }));
}
GST_END_TEST

static Suite *names_suite() {
  Suite *suite = suite_create("vdoninjasrc-names");
  TCase *tc = tcase_create("names");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_names_of_candidates_are_looked_up_for_webrtcbin);
  tcase_add_test(tc, test_names_without_an_answer_end_with_the_session);
  return suite;
}

GST_CHECK_MAIN(names);
