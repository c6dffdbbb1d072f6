#include <string.h>

#include "policies/settings_keys.h"

bool
tk_config_in_word(char c)
{
	return !strchr(" \t\r\n\"'={}()+,*#", c);
}

size_t
tk_config_skip_quoted(const char *text, size_t len_bytes, size_t at)
{
	char quote = text[at++];

	while (at < len_bytes && text[at] != quote)
		at += text[at] == '\\' ? 2 : 1;
	return at < len_bytes ? at + 1 : len_bytes;
}

/* Behind the comment that begins at `at`; `at` when none does, or when it has no end. */
static size_t
skip_comment(const char *text, size_t len_bytes, size_t at, bool word)
{
	bool slash = !word && text[at] == '/' && at + 1 < len_bytes;
	const char *end;

	if (text[at] == '#' || (slash && text[at + 1] == '/')) {
		end = memchr(text + at, '\n', len_bytes - at);
		return end ? (size_t)(end - text) : len_bytes;
	}
	if (!slash || text[at + 1] != '*')
		return at;
	end = memmem(text + at + 2, len_bytes - at - 2, "*/", 2);
	return end ? (size_t)(end - text) + 2 : at;
}

void
tk_config_blank_comments(char *text, size_t len_bytes)
{
	bool word = false;

	for (size_t at = 0; at < len_bytes;) {
		size_t behind = skip_comment(text, len_bytes, at, word);
		const char *close;

		if (behind > at) {
			for (; at < behind; at++)
				if (text[at] != '\n')
					text[at] = ' ';
			word = false;
		} else if (text[at] == '"' || text[at] == '\'') {
			at = tk_config_skip_quoted(text, len_bytes, at);
			word = false;
		} else if (!word && text[at] == '$' && at + 1 < len_bytes && text[at + 1] == '{') {
			close = memchr(text + at, '}', len_bytes - at);
			at = close ? (size_t)(close - text) + 1 : len_bytes;
		} else {
			word = tk_config_in_word(text[at++]);
		}
	}
}
