/* codec.h -- compression of blobs: zstd (RFC 8878), LZ4 block, or none.
 *
 * A tk_compressor belongs to one thread at a time and keeps the libraries' working memory between calls, so that a
 * blob costs no allocation. Memory is bounded: no plain text is longer than TK_CODEC_PLAIN_MAX, and the decoder
 * uses no window beyond the caller's own buffer. */
#ifndef TK_CODEC_CODEC_H
#define TK_CODEC_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"

/* The values are part of the format. */
enum tk_codec {
	TK_CODEC_RAW = 0,
	TK_CODEC_ZSTD = 1,
	TK_CODEC_LZ4 = 2,
};

#define TK_CODEC_PLAIN_MAX ((size_t)64 << 20)
#define TK_CODEC_LEVEL_MAX 19

struct tk_compressor;

/* On TK_OK the caller owns *out. Working memory is allocated when first used. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_compressor_new(struct tk_compressor **out, struct tk_err *err);
void tk_compressor_free(struct tk_compressor *comp);
void tk_compressor_cleanup(struct tk_compressor **comp);

/* Appends the len_bytes of src to dst in packed form; *used says in which codec: TK_CODEC_RAW, and the bytes as they are,
 * when packing would not make them fewer. level is zstd's (1 to TK_CODEC_LEVEL_MAX, a value outside is taken to the
 * nearest); LZ4 below 3 is the fast form, else the slow one. dst does not overlap src; it is unchanged on an error.
 * Errors: TK_EINVAL (too long), TK_EUNSUPPORTED (codec), TK_ENOMEM, TK_EIO (the library failed). */
TK_MUST_CHECK enum tk_rc tk_compress(struct tk_compressor *comp, enum tk_codec codec, int level, const void *src,
    size_t len_bytes, struct tk_buf *dst, enum tk_codec *used, struct tk_err *err);

/* Unpacks into dst, which has room for plain_bytes. All but dst and plain_bytes may come from outside. The plain text
 * must be exactly plain_bytes long. Errors: TK_ECORRUPT (malformed, or another length; dst is then undefined),
 * TK_EUNSUPPORTED (unknown codec), TK_EINVAL (plain_bytes over the maximum), TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_decompress(struct tk_compressor *comp, uint32_t codec, const void *src, size_t len_bytes,
    void *dst, size_t plain_bytes, struct tk_err *err);

#endif
