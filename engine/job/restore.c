#include "engine/job/restore.h"

#include <stdlib.h>
#include <string.h>

#include "engine/job/restore_core.h"

/* ---- shared by all parts ---- */

void
tk_restore_fail(struct tk_restore *restore, const struct tk_err *err)
{
	pthread_mutex_lock(&restore->lock);
	if (!atomic_load(&restore->failed)) {
		restore->failure = *err;
		atomic_store(&restore->failed, true);
	}
	pthread_mutex_unlock(&restore->lock);
}

void
tk_restore_fault(struct tk_restore *restore, const char *path, const struct tk_err *err)
{
	pthread_mutex_lock(&restore->lock);
	restore->result->faults++;
	restore->result->damaged |= err->rc == TK_ECORRUPT || err->rc == TK_EMISSING;
	if (restore->opts->on_fault)
		restore->opts->on_fault(restore->opts->ctx, path, err);
	pthread_mutex_unlock(&restore->lock);
}

bool
tk_restore_wants(const struct tk_restore *restore, const struct tk_entry *entry)
{
	for (size_t i = 0; i < restore->opts->path_count; i++)
		if (tk_path_is_below(entry->path, entry->path_bytes, restore->paths[i], strlen(restore->paths[i])))
			return true;
	return restore->opts->path_count == 0;
}

const char *
tk_restore_path(const struct tk_restore *restore, const struct tk_entry *entry, size_t *len_bytes)
{
	size_t cut = restore->strip_root ? restore->strip_bytes : 0;

	if (cut > 0 && entry->path_bytes > cut)
		cut++; /* the '/' after it */
	*len_bytes = entry->path_bytes - cut;
	return entry->path + cut;
}

