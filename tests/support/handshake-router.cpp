// SPDX-License-Identifier: LGPL-2.1-or-later
#include "handshake-router.h"

namespace vdn {

static void push(Deliveries *out, ClientId from, ClientId to, JsonObject *message) {
  out->push_back({from, to, to_json(message)});
}

static void push_alert(Deliveries *out, ClientId to, const char *text) {
  push(out, 0, to, make_object({{"request", "alert"}, {"message", text}}).get());
}

static void push_error(Deliveries *out, ClientId to, const char *text) {
  push(out, 0, to, make_object({{"error", text}}).get());
}

void HandshakeRouter::add(ClientId client) {
  Entry entry;
  entry.id = client;
  if (options_.dialect == Dialect::kHosted)
    entry.peer = StrPtr(g_uuid_string_random()).get();
  entries_[client] = entry;
}

Deliveries HandshakeRouter::remove(ClientId client) {
  Deliveries out;
  const auto found = entries_.find(client);
  if (found == entries_.end())
    return out;
  const Entry gone = found->second;
  entries_.erase(found);
  for (auto &[id, entry] : entries_) {
    const bool knew = entry.contacts.erase(client) > 0;
    const bool shared = !gone.room.empty() && entry.room == gone.room;
    if (options_.cleanup && options_.dialect == Dialect::kHosted && (knew || shared))
      push(&out, 0, id, make_object({{"request", "cleanup"}, {"UUID", gone.peer}}).get());
  }
  return out;
}

Deliveries HandshakeRouter::route(ClientId client, std::string_view text) {
  const auto found = entries_.find(client);
  const JsonObjectPtr message = parse_object(text);
  if (found == entries_.end() || !message)
    return {};
  if (options_.dialect == Dialect::kHosted)
    return route_hosted(found->second, message.get());
  return route_custom(found->second, message.get(), text);
}

std::vector<HandshakeRouter::Client> HandshakeRouter::clients() const {
  std::vector<Client> result;
  for (const auto &item : entries_)
    result.push_back(item.second);
  return result;
}

// --- custom dialect ---

Deliveries HandshakeRouter::route_custom(Entry &sender, JsonObject *message,
                                         std::string_view text) {
  Deliveries out;
  if (!options_.fan_out && !register_custom(sender, message, &out))
    return out;
  const std::string target = string_member(message, "UUID");
  const bool play = string_member(message, "request") == "play";
  const std::string stream = string_member(message, "streamID");
  for (const auto &[id, entry] : entries_) {
    if (id == sender.id)
      continue;
    const bool addressed = target.empty() || target == entry.peer;
    const bool wanted = !play || stream.empty() || stream == entry.stream;
    if (options_.fan_out || (addressed && wanted && entry.room == sender.room))
      out.push_back({sender.id, id, std::string(text)});
  }
  return out;
}

// Learns id, stream and room of the sender; false when the message is to be swallowed.
bool HandshakeRouter::register_custom(Entry &sender, JsonObject *message,
                                      Deliveries *out) {
  const std::string from = string_member(message, "from");
  if (from.empty())
    return false;
  if (sender.peer.empty()) {
    if (find_peer(from)) {
      push_error(out, sender.id, "uuid already in use");
      return false;
    }
    sender.peer = from;
  }
  const std::string request = string_member(message, "request");
  if (request == "joinroom")
    sender.room = string_member(message, "roomid");
  if (request != "joinroom" && request != "seed")
    return true;
  const std::string stream = string_member(message, "streamID");
  if (stream.empty())
    return true;
  if (!sender.stream.empty() && sender.stream != stream) {
    push_error(out, sender.id, "can't change sid");
    return false;
  }
  const Entry *owner = find_stream(stream);
  if (owner && owner != &sender) {
    push_error(out, sender.id, "sid already in use");
    return false;
  }
  sender.stream = stream;
  return true;
}

// --- hosted dialect ---

Deliveries HandshakeRouter::route_hosted(Entry &sender, JsonObject *message) {
  Deliveries out;
  const std::string request = string_member(message, "request");
  const std::string stream = string_member(message, "streamID");
  if (request == "play") {
    if (!stream.empty())
      play(sender, stream, &out);
  } else if (request == "seed") {
    if (!stream.empty())
      seed(sender, stream, &out);
  } else if (request == "joinroom") {
    join(sender, message, &out);
  } else if (request == "migrate") {
    migrate(sender, message, &out);
  } else {
    relay(sender, message, &out);
  }
  return out;
}

void HandshakeRouter::relay(Entry &sender, JsonObject *message, Deliveries *out) {
  Entry *target = find_peer(string_member(message, "UUID"));
  if (!target || target == &sender)
    return;
  sender.contacts.insert(target->id);
  target->contacts.insert(sender.id);
  json_object_set_string_member(message, "UUID", sender.peer.c_str());
  push(out, sender.id, target->id, message);
}

void HandshakeRouter::play(Entry &viewer, const std::string &stream, Deliveries *out) {
  const Entry *publisher = find_stream(stream);
  if (!publisher) {
    viewer.waiting.insert(stream);
    return;
  }
  viewer.waiting.erase(stream);
  push(out, viewer.id, publisher->id,
       make_object({{"request", "offerSDP"}, {"UUID", viewer.peer}}).get());
}

void HandshakeRouter::seed(Entry &publisher, const std::string &stream, Deliveries *out) {
  const Entry *owner = find_stream(stream);
  if (owner && owner != &publisher) {
    push_alert(out, publisher.id, "Stream ID is already in use.");
    return;
  }
  publisher.stream = stream;
  announce(publisher, "videoaddedtoroom", out);
  for (auto &item : entries_) {
    Entry &viewer = item.second;
    // Members of the room have just heard of it and ask by themselves.
    const bool told = !publisher.room.empty() && viewer.room == publisher.room;
    if (viewer.waiting.count(stream) && !told)
      play(viewer, stream, out);
  }
}

void HandshakeRouter::join(Entry &client, JsonObject *message, Deliveries *out) {
  const std::string room = string_member(message, "roomid");
  if (room.empty())
    return;
  const bool claims =
      json_object_get_boolean_member_with_default(message, "claim", FALSE);
  bool claimed = false;
  for (const auto &item : entries_)
    claimed |=
        item.second.director && item.second.room == room && item.first != client.id;
  client.director = claims && !claimed;
  if (claims && claimed)
    push_alert(out, client.id, "Room is already claimed by someone else.");
  enter(client, room, "listing", out);
  const std::string stream = string_member(message, "streamID");
  if (!stream.empty())
    seed(client, stream, out);
}

void HandshakeRouter::migrate(Entry &director, JsonObject *message, Deliveries *out) {
  Entry *target = find_peer(string_member(message, "target"));
  const std::string room = string_member(message, "roomid");
  if (director.director && target && !room.empty())
    enter(*target, room, "transferred", out);
}

// Puts `client` into `room`: it gets the list of the others, and they hear of it.
void HandshakeRouter::enter(Entry &client, const std::string &room, const char *reply,
                            Deliveries *out) {
  client.room = room;
  JsonObjectPtr answer = make_object({{"request", reply}});
  JsonArray *list = json_array_new();
  for (const auto &item : entries_) {
    const Entry &member = item.second;
    if (member.room != room)
      continue;
    if (member.director)
      json_object_set_string_member(answer.get(), "director", member.peer.c_str());
    if (member.id == client.id)
      continue;
    JsonObjectPtr about = make_object({{"UUID", member.peer}});
    if (!member.stream.empty())
      json_object_set_string_member(about.get(), "streamID", member.stream.c_str());
    json_array_add_object_element(list, about.release());
  }
  json_object_set_array_member(answer.get(), "list", list);
  push(out, 0, client.id, answer.get());
  announce(client, "someonejoined", out);
}

void HandshakeRouter::announce(const Entry &who, const char *request, Deliveries *out) {
  if (who.room.empty())
    return;
  JsonObjectPtr news = make_object({{"request", request}, {"UUID", who.peer}});
  if (!who.stream.empty())
    json_object_set_string_member(news.get(), "streamID", who.stream.c_str());
  if (who.director)
    json_object_set_boolean_member(news.get(), "director", TRUE);
  for (const auto &[id, entry] : entries_)
    if (id != who.id && entry.room == who.room)
      push(out, who.id, id, news.get());
}

HandshakeRouter::Entry *HandshakeRouter::find_peer(const std::string &peer) {
  for (auto &item : entries_)
    if (!peer.empty() && item.second.peer == peer)
      return &item.second;
  return nullptr;
}

HandshakeRouter::Entry *HandshakeRouter::find_stream(const std::string &stream) {
  for (auto &item : entries_)
    if (item.second.stream == stream)
      return &item.second;
  return nullptr;
}

} // namespace vdn
