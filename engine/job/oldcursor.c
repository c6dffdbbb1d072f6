#include "engine/job/oldcursor.h"

#include <string.h>

enum tk_rc
tk_oldcursor_next_in_leaf(struct tk_oldcursor *cursor, struct tk_err *err)
{
	bool done = true;
	enum tk_rc rc;

	if ((rc = tk_leaf_next(cursor->entries, &cursor->entry, &done, err)))
		return rc;
	cursor->have = !done;
	cursor->index++;
	if (!done && cursor->index >= cursor->leaf->info.entries)
		return tk_err_set(err, TK_ECORRUPT, "a cached page has more entries than its bundle says");
	return TK_OK;
}

/* The first entry of the leaf that is now there. */
static enum tk_rc
begin_leaf(struct tk_oldcursor *cursor, struct tk_err *err)
{
	const struct tk_catalog_leaf *leaf = cursor->leaf;
	enum tk_rc rc = tk_leaf_open(leaf->plain, leaf->plain_bytes, leaf->info.ref.pack, cursor->packs, &cursor->entries, err);

	cursor->index = SIZE_MAX;             /* next_in_leaf makes it 0 */
	return rc ? rc : tk_oldcursor_next_in_leaf(cursor, err);
}

enum tk_rc
tk_oldcursor_next_leaf(struct tk_oldcursor *cursor, struct tk_err *err)
{
	enum tk_rc rc;

	cursor->have = false;
	do {
		tk_leaf_cleanup(&cursor->entries);
		if ((rc = tk_catalog_reader_next(cursor->reader, &cursor->leaf, err)) || !cursor->leaf)
			return rc;
		if ((rc = begin_leaf(cursor, err)))
			return rc;
	} while (!cursor->have);
	return TK_OK;
}

enum tk_rc
tk_oldcursor_next(struct tk_oldcursor *cursor, struct tk_err *err)
{
	enum tk_rc rc = tk_oldcursor_next_in_leaf(cursor, err);

	return rc || cursor->have ? rc : tk_oldcursor_next_leaf(cursor, err);
}

enum tk_rc
tk_oldcursor_go(struct tk_oldcursor *cursor, const struct tk_leaf_place *place, struct tk_err *err)
{
	enum tk_rc rc;

	cursor->have = false;
	tk_leaf_cleanup(&cursor->entries);
	rc = tk_catalog_reader_at(cursor->reader, place, &cursor->leaf, err);
	return rc ? rc : begin_leaf(cursor, err);
}

const struct tk_sidecar *
tk_oldcursor_sidecar(const struct tk_oldcursor *cursor)
{
	return &cursor->leaf->sidecars[cursor->index];
}

enum tk_rc
tk_oldcursor_open_unread(struct tk_oldcursor *cursor, struct tk_catalog *catalog, struct tk_packtab *packs, struct tk_err *err)
{
	memset(cursor, 0, sizeof(*cursor));
	cursor->packs = packs;
	tk_entry_init(&cursor->entry);
	return catalog ? tk_catalog_reader_open(catalog, &cursor->reader, err) : TK_OK;
}

enum tk_rc
tk_oldcursor_open(struct tk_oldcursor *cursor, struct tk_catalog *catalog, struct tk_packtab *packs, struct tk_err *err)
{
	enum tk_rc rc = tk_oldcursor_open_unread(cursor, catalog, packs, err);

	return rc || !cursor->reader ? rc : tk_oldcursor_next_leaf(cursor, err);
}

enum tk_rc
tk_oldcursor_open_unfinished(struct tk_oldcursor *cursor, struct tk_catalog *catalog, struct tk_packtab *packs, struct tk_err *err)
{
	struct tk_err why;
	enum tk_rc rc = tk_oldcursor_open_unread(cursor, NULL, packs, err);

	if (!rc && !(rc = tk_catalog_reader_open_unfinished(catalog, &cursor->reader, &why)))
		rc = tk_oldcursor_next_leaf(cursor, &why);
	if (!rc)
		return TK_OK;
	tk_oldcursor_release(cursor);
	if (rc == TK_ENOENT || rc == TK_ECORRUPT)
		return TK_OK;
	if (err)
		*err = why;
	return rc;
}

void
tk_oldcursor_release(struct tk_oldcursor *cursor)
{
	tk_leaf_cleanup(&cursor->entries);
	tk_catalog_reader_cleanup(&cursor->reader);
	tk_entry_release(&cursor->entry);
	memset(cursor, 0, sizeof(*cursor));
}
