/* hash_two.h -- the digests of two messages at once.
 *
 * A core's SHA-256 instructions wait for each other within one message: two messages turn by turn take hardly longer than one. OpenSSL has no call for
 * that; intel-ipsec-mb has (ipsecmb.h). Where that is not to be had, and for other hashes, OpenSSL hashes one after the other. The digests are the same. */
#ifndef TK_CRYPTO_HASH_TWO_H
#define TK_CRYPTO_HASH_TWO_H

#include "engine/base/err.h"
#include "engine/crypto/suite.h"

struct tk_hash_two; /* belongs to one thread at a time */

/* On TK_OK the caller owns *out. Errors: TK_EUNSUPPORTED (suite), TK_ENOMEM, TK_EIO (the provider failed). */
TK_MUST_CHECK enum tk_rc tk_hash_two_new(enum tk_suite suite, struct tk_hash_two **out, struct tk_err *err);
void tk_hash_two_cleanup(struct tk_hash_two **two);

/* Fastest when both have the same length. Errors: TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_hash_two(struct tk_hash_two *two, struct tk_bytes a, struct tk_bytes b, uint8_t out_a[TK_HASH_BYTES],
				     uint8_t out_b[TK_HASH_BYTES], struct tk_err *err);

#endif
