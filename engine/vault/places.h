/* places.h -- where each small pack of a vault directory lies: a table in memory, by name.
 *
 * No locks: the owner has one. 56 bytes a pack, and as much again while it grows. */
#ifndef TK_VAULT_PLACES_H
#define TK_VAULT_PLACES_H

#include <stdbool.h>

#include "engine/vault/ids.h"

/* A file of its own in packs/small. */
#define TK_PLACE_SMALL 0u

struct tk_place {
	struct tk_pack_name name;
	uint64_t container;      /* its number; TK_PLACE_SMALL */
	uint32_t offset_bytes;   /* in the container */
	uint32_t len_bytes;      /* in the container */
	bool shadowed;           /* an older container has a pack of this name, too */
};

struct tk_places {
	struct tk_place *slots;  /* owned; a power of two of them; free ones have used == 0 */
	uint8_t *used;           /* owned */
	size_t cap, count;
	size_t small_count;      /* of them in packs/small */
};

void tk_places_release(struct tk_places *places);
/* NULL when it is not there; else valid until the next change. */
const struct tk_place *tk_places_find(const struct tk_places *places, const struct tk_pack_name *name);
/* Puts it there, over what was said of the name before. Errors: TK_ENOMEM (nothing changed). */
TK_MUST_CHECK enum tk_rc tk_places_set(struct tk_places *places, const struct tk_place *place, struct tk_err *err);
void tk_places_remove(struct tk_places *places, const struct tk_pack_name *name);
/* The next place from *at on, which is moved past it; NULL after the last. *at begins as 0. */
const struct tk_place *tk_places_next(const struct tk_places *places, size_t *at);

#endif
