/* buf.h -- a growing byte buffer with a size cap, and the encoders of every format.
 *
 * One owner, one thread at a time. Integers are little-endian; "uv" is LEB128 (unsigned, shortest form,
 * at most 10 bytes), "sv" is the zigzag form of a signed number as uv, "bytes" is a uv length and the bytes. */
#ifndef TK_BASE_BUF_H
#define TK_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct tk_buf {
	uint8_t *data;      /* owned; NULL when empty */
	size_t len_bytes;
	size_t cap_bytes;
	size_t max_bytes;   /* growing past it is TK_EINVAL; 0: no cap but SIZE_MAX / 2 */
};

/* An empty buffer that may grow to max_bytes (0: unbounded). Needs no release while empty. */
void tk_buf_init(struct tk_buf *buf, size_t max_bytes);
/* Frees; leaves an empty buffer with the same cap. */
void tk_buf_release(struct tk_buf *buf);
/* Forgets the content, keeps the memory. */
void tk_buf_clear(struct tk_buf *buf);

/* Makes room for more_bytes after the content. Errors: TK_ENOMEM, TK_EINVAL (over the cap). */
TK_MUST_CHECK enum tk_rc tk_buf_reserve(struct tk_buf *buf, size_t more_bytes, struct tk_err *err);

/* Encoders: append to buf. Errors as tk_buf_reserve. */
TK_MUST_CHECK enum tk_rc tk_buf_put(struct tk_buf *buf, const void *src, size_t len_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_buf_put_u8(struct tk_buf *buf, uint8_t value, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_buf_put_u16(struct tk_buf *buf, uint16_t value, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_buf_put_u32(struct tk_buf *buf, uint32_t value, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_buf_put_u64(struct tk_buf *buf, uint64_t value, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_buf_put_uv(struct tk_buf *buf, uint64_t value, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_buf_put_sv(struct tk_buf *buf, int64_t value, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_buf_put_bytes(struct tk_buf *buf, const void *src, size_t len_bytes, struct tk_err *err);

/* Stores at a place that exists already, for headers filled in later. */
void tk_store_u16(uint8_t *dst, uint16_t value);
void tk_store_u32(uint8_t *dst, uint32_t value);
void tk_store_u64(uint8_t *dst, uint64_t value);

#endif
