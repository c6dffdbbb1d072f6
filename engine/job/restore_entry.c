#include <string.h>
#include <unistd.h>

#include "engine/fsio/inoflags.h"
#include "engine/fsio/openat.h"
#include "engine/job/restore_core.h"

static struct tk_apply_opts
apply_opts(const struct tk_restore_worker *worker)
{
	return (struct tk_apply_opts){.numeric_ids = worker->restore->opts->numeric_ids, .ids = worker->ids};
}

/* The metadata of what was just made, which in a fresh target is known to the last bit. */
static struct tk_apply_opts
apply_new_opts(const struct tk_restore_worker *worker)
{
	struct tk_apply_opts opts = apply_opts(worker);

	opts.look = tk_target_look(worker->target);
	return opts;
}

/* A large file whose size or time is another has most likely other content: it is not read twice. */
static bool
may_be_same(const struct tk_entry *entry, const struct tk_stat *st)
{
	if (st->size_bytes != entry->meta.size_bytes)
		return false;
	return entry->kind != TK_CONTENT_SEGMENTS || (st->mtime_s == entry->meta.mtime_s && st->mtime_ns == entry->meta.mtime_ns);
}

/* What is there already, if it is this very content: then only its metadata is put right. *basis: what is worth reading of it, or -1. */
static enum tk_rc
reuse_existing(struct tk_restore_worker *worker, const struct tk_entry *entry, const char *path, size_t path_bytes, bool *reused, int *basis,
	       struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	struct tk_apply_opts opts = apply_opts(worker);
	const char *name;
	struct tk_stat st;
	bool same = false;
	int dirfd;
	enum tk_rc rc;

	if (worker->restore->fresh || tk_target_open_file(worker->target, path, path_bytes, &fd, &st, err))
		return TK_OK;
	if (may_be_same(entry, &st) && (rc = entry->kind == TK_CONTENT_SEGMENTS ? tk_restore_compare_segments(worker, fd, entry, &same, err)
										: tk_restore_compare(worker, fd, entry, &same, err)))
		return rc == TK_EIO ? TK_OK : rc;
	/* Another name of the same inode, perhaps one outside of the target, would change with it: such a file is made anew. */
	if (!same || st.nlink > 1) {
		*basis = same || entry->kind == TK_CONTENT_SEGMENTS ? fd : -1;
		fd = *basis >= 0 ? -1 : fd;
		return TK_OK;
	}
	if ((rc = tk_target_parent(worker->target, path, path_bytes, false, &dirfd, &name, err)))
		return rc;
	(void)tk_inoflags_unlock(fd);
	*reused = true;
	return tk_meta_apply(dirfd, name, fd, &entry->meta, &opts, &worker->not_applied, err);
}

/* A file of one piece, which is checked and then written, from its beginning to its end: where a run is killed, its size tells whether it is whole. */
static enum tk_rc
begin_new(struct tk_restore_worker *worker, const struct tk_entry *entry, const char *path, size_t path_bytes, struct tk_target_file **file, struct tk_err *err)
{
	if (tk_restore_is_single(entry))
		return tk_target_file_begin_named(worker->target, path, path_bytes, file, err);
	return tk_target_file_begin(worker->target, path, path_bytes, file, err);
}

static enum tk_rc
write_new(struct tk_restore_worker *worker, const struct tk_entry *entry, const char *path, size_t path_bytes, int basis, uint64_t *reused_bytes,
	  struct tk_err *err)
{
	TK_AUTO(tk_target_file_cleanup) struct tk_target_file *file = NULL;
	struct tk_apply_opts opts;
	enum tk_rc rc;

	if ((rc = begin_new(worker, entry, path, path_bytes, &file, err)))
		return rc;
	opts = apply_new_opts(worker);
	if ((rc = tk_restore_into_file(worker, entry, file, basis, reused_bytes, err)) ||
	    (rc = tk_meta_apply(tk_target_file_dirfd(file), tk_target_file_current_name(file), tk_target_file_fd(file), &entry->meta, &opts,
				&worker->not_applied, err)))
		return rc;
	return tk_target_file_commit(file, err);
}

static void
count_file(struct tk_restore *restore, uint64_t bytes, uint64_t reused_bytes)
{
	pthread_mutex_lock(&restore->lock);
	restore->result->files_restored++;
	restore->result->restored_bytes += bytes;
	restore->result->reused_bytes += reused_bytes;
	pthread_mutex_unlock(&restore->lock);
}

static enum tk_rc
restore_regular(struct tk_restore_worker *worker, const struct tk_entry *entry, const char *path, size_t path_bytes, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int basis = -1;
	uint64_t reused_bytes = entry->meta.size_bytes;
	bool reused = false;
	enum tk_rc rc;

	if ((rc = reuse_existing(worker, entry, path, path_bytes, &reused, &basis, err)) ||
	    (!reused && (rc = write_new(worker, entry, path, path_bytes, basis, &reused_bytes, err))))
		return rc;
	count_file(worker->restore, entry->meta.size_bytes, reused_bytes);
	return TK_OK;
}

