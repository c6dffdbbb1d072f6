#include "engine/base/buf.h"

#include <stdlib.h>
#include <string.h>

void
tk_buf_init(struct tk_buf *buf, size_t max_bytes)
{
	memset(buf, 0, sizeof(*buf));
	buf->max_bytes = max_bytes;
}

void
tk_buf_release(struct tk_buf *buf)
{
	size_t max_bytes = buf->max_bytes;

	free(buf->data);
	tk_buf_init(buf, max_bytes);
}

void
tk_buf_clear(struct tk_buf *buf)
{
	buf->len_bytes = 0;
}

enum tk_rc
tk_buf_reserve(struct tk_buf *buf, size_t more_bytes, struct tk_err *err)
{
	size_t limit = buf->max_bytes ? buf->max_bytes : SIZE_MAX / 2;
	size_t want, cap;
	uint8_t *grown;

	if (more_bytes > limit || buf->len_bytes > limit - more_bytes)
		return tk_err_set(err, TK_EINVAL, "a buffer would grow over its cap of %zu bytes", limit);
	want = buf->len_bytes + more_bytes;
	if (want <= buf->cap_bytes)
		return TK_OK;
	cap = buf->cap_bytes ? buf->cap_bytes : 256;
	while (cap < want)
		cap = cap > limit / 2 ? limit : cap * 2;
	grown = realloc(buf->data, cap);
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for a buffer of %zu bytes", cap);
	buf->data = grown;
	buf->cap_bytes = cap;
	return TK_OK;
}

enum tk_rc
tk_buf_put(struct tk_buf *buf, const void *src, size_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = tk_buf_reserve(buf, len_bytes, err);

	if (rc)
		return rc;
	if (len_bytes)
		memcpy(buf->data + buf->len_bytes, src, len_bytes);
	buf->len_bytes += len_bytes;
	return TK_OK;
}

void
tk_store_u16(uint8_t *dst, uint16_t value)
{
	dst[0] = (uint8_t)value;
	dst[1] = (uint8_t)(value >> 8);
}

void
tk_store_u32(uint8_t *dst, uint32_t value)
{
	tk_store_u16(dst, (uint16_t)value);
	tk_store_u16(dst + 2, (uint16_t)(value >> 16));
}

void
tk_store_u64(uint8_t *dst, uint64_t value)
{
	tk_store_u32(dst, (uint32_t)value);
	tk_store_u32(dst + 4, (uint32_t)(value >> 32));
}

enum tk_rc
tk_buf_put_u8(struct tk_buf *buf, uint8_t value, struct tk_err *err)
{
	return tk_buf_put(buf, &value, 1, err);
}

enum tk_rc
tk_buf_put_u16(struct tk_buf *buf, uint16_t value, struct tk_err *err)
{
	uint8_t raw[2];

	tk_store_u16(raw, value);
	return tk_buf_put(buf, raw, sizeof(raw), err);
}

enum tk_rc
tk_buf_put_u32(struct tk_buf *buf, uint32_t value, struct tk_err *err)
{
	uint8_t raw[4];

	tk_store_u32(raw, value);
	return tk_buf_put(buf, raw, sizeof(raw), err);
}

enum tk_rc
tk_buf_put_u64(struct tk_buf *buf, uint64_t value, struct tk_err *err)
{
	uint8_t raw[8];

	tk_store_u64(raw, value);
	return tk_buf_put(buf, raw, sizeof(raw), err);
}

enum tk_rc
tk_buf_put_uv(struct tk_buf *buf, uint64_t value, struct tk_err *err)
{
	uint8_t raw[10];
	size_t len = 0;

	while (value >= 0x80) {
		raw[len++] = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	raw[len++] = (uint8_t)value;
	return tk_buf_put(buf, raw, len, err);
}

enum tk_rc
tk_buf_put_sv(struct tk_buf *buf, int64_t value, struct tk_err *err)
{
	uint64_t zigzag = ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);

	return tk_buf_put_uv(buf, zigzag, err);
}

enum tk_rc
tk_buf_put_bytes(struct tk_buf *buf, const void *src, size_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = tk_buf_put_uv(buf, len_bytes, err);

	return rc ? rc : tk_buf_put(buf, src, len_bytes, err);
}
