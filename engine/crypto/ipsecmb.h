/* ipsecmb.h -- private to engine/crypto: what intel-ipsec-mb does faster than OpenSSL, with the same results.
 *
 * x86 only, where the build has the library (configure --without-ipsec-mb leaves it out) and the processor the instructions. Else the _new functions give
 * NULL, and so they do where a trial's result is not OpenSSL's: callers then do it with OpenSSL. A handle belongs to one thread at a time. */
#ifndef TK_CRYPTO_IPSECMB_H
#define TK_CRYPTO_IPSECMB_H

#include "engine/base/err.h"
#include "engine/crypto/suite.h"

/* What the library takes of one message to be hashed. */
#define TK_MB_MESSAGE_MAX_BYTES 65534u

struct tk_mb_sha256;
struct tk_mb_sha256 *tk_mb_sha256_new(void);
void tk_mb_sha256_free(struct tk_mb_sha256 *mb);
/* Two messages of 1 to TK_MB_MESSAGE_MAX_BYTES. Errors: TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_mb_sha256_two(struct tk_mb_sha256 *mb, struct tk_bytes a, struct tk_bytes b, uint8_t out_a[32], uint8_t out_b[32],
					  struct tk_err *err);

/* GMAC with AES-256 and a nonce of 12 zeros. The key is copied, and wiped by free. */
struct tk_mb_gmac;
struct tk_mb_gmac *tk_mb_gmac_new(const uint8_t key[32]);
void tk_mb_gmac_free(struct tk_mb_gmac *mb);
void tk_mb_gmac(struct tk_mb_gmac *mb, const void *data, size_t len_bytes, uint8_t tag[16]);

#endif
