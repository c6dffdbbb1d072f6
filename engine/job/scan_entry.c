#include <stdlib.h>
#include <string.h>

#include "engine/fsio/openat.h"
#include "engine/job/scan_core.h"

static void
content_from_entry(const struct tk_entry *entry, struct tk_content *out)
{
	*out = (struct tk_content){.size_bytes = entry->meta.size_bytes, .digest = entry->content, .kind = entry->kind,
				   .extents = entry->extents, .extent_count = entry->extent_count, .segments = entry->segments,
				   .inconsistent = entry->inconsistent};
}

enum tk_rc
tk_scan_group_stands(struct scan *scan, const struct tk_walk_entry *now, bool *stands, struct tk_err *err)
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

/* The row of an inode with several names; this may be the first of them that is met. The group stays with the inode, not with the name. */
static enum tk_rc
need_row(struct scan *scan, const struct tk_stat *st, const struct tk_entry *old, const struct scan_known *known, struct tk_link_row **row,
	 struct tk_err *err)
{
	uint64_t wish = known->entry ? known->entry->hardlink_group : 0, was = old ? tk_oldcursor_sidecar(&scan->old)->ino : 0;

	if (!known->entry && old && (was == st->ino || was == 0))
		wish = old->hardlink_group;
	*row = tk_links_find(scan->links, st->dev, st->ino);
	return *row ? TK_OK : tk_links_add(scan->links, st->dev, st->ino, wish, row, err);
}

/* The content of a known entry, unless the file is not the one any more that was looked at by its name: then it is not unread. */
static enum tk_rc
lend_content(struct scan *scan, const struct tk_walk_entry *now, int fd, struct scan_known *known, struct tk_err *err)
{
	const struct tk_stat *was = &now->st;
	struct tk_stat st;
	enum tk_rc rc;

	if (!known->unread)
		return TK_OK;
	if ((rc = tk_stat_fd(fd, &st, err)))
		return rc;
	known->unread = false;
	if (st.ino != was->ino || st.dev != was->dev || st.size_bytes != was->size_bytes || st.mtime_s != was->mtime_s ||
	    st.mtime_ns != was->mtime_ns || st.ctime_s != was->ctime_s || st.ctime_ns != was->ctime_ns)
		return TK_OK;
	content_from_entry(known->entry, &scan->lent);
	scan->lent.st = st;
	known->unread = true;
	return TK_OK;
}

/* The inode of before, and longer; its turn to be read as a whole comes as any file's. */
static bool
grows(const struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *was, const struct scan_known *known)
{
	return scan->opts->append_only && (known->entry || tk_oldcursor_sidecar(&scan->old)->ino == now->st.ino) && now->st.size_bytes > was->meta.size_bytes &&
	       !tk_trust_reread_due(&scan->trust, now->path, now->path_len_bytes);
}

/* Reads a file, comparing it with what its inode was, its name, or a file that it probably continues. */
static enum tk_rc
read_content(struct scan *scan, const struct tk_walk_entry *now, int fd, const struct tk_entry *old, const struct scan_known *known, struct tk_err *err)
{
	struct tk_ingest_past past = {.entry = known->entry, .fd = -1};
	TK_AUTO(tk_fd_cleanup) int past_fd = -1;
	const struct tk_sidecar *side = NULL;
	enum tk_rc rc = TK_OK;

	if (!past.entry && old && old->meta.type == TK_FT_REG) {
		past.entry = old;
		side = tk_oldcursor_sidecar(&scan->old);
	} else if (!past.entry && known->guess) {
		past = (struct tk_ingest_past){.entry = known->guess, .is_guess = true};
		side = known->side;
	}
	past.grows = past.entry && !past.is_guess && grows(scan, now, past.entry, known);
	/* Another inode than this one: it may be there still. */
	if (side && tk_ingest_takes_guess(scan->opts->ingest, now->st.size_bytes))
		rc = tk_scan_open_past(now, past.entry, side, &past_fd, err);
	past.fd = past_fd;
	return rc ? rc : tk_ingest_file(scan->opts->ingest, fd, now->name, &past, &scan->content, err);
}

