#include "engine/job/forerunner.h"

#include <stdlib.h>
#include <string.h>

#include "engine/job/oldcursor.h"

/* What is written in one night belongs together: the dump of each database, whose names differ only in that. */
#define GENERATION_S 43200u
#define SIZE_FACTOR 4u
/* Pages decoded to either side of where the new name would be, and in a run: a second or two at most. */
#define LEAVES_ASIDE_MAX 1024u
#define LEAVES_RUN_MAX 32768u
/* How many directories above a new file may be new: year, month, day. */
#define NEW_DIRS_MAX 3u

struct leaf_row {
	struct tk_leaf_place place;
	uint64_t content_bytes;
	size_t path_at, path_bytes;           /* of its first path, in paths */
};

struct candidate {
	size_t leaf;
	size_t index;                         /* in the leaf */
	size_t likeness;
	int64_t mtime_s;
	uint32_t mtime_ns;
};

struct tk_forerunners {
	struct tk_catalog *catalog;
	struct tk_packtab *packs;
	struct tk_oldcursor cursor;           /* its reader is NULL until the leaves were listed */
	struct leaf_row *leaves;
	size_t leaf_count, leaf_cap;
	struct tk_buf paths;
	struct candidate *candidates;         /* of the present question */
	size_t candidate_count, candidate_cap;
	size_t leaves_left;                   /* of the run's */
	struct tk_buf dirs[NEW_DIRS_MAX];
};

/* What is looked for: children of dir, of a type, with a name like this one. */
struct ask {
	const char *dir;
	size_t dir_bytes;
	const char *name;
	size_t name_bytes;
	enum tk_ftype type;
	uint64_t size_bytes;                  /* of a regular file */
	const char *self;                     /* of a directory: its own path, which may be there and be empty */
	size_t self_bytes;
	bool dir_known;                       /* out: dir has children in the point before */
};

static char
masked(char c, bool alike)
{
	return alike && c >= '0' && c <= '9' ? '0' : c;
}

size_t
tk_name_likeness(const char *a, size_t a_bytes, const char *b, size_t b_bytes, bool alike)
{
	size_t most = a_bytes < b_bytes ? a_bytes : b_bytes, front = 0, back = 0;

	while (front < most && masked(a[front], alike) == masked(b[front], alike))
		front++;
	while (front + back < most && masked(a[a_bytes - 1 - back], alike) == masked(b[b_bytes - 1 - back], alike))
		back++;
	return front + back;
}

static size_t
parent_bytes(const char *path, size_t path_bytes)
{
	while (path_bytes > 0 && path[path_bytes - 1] != '/')
		path_bytes--;
	return path_bytes > 0 ? path_bytes - 1 : 0;
}

/* ---- the leaves of the point before ---- */

