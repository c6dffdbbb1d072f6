#include "engine/vault/vault_trace.h"

#include <stdlib.h>
#include <string.h>

#include "engine/vault/bitmap.h"
#include "engine/vault/counts.h"
#include "engine/vault/vault_walk.h"

struct tk_vtrace {
	struct tk_vwalk walk;                  /* first: a visit casts */
	size_t missing_count;
};

enum tk_rc
tk_vtrace_new(struct tk_vault *vault, const struct tk_id *domain, struct tk_vtrace **out, struct tk_err *err)
{
	struct tk_vtrace *trace = calloc(1, sizeof(*trace));
	enum tk_rc rc;

	if (!trace)
		return tk_err_set(err, TK_ENOMEM, "no memory for a trace");
	rc = tk_vwalk_init(&trace->walk, vault, domain, err);
	if (rc)
		tk_vtrace_cleanup(&trace);
	*out = trace;
	return rc;
}

void
tk_vtrace_cleanup(struct tk_vtrace **slot)
{
	struct tk_vtrace *trace = *slot;

	*slot = NULL;
	if (!trace)
		return;
	tk_vwalk_release(&trace->walk);
	free(trace);
}

static void
lacks(struct tk_vtrace *trace, struct tk_vwalk_pack *pack)
{
	if (!pack->missing)
		trace->missing_count++;
	pack->missing = true;
}

/* A blob of the pack is needed again: what was condemned only because nothing of the pack was (tk_vcondemn_rest) is so no more. */
static void
revive_rest(struct tk_vwalk_pack *pack)
{
	struct tk_buf *condemned = &pack->marks.condemned;

	for (size_t i = 0; i < condemned->len_bytes && !pack->revived; i++)
		condemned->data[i] &= i < pack->marks.traced.len_bytes ? pack->marks.traced.data[i] : 0;
	pack->revived = true;
}

/* One more refers to the blob. Marks it and puts it on the list, unless it is known to be whole. Marking first also ends cycles. */
static enum tk_rc
visit(struct tk_vwalk *walk, struct tk_blob_ref ref, struct tk_err *err)
{
	struct tk_vtrace *trace = (struct tk_vtrace *)walk;
	struct tk_vwalk_pack *pack = walk->packs[ref.pack];
	enum tk_rc rc;

	if (!pack->held) {
		lacks(trace, pack);
		return TK_OK;
	}
	if (ref.blob >= pack->row.blobs)
		return tk_err_set(err, TK_ECORRUPT, "a reference to blob %u of a pack that has %u", ref.blob, pack->row.blobs);
	if (tk_bit_get(&pack->dropped, ref.blob)) {
		lacks(trace, pack);
		return TK_OK;
	}
	rc = tk_count_add(&pack->marks.counts, ref.blob, err);
	pack->changed = true;
	if (rc || tk_vwalk_is_live(&pack->marks, ref.blob))
		return rc;
	rc = tk_bit_set(&pack->marks.traced, ref.blob, err);
	tk_bit_clear(&pack->marks.condemned, ref.blob);
	revive_rest(pack);
	return rc ? rc : tk_vwalk_push(walk, ref, err);
}

enum tk_rc
tk_vtrace_added(struct tk_vtrace *trace, const struct tk_point *point, struct tk_err *err)
{
	uint32_t number;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < point->pack_count && !rc; i++) {
		struct tk_vwalk_pack *pack;

		rc = tk_vwalk_number(&trace->walk, &point->packs[i].name, &number, err);
		if (rc)
			return rc;
		pack = trace->walk.packs[number];
		if (!pack->held || pack->row.state != TK_PACK_WHOLE)
			lacks(trace, pack);
		else if (memcmp(pack->row.footer.b, point->packs[i].footer.b, sizeof(pack->row.footer.b)) != 0 ||
			 pack->row.bytes != point->packs[i].len_bytes)
			rc = tk_err_set(err, TK_ECONFLICT, "a pack that the point adds is held with other bytes");
	}
	return rc;
}

static enum tk_rc
check_root(struct tk_vtrace *trace, struct tk_blob_ref root, struct tk_err *err)
{
	struct tk_vwalk_pack *pack = trace->walk.packs[root.pack];
	enum tk_rc rc = tk_vwalk_index(&trace->walk, root.pack, err);
	enum tk_blob_type type = rc ? TK_BLOB_DATA : pack->index->blobs[root.blob].type;

	if (!rc && type != TK_BLOB_LEAF && type != TK_BLOB_NODE)
		rc = tk_err_set(err, TK_ECORRUPT, "the point's root is no page");
	return rc;
}

enum tk_rc
tk_vtrace_point(struct tk_vtrace *trace, const struct tk_point *point, bool *complete, struct tk_err *err)
{
	struct tk_vwalk *walk = &trace->walk;
	struct tk_blob_ref root = {.blob = point->root_blob};
	enum tk_rc rc = tk_vwalk_number(walk, &point->root_pack, &root.pack, err);

	if (!rc)
		rc = visit(walk, root, err);
	if (!rc && walk->packs[root.pack]->held && !walk->packs[root.pack]->missing)
		rc = check_root(trace, root, err);
	if (!rc)
		rc = tk_vwalk_run(walk, visit, err);
	*complete = !rc && trace->missing_count == 0;
	return rc;
}

enum tk_rc
tk_vtrace_missing(const struct tk_vtrace *trace, struct tk_pack_names *names, struct tk_err *err)
{
	names->count = 0;
	names->names = malloc(trace->missing_count * sizeof(*names->names) + 1);
	if (!names->names)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu names", trace->missing_count);
	for (size_t i = 0; i < trace->walk.pack_count; i++)
		if (trace->walk.packs[i]->missing)
			names->names[names->count++] = trace->walk.packs[i]->row.name;
	return TK_OK;
}

enum tk_rc
tk_vtrace_store(struct tk_vtrace *trace, struct tk_err *err)
{
	return tk_vwalk_store(&trace->walk, err);
}
