// SPDX-License-Identifier: LGPL-2.1-or-later
#include "certificate.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace vdn {

using KeyPtr = std::unique_ptr<EVP_PKEY, Releaser<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Releaser<X509_free>>;
using BioPtr = std::unique_ptr<BIO, Releaser<BIO_free_all>>;

static bool add_extension(X509 *certificate, int nid, const char *value) {
  std::unique_ptr<X509_EXTENSION, Releaser<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, nid, value));
  return extension && X509_add_ext(certificate, extension.get(), -1);
}

static X509Ptr sign(EVP_PKEY *key, const CertificateText &text) {
  constexpr long kDay = 24 * 60 * 60;
  X509Ptr certificate(X509_new());
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -2 * kDay);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), text.expired ? -kDay : kDay);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME *name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char *>("localhost"), -1, -1,
                             0);
  X509_set_issuer_name(certificate.get(), name);
  const bool complete =
      add_extension(certificate.get(), NID_basic_constraints, "critical,CA:TRUE") &&
      add_extension(certificate.get(), NID_subject_alt_name, text.names.c_str()) &&
      X509_sign(certificate.get(), key, EVP_sha256());
  return complete ? std::move(certificate) : nullptr;
}

static std::string text_of(BIO *bio) {
  char *data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, size);
}

SelfSigned make_self_signed(GError **error, const CertificateText &text) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  const X509Ptr certificate = key ? sign(key.get(), text) : nullptr;
  const BioPtr certificate_pem(BIO_new(BIO_s_mem()));
  const BioPtr key_pem(BIO_new(BIO_s_mem()));
  if (!certificate || !PEM_write_bio_X509(certificate_pem.get(), certificate.get()) ||
      !PEM_write_bio_PrivateKey(key_pem.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                nullptr)) {
    g_set_error(error, G_TLS_ERROR, G_TLS_ERROR_MISC, "cannot make a certificate");
    return {};
  }
  SelfSigned result;
  result.pem = text_of(certificate_pem.get());
  const std::string both = result.pem + text_of(key_pem.get());
  result.certificate = ObjPtr<GTlsCertificate>::adopt(
      g_tls_certificate_new_from_pem(both.c_str(), both.size(), error));
  return result;
}

} // namespace vdn
