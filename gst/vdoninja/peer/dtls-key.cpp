// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dtls-key.h"

#include "gst-ptr.h"

namespace vdn {

void make_dtls_key(GstElement *element, std::function<void()> then) {
  using Then = std::function<void()>;
  gst_element_call_async(
      element,
      [](GstElement *, gpointer data) {
        ObjPtr<GstElement>::adopt(gst_element_factory_make("dtlsdec", nullptr));
        (*static_cast<Then *>(data))();
      },
      new Then(std::move(then)), [](gpointer data) { delete static_cast<Then *>(data); });
}

} // namespace vdn
