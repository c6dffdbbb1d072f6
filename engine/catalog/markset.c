#include "engine/catalog/markset.h"

#include <stdlib.h>

#define FIRST_SLOTS 1024u

/* FNV-1a and a finisher that spreads it over all bits; never 0. */
static uint64_t
fingerprint(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 0x100000001b3ull;
	hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdull;
	hash ^= hash >> 33;
	return hash ? hash : 1;
}

static size_t
find_slot(const struct tk_markset *set, uint64_t print)
{
	size_t at = (size_t)print & (set->slot_count - 1);

	while (set->slots[at] && set->slots[at] != print)
		at = (at + 1) & (set->slot_count - 1);
	return at;
}

static enum tk_rc
grow(struct tk_markset *set, struct tk_err *err)
{
	struct tk_markset bigger = {.slot_count = set->slot_count ? set->slot_count * 2 : FIRST_SLOTS, .count = set->count};

	bigger.slots = calloc(bigger.slot_count, sizeof(*bigger.slots));
	if (!bigger.slots)
		return tk_err_set(err, TK_ENOMEM, "no memory for the names in use");
	for (size_t i = 0; i < set->slot_count; i++)
		if (set->slots[i])
			bigger.slots[find_slot(&bigger, set->slots[i])] = set->slots[i];
	free(set->slots);
	*set = bigger;
	return TK_OK;
}

enum tk_rc
tk_markset_add(struct tk_markset *set, const char *name, struct tk_err *err)
{
	uint64_t print = fingerprint(name);
	enum tk_rc rc;
	size_t at;

	if (set->count >= set->slot_count / 4 * 3 && (rc = grow(set, err)))
		return rc;
	at = find_slot(set, print);
	set->count += set->slots[at] == 0;
	set->slots[at] = print;
	return TK_OK;
}

bool
tk_markset_has(const struct tk_markset *set, const char *name)
{
	return set->slot_count && set->slots[find_slot(set, fingerprint(name))] != 0;
}

void
tk_markset_release(struct tk_markset *set)
{
	free(set->slots);
	*set = (struct tk_markset){0};
}
