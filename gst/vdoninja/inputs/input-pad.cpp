// SPDX-License-Identifier: LGPL-2.1-or-later
#include "input-pad.h"

#include <string>

#include "encoding.h"

namespace vdn {

namespace {

// Last, so that nobody chooses it who could send anything else; it is refused with a
// sentence that helps, which a link that fails does not have.
constexpr const char *kJpeg = "image/jpeg";

const InputPadFunctions &functions_of(GstPad *pad) {
  return *static_cast<const InputPadFunctions *>(pad->chaindata);
}

GstFlowReturn chain(GstPad *pad, GstObject *parent, GstBuffer *buffer) {
  return functions_of(pad).chain(pad, parent, buffer);
}

GstFlowReturn chain_list(GstPad *pad, GstObject *parent, GstBufferList *list) {
  GstFlowReturn flow = GST_FLOW_OK;
  for (guint i = 0; i < gst_buffer_list_length(list) && flow == GST_FLOW_OK; i++)
    flow = chain(pad, parent, gst_buffer_ref(gst_buffer_list_get(list, i)));
  gst_buffer_list_unref(list);
  return flow;
}

gboolean event(GstPad *pad, GstObject *parent, GstEvent *event) {
  return functions_of(pad).event(pad, parent, event);
}

GstCaps *answer_caps(bool video, GstCaps *filter) {
  CapsPtr all(input_pad_caps(video));
  if (!filter)
    return all.release();
  CapsPtr fitting(gst_caps_intersect_full(filter, all.get(), GST_CAPS_INTERSECT_FIRST));
  CapsPtr better(gst_caps_copy(fitting.get()));
  for (guint i = gst_caps_get_size(better.get()); i-- > 0;)
    if (gst_structure_has_name(gst_caps_get_structure(better.get(), i), kJpeg))
      gst_caps_remove_structure(better.get(), i);
  return gst_caps_is_empty(better.get()) ? fitting.release() : better.release();
}

gboolean query(GstPad *pad, GstObject *parent, GstQuery *query) {
  const bool video = functions_of(pad).video;
  if (GST_QUERY_TYPE(query) == GST_QUERY_CAPS) {
    GstCaps *filter = nullptr;
    gst_query_parse_caps(query, &filter);
    const CapsPtr caps(answer_caps(video, filter));
    gst_query_set_caps_result(query, caps.get());
    return TRUE;
  }
  if (GST_QUERY_TYPE(query) == GST_QUERY_ACCEPT_CAPS) {
    GstCaps *caps = nullptr;
    gst_query_parse_accept_caps(query, &caps);
    const CapsPtr all(input_pad_caps(video));
    gst_query_set_accept_caps_result(query, gst_caps_can_intersect(caps, all.get()));
    return TRUE;
  }
  return gst_pad_query_default(pad, parent, query);
}

// A source that negotiates again may stop for that; nothing here asks for it.
GstPadProbeReturn drop_reconfigure(GstPad *, GstPadProbeInfo *info, gpointer) {
  return GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_RECONFIGURE
             ? GST_PAD_PROBE_DROP
             : GST_PAD_PROBE_OK;
}

} // namespace

GstCaps *input_pad_caps(bool video) {
  std::string text = video ? "video/x-raw,format=(string){I420,NV12};video/x-raw;"
                             "video/x-raw(ANY)"
                           : "audio/x-raw";
  for (const auto &facts : known_encodings())
    if (facts.video == video && can_send(facts.encoding))
      text += std::string(";") + facts.media_type;
  if (video)
    text += std::string(";") + kJpeg;
  return gst_caps_from_string(text.c_str());
}

GstPad *input_pad_new(InputPadFunctions functions) {
  GstPad *pad = gst_ghost_pad_new_no_target("sink", GST_PAD_SINK);
  gst_pad_set_chain_function_full(
      pad, chain, new InputPadFunctions(std::move(functions)),
      [](gpointer data) { delete static_cast<InputPadFunctions *>(data); });
  gst_pad_set_chain_list_function(pad, chain_list);
  gst_pad_set_event_function(pad, event);
  gst_pad_set_query_function(pad, query);
  gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_EVENT_UPSTREAM, drop_reconfigure, nullptr,
                    nullptr);
  return pad;
}

} // namespace vdn
