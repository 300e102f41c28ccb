// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>
#include <gst/video/gstvideosink.h>

G_DECLARE_FINAL_TYPE(GstShmNumpySink, gst_shm_numpy_sink, GST, SHM_NUMPY_SINK,
                     GstVideoSink)
GST_ELEMENT_REGISTER_DECLARE(shmnumpysink)
