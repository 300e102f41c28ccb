// SPDX-License-Identifier: LGPL-2.1-or-later
#include "enums.h"

G_DEFINE_ENUM_TYPE(GstVdoNinjaSinkState, gst_vdoninja_sink_state,
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_SINK_STATE_DISCONNECTED,
                                       "disconnected"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_SINK_STATE_CONNECTING, "connecting"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_SINK_STATE_PUBLISHED, "published"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_SINK_STATE_STREAMING, "streaming"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_SINK_STATE_RECONNECTING,
                                       "reconnecting"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_SINK_STATE_FAILED, "failed"))

G_DEFINE_ENUM_TYPE(GstVdoNinjaCongestionControl, gst_vdoninja_congestion_control,
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_CONGESTION_CONTROL_SHARED, "shared"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_CONGESTION_CONTROL_NONE, "none"))

G_DEFINE_ENUM_TYPE(GstVdoNinjaOnConflict, gst_vdoninja_on_conflict,
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_ON_CONFLICT_RETRY, "retry"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_ON_CONFLICT_ERROR, "error"))

G_DEFINE_ENUM_TYPE(GstVdoNinjaSync, gst_vdoninja_sync,
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_SYNC_AUTO, "auto"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_SYNC_TRUE, "true"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_SYNC_FALSE, "false"))
