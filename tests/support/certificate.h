// SPDX-License-Identifier: LGPL-2.1-or-later
// Self-signed certificates for test servers.
#pragma once

#include <string>

#include "glib-ptr.h"

namespace vdn {

struct SelfSigned {
  ObjPtr<GTlsCertificate> certificate; // with its private key
  std::string pem;                     // certificate alone, for whoever shall trust it
};

// Valid for a day, for 127.0.0.1 and localhost; a fresh key each time. Thread: any.
SelfSigned make_self_signed(GError **error);

} // namespace vdn
