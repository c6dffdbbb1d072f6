/* The one thing that a program writes into a configuration that people wrote: the id of a dataset. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "policies/settings_keys.h"

#define ID_BYTES 16

static bool
says(const char *text, struct tk_token token, const char *word)
{
	size_t quote = token.kind == TK_TOKEN_QUOTED, len = strlen(word);

	return (token.kind == TK_TOKEN_WORD || token.kind == TK_TOKEN_QUOTED) && token.end - token.begin == len + 2 * quote &&
	       memcmp(text + token.begin + quote, word, len) == 0;
}

/* Behind the brace that opens the section; 0: there is none. */
static size_t
section_body(const char *text, size_t len_bytes, const char *name)
{
	struct tk_tokens tokens = {text, len_bytes, 0};
	struct tk_token before[2] = {{.kind = TK_TOKEN_END}, {.kind = TK_TOKEN_END}}, token;

	while ((token = tk_tokens_next(&tokens)).kind != TK_TOKEN_END) {
		if (token.kind == TK_TOKEN_OPEN && says(text, before[0], "dataset") && says(text, before[1], name))
			return token.end;
		if (token.kind == TK_TOKEN_OPEN && !tk_tokens_skip(&tokens, TK_TOKEN_OPEN, TK_TOKEN_CLOSE))
			return 0;
		before[0] = before[1];
		before[1] = token;
	}
	return 0;
}

/* Where the key goes, and what comes before it: on a line of its own, unless the section goes on behind its brace. */
static size_t
place_of_key(const char *text, const char *blanked, size_t len_bytes, size_t body, const char **before)
{
	const char *end = memchr(blanked + body, '\n', len_bytes - body);
	size_t line_end = end ? (size_t)(end - blanked) : len_bytes;

	*before = " ";
	for (size_t i = body; i < line_end; i++)
		if (!memchr(" \t\r", blanked[i], 3))
			return body;
	*before = "\n\t";
	/* A comment behind the brace stays there; one that goes on to the next line must not swallow the key. */
	return memmem(text + body, line_end - body, "/*", 2) ? body : line_end;
}

enum tk_rc
tk_config_put_id(const char *text, size_t len_bytes, const char *dataset, const uint8_t id[16], struct tk_buf *out, struct tk_err *err)
{
	char *copy = malloc(len_bytes + 1), hex[2 * ID_BYTES + 1];
	const char *before = "";
	size_t at;
	enum tk_rc rc;

	if (!copy)
		return tk_err_set(err, TK_ENOMEM, "out of memory");
	memcpy(copy, text, len_bytes);
	tk_config_blank_comments(copy, len_bytes);
	at = section_body(copy, len_bytes, dataset);
	if (at > 0)
		at = place_of_key(text, copy, len_bytes, at, &before);
	free(copy);
	if (at == 0)
		return tk_err_set(err, TK_ENOENT, "no section of dataset %s is to be seen", dataset);
	tk_hex_encode(id, ID_BYTES, hex);
	if ((rc = tk_buf_put(out, text, at, err)) || (rc = tk_buf_put(out, before, strlen(before), err)) || (rc = tk_buf_put(out, "id = ", 5, err)) ||
	    (rc = tk_buf_put(out, hex, strlen(hex), err)))
		return rc;
	return tk_buf_put(out, text + at, len_bytes - at, err);
}
