#include <stdlib.h>
#include <string.h>

#include "engine/job/restore_core.h"

/* A directory that the walk is in. */
struct open_dir {
	struct tk_entry entry;                /* a copy */
	char **names;                         /* of its children, in order; for --delete */
	size_t name_count, name_cap;
};

struct finish {
	struct tk_restore *restore;
	struct tk_idmap *ids;
	struct tk_not_applied not_applied;
	struct open_dir *dirs;                /* the stack */
	size_t depth, cap;
};

static void
free_names(struct open_dir *dir)
{
	for (size_t i = 0; i < dir->name_count; i++)
		free(dir->names[i]);
	dir->name_count = 0;
}

/* The path of a child of `dir` by its name (malloc'ed). */
static char *
child_path(const char *dir, size_t dir_bytes, const char *name)
{
	size_t name_bytes = strlen(name);
	char *path = malloc(dir_bytes + name_bytes + 2);

	if (!path)
		return NULL;
	memcpy(path, dir, dir_bytes);
	if (dir_bytes > 0)
		path[dir_bytes++] = '/';
	memcpy(path + dir_bytes, name, name_bytes + 1);
	return path;
}

/* Removes what is on disk in a restored directory and not in the point. Both lists are sorted. */
static enum tk_rc
delete_extra(struct finish *finish, struct open_dir *dir, const char *path, size_t path_bytes, struct tk_err *err)
{
	struct tk_restore *restore = finish->restore;
	struct tk_dirlist list;
	const char *name;
	size_t at = 0;
	enum tk_rc rc;

	tk_dirlist_init(&list);
	rc = tk_target_list(restore->target, path, path_bytes, &list, err);
	while (!rc && (name = tk_dirlist_peek(&list))) {
		while (at < dir->name_count && strcmp(dir->names[at], name) < 0)
			at++;
		if (at == dir->name_count || strcmp(dir->names[at], name) != 0) {
			char *extra = child_path(path, path_bytes, name);

			rc = extra ? tk_target_remove(restore->target, extra, strlen(extra), err) : tk_err_set(err, TK_ENOMEM, "no memory for a path");
			free(extra);
			if (!rc)
				restore->result->deleted++;
		}
		if (!rc)
			rc = tk_dirlist_advance(&list, err);
	}
	tk_dirlist_release(&list);
	return rc;
}

/* The walk leaves the innermost directory: what is in it is complete. */
static enum tk_rc
leave_dir(struct finish *finish, struct tk_err *err)
{
	struct open_dir *dir = &finish->dirs[--finish->depth];
	struct tk_apply_opts opts = {.numeric_ids = finish->restore->opts->numeric_ids, .ids = finish->ids};
	size_t path_bytes;
	const char *path = tk_restore_path(finish->restore, &dir->entry, &path_bytes), *name;
	int dirfd;
	enum tk_rc rc = TK_OK;

	/* The target itself (path "") was there before. */
	if (finish->restore->has_look && path_bytes > 0)
		opts.look = &finish->restore->look;
	if (finish->restore->opts->delete_extra)
		rc = delete_extra(finish, dir, path, path_bytes, err);
	free_names(dir);
	if (rc || (rc = tk_target_parent(finish->restore->target, path, path_bytes, false, &dirfd, &name, err)) ||
	    (rc = tk_meta_apply(dirfd, name, -1, &dir->entry.meta, &opts, &finish->not_applied, err))) {
		tk_restore_fault(finish->restore, dir->entry.path, err);
		return rc == TK_ENOMEM ? rc : TK_OK;
	}
	if (dir->entry.meta.flags)
		tk_meta_apply_flags(dirfd, name, &dir->entry.meta, &finish->not_applied);
	return TK_OK;
}

