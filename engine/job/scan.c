#include <stdlib.h>
#include <string.h>

#include "engine/job/scan_core.h"

#define RACY_DEFAULT_NS 2000000000LL
#define PROGRESS_EVERY 256u

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

static bool
is_unchanged(const struct scan *scan, const struct tk_walk_entry *now)
{
	return tk_trust_stands(&scan->old.entry, tk_oldcursor_sidecar(&scan->old), &now->st) &&
	       (now->st.type != TK_FT_REG || !tk_trust_reread_due(&scan->trust, now->path, now->path_len_bytes));
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
	return tk_scan_keep(scan, tk_oldcursor_sidecar(&scan->old), err);
}

static bool
is_fatal(const struct scan *scan, enum tk_rc rc)
{
	return tk_ingest_broken(scan->opts->ingest) || (rc != TK_ENOENT && rc != TK_EDENIED && rc != TK_EIO);
}

/* Does stat say what the point before says? */
static bool
is_same_stat(const struct tk_entry *old, const struct tk_stat *st, uint64_t size_bytes)
{
	return old->meta.type == st->type && old->meta.mtime_s == st->mtime_s && old->meta.mtime_ns == st->mtime_ns &&
	       old->meta.size_bytes == size_bytes;
}

/* What a run would do, by what stat says alone. A file that would only be read again, to be sure, has not changed. */
static void
guess(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old)
{
	count_entry(scan, now->st.type, now->st.size_bytes);
	scan->stats->changed = true;
	if (now->st.type == TK_FT_DIR)
		return;
	if (old && is_same_stat(old, &now->st, now->st.size_bytes))
		return;
	if (old)
		scan->stats->files_changed++;
	else
		scan->stats->files_new++;
}

static void
count_change(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, const struct tk_entry *fresh, const struct tk_stat *st)
{
	const struct tk_sidecar *side = old ? tk_oldcursor_sidecar(&scan->old) : NULL;
	bool same_stat = old && is_same_stat(old, st, fresh->meta.size_bytes);
	bool planned = same_stat && side->ino == st->ino && tk_trust_same_ctime(side, st) && !side->racy;

	count_entry(scan, st->type, fresh->meta.size_bytes);
	if (st->type == TK_FT_REG && scan->content.not_grown)
		note(scan, TK_NOTE_NOT_GROWN, now->path, NULL);
	if (fresh->inconsistent)
		note(scan, TK_NOTE_INCONSISTENT, now->path, NULL);
	if (!old && st->type != TK_FT_DIR)
		scan->stats->files_new++;
	if (old && st->type == TK_FT_REG && memcmp(&old->content, &fresh->content, sizeof(old->content)) != 0) {
		scan->stats->files_changed++;
		if (planned)
			note(scan, TK_NOTE_SILENT_CHANGE, now->path, NULL);
	} else if (old && !same_stat && st->type != TK_FT_DIR) {
		scan->stats->files_changed++;
	}
	if (planned && st->type == TK_FT_REG && tk_trust_reread_due(&scan->trust, now->path, now->path_len_bytes)) {
		scan->stats->files_reread++;
		scan->stats->reread_bytes += fresh->meta.size_bytes;
	}
}

/* What cannot be read is not in the point; nor is what lies below it, if it is a directory. */
static enum tk_rc
leave_out(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, struct tk_err *err)
{
	enum tk_rc rc;

	note(scan, err->rc == TK_ENOENT ? TK_NOTE_VANISHED : TK_NOTE_UNREADABLE, now->path, err);
	if (now->st.type == TK_FT_DIR)
		tk_walkahead_skip_children(scan->walk);
	rc = tk_scan_flush_held(scan, err);
	if (rc || !old)
		return rc;
	scan->stats->changed = true;
	return tk_scan_advance_old(scan, err);
}

/* A file of before under another name, all else as it was. */
static enum tk_rc
take_moved(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, const struct scan_known *known, struct tk_err *err)
{
	struct tk_sidecar sidecar = tk_trust_sidecar(&scan->trust, &now->st);
	struct tk_entry fresh;
	enum tk_rc rc;

	if ((rc = tk_scan_move_entry(scan, now, known, &fresh, err)) || (rc = tk_ingest_keep(scan->opts->ingest, known->entry, err)))
		return rc;
	scan->stats->files_moved++;
	count_change(scan, now, old, &fresh, &now->st);
	if ((rc = tk_scan_flush_held(scan, err)) || (rc = tk_scan_add(scan, &fresh, &sidecar, err)))
		return rc;
	return old ? tk_scan_advance_old(scan, err) : TK_OK;
}

/* The fresh entry, as it was made: into the tree, or the old one stands after all. */
static enum tk_rc
take_fresh(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, const struct scan_known *known, const struct tk_stat *st,
	   struct tk_err *err)
{
	struct tk_sidecar sidecar = tk_trust_sidecar(&scan->trust, st);
	bool same = false;
	enum tk_rc rc;

