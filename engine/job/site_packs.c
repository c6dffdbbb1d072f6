#include "engine/job/site_packs.h"

#include <stdlib.h>
#include <string.h>

void
tk_site_packs_release(struct tk_site_packs *packs)
{
	free(packs->items);
	memset(packs, 0, sizeof(*packs));
}

static enum tk_rc
remember(struct tk_site_packs *packs, size_t item, struct tk_err *err)
{
	if (packs->count == packs->cap) {
		size_t cap = packs->cap ? packs->cap * 2 : 64;
		size_t *grown = realloc(packs->items, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for the packs of a site");
		packs->items = grown;
		packs->cap = cap;
	}
	packs->items[packs->count++] = item;
	return TK_OK;
}

enum tk_rc
tk_site_packs_flush(struct tk_site_packs *packs, struct tk_site_publish *request, struct tk_err *err)
{
	enum tk_rc rc;

	if (packs->count == 0)
		return TK_OK;
	if ((rc = request->store->ops->flush(request->store, err)))
		return rc;
	tk_stock_held(request->stock, request->self, packs->items, packs->count);
	packs->count = 0;
	packs->bytes = 0;
	return TK_OK;
}

enum tk_rc
tk_site_packs_send(struct tk_site_packs *packs, struct tk_site_publish *request, size_t item, struct tk_err *err)
{
	uint64_t before = request->sent_bytes;
	struct tk_pack_name name;
	enum tk_rc rc;

	if (!tk_stock_is_here(request->stock, item, &name))
		return TK_OK;
	rc = tk_site_send_pack(request, &name, err);
	if (rc == TK_ENOENT && !tk_stock_is_here(request->stock, item, &name))
		return TK_OK;
	if (rc || (rc = remember(packs, item, err)))
		return rc;
	packs->bytes += request->sent_bytes - before;
	return tk_stock_wants_flush(request->stock, packs->bytes) ? tk_site_packs_flush(packs, request, err) : TK_OK;
}

static enum tk_rc
send_one_again(struct tk_site_publish *request, size_t item, bool *gone, struct tk_err *err)
{
	struct tk_pack_name name;
	enum tk_rc rc;

	if (request->stop && atomic_load(request->stop))
		return tk_err_set(err, TK_ECANCELLED, "interrupted");
	*gone = !tk_stock_is_here(request->stock, item, &name);
	if (*gone)
		return TK_OK;
	rc = tk_site_send_pack(request, &name, err);
	*gone = rc == TK_ENOENT && !tk_stock_is_here(request->stock, item, &name);
	return *gone ? TK_OK : rc;
}

enum tk_rc
tk_site_packs_send_again(struct tk_site_packs *packs, struct tk_site_publish *request, struct tk_err *err)
{
	size_t kept = 0;
	enum tk_rc rc = TK_OK;

	/* After an error the rest of the list stays as it is. */
	for (size_t i = 0; i < packs->count; i++) {
		bool gone = false;

		if (!rc)
			rc = send_one_again(request, packs->items[i], &gone, err);
		if (!gone)
			packs->items[kept++] = packs->items[i];
	}
	packs->count = kept;
	return rc;
}
