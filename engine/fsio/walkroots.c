#include "engine/fsio/walkroots.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/fsio/fstat.h"
#include "engine/fsio/walk.h"

/* "//srv/./data/" becomes "srv/data". ".." is refused: what it means depends on symlinks. */
static enum tk_rc
root_normalise(const char *path, struct tk_walkroot *root, struct tk_err *err)
{
	char *out;
	size_t len = 0;

	if (path[0] != '/')
		return tk_err_set(err, TK_ECONFIG, "the path %s is not absolute", path);
	if (!(out = malloc(strlen(path) + 1)))
		return tk_err_set(err, TK_ENOMEM, "roots: out of memory");
	root->path = out;
	while (*path) {
		size_t part = strcspn(path, "/");

		if (part == 2 && path[0] == '.' && path[1] == '.')
			return tk_err_set(err, TK_ECONFIG, "the path must not have \"..\" in it");
		if (part > 0 && !(part == 1 && path[0] == '.')) {
			if (len)
				out[len++] = '/';
			memcpy(out + len, path, part);
			len += part;
		}
		path += part;
		path += *path == '/';
	}
	out[len] = '\0';
	root->path_len_bytes = len;
	return TK_OK;
}

static int
root_order(const void *a, const void *b)
{
	const struct tk_walkroot *left = a, *right = b;

	return tk_path_cmp(left->path, left->path_len_bytes, right->path, right->path_len_bytes);
}

static bool
root_contains(const struct tk_walkroot *outer, const struct tk_walkroot *inner)
{
	if (outer->path_len_bytes == 0)
		return inner->path_len_bytes > 0;
	return inner->path_len_bytes > outer->path_len_bytes && inner->path[outer->path_len_bytes] == '/'
		&& memcmp(inner->path, outer->path, outer->path_len_bytes) == 0;
}

/* In this order a root that contains another one comes before it, with nothing foreign between them. */
static void
roots_merge(struct tk_walkroots *roots)
{
	size_t kept = 0, outer = 0;

	qsort(roots->rows, roots->count, sizeof(*roots->rows), root_order);
	for (size_t i = 0; i < roots->count; i++) {
		struct tk_walkroot *root = &roots->rows[i];

		if (kept > 0 && root_order(root, &roots->rows[kept - 1]) == 0) {
			free(root->path);
			continue;
		}
		root->is_nested = kept > 0 && root_contains(&roots->rows[outer], root);
		if (!root->is_nested)
			outer = kept;
		roots->rows[kept++] = *root;
	}
	roots->count = kept;
}

static enum tk_rc
root_check(const char *path, struct tk_err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return tk_err_errno(err, tk_fs_rc(), "the path %s", path);
	return TK_OK;
}

enum tk_rc
tk_walkroots_init(struct tk_walkroots *roots, const char *const *paths, size_t count, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	roots->count = 0;
	if (!(roots->rows = calloc(count ? count : 1, sizeof(*roots->rows))))
		return tk_err_set(err, TK_ENOMEM, "roots: out of memory");
	for (size_t i = 0; rc == TK_OK && i < count; i++) {
		rc = root_normalise(paths[i], &roots->rows[roots->count++], err);
		if (rc == TK_OK)
			rc = root_check(paths[i], err);
	}
	if (rc != TK_OK)
		tk_walkroots_release(roots);
	else
		roots_merge(roots);
	return rc;
}

void
tk_walkroots_release(struct tk_walkroots *roots)
{
	for (size_t i = 0; i < roots->count; i++)
		free(roots->rows[i].path);
	free(roots->rows);
	*roots = (struct tk_walkroots){0};
}

/* Splits an absolute, canonical path in place; the name is "." for "/". */
static const char *
split_real(char *real, const char **parent)
{
	char *slash = strrchr(real, '/');

	*parent = "/";
	if (slash[1] == '\0')
		return ".";
	if (slash > real) {
		*slash = '\0';
		*parent = real;
	}
	return slash + 1;
}

enum tk_rc
tk_walkroot_open(const struct tk_walkroot *root, int *parent_dirfd, char **name, struct tk_err *err)
{
	char *absolute = NULL, *real;
	const char *parent, *last;

	*parent_dirfd = -1;
	*name = NULL;
	if (asprintf(&absolute, "/%s", root->path) < 0)
		return tk_err_set(err, TK_ENOMEM, "roots: out of memory");
	real = realpath(absolute, NULL);
	free(absolute);
	if (!real)
		return tk_err_errno(err, tk_fs_rc(), "the path /%s", root->path);
	last = split_real(real, &parent);
	*parent_dirfd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*parent_dirfd < 0) {
		enum tk_rc rc = tk_err_errno(err, tk_fs_rc(), "the path /%s", root->path);

		free(real);
		return rc;
	}
	*name = strdup(last);
	free(real);
	return *name ? TK_OK : tk_err_set(err, TK_ENOMEM, "roots: out of memory");
}
