// SPDX-License-Identifier: LGPL-2.1-or-later
#include "input-bin.h"

namespace {

struct GstVdoNinjaInput {
  GstBin parent;
  std::function<bool(GstMessage *)> *on_message;
};

struct GstVdoNinjaInputClass {
  GstBinClass parent;
};

G_DEFINE_TYPE(GstVdoNinjaInput, input_bin, GST_TYPE_BIN)

void input_bin_handle_message(GstBin *bin, GstMessage *message) {
  const auto *on_message = reinterpret_cast<GstVdoNinjaInput *>(bin)->on_message;
  if (on_message && (*on_message)(message))
    gst_message_unref(message);
  else
    GST_BIN_CLASS(input_bin_parent_class)->handle_message(bin, message);
}

void input_bin_finalize(GObject *object) {
  delete reinterpret_cast<GstVdoNinjaInput *>(object)->on_message;
  G_OBJECT_CLASS(input_bin_parent_class)->finalize(object);
}

void input_bin_class_init(GstVdoNinjaInputClass *klass) {
  G_OBJECT_CLASS(klass)->finalize = input_bin_finalize;
  GST_BIN_CLASS(klass)->handle_message = input_bin_handle_message;
  gst_element_class_set_metadata(GST_ELEMENT_CLASS(klass), "Input of vdoninjasink",
                                 "Generic/Bin/Sink", "what is behind a sink pad",
                                 "gst-vdoninja");
}

void input_bin_init(GstVdoNinjaInput *) {}

} // namespace

namespace vdn {

GstElement *input_bin_new(std::function<bool(GstMessage *)> on_message) {
  auto *bin =
      static_cast<GstVdoNinjaInput *>(g_object_new(input_bin_get_type(), nullptr));
  bin->on_message = new std::function<bool(GstMessage *)>(std::move(on_message));
  return GST_ELEMENT(bin);
}

} // namespace vdn
