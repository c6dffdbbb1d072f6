/* Reads twinkeep.conf with libconfuse, which does the syntax: sections, lists, quotes, comments, ${VARIABLES}.
 * Values come to on_value() one by one, with their line, and are stored by the table of keys. */
#include "policies/settings.h"

#include <confuse.h>
#include <libgen.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/settings_keys.h"

#define DEPTH_MAX 8
#define FILES_MAX 64
#define KEYS_MAX 96
#define END_OF_FILE "end-of-file"

struct reader {
	void *sink;                     /* where libconfuse puts its own, unused value; first: see reader_of() */
	struct tk_config *cfg;          /* owned until it is handed out */
	struct tk_mistakes *mistakes;
	cfg_t *root;
	/* Sections are filled in here and move to the configuration when they close. */
	struct tk_config_site site;
	struct tk_config_dataset dataset;
	struct tk_config_policy policy;
	struct tk_config_keep keep;
	bool keep_seen;
	unsigned opened_line[TK_SECTION_COUNT];
	unsigned seen_line[KEYS_MAX];   /* where a key of the open section was given; 0: not yet */
	unsigned depth;
	unsigned line_count;            /* of the file that is being read */
	bool end_seen;                  /* the file's last line was understood */
	enum tk_rc fatal;               /* TK_ENOMEM ends the reading */
};

static const char *const section_names[TK_SECTION_COUNT] = {
	[TK_SECTION_TOP] = "root",
	[TK_SECTION_SITE] = "site",
	[TK_SECTION_DATASET] = "dataset",
	[TK_SECTION_POLICY] = "policy",
	[TK_SECTION_DAEMON] = "daemon",
	[TK_SECTION_KEEP] = "keep",
};

/* libconfuse's callbacks have no argument of their own, but every section has a first key, and every key points at
 * the sink, which is the reader's first member. */
static struct reader *
reader_of(const cfg_t *cfg)
{
	return (struct reader *)(void *)cfg->opts[0].simple_value.ptr;
}

static enum tk_config_section
section_of(const cfg_t *cfg)
{
	for (unsigned i = 0; i < TK_SECTION_COUNT; i++)
		if (strcmp(cfg->name, section_names[i]) == 0)
			return (enum tk_config_section)i;
	return TK_SECTION_TOP;
}

static void *
section_base(struct reader *rd, enum tk_config_section section)
{
	switch (section) {
	case TK_SECTION_SITE:
		return &rd->site;
	case TK_SECTION_DATASET:
		return &rd->dataset;
	case TK_SECTION_POLICY:
		return &rd->policy;
	case TK_SECTION_DAEMON:
		return &rd->cfg->daemon;
	case TK_SECTION_KEEP:
		return &rd->keep;
	case TK_SECTION_TOP:
	case TK_SECTION_COUNT:
		break;
	}
	return rd->cfg;
}

/* The configuration's own copy of a file's name. */
static const char *
file_name(const struct reader *rd, const char *name)
{
	for (size_t i = 0; i < rd->cfg->files.count; i++)
		if (strcmp(rd->cfg->files.items[i], name) == 0)
			return rd->cfg->files.items[i];
	return rd->cfg->files.items[0];
}

/* An open quote or comment runs past the last line that the user sees. */
static unsigned
line_of(const struct reader *rd, const cfg_t *cfg)
{
	return (unsigned)cfg->line < rd->line_count ? (unsigned)cfg->line : rd->line_count;
}

static unsigned
lines_in(const char *text, size_t len_bytes)
{
	unsigned count = 1;

	for (size_t i = 0; i + 1 < len_bytes; i++)
		count += text[i] == '\n';
	return count;
}

static const struct advice {
	const char *begin, *advice;
} syntax_advice[] = {
	{"missing equal sign", "write KEY = VALUE"},
	{"missing opening brace", "write SECTION NAME { KEY = VALUE }"},
	{"missing title", "write SECTION NAME { KEY = VALUE }"},
	{"missing parenthesis", "write include(\"FILE\")"},
	{"syntax error in call", "write include(\"FILE\")"},
	{"premature end of file", "close every brace and every quote"},
	{"unterminated string", "close every quote"},
	{"unexpected closing brace", "remove it, or open its section before it"},
	{"unexpected token", "write KEY = VALUE on a line, and quotes around anything but a plain word"},
	{"attempt to append", "write KEY = VALUE"},
};