static struct tk_group_row *
find_group(const struct tk_restore *restore, uint64_t group)
{
	size_t low = 0, high = restore->group_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (restore->groups[mid].group == group)
			return &restore->groups[mid];
		if (restore->groups[mid].group < group)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

const struct tk_group_row *
tk_restore_group(const struct tk_restore *restore, uint64_t group)
{
	return find_group(restore, group);
}

void
tk_restore_group_failed(struct tk_restore *restore, uint64_t group)
{
	struct tk_group_row *row;

	pthread_mutex_lock(&restore->lock);
	if ((row = find_group(restore, group)))
		row->failed = true;
	pthread_mutex_unlock(&restore->lock);
}

static enum tk_rc
add_group(struct tk_restore *restore, const struct tk_entry *entry, struct tk_err *err)
{
	size_t at = restore->group_count;
	struct tk_group_row row = {.group = entry->hardlink_group, .path_bytes = entry->path_bytes};

	if (restore->group_count == restore->group_cap) {
		size_t cap = restore->group_cap ? restore->group_cap * 2 : 64;
		struct tk_group_row *grown = realloc(restore->groups, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for hardlinks");
		restore->groups = grown;
		restore->group_cap = cap;
	}
	row.path = malloc(entry->path_bytes + 1);
	if (!row.path)
		return tk_err_set(err, TK_ENOMEM, "no memory for hardlinks");
	memcpy(row.path, entry->path, entry->path_bytes + 1);
	while (at > 0 && restore->groups[at - 1].group > row.group)
		at--;
	memmove(restore->groups + at + 1, restore->groups + at, (restore->group_count - at) * sizeof(row));
	restore->groups[at] = row;
	restore->group_count++;
	return TK_OK;
}

enum tk_rc
tk_restore_claim_group(struct tk_restore *restore, const struct tk_entry *entry, bool *claimed, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	pthread_mutex_lock(&restore->lock);
	*claimed = tk_restore_group(restore, entry->hardlink_group) == NULL;
	if (*claimed)
		rc = add_group(restore, entry, err);
	pthread_mutex_unlock(&restore->lock);
	return rc;
}

enum tk_rc
tk_restore_worker_init(struct tk_restore_worker *worker, struct tk_restore *restore, struct tk_err *err)
{
	enum tk_rc rc;

	memset(worker, 0, sizeof(*worker));
	worker->restore = restore;
	if ((restore->target && (rc = tk_target_dup(restore->target, &worker->target, err))) || (rc = tk_idmap_new(&worker->ids, err)))
		return rc;
	return tk_content_hash_new(restore->opts->point->suite, restore->segment_bytes, &worker->hash, err);
}

void
tk_restore_worker_release(struct tk_restore_worker *worker)
{
	if (worker->held)
		tk_fetch_release(worker->restore->opts->fetch, worker->held);
	tk_target_cleanup(&worker->target);
	tk_idmap_cleanup(&worker->ids);
	tk_content_hash_cleanup(&worker->hash);
	free(worker->window);
	memset(worker, 0, sizeof(*worker));
}

/* ---- the workers ---- */

static enum tk_rc
restore_leaf(struct tk_restore_worker *worker, const struct tk_page_task *page, const void *plain, size_t plain_bytes, struct tk_entry *entry,
	     struct tk_err *err)
{
	struct tk_restore *restore = worker->restore;
	TK_AUTO(tk_leaf_cleanup) struct tk_leaf_reader *reader = NULL;
	TK_AUTO(tk_portable_cleanup) struct tk_portable *portable = NULL;
	struct tk_digest digest;
	size_t number = 0;
	bool done = false;
	enum tk_rc rc;

	if ((rc = tk_leaf_open(plain, plain_bytes, page->ref.pack, restore->opts->packs, &reader, err)) ||
	    (rc = tk_portable_begin(restore->opts->point->suite, &portable, err)))
		return rc;
	while (!atomic_load(&restore->failed)) {
		if ((rc = tk_leaf_next(reader, entry, &done, err)))
			return rc;
		if (done)
			break;
		if ((rc = tk_portable_add(portable, entry, err)))
			return rc;
		tk_restore_ahead_at(restore->ahead, page->number, number++);
		if (entry->meta.flags)
			atomic_store(&restore->has_flags, true);
		if (tk_restore_wants(restore, entry))
			tk_restore_entry(worker, entry);
	}
	if ((rc = tk_portable_end(portable, &digest, err)))
		return rc;
	if (done && memcmp(&digest, &page->portable, sizeof(digest)) != 0)
		return tk_err_set(err, TK_ECORRUPT, "a page does not match the digest that its parent has of it");
	return TK_OK;
}

static enum tk_rc
restore_page(struct tk_restore_worker *worker, const struct tk_page_task *page, struct tk_entry *entry, struct tk_err *err)
{
	struct tk_fetch *fetch = worker->restore->opts->fetch;
	struct tk_fetched *blob = NULL;
	const uint8_t *plain;
	size_t len;
	enum tk_rc rc = tk_fetch_blob(fetch, page->ref, TK_BLOB_LEAF, &blob, err);

	if (rc)
		return rc;
	plain = tk_fetched_data(blob, &len);
	rc = restore_leaf(worker, page, plain, len, entry, err);
	tk_fetch_release(fetch, blob);
	return rc;
}

static void
worker_ends(struct tk_restore_worker *worker)
{
	struct tk_restore *restore = worker->restore;
	const struct tk_look *look = worker->target ? tk_target_look(worker->target) : NULL;

	pthread_mutex_lock(&restore->lock);
	tk_not_applied_add(&restore->result->not_applied, &worker->not_applied);
	if (look) {
		restore->has_look = true;
		restore->look = *look;
	}
	pthread_mutex_unlock(&restore->lock);
	tk_restore_worker_release(worker);
}

static void *
worker_main(void *arg)
{
	struct tk_restore *restore = arg;
	struct tk_restore_worker worker;
	struct tk_page_task page;
	struct tk_entry entry;
	struct tk_err err;

	tk_entry_init(&entry);
	if (tk_restore_worker_init(&worker, restore, &err))
		tk_restore_fail(restore, &err);
	while (tk_restore_work_next(restore->work, &worker, &page)) {
		if (!atomic_load(&restore->failed) && restore_page(&worker, &page, &entry, &err))
			tk_restore_fail(restore, &err);
		tk_restore_ahead_done(restore->ahead, page.number);
		tk_restore_work_done(restore->work);
	}
	worker_ends(&worker);
	tk_entry_release(&entry);
	return NULL;
}

/* ---- the main thread ---- */

/* Who asks for several paths wants all of them: one that is not there is told before anything is touched. */
static enum tk_rc
check_paths(struct tk_restore *restore, struct tk_page_loader *loader, const struct tk_page_info *root, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < restore->opts->path_count && !rc; i++) {
		TK_AUTO(tk_treewalk_cleanup) struct tk_treewalk *walk = NULL;
		struct tk_entry entry;
		bool none = false;

		tk_entry_init(&entry);
		if (!(rc = tk_treewalk_begin(loader, root, restore->paths[i], strlen(restore->paths[i]), &walk, err)))
			rc = tk_treewalk_next(walk, &entry, &none, err);
		if (!rc && none)
			rc = tk_err_set(err, TK_ENOENT, "the point has nothing at %s; give full paths, as twinkeep ls shows them", restore->opts->paths[i]);
		tk_entry_release(&entry);
	}
	return rc;
}

enum tk_rc
tk_restore_walk_open(struct tk_restore *restore, struct tk_restore_walk *out, struct tk_err *err)
{
	const struct tk_restore_opts *opts = restore->opts;
	struct tk_blob_source source = tk_fetch_source(opts->fetch);
	struct tk_blob_ref ref = {0, opts->point->root_blob};
	TK_AUTO(tk_page_info_release) struct tk_page_info root = {0};
	/* Several paths are few: the walk is narrowed only for one. */
	const char *dir = opts->path_count == 1 ? restore->paths[0] : "";
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	tk_entry_init(&out->entry);
	if ((rc = tk_packtab_intern(opts->packs, &opts->point->root_pack, &ref.pack, err)) ||
	    (rc = tk_page_loader_new(opts->point->suite, opts->packs, &source, &out->loader, err)) ||
	    (rc = tk_page_loader_root(out->loader, ref, &root, err)))
		return rc;
	if (memcmp(&root.portable, &opts->body->tree, sizeof(root.portable)) != 0)
		return tk_err_set(err, TK_ECORRUPT, "the root page does not match the point's tree digest");
	if ((rc = check_paths(restore, out->loader, &root, err)))
		return rc;
	return tk_treewalk_begin(out->loader, &root, dir, strlen(dir), &out->walk, err);
}

enum tk_rc
tk_restore_walk_next(struct tk_restore *restore, struct tk_restore_walk *walk, const struct tk_entry **entry, struct tk_err *err)
{
	bool done = false;
	enum tk_rc rc;

	do {
		if ((rc = tk_treewalk_next(walk->walk, &walk->entry, &done, err)))
			return rc;
	} while (!done && !tk_restore_wants(restore, &walk->entry));
	*entry = done ? NULL : &walk->entry;
	return TK_OK;
}

void
tk_restore_walk_release(struct tk_restore_walk *walk)
{
	tk_treewalk_cleanup(&walk->walk);
	tk_page_loader_cleanup(&walk->loader);
	tk_entry_release(&walk->entry);
}

static void
tell_progress(struct tk_restore *restore)
{
	struct tk_progress_event event = {.phase = "restore", .units_total = restore->opts->body->files, .bytes_total = restore->opts->body->total_bytes};

	pthread_mutex_lock(&restore->lock);
	event.units_done = restore->result->files_restored;
	event.bytes_done = restore->result->restored_bytes;
	pthread_mutex_unlock(&restore->lock);
	if (restore->opts->path_count > 0)
		event.units_total = event.bytes_total = 0;
	tk_progress_report(restore->opts->progress, &event);
}

static enum tk_rc
feed_pages(struct tk_restore *restore, struct tk_err *err)
{
	TK_AUTO(tk_restore_walk_release) struct tk_restore_walk walk = {0};
	const struct tk_page_info *leaf = NULL;
	struct tk_page_task page = {.number = 0};
	enum tk_rc rc = tk_restore_walk_open(restore, &walk, err);

	while (!rc && !atomic_load(&restore->failed)) {
		if (restore->opts->cancel && atomic_load(restore->opts->cancel))
			return tk_err_set(err, TK_ECANCELLED, "interrupted");
		if ((rc = tk_treewalk_next_leaf(walk.walk, &leaf, err)) || !leaf)
			break;
		page = (struct tk_page_task){.ref = leaf->ref, .portable = leaf->portable, .number = page.number + 1};
		tk_restore_work_push(restore->work, &page);
		tk_restore_ahead_page(restore->ahead, &page);
		tell_progress(restore);
	}
	return rc;
}

static enum tk_rc
first_pass(struct tk_restore *restore, struct tk_err *err)
{
	unsigned wanted = restore->opts->threads ? restore->opts->threads : 1, started = 0;
	pthread_t *threads = calloc(wanted, sizeof(*threads));
	enum tk_rc rc = threads ? tk_restore_work_new(&restore->work, err) : tk_err_set(err, TK_ENOMEM, "no memory for threads");

	if (!rc)
		rc = tk_restore_ahead_new(restore, restore->fresh, &restore->ahead, err);
	for (unsigned i = 0; i < wanted && !rc; i++) {
		if (pthread_create(&threads[i], NULL, worker_main, restore))
			rc = tk_err_set(err, TK_ENOMEM, "cannot start a restore thread");
		else
			started++;
	}
	if (!rc)
		rc = feed_pages(restore, err);
	if (rc)
		tk_restore_fail(restore, err);
	if (restore->work)
		tk_restore_work_close(restore->work);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	free(threads);
	if (atomic_load(&restore->failed)) {
		if (err)
			*err = restore->failure;
		return restore->failure.rc;
	}
	/* Every page's digest was recomputed, up to the root's. */
	if (!rc && restore->opts->path_count == 0) {
		restore->result->tree = restore->opts->body->tree;
		restore->result->tree_complete = true;
	}
	tell_progress(restore);
	return rc;
}

static enum tk_rc
normalise_paths(struct tk_restore *restore, struct tk_err *err)
{
	const struct tk_restore_opts *opts = restore->opts;

	restore->paths = calloc(opts->path_count + 1, sizeof(*restore->paths));
	if (!restore->paths)
		return tk_err_set(err, TK_ENOMEM, "no memory for paths");
	for (size_t i = 0; i < opts->path_count; i++) {
		const char *path = opts->paths[i];
		size_t len;
		enum tk_rc rc;

		while (*path == '/')
			path++;
		restore->paths[i] = strdup(path);
		if (!restore->paths[i])
			return tk_err_set(err, TK_ENOMEM, "no memory for paths");
		for (len = strlen(path); len > 0 && path[len - 1] == '/'; len--)
			restore->paths[i][len - 1] = '\0';
		if ((rc = tk_path_check(restore->paths[i], len, err)))
			return tk_err_set(err, TK_EINVAL, "--path %s: not a path of the dataset", opts->paths[i]);
	}
	return TK_OK;
}

static enum tk_rc
set_strip(struct tk_restore *restore, struct tk_err *err)
{
	const struct tk_point_body *body = restore->opts->body;

	if (!restore->opts->strip)
		return TK_OK;
	if (body->root_count != 1)
		return tk_err_set(err, TK_EINVAL, "--strip needs a dataset with one root; this one has %zu", body->root_count);
	restore->strip_root = body->roots[0];
	while (*restore->strip_root == '/')
		restore->strip_root++;
	restore->strip_bytes = strlen(restore->strip_root);
	return TK_OK;
}

static enum tk_rc
open_target(struct tk_restore *restore, struct tk_err *err)
{
	struct tk_dirlist list;
	enum tk_rc rc = tk_target_open(restore->opts->target, true, &restore->target, err);

	if (rc)
		return rc;
	tk_dirlist_init(&list);
	rc = tk_target_list(restore->target, "", 0, &list, err);
	restore->fresh = !rc && tk_dirlist_peek(&list) == NULL;
	tk_dirlist_release(&list);
	if (restore->fresh)
		tk_target_set_fresh(restore->target);
	return rc;
}

static enum tk_rc
restore_all(struct tk_restore *restore, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = normalise_paths(restore, err)) || (rc = set_strip(restore, err)))
		return rc;
	if (restore->opts->tar_fd >= 0)
		return tk_restore_tar(restore, err);
	if ((rc = open_target(restore, err)) || (rc = first_pass(restore, err)) || (rc = tk_restore_finish(restore, err)))
		return rc;
	return tk_target_sync(restore->target, err);
}

enum tk_rc
tk_restore_run(const struct tk_restore_opts *opts, struct tk_restore_result *result, struct tk_err *err)
{
	struct tk_restore restore = {.opts = opts, .result = result, .segment_bytes = opts->body->segment_bytes};
	enum tk_rc rc;

	memset(result, 0, sizeof(*result));
	(void)pthread_mutex_init(&restore.lock, NULL);
	(void)pthread_mutex_init(&restore.ways, NULL);
	rc = restore_all(&restore, err);
	result->damaged |= rc == TK_ECORRUPT || rc == TK_EMISSING;
	result->verified = !rc && result->faults == 0 && (opts->path_count > 0 || result->tree_complete);
	tk_target_cleanup(&restore.target);
	tk_restore_ahead_cleanup(&restore.ahead);
	tk_restore_work_cleanup(&restore.work);
	for (size_t i = 0; i < restore.group_count; i++)
		free(restore.groups[i].path);
	free(restore.groups);
	for (size_t i = 0; restore.paths && i < opts->path_count; i++)
		free(restore.paths[i]);
	free(restore.paths);
	(void)pthread_mutex_destroy(&restore.lock);
	(void)pthread_mutex_destroy(&restore.ways);
	return rc;
}
