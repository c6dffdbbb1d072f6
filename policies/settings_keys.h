/* settings_keys.h -- the table of configuration keys, private to policies/. */
#ifndef TK_POLICIES_SETTINGS_KEYS_H
#define TK_POLICIES_SETTINGS_KEYS_H

#include <limits.h>
#include <stddef.h>

#include "policies/settings.h"

enum tk_key_type {
	TK_KEY_STRING,   /* char * */
	TK_KEY_COMMAND,  /* char * */
	TK_KEY_DIR,      /* char *, absolute path */
	TK_KEY_NAME,     /* char *, tk_name_is_valid */
	TK_KEY_URL,      /* struct tk_site_url, and url_text beside it */
	TK_KEY_LIST,     /* struct tk_strings */
	TK_KEY_PATHS,    /* struct tk_strings, absolute paths */
	TK_KEY_BOOL,     /* bool */
	TK_KEY_CHOICE,   /* an enum, in the order of `choices` */
	TK_KEY_NUMBER,   /* uint64_t, min..max */
	TK_KEY_SIZE,     /* uint64_t, bytes, min..max; "auto" is 0 where 0 is allowed */
	TK_KEY_DURATION, /* int64_t, ms, min..max */
	TK_KEY_WINDOW,   /* struct tk_window */
	TK_KEY_DOMAIN,   /* uint8_t[16], and has_domain_id beside it */
};

struct tk_config_key {
	struct tk_config_key_info info;
	enum tk_key_type type;
	size_t offset;           /* in the struct of the section */
	uint64_t min, max;
};

extern const struct tk_config_key tk_config_key_table[];
extern const size_t tk_config_key_count;

/* Stores `text` at the key's place in `base`. Lists append. Errors: TK_EINVAL with "what is wrong; what to write
 * instead", TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_config_key_store(const struct tk_config_key *key, void *base, const char *text, struct tk_err *err);
/* Gives every key of the section its fallback. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_config_section_init(enum tk_config_section section, void *base, struct tk_err *err);
/* Frees what the keys of the section own; not the item's name. */
void tk_config_section_release(enum tk_config_section section, void *base);
/* The key of that name in the section, or NULL. */
const struct tk_config_key *tk_config_key_find(enum tk_config_section section, const char *name);
/* The name nearest to a mistyped one among keys and sections valid there, or NULL. */
const char *tk_config_key_nearest(enum tk_config_section section, const char *name);

/* Appends a copy. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_strings_add(struct tk_strings *list, const char *text, struct tk_err *err);
void tk_strings_release(struct tk_strings *list);

/* Reads a whole regular file of at most 1 MiB (the scanner would end the process over a directory or a read error).
 * *text is the caller's to free. Errors: TK_ENOENT, TK_EIO, TK_ECONFIG, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_config_file_read(const char *path, char **text, size_t *len_bytes, struct tk_err *err);
/* Turns comments into blanks, outside of quotes; a comment that is not closed stays. libconfuse counts the lines of
 * comments twice and more (3.3), so that mistakes below one would be told with a wrong line. */
void tk_config_blank_comments(char *text, size_t len_bytes);
/* Turns each statement whose key or section does not exist into blanks, and records it as a mistake: libconfuse would
 * end at the first. What follows a syntax error is left to libconfuse. Wants the text without comments. */
void tk_config_blank_unknown(char *text, size_t len_bytes, struct tk_mistakes *mistakes, const char *file);
/* The words and marks of a text without comments, one by one. END also stands for what libconfuse would not understand either. */
enum tk_token_kind {
	TK_TOKEN_END, TK_TOKEN_WORD, TK_TOKEN_QUOTED, TK_TOKEN_OPEN, TK_TOKEN_CLOSE, TK_TOKEN_ASSIGN, TK_TOKEN_CALL, TK_TOKEN_CALL_END, TK_TOKEN_COMMA
};
struct tk_token {
	enum tk_token_kind kind;
	size_t begin, end;
};
struct tk_tokens {
	const char *text;        /* borrowed */
	size_t len_bytes, at;
};
struct tk_token tk_tokens_next(struct tk_tokens *tokens);
/* Goes behind the mark that closes what `open` has opened just now; false when there is none. */
bool tk_tokens_skip(struct tk_tokens *tokens, enum tk_token_kind open, enum tk_token_kind close);
/* For libconfuse's scanner: does c go on with a word; the place behind the quoted string that begins at `at`. */
bool tk_config_in_word(char c);
size_t tk_config_skip_quoted(const char *text, size_t len_bytes, size_t at);
/* Where include(name) in the file `including` leads: a relative name is looked for beside that file, then among the
 * shipped policies; the first is the answer when it is in neither place. */
void tk_config_include_path(const char *including, const char *name, char path[PATH_MAX]);

/* What only the whole shows: names that are not there, nothing to do, rules that cannot be met. Resolves the
 * policies of datasets and fills in their sites. Mistakes go through tk_mistake_add. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_config_check(struct tk_config *cfg, struct tk_mistakes *mistakes, struct tk_err *err);
/* Records one, while there is room, in the order of lines among those of its file that were recorded last. */
void tk_mistake_add(struct tk_mistakes *mistakes, const char *file, unsigned line, const char *fmt, ...) TK_PRINTF(4, 5);
/* The mistake of a name that is no key of the section. */
void tk_mistake_add_unknown(struct tk_mistakes *mistakes, const char *file, unsigned line, enum tk_config_section section, const char *name);

#endif
