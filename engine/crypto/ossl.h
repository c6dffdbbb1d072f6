/* ossl.h -- private to engine/crypto: OpenSSL's names, its error queue, its cleanups. */
#ifndef TK_CRYPTO_OSSL_H
#define TK_CRYPTO_OSSL_H

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "engine/base/err.h"
#include "engine/crypto/suite.h"

/* As tk_err_set, and appends the oldest entry of this thread's OpenSSL queue (where the fault began), if any.
 * The queue is empty afterwards. */
enum tk_rc tk_ossl_err(struct tk_err *err, enum tk_rc rc, const char *fmt, ...) TK_PRINTF(3, 4);

/* The suite's hash, fetched from the provider; the caller frees it with EVP_MD_free. Errors: TK_EUNSUPPORTED. */
TK_MUST_CHECK enum tk_rc tk_ossl_fetch_hash(enum tk_suite suite, EVP_MD **out, struct tk_err *err);
/* The suite's AEAD cipher; the caller frees it with EVP_CIPHER_free. Errors: TK_EUNSUPPORTED. */
TK_MUST_CHECK enum tk_rc tk_ossl_fetch_aead(enum tk_suite suite, EVP_CIPHER **out, struct tk_err *err);

/* For TK_AUTO. */
void tk_ossl_pkey_cleanup(EVP_PKEY **pkey);
void tk_ossl_mdctx_cleanup(EVP_MD_CTX **ctx);
void tk_ossl_x509_cleanup(X509 **cert);
void tk_ossl_bio_cleanup(BIO **bio);

#endif
