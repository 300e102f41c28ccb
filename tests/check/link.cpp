// SPDX-License-Identifier: LGPL-2.1-or-later
#include "link.h"

#include <random>

#include "vectors.h"

using namespace vdn;

namespace {

constexpr unsigned kSeed = 20260703;
using List = std::vector<std::string>;

Link parse(const std::string &text) {
  GError *error = nullptr;
  auto link = parse_link(text, &error);
  fail_unless(link.has_value(), "%s: %s", error ? error->message : "", text.c_str());
  return std::move(*link);
}

Link with(const std::string &query) {
  return parse("https://vdo.ninja/?view=a&" + query);
}

void assert_refused(const std::string &text, LinkError code) {
  GError *raw = nullptr;
  fail_if(parse_link(text, &raw).has_value(), "%.200s", text.c_str());
  const ErrorPtr error(raw);
  fail_unless(g_error_matches(raw, link_error_quark(), code), "%s: %.200s", raw->message,
              text.c_str());
}

void assert_text(const std::string &actual, const std::string &expected) {
  fail_unless_equals_string(actual.c_str(), expected.c_str());
}

} // namespace

GST_START_TEST(test_link_vectors) {
  for_each_vector("links.json", "links", [](JsonObject *v) {
    const Link link = parse(vector_string(v, "url"));
    assert_text(link.salt, vector_string(v, "salt"));
    fail_unless_equals_int(link.encrypted,
                           json_object_get_boolean_member(v, "passwordEnabled"));
    const char *password = vector_string(v, "password");
    assert_text(link.password, link.encrypted && password ? password : "");
    const Secret secret(link.encrypted ? link.password.c_str() : "false", link.salt);
    JsonArray *ids = json_object_get_array_member(v, "view");
    JsonArray *wire = json_object_get_array_member(v, "wireStreams");
    fail_unless_equals_int(link.streams.size(), json_array_get_length(ids));
    for (guint i = 0; i < link.streams.size(); i++) {
      const LinkStream &stream = link.streams[i];
      assert_text(stream.id + (stream.screen ? ":s" : ""),
                  json_array_get_string_element(ids, i));
      assert_text(secret.wire_stream_id(sanitize_stream_id(stream.id)),
                  json_array_get_string_element(wire, i));
    }
    const char *room = vector_string(v, "room");
    assert_text(link.room, room ? room : "");
    if (room)
      assert_text(secret.wire_room(link.room), vector_string(v, "wireRoom"));
    fail_unless(link.unsupported.empty());
  });
}
GST_END_TEST

GST_START_TEST(test_link_locations) {
  Link link = parse("vdoninja://ninja.Example.org:8443/?view=MyCam");
  assert_text(link.host, "ninja.example.org");
  fail_unless(link.port == 8443u);
  assert_text(link.streams[0].id, "MyCam");
  assert_text(parse("vdoninja:?view=ABC").salt, "vdo.ninja");
  assert_text(parse("vdoninja://vdo.ninja?view=ABC").streams[0].id, "ABC");
  assert_text(parse("HTTPS://vdo.ninja/?view=ABC#v=x&view=y").streams[0].id, "ABC");
  assert_text(parse("  https://vdo.ninja/?view=ABC\n").streams[0].id, "ABC");
  assert_text(parse("https://vdo.ninja/??view=ABC?label=x").label, "x");
  assert_text(parse("https://[2001:db8::1]:8443/?view=a").host, "[2001:db8::1]");
  assert_text(parse("https://[2001:db8::1]/?view=a").salt, "[2001:db8::1]");
  // A path may be a room, unless it looks like a folder or a file.
  assert_text(parse("https://vdo.ninja/My%20Room").room, "My_Room");
  assert_text(parse("https://vdo.ninja/Room?room=other").room, "other");
  assert_text(parse("https://vdo.ninja/alpha/?view=a").room, "");
  assert_text(parse("https://vdo.ninja/index.html?view=a").room, "");
}
GST_END_TEST

GST_START_TEST(test_link_malformed) {
  for (const char *text : {"",
                           "vdo.ninja",
                           "ftp://vdo.ninja/?view=a",
                           "view=a",
                           "://",
                           "https",
                           "vdoninja#:",
                           "vdoninja:",
                           "vdoninja://",
                           "vdoninja://MyCam",
                           "vdoninja://MyCam/?label=x",
                           "https://user:pw@vdo.ninja/?view=a",
                           "https://vdo.ninja:x/?view=a",
                           "https://vdo ninja/?view=a",
                           "https://v\xc3\xa4/?view=a",
                           "https://vdo.ninja/?view=a\nb",
                           "https://vdo.ninja/?view=a\x7f",
                           "https://vdo.ninja/?view=%00",
                           "https://vdo.ninja/?view=a%0Ab",
                           "https://vdo.ninja/?view=a&password=a%250ab"})
    assert_refused(text, LINK_ERROR_SYNTAX);
  assert_refused(std::string("https://vdo.ninja/?view=a\0b", 27), LINK_ERROR_SYNTAX);
  assert_refused("https://vdo.ninja/?view=" + std::string(9000, 'a'), LINK_ERROR_SIZE);
}
GST_END_TEST

