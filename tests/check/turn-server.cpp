// SPDX-License-Identifier: LGPL-2.1-or-later
#include "turn-server.h"

#include "glib-ptr.h"

#include <gst/check/gstcheck.h>

using namespace vdn;

GST_START_TEST(test_turn_server_is_read) {
  const struct {
    const char *text, *name, *login;
    bool tls;
    unsigned port;
  } cases[] = {
      {"turn://u:p@relay.example", "turn://relay.example:3478", "u:p", false, 3478},
      {"turns://u:p@relay.example", "turns://relay.example:5349", "u:p", true, 5349},
      {"turns://u%40x:p%3Aw@h:443?transport=tcp", "turns://h:443", "u%40x:p%3Aw", true,
       443},
      {"turn://u:p@h:1?transport=udp", "turn://h:1", "u:p", false, 1},
      {"turns://u:p@[2001:db8::1]:9", "turns://[2001:db8::1]:9", "u:p", true, 9},
      {"turn://u:@h", "turn://h:3478", "u:", false, 3478},
  };
  for (const auto &c : cases) {
    const auto server = read_turn_server(c.text, nullptr);
    fail_unless(server.has_value(), "%s", c.text);
    const std::string name = server->name();
    fail_unless(name == c.name && server->login == c.login && server->tls == c.tls,
                "%s gives %s", c.text, name.c_str());
    fail_unless_equals_int(server->port, c.port);
  }
}
GST_END_TEST

GST_START_TEST(test_turn_server_that_is_none_is_refused_without_its_password) {
  const struct {
    const char *text, *part;
  } cases[] = {
      {"", "turn(s)://user:password@host:port"},
      {"relay.example", "turn(s)://user:password@host:port"},
      {"turn://relay.example:3478", "turn(s)://user:password@host:port"},
      {"turn://user@relay.example:3478", "turn(s)://user:password@host:port"},
      {"turn:u:hush@h:1", "turn(s)://user:password@host:port"},
      {"turn://u:hush@", "turn(s)://user:password@host:port"},
      {"turn://u:hush@h:99999", "turn(s)://user:password@host:port"},
      {"stun://u:hush@h", "turn(s)://user:password@host:port"},
      {"turns://u:hush@h:5349?transport=udp",
       "turns://h:5349?transport=udp would be DTLS"},
      {"turn://u:hush@h?transport=sctp", "?transport=tcp or ?transport=udp"},
      {"turns://u:hush@h?x=y", "?transport=tcp or ?transport=udp"},
  };
  for (const auto &c : cases) {
    GError *raw = nullptr;
    fail_if(read_turn_server(c.text, &raw).has_value(), "%s", c.text);
    const ErrorPtr error(raw);
    fail_unless(strstr(error->message, c.part), "%s: %s", c.text, error->message);
    fail_if(strstr(error->message, "hush"), "%s", error->message);
  }
}
GST_END_TEST

static Suite *turn_server_suite() {
  Suite *suite = suite_create("turn-server");
  TCase *tc = tcase_create("turn-server");
  suite_add_tcase(suite, tc);
  tcase_add_test(tc, test_turn_server_is_read);
  tcase_add_test(tc, test_turn_server_that_is_none_is_refused_without_its_password);
  return suite;
}

GST_CHECK_MAIN(turn_server);
