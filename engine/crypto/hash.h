/* hash.h -- digests, HMAC (RFC 2104), HKDF (RFC 5869), constant-time comparison, wiping.
 *
 * A context belongs to one thread at a time; functions without a context may be called from any thread.
 * The provider is asked for the algorithm once per context: keep contexts where millions of small pieces are
 * hashed. Every digest is TK_HASH_BYTES long. Errors, unless named: TK_EUNSUPPORTED (suite), TK_ENOMEM,
 * TK_EIO (the provider failed). */
#ifndef TK_CRYPTO_HASH_H
#define TK_CRYPTO_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "engine/crypto/suite.h"

struct tk_hash_ctx; /* a reusable digest context */
struct tk_hmac_ctx; /* a reusable HMAC context that holds one key */

/* On TK_OK the caller owns *out. */
TK_MUST_CHECK enum tk_rc tk_hash_ctx_new(enum tk_suite suite, struct tk_hash_ctx **out, struct tk_err *err);
void tk_hash_ctx_free(struct tk_hash_ctx *ctx);
void tk_hash_ctx_cleanup(struct tk_hash_ctx **ctx);

/* A digest in pieces: begin, any number of adds, end. begin forgets what was added before. */
TK_MUST_CHECK enum tk_rc tk_hash_begin(struct tk_hash_ctx *ctx, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_hash_add(struct tk_hash_ctx *ctx, const void *data, size_t len_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_hash_end(struct tk_hash_ctx *ctx, uint8_t out[TK_HASH_BYTES], struct tk_err *err);
/* begin, add, end in one. The fast path. */
TK_MUST_CHECK enum tk_rc tk_hash_whole(struct tk_hash_ctx *ctx, const void *data, size_t len_bytes, uint8_t out[TK_HASH_BYTES],
    struct tk_err *err);

/* A digest without a context, of one piece or of several. */
TK_MUST_CHECK enum tk_rc tk_hash(enum tk_suite suite, const void *data, size_t len_bytes, uint8_t out[TK_HASH_BYTES],
    struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_hash_parts(enum tk_suite suite, const struct tk_bytes *parts, size_t count,
    uint8_t out[TK_HASH_BYTES], struct tk_err *err);

/* A keyed function for many short messages (dedup ids, path boundaries). The key is copied, and wiped by free. */
TK_MUST_CHECK enum tk_rc tk_hmac_ctx_new(enum tk_suite suite, const void *key, size_t key_bytes, struct tk_hmac_ctx **out,
    struct tk_err *err);
void tk_hmac_ctx_free(struct tk_hmac_ctx *ctx);
void tk_hmac_ctx_cleanup(struct tk_hmac_ctx **ctx);
TK_MUST_CHECK enum tk_rc tk_hmac_whole(struct tk_hmac_ctx *ctx, const void *data, size_t len_bytes, uint8_t out[TK_HASH_BYTES],
    struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_hmac_parts(struct tk_hmac_ctx *ctx, const struct tk_bytes *parts, size_t count,
    uint8_t out[TK_HASH_BYTES], struct tk_err *err);

/* HMAC without a context. */
TK_MUST_CHECK enum tk_rc tk_hmac(enum tk_suite suite, const void *key, size_t key_bytes, const void *data, size_t len_bytes,
    uint8_t out[TK_HASH_BYTES], struct tk_err *err);

/* HKDF, extract and expand: derives out_bytes (1 to 255 * 32) from the secret `ikm`. An empty salt stands for
 * TK_HASH_BYTES zeros. `out` is wiped on an error. Errors: also TK_EINVAL (out_bytes). */
TK_MUST_CHECK enum tk_rc tk_hkdf(enum tk_suite suite, struct tk_bytes ikm, struct tk_bytes salt, struct tk_bytes info,
    void *out, size_t out_bytes, struct tk_err *err);

/* Compares in a time that depends on the length alone. */
bool tk_equal_ct(const void *a, const void *b, size_t len_bytes);
/* Overwrites a secret; never optimised away. data may be NULL when len_bytes is 0. */
void tk_wipe(void *data, size_t len_bytes);
/* Overwrites all the memory of a buffer that held a secret, and releases it. */
void tk_wipe_buf(struct tk_buf *buf);

#endif
