#include "engine/vault/vault_trace.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/vault/bitmap.h"

#define UNRESOLVED UINT32_MAX

struct trace_pack {
	struct tk_pack_row row;
	struct tk_pack_marks marks;
	struct tk_buf dropped;
	struct tk_pack_index *index;           /* read when a blob of it must be followed */
	uint32_t *numbers;                     /* reference index -> number in `packs` */
	bool held;
	bool missing;                          /* held or not: something of it that is wanted is not there */
	bool changed;
};

struct tk_vtrace {
	struct tk_vault *vault;                /* borrowed */
	struct tk_id domain;
	struct tk_packtab *names;
	struct trace_pack **packs;             /* by number */
	size_t pack_count, pack_cap;
	struct tk_blob_ref *todo;              /* blobs that are marked, but not followed yet */
	size_t todo_count, todo_cap;
	size_t missing_count;
};

enum tk_rc
tk_vtrace_new(struct tk_vault *vault, const struct tk_id *domain, struct tk_vtrace **out, struct tk_err *err)
{
	struct tk_vtrace *trace = calloc(1, sizeof(*trace));
	enum tk_rc rc;

	if (!trace)
		return tk_err_set(err, TK_ENOMEM, "no memory for a trace");
	trace->vault = vault;
	trace->domain = *domain;
	rc = tk_packtab_new(&trace->names, err);
	if (rc) {
		free(trace);
		return rc;
	}
	*out = trace;
	return TK_OK;
}

static void
pack_free(struct trace_pack *pack)
{
	tk_pack_marks_release(&pack->marks);
	tk_buf_release(&pack->dropped);
	tk_pack_index_cleanup(&pack->index);
	free(pack->numbers);
	free(pack);
}

void
tk_vtrace_cleanup(struct tk_vtrace **slot)
{
	struct tk_vtrace *trace = *slot;

	*slot = NULL;
	if (!trace)
		return;
	for (size_t i = 0; i < trace->pack_count; i++)
		pack_free(trace->packs[i]);
	free(trace->packs);
	free(trace->todo);
	tk_packtab_free(trace->names);
	free(trace);
}

static enum tk_rc
load_pack(struct tk_vtrace *trace, const struct tk_pack_name *name, struct trace_pack *pack, struct tk_err *err)
{
	enum tk_rc rc = tk_vindex_pack(trace->vault->index, name, &pack->row, &pack->marks, err);

	if (rc == TK_ENOENT) {
		pack->row.name = *name;
		return TK_OK;
	}
	if (rc)
		return rc;
	/* Domains do not share packs: else one source could keep another's from expiring, and two publishers would write the same marks. */
	if (memcmp(pack->row.domain.b, trace->domain.b, sizeof(trace->domain.b)) != 0)
		return tk_err_set(err, TK_EDENIED, "the point refers to a pack of another domain");
	pack->held = true;
	return pack->row.state == TK_PACK_WHOLE ? TK_OK : tk_vdropped_get(trace->vault, name, &pack->dropped, err);
}

static enum tk_rc
grow_packs(struct tk_vtrace *trace, struct tk_err *err)
{
	size_t cap = trace->pack_cap ? trace->pack_cap * 2 : 64;
	struct trace_pack **grown;

	if (trace->pack_count < trace->pack_cap)
		return TK_OK;
	grown = realloc(trace->packs, cap * sizeof(struct trace_pack *));
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu packs of a trace", cap);
	trace->packs = grown;
	trace->pack_cap = cap;
	return TK_OK;
}

/* Numbers come in the order of first sight, so that a new one is the next place in `packs`. */
static enum tk_rc
number_of(struct tk_vtrace *trace, const struct tk_pack_name *name, uint32_t *number, struct tk_err *err)
{
	struct trace_pack *pack;
	enum tk_rc rc = grow_packs(trace, err);

	if (!rc)
		rc = tk_packtab_intern(trace->names, name, number, err);
	if (rc || *number < trace->pack_count)
		return rc;
	pack = calloc(1, sizeof(*pack));
	if (!pack)
		return tk_err_set(err, TK_ENOMEM, "no memory for a pack of a trace");
	trace->packs[trace->pack_count++] = pack;
	return load_pack(trace, name, pack, err);
}

static void
lacks(struct tk_vtrace *trace, struct trace_pack *pack)
{
	if (!pack->missing)
		trace->missing_count++;
	pack->missing = true;
}

static enum tk_rc
push(struct tk_vtrace *trace, struct tk_blob_ref ref, struct tk_err *err)
{
	size_t cap = trace->todo_cap ? trace->todo_cap * 2 : 256;
	struct tk_blob_ref *grown;

	if (trace->todo_count == trace->todo_cap) {
		grown = realloc(trace->todo, cap * sizeof(*grown));
		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for %zu references", cap);
		trace->todo = grown;
		trace->todo_cap = cap;
	}
	trace->todo[trace->todo_count++] = ref;
	return TK_OK;
}

