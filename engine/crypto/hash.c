#include "engine/crypto/hash.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "engine/crypto/ossl.h"

/* SHA-256 and SM3 alike. */
#define HASH_BLOCK_BYTES 64

struct tk_hash_ctx {
	EVP_MD *md;
	EVP_MD_CTX *evp;
};

struct tk_hmac_ctx {
	struct tk_hash_ctx *hash;
	uint8_t inner_pad[HASH_BLOCK_BYTES];
	uint8_t outer_pad[HASH_BLOCK_BYTES];
};

enum tk_rc
tk_hash_ctx_new(enum tk_suite suite, struct tk_hash_ctx **out, struct tk_err *err)
{
	TK_AUTO(tk_hash_ctx_cleanup) struct tk_hash_ctx *ctx = calloc(1, sizeof(*ctx));
	enum tk_rc rc;

	if (ctx == NULL)
		return tk_err_set(err, TK_ENOMEM, "no memory for a hash context");
	rc = tk_ossl_fetch_hash(suite, &ctx->md, err);
	if (rc != TK_OK)
		return rc;
	ctx->evp = EVP_MD_CTX_new();
	if (ctx->evp == NULL)
		return tk_ossl_err(err, TK_ENOMEM, "hash context");
	if (EVP_DigestInit_ex2(ctx->evp, ctx->md, NULL) != 1)
		return tk_ossl_err(err, TK_EIO, "start of a digest");
	*out = ctx;
	ctx = NULL;
	return TK_OK;
}

void
tk_hash_ctx_free(struct tk_hash_ctx *ctx)
{
	if (ctx == NULL)
		return;
	EVP_MD_CTX_free(ctx->evp);
	EVP_MD_free(ctx->md);
	free(ctx);
}

void
tk_hash_ctx_cleanup(struct tk_hash_ctx **ctx)
{
	tk_hash_ctx_free(*ctx);
	*ctx = NULL;
}

enum tk_rc
tk_hash_begin(struct tk_hash_ctx *ctx, struct tk_err *err)
{
	/* Without a type the context starts over as it is: nothing is fetched or allocated. */
	if (EVP_DigestInit_ex2(ctx->evp, NULL, NULL) != 1)
		return tk_ossl_err(err, TK_EIO, "start of a digest");
	return TK_OK;
}

enum tk_rc
tk_hash_add(struct tk_hash_ctx *ctx, const void *data, size_t len_bytes, struct tk_err *err)
{
	if (len_bytes > 0 && EVP_DigestUpdate(ctx->evp, data, len_bytes) != 1)
		return tk_ossl_err(err, TK_EIO, "digest");
	return TK_OK;
}

enum tk_rc
tk_hash_end(struct tk_hash_ctx *ctx, uint8_t out[TK_HASH_BYTES], struct tk_err *err)
{
	if (EVP_DigestFinal_ex(ctx->evp, out, NULL) != 1)
		return tk_ossl_err(err, TK_EIO, "end of a digest");
	return TK_OK;
}

static enum tk_rc
add_parts(struct tk_hash_ctx *ctx, const struct tk_bytes *parts, size_t count, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < count && rc == TK_OK; i++)
		rc = tk_hash_add(ctx, parts[i].data, parts[i].len_bytes, err);
	return rc;
}

enum tk_rc
tk_hash_whole(struct tk_hash_ctx *ctx, const void *data, size_t len_bytes, uint8_t out[TK_HASH_BYTES], struct tk_err *err)
{
	enum tk_rc rc = tk_hash_begin(ctx, err);

	if (rc == TK_OK)
		rc = tk_hash_add(ctx, data, len_bytes, err);
	if (rc == TK_OK)
		rc = tk_hash_end(ctx, out, err);
	return rc;
}

enum tk_rc
tk_hash(enum tk_suite suite, const void *data, size_t len_bytes, uint8_t out[TK_HASH_BYTES], struct tk_err *err)
{
	struct tk_bytes part = {data, len_bytes};

	return tk_hash_parts(suite, &part, 1, out, err);
}

enum tk_rc
tk_hash_parts(enum tk_suite suite, const struct tk_bytes *parts, size_t count, uint8_t out[TK_HASH_BYTES], struct tk_err *err)
{
	TK_AUTO(tk_hash_ctx_cleanup) struct tk_hash_ctx *ctx = NULL;
	enum tk_rc rc = tk_hash_ctx_new(suite, &ctx, err);

	if (rc == TK_OK)
		rc = add_parts(ctx, parts, count, err);
	if (rc == TK_OK)
		rc = tk_hash_end(ctx, out, err);
	return rc;
}

enum tk_rc
tk_hmac_ctx_new(enum tk_suite suite, const void *key, size_t key_bytes, struct tk_hmac_ctx **out, struct tk_err *err)
{
	TK_AUTO(tk_hmac_ctx_cleanup) struct tk_hmac_ctx *ctx = calloc(1, sizeof(*ctx));
	uint8_t block[HASH_BLOCK_BYTES] = {0};
	enum tk_rc rc;

	if (ctx == NULL)
		return tk_err_set(err, TK_ENOMEM, "no memory for an HMAC context");
	rc = tk_hash_ctx_new(suite, &ctx->hash, err);
	if (rc != TK_OK)
		return rc;
	if (key_bytes > sizeof(block)) {
		rc = tk_hash_whole(ctx->hash, key, key_bytes, block, err);
		if (rc != TK_OK)
			return rc;
	} else if (key_bytes > 0) {
		memcpy(block, key, key_bytes);
	}
	for (size_t i = 0; i < sizeof(block); i++) {
		ctx->inner_pad[i] = block[i] ^ 0x36;
		ctx->outer_pad[i] = block[i] ^ 0x5c;
	}
	tk_wipe(block, sizeof(block));
	*out = ctx;
	ctx = NULL;
	return TK_OK;
}

