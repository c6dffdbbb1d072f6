#include <stdlib.h>
#include <string.h>

#include "engine/crypto/aead.h"
#include "engine/crypto/hash.h"
#include "engine/vault/packcore.h"

/* One thread's contexts for one suite and the pack key they hold now; used by sealer and opener alike. */
struct contexts {
	enum tk_suite suite;
	struct tk_aead *aead;
	struct tk_hash_ctx *hash;
	struct tk_compressor *comp;
	uint8_t key[TK_KEY_BYTES];
};

struct tk_sealer {
	struct contexts ctx;
};

struct tk_opener {
	struct contexts ctx;
	struct tk_buf coded;   /* a packed blob between opening and unpacking */
};

static enum tk_rc
contexts_init(struct contexts *ctx, struct tk_err *err)
{
	return tk_compressor_new(&ctx->comp, err);
}

static void
contexts_release(struct contexts *ctx)
{
	tk_aead_cleanup(&ctx->aead);
	tk_hash_ctx_cleanup(&ctx->hash);
	tk_compressor_cleanup(&ctx->comp);
	tk_wipe(ctx->key, sizeof(ctx->key));
}

static enum tk_rc
use_suite(struct contexts *ctx, enum tk_suite suite, struct tk_err *err)
{
	if (ctx->hash && ctx->suite == suite)
		return TK_OK;
	tk_aead_cleanup(&ctx->aead);
	tk_hash_ctx_cleanup(&ctx->hash);
	ctx->suite = suite;
	return tk_hash_ctx_new(suite, &ctx->hash, err);
}

/* Packs alternate seldom: the expanded key is kept from blob to blob. */
static enum tk_rc
use_pack(struct contexts *ctx, const struct tk_pack_head *head, struct tk_err *err)
{
	enum tk_rc rc;

	if (!head->has_key)
		return tk_err_set(err, TK_EINVAL, "a pack head without its key");
	rc = use_suite(ctx, head->suite, err);
	if (rc)
		return rc;
	if (ctx->aead && tk_equal_ct(ctx->key, head->seal_key, sizeof(ctx->key)))
		return TK_OK;
	if (ctx->aead)
		rc = tk_aead_rekey(ctx->aead, head->seal_key, sizeof(head->seal_key), err);
	else
		rc = tk_aead_new(head->suite, head->seal_key, sizeof(head->seal_key), &ctx->aead, err);
	if (rc) {
		tk_aead_cleanup(&ctx->aead);
		return rc;
	}
	memcpy(ctx->key, head->seal_key, sizeof(ctx->key));
	return TK_OK;
}

enum tk_rc
tk_sealer_new(struct tk_sealer **out, struct tk_err *err)
{
	TK_AUTO(tk_sealer_cleanup) struct tk_sealer *sealer = calloc(1, sizeof(*sealer));
	enum tk_rc rc;

	if (!sealer)
		return tk_err_set(err, TK_ENOMEM, "no memory for a sealer");
	rc = contexts_init(&sealer->ctx, err);
	if (rc)
		return rc;
	*out = sealer;
	sealer = NULL;
	return TK_OK;
}

void
tk_sealer_cleanup(struct tk_sealer **sealer)
{
	if (!*sealer)
		return;
	contexts_release(&(*sealer)->ctx);
	free(*sealer);
	*sealer = NULL;
}

enum tk_rc
tk_seal_blob(struct tk_sealer *sealer, const struct tk_pack_head *head, uint32_t blob, enum tk_blob_type type, enum tk_codec codec,
    int level, const void *plain, size_t plain_bytes, struct tk_buf *sealed, struct tk_blob_info *info, struct tk_err *err)
{
	struct contexts *ctx = &sealer->ctx;
	uint8_t nonce[TK_NONCE_BYTES], aad_tail[TK_BLOB_AAD_BYTES];
	const struct tk_bytes aad[] = {{head->header, sizeof(head->header)}, {aad_tail, sizeof(aad_tail)}};
	size_t coded_bytes;
	enum tk_rc rc;

	if (blob >= TK_PACK_BLOBS_MAX)
		return tk_err_set(err, TK_EINVAL, "blob %u of a pack", (unsigned)blob);
	if (plain_bytes > tk_blob_plain_max((unsigned)type))
		return tk_err_set(err, TK_EINVAL, "%zu bytes are too many for a blob of type %d", plain_bytes, (int)type);
	rc = use_pack(ctx, head, err);
	if (rc)
		return rc;
	tk_buf_clear(sealed);
	memset(info, 0, sizeof(*info));
	rc = tk_buf_reserve(sealed, plain_bytes + tk_aead_tag_bytes(ctx->aead) + 1, err);
	if (rc == TK_OK)
		rc = tk_compress(ctx->comp, codec, level, plain, plain_bytes, sealed, &info->codec, err);
	coded_bytes = sealed->len_bytes;
	if (rc == TK_OK)
		rc = tk_buf_reserve(sealed, tk_aead_tag_bytes(ctx->aead), err);
	if (rc)
		return rc;
	info->type = type;
	info->plain_bytes = (uint32_t)plain_bytes;
	info->sealed_bytes = (uint32_t)(coded_bytes + tk_aead_tag_bytes(ctx->aead));
	tk_blob_seal_params(blob, info, nonce, aad_tail);
	rc = tk_aead_seal(ctx->aead, nonce, aad, 2, sealed->data, coded_bytes, sealed->data, err);
	if (rc)
		return rc;
	sealed->len_bytes = info->sealed_bytes;
	return tk_hash_whole(ctx->hash, sealed->data, sealed->len_bytes, info->digest.b, err);
}

