/* tag.h -- keyed tags of blocks: equal tags are taken for equal bytes.
 *
 * GMAC with AES-256 (NIST SP 800-38D) under one nonce for all blocks, 16 bytes: GHASH, a universal hash, masked by a constant. While key and tags stay
 * secret, two different blocks of at most n bytes have the same tag with probability at most (n/16 + 1) / 2^128: under 2^-115 for 128 KiB, whoever chose the
 * blocks. A search over 2^40 bytes that compares each byte's block once errs with probability under 2^-75, far below an undetected memory error.
 * With a nonce that repeats, tags are no authentication: who sees tags and blocks can solve for the key. Therefore the key is used for nothing else, and
 * tags never leave the machine's root-only state directory.
 *
 * A tagger belongs to one thread at a time. */
#ifndef TK_CRYPTO_TAG_H
#define TK_CRYPTO_TAG_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

#define TK_TAG_BYTES 16
#define TK_TAG_KEY_BYTES 32

struct tk_tagger;

/* On TK_OK the caller owns *out; the key is not kept but for its expansion. Errors: TK_ENOMEM, TK_EUNSUPPORTED (the provider has no AES-GCM), TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_tagger_new(const uint8_t key[TK_TAG_KEY_BYTES], struct tk_tagger **out, struct tk_err *err);
void tk_tagger_cleanup(struct tk_tagger **tagger);

/* The tag of len_bytes (at most 1 GiB) at data. Errors: TK_EINVAL (too long), TK_EIO (the provider failed). */
TK_MUST_CHECK enum tk_rc tk_tag(struct tk_tagger *tagger, const void *data, size_t len_bytes, uint8_t tag[TK_TAG_BYTES], struct tk_err *err);

#endif
