// SPDX-License-Identifier: LGPL-2.1-or-later
#include "sample-sink.h"

#include <gst/app/app.h>

namespace vdn {

namespace {

struct Told {
  std::function<void(GstSample *)> on_sample;
  std::function<void()> on_eos;
};

} // namespace

GstElement *make_sample_sink(bool sync, std::function<void(GstSample *)> on_sample,
                             std::function<void()> on_eos) {
  GstElement *sink = gst_element_factory_make("appsink", nullptr);
  if (!sink)
    return nullptr;
  g_object_set(sink, "sync", gboolean(sync), "async", FALSE, "max-buffers", 1u,
               "enable-last-sample", FALSE, "wait-on-eos", FALSE, nullptr);
  GstAppSinkCallbacks callbacks{};
  callbacks.new_sample = [](GstAppSink *from, gpointer told) {
    const MiniPtr<GstSample> sample(gst_app_sink_pull_sample(from));
    if (sample)
      static_cast<Told *>(told)->on_sample(sample.get());
    return GST_FLOW_OK;
  };
  callbacks.eos = [](GstAppSink *, gpointer told) {
    static_cast<Told *>(told)->on_eos();
  };
  gst_app_sink_set_callbacks(GST_APP_SINK(sink), &callbacks,
                             new Told{std::move(on_sample), std::move(on_eos)},
                             [](gpointer told) { delete static_cast<Told *>(told); });
  return sink;
}

} // namespace vdn