enum tk_rc
tk_opener_new(struct tk_opener **out, struct tk_err *err)
{
	TK_AUTO(tk_opener_cleanup) struct tk_opener *opener = calloc(1, sizeof(*opener));
	enum tk_rc rc;

	if (!opener)
		return tk_err_set(err, TK_ENOMEM, "no memory for an opener");
	rc = contexts_init(&opener->ctx, err);
	if (rc)
		return rc;
	*out = opener;
	opener = NULL;
	return TK_OK;
}

void
tk_opener_cleanup(struct tk_opener **opener)
{
	if (!*opener)
		return;
	contexts_release(&(*opener)->ctx);
	tk_buf_release(&(*opener)->coded);
	free(*opener);
	*opener = NULL;
}

static enum tk_rc
find_blob(const struct tk_pack_index *index, uint32_t blob, size_t sealed_bytes, const struct tk_blob_info **info, struct tk_err *err)
{
	if (blob >= index->blob_count)
		return tk_err_set(err, TK_ECORRUPT, "the pack has no blob %u", (unsigned)blob);
	*info = &index->blobs[blob];
	if (sealed_bytes != (*info)->sealed_bytes)
		return tk_err_set(err, TK_ECORRUPT, "blob %u: %zu bytes instead of %u", (unsigned)blob, sealed_bytes,
		    (unsigned)(*info)->sealed_bytes);
	return TK_OK;
}

enum tk_rc
tk_check_blob(struct tk_opener *opener, const struct tk_pack_index *index, uint32_t blob, const void *sealed, size_t sealed_bytes,
    struct tk_err *err)
{
	const struct tk_blob_info *info;
	struct tk_digest digest;
	enum tk_rc rc;

	rc = find_blob(index, blob, sealed_bytes, &info, err);
	if (rc == TK_OK)
		rc = use_suite(&opener->ctx, index->head.suite, err);
	if (rc == TK_OK)
		rc = tk_hash_whole(opener->ctx.hash, sealed, sealed_bytes, digest.b, err);
	if (rc)
		return rc;
	if (memcmp(&digest, &info->digest, sizeof(digest)) != 0)
		return tk_err_set(err, TK_ECORRUPT, "blob %u: the digest is wrong", (unsigned)blob);
	return TK_OK;
}

static enum tk_rc
open_sealed(struct contexts *ctx, const struct tk_pack_index *index, uint32_t blob, const void *sealed, void *coded, struct tk_err *err)
{
	const struct tk_blob_info *info = &index->blobs[blob];
	uint8_t nonce[TK_NONCE_BYTES], aad_tail[TK_BLOB_AAD_BYTES];
	const struct tk_bytes aad[] = {{index->head.header, sizeof(index->head.header)}, {aad_tail, sizeof(aad_tail)}};
	enum tk_rc rc;

	tk_blob_seal_params(blob, info, nonce, aad_tail);
	rc = tk_aead_open(ctx->aead, nonce, aad, 2, sealed, info->sealed_bytes, coded, err);
	return rc ? tk_err_context(err, rc, "blob %u", (unsigned)blob) : TK_OK;
}

/* The digest is not asked again: the tag covers the same bytes, and under a key that only this pack has. */
enum tk_rc
tk_open_blob(struct tk_opener *opener, const struct tk_pack_index *index, uint32_t blob, const void *sealed, size_t sealed_bytes,
    struct tk_buf *plain, struct tk_err *err)
{
	struct contexts *ctx = &opener->ctx;
	const struct tk_blob_info *info;
	struct tk_buf *coded;
	size_t coded_bytes;
	enum tk_rc rc;

	tk_buf_clear(plain);
	rc = find_blob(index, blob, sealed_bytes, &info, err);
	if (rc == TK_OK)
		rc = use_pack(ctx, &index->head, err);
	if (rc)
		return rc;
	coded = info->codec == TK_CODEC_RAW ? plain : &opener->coded;
	coded_bytes = sealed_bytes - tk_aead_tag_bytes(ctx->aead);
	tk_buf_clear(coded);
	rc = tk_buf_reserve(coded, coded_bytes ? coded_bytes : 1, err);
	if (rc == TK_OK)
		rc = open_sealed(ctx, index, blob, sealed, coded->data, err);
	if (rc)
		return rc;
	if (coded != plain) {
		rc = tk_buf_reserve(plain, info->plain_bytes ? info->plain_bytes : 1, err);
		if (rc == TK_OK)
			rc = tk_decompress(ctx->comp, (uint32_t)info->codec, coded->data, coded_bytes, plain->data, info->plain_bytes, err);
		if (rc)
			return rc == TK_ECORRUPT ? tk_err_context(err, rc, "blob %u", (unsigned)blob) : rc;
	}
	plain->len_bytes = info->plain_bytes;
	return TK_OK;
}

enum tk_rc
tk_prove_blob(struct tk_opener *opener, const struct tk_pack_index *index, uint32_t blob, void *sealed, size_t sealed_bytes, struct tk_err *err)
{
	const struct tk_blob_info *info;
	enum tk_rc rc = find_blob(index, blob, sealed_bytes, &info, err);

	if (rc == TK_OK)
		rc = use_pack(&opener->ctx, &index->head, err);
	return rc ? rc : open_sealed(&opener->ctx, index, blob, sealed, sealed, err);
}