static enum tk_rc
add_leaf(struct tk_forerunners *forerunners, const struct tk_catalog_leaf *leaf, struct tk_err *err)
{
	struct leaf_row *row;

	if (forerunners->leaf_count == forerunners->leaf_cap) {
		size_t cap = forerunners->leaf_cap ? forerunners->leaf_cap * 2 : 256;
		struct leaf_row *grown = reallocarray(forerunners->leaves, cap, sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for the pages of the point before");
		forerunners->leaves = grown;
		forerunners->leaf_cap = cap;
	}
	row = &forerunners->leaves[forerunners->leaf_count++];
	*row = (struct leaf_row){tk_catalog_reader_place(forerunners->cursor.reader), leaf->info.content_bytes, forerunners->paths.len_bytes,
				 leaf->info.first_path_bytes};
	return tk_buf_put(&forerunners->paths, leaf->info.first_path, leaf->info.first_path_bytes, err);
}

static enum tk_rc
list_leaves(struct tk_forerunners *forerunners, struct tk_err *err)
{
	const struct tk_catalog_leaf *leaf = NULL;
	enum tk_rc rc;

	if (forerunners->cursor.reader)
		return TK_OK;
	if ((rc = tk_oldcursor_open_unread(&forerunners->cursor, forerunners->catalog, forerunners->packs, err)))
		return rc;
	while (!(rc = tk_catalog_reader_next(forerunners->cursor.reader, &leaf, err)) && leaf)
		if ((rc = add_leaf(forerunners, leaf, err)))
			return rc;
	return rc;
}

static const char *
first_path(const struct tk_forerunners *forerunners, size_t leaf, size_t *path_bytes)
{
	*path_bytes = forerunners->leaves[leaf].path_bytes;
	return (const char *)forerunners->paths.data + forerunners->leaves[leaf].path_at;
}

/* How many leaves begin at or before the path. */
static size_t
leaves_to(const struct tk_forerunners *forerunners, const char *path, size_t path_bytes)
{
	size_t low = 0, high = forerunners->leaf_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2, first_bytes;
		const char *first = first_path(forerunners, middle, &first_bytes);

		if (tk_path_compare(first, first_bytes, path, path_bytes) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* ---- what is in a directory ---- */

/* What of a path below dir is not dir's. */
static const char *
below(const struct ask *ask, const char *path, size_t path_bytes, size_t *rest_bytes)
{
	size_t skip = ask->dir_bytes + (ask->dir_bytes > 0);

	*rest_bytes = path_bytes > skip ? path_bytes - skip : 0;
	return path + skip;
}

static bool
is_inside(const struct ask *ask, const char *path, size_t path_bytes)
{
	return path_bytes > ask->dir_bytes && tk_path_is_below(path, path_bytes, ask->dir, ask->dir_bytes);
}

/* A leaf between two paths of one directory further down holds nothing of dir itself. */
static bool
is_deeper(const struct tk_forerunners *forerunners, const struct ask *ask, size_t leaf)
{
	size_t a_bytes, b_bytes, a_rest, b_rest;
	const char *a = first_path(forerunners, leaf, &a_bytes), *b, *slash;

	if (leaf + 1 == forerunners->leaf_count || !is_inside(ask, a, a_bytes))
		return false;
	b = first_path(forerunners, leaf + 1, &b_bytes);
	if (!is_inside(ask, b, b_bytes))
		return false;
	a = below(ask, a, a_bytes, &a_rest);
	b = below(ask, b, b_bytes, &b_rest);
	slash = memchr(a, '/', a_rest);
	return slash && b_rest > (size_t)(slash - a) && memcmp(a, b, (size_t)(slash - a) + 1) == 0;
}

static bool
size_fits(uint64_t a_bytes, uint64_t b_bytes)
{
	return a_bytes / SIZE_FACTOR <= b_bytes && b_bytes / SIZE_FACTOR <= a_bytes;
}

static enum tk_rc
add_candidate(struct tk_forerunners *forerunners, struct candidate candidate, struct tk_err *err)
{
	if (forerunners->candidate_count == forerunners->candidate_cap) {
		size_t cap = forerunners->candidate_cap ? forerunners->candidate_cap * 2 : 64;
		struct candidate *grown = reallocarray(forerunners->candidates, cap, sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for the files of a directory");
		forerunners->candidates = grown;
		forerunners->candidate_cap = cap;
	}
	forerunners->candidates[forerunners->candidate_count++] = candidate;
	return TK_OK;
}

static enum tk_rc
consider(struct tk_forerunners *forerunners, struct ask *ask, size_t leaf, struct tk_err *err)
{
	const struct tk_entry *entry = &forerunners->cursor.entry;
	struct candidate candidate = {leaf, forerunners->cursor.index, 0, entry->meta.mtime_s, entry->meta.mtime_ns};
	size_t name_bytes, longer;
	const char *name = below(ask, entry->path, entry->path_bytes, &name_bytes);

	ask->dir_known = true;
	if (memchr(name, '/', name_bytes) || entry->meta.type != ask->type)
		return TK_OK;
	if (entry->path_bytes == ask->self_bytes && memcmp(entry->path, ask->self, ask->self_bytes) == 0)
		return TK_OK;
	if (ask->type == TK_FT_REG && !size_fits(entry->meta.size_bytes, ask->size_bytes))
		return TK_OK;
	longer = name_bytes > ask->name_bytes ? name_bytes : ask->name_bytes;
	if (2 * tk_name_likeness(name, name_bytes, ask->name, ask->name_bytes, true) < longer)
		return TK_OK;
	candidate.likeness = tk_name_likeness(name, name_bytes, ask->name, ask->name_bytes, false);
	return add_candidate(forerunners, candidate, err);
}

/* A leaf whose files together are smaller than one that would do is not decoded. */
static enum tk_rc
look_into(struct tk_forerunners *forerunners, struct ask *ask, size_t leaf, size_t *budget, struct tk_err *err)
{
	struct tk_oldcursor *cursor = &forerunners->cursor;
	enum tk_rc rc;

	if (is_deeper(forerunners, ask, leaf))
		return TK_OK;
	if (ask->type == TK_FT_REG && forerunners->leaves[leaf].content_bytes < ask->size_bytes / SIZE_FACTOR) {
		size_t path_bytes;
		const char *path = first_path(forerunners, leaf, &path_bytes);

		ask->dir_known = ask->dir_known || is_inside(ask, path, path_bytes);
		return TK_OK;
	}
	(*budget)--;
	forerunners->leaves_left--;
	rc = tk_oldcursor_go(cursor, &forerunners->leaves[leaf].place, err);
	while (!rc && cursor->have) {
		if (is_inside(ask, cursor->entry.path, cursor->entry.path_bytes))
			rc = consider(forerunners, ask, leaf, err);
		if (!rc)
			rc = tk_oldcursor_next_in_leaf(cursor, err);
	}
	return rc;
}

/* From where the name would be to both sides, as far as the directory goes. */
static enum tk_rc
look_around(struct tk_forerunners *forerunners, struct ask *ask, struct tk_err *err)
{
	size_t before = LEAVES_ASIDE_MAX, after = LEAVES_ASIDE_MAX, from, path_bytes;
	TK_AUTO(tk_buf_release) struct tk_buf at = {0};
	const char *path;
	enum tk_rc rc = tk_buf_put(&at, ask->dir, ask->dir_bytes, err);

	if (!rc && ask->dir_bytes > 0)
		rc = tk_buf_put(&at, "/", 1, err);
	if (!rc)
		rc = tk_buf_put(&at, ask->name, ask->name_bytes, err);
	if (rc)
		return rc;
	forerunners->candidate_count = 0;
	ask->dir_known = false;
	from = leaves_to(forerunners, (const char *)at.data, at.len_bytes);
	for (size_t leaf = from; leaf > 0 && before > 0 && forerunners->leaves_left > 0; leaf--) {
		if ((rc = look_into(forerunners, ask, leaf - 1, &before, err)))
			return rc;
		path = first_path(forerunners, leaf - 1, &path_bytes);
		if (!is_inside(ask, path, path_bytes))
			break;
	}
	for (size_t leaf = from; leaf < forerunners->leaf_count && after > 0 && forerunners->leaves_left > 0; leaf++) {
		path = first_path(forerunners, leaf, &path_bytes);
		if (!is_inside(ask, path, path_bytes))
			break;
		if ((rc = look_into(forerunners, ask, leaf, &after, err)))
			return rc;
	}
	return TK_OK;
}

static bool
is_newer(const struct candidate *a, const struct candidate *b)
{
	return a->mtime_s != b->mtime_s ? a->mtime_s > b->mtime_s : a->mtime_ns > b->mtime_ns;
}

/* Of the newest generation the one that is most alike; of equals the newest. NULL: there is none. */
static const struct candidate *
choose(const struct tk_forerunners *forerunners)
{
	const struct candidate *best = NULL, *newest = NULL;

	for (size_t i = 0; i < forerunners->candidate_count; i++)
		if (!newest || is_newer(&forerunners->candidates[i], newest))
			newest = &forerunners->candidates[i];
	for (size_t i = 0; i < forerunners->candidate_count; i++) {
		const struct candidate *next = &forerunners->candidates[i];

		/* Times from outside may lie as far apart as numbers go. */
		if ((uint64_t)newest->mtime_s - (uint64_t)next->mtime_s > GENERATION_S)
			continue;
		if (!best || next->likeness > best->likeness || (next->likeness == best->likeness && is_newer(next, best)))
			best = next;
	}
	return best;
}

/* Makes the cursor's entry the best of the candidates; *found is false when there are none. */
static enum tk_rc
go_to_best(struct tk_forerunners *forerunners, bool *found, struct tk_err *err)
{
	const struct candidate *best = choose(forerunners);
	struct tk_oldcursor *cursor = &forerunners->cursor;
	enum tk_rc rc;

	*found = best != NULL;
	if (!best)
		return TK_OK;
	rc = tk_oldcursor_go(cursor, &forerunners->leaves[best->leaf].place, err);
	while (!rc && cursor->have && cursor->index < best->index)
		rc = tk_oldcursor_next_in_leaf(cursor, err);
	if (!rc && !cursor->have)
		rc = tk_err_set(err, TK_ECORRUPT, "a bundle of the catalog changed while it was in use");
	return rc;
}

/* The directory of the point before that a new one continues, as yesterday's directory of dumps; *dir stays empty when there is none. */
static enum tk_rc
find_dir(struct tk_forerunners *forerunners, const char *path, size_t path_bytes, size_t depth, struct tk_buf *dir, struct tk_err *err)
{
	struct ask ask = {.dir = path, .dir_bytes = parent_bytes(path, path_bytes), .type = TK_FT_DIR, .self = path, .self_bytes = path_bytes};
	bool found;
	enum tk_rc rc;

	ask.name = below(&ask, path, path_bytes, &ask.name_bytes);
	if ((rc = look_around(forerunners, &ask, err)))
		return rc;
	if (!ask.dir_known && ask.dir_bytes > 0 && depth + 1 < NEW_DIRS_MAX) {
		struct tk_buf *above = &forerunners->dirs[depth + 1];

		tk_buf_clear(above);
		if ((rc = find_dir(forerunners, path, ask.dir_bytes, depth + 1, above, err)) || above->len_bytes == 0)
			return rc;
		ask.dir = (const char *)above->data;
		ask.dir_bytes = above->len_bytes;
		if ((rc = look_around(forerunners, &ask, err)))
			return rc;
	}
	if ((rc = go_to_best(forerunners, &found, err)) || !found)
		return rc;
	return tk_buf_put(dir, forerunners->cursor.entry.path, forerunners->cursor.entry.path_bytes, err);
}

enum tk_rc
tk_forerunners_find(struct tk_forerunners *forerunners, const char *path, size_t path_bytes, uint64_t size_bytes, struct tk_known *known, struct tk_err *err)
{
	struct ask ask = {.dir = path, .dir_bytes = parent_bytes(path, path_bytes), .type = TK_FT_REG, .size_bytes = size_bytes};
	struct tk_buf *dir = &forerunners->dirs[0];
	bool found;
	enum tk_rc rc;

	*known = (struct tk_known){NULL, NULL};
	ask.name = below(&ask, path, path_bytes, &ask.name_bytes);
	if ((rc = list_leaves(forerunners, err)) || (rc = look_around(forerunners, &ask, err)))
		return rc;
	if (!ask.dir_known && ask.dir_bytes > 0) {
		tk_buf_clear(dir);
		if ((rc = find_dir(forerunners, path, ask.dir_bytes, 0, dir, err)) || dir->len_bytes == 0)
			return rc;
		ask.dir = (const char *)dir->data;
		ask.dir_bytes = dir->len_bytes;
		if ((rc = look_around(forerunners, &ask, err)))
			return rc;
	}
	if ((rc = go_to_best(forerunners, &found, err)) || !found)
		return rc;
	*known = (struct tk_known){&forerunners->cursor.entry, tk_oldcursor_sidecar(&forerunners->cursor)};
	return TK_OK;
}

enum tk_rc
tk_forerunners_new(struct tk_catalog *catalog, struct tk_packtab *packs, struct tk_forerunners **out, struct tk_err *err)
{
	struct tk_forerunners *forerunners = calloc(1, sizeof(*forerunners));

	if (!forerunners)
		return tk_err_set(err, TK_ENOMEM, "no memory for the files of the point before");
	forerunners->catalog = catalog;
	forerunners->packs = packs;
	forerunners->leaves_left = LEAVES_RUN_MAX;
	*out = forerunners;
	return TK_OK;
}

void
tk_forerunners_cleanup(struct tk_forerunners **slot)
{
	struct tk_forerunners *forerunners = *slot;

	if (!forerunners)
		return;
	tk_oldcursor_release(&forerunners->cursor);
	tk_buf_release(&forerunners->paths);
	for (size_t i = 0; i < NEW_DIRS_MAX; i++)
		tk_buf_release(&forerunners->dirs[i]);
	free(forerunners->leaves);
	free(forerunners->candidates);
	free(forerunners);
	*slot = NULL;
}
