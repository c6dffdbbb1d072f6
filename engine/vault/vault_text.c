#include "engine/vault/vault_text.h"

#include <string.h>

#include "engine/base/hex.h"

#define HEX_BYTES_MAX 64

enum tk_rc
tk_vtext_line(struct tk_buf *text, const char *key, const char *value, struct tk_err *err)
{
	enum tk_rc rc = tk_buf_put(text, key, strlen(key), err);

	if (!rc)
		rc = tk_buf_put(text, " ", 1, err);
	if (!rc)
		rc = tk_buf_put(text, value, strlen(value), err);
	return rc ? rc : tk_buf_put(text, "\n", 1, err);
}

enum tk_rc
tk_vtext_hex(struct tk_buf *text, const char *key, const void *bytes, size_t len_bytes, struct tk_err *err)
{
	char hex[2 * HEX_BYTES_MAX + 1];

	if (len_bytes > HEX_BYTES_MAX)
		return tk_err_set(err, TK_EINVAL, "a value of %zu bytes", len_bytes);
	tk_hex_encode(bytes, len_bytes, hex);
	return tk_vtext_line(text, key, hex, err);
}

bool
tk_vtext_begins(const struct tk_buf *text, const char *first_line)
{
	size_t len = strlen(first_line);

	return text->len_bytes > len && memcmp(text->data, first_line, len) == 0 && text->data[len] == '\n';
}

enum tk_rc
tk_vtext_get(const struct tk_buf *text, const char *key, char *dst, size_t max_bytes, struct tk_err *err)
{
	size_t key_bytes = strlen(key), at = 0, line_bytes;

	while (at < text->len_bytes) {
		const uint8_t *line = text->data + at, *end = memchr(line, '\n', text->len_bytes - at);

		line_bytes = end ? (size_t)(end - line) : text->len_bytes - at;
		at += line_bytes + 1;
		if (line_bytes <= key_bytes || memcmp(line, key, key_bytes) != 0 || line[key_bytes] != ' ')
			continue;
		line_bytes -= key_bytes + 1;
		if (line_bytes >= max_bytes)
			return tk_err_set(err, TK_ECORRUPT, "line `%s` is too long", key);
		memcpy(dst, line + key_bytes + 1, line_bytes);
		dst[line_bytes] = '\0';
		return TK_OK;
	}
	return tk_err_set(err, TK_ECORRUPT, "line `%s` is missing", key);
}

enum tk_rc
tk_vtext_get_hex(const struct tk_buf *text, const char *key, void *dst, size_t len_bytes, struct tk_err *err)
{
	char hex[2 * HEX_BYTES_MAX + 1];
	enum tk_rc rc = tk_vtext_get(text, key, hex, sizeof(hex), err);

	if (!rc && tk_hex_decode(hex, dst, len_bytes, NULL))
		rc = tk_err_set(err, TK_ECORRUPT, "line `%s` is not %zu bytes in hexadecimal", key, len_bytes);
	return rc;
}
