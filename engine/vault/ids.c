#include "engine/vault/ids.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct tk_packtab {
	pthread_mutex_t lock;
	struct tk_pack_name *names;   /* by number */
	size_t count;
	size_t cap;
	uint32_t *slots;              /* open addressing: number + 1, or 0 */
	size_t slot_count;            /* a power of two, at least twice cap */
};

enum tk_rc
tk_packtab_new(struct tk_packtab **out, struct tk_err *err)
{
	struct tk_packtab *tab = calloc(1, sizeof(*tab));

	if (!tab)
		return tk_err_set(err, TK_ENOMEM, "no memory for a table of packs");
	(void)pthread_mutex_init(&tab->lock, NULL);
	*out = tab;
	return TK_OK;
}

void
tk_packtab_free(struct tk_packtab *tab)
{
	if (!tab)
		return;
	(void)pthread_mutex_destroy(&tab->lock);
	free(tab->names);
	free(tab->slots);
	free(tab);
}

void
tk_packtab_cleanup(struct tk_packtab **tab)
{
	tk_packtab_free(*tab);
	*tab = NULL;
}

/* The slot that holds the name, or the free one where it belongs. Names are random: their first bytes are hash enough. */
static size_t
find_slot(const struct tk_packtab *tab, const struct tk_pack_name *name)
{
	uint64_t hash;
	size_t at;

	memcpy(&hash, name->b, sizeof(hash));
	at = (size_t)hash & (tab->slot_count - 1);
	while (tab->slots[at] && memcmp(&tab->names[tab->slots[at] - 1], name, sizeof(*name)) != 0)
		at = (at + 1) & (tab->slot_count - 1);
	return at;
}

static enum tk_rc
grow(struct tk_packtab *tab, struct tk_err *err)
{
	size_t cap = tab->cap ? tab->cap * 2 : 64;
	struct tk_pack_name *names;
	uint32_t *slots;

	if (cap > TK_PACK_NONE / 2)
		return tk_err_set(err, TK_ENOMEM, "more packs than numbers for them");
	names = realloc(tab->names, cap * sizeof(*names));
	if (!names)
		return tk_err_set(err, TK_ENOMEM, "no memory for the names of %zu packs", cap);
	tab->names = names;
	slots = calloc(cap * 2, sizeof(*slots));
	if (!slots)
		return tk_err_set(err, TK_ENOMEM, "no memory for the names of %zu packs", cap);
	free(tab->slots);
	tab->slots = slots;
	tab->slot_count = cap * 2;
	tab->cap = cap;
	for (size_t i = 0; i < tab->count; i++)
		slots[find_slot(tab, &names[i])] = (uint32_t)i + 1;
	return TK_OK;
}

static enum tk_rc
intern_locked(struct tk_packtab *tab, const struct tk_pack_name *name, uint32_t *number, struct tk_err *err)
{
	enum tk_rc rc;
	size_t at;

	if (tab->count) {
		at = find_slot(tab, name);
		if (tab->slots[at]) {
			*number = tab->slots[at] - 1;
			return TK_OK;
		}
	}
	if (tab->count == tab->cap) {
		rc = grow(tab, err);
		if (rc)
			return rc;
	}
	at = find_slot(tab, name);
	tab->names[tab->count] = *name;
	*number = (uint32_t)tab->count++;
	tab->slots[at] = *number + 1;
	return TK_OK;
}

enum tk_rc
tk_packtab_intern(struct tk_packtab *tab, const struct tk_pack_name *name, uint32_t *number, struct tk_err *err)
{
	enum tk_rc rc;

	pthread_mutex_lock(&tab->lock);
	rc = intern_locked(tab, name, number, err);
	pthread_mutex_unlock(&tab->lock);
	return rc;
}

struct tk_pack_name
tk_packtab_name(struct tk_packtab *tab, uint32_t number)
{
	struct tk_pack_name name;

	/* The array moves when it grows: the name is copied out under the lock. */
	pthread_mutex_lock(&tab->lock);
	name = tab->names[number];
	pthread_mutex_unlock(&tab->lock);
	return name;
}

size_t
tk_packtab_count(struct tk_packtab *tab)
{
	size_t count;

	pthread_mutex_lock(&tab->lock);
	count = tab->count;
	pthread_mutex_unlock(&tab->lock);
	return count;
}
