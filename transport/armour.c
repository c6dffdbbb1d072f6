#include "transport/armour.h"

#include <stdio.h>
#include <string.h>

#define LINE_BYTES 48u       /* 64 characters */
#define MARK_MAX 80

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void
encode_line(const uint8_t *src, size_t len, char dst[LINE_BYTES / 3 * 4 + 2])
{
	size_t at = 0;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t group = (uint32_t)src[i] << 16;

		if (i + 1 < len)
			group |= (uint32_t)src[i + 1] << 8;
		if (i + 2 < len)
			group |= src[i + 2];
		dst[at++] = digits[group >> 18];
		dst[at++] = digits[group >> 12 & 63];
		dst[at++] = i + 1 < len ? digits[group >> 6 & 63] : '=';
		dst[at++] = i + 2 < len ? digits[group & 63] : '=';
	}
	dst[at++] = '\n';
	dst[at] = '\0';
}

enum tk_rc
tk_armour_encode(const char *title, const void *data, size_t len_bytes, struct tk_buf *text, struct tk_err *err)
{
	char line[LINE_BYTES / 3 * 4 + 2], mark[MARK_MAX];
	const uint8_t *src = data;
	enum tk_rc rc;

	(void)snprintf(mark, sizeof(mark), "-----BEGIN %s-----\n", title);
	rc = tk_buf_put(text, mark, strlen(mark), err);
	for (size_t at = 0; !rc && at < len_bytes; at += LINE_BYTES) {
		encode_line(src + at, len_bytes - at < LINE_BYTES ? len_bytes - at : LINE_BYTES, line);
		rc = tk_buf_put(text, line, strlen(line), err);
	}
	if (rc)
		return rc;
	(void)snprintf(mark, sizeof(mark), "-----END %s-----\n", title);
	return tk_buf_put(text, mark, strlen(mark), err);
}

static enum tk_rc
decode_body(const char *src, size_t len, struct tk_buf *data, struct tk_err *err)
{
	uint32_t group = 0;
	unsigned have = 0, pad = 0;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; !rc && i < len; i++) {
		const char *digit = src[i] ? strchr(digits, src[i]) : NULL;
		uint8_t raw[3];

		if (src[i] == '\n' || src[i] == '\r' || src[i] == ' ')
			continue;
		if (src[i] == '=' && have >= 2 && pad < 2)
			pad++;
		else if (!digit || pad)
			return tk_err_set(err, TK_ECORRUPT, "not base64");
		group = group << 6 | (digit ? (uint32_t)(digit - digits) : 0);
		if (++have < 4)
			continue;
		raw[0] = (uint8_t)(group >> 16);
		raw[1] = (uint8_t)(group >> 8);
		raw[2] = (uint8_t)group;
		rc = tk_buf_put(data, raw, 3 - pad, err);
		have = 0;
		group = 0;
	}
	return !rc && have ? tk_err_set(err, TK_ECORRUPT, "base64 that is cut short") : rc;
}

enum tk_rc
tk_armour_decode(const char *title, const void *text, size_t len_bytes, struct tk_buf *data, struct tk_err *err)
{
	char begin_mark[MARK_MAX], end_mark[MARK_MAX];
	const char *begin, *end;

	(void)snprintf(begin_mark, sizeof(begin_mark), "-----BEGIN %s-----", title);
	(void)snprintf(end_mark, sizeof(end_mark), "-----END %s-----", title);
	begin = len_bytes ? memmem(text, len_bytes, begin_mark, strlen(begin_mark)) : NULL;
	if (!begin)
		return tk_err_set(err, TK_ECORRUPT, "no line %s", begin_mark);
	begin += strlen(begin_mark);
	end = memmem(begin, len_bytes - (size_t)(begin - (const char *)text), end_mark, strlen(end_mark));
	if (!end)
		return tk_err_set(err, TK_ECORRUPT, "no line %s", end_mark);
	return decode_body(begin, (size_t)(end - begin), data, err);
}
