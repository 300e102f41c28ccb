// SPDX-License-Identifier: LGPL-2.1-or-later
// Who is linked decides what flows: the form of the output and the codecs to ask for.
#include <algorithm>

#include <gst/pbutils/pbutils.h>

#include "output.h"
#include "outputs.h"

GST_DEBUG_CATEGORY(vdoninja_pads_debug);
#define GST_CAT_DEFAULT vdoninja_pads_debug

namespace vdn {

namespace {

Form form_of(const GstStructure *s) {
  if (gst_structure_has_name(s, "application/x-rtp"))
    return Form::kRtp;
  return gst_structure_has_name(s, "video/x-raw") ||
                 gst_structure_has_name(s, "audio/x-raw")
             ? Form::kRaw
             : Form::kEncoded;
}

// The part of `caps` that has the form `choice`.
CapsPtr only(GstCaps *caps, FormChoice choice) {
  static const Form forms[] = {Form::kRaw, Form::kRaw, Form::kEncoded, Form::kRtp};
  CapsPtr result(gst_caps_new_empty());
  for (guint i = 0; i < gst_caps_get_size(caps); i++) {
    const GstStructure *s = gst_caps_get_structure(caps, i);
    if (choice == FormChoice::kAuto || form_of(s) == forms[static_cast<int>(choice)])
      gst_caps_append_structure_full(
          result.get(), gst_structure_copy(s),
          gst_caps_features_copy(gst_caps_get_features(caps, i)));
  }
  return result;
}

void add(std::vector<std::string> &names, const std::string &name) {
  if (std::find(names.begin(), names.end(), name) == names.end())
    names.push_back(name);
}

// The encodings that one structure stands for; empty: any.
std::vector<std::string> encodings_of(const GstStructure *s) {
  std::vector<std::string> names;
  if (form_of(s) == Form::kEncoded) {
    for (const auto &codec : known_codecs()) {
      CapsPtr caps(gst_caps_from_string(codec.caps));
      if (gst_structure_has_name(
              s, gst_structure_get_name(gst_caps_get_structure(caps.get(), 0))))
        add(names, codec.encoding);
    }
    return names;
  }
  const GValue *value = gst_structure_get_value(s, "encoding-name");
  if (value && G_VALUE_HOLDS_STRING(value))
    add(names, StrPtr(g_ascii_strup(g_value_get_string(value), -1)).get());
  for (guint i = 0;
       value && GST_VALUE_HOLDS_LIST(value) && i < gst_value_list_get_size(value); i++) {
    const char *name = g_value_get_string(gst_value_list_get_value(value, i));
    add(names, StrPtr(g_ascii_strup(name ? name : "", -1)).get());
  }
  return names;
}

std::string join(const std::vector<std::string> &names) {
  std::string text;
  for (const auto &name : names)
    text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "none" : text;
}

std::string text_of(const CapsPtr &caps) {
  return caps ? StrPtr(gst_caps_to_string(caps.get())).get() : "nothing";
}

} // namespace

void pads_debug_init() {
  gst_pb_utils_init();
  GST_DEBUG_CATEGORY_INIT(vdoninja_pads_debug, "vdoninja-pads", 0,
                          "VDO.Ninja output pads");
}

void Outputs::probe_peer(Output &output) {
  static const Form forms[] = {Form::kRaw, Form::kRaw, Form::kEncoded, Form::kRtp};
  output.form = forms[static_cast<int>(config_.form)];
  output.wanted.clear();
  output.peer_caps.reset();
  if (!gst_pad_is_linked(output.pad.get()))
    return;
  CapsPtr all(gst_pad_get_pad_template_caps(output.pad.get()));
  CapsPtr filter = only(all.get(), config_.form);
  output.peer_caps.reset(gst_pad_peer_query_caps(output.pad.get(), filter.get()));
  if (gst_caps_is_empty(output.peer_caps.get()))
    return;
  output.form = form_of(gst_caps_get_structure(output.peer_caps.get(), 0));
  if (output.form == Form::kRaw)
    return;
  for (guint i = 0; i < gst_caps_get_size(output.peer_caps.get()); i++) {
    const GstStructure *s = gst_caps_get_structure(output.peer_caps.get(), i);
    if (form_of(s) != output.form)
      continue;
    auto names = encodings_of(s);
    if (names.empty()) {
      output.wanted.clear(); // any RTP will do
      return;
    }
    for (const auto &name : names)
      add(output.wanted, name);
  }
}

// The encodings to ask the publisher for, best first: the user's order, then
// downstream's, then ours; only what can be delivered.
std::vector<std::string> Outputs::acceptable(Output &output) {
  probe_peer(output);
  bool video = output.kind == MediaKind::kVideo;
  std::vector<std::string> order =
      video ? config_.video_codecs : std::vector<std::string>();
  if (order.empty())
    order = output.wanted;
  if (order.empty())
    for (const auto &codec : known_codecs())
      if (codec.kind == output.kind)
        order.push_back(codec.encoding);
  std::vector<std::string> result;
  for (const auto &name : order) {
    const Codec *codec = find_codec(name);
    std::string missing;
    if (codec && codec->kind == output.kind && output.takes(name) &&
        can_deliver(*codec, output.form, &missing))
      result.push_back(name);
  }
  return result;
}

void Outputs::report_no_codec(const MediaLine &line, Output &output) {
  std::vector<std::string> offered;
  std::string missing;
  for (const auto &format : line.formats) {
    add(offered, format.encoding);
    const Codec *codec = find_codec(format.encoding);
    std::string reason;
    if (missing.empty() && codec && output.takes(format.encoding) &&
        !can_deliver(*codec, output.form, &reason)) {
      missing = reason;
      gst_element_post_message(element_,
                               missing_plugin_message(element_, *codec, output.form));
    }
  }
  std::string text = std::string("no usable codec for ") +
                     GST_PAD_NAME(output.pad.get()) + ": the publisher offers " +
                     join(offered);
  if (!missing.empty())
    text += "; " + missing;
  else if (output.peer_caps)
    text += ", downstream takes " + text_of(output.peer_caps);
  if (output.kind == MediaKind::kVideo && !config_.video_codecs.empty())
    text += ", video-codecs allows " + join(config_.video_codecs);
  // A pad that nobody linked may lack its decoder.
  bool fatal = gst_pad_is_linked(output.pad.get());
  report(missing.empty() ? GST_STREAM_ERROR : GST_CORE_ERROR,
         missing.empty() ? int(GST_STREAM_ERROR_CODEC_NOT_FOUND)
                         : int(GST_CORE_ERROR_MISSING_PLUGIN),
         text, fatal);
}

void Outputs::report_refused(Output &output, GstFlowReturn flow, const CapsPtr &given,
                             const CapsPtr &taken) {
  std::string text = std::string("downstream of ") + GST_PAD_NAME(output.pad.get()) +
                     " refuses the stream (" + gst_flow_get_name(flow) + "): it takes " +
                     text_of(taken) + ", it was given " + text_of(given);
  bool negotiated = flow != GST_FLOW_NOT_NEGOTIATED;
  if (!negotiated && output.form == Form::kRaw)
    text += output.kind == MediaKind::kVideo
                ? "; put videoconvert in between"
                : "; put audioconvert ! audioresample in between";
  // Whoever answers with an error has posted its own, and may be replaced.
  report(GST_STREAM_ERROR,
         negotiated ? int(GST_STREAM_ERROR_FAILED) : int(GST_STREAM_ERROR_FORMAT), text,
         flow != GST_FLOW_ERROR);
}

} // namespace vdn
