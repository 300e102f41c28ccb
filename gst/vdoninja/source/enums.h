// SPDX-License-Identifier: LGPL-2.1-or-later
// The enumerations that properties of vdoninjasrc have, for GObject; in the order of
// vdn::ViewerState, FormChoice, OnDisconnect and OnLeave.
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef enum {
  GST_VDONINJA_STATE_DISCONNECTED,
  GST_VDONINJA_STATE_CONNECTING,
  GST_VDONINJA_STATE_WAITING,
  GST_VDONINJA_STATE_NEGOTIATING,
  GST_VDONINJA_STATE_PLAYING,
  GST_VDONINJA_STATE_RECONNECTING,
  GST_VDONINJA_STATE_FAILED
} GstVdoNinjaState;

typedef enum {
  GST_VDONINJA_OUTPUT_FORMAT_AUTO,
  GST_VDONINJA_OUTPUT_FORMAT_RAW,
  GST_VDONINJA_OUTPUT_FORMAT_ENCODED,
  GST_VDONINJA_OUTPUT_FORMAT_RTP
} GstVdoNinjaOutputFormat;

typedef enum {
  GST_VDONINJA_ON_DISCONNECT_RECONNECT,
  GST_VDONINJA_ON_DISCONNECT_EOS,
  GST_VDONINJA_ON_DISCONNECT_ERROR
} GstVdoNinjaOnDisconnect;

typedef enum {
  GST_VDONINJA_ON_LEAVE_KEEP,
  GST_VDONINJA_ON_LEAVE_REMOVE
} GstVdoNinjaOnLeave;

#define GST_TYPE_VDONINJA_STATE (gst_vdoninja_state_get_type())
GType gst_vdoninja_state_get_type(void);
#define GST_TYPE_VDONINJA_OUTPUT_FORMAT (gst_vdoninja_output_format_get_type())
GType gst_vdoninja_output_format_get_type(void);
#define GST_TYPE_VDONINJA_ON_DISCONNECT (gst_vdoninja_on_disconnect_get_type())
GType gst_vdoninja_on_disconnect_get_type(void);
#define GST_TYPE_VDONINJA_ON_LEAVE (gst_vdoninja_on_leave_get_type())
GType gst_vdoninja_on_leave_get_type(void);

G_END_DECLS
