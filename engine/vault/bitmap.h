/* bitmap.h -- bits in a byte buffer: bit n is bit n % 8 of byte n / 8; past the end all are clear. */
#ifndef TK_VAULT_BITMAP_H
#define TK_VAULT_BITMAP_H

#include <stdbool.h>
#include <string.h>

#include "engine/base/buf.h"

static inline bool
tk_bit_get(const struct tk_buf *bits, uint32_t bit)
{
	return bit / 8 < bits->len_bytes && (bits->data[bit / 8] >> (bit % 8) & 1) != 0;
}

static inline void
tk_bit_clear(struct tk_buf *bits, uint32_t bit)
{
	if (bit / 8 < bits->len_bytes)
		bits->data[bit / 8] = (uint8_t)(bits->data[bit / 8] & ~(1u << (bit % 8)));
}

/* Grows the map when it is too short. Errors: TK_ENOMEM. */
TK_MUST_CHECK static inline enum tk_rc
tk_bit_set(struct tk_buf *bits, uint32_t bit, struct tk_err *err)
{
	size_t want_bytes = bit / 8 + 1;
	enum tk_rc rc;

	if (bits->len_bytes < want_bytes) {
		rc = tk_buf_reserve(bits, want_bytes - bits->len_bytes, err);
		if (rc)
			return rc;
		memset(bits->data + bits->len_bytes, 0, want_bytes - bits->len_bytes);
		bits->len_bytes = want_bytes;
	}
	bits->data[bit / 8] = (uint8_t)(bits->data[bit / 8] | 1u << (bit % 8));
	return TK_OK;
}

static inline uint32_t
tk_bit_count(const struct tk_buf *bits)
{
	uint32_t count = 0;

	for (size_t i = 0; i < bits->len_bytes; i++)
		count += (uint32_t)__builtin_popcount(bits->data[i]);
	return count;
}

#endif
