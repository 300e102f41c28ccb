// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bus.h"

#include "gst-ptr.h"

namespace vdn {

namespace {

struct Needed {
  const char *element;
  const char *package;
};
constexpr Needed kNeeded[] = {{"webrtcbin", "gstreamer1.0-plugins-bad"},
                              {"dtlssrtpdec", "gstreamer1.0-plugins-bad"},
                              {"sctpdec", "gstreamer1.0-plugins-bad"},
                              {"srtpdec", "gstreamer1.0-plugins-bad"},
                              {"nicesrc", "gstreamer1.0-nice"},
                              {"rtpbin", "gstreamer1.0-plugins-good"}};

const char *nick(GType type, int value) {
  auto *klass = static_cast<GEnumClass *>(g_type_class_peek(type));
  return g_enum_get_value(klass, value)->value_nick;
}

} // namespace

bool check_installed(GstElement *element) {
  for (const auto &needed : kNeeded) {
    if (ObjPtr<GstElementFactory>::adopt(gst_element_factory_find(needed.element)))
      continue;
    GST_ELEMENT_ERROR(element, CORE, MISSING_PLUGIN,
                      ("Element %s is missing; install the package %s.", needed.element,
                       needed.package),
                      (nullptr));
    return false;
  }
  return true;
}

void post_problem(GstElement *element, GstMessageType type, GQuark domain, int code,
                  const std::string &text) {
  gst_element_message_full(element, type, domain, code, g_strdup(text.c_str()), nullptr,
                           __FILE__, GST_FUNCTION, __LINE__);
}

void post_news(GstElement *element, const std::string &name, GstStructure *details) {
  GstStructure *s = details ? details : gst_structure_new_empty("details");
  gst_structure_set_name(s, name.c_str());
  gst_element_post_message(element, gst_message_new_element(GST_OBJECT(element), s));
}

void post_state(GstElement *element, GType type, int before, int state) {
  post_news(element, "vdoninja/state-changed",
            gst_structure_new("details", "old", G_TYPE_STRING, nick(type, before), "new",
                              G_TYPE_STRING, nick(type, state), nullptr));
}

void post_progress(GstElement *element, GstProgressType type, const char *sentence) {
  gst_element_post_message(
      element, gst_message_new_progress(GST_OBJECT(element), type, "connect", sentence));
}

} // namespace vdn
