// SPDX-License-Identifier: LGPL-2.1-or-later
// How a connection finds its way: servers, addresses, candidates.
#include "connection.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>

#include <algorithm>

GST_DEBUG_CATEGORY_EXTERN(vdoninja_session_debug);
#define GST_CAT_DEFAULT vdoninja_session_debug

namespace vdn {

namespace {

constexpr unsigned kFirstBundleMs = 70;
constexpr unsigned kBundleMs = 250;

// All addresses of this machine at this moment; link-local ones of IPv6 are of no use
// without their interface.
std::vector<std::string> local_addresses(bool with_loopback) {
  std::vector<std::string> addresses;
  ifaddrs *list = nullptr;
  if (getifaddrs(&list) != 0)
    return addresses;
  for (ifaddrs *at = list; at; at = at->ifa_next) {
    const int family = at->ifa_addr ? at->ifa_addr->sa_family : AF_UNSPEC;
    if (!(at->ifa_flags & IFF_UP) || (family != AF_INET && family != AF_INET6) ||
        (!with_loopback && at->ifa_flags & IFF_LOOPBACK))
      continue;
    char text[NI_MAXHOST];
    const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (getnameinfo(at->ifa_addr, size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) ==
            0 &&
        !strchr(text, '%'))
      addresses.emplace_back(text);
  }
  freeifaddrs(list);
  return addresses;
}

} // namespace

bool Connection::gathers_ipv4(bool on_loopback) {
  const auto addresses = local_addresses(on_loopback);
  return std::any_of(addresses.begin(), addresses.end(), [](const auto &address) {
    return address.find(':') == std::string::npos;
  });
}

void Connection::set_up_ice() {
  if (!config_.stun_server.empty())
    g_object_set(webrtc_.get(), "stun-server", config_.stun_server.c_str(), nullptr);
  if (config_.relay_only)
    gst_util_set_object_arg(G_OBJECT(webrtc_.get()), "ice-transport-policy", "relay");
  for (const auto &server : config_.turn_servers) {
    gboolean added = FALSE;
    g_signal_emit_by_name(webrtc_.get(), "add-turn-server", server.c_str(), &added);
    if (!added)
      GST_WARNING_OBJECT(webrtc_.get(), "a TURN server was not accepted");
  }
  ObjPtr<GObject> ice;
  g_object_get(webrtc_.get(), "ice-agent", ice.out(), nullptr);
  // Of now, as the network may have come after us and changes.
  if (config_.gather_on_loopback)
    for (const auto &address : local_addresses(true)) {
      gboolean added = FALSE;
      g_signal_emit_by_name(ice.get(), "add-local-ip-address", address.c_str(), &added);
    }
  // libnice looks for a UPnP router unless told not to: multicast on networks that are
  // not ours, and a leak in gssdp.
  if (g_object_class_find_property(G_OBJECT_GET_CLASS(ice.get()), "agent")) {
    ObjPtr<GObject> agent;
    g_object_get(ice.get(), "agent", agent.out(), nullptr);
    if (agent && g_object_class_find_property(G_OBJECT_GET_CLASS(agent.get()), "upnp"))
      g_object_set(agent.get(), "upnp", FALSE, nullptr);
  }
}

bool Connection::reached() const {
  GstWebRTCICEConnectionState state;
  g_object_get(webrtc_.get(), "ice-connection-state", &state, nullptr);
  return state == GST_WEBRTC_ICE_CONNECTION_STATE_CONNECTED ||
         state == GST_WEBRTC_ICE_CONNECTION_STATE_COMPLETED;
}

void Connection::handle_candidates(const Message &message, bool over_channel) {
  if (closed_)
    return;
  if (message.session && config_.id && *message.session != *config_.id)
    return; // of an earlier connection
  // Whoever encrypts descriptions encrypts these, too.
  if (!message.encrypted && !over_channel && encrypt_)
    return;
  for (const auto &candidate : message.candidates) {
    if (++candidates_seen_ > kMaxCandidates) {
      if (candidates_seen_ == kMaxCandidates + 1)
        GST_WARNING_OBJECT(webrtc_.get(), "more than %zu candidates, ignoring the rest",
                           kMaxCandidates);
      return;
    }
    if (remote_set_)
      add_candidate(candidate);
    else
      remote_candidates_.push_back(candidate);
  }
}

// webrtcbin (to 1.26) would look names up itself, and who stops before there is an answer
// leaks libnice's agent with its sockets: gstwebrtcnice's add_candidate() gives the
// search a reference, and nobody runs the context any longer in which it would be
// released.
void Connection::add_candidate(const Candidate &candidate) {
  const std::string name(hidden_address(candidate.text));
  if (name.empty()) {
    give_candidate(candidate.text);
    return;
  }
  struct Search {
    std::weak_ptr<Connection> connection;
    std::string text, name;
  };
  auto resolver = ObjPtr<GResolver>::adopt(g_resolver_get_default());
  g_resolver_lookup_by_name_async(
      resolver.get(), name.c_str(), lookups_.get(),
      [](GObject *source, GAsyncResult *result, gpointer data) {
        std::unique_ptr<Search> search(static_cast<Search *>(data));
        GList *found =
            g_resolver_lookup_by_name_finish(G_RESOLVER(source), result, nullptr);
        auto self = search->connection.lock();
        if (found && self && !self->closed_) {
          StrPtr address(g_inet_address_to_string(G_INET_ADDRESS(found->data)));
          std::string &text = search->text;
          text.replace(text.find(search->name), search->name.size(), address.get());
          self->give_candidate(text);
        }
        g_resolver_free_addresses(found);
      },
      new Search{weak_from_this(), candidate.text, name});
}

void Connection::remote_description_set() {
  remote_set_ = true;
  while (!remote_candidates_.empty()) {
    add_candidate(remote_candidates_.front());
    remote_candidates_.pop_front();
  }
}

void Connection::give_candidate(const std::string &text) {
  GST_LOG_OBJECT(webrtc_.get(), "remote %s", text.c_str());
  // All media is bundled onto the first m-line; 1.22 drops candidates for the others.
  g_signal_emit_by_name(webrtc_.get(), "add-ice-candidate", 0u, text.c_str());
}

// For webrtcbin it is of the first m-line, which the peer may have removed.
void Connection::local_candidate(std::string text) {
  if (text.empty() || transport_.mid.empty())
    return;
  relayed_ |= text.find(" typ relay") != std::string::npos;
  local_candidates_.push_back(
      {std::move(text), transport_.mid, static_cast<int>(transport_.mline)});
  if (!bundle_timer_.active())
    bundle_timer_.start(first_bundle_ ? kFirstBundleMs : kBundleMs,
                        [this] { flush_candidates(); });
}

// Nothing more to bundle with, once our description is out.
void Connection::gathering_changed() {
  GstWebRTCICEGatheringState state;
  g_object_get(webrtc_.get(), "ice-gathering-state", &state, nullptr);
  if (state != GST_WEBRTC_ICE_GATHERING_STATE_COMPLETE)
    return;
  gathered(relayed_);
  if (!closed_ && !negotiating_) {
    bundle_timer_.stop();
    flush_candidates();
  }
}

void Connection::flush_candidates() {
  first_bundle_ = false;
  if (local_candidates_.empty())
    return;
  bool over_channel = channel_ready_ && config_.id;
  for (size_t at = 0; at < local_candidates_.size(); at += kCandidatesPerMessage) {
    auto from = local_candidates_.begin() + at;
    auto to = from + std::min(kCandidatesPerMessage, local_candidates_.size() - at);
    Envelope where = envelope();
    if (over_channel)
      where.me = nullptr;
    send_signal(encode_candidates(where, {from, to}, !config_.wire_id.empty()),
                over_channel);
  }
  local_candidates_.clear();
}

} // namespace vdn
