// SPDX-License-Identifier: LGPL-2.1-or-later
// The enumerations that properties of vdoninjasink have, for GObject; in the order of
// vdn::PublisherState, CongestionControl, OnConflict and InputSync.
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef enum {
  GST_VDONINJA_SINK_STATE_DISCONNECTED,
  GST_VDONINJA_SINK_STATE_CONNECTING,
  GST_VDONINJA_SINK_STATE_PUBLISHED,
  GST_VDONINJA_SINK_STATE_STREAMING,
  GST_VDONINJA_SINK_STATE_RECONNECTING,
  GST_VDONINJA_SINK_STATE_FAILED
} GstVdoNinjaSinkState;

typedef enum {
  GST_VDONINJA_CONGESTION_CONTROL_SHARED,
  GST_VDONINJA_CONGESTION_CONTROL_NONE
} GstVdoNinjaCongestionControl;

typedef enum {
  GST_VDONINJA_ON_CONFLICT_RETRY,
  GST_VDONINJA_ON_CONFLICT_ERROR
} GstVdoNinjaOnConflict;

typedef enum {
  GST_VDONINJA_SYNC_AUTO,
  GST_VDONINJA_SYNC_TRUE,
  GST_VDONINJA_SYNC_FALSE
} GstVdoNinjaSync;

#define GST_TYPE_VDONINJA_SINK_STATE (gst_vdoninja_sink_state_get_type())
GType gst_vdoninja_sink_state_get_type(void);
#define GST_TYPE_VDONINJA_CONGESTION_CONTROL (gst_vdoninja_congestion_control_get_type())
GType gst_vdoninja_congestion_control_get_type(void);
#define GST_TYPE_VDONINJA_ON_CONFLICT (gst_vdoninja_on_conflict_get_type())
GType gst_vdoninja_on_conflict_get_type(void);
#define GST_TYPE_VDONINJA_SYNC (gst_vdoninja_sync_get_type())
GType gst_vdoninja_sync_get_type(void);

G_END_DECLS
