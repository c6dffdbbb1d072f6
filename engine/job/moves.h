/* moves.h -- files of the point before, found by their inode: what appears under a new name may be known already.
 *
 * Built at the first question, from sidecars alone: 8 bytes a slot, 11 bytes an entry (5 million files: 55 MB). Pages are decoded only for what is found, and neighbours that
 * moved together are found in one page. A point of more entries than TK_MOVES_ENTRIES_MAX has no such table: its moved files are read again. One thread. */
#ifndef TK_JOB_MOVES_H
#define TK_JOB_MOVES_H

#include "engine/catalog/catalog.h"

#define TK_MOVES_ENTRIES_MAX 25000000u        /* a table of 267 MB */

struct tk_known {
	const struct tk_entry *entry;
	const struct tk_sidecar *side;
};

struct tk_moves;
/* catalog, packs: borrowed. entries_max: 0: TK_MOVES_ENTRIES_MAX. */
TK_MUST_CHECK enum tk_rc tk_moves_new(struct tk_catalog *catalog, struct tk_packtab *packs, uint64_t entries_max, struct tk_moves **out,
				      struct tk_err *err);
void tk_moves_cleanup(struct tk_moves **moves);
/* An entry that the inode had in the catalog's current point; NULL entry: none is known. With several names it is any of them. *known is borrowed until the next call.
 * Errors: TK_ECORRUPT (the catalog is damaged), TK_ENOMEM, TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_moves_find(struct tk_moves *moves, uint64_t dev, uint64_t ino, struct tk_known *known, struct tk_err *err);

#endif