static void on_error(cfg_t *cfg, const char *fmt, va_list args) TK_PRINTF(2, 0);

static void
on_error(cfg_t *cfg, const char *fmt, va_list args)
{
	struct reader *rd = reader_of(cfg);
	enum tk_config_section section = section_of(cfg);
	const char *advice = "see twinkeep.conf(5) for how it is written";
	char text[512], name[128];

	(void)vsnprintf(text, sizeof(text), fmt, args);
	if (section != TK_SECTION_TOP && strcmp(text, "no such option '" END_OF_FILE "'") == 0) {
		tk_mistake_add(rd->mistakes, cfg->filename, line_of(rd, cfg), "the file ends inside a %s section; write } where the section ends",
			section_names[section]);
		return;
	}
	if (sscanf(text, "no such option '%127[^\n]", name) == 1 && strlen(name) > 1) {
		name[strlen(name) - 1] = '\0';
		tk_mistake_add_unknown(rd->mistakes, cfg->filename, line_of(rd, cfg), section, name);
		return;
	}
	if (sscanf(text, "found duplicate title '%127[^']", name) == 1) {
		tk_mistake_add(rd->mistakes, cfg->filename, line_of(rd, cfg), "a second section has the name \"%s\"; give each its own", name);
		return;
	}
	for (size_t i = 0; i < sizeof(syntax_advice) / sizeof(syntax_advice[0]); i++)
		if (strncmp(text, syntax_advice[i].begin, strlen(syntax_advice[i].begin)) == 0)
			advice = syntax_advice[i].advice;
	tk_mistake_add(rd->mistakes, cfg->filename, line_of(rd, cfg), "%s; %s", text, advice);
}

/* Remembers where a key stands, and finds one that is given twice. */
static void
key_seen(struct reader *rd, cfg_t *cfg, cfg_opt_t *opt, const struct tk_config_key *key)
{
	size_t index = (size_t)(key - tk_config_key_table);
	struct tk_config_where where = {file_name(rd, cfg->filename), line_of(rd, cfg)};

	if (key->info.section != TK_SECTION_TOP)
		rd->opened_line[key->info.section] = (unsigned)rd->root->line;
	/* "=" sets the flag, each element of a list comes here, "+=" does not set it. */
	if ((opt->flags & CFGF_RESET) && rd->seen_line[index])
		tk_mistake_add(rd->mistakes, cfg->filename, where.line, "%s is given twice, first in line %u; keep one", key->info.name,
			rd->seen_line[index]);
	opt->flags &= ~CFGF_RESET;
	rd->seen_line[index] = where.line;
	if (key->info.section == TK_SECTION_DATASET && strcmp(key->info.name, "policy") == 0)
		rd->dataset.policy_where = where;
	if (key->info.section == TK_SECTION_DATASET && strcmp(key->info.name, "sites") == 0)
		rd->dataset.sites_where = where;
}

static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	struct reader *rd = reader_of(cfg);
	const struct tk_config_key *key = tk_config_key_find(section_of(cfg), opt->name);
	struct tk_err err;
	enum tk_rc rc;

	*(void **)result = NULL;
	if (!key || !value)
		return -1;
	key_seen(rd, cfg, opt, key);
	tk_err_clear(&err);
	rc = tk_config_key_store(key, section_base(rd, key->info.section), value, &err);
	if (rc == TK_ENOMEM) {
		rd->fatal = rc;
		return -1;
	}
	if (rc)
		tk_mistake_add(rd->mistakes, cfg->filename, line_of(rd, cfg), "%s", err.text);
	return 0;
}

/* Checks what a section must have, and forgets which keys were seen in it. */
static void
section_finish(struct reader *rd, enum tk_config_section section, const char *title, struct tk_config_where where)
{
	if (title && !tk_name_is_valid(title))
		tk_mistake_add(rd->mistakes, where.file, where.line, "\"%.80s\" is not a name; write letters, digits, '.', '_' and '-', at most 64", title);
	for (size_t i = 0; i < tk_config_key_count; i++) {
		const struct tk_config_key_info *info = &tk_config_key_table[i].info;

		if (info->section != section)
			continue;
		if (!info->fallback && !rd->seen_line[i])
			tk_mistake_add(rd->mistakes, where.file, where.line, "%s%s%s has no %s; write %s = { \"...\" } or %s = \"...\"", section_names[section],
				title ? " " : "", title ? title : "", info->name, info->name, info->name);
		rd->seen_line[i] = 0;
	}
	rd->opened_line[section] = 0;
}

