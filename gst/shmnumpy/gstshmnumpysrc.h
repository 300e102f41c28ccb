// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/base/gstpushsrc.h>
#include <gst/gst.h>

G_DECLARE_FINAL_TYPE(GstShmNumpySrc, gst_shm_numpy_src, GST, SHM_NUMPY_SRC, GstPushSrc)
GST_ELEMENT_REGISTER_DECLARE(shmnumpysrc)
