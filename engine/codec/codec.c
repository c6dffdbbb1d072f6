#include "engine/codec/codec.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <lz4.h>
#include <lz4hc.h>
#include <zstd.h>

#define LZ4_HIGH_LEVEL 3

struct tk_compressor {
	ZSTD_CCtx *zstd_pack;
	ZSTD_DCtx *zstd_unpack;
	void *lz4_fast;   /* the states of LZ4_compress_fast_extState and of its slow sister */
	void *lz4_high;
};

enum tk_rc
tk_compressor_new(struct tk_compressor **out, struct tk_err *err)
{
	*out = calloc(1, sizeof(**out));
	return *out != NULL ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for a compressor");
}

void
tk_compressor_free(struct tk_compressor *comp)
{
	if (comp == NULL)
		return;
	ZSTD_freeCCtx(comp->zstd_pack);
	ZSTD_freeDCtx(comp->zstd_unpack);
	free(comp->lz4_fast);
	free(comp->lz4_high);
	free(comp);
}

void
tk_compressor_cleanup(struct tk_compressor **comp)
{
	tk_compressor_free(*comp);
	*comp = NULL;
}

/* The packers write at most room_bytes; *packed_bytes is 0 when that is not enough. */
static enum tk_rc
pack_zstd(struct tk_compressor *comp, int level, const void *src, size_t len_bytes, uint8_t *dst, size_t room_bytes,
    size_t *packed_bytes, struct tk_err *err)
{
	size_t got;

	if (comp->zstd_pack == NULL)
		comp->zstd_pack = ZSTD_createCCtx();
	if (comp->zstd_pack == NULL)
		return tk_err_set(err, TK_ENOMEM, "no memory for zstd");
	got = ZSTD_CCtx_setParameter(comp->zstd_pack, ZSTD_c_compressionLevel, level);
	if (ZSTD_isError(got))
		return tk_err_set(err, TK_EIO, "zstd level %d: %s", level, ZSTD_getErrorName(got));
	got = ZSTD_compress2(comp->zstd_pack, dst, room_bytes, src, len_bytes);
	/* Too little room is the one error expected here: the bytes do not shrink. */
	*packed_bytes = ZSTD_isError(got) ? 0 : got;
	return TK_OK;
}

static enum tk_rc
pack_lz4(struct tk_compressor *comp, int level, const void *src, size_t len_bytes, uint8_t *dst, size_t room_bytes,
    size_t *packed_bytes, struct tk_err *err)
{
	const bool high = level >= LZ4_HIGH_LEVEL;
	void **state = high ? &comp->lz4_high : &comp->lz4_fast;
	int got;

	if (*state == NULL)
		*state = malloc((size_t)(high ? LZ4_sizeofStateHC() : LZ4_sizeofState()));
	if (*state == NULL)
		return tk_err_set(err, TK_ENOMEM, "no memory for LZ4");
	if (high)
		got = LZ4_compress_HC_extStateHC(*state, src, (char *)dst, (int)len_bytes, (int)room_bytes, level);
	else
		got = LZ4_compress_fast_extState(*state, src, (char *)dst, (int)len_bytes, (int)room_bytes, 1);
	*packed_bytes = got > 0 ? (size_t)got : 0;
	return TK_OK;
}

enum tk_rc
tk_compress(struct tk_compressor *comp, enum tk_codec codec, int level, const void *src, size_t len_bytes,
    struct tk_buf *dst, enum tk_codec *used, struct tk_err *err)
{
	size_t packed_bytes = 0;
	enum tk_rc rc;

