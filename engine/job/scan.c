#include "engine/job/scan.h"

#include <stdlib.h>
#include <string.h>

#include "engine/fsio/meta.h"
#include "engine/fsio/openat.h"
#include "engine/job/links.h"
#include "engine/job/oldcursor.h"

#define NS_PER_S 1000000000LL
#define RACY_DEFAULT_NS (2 * NS_PER_S)
#define PROGRESS_EVERY 256u

struct scan {
	const struct tk_scan_opts *opts;
	struct tk_scan_stats *stats;
	struct tk_walk *walk;
	struct tk_idmap *ids;
	struct tk_tree *tree;
	struct tk_links *links;
	struct tk_oldcursor old;

	/* The first `held` entries of the old leaf stand unchanged and are not in the tree yet: if the whole leaf does, it is
	 * added undecoded. leaf_done: all of it was matched; what comes next decides. */
	bool holding, leaf_done;
	struct tk_sidecar *held_rows;         /* of the held entries: these may be newer than the leaf's */
	size_t held, held_cap;

	struct tk_sidecar *rows;              /* of the entries in the tree's open leaf */
	size_t row_count, row_cap;

	struct tk_entry fresh;                /* the entry being made */
	size_t path_cap;
	struct tk_buf forms[2];               /* for comparing it with the one before */
	struct tk_content content;
	uint64_t done;
};

/* ---- pages: where they go ---- */

static enum tk_rc
sink_place(void *ctx, uint32_t *pack, struct tk_err *err)
{
	const struct scan *scan = ctx;

	return tk_packer_place(scan->opts->packer, pack, err);
}

static enum tk_rc
sink_put(void *ctx, enum tk_blob_type type, const void *plain, size_t plain_bytes, const struct tk_blob_ref *refs, size_t ref_count,
	 struct tk_blob_ref *ref, struct tk_err *err)
{
	const struct scan *scan = ctx;

	return tk_packer_put(scan->opts->packer, type, plain, plain_bytes, refs, ref_count, ref, err);
}

static enum tk_rc
sink_leaf_made(void *ctx, const struct tk_page_info *info, const void *plain, size_t plain_bytes, struct tk_err *err)
{
	struct scan *scan = ctx;
	size_t count = (size_t)info->entries;
	enum tk_rc rc;

	if (count > scan->row_count)
		return tk_err_set(err, TK_EINVAL, "a page has more entries than were added");
	if ((rc = tk_catalog_writer_add(scan->opts->writer, info, plain, plain_bytes, scan->rows, count, err)))
		return rc;
	scan->stats->changed = true;
	scan->row_count -= count;
	memmove(scan->rows, scan->rows + count, scan->row_count * sizeof(*scan->rows));
	return TK_OK;
}

static enum tk_rc
sink_node_find(void *ctx, const struct tk_digest *key, struct tk_blob_ref *ref, bool *found, struct tk_err *err)
{
	const struct scan *scan = ctx;

	return tk_catalog_node_find(scan->opts->writer, key, ref, found, err);
}

static enum tk_rc
sink_node_made(void *ctx, const struct tk_digest *key, struct tk_blob_ref ref, struct tk_err *err)
{
	const struct scan *scan = ctx;

	return tk_catalog_node_made(scan->opts->writer, key, ref, err);
}

/* ---- adding entries ---- */

