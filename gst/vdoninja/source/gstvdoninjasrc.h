// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_VDONINJA_SRC (gst_vdoninja_src_get_type())
G_DECLARE_FINAL_TYPE(GstVdoNinjaSrc, gst_vdoninja_src, GST, VDONINJA_SRC, GstBin)

GST_ELEMENT_REGISTER_DECLARE(vdoninjasrc)

G_END_DECLS
