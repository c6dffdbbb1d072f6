#include "engine/vault/places.h"

#include <stdlib.h>
#include <string.h>

#define CAP_MIN 64u

void
tk_places_release(struct tk_places *places)
{
	free(places->slots);
	free(places->used);
	memset(places, 0, sizeof(*places));
}

/* Names are random: any of their bytes are as good as a hash. */
static size_t
home_of(const struct tk_places *places, const struct tk_pack_name *name)
{
	uint64_t word;

	memcpy(&word, name->b, sizeof(word));
	return (size_t)word & (places->cap - 1);
}

/* The slot of the name, or the free one where it would go. There is always a free one. */
static size_t
slot_of(const struct tk_places *places, const struct tk_pack_name *name)
{
	size_t at = home_of(places, name);

	while (places->used[at] && memcmp(&places->slots[at].name, name, sizeof(*name)) != 0)
		at = (at + 1) & (places->cap - 1);
	return at;
}

const struct tk_place *
tk_places_find(const struct tk_places *places, const struct tk_pack_name *name)
{
	size_t at;

	if (places->count == 0)
		return NULL;
	at = slot_of(places, name);
	return places->used[at] ? &places->slots[at] : NULL;
}

static enum tk_rc
grow(struct tk_places *places, struct tk_err *err)
{
	struct tk_places wide = {.cap = places->cap ? places->cap * 2 : CAP_MIN, .count = places->count, .small_count = places->small_count};

	wide.slots = malloc(wide.cap * sizeof(*wide.slots));
	wide.used = calloc(wide.cap, 1);
	if (!wide.slots || !wide.used) {
		tk_places_release(&wide);
		return tk_err_set(err, TK_ENOMEM, "no memory for the places of %zu packs", places->count);
	}
	for (size_t i = 0; i < places->cap; i++) {
		if (places->used[i]) {
			size_t at = slot_of(&wide, &places->slots[i].name);

			wide.slots[at] = places->slots[i];
			wide.used[at] = 1;
		}
	}
	free(places->slots);
	free(places->used);
	*places = wide;
	return TK_OK;
}

enum tk_rc
tk_places_set(struct tk_places *places, const struct tk_place *place, struct tk_err *err)
{
	enum tk_rc rc = places->count + 1 > places->cap / 4 * 3 ? grow(places, err) : TK_OK;
	size_t at;

	if (rc)
		return rc;
	at = slot_of(places, &place->name);
	if (!places->used[at])
		places->count++;
	else if (places->slots[at].container == TK_PLACE_SMALL)
		places->small_count--;
	places->small_count += place->container == TK_PLACE_SMALL;
	places->slots[at] = *place;
	places->used[at] = 1;
	return TK_OK;
}

void
tk_places_remove(struct tk_places *places, const struct tk_pack_name *name)
{
	size_t hole, at;

	if (places->count == 0 || !places->used[hole = slot_of(places, name)])
		return;
	places->count--;
	places->small_count -= places->slots[hole].container == TK_PLACE_SMALL;
	places->used[hole] = 0;
	/* What probed past the freed slot moves back into it, as far as its own home allows. */
	for (at = (hole + 1) & (places->cap - 1); places->used[at]; at = (at + 1) & (places->cap - 1)) {
		size_t home = home_of(places, &places->slots[at].name);

		if (((at - home) & (places->cap - 1)) < ((at - hole) & (places->cap - 1)))
			continue;
		places->slots[hole] = places->slots[at];
		places->used[hole] = 1;
		places->used[at] = 0;
		hole = at;
	}
}

const struct tk_place *
tk_places_next(const struct tk_places *places, size_t *at)
{
	while (*at < places->cap && !places->used[*at])
		(*at)++;
	return *at < places->cap ? &places->slots[(*at)++] : NULL;
}
