// SPDX-License-Identifier: LGPL-2.1-or-later
// Publishes stamped test pictures and a tone, for demo and benchmarks. Prints a line of
// JSON when it is online, one a second, one for each answer and one at the end; runs
// until SIGINT, SIGTERM or --seconds have passed. SIGUSR1 mutes and unmutes the picture,
// SIGUSR2 doubles its size and halves it again, SIGHUP reloads the page, every other time
// without a goodbye. Exit status 0 when it was online and nothing made it give up.
#include <glib-unix.h>

#include "publisher.h"

namespace {

struct Arguments {
  gchar *server = nullptr, *dialect = nullptr, *stream_id = nullptr, *room = nullptr;
  gchar *password = nullptr, *salt = nullptr, *label = nullptr, *stun = nullptr;
  gchar *codec = nullptr, *size = nullptr, *pattern = nullptr, *address = nullptr;
  gint fps = 30, bitrate = 2500, slices = 1, seconds = 0;
  gboolean insecure = FALSE, no_audio = FALSE, ticks = FALSE, channel_first = FALSE,
           null_session = FALSE, socket_signaling = FALSE;

  ~Arguments() {
    for (gchar *text : {server, dialect, stream_id, room, password, salt, label, stun,
                        codec, size, pattern, address})
      g_free(text);
  }
};

bool parse(Arguments *into, int *argc, char ***argv, GError **error) {
  const auto text = G_OPTION_ARG_STRING;
  const auto number = G_OPTION_ARG_INT;
  const auto flag = G_OPTION_ARG_NONE;
  const GOptionEntry entries[] = {
      {"server", 's', 0, text, &into->server, "Handshake server, ws:// or wss://", "URL"},
      {"dialect", 'd', 0, text, &into->dialect, "hosted (default) or custom", "NAME"},
      {"stream-id", 'i', 0, text, &into->stream_id, "Id to publish under", "ID"},
      {"room", 'r', 0, text, &into->room, "Room to join", "NAME"},
      {"password", 0, 0, text, &into->password,
       "Password; `off` for none, VDO.Ninja's own when not given", "TEXT"},
      {"salt", 0, 0, text, &into->salt, "Salt (vdo.ninja)", "TEXT"},
      {"label", 0, 0, text, &into->label, "Name to show", "TEXT"},
      {"stun-server", 0, 0, text, &into->stun, "stun://host:port", "URL"},
      {"local-address", 0, 0, text, &into->address, "The only one to send from", "IP"},
      {"codec", 'c', 0, text, &into->codec,
       "vp8 (default), vp9, h264 (x264), openh264, h265; several: the viewer chooses",
       "NAME,..."},
      {"size", 0, 0, text, &into->size, "Picture size (1280x720)", "WxH"},
      {"fps", 0, 0, number, &into->fps, "Frames a second (30)", "N"},
      {"bitrate", 0, 0, number, &into->bitrate, "Video bitrate in kbit/s (2500)", "N"},
      {"slices", 0, 0, number, &into->slices, "H.264 slices per frame (1)", "N"},
      {"pattern", 0, 0, text, &into->pattern, "Of videotestsrc (smpte)", "NAME"},
      {"no-audio", 0, 0, flag, &into->no_audio, "Video only", nullptr},
      {"ticks", 0, 0, flag, &into->ticks, "Sound is a tick each full second", nullptr},
      {"channel-first", 0, 0, flag, &into->channel_first,
       "First offer without media, as web clients", nullptr},
      {"null-session", 0, 0, flag, &into->null_session, "No session ids", nullptr},
      {"socket-signaling", 0, 0, flag, &into->socket_signaling,
       "Offers and candidates never take the data channel", nullptr},
      {"insecure", 0, 0, flag, &into->insecure, "Take any TLS certificate", nullptr},
      {"seconds", 0, 0, number, &into->seconds, "Stop after this time (0: never)", "N"},
      {nullptr, 0, 0, flag, nullptr, nullptr, nullptr}};
  GOptionContext *context = g_option_context_new("- VDO.Ninja test publisher");
  g_option_context_add_main_entries(context, entries, nullptr);
  const bool parsed = g_option_context_parse(context, argc, argv, error);
  g_option_context_free(context);
  return parsed;
}

bool refuse(GError **error, const char *what) {
  g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, what);
  return false;
}

// The first is the picture, the others are alternatives.
bool parse_codecs(const char *text, vdn::PublisherConfig *config) {
  gchar **names = g_strsplit(text, ",", -1);
  bool known = *names != nullptr;
  for (gchar **name = names; *name && known; name++) {
    vdn::Codec codec;
    known = vdn::parse_codec(*name, &codec) && codec != vdn::Codec::kOpus;
    if (known && name == names)
      config->video.codec = codec;
    else if (known)
      config->alternatives.push_back(codec);
  }
  g_strfreev(names);
  return known;
}