static enum tk_rc
enter_dir(struct finish *finish, const struct tk_entry *entry, struct tk_err *err)
{
	if (finish->depth == finish->cap) {
		size_t cap = finish->cap ? finish->cap * 2 : 32;
		struct open_dir *grown = realloc(finish->dirs, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for directories");
		memset(grown + finish->cap, 0, (cap - finish->cap) * sizeof(*grown));
		for (size_t i = finish->cap; i < cap; i++)
			tk_entry_init(&grown[i].entry);
		finish->dirs = grown;
		finish->cap = cap;
	}
	return tk_entry_copy(&finish->dirs[finish->depth++].entry, entry, err);
}

/* Remembers a child's name in the directory that holds it. */
static enum tk_rc
note_child(struct finish *finish, const struct tk_entry *entry, struct tk_err *err)
{
	struct open_dir *dir;
	const char *slash;
	char **grown;

	if (!finish->restore->opts->delete_extra || finish->depth == 0)
		return TK_OK;
	dir = &finish->dirs[finish->depth - 1];
	slash = memrchr(entry->path, '/', entry->path_bytes);
	if (dir->name_count == dir->name_cap) {
		size_t cap = dir->name_cap ? dir->name_cap * 2 : 64;

		grown = realloc(dir->names, cap * sizeof(*grown));
		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for names");
		dir->names = grown;
		dir->name_cap = cap;
	}
	dir->names[dir->name_count] = strdup(slash ? slash + 1 : entry->path);
	if (!dir->names[dir->name_count])
		return tk_err_set(err, TK_ENOMEM, "no memory for names");
	dir->name_count++;
	return TK_OK;
}

/* One more name of a group whose first name is in place. */
static enum tk_rc
make_link(struct finish *finish, const struct tk_entry *entry, struct tk_err *err)
{
	struct tk_restore *restore = finish->restore;
	const struct tk_group_row *row = tk_restore_group(restore, entry->hardlink_group);
	struct tk_entry first;
	size_t path_bytes, first_bytes;
	const char *path = tk_restore_path(restore, entry, &path_bytes), *first_path;
	struct tk_stat a, b;
	enum tk_rc rc;

	if (!row || (row->path_bytes == entry->path_bytes && memcmp(row->path, entry->path, row->path_bytes) == 0))
		return TK_OK;
	if (row->failed && (entry->meta.type == TK_FT_CHAR || entry->meta.type == TK_FT_BLOCK)) {
		finish->not_applied.device++;
		return TK_OK;
	}
	if (row->failed)
		return tk_err_set(err, TK_EIO, "another name of the same file, %s, could not be restored", row->path);
	memset(&first, 0, sizeof(first));
	first.path = row->path;
	first.path_bytes = row->path_bytes;
	first_path = tk_restore_path(restore, &first, &first_bytes);
	if (!tk_target_stat(restore->target, first_path, first_bytes, &a, err) && !tk_target_stat(restore->target, path, path_bytes, &b, err) &&
	    a.dev == b.dev && a.ino == b.ino)
		rc = TK_OK;
	else
		rc = tk_target_hardlink(restore->target, first_path, first_bytes, path, path_bytes, err);
	if (!rc) {
		restore->result->files_restored++;
		restore->result->restored_bytes += entry->meta.size_bytes;
	}
	return rc;
}

static void
put_flags(struct finish *finish, const struct tk_entry *entry)
{
	size_t path_bytes;
	const char *path = tk_restore_path(finish->restore, entry, &path_bytes), *name;
	struct tk_err err;
	int dirfd;

	if (!tk_target_parent(finish->restore->target, path, path_bytes, false, &dirfd, &name, &err))
		tk_meta_apply_flags(dirfd, name, &entry->meta, &finish->not_applied);
}

static enum tk_rc
finish_entry(struct finish *finish, const struct tk_entry *entry, struct tk_err *err)
{
	enum tk_rc rc;

	while (finish->depth > 0) {
		const struct tk_entry *dir = &finish->dirs[finish->depth - 1].entry;

		if (tk_path_is_below(entry->path, entry->path_bytes, dir->path, dir->path_bytes))
			break;
		if ((rc = leave_dir(finish, err)))
			return rc;
	}
	if ((rc = note_child(finish, entry, err)))
		return rc;
	if (entry->meta.type == TK_FT_DIR)
		return enter_dir(finish, entry, err);
	if (entry->hardlink_group && (rc = make_link(finish, entry, err)))
		tk_restore_fault(finish->restore, entry->path, err);
	return TK_OK;
}

static enum tk_rc
walk_entries(struct finish *finish, enum tk_rc (*each)(struct finish *, const struct tk_entry *, struct tk_err *), struct tk_err *err)
{
	struct tk_restore_walk walk;
	const struct tk_entry *entry = NULL;
	enum tk_rc rc = tk_restore_walk_open(finish->restore, &walk, err);

	while (!rc && !(rc = tk_restore_walk_next(finish->restore, &walk, &entry, err)) && entry)
		rc = each(finish, entry, err);
	tk_restore_walk_release(&walk);
	return rc;
}

/* Flags come last of all: an immutable file can get no further name. */
static enum tk_rc
flag_entry(struct finish *finish, const struct tk_entry *entry, struct tk_err *err)
{
	(void)err;
	if (entry->meta.flags && entry->meta.type == TK_FT_REG)
		put_flags(finish, entry);
	return TK_OK;
}

enum tk_rc
tk_restore_finish(struct tk_restore *restore, struct tk_err *err)
{
	struct finish finish = {.restore = restore};
	enum tk_rc rc = tk_idmap_new(&finish.ids, err);

	if (!rc)
		rc = walk_entries(&finish, finish_entry, err);
	while (!rc && finish.depth > 0)
		rc = leave_dir(&finish, err);
	if (!rc && atomic_load(&restore->has_flags))
		rc = walk_entries(&finish, flag_entry, err);
	tk_not_applied_add(&restore->result->not_applied, &finish.not_applied);
	for (size_t i = 0; i < finish.cap; i++) {
		free_names(&finish.dirs[i]);
		free(finish.dirs[i].names);
		tk_entry_release(&finish.dirs[i].entry);
	}
	free(finish.dirs);
	tk_idmap_cleanup(&finish.ids);
	return rc;
}
