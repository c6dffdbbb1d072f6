#include <unistd.h>

#include "engine/fsio/openat.h"
#include "engine/job/restore_core.h"

static enum tk_rc
write_file(void *ctx, uint64_t offset_bytes, const uint8_t *data, size_t len_bytes, struct tk_err *err)
{
	const struct tk_target_file *file = ctx;

	/* A hole: the size was set, and what is not written reads as zeros. */
	if (!data)
		return TK_OK;
	return tk_pwrite_full(tk_target_file_fd(file), data, len_bytes, offset_bytes, "restored file", err);
}

static struct tk_apply_opts
apply_opts(const struct tk_restore_worker *worker)
{
	return (struct tk_apply_opts){.numeric_ids = worker->restore->opts->numeric_ids, .ids = worker->ids};
}

/* What is there already, if it is this very content: then only its metadata is put right. */
static enum tk_rc
reuse_existing(struct tk_restore_worker *worker, const struct tk_entry *entry, const char *path, size_t path_bytes, bool *reused,
	       struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	struct tk_apply_opts opts = apply_opts(worker);
	const char *name;
	struct tk_stat st;
	bool same = false;
	int dirfd;
	enum tk_rc rc;

	*reused = false;
	if (worker->restore->fresh || tk_target_stat(worker->target, path, path_bytes, &st, err))
		return TK_OK;
	/* Another name of the same inode would change with it. */
	if (st.type != TK_FT_REG || st.size_bytes != entry->meta.size_bytes || st.nlink > 1 ||
	    tk_target_open_file(worker->target, path, path_bytes, &fd, err) ||
	    (rc = tk_restore_compare(worker, fd, entry, &same, err)) || !same)
		return TK_OK;
	if ((rc = tk_target_parent(worker->target, path, path_bytes, false, &dirfd, &name, err)))
		return rc;
	(void)tk_meta_unlock(dirfd, name);
	*reused = true;
	return tk_meta_apply(dirfd, name, -1, &entry->meta, &opts, &worker->not_applied, err);
}

static enum tk_rc
write_new(struct tk_restore_worker *worker, const struct tk_entry *entry, const char *path, size_t path_bytes, struct tk_err *err)
{
	TK_AUTO(tk_target_file_cleanup) struct tk_target_file *file = NULL;
	struct tk_apply_opts opts = apply_opts(worker);
	struct tk_byte_sink sink = {.write = write_file};
	enum tk_rc rc;

	if ((rc = tk_target_file_begin(worker->target, path, path_bytes, &file, err)))
		return rc;
	sink.ctx = file;
	if ((rc = tk_target_file_set_size(file, entry->meta.size_bytes, err)) || (rc = tk_restore_content(worker, entry, &sink, err)) ||
	    (rc = tk_meta_apply(tk_target_file_dirfd(file), tk_target_file_tmp_name(file), tk_target_file_fd(file), &entry->meta, &opts,
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
	bool claimed = true, reused;
	enum tk_rc rc;

	if (entry->hardlink_group && ((rc = tk_restore_claim_group(worker->restore, entry, &claimed, err)) || !claimed))
		return rc;
	if ((rc = reuse_existing(worker, entry, path, path_bytes, &reused, err)) ||
	    (!reused && (rc = write_new(worker, entry, path, path_bytes, err))))
		return rc;
	count_file(worker->restore, entry->meta.size_bytes, reused ? entry->meta.size_bytes : 0);
	return TK_OK;
}

static enum tk_rc
restore_special(struct tk_restore_worker *worker, const struct tk_entry *entry, const char *path, size_t path_bytes, struct tk_err *err)
{
	struct tk_apply_opts opts = apply_opts(worker);
	const char *name;
	int dirfd;
	enum tk_rc rc;

	if (entry->meta.type == TK_FT_SYMLINK)
		rc = tk_target_symlink(worker->target, path, path_bytes, entry->meta.link_target, err);
	else
		rc = tk_target_mknod(worker->target, path, path_bytes, entry->meta.type, entry->meta.dev_major, entry->meta.dev_minor, err);
	if (rc == TK_EDENIED && (entry->meta.type == TK_FT_CHAR || entry->meta.type == TK_FT_BLOCK)) {
		worker->not_applied.device++;
		return TK_OK;
	}
	if (rc || (rc = tk_target_parent(worker->target, path, path_bytes, false, &dirfd, &name, err)) ||
	    (rc = tk_meta_apply(dirfd, name, -1, &entry->meta, &opts, &worker->not_applied, err)))
		return rc;
	count_file(worker->restore, 0, 0);
	return TK_OK;
}

void
tk_restore_entry(struct tk_restore_worker *worker, const struct tk_entry *entry)
{
	struct tk_err err;
	size_t path_bytes;
	const char *path = tk_restore_path(worker->restore, entry, &path_bytes);
	enum tk_rc rc;

	if (entry->meta.type == TK_FT_DIR)
		rc = tk_target_mkdir(worker->target, path, path_bytes, &err);
	else if (entry->meta.type == TK_FT_REG)
		rc = restore_regular(worker, entry, path, path_bytes, &err);
	else
		rc = restore_special(worker, entry, path, path_bytes, &err);
	if (rc == TK_ENOSPC || rc == TK_ENOMEM || rc == TK_EUNREACH || rc == TK_ECANCELLED || rc == TK_EKEY)
		tk_restore_fail(worker->restore, &err);
	else if (rc)
		tk_restore_fault(worker->restore, entry->path, &err);
}
