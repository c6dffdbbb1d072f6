#include "engine/fsio/exclude.h"

#include <stdlib.h>
#include <string.h>

struct pattern {
	char *glob;          /* owned; "**" + "/" in front when it may match at any depth below a slash */
	bool takes_back;
	bool dirs_only;
	bool name_only;      /* no slash in it and not anchored: only the last component matters */
};

struct tk_exclude {
	struct pattern *patterns;
	size_t count;
};

/* One byte class "[...]" at *glob, which is left behind it. The pattern was checked: the bracket is closed. */
static bool
class_match(const char **glob, unsigned char byte)
{
	const char *at = *glob + 1;
	bool negated = *at == '!' || *at == '^';
	bool hit = false;

	at += negated;
	for (bool first = true; first || *at != ']'; first = false) {
		unsigned char lo, hi;

		at += *at == '\\';
		lo = hi = (unsigned char)*at++;
		if (at[0] == '-' && at[1] != ']') {
			at++;
			at += *at == '\\';
			hi = (unsigned char)*at++;
		}
		hit |= lo <= byte && byte <= hi;
	}
	*glob = at + 1;
	return hit != negated && byte != '/';
}

/* One byte of the path against one unit of the pattern, which is consumed when it matches. */
static bool
unit_match(const char **glob, unsigned char byte)
{
	const char *at = *glob;

	switch (*at) {
	case '\0':
		return false;
	case '?':
		*glob = at + 1;
		return byte != '/';
	case '[':
		if (!class_match(&at, byte))
			return false;
		*glob = at;
		return true;
	default:
		at += *at == '\\';
		if ((unsigned char)*at != byte)
			return false;
		*glob = at + 1;
		return true;
	}
}

/*
 * Two places to come back to are enough: the last '*' and, when that cannot grow over a slash, the last "**".
 * An earlier star never needs to grow once a later one of its kind was reached, so the time is bounded by the
 * product of the lengths, whatever the pattern.
 */
static bool
glob_match(const char *glob, const char *path)
{
	const char *star_glob = NULL, *star_path = NULL;
	const char *deep_glob = NULL, *deep_path = NULL;
	const char *start = glob;

	for (;;) {
		/* "**" is special only as a whole component. */
		bool whole = glob == start || glob[-1] == '/';

		if (whole && strncmp(glob, "**/", 3) == 0) {
			deep_glob = glob += 3;
			deep_path = path;
			star_glob = NULL;
			continue;
		}
		if (whole && strcmp(glob, "**") == 0)
			return *path != '\0';
		if (*glob == '*') {
			while (*glob == '*')
				glob++;
			star_glob = glob;
			star_path = path;
			continue;
		}
		if (*path == '\0' && *glob == '\0')
			return true;
		if (*path != '\0' && unit_match(&glob, (unsigned char)*path)) {
			path++;
			continue;
		}
		if (star_glob && *star_path != '\0' && *star_path != '/') {
			path = ++star_path;
			glob = star_glob;
			continue;
		}
		if (!deep_glob || !(deep_path = strchr(deep_path, '/')))
			return false;
		path = ++deep_path;
		glob = deep_glob;
		star_glob = NULL;
	}
}

static enum tk_rc
pattern_check(const char *text, struct tk_err *err)
{
	for (const char *at = text; *at; at++) {
		if (*at == '\\' && *++at == '\0')
			return tk_err_set(err, TK_ECONFIG, "exclude pattern %s: nothing follows the backslash", text);
		if (*at != '[')
			continue;
		at++;
		at += *at == '!' || *at == '^';
		for (bool first = true; first || *at != ']'; first = false) {
			if (*at == '\\' && at[1])
				at++;
			if (*at == '\0')
				return tk_err_set(err, TK_ECONFIG, "exclude pattern %s: the bracket is not closed", text);
			at++;
			if (at[0] == '-' && at[1] && at[1] != ']')
				at++;
		}
	}
	return TK_OK;
}

static enum tk_rc
pattern_compile(const char *text, struct pattern *pattern, struct tk_err *err)
{
	const char *full = text;
	size_t len;
	bool anchored;
	enum tk_rc rc;

	pattern->takes_back = *text == '!';
	text += pattern->takes_back;
	anchored = *text == '/';
	text += anchored;
	len = strlen(text);
	pattern->dirs_only = len > 0 && text[len - 1] == '/';
	len -= pattern->dirs_only;
	if (len == 0)
		return tk_err_set(err, TK_ECONFIG, "exclude pattern %s names nothing", full);
	if (!(pattern->glob = malloc(len + 4)))
		return tk_err_set(err, TK_ENOMEM, "exclude patterns: out of memory");
	memcpy(pattern->glob, text, len);
	pattern->glob[len] = '\0';
	if ((rc = pattern_check(pattern->glob, err)) != TK_OK || anchored)
		return rc;
	pattern->name_only = !strchr(pattern->glob, '/') && strcmp(pattern->glob, "**") != 0;
	if (!pattern->name_only) {
		memmove(pattern->glob + 3, pattern->glob, len + 1);
		memcpy(pattern->glob, "**/", 3);
	}
	return TK_OK;
}

enum tk_rc
tk_exclude_new(const char *const *patterns, size_t count, struct tk_exclude **out, struct tk_err *err)
{
	TK_AUTO(tk_exclude_cleanup) struct tk_exclude *ex = calloc(1, sizeof(*ex));
	enum tk_rc rc;

	*out = NULL;
	if (!ex || !(ex->patterns = calloc(count ? count : 1, sizeof(*ex->patterns))))
		return tk_err_set(err, TK_ENOMEM, "exclude patterns: out of memory");
	for (size_t i = 0; i < count; i++) {
		if (patterns[i][0] == '\0' || patterns[i][0] == '#')
			continue;
		if ((rc = pattern_compile(patterns[i], &ex->patterns[ex->count++], err)) != TK_OK)
			return rc;
	}
	*out = ex;
	ex = NULL;
	return TK_OK;
}

void
tk_exclude_free(struct tk_exclude *ex)
{
	if (!ex)
		return;
	for (size_t i = 0; i < ex->count; i++)
		free(ex->patterns[i].glob);
	free(ex->patterns);
	free(ex);
}

void
tk_exclude_cleanup(struct tk_exclude **ex)
{
	tk_exclude_free(*ex);
	*ex = NULL;
}

bool
tk_exclude_match(const struct tk_exclude *ex, const char *path, bool is_dir)
{
	const char *slash, *name;

	if (!ex)
		return false;
	slash = strrchr(path, '/');
	name = slash ? slash + 1 : path;
	for (size_t i = ex->count; i-- > 0;) {
		const struct pattern *pattern = &ex->patterns[i];

		if (pattern->dirs_only && !is_dir)
			continue;
		if (glob_match(pattern->glob, pattern->name_only ? name : path))
			return !pattern->takes_back;
	}
	return false;
}
