#include "engine/base/hex.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

void
tk_hex_encode(const void *src, size_t len_bytes, char *dst)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = src;

	for (size_t i = 0; i < len_bytes; i++) {
		dst[2 * i] = digits[bytes[i] >> 4];
		dst[2 * i + 1] = digits[bytes[i] & 15];
	}
	dst[2 * len_bytes] = '\0';
}

static int
digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

enum tk_rc
tk_hex_decode(const char *text, void *dst, size_t len_bytes, struct tk_err *err)
{
	uint8_t *bytes = dst;

	if (strlen(text) != 2 * len_bytes)
		return tk_err_set(err, TK_EINVAL, "want %zu hexadecimal digits, not \"%s\"", 2 * len_bytes, text);
	for (size_t i = 0; i < len_bytes; i++) {
		int high = digit_value(text[2 * i]), low = digit_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return tk_err_set(err, TK_EINVAL, "\"%s\" is not hexadecimal", text);
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return TK_OK;
}

enum tk_rc
tk_random_bytes(void *dst, size_t len_bytes, struct tk_err *err)
{
	uint8_t *at = dst;

	while (len_bytes > 0) {
		ssize_t got = getrandom(at, len_bytes, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return tk_err_errno(err, TK_EIO, "getrandom");
		at += got;
		len_bytes -= (size_t)got;
	}
	return TK_OK;
}