static enum tk_rc
draft_reset(struct reader *rd, enum tk_config_section section, void *base, size_t size)
{
	enum tk_rc rc;

	memset(base, 0, size);
	rc = tk_config_section_init(section, base, NULL);
	if (!rc && section == TK_SECTION_POLICY)
		rc = tk_config_section_init(TK_SECTION_KEEP, &rd->policy.keep, NULL);
	if (rc)
		rd->fatal = rc;
	return rc;
}

/* Moves a finished draft to the end of an array and starts a new one. */
static enum tk_rc
draft_push(struct reader *rd, enum tk_config_section section, void **array, size_t *count, void *draft, size_t size)
{
	char *grown = realloc(*array, (*count + 1) * size);

	if (!grown) {
		rd->fatal = TK_ENOMEM;
		return TK_ENOMEM;
	}
	memcpy(grown + *count * size, draft, size);
	*array = grown;
	(*count)++;
	return draft_reset(rd, section, draft, size);
}

static enum tk_rc
titled_close(struct reader *rd, enum tk_config_section section, const char *title, struct tk_config_where where)
{
	char *name = strdup(title);

	if (!name) {
		rd->fatal = TK_ENOMEM;
		return TK_ENOMEM;
	}
	switch (section) {
	case TK_SECTION_SITE:
		rd->site.name = name;
		rd->site.where = where;
		return draft_push(rd, section, (void **)&rd->cfg->sites, &rd->cfg->site_count, &rd->site, sizeof(rd->site));
	case TK_SECTION_DATASET:
		rd->dataset.name = name;
		rd->dataset.where = where;
		return draft_push(rd, section, (void **)&rd->cfg->datasets, &rd->cfg->dataset_count, &rd->dataset, sizeof(rd->dataset));
	default:
		rd->policy.name = name;
		rd->policy.where = where;
		return draft_push(rd, TK_SECTION_POLICY, (void **)&rd->cfg->policies, &rd->cfg->policy_count, &rd->policy, sizeof(rd->policy));
	}
}

static enum tk_rc
keep_close(struct reader *rd, const cfg_t *parent, struct tk_config_where where)
{
	if (rd->keep_seen)
		tk_mistake_add(rd->mistakes, where.file, where.line, "keep is given twice; keep one");
	rd->keep_seen = true;
	if (section_of(parent) == TK_SECTION_DAEMON)
		rd->cfg->daemon.keep = rd->keep;
	else
		rd->policy.keep = rd->keep;
	return draft_reset(rd, TK_SECTION_KEEP, &rd->keep, sizeof(rd->keep));
}

/* A section is complete; `cfg` is the one around it. */
static int
on_section_end(cfg_t *cfg, cfg_opt_t *opt)
{
	struct reader *rd = reader_of(cfg);
	const cfg_t *sec = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	enum tk_config_section section = section_of(sec);
	unsigned opened = rd->opened_line[section];
	struct tk_config_where where = {file_name(rd, cfg->filename), opened ? opened : (unsigned)sec->line};

	section_finish(rd, section, sec->title, where);
	if (section == TK_SECTION_KEEP)
		return keep_close(rd, cfg, where) ? -1 : 0;
	rd->keep_seen = false;
	if (section == TK_SECTION_DAEMON) {
		if (rd->cfg->daemon.present)
			tk_mistake_add(rd->mistakes, where.file, where.line, "a second daemon section; keep one");
		rd->cfg->daemon.present = true;
		rd->cfg->daemon.where = where;
		return 0;
	}
	return titled_close(rd, section, sec->title, where) ? -1 : 0;
}

static enum tk_rc text_parse(struct reader *rd, cfg_t *cfg, const char *text, size_t len_bytes, const char *path, bool *syntax_ok);

static enum tk_rc
file_parse(struct reader *rd, cfg_t *cfg, const char *path, bool *syntax_ok, struct tk_err *err)
{
	char *text;
	size_t len_bytes = 0;
	enum tk_rc rc = tk_config_file_read(path, &text, &len_bytes, err);

	if (rc)
		return rc;
	rc = text_parse(rd, cfg, text, len_bytes, path, syntax_ok);
	free(text);
	return rc ? tk_err_set(err, rc, "reading %s: out of memory", path) : TK_OK;
}

