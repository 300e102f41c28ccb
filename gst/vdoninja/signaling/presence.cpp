// SPDX-License-Identifier: LGPL-2.1-or-later
#include "presence.h"

#include <utility>

#include "random-id.h"

namespace vdn {

namespace {

constexpr unsigned kListingTimeoutMs = 10000;
constexpr unsigned kSpontaneousOffersMs = 1500;
// A socket that lived this long starts again at the shortest back-off.
constexpr gint64 kSettledUs = 60 * G_USEC_PER_SEC;
// A new identity at most this often.
constexpr gint64 kRenewGapUs = 5 * G_USEC_PER_SEC;

} // namespace

Presence::Presence(Loop &loop, PresenceConfig config, const Secret &secret,
                   PresenceObserver &observer)
    : loop_(loop), config_(std::move(config)), secret_(secret), observer_(observer),
      reopen_(loop), enter_(loop) {
  me_.dialect = config_.dialect;
  if (!config_.room.empty())
    me_.wire_room = secret_.wire_room(config_.room, config_.room_token);
}

Presence::~Presence() = default;

// Each connection is a new client to the server: custom servers take the id from us.
void Presence::open() {
  rest();
  me_.self = me_.dialect == Dialect::kCustom ? random_id(20) : std::string();
  SignalingConfig config = config_.signaling;
  if (!config_.fallback_url.empty() && attempts_ % 2)
    config.url = config_.fallback_url;
  signaling_ = std::make_unique<Signaling>(
      loop_, config,
      Signaling::Callbacks{[this] { opened(); },
                           [this](std::string_view text) { handle(text); },
                           [this](const GError *error) { lost(error); }});
  observer_.socket_changed();
  signaling_->open();
}

void Presence::rest() {
  reopen_.stop();
  enter_.stop();
}

bool Presence::send(const std::string &text) {
  return signaling_ && signaling_->send(text);
}

void Presence::opened() {
  opened_at_ = g_get_monotonic_time();
  told_.clear();
  observer_.socket_changed();
  observer_.socket_opened();
}

void Presence::lost(const GError *error) {
  if (opened_at_ && g_get_monotonic_time() - opened_at_ > kSettledUs)
    attempts_ = 0;
  opened_at_ = 0;
  const unsigned delay = reconnect_delay_ms(attempts_++, g_random_double());
  StrPtr text(
      g_strdup_printf("%s (trying again in %.1f s)", error->message, delay / 1000.0));
  reopen_.start(delay, [this] { open(); });
  observer_.socket_changed();
  if (std::exchange(told_, error->message) != error->message)
    observer_.socket_failed(text.get());
}

void Presence::hurry() {
  if (!reopen_.active())
    return;
  attempts_ = 0;
  reopen_.start(0, [this] { open(); });
}

bool Presence::renew_identity() {
  const gint64 now = g_get_monotonic_time();
  if (!is_open() || now - renewed_at_ < kRenewGapUs)
    return false;
  renewed_at_ = now;
  reopen_.start(0, [this] { open(); });
  return true;
}

void Presence::enter() {
  if (config_.room.empty()) {
    observer_.entered();
    return;
  }
  send(encode_join(me_, me_.wire_room, config_.wire_id));
  // A hosted server answers with a listing; on a custom one whoever is there offers.
  const unsigned wait =
      me_.dialect == Dialect::kHosted ? kListingTimeoutMs : kSpontaneousOffersMs;
  enter_.start(wait, [this] { observer_.entered(); });
}

void Presence::handle(std::string_view text) {
  GError *raw = nullptr;
  auto message = parse_message(text, &me_, secret_, &raw);
  const ErrorPtr error(raw);
  if (!message) {
    observer_.message_ignored(error->message);
    if (error->code == MESSAGE_ERROR_PASSWORD && undecryptable_++ == 0)
      observer_.undecryptable(std::string("a message cannot be decrypted: ") +
                              error->message + "; check password and salt");
    return;
  }
  if (is_for_us(*message, me_))
    dispatch(*message);
}

// A server that only relays says little, and nothing that a client could not say there:
// that is a message like others. On a hosted server what has a sender is a client's.
void Presence::dispatch(const Message &message) {
  const std::string &request = message.request;
  if (message.ping && message.peer.empty())
    send(encode_pong(*message.ping));
  const bool is_alert = request == "alert" || request == "error" || request == "warn";
  if (is_alert && me_.dialect == Dialect::kHosted) {
    if (message.peer.empty())
      observer_.alerted(request == "warn" ? Alert::kNote : classify_alert(message.text),
                        message.text);
    return;
  }
  const bool is_listing = message.has_members && !message.bye;
  if (is_listing)
    enter_.stop();
  observer_.received(message);
  if (is_listing)
    observer_.entered();
}

} // namespace vdn
