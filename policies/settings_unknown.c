/* Takes what no key or section is out of a configuration's text before libconfuse reads it, which would end at the first one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/settings_keys.h"

#define DEPTH_MAX 4
#define NAME_MAX_BYTES 128

struct scan {
	char *text;
	struct tk_tokens tokens;
	enum tk_config_section sections[DEPTH_MAX];
	size_t depth;                   /* the open section is sections[depth]; 0: the top */
};

static bool
is_section(enum tk_config_section within, const char *name, enum tk_config_section *section)
{
	static const struct {
		const char *name;
		enum tk_config_section section;
	} top[] = {{"site", TK_SECTION_SITE}, {"dataset", TK_SECTION_DATASET}, {"policy", TK_SECTION_POLICY}, {"daemon", TK_SECTION_DAEMON}};

	*section = TK_SECTION_KEEP;
	if (within == TK_SECTION_POLICY || within == TK_SECTION_DAEMON)
		return strcmp(name, "keep") == 0;
	for (size_t i = 0; within == TK_SECTION_TOP && i < sizeof(top) / sizeof(top[0]); i++) {
		if (strcmp(name, top[i].name) == 0) {
			*section = top[i].section;
			return true;
		}
	}
	return false;
}

/* Goes over what follows a key, and tells whether the key is one. False: this is no statement. */
static bool
statement(struct scan *scan, const char *name, bool *known)
{
	enum tk_config_section within = scan->sections[scan->depth], section;
	struct tk_token token = tk_tokens_next(&scan->tokens);

	if (token.kind == TK_TOKEN_ASSIGN) {
		*known = tk_config_key_find(within, name) != NULL;
		token = tk_tokens_next(&scan->tokens);
		return token.kind == TK_TOKEN_WORD || token.kind == TK_TOKEN_QUOTED ||
		       (token.kind == TK_TOKEN_OPEN && tk_tokens_skip(&scan->tokens, TK_TOKEN_OPEN, TK_TOKEN_CLOSE));
	}
	if (token.kind == TK_TOKEN_CALL) {
		*known = within == TK_SECTION_TOP && strcmp(name, "include") == 0;
		return tk_tokens_skip(&scan->tokens, TK_TOKEN_CALL, TK_TOKEN_CALL_END);
	}
	if (token.kind == TK_TOKEN_WORD || token.kind == TK_TOKEN_QUOTED)
		token = tk_tokens_next(&scan->tokens);
	if (token.kind != TK_TOKEN_OPEN)
		return false;
	*known = is_section(within, name, &section);
	if (!*known)
		return !tk_config_key_find(within, name) && tk_tokens_skip(&scan->tokens, TK_TOKEN_OPEN, TK_TOKEN_CLOSE);
	if (scan->depth + 1 == DEPTH_MAX)
		return false;
	scan->sections[++scan->depth] = section;
	return true;
}

static unsigned
line_at(const struct scan *scan, size_t at)
{
	unsigned line = 1;

	for (size_t i = 0; i < at; i++)
		line += scan->text[i] == '\n';
	return line;
}

static void
blank(struct scan *scan, size_t begin)
{
	for (size_t i = begin; i < scan->tokens.at; i++)
		if (scan->text[i] != '\n')
			scan->text[i] = ' ';
}

void
tk_config_blank_unknown(char *text, size_t len_bytes, struct tk_mistakes *mistakes, const char *file)
{
	struct scan scan = {.text = text, .tokens = {text, len_bytes, 0}, .sections = {TK_SECTION_TOP}};
	struct tk_token key;

	while ((key = tk_tokens_next(&scan.tokens)).kind != TK_TOKEN_END) {
		char name[NAME_MAX_BYTES];
		bool known = true;

		if (key.kind == TK_TOKEN_CLOSE && scan.depth > 0) {
			scan.depth--;
			continue;
		}
		if (key.kind != TK_TOKEN_WORD)
			return;
		(void)snprintf(name, sizeof(name), "%.*s", (int)(key.end - key.begin), text + key.begin);
		if (!statement(&scan, name, &known) || mistakes->count == TK_MISTAKES_MAX)
			return;
		if (known)
			continue;
		tk_mistake_add_unknown(mistakes, file, line_at(&scan, key.begin), scan.sections[scan.depth], name);
		blank(&scan, key.begin);
	}
}
