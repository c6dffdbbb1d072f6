#include "engine/fsio/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/fsio/dirlist.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/walkroots.h"

/* So many of the deepest directories stay open; those above are closed and found again through "..". */
#define OPEN_LEVELS 64
/* Below this depth the memory of a level is given back when it is left. */
#define KEEP_LEVELS 256

static const char cache_tag_name[] = "CACHEDIR.TAG";
static const char cache_tag_text[] = "Signature: 8a477f597d28d172789f06886806bc55";

/* A directory that was entered. */
struct level {
	struct tk_dirlist names;
	struct tk_dirref *dir;  /* NULL: closed for now */
	uint64_t dev;
	uint64_t ino;
	uint64_t root_dev;      /* the file system of the root that led here */
	size_t path_len_bytes;
	size_t root_len_bytes;  /* of the path of that root */
	bool is_base;           /* a root: the level below it is not its ".." */
	bool is_cache;          /* only the tag is visited */
};

struct tk_walk {
	struct tk_walk_opts opts;
	struct tk_walkroots roots;
	size_t next_root;
	struct tk_dirref *root_dir; /* holds the root that was opened last */
	char *root_name;          /* owned */
	struct level *levels;     /* count are in use; the others up to made keep their memory */
	size_t count;
	size_t made;
	char *path;               /* owned; the entry's path points here */
	size_t path_cap_bytes;
	struct tk_walk_entry entry;
	bool enter;               /* the entry given last is a directory to go into */
};

int
tk_path_cmp(const char *a, size_t a_len_bytes, const char *b, size_t b_len_bytes)
{
	size_t common = a_len_bytes < b_len_bytes ? a_len_bytes : b_len_bytes;
	size_t i = 0;

	while (i < common && a[i] == b[i])
		i++;
	if (i == common)
		return (a_len_bytes > b_len_bytes) - (a_len_bytes < b_len_bytes);
	if (a[i] == '/' || b[i] == '/')
		return a[i] == '/' ? -1 : 1;
	return (unsigned char)a[i] < (unsigned char)b[i] ? -1 : 1;
}

enum tk_rc
tk_walk_new(const struct tk_walk_opts *opts, struct tk_walk **out, struct tk_err *err)
{
	struct tk_walk *walk = calloc(1, sizeof(*walk));
	enum tk_rc rc;

	*out = NULL;
	if (!walk)
		return tk_err_set(err, TK_ENOMEM, "walk: out of memory");
	walk->opts = *opts;
	rc = tk_walkroots_init(&walk->roots, opts->roots, opts->root_count, err);
	if (rc != TK_OK) {
		free(walk);
		return rc;
	}
	*out = walk;
	return TK_OK;
}

void
tk_walk_free(struct tk_walk *walk)
{
	if (!walk)
		return;
	for (size_t i = 0; i < walk->made; i++) {
		tk_dirref_drop(&walk->levels[i].dir);
		tk_dirlist_release(&walk->levels[i].names);
	}
	free(walk->levels);
	tk_walkroots_release(&walk->roots);
	tk_dirref_drop(&walk->root_dir);
	free(walk->root_name);
	free(walk->path);
	free(walk);
}

void
tk_walk_cleanup(struct tk_walk **walk)
{
	tk_walk_free(*walk);
	*walk = NULL;
}

static void
walk_note(const struct tk_walk *walk, size_t path_len_bytes, enum tk_walk_note note, const struct tk_err *err)
{
	if (!walk->opts.on_note)
		return;
	walk->path[path_len_bytes] = '\0';
	walk->opts.on_note(walk->opts.note_ctx, walk->path, path_len_bytes, note, err);
}

/* Running out of memory ends the walk; anything else is about this one object. */
static enum tk_rc
walk_note_failure(const struct tk_walk *walk, size_t path_len_bytes, const struct tk_err *failure, struct tk_err *err)
{
	if (failure->rc == TK_ENOMEM || failure->rc == TK_ENOSPC) {
		if (err)
			*err = *failure;
		return failure->rc;
	}
	walk_note(walk, path_len_bytes, failure->rc == TK_ENOENT ? TK_WALK_VANISHED : TK_WALK_UNREADABLE, failure);
	return TK_OK;
}