static int
on_include(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
	struct reader *rd = reader_of(cfg);
	char path[PATH_MAX];
	struct tk_err err;
	bool syntax_ok = true;

	(void)opt;
	if (argc != 1 || !argv[0][0]) {
		tk_mistake_add(rd->mistakes, cfg->filename, line_of(rd, cfg), "include wants one file; write include(\"FILE\")");
		return 0;
	}
	if (rd->depth >= DEPTH_MAX || rd->cfg->files.count >= FILES_MAX) {
		tk_mistake_add(rd->mistakes, cfg->filename, line_of(rd, cfg), "too many includes; let no file include itself");
		return -1;
	}
	tk_config_include_path(cfg->filename, argv[0], path);
	tk_err_clear(&err);
	if (file_parse(rd, cfg, path, &syntax_ok, &err))
		tk_mistake_add(rd->mistakes, cfg->filename, line_of(rd, cfg),
			"%s; name a file beside this one, by its whole path, or one from " TK_POLICY_DIR, err.text);
	return syntax_ok ? 0 : -1;
}

static int
on_end_of_file(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
	(void)opt;
	(void)argc;
	(void)argv;
	reader_of(cfg)->end_seen = true;
	return 0;
}

/* Parses one stream into cfg, which is in the middle of another one perhaps. */
static enum tk_rc
stream_parse(struct reader *rd, cfg_t *cfg, FILE *stream, const char *path, bool *syntax_ok)
{
	char *outer_name = cfg->filename, *name = strdup(path);
	int outer_line = cfg->line;

	if (!name || tk_strings_add(&rd->cfg->files, path, NULL)) {
		free(name);
		return TK_ENOMEM;
	}
	cfg->filename = name;
	rd->end_seen = false;
	rd->depth++;
	*syntax_ok = cfg_parse_fp(cfg, stream) == CFG_SUCCESS;
	rd->depth--;
	if (*syntax_ok && !rd->end_seen) {
		tk_mistake_add(rd->mistakes, path, line_of(rd, cfg), "a comment is not closed; write */ where it ends");
		*syntax_ok = false;
	}
	free(name);
	cfg->filename = outer_name;
	cfg->line = outer_line;
	return rd->fatal;
}

/* libconfuse takes the end of a file for the end of every section and comment that is open. So each file gets a last
 * line that only the top level knows. */
static enum tk_rc
text_parse(struct reader *rd, cfg_t *cfg, const char *text, size_t len_bytes, const char *path, bool *syntax_ok)
{
	static const char end[] = "\n" END_OF_FILE "()\n";
	size_t total_bytes = len_bytes + sizeof(end) - 1;
	char *copy = malloc(total_bytes);
	FILE *stream = copy ? fmemopen(copy, total_bytes, "r") : NULL;
	unsigned outer_count = rd->line_count;
	enum tk_rc rc = TK_ENOMEM;

	if (stream) {
		rd->line_count = lines_in(text, len_bytes);
		memcpy(copy, text, len_bytes);
		tk_config_blank_comments(copy, len_bytes);
		tk_config_blank_unknown(copy, len_bytes, rd->mistakes, path);
		memcpy(copy + len_bytes, end, sizeof(end) - 1);
		rc = stream_parse(rd, cfg, stream, path, syntax_ok);
		rd->line_count = outer_count;
		(void)fclose(stream);
	}
	free(copy);
	return rc;
}

/* The options of one section, from the table; plus room for its subsections and the end. */
static cfg_opt_t *
options_new(struct reader *rd, enum tk_config_section section)
{
	cfg_opt_t *opts = calloc(KEYS_MAX, sizeof(*opts));
	size_t count = 0;

	if (!opts)
		return NULL;
	for (size_t i = 0; i < tk_config_key_count; i++) {
		const struct tk_config_key *key = &tk_config_key_table[i];
		bool list = key->type == TK_KEY_LIST || key->type == TK_KEY_PATHS;

		if (key->info.section != section)
			continue;
		opts[count].name = key->info.name;
		opts[count].type = CFGT_PTR;
		opts[count].flags = CFGF_NODEFAULT | (list ? CFGF_LIST : CFGF_NONE);
		opts[count].simple_value.ptr = &rd->sink;
		opts[count++].parsecb = on_value;
	}
	return opts;
}

