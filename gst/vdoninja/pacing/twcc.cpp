// SPDX-License-Identifier: LGPL-2.1-or-later
#include "twcc.h"

namespace vdn {

namespace {

int64_t as_us(guint64 ns) {
  return static_cast<int64_t>(ns / GST_USECOND);
}

SentPacket read_packet(const GstStructure *from, const PayloadTypes &repeats) {
  SentPacket packet;
  guint number = 0, size = 0;
  guint64 sent = GST_CLOCK_TIME_NONE, received = GST_CLOCK_TIME_NONE;
  gboolean lost = FALSE;
  gst_structure_get_uint(from, "seqnum", &number);
  gst_structure_get_uint(from, "size", &size);
  gst_structure_get_uint64(from, "local-ts", &sent);
  gst_structure_get_uint64(from, "remote-ts", &received);
  gst_structure_get_boolean(from, "lost", &lost);
  const GValue *type = gst_structure_get_value(from, "payload-type");
  packet.number = static_cast<uint16_t>(number);
  packet.lost = lost || !GST_CLOCK_TIME_IS_VALID(received);
  packet.repeat =
      type && G_VALUE_HOLDS_UCHAR(type) && repeats[g_value_get_uchar(type) & 0x7f];
  if (!packet.lost)
    packet.received_us = as_us(received);
  if (GST_CLOCK_TIME_IS_VALID(sent)) {
    packet.sent_us = as_us(sent);
    packet.size = size;
  }
  return packet;
}

} // namespace

G_GNUC_BEGIN_IGNORE_DEPRECATIONS // GValueArray is what rtpsession uses

    bool
    read_feedback(const GstStructure *structure, const PayloadTypes &repeats,
                  std::vector<SentPacket> *packets) {
  packets->clear();
  if (!structure || !gst_structure_has_name(structure, "RTPTWCCPackets"))
    return false;
  const GValue *list = gst_structure_get_value(structure, "packets");
  if (!list || !G_VALUE_HOLDS(list, g_value_array_get_type()))
    return false;
  const auto *array = static_cast<const GValueArray *>(g_value_get_boxed(list));
  for (guint i = 0; array && i < array->n_values; i++)
    if (GST_VALUE_HOLDS_STRUCTURE(&array->values[i]))
      packets->push_back(
          read_packet(gst_value_get_structure(&array->values[i]), repeats));
  return true;
}

G_GNUC_END_IGNORE_DEPRECATIONS

} // namespace vdn
