// SPDX-License-Identifier: LGPL-2.1-or-later
#include "stand-in-decoder.h"

#include <condition_variable>
#include <mutex>

#include "gst-ptr.h"

namespace vdn {

namespace {

using Fault = StandIn::Fault;

struct Kind {
  StandIn what;
  std::shared_ptr<StandInCounts> counts = std::make_shared<StandInCounts>();
};

struct Class {
  GstBinClass parent;
  const Kind *kind;
};

struct State {
  const Kind *kind;
  bool faulty = false;
  std::atomic<unsigned> taken{0}, withheld{0};
  int width = 0; // streaming thread
  bool resized = false;
  std::mutex mutex;
  std::condition_variable changed;
  bool stopped = false;
};

struct Instance {
  GstBin parent;
  State *state;
};

GstElementClass *parent_class(gpointer instance) {
  return static_cast<GstElementClass *>(
      g_type_class_peek_parent(G_OBJECT_GET_CLASS(instance)));
}

State &state_of(gpointer instance) {
  return *reinterpret_cast<Instance *>(instance)->state;
}

Fault fault_now(State &state) {
  const StandIn &what = state.kind->what;
  if (!what.delivers.empty())
    return Fault::kRefuse;
  if (!state.faulty)
    return Fault::kNone;
  if (state.resized && what.on_resize != Fault::kNone)
    return what.on_resize;
  return state.taken >= what.good ? what.fault : Fault::kNone;
}

GstPadProbeReturn fail_with(GstPadProbeInfo *info, GstFlowReturn flow) {
  gst_buffer_unref(GST_PAD_PROBE_INFO_BUFFER(info));
  GST_PAD_PROBE_INFO_FLOW_RETURN(info) = flow;
  return GST_PAD_PROBE_HANDLED;
}

void see_caps(State &state, GstEvent *event) {
  GstCaps *caps = nullptr;
  gst_event_parse_caps(event, &caps);
  int width = 0;
  gst_structure_get_int(gst_caps_get_structure(caps, 0), "width", &width);
  state.resized |= state.width && width != state.width;
  state.width = width;
}

// Thread: streaming, in front of the decoder.
GstPadProbeReturn on_input(GstPad *, GstPadProbeInfo *info, gpointer self) {
  State &state = state_of(self);
  if (!(info->type & GST_PAD_PROBE_TYPE_BUFFER)) {
    if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_CAPS)
      see_caps(state, GST_PAD_PROBE_INFO_EVENT(info));
    return GST_PAD_PROBE_OK;
  }
  const Fault fault = fault_now(state);
  state.taken++;
  state.kind->counts->taken++;
  switch (fault) {
  case Fault::kNone:
    return GST_PAD_PROBE_OK;
  case Fault::kStall:
    return GST_PAD_PROBE_DROP;
  case Fault::kRefuse:
    return fail_with(info, GST_FLOW_NOT_NEGOTIATED);
  case Fault::kError:
    GST_ELEMENT_ERROR(self, STREAM, DECODE, ("stand-in fails"), (nullptr));
    return fail_with(info, GST_FLOW_ERROR);
  case Fault::kBlock: {
    std::unique_lock<std::mutex> lock(state.mutex);
    state.changed.wait(lock, [&] { return state.stopped; });
    return fail_with(info, GST_FLOW_FLUSHING);
  }
  }
  return GST_PAD_PROBE_OK;
}

GstPadProbeReturn on_output(GstPad *, GstPadProbeInfo *, gpointer self) {
  State &state = state_of(self);
  return state.withheld++ < state.kind->what.withheld ? GST_PAD_PROBE_DROP
                                                      : GST_PAD_PROBE_OK;
}

// As elements on a GPU do: asks the application, which answers meanwhile.
void need_context(GstElement *element, State &state) {
  const char *type = state.kind->what.context.c_str();
  gst_element_post_message(element,
                           gst_message_new_need_context(GST_OBJECT(element), type));
  GstContext *context = gst_element_get_context(element, type);
  if (!context)
    return;
  state.kind->counts->contexts++;
  gst_context_unref(context);
}

GstStateChangeReturn change_state(GstElement *element, GstStateChange change) {
  State &state = state_of(element);
  const StandIn &what = state.kind->what;
  if (change == GST_STATE_CHANGE_NULL_TO_READY) {
    g_usleep(what.start_ms * 1000); // as a driver that loads its firmware
    if (!what.context.empty())
      need_context(element, state);
    if (!what.starts)
      return GST_STATE_CHANGE_FAILURE;
    state.kind->counts->started++;
  }
  if (change == GST_STATE_CHANGE_READY_TO_PAUSED && !what.runs)
    return GST_STATE_CHANGE_FAILURE;
  if (change == GST_STATE_CHANGE_PAUSED_TO_READY) {
    std::lock_guard<std::mutex> lock(state.mutex);
    state.stopped = true;
    state.changed.notify_all();
  }
  return parent_class(element)->change_state(element, change);
}

void note(gpointer self, const std::string &setting) {
  StandInCounts &counts = *state_of(self).kind->counts;
  std::lock_guard<std::mutex> lock(counts.mutex);
  counts.settings.push_back(setting);
}

void set_property(GObject *self, guint, const GValue *value, GParamSpec *spec) {
  const StrPtr text(gst_value_serialize(value));
  const auto *structure =
      GST_VALUE_HOLDS_STRUCTURE(value) ? gst_value_get_structure(value) : nullptr;
  const StrPtr controls(structure ? gst_structure_to_string(structure) : nullptr);
  note(self, std::string(spec->name) + "=" + (controls ? controls : text).get());
}

// Nothing is kept: who reads finds the defaults.
void get_property(GObject *, guint, GValue *value, GParamSpec *spec) {
  g_param_value_set_default(spec, value);
}

void force_idr(gpointer self) {
  note(self, "force-IDR");
}

void add_settings(gpointer klass, const StandIn &what) {
  auto *object = G_OBJECT_CLASS(klass);
  object->set_property = set_property;
  object->get_property = get_property;
  if (what.controls)
    g_object_class_install_property(object, 1,
                                    g_param_spec_boxed("extra-controls", "", "",
                                                       GST_TYPE_STRUCTURE,
                                                       G_PARAM_READWRITE));
  if (!what.force_idr)
    return;
  g_object_class_install_property(
      object, 2,
      g_param_spec_uint("bitrate", "", "", 0, G_MAXUINT, 4000000, G_PARAM_READWRITE));
  g_signal_new_class_handler("force-IDR", G_TYPE_FROM_CLASS(klass),
                             GSignalFlags(G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION),
                             G_CALLBACK(force_idr), nullptr, nullptr, nullptr,
                             G_TYPE_NONE, 0);
}

void add_ghost(GstElement *bin, GstElement *child, const char *name) {
  const auto pad = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(child, name));
  gst_element_add_pad(bin, gst_ghost_pad_new(name, pad.get()));
}