static enum tk_rc
restore_special(struct tk_restore_worker *worker, const struct tk_entry *entry, const char *path, size_t path_bytes, struct tk_err *err)
{
	struct tk_apply_opts opts = apply_new_opts(worker);
	const char *name;
	int dirfd;
	enum tk_rc rc;

	if (entry->meta.type == TK_FT_SYMLINK)
		rc = tk_target_symlink(worker->target, path, path_bytes, entry->meta.link_target, err);
	else
		rc = tk_target_mknod(worker->target, path, path_bytes, entry->meta.type, entry->meta.dev_major, entry->meta.dev_minor, err);
	if (rc == TK_EDENIED && (entry->meta.type == TK_FT_CHAR || entry->meta.type == TK_FT_BLOCK)) {
		worker->not_applied.device++;
		if (entry->hardlink_group)
			tk_restore_group_failed(worker->restore, entry->hardlink_group);
		return TK_OK;
	}
	if (rc || (rc = tk_target_parent(worker->target, path, path_bytes, false, &dirfd, &name, err)) ||
	    (rc = tk_meta_apply(dirfd, name, -1, &entry->meta, &opts, &worker->not_applied, err)))
		return rc;
	count_file(worker->restore, 0, 0);
	return TK_OK;
}

static enum tk_rc
make_dir(struct tk_restore_worker *worker, const char *path, size_t path_bytes, struct tk_err *err)
{
	enum tk_rc rc;

	/* Two workers that both find the same file in the way must not take away each other's directory. */
	pthread_mutex_lock(&worker->restore->ways);
	rc = tk_target_mkdir(worker->target, path, path_bytes, err);
	pthread_mutex_unlock(&worker->restore->ways);
	return rc;
}

static enum tk_rc
restore_one(struct tk_restore_worker *worker, const struct tk_entry *entry, struct tk_err *err)
{
	size_t path_bytes;
	const char *path = tk_restore_path(worker->restore, entry, &path_bytes);

	if (entry->meta.type == TK_FT_DIR)
		return make_dir(worker, path, path_bytes, err);
	if (entry->meta.type == TK_FT_REG)
		return restore_regular(worker, entry, path, path_bytes, err);
	return restore_special(worker, entry, path, path_bytes, err);
}

static bool
is_below_a_root(const struct tk_point_body *body, const struct tk_entry *entry)
{
	for (size_t i = 0; i < body->root_count; i++) {
		const char *root = body->roots[i];

		while (*root == '/')
			root++;
		if (tk_path_is_below(entry->path, entry->path_bytes, root, strlen(root)))
			return true;
	}
	return false;
}

/* Pages are restored side by side: another worker may not have come yet to the directory that this entry needs, and something else lie in its place. What is above an
 * entry in the manifest is a directory of the manifest. */
static enum tk_rc
make_way(struct tk_restore_worker *worker, const struct tk_entry *entry, struct tk_err *err)
{
	const struct tk_restore *restore = worker->restore;
	struct tk_entry above = {.path = entry->path};

	tk_target_forget(worker->target);
	for (size_t i = 0; i < entry->path_bytes; i++) {
		const char *path;
		size_t path_bytes;
		enum tk_rc rc;

		above.path_bytes = i;
		if (entry->path[i] != '/' || !is_below_a_root(restore->opts->body, &above) || !tk_restore_wants(restore, &above))
			continue;
		path = tk_restore_path(restore, &above, &path_bytes);
		if ((rc = make_dir(worker, path, path_bytes, err)))
			return rc;
	}
	return TK_OK;
}

void
tk_restore_entry(struct tk_restore_worker *worker, const struct tk_entry *entry)
{
	struct tk_restore *restore = worker->restore;
	bool has_group = entry->meta.type != TK_FT_DIR && entry->hardlink_group, claimed = true;
	struct tk_err err;
	enum tk_rc rc = has_group ? tk_restore_claim_group(restore, entry, &claimed, &err) : TK_OK;

	if (!rc && !claimed)
		return;
	if (!rc)
		rc = restore_one(worker, entry, &err);
	if ((rc == TK_ENOTSAFE || rc == TK_ENOENT) && !restore->fresh && !(rc = make_way(worker, entry, &err)))
		rc = restore_one(worker, entry, &err);
	if (rc && has_group)
		tk_restore_group_failed(restore, entry->hardlink_group);
	if (rc == TK_ENOSPC || rc == TK_ENOMEM || rc == TK_EUNREACH || rc == TK_ECANCELLED || rc == TK_EKEY) {
		(void)tk_err_context(&err, rc, "restoring /%s", entry->path);
		tk_restore_fail(restore, &err);
	} else if (rc) {
		tk_restore_fault(restore, entry->path, &err);
	}
}
