#include <stdlib.h>
#include <string.h>

#include "engine/job/scan_core.h"

/* A directory on the way to the entry that is looked at, or a sibling of one. */
struct scan_dir {
	size_t path_bytes;
	bool replaced;                        /* it is another inode than before */
};

void
tk_scan_dirs_release(struct scan_dirs *dirs)
{
	free(dirs->rows);
	*dirs = (struct scan_dirs){NULL, 0, 0};
}

enum tk_rc
tk_scan_enter_dir(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, struct tk_err *err)
{
	struct scan_dirs *dirs = &scan->dirs;
	bool replaced = old && old->meta.type == TK_FT_DIR && tk_oldcursor_sidecar(&scan->old)->ino != now->st.ino;

	if (now->is_root)
		dirs->count = 0;
	while (dirs->count > 0 && dirs->rows[dirs->count - 1].path_bytes >= now->path_len_bytes)
		dirs->count--;
	if (dirs->count == dirs->cap) {
		size_t cap = dirs->cap ? dirs->cap * 2 : 32;
		struct scan_dir *grown = reallocarray(dirs->rows, cap, sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for the depth of the tree");
		dirs->rows = grown;
		dirs->cap = cap;
	}
	dirs->rows[dirs->count++] = (struct scan_dir){now->path_len_bytes, replaced};
	return TK_OK;
}

static bool
is_in_replaced_dir(const struct scan *scan, const struct tk_walk_entry *now)
{
	size_t at = scan->dirs.count, parent_bytes = now->path_len_bytes;

	while (parent_bytes > 0 && now->path[parent_bytes - 1] != '/')
		parent_bytes--;
	parent_bytes -= parent_bytes > 0;
	while (at > 0 && scan->dirs.rows[at - 1].path_bytes > parent_bytes)
		at--;
	return !now->is_root && at > 0 && scan->dirs.rows[at - 1].path_bytes == parent_bytes && scan->dirs.rows[at - 1].replaced;
}

/* The entry of the same path, if it is of the same inode; else the inode's under another name, which costs a search and, the first time, a table. */
static enum tk_rc
find_inode(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, int64_t born_ns, struct scan_known *known,
	   struct tk_err *err)
{
	const struct tk_sidecar *side = old ? tk_oldcursor_sidecar(&scan->old) : NULL;
	struct tk_known found;
	enum tk_rc rc;

	if (old && old->meta.type == TK_FT_REG && side->ino == now->st.ino && side->dev == now->st.dev) {
		known->entry = old;
		known->side = side;
		return TK_OK;
	}
	if (born_ns != INT64_MAX && !tk_trust_is_old(&scan->trust, born_ns))
		return TK_OK;
	if ((rc = tk_moves_find(scan->moves, now->st.dev, now->st.ino, &found, err)) || !found.entry || found.entry->meta.type != TK_FT_REG)
		return rc;
	/* A number may be used again: where nobody tells an inode's age, only its ctime says that it is the same. */
	if (born_ns == INT64_MAX && !tk_trust_same_ctime(found.side, &now->st))
		return TK_OK;
	known->entry = found.entry;
	known->side = found.side;
	known->moved = true;
	return TK_OK;
}

static enum tk_rc
guess_past(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, struct scan_known *known, struct tk_err *err)
{
	struct tk_known found;
	enum tk_rc rc;

	if ((old && old->meta.type == TK_FT_REG) || !tk_ingest_takes_guess(scan->opts->ingest, now->st.size_bytes))
		return TK_OK;
	if ((rc = tk_forerunners_find(scan->forerunners, now->path, now->path_len_bytes, now->st.size_bytes, &found, err)))
		return rc;
	known->guess = found.entry;
	known->side = found.side;
	return TK_OK;
}

static enum tk_rc
find_past(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, struct scan_known *known, struct tk_err *err)
{
	int64_t born_ns = INT64_MAX;
	bool relinked;
	enum tk_rc rc;

	if (!tk_stat_born(now->parent->fd, now->name, &born_ns))
		born_ns = INT64_MAX;
	if ((rc = find_inode(scan, now, old, born_ns, known, err)))
		return rc;
	if (!known->entry)
		return guess_past(scan, now, old, known, err);
	relinked = known->moved || known->side->nlink != now->st.nlink || is_in_replaced_dir(scan, now);
	known->unread = tk_trust_content(&scan->trust, known->entry, known->side, &now->st, relinked, born_ns) &&
			!tk_trust_reread_due(&scan->trust, now->path, now->path_len_bytes);
	known->whole = known->unread && known->moved && tk_trust_same_ctime(known->side, &now->st);
	return TK_OK;
}

enum tk_rc
tk_scan_find_known(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, struct scan_known *known, struct tk_err *err)
{
	const struct tk_link_row *row = now->st.nlink > 1 ? tk_links_find(scan->links, now->st.dev, now->st.ino) : NULL;
	enum tk_rc rc = TK_OK;

	memset(known, 0, sizeof(*known));
	if (now->st.type != TK_FT_REG || now->st.size_bytes == 0 || (row && row->has_content))
		return TK_OK;
	if (scan->opts->has_current)
		rc = find_past(scan, now, old, known, err);
	if (!rc && !known->unread)
		rc = tk_scan_resume_find(scan, now, known, err);
	return rc;
}
