#include <stdlib.h>
#include <string.h>

#include "engine/archive/tarout.h"
#include "engine/job/restore_core.h"

static enum tk_rc
write_tar(void *ctx, uint64_t offset_bytes, const uint8_t *data, size_t len_bytes, struct tk_err *err)
{
	(void)offset_bytes;
	return tk_tarout_data(ctx, data, len_bytes, err);
}

/* The path of an earlier member of the same hardlink group, or NULL: this one carries the content. */
static enum tk_rc
find_link(struct tk_restore *restore, const struct tk_entry *entry, const char **link_to, struct tk_err *err)
{
	const struct tk_group_row *row;
	struct tk_entry first;
	size_t len;
	bool claimed;
	enum tk_rc rc;

	*link_to = NULL;
	if (!entry->hardlink_group)
		return TK_OK;
	rc = tk_restore_claim_group(restore, entry, &claimed, err);
	if (rc || claimed)
		return rc;
	row = tk_restore_group(restore, entry->hardlink_group);
	memset(&first, 0, sizeof(first));
	first.path = row->path;
	first.path_bytes = row->path_bytes;
	*link_to = tk_restore_path(restore, &first, &len);
	return TK_OK;
}

static enum tk_rc
add_entry(struct tk_restore_worker *worker, struct tk_tarout *tar, const struct tk_entry *entry, struct tk_err *err)
{
	struct tk_restore *restore = worker->restore;
	struct tk_byte_sink sink = {.ctx = tar, .write = write_tar};
	const char *link_to = NULL, *path;
	struct tk_run *runs = NULL;
	size_t path_bytes, run_count = 0;
	bool has_content;
	enum tk_rc rc = entry->meta.type == TK_FT_DIR ? TK_OK : find_link(restore, entry, &link_to, err);

	path = tk_restore_path(restore, entry, &path_bytes);
	has_content = entry->meta.type == TK_FT_REG && !link_to && entry->meta.size_bytes > 0;
	if (!rc && has_content)
		rc = tk_restore_runs(restore, entry, &runs, &run_count, err);
	if (!rc)
		rc = tk_tarout_add(tar, path, &entry->meta, link_to, runs, run_count, err);
	if (!rc && has_content)
		rc = tk_restore_content(worker, entry, &sink, err);
	free(runs);
	if (rc)
		return tk_err_context(err, rc, "%s", entry->path);
	if (entry->meta.type != TK_FT_DIR) {
		restore->result->files_restored++;
		restore->result->restored_bytes += entry->meta.size_bytes;
	}
	return TK_OK;
}

/* A tar stream cannot take back what it said: the first fault ends it, cut short. */
enum tk_rc
tk_restore_tar(struct tk_restore *restore, struct tk_err *err)
{
	TK_AUTO(tk_tarout_cleanup) struct tk_tarout *tar = NULL;
	TK_AUTO(tk_restore_worker_release) struct tk_restore_worker worker = {0};
	TK_AUTO(tk_restore_walk_release) struct tk_restore_walk walk = {0};
	const struct tk_entry *entry = NULL;
	enum tk_rc rc;

	if (restore->opts->path_count == 0)
		tk_fetch_in_order(restore->opts->fetch);
	if ((rc = tk_restore_worker_init(&worker, restore, err)) || (rc = tk_restore_ahead_new(restore, false, &restore->ahead, err)) ||
	    (rc = tk_tarout_new(restore->opts->tar_fd, &tar, err)) || (rc = tk_restore_walk_open(restore, &walk, err)))
		return rc;
	while (!(rc = tk_restore_walk_next(restore, &walk, &entry, err)) && entry) {
		if (restore->opts->cancel && atomic_load(restore->opts->cancel))
			return tk_err_set(err, TK_ECANCELLED, "interrupted");
		if ((rc = add_entry(&worker, tar, entry, err)))
			return rc;
	}
	if (rc || (rc = tk_tarout_end(tar, err)))
		return rc;
	if (restore->opts->path_count == 0) {
		restore->result->tree = restore->opts->body->tree;
		restore->result->tree_complete = true;
	}
	return TK_OK;
}