/* Makes walk->path the first dir_len_bytes of itself, a slash and the name, and the entry's path with it. */
static enum tk_rc
walk_set_path(struct tk_walk *walk, size_t dir_len_bytes, const char *name, size_t name_len_bytes, struct tk_err *err)
{
	size_t at = dir_len_bytes ? dir_len_bytes + 1 : 0;
	size_t want = at + name_len_bytes + 1;

	if (want > walk->path_cap_bytes) {
		size_t cap = want * 2 > 512 ? want * 2 : 512;
		char *path = realloc(walk->path, cap);

		if (!path)
			return tk_err_set(err, TK_ENOMEM, "walk: out of memory");
		walk->path = path;
		walk->path_cap_bytes = cap;
	}
	if (dir_len_bytes)
		walk->path[dir_len_bytes] = '/';
	memcpy(walk->path + at, name, name_len_bytes);
	walk->path[at + name_len_bytes] = '\0';
	walk->entry.path = walk->path;
	walk->entry.path_len_bytes = at + name_len_bytes;
	walk->entry.name = walk->path + at;
	return TK_OK;
}

/* The level's slot, ready for use. */
static enum tk_rc
walk_slot(struct tk_walk *walk, struct level **out, struct tk_err *err)
{
	if (walk->count == walk->made) {
		struct level *levels = reallocarray(walk->levels, walk->made + 1, sizeof(*levels));

		if (!levels)
			return tk_err_set(err, TK_ENOMEM, "walk: out of memory");
		walk->levels = levels;
		tk_dirlist_init(&levels[walk->made].names);
		levels[walk->made].dir = NULL;
		if (walk->opts.spill_names)
			levels[walk->made].names.spill_names = walk->opts.spill_names;
		walk->made++;
	}
	*out = &walk->levels[walk->count];
	return TK_OK;
}

/* True for a level that can be found again through ".." of the one above it. */
static bool
level_may_close(const struct tk_walk *walk, size_t at)
{
	return !walk->levels[at].is_base && !walk->levels[at + 1].is_base;
}

static void
walk_limit_open(struct tk_walk *walk)
{
	if (walk->count > OPEN_LEVELS && level_may_close(walk, walk->count - 1 - OPEN_LEVELS))
		tk_dirref_drop(&walk->levels[walk->count - 1 - OPEN_LEVELS].dir);
}

static bool
is_cache_dir(int dirfd)
{
	char head[sizeof(cache_tag_text) - 1];
	TK_AUTO(tk_fd_cleanup) int fd = tk_open_quiet(dirfd, cache_tag_name, false);
	size_t got;

	if (fd < 0 || tk_read_full(fd, head, sizeof(head), &got, cache_tag_name, NULL) != TK_OK)
		return false;
	return got == sizeof(head) && memcmp(head, cache_tag_text, sizeof(head)) == 0;
}

/* Opens the directory of the entry into the slot. */
static enum tk_rc
level_open(struct tk_walk *walk, struct level *level, struct tk_err *err)
{
	const struct tk_walk_entry *entry = &walk->entry;
	int fd = tk_open_quiet(entry->parent->fd, entry->name, true);
	struct tk_stat st;
	enum tk_rc rc;

	if (fd < 0)
		return tk_err_errno(err, errno == ELOOP ? TK_ENOENT : tk_fs_rc(), "opening the directory");
	if ((rc = tk_dirref_new(&fd, &level->dir, err)) != TK_OK || (rc = tk_stat_fd(level->dir->fd, &st, err)) != TK_OK)
		return rc;
	/* Another directory under this name was not held against the rules: not this time. */
	if (st.dev != entry->st.dev || st.ino != entry->st.ino)
		return tk_err_set(err, TK_ENOENT, "the directory was replaced during the walk");
	level->dev = st.dev;
	level->ino = st.ino;
	level->path_len_bytes = entry->path_len_bytes;
	level->is_base = entry->is_root;
	level->root_len_bytes = entry->root_len_bytes;
	level->root_dev = entry->is_root ? st.dev : walk->levels[walk->count - 1].root_dev;
	level->is_cache = walk->opts.skip_caches && is_cache_dir(level->dir->fd);
	return tk_dirlist_read(&level->names, level->dir->fd, walk->opts.tmp_dir, err);
}