	if (len_bytes > TK_CODEC_PLAIN_MAX)
		return tk_err_set(err, TK_EINVAL, "%zu bytes are too many to pack at once", len_bytes);
	if (codec != TK_CODEC_RAW && codec != TK_CODEC_ZSTD && codec != TK_CODEC_LZ4)
		return tk_err_set(err, TK_EUNSUPPORTED, "unknown codec %d", (int)codec);
	level = level < 1 ? 1 : level > TK_CODEC_LEVEL_MAX ? TK_CODEC_LEVEL_MAX : level;
	rc = tk_buf_reserve(dst, len_bytes, err);
	if (rc == TK_OK && len_bytes > 1 && codec == TK_CODEC_ZSTD)
		rc = pack_zstd(comp, level, src, len_bytes, dst->data + dst->len_bytes, len_bytes - 1, &packed_bytes, err);
	if (rc == TK_OK && len_bytes > 1 && codec == TK_CODEC_LZ4)
		rc = pack_lz4(comp, level, src, len_bytes, dst->data + dst->len_bytes, len_bytes - 1, &packed_bytes, err);
	if (rc != TK_OK)
		return rc;
	*used = packed_bytes > 0 ? codec : TK_CODEC_RAW;
	if (packed_bytes == 0 && len_bytes > 0) {
		memcpy(dst->data + dst->len_bytes, src, len_bytes);
		packed_bytes = len_bytes;
	}
	dst->len_bytes += packed_bytes;
	return TK_OK;
}

static enum tk_rc
unpack_zstd(struct tk_compressor *comp, const void *src, size_t len_bytes, void *dst, size_t plain_bytes, struct tk_err *err)
{
	size_t got;

	if (comp->zstd_unpack == NULL)
		comp->zstd_unpack = ZSTD_createDCtx();
	if (comp->zstd_unpack == NULL)
		return tk_err_set(err, TK_ENOMEM, "no memory for zstd");
	/* In one call dst itself is the window: a frame that declares a huge one gets no memory for it. */
	got = ZSTD_decompressDCtx(comp->zstd_unpack, dst, plain_bytes, src, len_bytes);
	if (ZSTD_isError(got))
		return tk_err_set(err, TK_ECORRUPT, "zstd: %s", ZSTD_getErrorName(got));
	if (got != plain_bytes)
		return tk_err_set(err, TK_ECORRUPT, "zstd: %zu bytes unpacked, %zu expected", got, plain_bytes);
	return TK_OK;
}

static enum tk_rc
unpack_lz4(const void *src, size_t len_bytes, void *dst, size_t plain_bytes, struct tk_err *err)
{
	int got = LZ4_decompress_safe(src, dst, (int)len_bytes, (int)plain_bytes);

	if (got < 0 || (size_t)got != plain_bytes)
		return tk_err_set(err, TK_ECORRUPT, "LZ4: malformed, or not %zu bytes", plain_bytes);
	return TK_OK;
}

enum tk_rc
tk_decompress(struct tk_compressor *comp, uint32_t codec, const void *src, size_t len_bytes, void *dst, size_t plain_bytes,
    struct tk_err *err)
{
	if (plain_bytes > TK_CODEC_PLAIN_MAX)
		return tk_err_set(err, TK_EINVAL, "%zu bytes are too many to unpack at once", plain_bytes);
	if (codec != TK_CODEC_RAW && codec != TK_CODEC_ZSTD && codec != TK_CODEC_LZ4)
		return tk_err_set(err, TK_EUNSUPPORTED, "unknown codec %u", (unsigned)codec);
	/* Packed is never longer than plain: also keeps LZ4's int lengths in range. */
	if (len_bytes > plain_bytes || (codec == TK_CODEC_RAW && len_bytes != plain_bytes))
		return tk_err_set(err, TK_ECORRUPT, "%zu packed bytes cannot be %zu plain ones", len_bytes, plain_bytes);
	switch ((enum tk_codec)codec) {
	case TK_CODEC_ZSTD:
		return unpack_zstd(comp, src, len_bytes, dst, plain_bytes, err);
	case TK_CODEC_LZ4:
		return unpack_lz4(src, len_bytes, dst, plain_bytes, err);
	case TK_CODEC_RAW:
	default:
		if (plain_bytes > 0)
			memcpy(dst, src, plain_bytes);
		return TK_OK;
	}
}