static void
option_add_section(cfg_opt_t *opts, enum tk_config_section section, cfg_opt_t *subopts)
{
	while (opts->name)
		opts++;
	opts->name = section_names[section];
	opts->type = CFGT_SEC;
	/* Also those that stand once: libconfuse makes the others early, when it has no file name for them. */
	opts->flags = CFGF_MULTI | (section <= TK_SECTION_POLICY ? CFGF_TITLE | CFGF_NO_TITLE_DUPES : CFGF_NONE);
	opts->subopts = subopts;
	opts->validcb = on_section_end;
}

static void
option_add_func(cfg_opt_t *opts, const char *name, cfg_func_t func)
{
	while (opts->name)
		opts++;
	opts->name = name;
	opts->type = CFGT_FUNC;
	opts->func = func;
}

static cfg_t *
parser_new(struct reader *rd)
{
	cfg_opt_t *opts[TK_SECTION_COUNT] = {NULL};
	cfg_t *cfg = NULL;
	bool good = true;

	for (unsigned i = 0; i < TK_SECTION_COUNT; i++) {
		opts[i] = options_new(rd, (enum tk_config_section)i);
		good = good && opts[i];
	}
	if (good) {
		option_add_section(opts[TK_SECTION_POLICY], TK_SECTION_KEEP, opts[TK_SECTION_KEEP]);
		option_add_section(opts[TK_SECTION_DAEMON], TK_SECTION_KEEP, opts[TK_SECTION_KEEP]);
		for (unsigned i = TK_SECTION_SITE; i <= TK_SECTION_DAEMON; i++)
			option_add_section(opts[TK_SECTION_TOP], (enum tk_config_section)i, opts[i]);
		option_add_func(opts[TK_SECTION_TOP], "include", on_include);
		option_add_func(opts[TK_SECTION_TOP], END_OF_FILE, on_end_of_file);
		cfg = cfg_init(opts[TK_SECTION_TOP], CFGF_NONE);
	}
	for (unsigned i = 0; i < TK_SECTION_COUNT; i++)
		free(opts[i]);
	if (cfg)
		(void)cfg_set_error_function(cfg, on_error);
	return cfg;
}

static void
on_error_silent(cfg_t *cfg, const char *fmt, va_list args)
{
	(void)cfg;
	(void)fmt;
	(void)args;
}

/* libconfuse's scanner is one for the process and stays inside the quote or comment where an error stopped it. This
 * text leads it out of each: a comment to all who are outside, the end to whoever is inside. */
static void
scanner_reset(void)
{
	static const char text[] = "#'\n#\"\n#*/\n";
	char copy[sizeof(text)];
	cfg_opt_t none[] = {CFG_END()};
	cfg_t *cfg = cfg_init(none, CFGF_NONE);
	FILE *stream;

	memcpy(copy, text, sizeof(text));
	stream = fmemopen(copy, sizeof(text) - 1, "r");
	if (cfg && stream) {
		(void)cfg_set_error_function(cfg, on_error_silent);
		(void)cfg_parse_fp(cfg, stream);
	}
	if (stream)
		(void)fclose(stream);
	if (cfg)
		cfg_free(cfg);
}

static void
reader_release(struct reader *rd)
{
	tk_config_section_release(TK_SECTION_SITE, &rd->site);
	tk_config_section_release(TK_SECTION_DATASET, &rd->dataset);
	tk_config_section_release(TK_SECTION_POLICY, &rd->policy);
	free(rd->site.name);
	free(rd->dataset.name);
	free(rd->policy.name);
	if (rd->root)
		cfg_free(rd->root);
	tk_config_free(rd->cfg);
}

static enum tk_rc
reader_init(struct reader *rd, const char *home, struct tk_mistakes *mistakes)
{
	memset(rd, 0, sizeof(*rd));
	rd->mistakes = mistakes;
	rd->cfg = calloc(1, sizeof(*rd->cfg));
	if (!rd->cfg || draft_reset(rd, TK_SECTION_TOP, rd->cfg, sizeof(*rd->cfg)))
		return TK_ENOMEM;
	rd->cfg->home = strdup(home);
	rd->root = parser_new(rd);
	if (!rd->cfg->home || !rd->root || tk_config_section_init(TK_SECTION_DAEMON, &rd->cfg->daemon, NULL) ||
		tk_config_section_init(TK_SECTION_KEEP, &rd->cfg->daemon.keep, NULL) ||
		draft_reset(rd, TK_SECTION_SITE, &rd->site, sizeof(rd->site)) ||
		draft_reset(rd, TK_SECTION_DATASET, &rd->dataset, sizeof(rd->dataset)) ||
		draft_reset(rd, TK_SECTION_POLICY, &rd->policy, sizeof(rd->policy)) ||
		draft_reset(rd, TK_SECTION_KEEP, &rd->keep, sizeof(rd->keep)))
		return TK_ENOMEM;
	return TK_OK;
}