/* Marks a blob and puts it on the list, unless it is known to be whole. Marking first also ends cycles. */
static enum tk_rc
visit(struct tk_vtrace *trace, struct tk_blob_ref ref, struct tk_err *err)
{
	struct trace_pack *pack = trace->packs[ref.pack];
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
	if (tk_bit_get(&pack->marks.traced, ref.blob) && !tk_bit_get(&pack->marks.condemned, ref.blob))
		return TK_OK;
	rc = tk_bit_set(&pack->marks.traced, ref.blob, err);
	tk_bit_clear(&pack->marks.condemned, ref.blob);
	pack->changed = true;
	return rc ? rc : push(trace, ref, err);
}

static enum tk_rc
load_index(struct tk_vtrace *trace, struct trace_pack *pack, uint32_t own_number, struct tk_err *err)
{
	char hex[TK_VAULT_HEX_NAME];
	enum tk_rc rc;

	if (pack->index)
		return TK_OK;
	rc = tk_vpack_index(trace->vault, &pack->row.name, &pack->index, err);
	if (!rc && memcmp(pack->index->ident.footer.b, pack->row.footer.b, sizeof(pack->row.footer.b)) != 0)
		rc = tk_err_set(err, TK_ECORRUPT, "it is not the pack that was stored");
	if (rc) {
		tk_hex_encode(pack->row.name.b, sizeof(pack->row.name.b), hex);
		return tk_err_context(err, rc, "pack %s", hex);
	}
	pack->numbers = malloc(((size_t)pack->index->name_count + 1) * sizeof(*pack->numbers));
	if (!pack->numbers)
		return tk_err_set(err, TK_ENOMEM, "no memory for a pack table");
	for (uint32_t i = 1; i <= pack->index->name_count; i++)
		pack->numbers[i] = UNRESOLVED;
	pack->numbers[0] = own_number;
	return TK_OK;
}

static enum tk_rc
follow(struct tk_vtrace *trace, struct tk_blob_ref ref, struct tk_err *err)
{
	struct trace_pack *pack = trace->packs[ref.pack];
	struct tk_blob_ref child;
	enum tk_rc rc = load_index(trace, pack, ref.pack, err);

	for (uint32_t i = rc ? 0 : pack->index->ref_start[ref.blob]; !rc && i < pack->index->ref_start[ref.blob + 1]; i++) {
		const struct tk_footer_ref *to = &pack->index->refs[i];

		if (to->pack_index > pack->index->name_count)
			return tk_err_set(err, TK_ECORRUPT, "a reference past the pack table");
		if (pack->numbers[to->pack_index] == UNRESOLVED)
			rc = number_of(trace, &pack->index->names[to->pack_index - 1], &pack->numbers[to->pack_index], err);
		child.pack = pack->numbers[to->pack_index];
		child.blob = to->blob;
		if (!rc)
			rc = visit(trace, child, err);
	}
	return rc;
}

static enum tk_rc
check_added(struct tk_vtrace *trace, const struct tk_point *point, struct tk_err *err)
{
	uint32_t number;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < point->pack_count && !rc; i++) {
		struct trace_pack *pack;

		rc = number_of(trace, &point->packs[i].name, &number, err);
		if (rc)
			return rc;
		pack = trace->packs[number];
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
	struct trace_pack *pack = trace->packs[root.pack];
	enum tk_rc rc = load_index(trace, pack, root.pack, err);
	enum tk_blob_type type = rc ? TK_BLOB_DATA : pack->index->blobs[root.blob].type;

	if (!rc && type != TK_BLOB_LEAF && type != TK_BLOB_NODE)
		rc = tk_err_set(err, TK_ECORRUPT, "the point's root is no page");
	return rc;
}

enum tk_rc
tk_vtrace_point(struct tk_vtrace *trace, const struct tk_point *point, bool *complete, struct tk_err *err)
{
	struct tk_blob_ref root = {.blob = point->root_blob};
	enum tk_rc rc = check_added(trace, point, err);

	if (!rc)
		rc = number_of(trace, &point->root_pack, &root.pack, err);
	if (!rc)
		rc = visit(trace, root, err);
	if (!rc && trace->packs[root.pack]->held && !trace->packs[root.pack]->missing)
		rc = check_root(trace, root, err);
	while (!rc && trace->todo_count > 0)
		rc = follow(trace, trace->todo[--trace->todo_count], err);
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
	for (size_t i = 0; i < trace->pack_count; i++)
		if (trace->packs[i]->missing)
			names->names[names->count++] = trace->packs[i]->row.name;
	return TK_OK;
}

enum tk_rc
tk_vtrace_store(struct tk_vtrace *trace, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < trace->pack_count && !rc; i++)
		if (trace->packs[i]->changed)
			rc = tk_vindex_put_marks(trace->vault->index, &trace->packs[i]->row.name, &trace->packs[i]->marks, err);
	return rc;
}
