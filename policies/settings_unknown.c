/* Takes what no key or section is out of a configuration's text before libconfuse reads it, which would end at the first one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/settings_keys.h"

#define DEPTH_MAX 4
#define NAME_MAX_BYTES 128

struct scan {
	char *text;                     /* without comments */
	size_t len_bytes, at;
	enum tk_config_section sections[DEPTH_MAX];
	size_t depth;                   /* the open section is sections[depth]; 0: the top */
};

enum kind { END, WORD, QUOTED, OPEN, CLOSE, ASSIGN, CALL, CALL_END, COMMA };

struct token {
	enum kind kind;
	size_t begin, end;
};

static size_t
word_end(const struct scan *scan, size_t at)
{
	const char *close;

	if (scan->text[at] == '$' && at + 1 < scan->len_bytes && scan->text[at + 1] == '{') {
		close = memchr(scan->text + at, '}', scan->len_bytes - at);
		return close ? (size_t)(close - scan->text) + 1 : scan->len_bytes;
	}
	while (at < scan->len_bytes && tk_config_in_word(scan->text[at]))
		at++;
	return at;
}

/* END also for what libconfuse would not understand either. */
static struct token
next(struct scan *scan)
{
	static const char marks[] = "{}=(),";
	static const enum kind kinds[] = {OPEN, CLOSE, ASSIGN, CALL, CALL_END, COMMA};
	struct token token = {.kind = END};
	const char *mark;

	while (scan->at < scan->len_bytes && memchr(" \t\r\n", scan->text[scan->at], 4))
		scan->at++;
	token.begin = scan->at;
	if (scan->at < scan->len_bytes) {
		char c = scan->text[scan->at];

		if (c == '+' && scan->at + 1 < scan->len_bytes && scan->text[scan->at + 1] == '=') {
			token.kind = ASSIGN;
			scan->at += 2;
		} else if (c == '"' || c == '\'') {
			token.kind = QUOTED;
			scan->at = tk_config_skip_quoted(scan->text, scan->len_bytes, scan->at);
		} else if (c && (mark = strchr(marks, c))) {
			token.kind = kinds[mark - marks];
			scan->at++;
		} else if (word_end(scan, scan->at) > scan->at) {
			token.kind = WORD;
			scan->at = word_end(scan, scan->at);
		}
	}
	token.end = scan->at;
	return token;
}

/* Goes behind the mark that closes what `open` has opened just now. */
static bool
skip_to_close(struct scan *scan, enum kind open, enum kind close)
{
	for (size_t depth = 1; depth > 0;) {
		struct token token = next(scan);

		if (token.kind == END)
			return false;
		depth += token.kind == open;
		depth -= token.kind == close;
	}
	return true;
}

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
	struct token token = next(scan);

	if (token.kind == ASSIGN) {
		*known = tk_config_key_find(within, name) != NULL;
		token = next(scan);
		return token.kind == WORD || token.kind == QUOTED || (token.kind == OPEN && skip_to_close(scan, OPEN, CLOSE));
	}
	if (token.kind == CALL) {
		*known = within == TK_SECTION_TOP && strcmp(name, "include") == 0;
		return skip_to_close(scan, CALL, CALL_END);
	}
	if (token.kind == WORD || token.kind == QUOTED)
		token = next(scan);
	if (token.kind != OPEN)
		return false;
	*known = is_section(within, name, &section);
	if (!*known)
		return !tk_config_key_find(within, name) && skip_to_close(scan, OPEN, CLOSE);
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
	for (size_t i = begin; i < scan->at; i++)
		if (scan->text[i] != '\n')
			scan->text[i] = ' ';
}

void
tk_config_blank_unknown(char *text, size_t len_bytes, struct tk_mistakes *mistakes, const char *file)
{
	struct scan scan = {.text = text, .len_bytes = len_bytes, .sections = {TK_SECTION_TOP}};
	struct token key;

	while ((key = next(&scan)).kind != END) {
		char name[NAME_MAX_BYTES];
		bool known = true;

		if (key.kind == CLOSE && scan.depth > 0) {
			scan.depth--;
			continue;
		}
		if (key.kind != WORD)
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