static enum tk_rc
state_dir_fill(struct tk_config *cfg, const char *state_default)
{
	char *dir;

	if (cfg->state_dir && *cfg->state_dir)
		return TK_OK;
	if (state_default)
		dir = strdup(state_default);
	else if (asprintf(&dir, "%s/state", strcmp(cfg->home, "/") == 0 ? "" : cfg->home) < 0)
		dir = NULL;
	free(cfg->state_dir);
	cfg->state_dir = dir;
	return dir ? TK_OK : TK_ENOMEM;
}

static enum tk_rc
first_mistake(const struct tk_mistakes *mistakes, struct tk_err *err)
{
	const struct tk_mistake *first = &mistakes->items[0];

	if (mistakes->count == 1)
		return tk_err_set(err, TK_ECONFIG, "%s:%u: %s", first->file, first->line, first->text);
	return tk_err_set(err, TK_ECONFIG, "%s:%u: %s (and %zu more)", first->file, first->line, first->text, mistakes->count - 1);
}

/* Reads the file, or the text that stands for it. */
static enum tk_rc
config_read(const char *path, const char *home, const char *text, size_t len_bytes, const char *state_default, struct tk_config **out,
	struct tk_mistakes *mistakes, struct tk_err *err)
{
	struct reader rd;
	bool syntax_ok = true;
	enum tk_rc rc = reader_init(&rd, home, mistakes);

	if (!rc && text)
		rc = text_parse(&rd, rd.root, text, len_bytes, path, &syntax_ok);
	else if (!rc)
		rc = file_parse(&rd, rd.root, path, &syntax_ok, err);
	if (!syntax_ok)
		scanner_reset();
	if (rc == TK_ENOMEM || rd.fatal)
		rc = tk_err_set(err, TK_ENOMEM, "reading %s: out of memory", path);
	/* The whole is only looked at when all of it was read. */
	if (!rc && syntax_ok)
		rc = tk_config_check(rd.cfg, mistakes, err);
	if (!rc && !syntax_ok && mistakes->count == 0)
		tk_mistake_add(mistakes, path, 1, "it cannot be read as a configuration; see twinkeep.conf(5)");
	if (!rc && mistakes->count > 0)
		rc = first_mistake(mistakes, err);
	if (!rc && state_dir_fill(rd.cfg, state_default))
		rc = tk_err_set(err, TK_ENOMEM, "out of memory");
	if (!rc) {
		*out = rd.cfg;
		rd.cfg = NULL;
	}
	reader_release(&rd);
	return rc;
}

enum tk_rc
tk_config_load(const char *home, const char *state_default, struct tk_config **out, struct tk_mistakes *mistakes, struct tk_err *err)
{
	struct tk_mistakes own;
	char path[PATH_MAX + sizeof(TK_CONFIG_FILE) + 1], real[PATH_MAX];
	enum tk_rc rc;

	*out = NULL;
	memset(mistakes ? mistakes : &own, 0, sizeof(own));
	if (!realpath(home, real))
		return tk_err_errno(err, TK_EIO, "the home %s", home);
	(void)snprintf(path, sizeof(path), "%s/%s", strcmp(real, "/") == 0 ? "" : real, TK_CONFIG_FILE);
	rc = config_read(path, real, NULL, 0, state_default, out, mistakes ? mistakes : &own, err);
	if (!mistakes)
		tk_mistakes_release(&own);
	return rc;
}

enum tk_rc
tk_config_parse(const char *text, size_t len_bytes, const char *path, struct tk_config **out, struct tk_mistakes *mistakes, struct tk_err *err)
{
	struct tk_mistakes own;
	char home[PATH_MAX];
	enum tk_rc rc;

	*out = NULL;
	memset(mistakes ? mistakes : &own, 0, sizeof(own));
	(void)snprintf(home, sizeof(home), "%s", path);
	rc = config_read(path, dirname(home), text, len_bytes, NULL, out, mistakes ? mistakes : &own, err);
	if (!mistakes)
		tk_mistakes_release(&own);
	return rc;
}

const char *
tk_config_library_version(void)
{
	const char *space = strrchr(confuse_version, ' ');

	return space ? space + 1 : confuse_version;
}