GST_START_TEST(test_link_error_does_not_repeat_the_password) {
  GError *raw = nullptr;
  fail_if(parse_link("ftp://vdo.ninja/?view=a&password=classified", &raw).has_value());
  const ErrorPtr error(raw);
  fail_if(strstr(raw->message, "classified"));
}
GST_END_TEST

GST_START_TEST(test_link_percent_decoding) {
  assert_text(with("label=a+b%2Bc").label, "a b+c");
  assert_text(with("label=100%").label, "100%");
  assert_text(with("label=%zz%4").label, "%zz%4");
  assert_text(with("label=%C3%A4").label, "\xc3\xa4");
  assert_text(with("label=%FF").label, "\xef\xbf\xbd");
  assert_text(with("l%61bel=x").label, "x");
  assert_text(with("LABEL=x_y").label, "x y");
  // passwords, once more
  assert_text(with("password=%25C3%25A4").password, "\xc3\xa4");
  assert_text(with("password=%25FF").password, "%FF");
  assert_text(with("password=%2525").password, "%");
  assert_text(with("password=+x+").password, "x");
}
GST_END_TEST

GST_START_TEST(test_link_passwords_and_aliases) {
  assert_text(with("p=low&password=high").password, "high");
  assert_text(with("password=first&password=second").password, "first");
  assert_text(with("password=x&nopassword").password, "x");
  fail_unless(with("password=x&nopassword").encrypted);
  fail_if(with("nopass").encrypted);
  fail_if(with("p0").encrypted);
  fail_if(with("pw=FALSE").encrypted);
  fail_unless(with("password").encrypted);
  assert_text(with("hash=1C2bdc").hash, "1c2bdc");
  fail_unless(with("hash=nothex").unsupported == List{"hash"});
  assert_text(with("salt=own").salt, "own");
  assert_text(with("token=tok1").token, "tok1");
  assert_text(parse("https://vdo.ninja/?v=1&pull=2&streamid=3").streams[0].id, "3");
  assert_text(parse("https://vdo.ninja/?r=1&roomid=2").room, "2");
}
GST_END_TEST

GST_START_TEST(test_link_streams) {
  const Link link = parse("https://vdo.ninja/?view=a,,b:s,%20c%20&include=d&exclude=x,y");
  fail_unless_equals_int(link.streams.size(), 4);
  fail_unless(link.streams[1].id == "b" && link.streams[1].screen);
  fail_unless(link.streams[2].id == "c" && !link.streams[2].screen);
  assert_text(link.streams[3].id, "d");
  fail_unless((link.exclude == List{"x", "y"}));
  std::string many = "https://vdo.ninja/?view=";
  for (int i = 0; i < 1000; i++)
    many += "a,";
  fail_unless(parse(many + "&include=b").streams.size() <= kMaxLinkList);
}
GST_END_TEST

GST_START_TEST(test_link_servers) {
  Link link = with("wss=wss.example.org:8443");
  assert_text(link.server, "wss://wss.example.org:8443");
  fail_unless(link.dialect == Dialect::kCustom);
  link = with("wss2=ws://10.0.0.1");
  assert_text(link.server, "ws://10.0.0.1");
  fail_unless(link.dialect == Dialect::kHosted);
  fail_unless(with("proxy").dialect == Dialect::kHosted);
  fail_unless(with("wss=http://x").unsupported == List{"wss"});
  fail_unless(with("wss=").unsupported == List{"wss"});
  fail_if(with("pie=1").dialect.has_value());
}
GST_END_TEST

GST_START_TEST(test_link_roles) {
  assert_text(with("scene").scene.value_or("?"), "0");
  assert_text(with("scn=a-b").scene.value_or("?"), "a_b");
  assert_text(with("viewonly&scene=2").scene.value_or("?"), "2");
  assert_text(with("solo").scene.value_or("?"), "0");
  fail_if(with("label=x").scene.has_value());
  fail_unless(with("sd").show_director == 1u);
  fail_unless(with("sd=3").show_director == 3u);
  fail_unless(with("sd=false").show_director == 0u);
  fail_unless(with("directoronly").only_director);
  fail_unless(with("mp=3").max_streams == 3u);
}
GST_END_TEST

