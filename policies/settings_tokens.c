/* The words and marks of a configuration's text, for who looks at it beside libconfuse. */
#include <string.h>

#include "policies/settings_keys.h"

static size_t
word_end(const struct tk_tokens *tokens, size_t at)
{
	const char *close;

	if (tokens->text[at] == '$' && at + 1 < tokens->len_bytes && tokens->text[at + 1] == '{') {
		close = memchr(tokens->text + at, '}', tokens->len_bytes - at);
		return close ? (size_t)(close - tokens->text) + 1 : tokens->len_bytes;
	}
	while (at < tokens->len_bytes && tk_config_in_word(tokens->text[at]))
		at++;
	return at;
}

struct tk_token
tk_tokens_next(struct tk_tokens *tokens)
{
	static const char marks[] = "{}=(),";
	static const enum tk_token_kind kinds[] = {TK_TOKEN_OPEN, TK_TOKEN_CLOSE, TK_TOKEN_ASSIGN, TK_TOKEN_CALL, TK_TOKEN_CALL_END, TK_TOKEN_COMMA};
	struct tk_token token = {.kind = TK_TOKEN_END};
	const char *mark;

	while (tokens->at < tokens->len_bytes && memchr(" \t\r\n", tokens->text[tokens->at], 4))
		tokens->at++;
	token.begin = tokens->at;
	if (tokens->at < tokens->len_bytes) {
		char c = tokens->text[tokens->at];

		if (c == '+' && tokens->at + 1 < tokens->len_bytes && tokens->text[tokens->at + 1] == '=') {
			token.kind = TK_TOKEN_ASSIGN;
			tokens->at += 2;
		} else if (c == '"' || c == '\'') {
			token.kind = TK_TOKEN_QUOTED;
			tokens->at = tk_config_skip_quoted(tokens->text, tokens->len_bytes, tokens->at);
		} else if (c && (mark = strchr(marks, c))) {
			token.kind = kinds[mark - marks];
			tokens->at++;
		} else if (word_end(tokens, tokens->at) > tokens->at) {
			token.kind = TK_TOKEN_WORD;
			tokens->at = word_end(tokens, tokens->at);
		}
	}
	token.end = tokens->at;
	return token;
}

bool
tk_tokens_skip(struct tk_tokens *tokens, enum tk_token_kind open, enum tk_token_kind close)
{
	for (size_t depth = 1; depth > 0;) {
		struct tk_token token = tk_tokens_next(tokens);

		if (token.kind == TK_TOKEN_END)
			return false;
		depth += token.kind == open;
		depth -= token.kind == close;
	}
	return true;
}
