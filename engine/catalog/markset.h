/* markset.h -- a set of names, kept as 64-bit fingerprints: 8 to 16 bytes a name. Private to engine/catalog.
 *
 * It may say that a name is in the set which is not (once in 2^64 / size), never the other way: good for deciding what must not be removed.
 * One thread at a time. All zero is an empty set. */
#ifndef TK_CATALOG_MARKSET_H
#define TK_CATALOG_MARKSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct tk_markset {
	uint64_t *slots;     /* open addressing; 0 is free */
	size_t slot_count;   /* a power of two, or 0 */
	size_t count;
};

/* Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_markset_add(struct tk_markset *set, const char *name, struct tk_err *err);
bool tk_markset_has(const struct tk_markset *set, const char *name);
void tk_markset_release(struct tk_markset *set);

#endif
