/* counts.h -- how often each blob of a pack is referred to: a u32, little-endian, for each; past the end all are zero. */
#ifndef TK_VAULT_COUNTS_H
#define TK_VAULT_COUNTS_H

#include <stdbool.h>
#include <string.h>

#include "engine/base/buf.h"

#define TK_COUNT_BYTES 4u
/* A count that came here stays: what is referred to so often is kept for good, rather than dropped for a number that wrapped. */
#define TK_COUNT_MAX UINT32_MAX

static inline uint32_t
tk_count_get(const struct tk_buf *counts, uint32_t blob)
{
	const uint8_t *at;

	if (counts->len_bytes / TK_COUNT_BYTES <= blob)
		return 0;
	at = counts->data + (size_t)blob * TK_COUNT_BYTES;
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* One more. Errors: TK_ENOMEM. */
TK_MUST_CHECK static inline enum tk_rc
tk_count_add(struct tk_buf *counts, uint32_t blob, struct tk_err *err)
{
	size_t want_bytes = ((size_t)blob + 1) * TK_COUNT_BYTES;
	uint32_t count = tk_count_get(counts, blob);
	enum tk_rc rc;

	if (counts->len_bytes < want_bytes) {
		rc = tk_buf_reserve(counts, want_bytes - counts->len_bytes, err);
		if (rc)
			return rc;
		memset(counts->data + counts->len_bytes, 0, want_bytes - counts->len_bytes);
		counts->len_bytes = want_bytes;
	}
	if (count < TK_COUNT_MAX)
		tk_store_u32(counts->data + want_bytes - TK_COUNT_BYTES, count + 1);
	return TK_OK;
}

/* One less; *left are left. False: there was none. */
static inline bool
tk_count_take(struct tk_buf *counts, uint32_t blob, uint32_t *left)
{
	*left = tk_count_get(counts, blob);
	if (*left == 0)
		return false;
	if (*left < TK_COUNT_MAX)
		tk_store_u32(counts->data + (size_t)blob * TK_COUNT_BYTES, --*left);
	return true;
}

#endif
