/* dirlist.h -- the names in one directory, sorted by bytes, in bounded memory.
 *
 * One owner, one thread at a time. Up to spill_names names stay in memory; more are sorted in runs of that many,
 * kept in an unlinked temporary file and merged as they are read. Names are any bytes but '/' and NUL. */
#ifndef TK_FSIO_DIRLIST_H
#define TK_FSIO_DIRLIST_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

#define TK_DIRLIST_SPILL_NAMES 262144

struct tk_dirlist_item {
	uint64_t prefix;      /* the first eight bytes, big-endian: most comparisons end here */
	size_t offset_bytes;  /* of the name in the arena */
};

struct tk_dirlist_spill;

struct tk_dirlist {
	char *arena;
	size_t arena_len_bytes;
	size_t arena_cap_bytes;
	struct tk_dirlist_item *items;
	size_t count;
	size_t cap;
	size_t pos;
	size_t spill_names;               /* set by init; a caller may lower it */
	struct tk_dirlist_spill *spill;   /* NULL while everything is in memory */
};

void tk_dirlist_init(struct tk_dirlist *list);
void tk_dirlist_release(struct tk_dirlist *list);
/* Forgets the names; keeps a moderate amount of memory for the next directory. */
void tk_dirlist_clear(struct tk_dirlist *list);

/* Reads and sorts all names but "." and "..". dirfd: a directory open for reading, at its start. tmp_dir: where a
 * large directory spills (NULL: /var/tmp). Errors: TK_EIO, TK_EDENIED, TK_ENOENT, TK_ENOMEM, TK_ENOSPC; the list is
 * then empty. */
TK_MUST_CHECK enum tk_rc tk_dirlist_read(struct tk_dirlist *list, int dirfd, const char *tmp_dir, struct tk_err *err);
/* The next name, NULL at the end; valid until tk_dirlist_advance. */
const char *tk_dirlist_peek(const struct tk_dirlist *list);
/* Steps over the name that peek gave. Errors: TK_EIO (of the temporary file). */
TK_MUST_CHECK enum tk_rc tk_dirlist_advance(struct tk_dirlist *list, struct tk_err *err);

#endif
