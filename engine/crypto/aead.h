/* aead.h -- authenticated encryption with associated data, one key per context.
 *
 * A tk_aead belongs to one thread at a time and keeps the expanded key, so that sealing a blob costs no set-up.
 * The caller must never seal twice with the same key and nonce: it numbers its blobs under a key of their own.
 * What is sealed is cipher text, as long as the plain text, followed by the suite's tag.
 * Sources: NIST SP 800-38D (AES-256-GCM), RFC 8439 (ChaCha20-Poly1305). */
#ifndef TK_CRYPTO_AEAD_H
#define TK_CRYPTO_AEAD_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/crypto/suite.h"

struct tk_aead;

/* No plain text and no associated data may be longer. */
#define TK_AEAD_LEN_MAX ((size_t)64 << 20)

/* On TK_OK the caller owns *out; the key is copied, and wiped by free. key_bytes must be the suite's.
 * Errors: TK_EUNSUPPORTED, TK_EINVAL (key_bytes), TK_ENOMEM, TK_EIO (the provider failed). */
TK_MUST_CHECK enum tk_rc tk_aead_new(enum tk_suite suite, const void *key, size_t key_bytes, struct tk_aead **out,
    struct tk_err *err);
void tk_aead_free(struct tk_aead *aead);
void tk_aead_cleanup(struct tk_aead **aead);

/* Changes the key, keeps the suite: cheaper than a new context. Errors: TK_EINVAL (key_bytes), TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_aead_rekey(struct tk_aead *aead, const void *key, size_t key_bytes, struct tk_err *err);

/* How much longer than the plain text the sealed text is. */
size_t tk_aead_tag_bytes(const struct tk_aead *aead);

/* Seals len_bytes of plain text (0 is allowed, plain may then be NULL: a pure MAC of the associated data) into
 * `out`, which has room for len_bytes + tag bytes. The associated data is the aad_count parts one after the other;
 * their borders are not authenticated. `out` may be `plain` itself; any other overlap is not allowed.
 * Errors: TK_EINVAL (too long), TK_EIO (the provider failed; out is then undefined). */
TK_MUST_CHECK enum tk_rc tk_aead_seal(struct tk_aead *aead, const uint8_t nonce[TK_NONCE_BYTES], const struct tk_bytes *aad,
    size_t aad_count, const void *plain, size_t len_bytes, void *out, struct tk_err *err);

/* Opens sealed_bytes (cipher text and tag) into `out`, which has room for sealed_bytes - tag bytes. `out` may be
 * `sealed` itself. On an error `out` holds zeros: nothing unauthenticated ever reaches the caller.
 * Errors: TK_ECORRUPT (wrong tag, key, nonce or associated data, or shorter than a tag), TK_EINVAL (too long),
 * TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_aead_open(struct tk_aead *aead, const uint8_t nonce[TK_NONCE_BYTES], const struct tk_bytes *aad,
    size_t aad_count, const void *sealed, size_t sealed_bytes, void *out, struct tk_err *err);

#endif