static enum tk_rc
add_entry(struct scan *scan, const struct tk_entry *entry, const struct tk_sidecar *sidecar, struct tk_err *err)
{
	enum tk_rc rc = tk_tree_add(scan->tree, entry, err);

	if (rc)
		return rc;
	if (scan->row_count == scan->row_cap) {
		size_t cap = scan->row_cap ? scan->row_cap * 2 : 256;
		struct tk_sidecar *grown = realloc(scan->rows, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for sidecars");
		scan->rows = grown;
		scan->row_cap = cap;
	}
	scan->rows[scan->row_count++] = *sidecar;
	return TK_OK;
}

/* The held entries go in one by one after all. */
static enum tk_rc
flush_held(struct scan *scan, struct tk_err *err)
{
	TK_AUTO(tk_leaf_cleanup) struct tk_leaf_reader *reader = NULL;
	const struct tk_catalog_leaf *leaf = scan->old.leaf;
	struct tk_entry entry;
	bool done = false;
	enum tk_rc rc;

	if (!scan->holding)
		return TK_OK;
	scan->holding = scan->leaf_done = false;
	if ((rc = tk_leaf_open(leaf->plain, leaf->plain_bytes, leaf->info.ref.pack, scan->opts->packs, &reader, err)))
		return rc;
	tk_entry_init(&entry);
	for (size_t i = 0; i < scan->held && !rc; i++) {
		rc = tk_leaf_next(reader, &entry, &done, err);
		if (!rc && done)
			rc = tk_err_set(err, TK_ECORRUPT, "a cached page changed while it was read");
		if (!rc)
			rc = add_entry(scan, &entry, &scan->held_rows[i], err);
	}
	tk_leaf_cleanup(&reader);
	tk_entry_release(&entry);
	return rc;
}

/* All of the old leaf was matched. next_path: what comes now (NULL: the end). */
static enum tk_rc
settle_leaf(struct scan *scan, const char *next_path, size_t next_bytes, struct tk_err *err)
{
	const struct tk_catalog_leaf *leaf = scan->old.leaf;
	enum tk_rc rc;

	if (next_path && !tk_tree_is_border(scan->tree, next_path, next_bytes)) {
		rc = flush_held(scan, err);
	} else {
		scan->holding = scan->leaf_done = false;
		rc = tk_tree_add_page(scan->tree, &leaf->info, err);
		if (!rc)
			rc = tk_catalog_writer_add(scan->opts->writer, &leaf->info, leaf->plain, leaf->plain_bytes, scan->held_rows, scan->held,
						   err);
	}
	return rc ? rc : tk_oldcursor_next_leaf(&scan->old, err);
}

/* The old cursor goes on; a held leaf that is used up waits for what comes next. */
static enum tk_rc
advance_old(struct scan *scan, struct tk_err *err)
{
	enum tk_rc rc = tk_oldcursor_next_in_leaf(&scan->old, err);

	if (rc || scan->old.have)
		return rc;
	if (scan->holding) {
		scan->leaf_done = true;
		return TK_OK;
	}
	return tk_oldcursor_next_leaf(&scan->old, err);
}

/* ---- one entry ---- */

static void
count_entry(struct scan *scan, enum tk_ftype type, uint64_t size_bytes)
{
	scan->stats->entries++;
	if (type == TK_FT_DIR)
		return;
	scan->stats->files++;
	if (type == TK_FT_REG)
		scan->stats->total_bytes += size_bytes;
}

static void
note(struct scan *scan, enum tk_scan_note kind, const char *path, const struct tk_err *err)
{
	if (kind == TK_NOTE_UNREADABLE)
		scan->stats->files_unreadable++;
	if (kind == TK_NOTE_INCONSISTENT)
		scan->stats->files_inconsistent++;
	if (scan->opts->on_note)
		scan->opts->on_note(scan->opts->ctx, kind, path, err);
}

static void
on_walk_note(void *ctx, const char *path, size_t path_bytes, enum tk_walk_note kind, const struct tk_err *err)
{
	struct scan *scan = ctx;

	(void)path_bytes;
	if (kind == TK_WALK_UNREADABLE)
		note(scan, TK_NOTE_UNREADABLE, path, err);
	else if (kind == TK_WALK_VANISHED)
		note(scan, TK_NOTE_VANISHED, path, err);
	else if (kind != TK_WALK_EXCLUDED)
		note(scan, TK_NOTE_SKIPPED, path, err);
}

/* Each path has its own moment within the period at which it is read again although nothing says that it changed. */
static bool
reread_due(const struct scan *scan, const char *path, size_t path_bytes)
{
	int64_t period = scan->opts->reread_period_s, now = scan->opts->scan_start_ns / NS_PER_S, last = scan->opts->last_scan_ns / NS_PER_S;
	uint64_t hash = 0xcbf29ce484222325ull;
	int64_t moment;

	if (period <= 0 || last <= 0)
		return false;
	if (now - last >= period)
		return true;
	for (size_t i = 0; i < path_bytes; i++)
		hash = (hash ^ (uint8_t)path[i]) * 0x100000001b3ull;
	moment = (int64_t)((hash >> 20) % (uint64_t)period);
	/* Is last < moment <= now, modulo the period? */
	return (now - moment) / period != (last - moment) / period;
}

static bool
is_unchanged(const struct scan *scan, const struct tk_walk_entry *now)
{
	const struct tk_entry *was = &scan->old.entry;
	const struct tk_sidecar *side = tk_oldcursor_sidecar(&scan->old);
	const struct tk_stat *st = &now->st;

	if (side->ino != st->ino || side->ctime_s != st->ctime_s || side->ctime_ns != st->ctime_ns || side->racy || side->ino == 0)
		return false;
	if (was->meta.type != st->type || was->meta.mode != st->mode || was->meta.uid != st->uid || was->meta.gid != st->gid ||
	    was->meta.mtime_s != st->mtime_s || was->meta.mtime_ns != st->mtime_ns || was->inconsistent)
		return false;
	if (st->type == TK_FT_DIR)
		return true;
	if ((st->nlink > 1) != (was->hardlink_group != 0))
		return false;
	return st->type != TK_FT_REG || (was->meta.size_bytes == st->size_bytes && !reread_due(scan, now->path, now->path_len_bytes));
}

static struct tk_sidecar
sidecar_of(const struct scan *scan, const struct tk_stat *st)
{
	int64_t ctime_ns = st->ctime_s * NS_PER_S + st->ctime_ns;
	int64_t racy_ns = scan->opts->racy_ns ? scan->opts->racy_ns : RACY_DEFAULT_NS;

	return (struct tk_sidecar){st->dev, st->ino, st->ctime_s, st->ctime_ns, ctime_ns > scan->opts->scan_start_ns - racy_ns};
}

static void
content_from_entry(const struct tk_entry *entry, struct tk_content *out)
{
	*out = (struct tk_content){.size_bytes = entry->meta.size_bytes, .digest = entry->content, .kind = entry->kind,
				   .extents = entry->extents, .extent_count = entry->extent_count, .segments = entry->segments,
				   .inconsistent = entry->inconsistent};
}

/*
 * May an unchanged name of an inode with several keep its group? Not if another inode has that group in this run, nor if the inode was read again under another name and
 * gave other bytes: all names of a group must tell the same content. An inode not met yet takes group and content from this entry.
 */
static enum tk_rc
group_stands(struct scan *scan, const struct tk_walk_entry *now, bool *stands, struct tk_err *err)
{
	const struct tk_entry *was = &scan->old.entry;
	struct tk_link_row *row = was->hardlink_group ? tk_links_find(scan->links, now->st.dev, now->st.ino) : NULL;
	struct tk_content content;
	enum tk_rc rc;

	*stands = true;
	if (!was->hardlink_group)
		return TK_OK;
	if (row) {
		*stands = row->group == was->hardlink_group &&
			  (!row->has_content || memcmp(&row->content.digest, &was->content, sizeof(was->content)) == 0);
		return TK_OK;
	}
	if ((rc = tk_links_add(scan->links, now->st.dev, now->st.ino, was->hardlink_group, &row, err)))
		return rc;
	*stands = row->group == was->hardlink_group;
	if (!*stands)
		return TK_OK;
	content_from_entry(was, &content);
	content.st = now->st;
	return tk_links_set_content(row, &content, err);
}

/* The old entry stands as it is, with what is known of its inode now: held, or added. */
static enum tk_rc
keep_entry(struct scan *scan, const struct tk_sidecar *sidecar, struct tk_err *err)
{
	const struct tk_entry *was = &scan->old.entry;
	enum tk_rc rc;

	if (scan->old.index == 0 && !scan->holding && tk_tree_at_border(scan->tree, was->path, was->path_bytes)) {
		scan->holding = true;
		scan->held = 0;
	}
	if (!scan->holding) {
		rc = add_entry(scan, was, sidecar, err);
		return rc ? rc : advance_old(scan, err);
	}
	if (scan->held == scan->held_cap) {
		size_t cap = scan->held_cap ? scan->held_cap * 2 : 256;
		struct tk_sidecar *grown = realloc(scan->held_rows, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for sidecars");
		scan->held_rows = grown;
		scan->held_cap = cap;
	}
	scan->held_rows[scan->held++] = *sidecar;
	return advance_old(scan, err);
}

/* An entry that nothing says to have changed. */
static enum tk_rc
carry_over(struct scan *scan, struct tk_err *err)
{
	const struct tk_entry *was = &scan->old.entry;
	enum tk_rc rc;

	count_entry(scan, was->meta.type, was->meta.size_bytes);
	if ((rc = tk_ingest_keep(scan->opts->ingest, was, err)))
		return rc;
	return keep_entry(scan, tk_oldcursor_sidecar(&scan->old), err);
}

static enum tk_rc
set_path(struct scan *scan, const struct tk_walk_entry *now, struct tk_err *err)
{
	struct tk_entry *entry = &scan->fresh;

	if (now->path_len_bytes + 1 > scan->path_cap) {
		size_t cap = now->path_len_bytes * 2 + 256;
		char *grown = realloc(entry->path, cap);

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for a path");
		entry->path = grown;
		scan->path_cap = cap;
	}
	memcpy(entry->path, now->path, now->path_len_bytes + 1);
	entry->path_bytes = now->path_len_bytes;
	return TK_OK;
}

static void
take_content(struct scan *scan, const struct tk_content *content)
{
	struct tk_entry *entry = &scan->fresh;

	entry->content = content->digest;
	entry->kind = content->kind;
	entry->extents = content->extents;
	entry->extent_count = content->extent_count;
	entry->segments = content->segments;
	entry->inconsistent = content->inconsistent;
	entry->meta.size_bytes = content->size_bytes;
}

/* The row of an inode with several names; this may be the first of them that is met. */
static enum tk_rc
need_row(struct scan *scan, const struct tk_stat *st, const struct tk_entry *old, struct tk_link_row **row, struct tk_err *err)
{
	uint64_t was = old ? tk_oldcursor_sidecar(&scan->old)->ino : 0;
	/* The group stays with the inode, not with the name. */
	uint64_t wish = old && (was == st->ino || was == 0) ? old->hardlink_group : 0;

	*row = tk_links_find(scan->links, st->dev, st->ino);
	return *row ? TK_OK : tk_links_add(scan->links, st->dev, st->ino, wish, row, err);
}

/* Reads a regular file's content, or takes it from another name of the same inode. */
static enum tk_rc
read_content(struct scan *scan, const struct tk_walk_entry *now, int fd, const struct tk_entry *old, struct tk_link_row **row, struct tk_err *err)
{
	const struct tk_stat *st = &now->st;
	enum tk_rc rc;

	*row = st->nlink > 1 ? tk_links_find(scan->links, st->dev, st->ino) : NULL;
	if (*row && (*row)->has_content) {
		/* Content and metadata of one moment, also where the inode changed since another of its names was met: the next run sees that then. */
		scan->content.st = (*row)->content.st;
		return TK_OK;
	}
	if ((rc = tk_ingest_file(scan->opts->ingest, fd, now->name, old, &scan->content, err)))
		return rc;
	if (st->nlink <= 1)
		return TK_OK;
	if ((rc = need_row(scan, st, old, row, err)))
		return rc;
	return tk_links_set_content(*row, &scan->content, err);
}

/* Makes scan->fresh from what is on disk now. TK_ENOENT, TK_EDENIED, TK_EIO: this one cannot be read. */
static enum tk_rc
make_entry(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, struct tk_stat *st, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	struct tk_link_row *row = NULL;
	enum tk_rc rc;

	scan->fresh.hardlink_group = 0;
	scan->fresh.kind = TK_CONTENT_NONE;
	scan->fresh.inconsistent = false;
	scan->fresh.extents = NULL;
	scan->fresh.extent_count = 0;
	if ((rc = set_path(scan, now, err)))
		return tk_err_context(err, rc, "scanning");
	*st = now->st;
	if (st->type == TK_FT_REG) {
		fd = tk_open_quiet(now->parent_dirfd, now->name, false);
		if (fd < 0)
			return tk_err_errno(err, tk_fs_rc(), "open");
		if ((rc = read_content(scan, now, fd, old, &row, err)))
			return rc;
		*st = scan->content.st;
		if (st->type != TK_FT_REG)
			return tk_err_set(err, TK_ENOENT, "replaced while it was looked at");
	} else if (st->type != TK_FT_DIR && st->nlink > 1 && (rc = need_row(scan, st, old, &row, err))) {
		return rc;
	}
	if ((rc = tk_meta_capture(now->parent_dirfd, now->name, fd, st, scan->ids, &scan->fresh.meta, err)))
		return rc;
	if (st->type == TK_FT_REG)
		take_content(scan, row ? &row->content : &scan->content);
	if (row)
		scan->fresh.hardlink_group = row->group;
	return TK_OK;
}

static bool
is_fatal(const struct scan *scan, enum tk_rc rc)
{
	return tk_ingest_broken(scan->opts->ingest) || (rc != TK_ENOENT && rc != TK_EDENIED && rc != TK_EIO);
}

/* What a run would do, by what stat says alone. */
static void
guess(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old)
{
	count_entry(scan, now->st.type, now->st.size_bytes);
	scan->stats->changed = true;
	if (now->st.type == TK_FT_DIR)
		return;
	if (old)
		scan->stats->files_changed++;
	else
		scan->stats->files_new++;
}

/* Is what was made now the very entry of before, its extents too? Then its page need not be written anew. */
static enum tk_rc
is_same_entry(struct scan *scan, const struct tk_entry *old, bool *same, struct tk_err *err)
{
	const struct tk_entry *fresh = &scan->fresh;

	*same = false;
	if (old->kind != fresh->kind || old->extent_count != fresh->extent_count || old->extensions.len_bytes > 0)
		return TK_OK;
	if (old->kind == TK_CONTENT_SEGMENTS && (old->segments.pack != fresh->segments.pack || old->segments.blob != fresh->segments.blob))
		return TK_OK;
	if (old->kind == TK_CONTENT_EXTENTS && memcmp(old->extents, fresh->extents, old->extent_count * sizeof(*old->extents)) != 0)
		return TK_OK;
	return tk_entry_same_form(old, fresh, scan->forms, same, err);
}

static void
count_change(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, const struct tk_stat *st)
{
	const struct tk_entry *fresh = &scan->fresh;
	const struct tk_sidecar *side = old ? tk_oldcursor_sidecar(&scan->old) : NULL;
	bool same_stat = old && old->meta.type == st->type && old->meta.mtime_s == st->mtime_s && old->meta.mtime_ns == st->mtime_ns &&
			 old->meta.size_bytes == fresh->meta.size_bytes;

	count_entry(scan, st->type, fresh->meta.size_bytes);
	if (fresh->inconsistent)
		note(scan, TK_NOTE_INCONSISTENT, now->path, NULL);
	if (!old && st->type != TK_FT_DIR)
		scan->stats->files_new++;
	if (old && st->type == TK_FT_REG && memcmp(&old->content, &fresh->content, sizeof(old->content)) != 0) {
		scan->stats->files_changed++;
		if (same_stat && side->ino == st->ino && side->ctime_s == st->ctime_s && side->ctime_ns == st->ctime_ns && !side->racy)
			note(scan, TK_NOTE_SILENT_CHANGE, now->path, NULL);
	} else if (old && !same_stat && st->type != TK_FT_DIR) {
		scan->stats->files_changed++;
	}
}

/* What cannot be read is not in the point; nor is what lies below it, if it is a directory. */
static enum tk_rc
leave_out(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, struct tk_err *err)
{
	enum tk_rc rc;

	note(scan, err->rc == TK_ENOENT ? TK_NOTE_VANISHED : TK_NOTE_UNREADABLE, now->path, err);
	if (now->st.type == TK_FT_DIR)
		tk_walk_skip_children(scan->walk);
	rc = flush_held(scan, err);
	if (rc || !old)
		return rc;
	scan->stats->changed = true;
	return advance_old(scan, err);
}

/* An entry that is new or may have changed. old: the entry of the same path before, or NULL. */
static enum tk_rc
look_closer(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, struct tk_err *err)
{
	struct tk_sidecar sidecar;
	struct tk_err why;
	struct tk_stat st;
	bool same = false;
	enum tk_rc rc = make_entry(scan, now, old, &st, &why);

	if (rc && is_fatal(scan, rc)) {
		if (err)
			*err = why;
		return tk_err_context(err, rc, "%s", now->path);
	}
	if (rc)
		return leave_out(scan, now, old, &why);
	count_change(scan, now, old, &st);
	sidecar = sidecar_of(scan, &st);
	if (old && (rc = is_same_entry(scan, old, &same, err)))
		return rc;
	if (same)
		return keep_entry(scan, &sidecar, err);
	if ((rc = flush_held(scan, err)) || (rc = add_entry(scan, &scan->fresh, &sidecar, err)))
		return rc;
	return old ? advance_old(scan, err) : TK_OK;
}

static void
tell_progress(struct scan *scan, const char *path)
{
	const struct tk_scan_opts *opts = scan->opts;
	struct tk_progress_event event = {"scan", scan->stats->files, opts->expected_files, scan->stats->total_bytes, opts->expected_bytes, path};

	tk_progress_report(opts->progress, &event);
}

static enum tk_rc
drop_old(struct scan *scan, struct tk_err *err)
{
	enum tk_rc rc = flush_held(scan, err);

	if (rc)
		return rc;
	scan->stats->changed = true;
	if (scan->old.entry.meta.type != TK_FT_DIR)
		scan->stats->files_removed++;
	return advance_old(scan, err);
}

static enum tk_rc
take_entry(struct scan *scan, const struct tk_walk_entry *now, struct tk_err *err)
{
	bool both, stands;
	int order = 1;
	enum tk_rc rc;

	if (scan->leaf_done && (rc = settle_leaf(scan, now->path, now->path_len_bytes, err)))
		return rc;
	while (scan->old.have) {
		order = tk_path_compare(scan->old.entry.path, scan->old.entry.path_bytes, now->path, now->path_len_bytes);
		if (order >= 0)
			break;
		if ((rc = drop_old(scan, err)))
			return rc;
	}
	both = scan->old.have && order == 0;
	stands = both && is_unchanged(scan, now);
	if (scan->opts->dry_run) {
		if (stands)
			count_entry(scan, now->st.type, now->st.size_bytes);
		else
			guess(scan, now, both ? &scan->old.entry : NULL);
		return both ? advance_old(scan, err) : TK_OK;
	}
	if (stands && (rc = group_stands(scan, now, &stands, err)))
		return rc;
	return stands ? carry_over(scan, err) : look_closer(scan, now, both ? &scan->old.entry : NULL, err);
}

static enum tk_rc
scan_all(struct scan *scan, struct tk_err *err)
{
	const struct tk_walk_entry *now = NULL;
	enum tk_rc rc;

	for (;;) {
		if (scan->opts->cancel && atomic_load(scan->opts->cancel))
			return tk_err_set(err, TK_ECANCELLED, "interrupted");
		if ((rc = tk_walk_next(scan->walk, &now, err)))
			return rc;
		if (!now)
			break;
		if ((rc = take_entry(scan, now, err)))
			return rc;
		if (scan->done++ % PROGRESS_EVERY == 0)
			tell_progress(scan, now->path);
	}
	if (scan->leaf_done && (rc = settle_leaf(scan, NULL, 0, err)))
		return rc;
	while (scan->old.have)
		if ((rc = drop_old(scan, err)))
			return rc;
	tell_progress(scan, NULL);
	return TK_OK;
}

static enum tk_rc
scan_open(struct scan *scan, struct tk_walk_opts *walk_opts, const struct tk_page_sink *sink, struct tk_err *err)
{
	const struct tk_scan_opts *opts = scan->opts;
	enum tk_rc rc;

	*walk_opts = *opts->walk;
	walk_opts->on_note = on_walk_note;
	walk_opts->note_ctx = scan;
	if ((rc = tk_walk_new(walk_opts, &scan->walk, err)) || (rc = tk_idmap_new(&scan->ids, err)) || (rc = tk_links_new(&scan->links, err)) ||
	    (rc = tk_oldcursor_open(&scan->old, opts->has_current ? opts->catalog : NULL, opts->packs, err)))
		return rc;
	return tk_tree_begin(opts->suite, opts->packs, sink, &scan->tree, err);
}

static void
scan_close(struct scan *scan)
{
	tk_tree_cleanup(&scan->tree);
	tk_oldcursor_release(&scan->old);
	tk_links_cleanup(&scan->links);
	tk_idmap_cleanup(&scan->ids);
	tk_walk_cleanup(&scan->walk);
	scan->fresh.extents = NULL;           /* borrowed from content or a link's row */
	scan->fresh.extent_count = 0;
	tk_entry_release(&scan->fresh);
	tk_content_release(&scan->content);
	tk_buf_release(&scan->forms[0]);
	tk_buf_release(&scan->forms[1]);
	free(scan->rows);
	free(scan->held_rows);
}

enum tk_rc
tk_scan_run(const struct tk_scan_opts *opts, struct tk_page_info *root, struct tk_scan_stats *stats, struct tk_err *err)
{
	struct scan scan = {.opts = opts, .stats = stats};
	struct tk_page_sink sink = {.ctx = &scan, .place = sink_place, .put = sink_put, .leaf_made = sink_leaf_made,
				    .node_find = sink_node_find, .node_made = sink_node_made};
	struct tk_walk_opts walk_opts;
	enum tk_rc rc;

	memset(stats, 0, sizeof(*stats));
	tk_entry_init(&scan.fresh);
	rc = scan_open(&scan, &walk_opts, &sink, err);
	if (!rc)
		rc = scan_all(&scan, err);
	if (!rc && !opts->dry_run)
		rc = tk_tree_finish(scan.tree, root, err);
	scan_close(&scan);
	return rc;
}