// Of the source pad of one that delivers what nobody takes.
gboolean query_of_foreign(GstPad *pad, GstObject *self, GstQuery *query) {
  if (GST_QUERY_TYPE(query) != GST_QUERY_CAPS)
    return gst_pad_query_default(pad, self, query);
  const CapsPtr caps(gst_caps_from_string(state_of(self).kind->what.delivers.c_str()));
  gst_query_set_caps_result(query, caps.get());
  return TRUE;
}

void init(GTypeInstance *instance, gpointer klass) {
  auto *self = reinterpret_cast<Instance *>(instance);
  self->state = new State;
  self->state->kind = static_cast<Class *>(klass)->kind;
  const StandIn &what = self->state->kind->what;
  self->state->faulty = self->state->kind->counts->made++ < what.faulty;
  auto *bin = GST_ELEMENT(instance);
  GstElement *decoder = gst_element_factory_make(what.decoder.c_str(), nullptr);
  g_assert(decoder);
  gst_bin_add(GST_BIN(bin), decoder);
  GstElement *first = decoder;
  auto prepend = [&](GstElement *element) {
    gst_bin_add(GST_BIN(bin), element);
    gst_element_link(element, first);
    first = element;
  };
  if (!what.insists_on.empty()) {
    GstElement *filter = gst_element_factory_make("capsfilter", nullptr);
    gst_util_set_object_arg(G_OBJECT(filter), "caps", what.insists_on.c_str());
    prepend(filter);
  }
  if (what.own_thread)
    prepend(gst_element_factory_make("queue", nullptr));
  add_ghost(bin, first, "sink");
  add_ghost(bin, decoder, "src");
  if (!what.delivers.empty()) {
    const auto src = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(bin, "src"));
    gst_pad_set_query_function(src.get(), query_of_foreign);
  }
  const auto in = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(decoder, "sink"));
  const auto out = ObjPtr<GstPad>::adopt(gst_element_get_static_pad(decoder, "src"));
  gst_pad_add_probe(
      in.get(),
      GstPadProbeType(GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
      on_input, self, nullptr);
  gst_pad_add_probe(out.get(), GST_PAD_PROBE_TYPE_BUFFER, on_output, self, nullptr);
}

void finalize(GObject *object) {
  State *state = reinterpret_cast<Instance *>(object)->state;
  G_OBJECT_CLASS(parent_class(object))->finalize(object);
  delete state;
}

void init_class(gpointer klass, gpointer data) {
  auto *kind = static_cast<const Kind *>(data);
  static_cast<Class *>(klass)->kind = kind;
  G_OBJECT_CLASS(klass)->finalize = finalize;
  auto *element = GST_ELEMENT_CLASS(klass);
  element->change_state = change_state;
  add_settings(klass, kind->what);
  gst_element_class_set_metadata(element, kind->what.name.c_str(),
                                 kind->what.klass.c_str(), "stands in for V4L2",
                                 "gst-vdoninja");
  const CapsPtr sink(gst_caps_from_string(kind->what.caps.c_str()));
  const CapsPtr src(gst_caps_from_string(kind->what.makes.c_str()));
  gst_element_class_add_pad_template(
      element, gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, sink.get()));
  gst_element_class_add_pad_template(
      element, gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, src.get()));
}

} // namespace

std::shared_ptr<StandInCounts> register_stand_in(const StandIn &what) {
  static std::atomic<unsigned> number{0};
  auto *kind = new Kind{what}; // as long as the type: for ever
  GTypeInfo info{};
  info.class_size = sizeof(Class);
  info.class_init = init_class;
  info.class_data = kind;
  info.instance_size = sizeof(Instance);
  info.instance_init = init;
  const std::string type = "VdnStandIn" + std::to_string(number++);
  const GType gtype =
      g_type_register_static(GST_TYPE_BIN, type.c_str(), &info, GTypeFlags(0));
  g_assert(gst_element_register(nullptr, what.name.c_str(), what.rank, gtype));
  return kind->counts;
}

} // namespace vdn
