/* A run that is interrupted leaves complete packs behind, and here the pages that it had made by then: the next run need not read those files again. */
#include "engine/base/clock.h"
#include "engine/job/scan_core.h"

#define CHECKPOINT_DEFAULT_NS 5000000000LL

static int64_t
checkpoint_ns(const struct scan *scan)
{
	return scan->opts->checkpoint_ns ? scan->opts->checkpoint_ns : CHECKPOINT_DEFAULT_NS;
}

enum tk_rc
tk_scan_resume_open(struct scan *scan, struct tk_err *err)
{
	const struct tk_scan_opts *opts = scan->opts;

	scan->checkpoint_at_ns = tk_clock_mono_ns() + checkpoint_ns(scan);
	return opts->left ? tk_oldcursor_open_unfinished(&scan->unfinished, opts->catalog, opts->packs, err) : TK_OK;
}

/* What cannot be read of it any more is read from the files instead. */
static int
go_to(struct scan *scan, const struct tk_walk_entry *now)
{
	struct tk_oldcursor *cursor = &scan->unfinished;
	int order = 1;

	while (cursor->have && (order = tk_path_compare(cursor->entry.path, cursor->entry.path_bytes, now->path, now->path_len_bytes)) < 0)
		if (tk_oldcursor_next(cursor, NULL))
			tk_oldcursor_release(cursor);
	return cursor->have ? order : 1;
}

enum tk_rc
tk_scan_resume_find(struct scan *scan, const struct tk_walk_entry *now, struct scan_known *known, struct tk_err *err)
{
	const struct tk_entry *entry = &scan->unfinished.entry;
	const struct tk_sidecar *side;
	bool whole;
	enum tk_rc rc;

	if (go_to(scan, now) != 0)
		return TK_OK;
	side = tk_oldcursor_sidecar(&scan->unfinished);
	/* Only its ctime says that it is the same: there is no scan before which its inode was made. */
	if (!tk_trust_content(&scan->trust, entry, side, &now->st, false, INT64_MAX))
		return TK_OK;
	scan->adopted = *entry;
	if ((rc = tk_ingest_adopt(scan->opts->ingest, scan->opts->left, &scan->adopted, &whole, err)) || !whole)
		return rc;
	*known = (struct scan_known){.entry = &scan->adopted, .side = side, .unread = true};
	return TK_OK;
}

static enum tk_rc
write_checkpoint(struct scan *scan, struct tk_err *err)
{
	static const struct tk_pack_name in_no_pack;
	struct tk_page_info open = {0};
	const void *plain = NULL;
	size_t plain_bytes = 0;
	uint32_t pack;
	enum tk_rc rc;

	if ((rc = tk_packtab_intern(scan->opts->packs, &in_no_pack, &pack, err)) ||
	    (rc = tk_tree_peek(scan->tree, pack, &open, &plain, &plain_bytes, err)))
		return rc;
	rc = tk_catalog_writer_checkpoint(scan->opts->writer, &open, plain, plain_bytes, scan->rows, scan->row_count, err);
	tk_page_info_release(&open);
	return rc;
}

enum tk_rc
tk_scan_checkpoint(struct scan *scan, const struct tk_walk_entry *now, struct tk_err *err)
{
	enum tk_rc rc;

	if (!scan->opts->left || tk_clock_mono_ns() < scan->checkpoint_at_ns)
		return TK_OK;
	/* What the interrupted run left says more than this one could, until it is used up. */
	(void)go_to(scan, now);
	if (scan->unfinished.have)
		return TK_OK;
	rc = write_checkpoint(scan, err);
	scan->checkpoint_at_ns = tk_clock_mono_ns() + checkpoint_ns(scan);
	/* The run waits for room elsewhere, and may get by without this. */
	return rc == TK_ENOSPC ? TK_OK : rc;
}
