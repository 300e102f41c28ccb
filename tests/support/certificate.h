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

// What a certificate says.
struct CertificateText {
  std::string names = "IP:127.0.0.1,DNS:localhost"; // as in subjectAltName
  bool expired = false;                             // else it is valid for a day
};

// With a fresh key each time. Thread: any.
SelfSigned make_self_signed(GError **error, const CertificateText &text = {});

} // namespace vdn
