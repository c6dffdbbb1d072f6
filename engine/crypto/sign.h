/* sign.h -- digital signatures: Ed25519 (RFC 8032) for suites 1 and 2.
 *
 * Keys are plain bytes: the caller stores them, and wipes secrets with tk_wipe(). Callable from any thread.
 * Sizes: TK_SIGN_SECRET_BYTES and TK_SIGN_SIG_BYTES for every suite, public keys by
 * tk_suite_info()->sign_public_bytes (at most TK_SIGN_PUBLIC_MAX). Errors, unless named: TK_EUNSUPPORTED (suite), TK_EIO
 * (the provider failed). */
#ifndef TK_CRYPTO_SIGN_H
#define TK_CRYPTO_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/crypto/suite.h"

/* Makes a secret (for Ed25519 the seed) from the kernel's generator. */
TK_MUST_CHECK enum tk_rc tk_sign_generate(enum tk_suite suite, uint8_t secret[TK_SIGN_SECRET_BYTES], struct tk_err *err);

/* The public key of a secret; writes the suite's sign_public_bytes. */
TK_MUST_CHECK enum tk_rc tk_sign_public(enum tk_suite suite, const uint8_t secret[TK_SIGN_SECRET_BYTES], uint8_t *public_key,
    struct tk_err *err);

/* Signs the message as it is (Ed25519 without prehash; the same input gives the same signature). */
TK_MUST_CHECK enum tk_rc tk_sign(enum tk_suite suite, const uint8_t secret[TK_SIGN_SECRET_BYTES], const void *msg,
    size_t len_bytes, uint8_t sig[TK_SIGN_SIG_BYTES], struct tk_err *err);

/* TK_OK only when sig is public_key's signature of msg. All of it may come from outside.
 * Errors: TK_ECORRUPT (wrong signature, wrong sizes, not a key). */
TK_MUST_CHECK enum tk_rc tk_sign_verify(enum tk_suite suite, const void *public_key, size_t public_bytes, const void *msg,
    size_t len_bytes, const void *sig, size_t sig_bytes, struct tk_err *err);

#endif