	if (known->unread && (rc = tk_ingest_keep(scan->opts->ingest, known->entry, err)))
		return rc;
	scan->stats->files_moved += known->unread && known->moved;
	count_change(scan, now, old, &scan->fresh, st);
	if (old && (rc = tk_scan_is_same(scan, old, &same, err)))
		return rc;
	if (same)
		return tk_scan_keep(scan, &sidecar, err);
	if ((rc = tk_scan_flush_held(scan, err)) || (rc = tk_scan_add(scan, &scan->fresh, &sidecar, err)))
		return rc;
	return old ? tk_scan_advance_old(scan, err) : TK_OK;
}

/* An entry that is new or may have changed. old: the entry of the same path before, or NULL. */
static enum tk_rc
look_closer(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, struct tk_err *err)
{
	struct scan_known known;
	struct tk_err why;
	struct tk_stat st;
	enum tk_rc rc = tk_scan_find_known(scan, now, old, &known, err);

	if (rc)
		return rc;
	if (known.whole)
		return take_moved(scan, now, old, &known, err);
	rc = tk_scan_make_entry(scan, now, old, &known, &st, &why);
	if (rc && is_fatal(scan, rc)) {
		if (err)
			*err = why;
		return tk_err_context(err, rc, "%s", now->path);
	}
	return rc ? leave_out(scan, now, old, &why) : take_fresh(scan, now, old, &known, &st, err);
}

static void
tell_progress(struct scan *scan, const char *path)
{
	const struct tk_scan_opts *opts = scan->opts;
	struct tk_progress_event event = {.phase = "scan", .units_done = scan->stats->files, .units_total = opts->expected_files,
					  .bytes_done = scan->stats->total_bytes, .bytes_total = opts->expected_bytes, .path = path};

	tk_progress_report(opts->progress, &event);
}

static enum tk_rc
drop_old(struct scan *scan, struct tk_err *err)
{
	enum tk_rc rc = tk_scan_flush_held(scan, err);

	if (rc)
		return rc;
	scan->stats->changed = true;
	if (scan->old.entry.meta.type != TK_FT_DIR)
		scan->stats->files_removed++;
	return tk_scan_advance_old(scan, err);
}

static enum tk_rc
take_entry(struct scan *scan, const struct tk_walk_entry *now, struct tk_err *err)
{
	bool both, stands;
	int order = 1;
	enum tk_rc rc;

	if (scan->leaf_done && (rc = tk_scan_settle_leaf(scan, now->path, now->path_len_bytes, err)))
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
		return both ? tk_scan_advance_old(scan, err) : TK_OK;
	}
	if (now->st.type == TK_FT_DIR && (rc = tk_scan_enter_dir(scan, now, both ? &scan->old.entry : NULL, err)))
		return rc;
	if (stands && (rc = tk_scan_group_stands(scan, now, &stands, err)))
		return rc;
	if (stands)
		return carry_over(scan, err);
	rc = look_closer(scan, now, both ? &scan->old.entry : NULL, err);
	return rc ? rc : tk_scan_checkpoint(scan, now, err);
}

static enum tk_rc
scan_all(struct scan *scan, struct tk_err *err)
{
	const struct tk_walk_entry *now = NULL;
	enum tk_rc rc;

	for (;;) {
		if (scan->opts->cancel && atomic_load(scan->opts->cancel))
			return tk_err_set(err, TK_ECANCELLED, "interrupted");
		if ((rc = tk_walkahead_next(scan->walk, &now, err)))
			return rc;
		if (!now)
			break;
		if ((rc = take_entry(scan, now, err)))
			return rc;
		if (scan->done++ % PROGRESS_EVERY == 0)
			tell_progress(scan, now->path);
	}
	if (scan->leaf_done && (rc = tk_scan_settle_leaf(scan, NULL, 0, err)))
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
	if ((rc = tk_walkahead_new(walk_opts, &scan->walk, err)) || (rc = tk_idmap_new(&scan->ids, err)) || (rc = tk_links_new(&scan->links, err)) ||
	    (rc = tk_moves_new(opts->catalog, opts->packs, 0, &scan->moves, err)) ||
	    (rc = tk_forerunners_new(opts->catalog, opts->packs, &scan->forerunners, err)) ||
	    (rc = tk_oldcursor_open(&scan->old, opts->has_current ? opts->catalog : NULL, opts->packs, err)) || (rc = tk_scan_resume_open(scan, err)))
		return rc;
	return tk_tree_begin(opts->suite, opts->packs, sink, &scan->tree, err);
}

static void
scan_close(struct scan *scan)
{
	tk_tree_cleanup(&scan->tree);
	tk_oldcursor_release(&scan->old);
	tk_oldcursor_release(&scan->unfinished);
	tk_moves_cleanup(&scan->moves);
	tk_forerunners_cleanup(&scan->forerunners);
	tk_links_cleanup(&scan->links);
	tk_scan_dirs_release(&scan->dirs);
	tk_idmap_cleanup(&scan->ids);
	tk_walkahead_cleanup(&scan->walk);
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
	struct scan scan = {.opts = opts, .stats = stats,
			    .trust = {opts->trust, opts->scan_start_ns, opts->racy_ns ? opts->racy_ns : RACY_DEFAULT_NS, opts->last_scan_ns,
				      opts->reread_period_s}};
	struct tk_page_sink sink = tk_scan_sink(&scan);
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
