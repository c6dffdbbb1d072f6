/* x509_priv.h -- private to engine/crypto: PEM and certificates as OpenSSL objects. */
#ifndef TK_CRYPTO_X509_PRIV_H
#define TK_CRYPTO_X509_PRIV_H

#include "engine/crypto/ossl.h"
#include "engine/crypto/x509.h"

/* No PEM text from outside may be longer. */
#define TK_PEM_MAX_BYTES ((size_t)1 << 20)

/* On TK_OK the caller owns *out, a stack of one or more certificates. The one place where certificates come from text. */
TK_MUST_CHECK enum tk_rc tk_x509_load_certs(struct tk_bytes pem, STACK_OF(X509) **out, struct tk_err *err);
/* On TK_OK the caller owns *out. */
TK_MUST_CHECK enum tk_rc tk_x509_load_key(struct tk_bytes pem, EVP_PKEY **out, struct tk_err *err);
/* Fills *info from a certificate. */
TK_MUST_CHECK enum tk_rc tk_x509_describe(X509 *cert, struct tk_x509_info *info, struct tk_err *err);

void tk_x509_certs_cleanup(STACK_OF(X509) **certs);

#endif
