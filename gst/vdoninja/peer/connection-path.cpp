// SPDX-License-Identifier: LGPL-2.1-or-later
// By which way packets go: webrtcbin tells by a promise, and whoever asks does not wait
// for it.
#include "connection.h"

#include <cstring>

namespace vdn {

namespace {

const GstStructure *entry(const GstStructure *stats, const char *id) {
  const GValue *value = id ? gst_structure_get_value(stats, id) : nullptr;
  return value && GST_VALUE_HOLDS_STRUCTURE(value) ? gst_value_get_structure(value)
                                                   : nullptr;
}

const GstStructure *first_transport(const GstStructure *stats) {
  for (int i = 0; i < gst_structure_n_fields(stats); i++) {
    const GstStructure *s =
        entry(stats, gst_structure_nth_field_name(stats, static_cast<guint>(i)));
    if (s && gst_structure_has_field(s, "selected-candidate-pair-id"))
      return s;
  }
  return nullptr;
}

// By their ids: 1.22 calls the local candidate remote, and the other way round.
std::string candidate_of(const GstStructure *stats, const GstStructure *pair,
                         const char *which) {
  const GstStructure *s = entry(stats, gst_structure_get_string(pair, which));
  const char *address = s ? gst_structure_get_string(s, "address") : nullptr;
  guint port = 0;
  if (!address || !gst_structure_get_uint(s, "port", &port))
    return {};
  const char *type = gst_structure_get_string(s, "candidate-type");
  const char *protocol = gst_structure_get_string(s, "protocol");
  return StrPtr(g_strdup_printf(strchr(address, ':') ? "%s %s [%s]:%u" : "%s %s %s:%u",
                                type ? type : "unknown", protocol ? protocol : "unknown",
                                address, port))
      .get();
}

} // namespace

void Connection::look_for_path() {
  if (path_promise_)
    return;
  path_promise_ = gst_promise_new_with_change_func(
      [](GstPromise *done, gpointer data) {
        const GstStructure *stats = gst_promise_wait(done) == GST_PROMISE_RESULT_REPLIED
                                        ? gst_promise_get_reply(done)
                                        : nullptr;
        const GstStructure *transport = stats ? first_transport(stats) : nullptr;
        const GstStructure *pair =
            transport
                ? entry(stats,
                        gst_structure_get_string(transport, "selected-candidate-pair-id"))
                : nullptr;
        Path path;
        if (pair) {
          path.local = candidate_of(stats, pair, "local-candidate-id");
          path.remote = candidate_of(stats, pair, "remote-candidate-id");
          path.relayed =
              path.local.rfind("relay", 0) == 0 || path.remote.rfind("relay", 0) == 0;
        }
        run_later<Connection>(*static_cast<Hook *>(data),
                              [path = std::move(path)](Connection &self) {
                                g_clear_pointer(&self.path_promise_, gst_promise_unref);
                                if (!path.local.empty())
                                  self.path_ = path;
                              });
      },
      new_hook(), Hook::free_data);
  g_signal_emit_by_name(webrtc_.get(), "get-stats", nullptr, path_promise_);
}

void Connection::add_path(GstStructure *to) {
  if (!path_.local.empty())
    gst_structure_set(to, "candidate-local", G_TYPE_STRING, path_.local.c_str(),
                      "candidate-remote", G_TYPE_STRING, path_.remote.c_str(), "relayed",
                      G_TYPE_BOOLEAN, static_cast<gboolean>(path_.relayed), nullptr);
  look_for_path();
}

} // namespace vdn
