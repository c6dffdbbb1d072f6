#include "engine/base/cursor.h"

#include <string.h>

void
tk_cursor_init(struct tk_cursor *cur, const void *data, size_t len_bytes)
{
	cur->data = data;
	cur->len_bytes = len_bytes;
	cur->pos_bytes = 0;
	cur->fault = NULL;
}

void
tk_cursor_fail(struct tk_cursor *cur, const char *fault)
{
	if (!cur->fault)
		cur->fault = fault;
}

bool
tk_cursor_ok(const struct tk_cursor *cur)
{
	return cur->fault == NULL;
}

size_t
tk_cursor_left(const struct tk_cursor *cur)
{
	return cur->len_bytes - cur->pos_bytes;
}

const uint8_t *
tk_cursor_take(struct tk_cursor *cur, size_t len_bytes)
{
	const uint8_t *at;

	if (cur->fault)
		return NULL;
	if (len_bytes > tk_cursor_left(cur)) {
		tk_cursor_fail(cur, "cut short");
		return NULL;
	}
	at = cur->data + cur->pos_bytes;
	cur->pos_bytes += len_bytes;
	return at;
}

void
tk_cursor_copy(struct tk_cursor *cur, void *dst, size_t len_bytes)
{
	const uint8_t *at = tk_cursor_take(cur, len_bytes);

	if (len_bytes == 0)
		return;
	if (at)
		memcpy(dst, at, len_bytes);
	else
		memset(dst, 0, len_bytes);
}

static uint64_t
take_le(struct tk_cursor *cur, size_t len_bytes)
{
	const uint8_t *at = tk_cursor_take(cur, len_bytes);
	uint64_t value = 0;

	for (size_t i = 0; at && i < len_bytes; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

uint8_t
tk_cursor_u8(struct tk_cursor *cur)
{
	return (uint8_t)take_le(cur, 1);
}

uint16_t
tk_cursor_u16(struct tk_cursor *cur)
{
	return (uint16_t)take_le(cur, 2);
}

uint32_t
tk_cursor_u32(struct tk_cursor *cur)
{
	return (uint32_t)take_le(cur, 4);
}

uint64_t
tk_cursor_u64(struct tk_cursor *cur)
{
	return take_le(cur, 8);
}

uint64_t
tk_cursor_uv(struct tk_cursor *cur)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte = tk_cursor_u8(cur);

		if (cur->fault)
			return 0;
		if (shift == 63 && byte > 1)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if (byte == 0 && shift > 0) {
			tk_cursor_fail(cur, "a number is not in its shortest form");
			return 0;
		}
		return value;
	}
	tk_cursor_fail(cur, "a number is over 64 bits");
	return 0;
}

uint64_t
tk_cursor_uv_max(struct tk_cursor *cur, uint64_t max)
{
	uint64_t value = tk_cursor_uv(cur);

	if (value <= max)
		return value;
	tk_cursor_fail(cur, "a number is over its limit");
	return 0;
}

int64_t
tk_cursor_sv(struct tk_cursor *cur)
{
	uint64_t zigzag = tk_cursor_uv(cur);
	uint64_t magnitude = zigzag >> 1;

	return (zigzag & 1) ? -(int64_t)magnitude - 1 : (int64_t)magnitude;
}

const uint8_t *
tk_cursor_bytes(struct tk_cursor *cur, size_t max_bytes, size_t *len_bytes)
{
	size_t len = (size_t)tk_cursor_uv_max(cur, max_bytes);
	const uint8_t *at = tk_cursor_take(cur, len);

	*len_bytes = at ? len : 0;
	return at;
}

enum tk_rc
tk_cursor_check(const struct tk_cursor *cur, const char *what, struct tk_err *err)
{
	if (!cur->fault)
		return TK_OK;
	return tk_err_set(err, TK_ECORRUPT, "%s: %s at byte %zu", what, cur->fault, cur->pos_bytes);
}

enum tk_rc
tk_cursor_end(const struct tk_cursor *cur, const char *what, struct tk_err *err)
{
	enum tk_rc rc = tk_cursor_check(cur, what, err);

	if (rc)
		return rc;
	if (tk_cursor_left(cur))
		return tk_err_set(err, TK_ECORRUPT, "%s: %zu bytes left over", what, tk_cursor_left(cur));
	return TK_OK;
}
