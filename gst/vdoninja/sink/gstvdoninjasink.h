// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_VDONINJA_SINK (gst_vdoninja_sink_get_type())
G_DECLARE_FINAL_TYPE(GstVdoNinjaSink, gst_vdoninja_sink, GST, VDONINJA_SINK, GstBin)
GST_ELEMENT_REGISTER_DECLARE(vdoninjasink)

G_END_DECLS
