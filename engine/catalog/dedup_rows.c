#include "engine/catalog/dedup_rows.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 1024u

/* Ids are the output of a keyed hash: their first bytes are hash enough. */
static size_t
find_slot(const struct tk_dedup_rows *rows, const uint8_t id[TK_DEDUP_ID_BYTES])
{
	uint64_t hash;
	size_t at;

	memcpy(&hash, id, sizeof(hash));
	at = (size_t)hash & (rows->slot_count - 1);
	while (rows->slots[at] && memcmp(rows->rows[rows->slots[at] - 1].id, id, TK_DEDUP_ID_BYTES) != 0)
		at = (at + 1) & (rows->slot_count - 1);
	return at;
}

static void
fill_slots(struct tk_dedup_rows *rows)
{
	memset(rows->slots, 0, rows->slot_count * sizeof(*rows->slots));
	for (size_t i = 0; i < rows->count; i++)
		rows->slots[find_slot(rows, rows->rows[i].id)] = (uint32_t)i + 1;
}

static enum tk_rc
grow(struct tk_dedup_rows *rows, struct tk_err *err)
{
	size_t cap = rows->cap ? rows->cap * 2 : FIRST_CAP;
	struct tk_dedup_row *grown = cap > UINT32_MAX / 2 ? NULL : realloc(rows->rows, cap * sizeof(*grown));
	uint32_t *slots;

	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for the dedup index");
	rows->rows = grown;
	slots = realloc(rows->slots, cap * 2 * sizeof(*slots));
	if (!slots)
		return tk_err_set(err, TK_ENOMEM, "no memory for the dedup index");
	rows->slots = slots;
	rows->slot_count = cap * 2;
	rows->cap = cap;
	fill_slots(rows);
	return TK_OK;
}

enum tk_rc
tk_dedup_rows_add(struct tk_dedup_rows *rows, const struct tk_dedup_row *row, struct tk_err *err)
{
	enum tk_rc rc;

	if (rows->count == rows->cap && (rc = grow(rows, err)))
		return rc;
	rows->rows[rows->count++] = *row;
	rows->slots[find_slot(rows, row->id)] = (uint32_t)rows->count;
	return TK_OK;
}

const struct tk_dedup_row *
tk_dedup_rows_find(const struct tk_dedup_rows *rows, const uint8_t id[TK_DEDUP_ID_BYTES])
{
	size_t at;

	if (rows->count == 0)
		return NULL;
	at = find_slot(rows, id);
	return rows->slots[at] ? &rows->rows[rows->slots[at] - 1] : NULL;
}

static int
by_id(const void *left, const void *right)
{
	const struct tk_dedup_row *a = left;
	const struct tk_dedup_row *b = right;

	return memcmp(a->id, b->id, TK_DEDUP_ID_BYTES);
}

void
tk_dedup_rows_sort(struct tk_dedup_rows *rows)
{
	if (rows->count == 0)
		return;
	qsort(rows->rows, rows->count, sizeof(*rows->rows), by_id);
	fill_slots(rows);
}

void
tk_dedup_rows_release(struct tk_dedup_rows *rows)
{
	free(rows->rows);
	free(rows->slots);
	*rows = (struct tk_dedup_rows){0};
}
