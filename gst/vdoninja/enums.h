// SPDX-License-Identifier: LGPL-2.1-or-later
// The enumerations that properties have, for GObject.
#pragma once

#include "settings.h"

G_BEGIN_DECLS

// In the order of vdn::ViewerState and vdn::FormChoice.
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

#define GST_TYPE_VDONINJA_STATE (gst_vdoninja_state_get_type())
GType gst_vdoninja_state_get_type(void);
#define GST_TYPE_VDONINJA_OUTPUT_FORMAT (gst_vdoninja_output_format_get_type())
GType gst_vdoninja_output_format_get_type(void);
#define GST_TYPE_VDONINJA_SIGNALING (gst_vdoninja_signaling_get_type())
GType gst_vdoninja_signaling_get_type(void);
#define GST_TYPE_VDONINJA_ON_DISCONNECT (gst_vdoninja_on_disconnect_get_type())
GType gst_vdoninja_on_disconnect_get_type(void);
#define GST_TYPE_VDONINJA_ON_LEAVE (gst_vdoninja_on_leave_get_type())
GType gst_vdoninja_on_leave_get_type(void);

G_END_DECLS
