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

enum tk_rc
tk_oldcursor_next_leaf(struct tk_oldcursor *cursor, struct tk_err *err)
{
	enum tk_rc rc;

	cursor->have = false;
	do {
		tk_leaf_cleanup(&cursor->entries);
		if ((rc = tk_catalog_reader_next(cursor->reader, &cursor->leaf, err)) || !cursor->leaf)
			return rc;
		if ((rc = tk_leaf_open(cursor->leaf->plain, cursor->leaf->plain_bytes, cursor->leaf->info.ref.pack, cursor->packs,
				       &cursor->entries, err)))
			return rc;
		cursor->index = SIZE_MAX;     /* next_in_leaf makes it 0 */
		if ((rc = tk_oldcursor_next_in_leaf(cursor, err)))
			return rc;
	} while (!cursor->have);
	return TK_OK;
}

const struct tk_sidecar *
tk_oldcursor_sidecar(const struct tk_oldcursor *cursor)
{
	return &cursor->leaf->sidecars[cursor->index];
}

enum tk_rc
tk_oldcursor_open(struct tk_oldcursor *cursor, struct tk_catalog *catalog, struct tk_packtab *packs, struct tk_err *err)
{
	enum tk_rc rc;

	memset(cursor, 0, sizeof(*cursor));
	cursor->packs = packs;
	tk_entry_init(&cursor->entry);
	if (!catalog)
		return TK_OK;
	rc = tk_catalog_reader_open(catalog, &cursor->reader, err);
	return rc ? rc : tk_oldcursor_next_leaf(cursor, err);
}

void
tk_oldcursor_release(struct tk_oldcursor *cursor)
{
	tk_leaf_cleanup(&cursor->entries);
	tk_catalog_reader_cleanup(&cursor->reader);
	tk_entry_release(&cursor->entry);
	memset(cursor, 0, sizeof(*cursor));
}
