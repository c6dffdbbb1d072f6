#include "engine/job/refset.h"

#include <stdlib.h>
#include <string.h>

void
tk_refset_release(struct tk_refset *set)
{
	free(set->slots);
	memset(set, 0, sizeof(*set));
}

static struct tk_blob_ref *
find(const struct tk_refset *set, struct tk_blob_ref ref)
{
	size_t at = ref.pack * 2654435761u ^ ref.blob * 0x9e3779b1u;

	for (;; at++) {
		struct tk_blob_ref *slot = &set->slots[at & (set->cap - 1)];

		if (slot->pack == TK_PACK_NONE || (slot->pack == ref.pack && slot->blob == ref.blob))
			return slot;
	}
}

bool
tk_refset_has(const struct tk_refset *set, struct tk_blob_ref ref)
{
	return set->cap > 0 && find(set, ref)->pack != TK_PACK_NONE;
}

static enum tk_rc
grow(struct tk_refset *set, struct tk_err *err)
{
	struct tk_refset bigger = {.cap = set->cap ? set->cap * 2 : 1024};

	bigger.slots = malloc(bigger.cap * sizeof(*bigger.slots));
	if (!bigger.slots)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu references", bigger.cap);
	for (size_t i = 0; i < bigger.cap; i++)
		bigger.slots[i] = (struct tk_blob_ref){TK_PACK_NONE, 0};
	for (size_t i = 0; i < set->cap; i++)
		if (set->slots[i].pack != TK_PACK_NONE)
			*find(&bigger, set->slots[i]) = set->slots[i];
	bigger.count = set->count;
	free(set->slots);
	*set = bigger;
	return TK_OK;
}

enum tk_rc
tk_refset_add(struct tk_refset *set, struct tk_blob_ref ref, bool *added, struct tk_err *err)
{
	struct tk_blob_ref *slot;
	enum tk_rc rc;

	if (set->count * 2 >= set->cap && (rc = grow(set, err)))
		return rc;
	slot = find(set, ref);
	*added = slot->pack == TK_PACK_NONE;
	if (*added) {
		*slot = ref;
		set->count++;
	}
	return TK_OK;
}
