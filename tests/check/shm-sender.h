// SPDX-License-Identifier: LGPL-2.1-or-later
// For the tests of shmnumpysrc: our own writer at the other end, and the element in a
// harness with the system's clock.
#pragma once

#include <memory>
#include <string>

#include "shm-support.h"
#include "shm-writer.h"

#include <gst/check/gstcheck.h>
#include <gst/check/gstharness.h>

namespace shmtest {

// Writes frames of one value. Small ones fit from the start: who reads the segment would
// have to follow to a larger one, and finds none if the writer has stopped meanwhile.
class Sender {
public:
  explicit Sender(const Name &name) {
    vdn::shm::Config config;
    config.name = name.text;
    config.legacy = vdn::shm::LegacyMode::Never;
    vdn::shm::Error error;
    writer = vdn::shm::Writer::start(config, {}, &error);
    fail_unless(writer != nullptr, "%s", error.message.c_str());
    fail_unless(writer->fit(4096, &error), "%s", error.message.c_str());
  }
  void send(const shmnumpy_slot &frame, int value = 1) {
    vdn::shm::Error error;
    fail_unless(writer->fit(frame.data_bytes, &error), "%s", error.message.c_str());
    const vdn::shm::Slot slot = writer->acquire(vdn::shm::Ring::Use::Sink);
    fail_unless(static_cast<bool>(slot));
    memset(slot.pixels(), value, frame.data_bytes);
    fail_unless(writer->publish(slot.pixels(), frame) ==
                vdn::shm::Writer::Outcome::Published);
  }

  std::unique_ptr<vdn::shm::Writer> writer;
};

// shmnumpysrc, playing.
class Source {
public:
  explicit Source(const std::string &name, const std::string &more = "",
                  const char *caps = nullptr)
      : harness(gst_harness_new_parse(
            ("shmnumpysrc shm-name=" + name + " " + more).c_str())) {
    element = gst_harness_find_element(harness, "shmnumpysrc");
    bus = gst_bus_new();
    gst_element_set_bus(element, bus);
    if (caps)
      gst_harness_set_sink_caps_str(harness, caps);
    gst_harness_use_systemclock(harness);
    GstClock *clock = gst_system_clock_obtain();
    base_time = gst_clock_get_time(clock);
    gst_object_unref(clock);
    gst_element_set_base_time(harness->element, base_time); // the bin around it
    gst_harness_play(harness);
  }
  Source(const Source &) = delete;
  Source &operator=(const Source &) = delete;
  ~Source() {
    gst_element_set_state(element, GST_STATE_NULL);
    gst_element_set_bus(element, nullptr);
    gst_object_unref(bus);
    gst_object_unref(element);
    gst_harness_teardown(harness);
  }

  // The next buffer; the caller unrefs it.
  GstBuffer *pull() {
    GstBuffer *buffer = gst_harness_pull(harness);
    fail_unless(buffer != nullptr, "no frame in state %s", state().c_str());
    // Before it is due, one that is due earlier would be left out.
    const GstClockTime next =
        gst_element_get_base_time(element) + GST_BUFFER_PTS(buffer) + GST_MSECOND;
    fail_unless(wait_until([&] { return vdn::shm::monotonic_ns() > next; }));
    return buffer;
  }
  // The first event of that type, or null in the end; the caller unrefs it.
  GstEvent *event(GstEventType type) {
    GstEvent *found = nullptr;
    wait_until([&] {
      while ((found = gst_harness_try_pull_event(harness)) &&
             GST_EVENT_TYPE(found) != type)
        gst_event_unref(found);
      return found != nullptr;
    });
    return found;
  }
  std::string state() {
    gint state = 0;
    g_object_get(element, "state", &state, nullptr);
    GParamSpec *spec = g_object_class_find_property(G_OBJECT_GET_CLASS(element), "state");
    const std::string text =
        g_enum_get_value(G_PARAM_SPEC_ENUM(spec)->enum_class, state)->value_nick;
    return text;
  }
  guint64 counted(const char *what) {
    GstStructure *stats = nullptr;
    g_object_get(element, "stats", &stats, nullptr);
    guint64 count = 0;
    fail_unless(gst_structure_get_uint64(stats, what, &count));
    gst_structure_free(stats);
    return count;
  }
  // The text of the error that ends the stream.
  std::string error() {
    GstMessage *message = gst_bus_timed_pop_filtered(
        bus, vdn::time_factor() * 20 * GST_SECOND, GST_MESSAGE_ERROR);
    fail_unless(message != nullptr, "no error in state %s", state().c_str());
    GError *error = nullptr;
    gst_message_parse_error(message, &error, nullptr);
    const std::string text = error->message;
    g_error_free(error);
    gst_message_unref(message);
    return text;
  }

  GstHarness *harness;
  GstElement *element;
  GstBus *bus;
  GstClockTime base_time;
};

inline int value_of(GstBuffer *buffer) {
  guint8 byte = 0;
  fail_unless(gst_buffer_extract(buffer, 0, &byte, 1) == 1);
  return byte;
}

} // namespace shmtest