GST_START_TEST(test_link_media) {
  fail_if(with("novideo").video);
  const Link some = with("novideo=a,b&noaudio&excludeaudio=c");
  fail_unless(some.video && (some.video_from == List{"a", "b"}));
  fail_unless(!some.audio && some.audio_from.empty() && some.audio_not_from == List{"c"});
  const Link codecs = with("codec=H264,vp8,vp7");
  fail_unless((codecs.video_codecs == List{"h264", "vp8"}));
  fail_unless(codecs.unsupported == List{"codec"});
  assert_text(with("h264profile=42E01F").h264_profile, "42e01f");
  fail_unless(with("h264profile=x").unsupported == List{"h264profile"});
  using Rates = std::vector<unsigned>;
  fail_unless((with("vb=6000,-1,0.5").video_bitrates == Rates{6000, 0}));
  fail_unless((with("vb").video_bitrates == Rates{8000}));
  fail_unless(with("vb=x").unsupported == List{"vb"});
  fail_unless(with("vb=99999999999").unsupported == List{"vb"});
  fail_unless(with("tb=2500").total_bitrate == 2500u);
  fail_unless(with("ab=9999").audio_bitrate == 510u);
  const struct {
    const char *value;
    bool stereo;
  } modes[] = {{"stereo", true}, {"s=0", false},     {"s=1", true},
               {"s=2", true},    {"s=3", false},     {"s=5", true},
               {"mono", false},  {"proaudio", true}, {"s=false", false}};
  for (const auto &mode : modes)
    fail_unless(with(mode.value).stereo == mode.stereo, "%s", mode.value);
  const Link size = with("scale=50&vw=1280&vh=720");
  fail_unless(size.scale == 50u && size.width == 1280u && size.height == 720u);
  fail_if(with("scale=off").scale.has_value());
  fail_unless(with("buffer=500").latency == 500u);
  fail_unless(with("buffer=99999999").latency == 60000u);
  fail_unless(with("fki=2000").keyframe_interval == 2000u);
  fail_unless(with("buffer=soon").unsupported == List{"buffer"});
}
GST_END_TEST

GST_START_TEST(test_link_transport) {
  Link link = with("turn=us%40er;p%3Aw;turns:t.example.org:443%3Ftransport=tcp");
  fail_unless((link.turn_servers ==
               List{"turns://us%40er:p%3Aw@t.example.org:443?transport=tcp"}));
  fail_if(link.default_turn);
  fail_unless((with("turn=turn:t:3478").turn_servers == List{"turn://t:3478"}));
  link = with("turn=false");
  fail_unless(!link.default_turn && link.default_stun);
  link = with("turn=nostun");
  fail_unless(!link.default_turn && !link.default_stun);
  for (const char *bad :
       {"turn=twilio", "turn=a;b", "turn=a;b;turn:", "turn=a;b;turn:x y", "turn="})
    fail_unless(with(bad).unsupported == List{"turn"}, "%s", bad);
  link = with("stun=stun:s:1&addstun=t:2");
  fail_if(link.default_stun);
  fail_unless((link.stun_servers == List{"stun://s:1", "stun://t:2"}));
  link = with("stun=false");
  fail_unless(!link.default_stun && link.stun_servers.empty());
  fail_unless(with("addstun=u;p;stun:s:1").default_stun);
  fail_unless(with("relay").relay_only && with("privacy").relay_only);
  fail_unless(with("lanonly").lan_only);
  fail_unless(with("unsafe").allow_plain == true);
  fail_unless(with("requireencryption").allow_plain == false);
  fail_if(with("x").allow_plain.has_value());
}
GST_END_TEST

GST_START_TEST(test_link_unsupported_is_reported_once) {
  const Link link = with("magic=1&magic=2&invite=x&quality=1&cleanoutput&=x&&");
  fail_unless((link.unsupported == List{"invite", "magic"}));
  std::string many;
  for (int i = 0; i < 500; i++)
    many += "x" + std::to_string(i) + "&";
  fail_unless_equals_int(with(many).unsupported.size(), kMaxLinkList);
  fail_unless(with(std::string(500, 'x')).unsupported[0].size() <= 64);
  std::string accents = "x";
  for (int i = 0; i < 100; i++)
    accents += "\xc3\xa4";
  fail_unless(g_utf8_validate(with(accents).unsupported[0].c_str(), -1, nullptr));
}
GST_END_TEST

