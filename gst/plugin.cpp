// SPDX-License-Identifier: LGPL-2.1-or-later
// The plugin: registers the elements that this build has.
#include <gst/gst.h>

#ifdef HAVE_VDONINJASRC
#include "gstvdoninjasrc.h"
#endif
#ifdef HAVE_VDONINJASINK
#include "gstvdoninjasink.h"
#endif
#ifdef HAVE_SHMNUMPYSINK
#include "gstshmnumpysink.h"
#endif
#ifdef HAVE_SHMNUMPYSRC
#include "gstshmnumpysrc.h"
#endif

static gboolean plugin_init(GstPlugin *plugin) {
  gboolean registered = FALSE;
#ifdef HAVE_VDONINJASRC
  registered |= GST_ELEMENT_REGISTER(vdoninjasrc, plugin);
#endif
#ifdef HAVE_VDONINJASINK
  registered |= GST_ELEMENT_REGISTER(vdoninjasink, plugin);
#endif
#ifdef HAVE_SHMNUMPYSINK
  registered |= GST_ELEMENT_REGISTER(shmnumpysink, plugin);
#endif
#ifdef HAVE_SHMNUMPYSRC
  registered |= GST_ELEMENT_REGISTER(shmnumpysrc, plugin);
#endif
  return registered;
}

GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, vdoninja,
                  "VDO.Ninja streams in and out, frames for NumPy", plugin_init, VERSION,
                  "LGPL", PACKAGE, "https://vdo.ninja")
