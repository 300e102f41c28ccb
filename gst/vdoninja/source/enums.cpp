// SPDX-License-Identifier: LGPL-2.1-or-later
#include "enums.h"

G_DEFINE_ENUM_TYPE(GstVdoNinjaState, gst_vdoninja_state,
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_STATE_DISCONNECTED, "disconnected"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_STATE_CONNECTING, "connecting"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_STATE_WAITING, "waiting"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_STATE_NEGOTIATING, "negotiating"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_STATE_PLAYING, "playing"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_STATE_RECONNECTING, "reconnecting"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_STATE_FAILED, "failed"))

G_DEFINE_ENUM_TYPE(GstVdoNinjaOutputFormat, gst_vdoninja_output_format,
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_OUTPUT_FORMAT_AUTO, "auto"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_OUTPUT_FORMAT_RAW, "raw"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_OUTPUT_FORMAT_ENCODED, "encoded"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_OUTPUT_FORMAT_RTP, "rtp"))

G_DEFINE_ENUM_TYPE(GstVdoNinjaOnDisconnect, gst_vdoninja_on_disconnect,
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_ON_DISCONNECT_RECONNECT, "reconnect"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_ON_DISCONNECT_EOS, "eos"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_ON_DISCONNECT_ERROR, "error"))

G_DEFINE_ENUM_TYPE(GstVdoNinjaOnLeave, gst_vdoninja_on_leave,
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_ON_LEAVE_KEEP, "keep"),
                   G_DEFINE_ENUM_VALUE(GST_VDONINJA_ON_LEAVE_REMOVE, "remove"))