void
tk_hmac_ctx_free(struct tk_hmac_ctx *ctx)
{
	if (ctx == NULL)
		return;
	tk_hash_ctx_free(ctx->hash);
	tk_wipe(ctx, sizeof(*ctx));
	free(ctx);
}

void
tk_hmac_ctx_cleanup(struct tk_hmac_ctx **ctx)
{
	tk_hmac_ctx_free(*ctx);
	*ctx = NULL;
}

enum tk_rc
tk_hmac_whole(struct tk_hmac_ctx *ctx, const void *data, size_t len_bytes, uint8_t out[TK_HASH_BYTES], struct tk_err *err)
{
	struct tk_bytes part = {data, len_bytes};

	return tk_hmac_parts(ctx, &part, 1, out, err);
}

/* Hashing the pads anew costs two compressions; copying prepared digest states would cost allocations
 * inside the provider, which is slower for the short messages that this is for. */
enum tk_rc
tk_hmac_parts(struct tk_hmac_ctx *ctx, const struct tk_bytes *parts, size_t count, uint8_t out[TK_HASH_BYTES],
    struct tk_err *err)
{
	uint8_t inner[TK_HASH_BYTES];
	const struct tk_bytes outer[] = {{ctx->outer_pad, sizeof(ctx->outer_pad)}, {inner, sizeof(inner)}};
	enum tk_rc rc = tk_hash_begin(ctx->hash, err);

	if (rc == TK_OK)
		rc = tk_hash_add(ctx->hash, ctx->inner_pad, sizeof(ctx->inner_pad), err);
	if (rc == TK_OK)
		rc = add_parts(ctx->hash, parts, count, err);
	if (rc == TK_OK)
		rc = tk_hash_end(ctx->hash, inner, err);
	if (rc == TK_OK)
		rc = tk_hash_begin(ctx->hash, err);
	if (rc == TK_OK)
		rc = add_parts(ctx->hash, outer, 2, err);
	if (rc == TK_OK)
		rc = tk_hash_end(ctx->hash, out, err);
	tk_wipe(inner, sizeof(inner));
	return rc;
}

enum tk_rc
tk_hmac(enum tk_suite suite, const void *key, size_t key_bytes, const void *data, size_t len_bytes,
    uint8_t out[TK_HASH_BYTES], struct tk_err *err)
{
	TK_AUTO(tk_hmac_ctx_cleanup) struct tk_hmac_ctx *ctx = NULL;
	enum tk_rc rc = tk_hmac_ctx_new(suite, key, key_bytes, &ctx, err);

	if (rc == TK_OK)
		rc = tk_hmac_whole(ctx, data, len_bytes, out, err);
	return rc;
}

static enum tk_rc
hkdf_expand(struct tk_hmac_ctx *prk, struct tk_bytes info, uint8_t *out, size_t out_bytes, struct tk_err *err)
{
	uint8_t block[TK_HASH_BYTES];
	enum tk_rc rc = TK_OK;
	size_t done = 0;

	for (uint8_t counter = 1; done < out_bytes && rc == TK_OK; counter++) {
		const struct tk_bytes parts[] = {{block, counter == 1 ? 0 : sizeof(block)}, info, {&counter, 1}};
		size_t take = out_bytes - done < sizeof(block) ? out_bytes - done : sizeof(block);

		rc = tk_hmac_parts(prk, parts, 3, block, err);
		if (rc == TK_OK)
			memcpy(out + done, block, take);
		done += take;
	}
	tk_wipe(block, sizeof(block));
	return rc;
}

enum tk_rc
tk_hkdf(enum tk_suite suite, struct tk_bytes ikm, struct tk_bytes salt, struct tk_bytes info, void *out, size_t out_bytes,
    struct tk_err *err)
{
	TK_AUTO(tk_hmac_ctx_cleanup) struct tk_hmac_ctx *prk = NULL;
	uint8_t prk_bytes[TK_HASH_BYTES];
	enum tk_rc rc;

	if (out_bytes == 0 || out_bytes > (size_t)255 * TK_HASH_BYTES)
		return tk_err_set(err, TK_EINVAL, "HKDF cannot derive %zu bytes", out_bytes);
	rc = tk_hmac(suite, salt.data, salt.len_bytes, ikm.data, ikm.len_bytes, prk_bytes, err);
	if (rc == TK_OK)
		rc = tk_hmac_ctx_new(suite, prk_bytes, sizeof(prk_bytes), &prk, err);
	if (rc == TK_OK)
		rc = hkdf_expand(prk, info, out, out_bytes, err);
	tk_wipe(prk_bytes, sizeof(prk_bytes));
	if (rc != TK_OK)
		tk_wipe(out, out_bytes);
	return rc;
}

bool
tk_equal_ct(const void *a, const void *b, size_t len_bytes)
{
	return CRYPTO_memcmp(a, b, len_bytes) == 0;
}

void
tk_wipe(void *data, size_t len_bytes)
{
	if (len_bytes > 0)
		OPENSSL_cleanse(data, len_bytes);
}

void
tk_wipe_buf(struct tk_buf *buf)
{
	tk_wipe(buf->data, buf->cap_bytes);
	tk_buf_release(buf);
}
