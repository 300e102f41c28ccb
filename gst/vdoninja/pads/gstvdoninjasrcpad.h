// SPDX-License-Identifier: LGPL-2.1-or-later
// The pads that vdoninjasrc shows. They live on while the sessions behind them are
// replaced: one stream-start, no EOS from below, a DISCONT after each gap.
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_VDONINJA_SRC_PAD (gst_vdoninja_src_pad_get_type())
G_DECLARE_FINAL_TYPE(GstVdoNinjaSrcPad, gst_vdoninja_src_pad, GST, VDONINJA_SRC_PAD,
                     GstGhostPad)

// Thread: any, for all functions. restart() comes next.
GstPad *gst_vdoninja_src_pad_new(GstPadTemplate *templ, const gchar *name);
// Before the first data of a run of the element; its pads may be of an earlier one.
// `stream`: its id is that of the stream-start event; NULL: the one before.
void gst_vdoninja_src_pad_restart(GstVdoNinjaSrcPad *pad, GstStream *stream,
                                  guint group_id);
// Puts `target` behind the pad; NULL: nothing. The next buffer is marked DISCONT.
void gst_vdoninja_src_pad_set_source(GstVdoNinjaSrcPad *pad, GstPad *target);
// From the running time of the sources to that of the element, from the next buffer on,
// which is marked DISCONT. The offset of a pad would do, but repeats all events.
void gst_vdoninja_src_pad_set_time_offset(GstVdoNinjaSrcPad *pad, gint64 ns);
// The streams of the element, told downstream before the next buffer.
void gst_vdoninja_src_pad_set_collection(GstVdoNinjaSrcPad *pad,
                                         GstStreamCollection *collection);
// The stream of this pad (transfer none).
GstStream *gst_vdoninja_src_pad_get_stream(GstVdoNinjaSrcPad *pad);
// Of what is received, in bits a second; downstream learns it as a tag.
void gst_vdoninja_src_pad_set_bitrate(GstVdoNinjaSrcPad *pad, guint bitrate);
// By so many degrees clockwise the picture is to be turned; downstream learns it as a
// tag.
void gst_vdoninja_src_pad_set_rotation(GstVdoNinjaSrcPad *pad, gint degrees);
// What is answered to a LATENCY query while what is behind the pad has no answer.
void gst_vdoninja_src_pad_set_latency(GstVdoNinjaSrcPad *pad, GstClockTime latency);
// Buffers that went downstream since the pad exists.
guint64 gst_vdoninja_src_pad_get_buffers(GstVdoNinjaSrcPad *pad);
// Whether a buffer is downstream at this moment, and what downstream answered to the
// newest buffer of this source.
gboolean gst_vdoninja_src_pad_is_pushing(GstVdoNinjaSrcPad *pad);
// For how long buffers were downstream, in all.
guint64 gst_vdoninja_src_pad_get_pushing_us(GstVdoNinjaSrcPad *pad);
GstFlowReturn gst_vdoninja_src_pad_get_flow(GstVdoNinjaSrcPad *pad);
// Tells downstream that nothing came until `time`, in running time of the element. Waits
// for a buffer that is on its way.
void gst_vdoninja_src_pad_push_gap(GstVdoNinjaSrcPad *pad, GstClockTime time);
// Sends EOS downstream and refuses data from now on. Waits for a buffer that is on its
// way.
void gst_vdoninja_src_pad_finish(GstVdoNinjaSrcPad *pad);
// The read-only properties; NULL leaves one as it is. Notifies.
void gst_vdoninja_src_pad_describe(GstVdoNinjaSrcPad *pad, const gchar *vdo_stream_id,
                                   const gchar *label, const gchar *mid,
                                   const gchar *codec);

G_END_DECLS
