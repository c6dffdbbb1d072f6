#include "engine/vault/store.h"

#include <stdlib.h>

void
tk_store_ahead(struct tk_store *store, const struct tk_store_ask *asks, size_t count)
{
	if (store->ops->ahead)
		store->ops->ahead(store, asks, count);
}

void
tk_pack_names_release(struct tk_pack_names *names)
{
	free(names->names);
	names->names = NULL;
	names->count = 0;
}

void
tk_store_cleanup(struct tk_store **store)
{
	if (*store)
		(*store)->ops->close(*store);
	*store = NULL;
}
