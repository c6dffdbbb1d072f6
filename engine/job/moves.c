#include "engine/job/moves.h"

#include <stdlib.h>
#include <string.h>

#include "engine/job/oldcursor.h"

struct leaf_row {
	struct tk_leaf_place place;
	uint32_t first;                       /* ordinal of its first entry in the point */
};

/* A slot: upper half a tag of the inode's hash, lower half the entry's ordinal + 1; 0: empty. The tag may lie: the sidecar tells. */
struct tk_moves {
	struct tk_catalog *catalog;
	struct tk_packtab *packs;
	struct tk_oldcursor cursor;           /* in the leaf that was opened last; its reader is NULL: not built yet */
	size_t open;                          /* that leaf */
	uint64_t entries_max;
	uint64_t *slots;                      /* NULL once built: the point is too large */
	uint64_t slot_count;
	struct leaf_row *leaves;
	size_t leaf_count, leaf_cap;
};

static uint64_t
mix(uint64_t dev, uint64_t ino)
{
	uint64_t x = ino * 0x9e3779b97f4a7c15ull ^ dev;

	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

/* The inode's slot, or the empty one where it belongs. */
static uint64_t *
find_slot(const struct tk_moves *moves, uint64_t hash)
{
	uint64_t at = (hash >> 32) * moves->slot_count >> 32;

	while (moves->slots[at] && moves->slots[at] >> 32 != (hash & UINT32_MAX))
		at = at + 1 == moves->slot_count ? 0 : at + 1;
	return &moves->slots[at];
}

static enum tk_rc
add_leaf(struct tk_moves *moves, const struct tk_catalog_leaf *leaf, uint32_t first, struct tk_err *err)
{
	if (moves->leaf_count == moves->leaf_cap) {
		size_t cap = moves->leaf_cap ? moves->leaf_cap * 2 : 256;
		struct leaf_row *grown = reallocarray(moves->leaves, cap, sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for the inodes of the point before");
		moves->leaves = grown;
		moves->leaf_cap = cap;
	}
	moves->leaves[moves->leaf_count++] = (struct leaf_row){tk_catalog_reader_place(moves->cursor.reader), first};
	for (uint32_t i = 0; i < leaf->info.entries; i++) {
		const struct tk_sidecar *side = &leaf->sidecars[i];
		uint64_t hash = mix(side->dev, side->ino), *slot;

		if (side->ino == 0)
			continue;
		/* Of an inode's many names the first is enough; two inodes with one tag in one place cost the second a read. */
		slot = find_slot(moves, hash);
		if (*slot == 0)
			*slot = hash << 32 | (first + i + 1);
	}
	return TK_OK;
}

static enum tk_rc
build(struct tk_moves *moves, struct tk_err *err)
{
	const struct tk_catalog_leaf *leaf = NULL;
	uint64_t entries, done = 0;
	enum tk_rc rc;

	if ((rc = tk_oldcursor_open_unread(&moves->cursor, moves->catalog, moves->packs, err)))
		return rc;
	entries = tk_catalog_reader_entries(moves->cursor.reader);
	if (entries > moves->entries_max)
		return TK_OK;
	moves->slot_count = entries + entries / 3 + 1;
	moves->slots = calloc(moves->slot_count, sizeof(*moves->slots));
	if (!moves->slots)
		return tk_err_set(err, TK_ENOMEM, "no memory for the inodes of the point before");
	while (!(rc = tk_catalog_reader_next(moves->cursor.reader, &leaf, err)) && leaf) {
		if (leaf->info.entries > entries - done)
			return tk_err_set(err, TK_ECORRUPT, "a bundle of the catalog has more entries than its pointer says");
		if ((rc = add_leaf(moves, leaf, (uint32_t)done, err)))
			return rc;
		done += leaf->info.entries;
	}
	return rc;
}

static size_t
leaf_of(const struct tk_moves *moves, uint32_t ordinal)
{
	size_t low = 0, high = moves->leaf_count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (moves->leaves[middle].first <= ordinal)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* Makes the cursor's entry the one of the ordinal. */
static enum tk_rc
go_to(struct tk_moves *moves, size_t index, uint64_t in_leaf, struct tk_err *err)
{
	struct tk_oldcursor *cursor = &moves->cursor;
	enum tk_rc rc;

	if (!cursor->have || moves->open != index || cursor->index > in_leaf) {
		if ((rc = tk_oldcursor_go(cursor, &moves->leaves[index].place, err)))
			return rc;
		moves->open = index;
	}
	while (cursor->have && cursor->index < in_leaf)
		if ((rc = tk_oldcursor_next_in_leaf(cursor, err)))
			return rc;
	return cursor->have ? TK_OK : tk_err_set(err, TK_ECORRUPT, "a bundle of the catalog changed while it was in use");
}

enum tk_rc
tk_moves_find(struct tk_moves *moves, uint64_t dev, uint64_t ino, struct tk_known *known, struct tk_err *err)
{
	const struct tk_sidecar *side;
	uint64_t slot, in_leaf;
	size_t index;
	enum tk_rc rc;

	*known = (struct tk_known){NULL, NULL};
	if (!moves->cursor.reader && (rc = build(moves, err)))
		return rc;
	slot = moves->slots && ino ? *find_slot(moves, mix(dev, ino)) : 0;
	if (slot == 0)
		return TK_OK;
	index = leaf_of(moves, (uint32_t)slot - 1);
	in_leaf = (uint32_t)slot - 1 - moves->leaves[index].first;
	if ((rc = go_to(moves, index, in_leaf, err)))
		return rc;
	side = tk_oldcursor_sidecar(&moves->cursor);
	if (side->ino == ino && side->dev == dev)
		*known = (struct tk_known){&moves->cursor.entry, side};
	return TK_OK;
}

enum tk_rc
tk_moves_new(struct tk_catalog *catalog, struct tk_packtab *packs, uint64_t entries_max, struct tk_moves **out, struct tk_err *err)
{
	struct tk_moves *moves = calloc(1, sizeof(*moves));

	if (!moves)
		return tk_err_set(err, TK_ENOMEM, "no memory for the inodes of the point before");
	moves->catalog = catalog;
	moves->packs = packs;
	moves->entries_max = entries_max ? entries_max : TK_MOVES_ENTRIES_MAX;
	*out = moves;
	return TK_OK;
}

void
tk_moves_cleanup(struct tk_moves **slot)
{
	struct tk_moves *moves = *slot;

	if (!moves)
		return;
	tk_oldcursor_release(&moves->cursor);
	free(moves->slots);
	free(moves->leaves);
	free(moves);
	*slot = NULL;
}