/* A regular file's content: known, read, or that of another name of the same inode. *content is borrowed. */
static enum tk_rc
find_content(struct scan *scan, const struct tk_walk_entry *now, int fd, const struct tk_entry *old, struct scan_known *known,
	     struct tk_link_row **row, const struct tk_content **content, struct tk_err *err)
{
	const struct tk_stat *st = &now->st;
	enum tk_rc rc;

	*row = st->nlink > 1 ? tk_links_find(scan->links, st->dev, st->ino) : NULL;
	if (*row && (*row)->has_content) {
		/* Content and metadata of one moment, also where the inode changed since another of its names was met: the next run sees that then. */
		*content = &(*row)->content;
		return TK_OK;
	}
	if ((rc = lend_content(scan, now, fd, known, err)))
		return rc;
	*content = known->unread ? &scan->lent : &scan->content;
	if (!known->unread && (rc = read_content(scan, now, fd, old, known, err)))
		return rc;
	if (st->nlink <= 1)
		return TK_OK;
	if ((rc = need_row(scan, st, old, known, row, err)) || (rc = tk_links_set_content(*row, *content, err)))
		return rc;
	*content = &(*row)->content;
	return TK_OK;
}

enum tk_rc
tk_scan_make_entry(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, struct scan_known *known,
		   struct tk_stat *st, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	const struct tk_content *content = NULL;
	struct tk_link_row *row = NULL;
	enum tk_rc rc;

	scan->fresh.hardlink_group = 0;
	scan->fresh.kind = TK_CONTENT_NONE;
	scan->fresh.inconsistent = false;
	scan->content.not_grown = false;
	scan->fresh.extents = NULL;
	scan->fresh.extent_count = 0;
	if ((rc = set_path(scan, now, err)))
		return tk_err_context(err, rc, "scanning");
	*st = now->st;
	if (st->type == TK_FT_REG) {
		fd = tk_open_quiet(now->parent->fd, now->name, false);
		if (fd < 0)
			return tk_err_errno(err, tk_fs_rc(), "open");
		if ((rc = find_content(scan, now, fd, old, known, &row, &content, err)))
			return rc;
		*st = content->st;
		if (st->type != TK_FT_REG)
			return tk_err_set(err, TK_ENOENT, "replaced while it was looked at");
	} else if (st->type != TK_FT_DIR && st->nlink > 1 && (rc = need_row(scan, st, old, known, &row, err))) {
		return rc;
	}
	if ((rc = tk_meta_capture(now->parent->fd, now->name, fd, st, scan->ids, &scan->fresh.meta, err)))
		return rc;
	if (content)
		take_content(scan, content);
	if (row)
		scan->fresh.hardlink_group = row->group;
	return TK_OK;
}

enum tk_rc
tk_scan_move_entry(struct scan *scan, const struct tk_walk_entry *now, const struct scan_known *known, struct tk_entry *fresh, struct tk_err *err)
{
	struct tk_link_row *row = NULL;
	enum tk_rc rc;

	if ((rc = set_path(scan, now, err)))
		return rc;
	*fresh = *known->entry;
	fresh->memory = NULL;
	fresh->path = scan->fresh.path;
	fresh->path_bytes = scan->fresh.path_bytes;
	fresh->hardlink_group = 0;
	if (now->st.nlink <= 1)
		return TK_OK;
	content_from_entry(known->entry, &scan->lent);
	scan->lent.st = now->st;
	if ((rc = need_row(scan, &now->st, NULL, known, &row, err)) || (rc = tk_links_set_content(row, &scan->lent, err)))
		return rc;
	fresh->hardlink_group = row->group;
	return TK_OK;
}

enum tk_rc
tk_scan_is_same(struct scan *scan, const struct tk_entry *old, bool *same, struct tk_err *err)
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