// Given a link with everything, when its URI is parsed, then the same comes out, except
// for what must not be in a URI.
GST_START_TEST(test_link_uri_round_trips) {
  for (const char *query :
       {"view=camA,camB:s&exclude=x&room=R&salt=s&token=t&hash=1c2bdc&wss=w:1&scene=2&sd="
        "3&do&"
        "label=a+b%26%C3%A4&mp=4",
        "view=a&novideo=b&noaudio&exaudio=c&codec=vp9,h264&h264profile=42e01f&vb=1,2&tb="
        "3&ab=4&"
        "stereo&scale=5&vw=6&vh=7&buffer=8&fki=9&retry=10",
        "view=a&mono&novideo&turn=nostun&relay&lanonly&unsafe",
        "view=a&wss2=w:1&nopassword",
        "view=a&stun=s:1&addstun=t:2&requireencryption&turn=off", "room=r&addstun=t:2",
        "push=abc&room=r&codec=vp8"}) {
    const Link link = parse(std::string("https://ninja.example.org:8443/?") + query);
    const std::string uri = link_to_uri(link);
    const Link again = parse(uri);
    assert_text(link_to_uri(again), uri);
    fail_unless(again.unsupported.empty(), "%s", uri.c_str());
    fail_unless(again.host == link.host && again.port == link.port);
    fail_unless(again.streams.size() == link.streams.size() &&
                again.published == link.published);
    fail_unless(again.room == link.room && again.salt == link.salt &&
                again.token == link.token);
    fail_unless(again.encrypted == link.encrypted && again.server == link.server);
    fail_unless(again.dialect == link.dialect && again.scene == link.scene);
    fail_unless(again.label == link.label && again.max_streams == link.max_streams);
    fail_unless(again.video == link.video && again.audio == link.audio);
    fail_unless(again.video_from == link.video_from &&
                again.video_codecs == link.video_codecs);
    fail_unless(again.video_bitrates == link.video_bitrates &&
                again.stereo == link.stereo);
    fail_unless(again.latency == link.latency && again.width == link.width);
    fail_unless(again.default_stun == link.default_stun);
    fail_unless(again.stun_servers == link.stun_servers);
    fail_unless(again.default_turn == link.default_turn);
    fail_unless(again.relay_only == link.relay_only &&
                again.allow_plain == link.allow_plain);
  }
}
GST_END_TEST

GST_START_TEST(test_link_uri_has_no_secrets) {
  const Link link =
      parse("https://vdo.ninja/?view=A&password=classified&turn=u;topsecret;turn:t:1");
  assert_text(link_to_uri(link), "vdoninja://vdo.ninja/?view=A");
  assert_text(link_to_uri(Link()), "vdoninja://vdo.ninja/");
}
GST_END_TEST

GST_START_TEST(test_link_hostile_mutations) {
  GST_INFO("seed %u", kSeed);
  std::mt19937 random(kSeed);
  const std::string start =
      "vdoninja://h.example:1/"
      "r?view=a:s,b&password=%25x&vb=1,2&turn=u;p;turn:h:1&stun=s&s=5";
  const std::string pieces[] = {"?", "&",           "=", "%",     "%00",      ":",
                                "/", ";",           ",", "@",     "[",        "\xff",
                                "-", "99999999999", "#", "view=", "password="};
  for (int round = 0; round < 5000; round++) {
    std::string text = start;
    for (unsigned i = random() % 6 + 1; i; i--)
      text.replace(random() % text.size(), random() % 6,
                   pieces[random() % std::size(pieces)]);
    if (const auto link = parse_link(text, nullptr)) {
      const std::string uri = link_to_uri(*link);
      fail_unless(g_utf8_validate(uri.c_str(), -1, nullptr));
      if (!link->streams.empty() || !link->room.empty())
        assert_text(link_to_uri(parse(uri)), uri);
    }
  }
}
GST_END_TEST

static Suite *link_suite(void) {
  Suite *s = suite_create("link");
  TCase *tc = tcase_create("link");
  suite_add_tcase(s, tc);
  tcase_add_test(tc, test_link_vectors);
  tcase_add_test(tc, test_link_locations);
  tcase_add_test(tc, test_link_malformed);
  tcase_add_test(tc, test_link_error_does_not_repeat_the_password);
  tcase_add_test(tc, test_link_percent_decoding);
  tcase_add_test(tc, test_link_passwords_and_aliases);
  tcase_add_test(tc, test_link_streams);
  tcase_add_test(tc, test_link_servers);
  tcase_add_test(tc, test_link_roles);
  tcase_add_test(tc, test_link_media);
  tcase_add_test(tc, test_link_transport);
  tcase_add_test(tc, test_link_unsupported_is_reported_once);
  tcase_add_test(tc, test_link_uri_round_trips);
  tcase_add_test(tc, test_link_uri_has_no_secrets);
  tcase_add_test(tc, test_link_hostile_mutations);
  return s;
}

GST_CHECK_MAIN(link)