static enum tk_rc
walk_enter(struct tk_walk *walk, struct tk_err *err)
{
	struct level *level = NULL;
	struct tk_err failure;
	enum tk_rc rc;

	walk->enter = false;
	if ((rc = walk_slot(walk, &level, err)) != TK_OK)
		return rc;
	if (level_open(walk, level, &failure) != TK_OK) {
		tk_dirref_drop(&level->dir);
		return walk_note_failure(walk, walk->entry.path_len_bytes, &failure, err);
	}
	walk->count++;
	if (level->is_cache)
		walk_note(walk, level->path_len_bytes, TK_WALK_CACHE, NULL);
	walk_limit_open(walk);
	return TK_OK;
}

/* Opens again a level that was closed, through its child. ".." may lead elsewhere when the child was moved. */
static enum tk_rc
level_reopen(struct level *level, const struct tk_dirref *child, struct tk_err *err)
{
	int fd = child ? openat(child->fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	struct tk_stat st;

	if (fd >= 0 && (tk_stat_fd(fd, &st, NULL) != TK_OK || st.dev != level->dev || st.ino != level->ino))
		tk_fd_cleanup(&fd);
	return fd < 0 ? TK_OK : tk_dirref_new(&fd, &level->dir, err);
}

static enum tk_rc
walk_leave(struct tk_walk *walk, struct tk_err *err)
{
	struct level *child = &walk->levels[--walk->count];
	enum tk_rc rc = TK_OK;

	if (walk->count > 0) {
		struct level *level = &walk->levels[walk->count - 1];

		if (!level->dir)
			rc = level_reopen(level, child->dir, err);
		if (!rc && !level->dir) {
			/* Lost: what it still had to give is not seen, nor (in turn) that of the closed levels below it. */
			walk_note(walk, level->path_len_bytes, TK_WALK_VANISHED, NULL);
			tk_dirlist_clear(&level->names);
		}
	}
	tk_dirref_drop(&child->dir);
	if (walk->count >= KEEP_LEVELS)
		tk_dirlist_release(&child->names);
	else
		tk_dirlist_clear(&child->names);
	if (walk->opts.spill_names)
		child->names.spill_names = walk->opts.spill_names;
	return rc;
}

/* Is it the next root's turn, before `name` of the deepest level (NULL: that level is done)? */
static enum tk_rc
walk_root_due(struct tk_walk *walk, const char *name, bool *due, struct tk_err *err)
{
	const struct tk_walkroot *root;
	struct level *level;
	enum tk_rc rc;
	int order;

	*due = false;
	if (walk->next_root == walk->roots.count)
		return TK_OK;
	root = &walk->roots.rows[walk->next_root];
	if (!name) {
		*due = true;
		return TK_OK;
	}
	if (!root->is_nested)
		return TK_OK;
	level = &walk->levels[walk->count - 1];
	if ((rc = walk_set_path(walk, level->path_len_bytes, name, strlen(name), err)) != TK_OK)
		return rc;
	order = tk_path_cmp(root->path, root->path_len_bytes, walk->entry.path, walk->entry.path_len_bytes);
	*due = order <= 0;
	return order == 0 ? tk_dirlist_advance(&level->names, err) : TK_OK;
}

static bool
walk_is_skipped(const struct tk_walk *walk, const struct tk_stat *st)
{
	for (size_t i = 0; i < walk->opts.skip_dir_count; i++)
		if (walk->opts.skip_dirs[i].ino == st->ino && walk->opts.skip_dirs[i].dev == st->dev)
			return true;
	return false;
}

/* Whether the entry, whose path and st are set, is to be given; notes why not. */
static bool
walk_accept(const struct tk_walk *walk)
{
	const struct tk_walk_entry *entry = &walk->entry;
	bool is_dir = entry->st.type == TK_FT_DIR;
	enum tk_walk_note why;

	if (entry->st.type == TK_FT_OTHER)
		why = TK_WALK_SOCKET;
	else if (is_dir && walk_is_skipped(walk, &entry->st))
		why = TK_WALK_SKIPPED;
	else if (entry->is_root)
		return true;
	else if (tk_exclude_match(walk->opts.exclude, entry->path, is_dir))
		why = TK_WALK_EXCLUDED;
	else if (walk->opts.skip_nodump && entry->st.is_nodump)
		why = TK_WALK_NODUMP;
	else
		return true;
	walk_note(walk, entry->path_len_bytes, why, NULL);
	return false;
}

static enum tk_rc
walk_root(struct tk_walk *walk, bool *given, struct tk_err *err)
{
	const struct tk_walkroot *root = &walk->roots.rows[walk->next_root++];
	struct tk_walk_entry *entry = &walk->entry;
	struct tk_err failure;
	int fd = -1;
	enum tk_rc rc;

	*given = false;
	tk_dirref_drop(&walk->root_dir);
	free(walk->root_name);
	walk->root_name = NULL;
	if ((rc = walk_set_path(walk, 0, root->path, root->path_len_bytes, err)) != TK_OK)
		return rc;
	rc = tk_walkroot_open(root, &fd, &walk->root_name, &failure);
	if (rc == TK_OK)
		rc = tk_dirref_new(&fd, &walk->root_dir, &failure);
	if (rc == TK_OK)
		rc = tk_stat_at(walk->root_dir->fd, walk->root_name, &entry->st, &failure);
	if (rc != TK_OK)
		return walk_note_failure(walk, entry->path_len_bytes, &failure, err);
	entry->parent = walk->root_dir;
	entry->root_len_bytes = entry->path_len_bytes;
	entry->name = walk->root_name;
	entry->is_root = true;
	*given = walk_accept(walk);
	walk->enter = *given && entry->st.type == TK_FT_DIR;
	return TK_OK;
}

static enum tk_rc
walk_child(struct tk_walk *walk, const char *name, bool *given, struct tk_err *err)
{
	struct level *level = &walk->levels[walk->count - 1];
	struct tk_walk_entry *entry = &walk->entry;
	struct tk_err failure;
	enum tk_rc rc;

	*given = false;
	if ((rc = walk_set_path(walk, level->path_len_bytes, name, strlen(name), err)) != TK_OK)
		return rc;
	if ((rc = tk_dirlist_advance(&level->names, err)) != TK_OK)
		return rc;
	if (level->is_cache && strcmp(entry->name, cache_tag_name) != 0)
		return TK_OK;
	if (tk_stat_at(level->dir->fd, entry->name, &entry->st, &failure) != TK_OK)
		return walk_note_failure(walk, entry->path_len_bytes, &failure, err);
	entry->parent = level->dir;
	entry->root_len_bytes = level->root_len_bytes;
	entry->is_root = false;
	*given = walk_accept(walk);
	walk->enter = *given && entry->st.type == TK_FT_DIR;
	if (walk->enter && entry->st.dev != level->root_dev && !walk->opts.cross_file_systems) {
		walk->enter = false;
		walk_note(walk, entry->path_len_bytes, TK_WALK_OTHER_FS, NULL);
	}
	return TK_OK;
}

enum tk_rc
tk_walk_next(struct tk_walk *walk, const struct tk_walk_entry **entry, struct tk_err *err)
{
	bool given = false;
	enum tk_rc rc;

	*entry = NULL;
	while (!given) {
		const char *name = NULL;
		bool due;

		if (walk->enter && (rc = walk_enter(walk, err)) != TK_OK)
			return rc;
		while (walk->count > 0 && !(name = tk_dirlist_peek(&walk->levels[walk->count - 1].names)))
			if ((rc = walk_leave(walk, err)) != TK_OK)
				return rc;
		if ((rc = walk_root_due(walk, name, &due, err)) != TK_OK)
			return rc;
		if (!due && !name)
			return TK_OK;
		rc = due ? walk_root(walk, &given, err) : walk_child(walk, name, &given, err);
		if (rc != TK_OK)
			return rc;
	}
	*entry = &walk->entry;
	return TK_OK;
}

void
tk_walk_skip_children(struct tk_walk *walk)
{
	walk->enter = false;
}
