#include "engine/vault/store.h"

#include <stdlib.h>

#include "engine/vault/pack.h"

enum tk_rc
tk_store_get_ends(struct tk_store *store, const struct tk_pack_name *name, uint32_t tail_bytes, uint64_t *len_bytes, struct tk_buf *head,
		  struct tk_buf *tail, struct tk_err *err)
{
	enum tk_rc rc;

	if (store->ops->get_ends)
		return store->ops->get_ends(store, name, tail_bytes, len_bytes, head, tail, err);
	if ((rc = store->ops->pack_size(store, name, len_bytes, err)))
		return rc;
	if (*len_bytes < TK_PACK_HEADER_BYTES + TK_PACK_TRAILER_BYTES)
		return tk_err_set(err, TK_ECORRUPT, "a pack of %llu bytes", (unsigned long long)*len_bytes);
	if (*len_bytes < tail_bytes)
		tail_bytes = (uint32_t)*len_bytes;
	if ((rc = store->ops->get_range(store, name, 0, TK_PACK_HEADER_BYTES, head, err)))
		return rc;
	return store->ops->get_range(store, name, *len_bytes - tail_bytes, tail_bytes, tail, err);
}

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
