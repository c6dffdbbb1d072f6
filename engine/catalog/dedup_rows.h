/* dedup_rows.h -- the rows added to the dedup index in this run: a hash table over an array. Private to engine/catalog. One thread. */
#ifndef TK_CATALOG_DEDUP_ROWS_H
#define TK_CATALOG_DEDUP_ROWS_H

#include "engine/catalog/dedup_run.h"

struct tk_dedup_rows {                        /* all zero is empty */
	struct tk_dedup_row *rows;            /* in order of addition, or by id after sort */
	size_t count, cap;
	uint32_t *slots;                      /* open addressing: row + 1, or 0 */
	size_t slot_count;                    /* a power of two, at least twice cap */
};

/* Adds a row whose id is not there. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_dedup_rows_add(struct tk_dedup_rows *rows, const struct tk_dedup_row *row, struct tk_err *err);
const struct tk_dedup_row *tk_dedup_rows_find(const struct tk_dedup_rows *rows, const uint8_t id[TK_DEDUP_ID_BYTES]);
/* Orders the array by id. */
void tk_dedup_rows_sort(struct tk_dedup_rows *rows);
/* Forgets the rows and gives the memory back. */
void tk_dedup_rows_release(struct tk_dedup_rows *rows);

#endif