bool make_config(const Arguments &from, vdn::PublisherConfig *config, GError **error) {
  const std::string dialect = from.dialect ? from.dialect : "hosted";
  if (!vdn::check_server_url(from.server, nullptr, error))
    return false;
  if (!from.stream_id || !*from.stream_id)
    return refuse(error, "--stream-id is missing");
  if (dialect != "hosted" && dialect != "custom")
    return refuse(error, "--dialect is hosted or custom");
  if (from.codec && !parse_codecs(from.codec, config))
    return refuse(error,
                  "--codec is vp8, vp9, h264, openh264 or h265, or several of them");
  if (sscanf(from.size ? from.size : "1280x720", "%dx%d", &config->video.width,
             &config->video.height) != 2 ||
      config->video.width < 16 || config->video.height < 16)
    return refuse(error, "--size is WIDTHxHEIGHT, at least 16x16");
  if (from.fps < 1 || from.bitrate < 1 || from.slices < 1 || from.seconds < 0)
    return refuse(error, "--fps, --bitrate and --slices are positive numbers");
  const auto set = [](std::string *target, const char *value) {
    if (value)
      *target = value;
  };
  config->server = from.server;
  config->dialect = dialect == "custom" ? vdn::Dialect::kCustom : vdn::Dialect::kHosted;
  config->stream_id = from.stream_id;
  set(&config->room, from.room);
  set(&config->password, from.password);
  set(&config->salt, from.salt);
  set(&config->label, from.label);
  set(&config->stun_server, from.stun);
  set(&config->video.pattern, from.pattern);
  if (from.address)
    config->local_addresses = {from.address};
  config->video.fps = from.fps;
  config->video.kbps = from.bitrate;
  config->video.slices = from.slices;
  config->with_audio = !from.no_audio;
  config->ticks = from.ticks;
  config->channel_first = from.channel_first;
  config->null_session = from.null_session;
  config->channel_signaling = !from.socket_signaling;
  if (from.insecure)
    config->tls_flags = GTlsCertificateFlags(0);
  return true;
}

void print(const char *event, const vdn::Publisher &publisher) {
  const auto state = publisher.state();
  g_print(
      "{\"event\":\"%s\",\"online\":%s,\"viewers\":%zu,\"connected\":%u,\"sessions\":%u,"
      "\"frames\":%u}\n",
      event, state.online ? "true" : "false", state.viewers.size(), state.connected(),
      state.sessions, publisher.frames());
  fflush(stdout);
}

// Thread: the publisher's.
void print_answer(const std::string &sdp) {
  GstSDPMessage *message = nullptr;
  if (gst_sdp_message_new_from_text(sdp.c_str(), &message) != GST_SDP_OK)
    return;
  std::string codecs;
  for (const std::string &codec : vdn::answered_codecs(message))
    codecs += (codecs.empty() ? "\"" : ",\"") + codec + "\"";
  gst_sdp_message_free(message);
  g_print("{\"event\":\"answer\",\"codecs\":[%s]}\n", codecs.c_str());
  fflush(stdout);
}

int fail(GError *error, int status) {
  g_printerr("%s\n", error->message);
  g_error_free(error);
  return status;
}

gboolean quit(gpointer loop) {
  g_main_loop_quit(static_cast<GMainLoop *>(loop));
  return G_SOURCE_CONTINUE;
}

struct Run {
  vdn::Publisher *publisher;
  GMainLoop *loop;
  int seconds;
  vdn::TrackConfig video;
  bool was_online = false;
  bool muted = false;
  bool large = false;
  bool says_bye = false;
};

gboolean toggle_mute(gpointer data) {
  auto *run = static_cast<Run *>(data);
  run->muted = !run->muted;
  run->publisher->set_video_muted(run->muted);
  return G_SOURCE_CONTINUE;
}

gboolean toggle_size(gpointer data) {
  auto *run = static_cast<Run *>(data);
  run->large = !run->large;
  const int factor = run->large ? 2 : 1;
  run->publisher->set_size(factor * run->video.width, factor * run->video.height);
  return G_SOURCE_CONTINUE;
}

gboolean every_second(gpointer data) {
  auto *run = static_cast<Run *>(data);
  const auto state = run->publisher->state();
  print(state.online && !run->was_online ? "ready" : "stats", *run->publisher);
  run->was_online |= state.online;
  if (!state.error.empty() || --run->seconds == 0)
    g_main_loop_quit(run->loop);
  return G_SOURCE_CONTINUE;
}

gboolean reload(gpointer data) {
  auto *run = static_cast<Run *>(data);
  run->says_bye = !run->says_bye;
  if (!run->publisher->restart(run->says_bye, nullptr))
    g_main_loop_quit(run->loop);
  return G_SOURCE_CONTINUE;
}

} // namespace

int main(int argc, char **argv) {
  gst_init(nullptr, nullptr);
  Arguments arguments;
  vdn::PublisherConfig config;
  GError *error = nullptr;
  if (!parse(&arguments, &argc, &argv, &error) ||
      !make_config(arguments, &config, &error))
    return fail(error, 2);
  // Half a second's work for a first session: whoever is announced can serve at once.
  vdn::ObjPtr<GstElement>::adopt(gst_element_factory_make("dtlsdec", nullptr));
  const vdn::TrackConfig video = config.video;
  vdn::Publisher publisher(std::move(config));
  vdn::PublisherHooks hooks;
  hooks.answer = print_answer;
  publisher.set_hooks(hooks);
  if (!publisher.start(&error))
    return fail(error, 1);

  GMainLoop *loop = g_main_loop_new(nullptr, FALSE);
  Run run{&publisher, loop, arguments.seconds, video};
  g_unix_signal_add(SIGINT, quit, loop);
  g_unix_signal_add(SIGTERM, quit, loop);
  g_unix_signal_add(SIGHUP, reload, &run);
  g_unix_signal_add(SIGUSR1, toggle_mute, &run);
  g_unix_signal_add(SIGUSR2, toggle_size, &run);
  publisher.wait(std::chrono::seconds(3), [](const auto &state) { return state.online; });
  every_second(&run);
  g_timeout_add_seconds(1, every_second, &run);
  g_main_loop_run(loop);
  g_main_loop_unref(loop);
  publisher.stop();
  print("end", publisher);
  const std::string problem = publisher.state().error;
  if (!problem.empty())
    g_printerr("%s\n", problem.c_str());
  return run.was_online && problem.empty() ? 0 : 1;
}
