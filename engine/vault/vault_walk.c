#include "engine/vault/vault_walk.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/vault/bitmap.h"

#define UNRESOLVED UINT32_MAX

enum tk_rc
tk_vwalk_init(struct tk_vwalk *walk, struct tk_vault *vault, const struct tk_id *domain, struct tk_err *err)
{
	*walk = (struct tk_vwalk){.vault = vault, .domain = *domain};
	return tk_packtab_new(&walk->names, err);
}

static void
pack_free(struct tk_vwalk_pack *pack)
{
	tk_pack_marks_release(&pack->marks);
	tk_buf_release(&pack->dropped);
	tk_buf_release(&pack->seen);
	tk_pack_index_cleanup(&pack->index);
	free(pack->numbers);
	free(pack);
}

void
tk_vwalk_release(struct tk_vwalk *walk)
{
	for (size_t i = 0; i < walk->pack_count; i++)
		pack_free(walk->packs[i]);
	free(walk->packs);
	free(walk->todo);
	tk_packtab_cleanup(&walk->names);
}

static enum tk_rc
load_pack(struct tk_vwalk *walk, const struct tk_pack_name *name, struct tk_vwalk_pack *pack, struct tk_err *err)
{
	enum tk_rc rc = tk_vindex_pack(walk->vault->index, name, &pack->row, &pack->marks, err);

	if (rc == TK_ENOENT) {
		pack->row.name = *name;
		return TK_OK;
	}
	if (rc)
		return rc;
	/* Domains do not share packs: else one source could keep another's from expiring, and two publishers would write the same marks. */
	if (memcmp(pack->row.domain.b, walk->domain.b, sizeof(walk->domain.b)) != 0)
		return tk_err_set(err, TK_EDENIED, "the point refers to a pack of another domain");
	pack->held = true;
	return pack->row.state == TK_PACK_WHOLE ? TK_OK : tk_vdropped_get(walk->vault, name, &pack->dropped, err);
}

static enum tk_rc
grow_packs(struct tk_vwalk *walk, struct tk_err *err)
{
	size_t cap = walk->pack_cap ? walk->pack_cap * 2 : 64;
	struct tk_vwalk_pack **grown;

	if (walk->pack_count < walk->pack_cap)
		return TK_OK;
	grown = realloc(walk->packs, cap * sizeof(struct tk_vwalk_pack *));
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu packs of a trace", cap);
	walk->packs = grown;
	walk->pack_cap = cap;
	return TK_OK;
}

/* Numbers come in the order of first sight, so that a new one is the next place in `packs`. */
enum tk_rc
tk_vwalk_number(struct tk_vwalk *walk, const struct tk_pack_name *name, uint32_t *number, struct tk_err *err)
{
	struct tk_vwalk_pack *pack;
	enum tk_rc rc = grow_packs(walk, err);

	if (!rc)
		rc = tk_packtab_intern(walk->names, name, number, err);
	if (rc || *number < walk->pack_count)
		return rc;
	pack = calloc(1, sizeof(*pack));
	if (!pack)
		return tk_err_set(err, TK_ENOMEM, "no memory for a pack of a trace");
	walk->packs[walk->pack_count++] = pack;
	return load_pack(walk, name, pack, err);
}

enum tk_rc
tk_vwalk_push(struct tk_vwalk *walk, struct tk_blob_ref ref, struct tk_err *err)
{
	size_t cap = walk->todo_cap ? walk->todo_cap * 2 : 256;
	struct tk_blob_ref *grown;

	if (walk->todo_count == walk->todo_cap) {
		grown = realloc(walk->todo, cap * sizeof(*grown));
		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for %zu references", cap);
		walk->todo = grown;
		walk->todo_cap = cap;
	}
	walk->todo[walk->todo_count++] = ref;
	return TK_OK;
}

enum tk_rc
tk_vwalk_index(struct tk_vwalk *walk, uint32_t number, struct tk_err *err)
{
	struct tk_vwalk_pack *pack = walk->packs[number];
	char hex[TK_VAULT_HEX_NAME];
	enum tk_rc rc;

	if (pack->index)
		return TK_OK;
	rc = tk_vpack_index(walk->vault, &pack->row.name, &pack->index, err);
	if (!rc && memcmp(pack->index->ident.footer.b, pack->row.footer.b, sizeof(pack->row.footer.b)) != 0) {
		tk_pack_index_cleanup(&pack->index);
		rc = tk_err_set(err, TK_ECORRUPT, "it is not the pack that was stored");
	}
	if (rc) {
		tk_hex_encode(pack->row.name.b, sizeof(pack->row.name.b), hex);
		return tk_err_context(err, rc, "pack %s", hex);
	}
	pack->numbers = malloc(((size_t)pack->index->name_count + 1) * sizeof(*pack->numbers));
	if (!pack->numbers)
		return tk_err_set(err, TK_ENOMEM, "no memory for a pack table");
	for (uint32_t i = 1; i <= pack->index->name_count; i++)
		pack->numbers[i] = UNRESOLVED;
	pack->numbers[0] = number;
	walk->indexes_read++;
	return TK_OK;
}

enum tk_rc
tk_vwalk_follow(struct tk_vwalk *walk, struct tk_blob_ref ref, tk_vwalk_visit visit, struct tk_err *err)
{
	struct tk_vwalk_pack *pack = walk->packs[ref.pack];
	struct tk_blob_ref child;
	enum tk_rc rc = tk_vwalk_index(walk, ref.pack, err);

	for (uint32_t i = rc ? 0 : pack->index->ref_start[ref.blob]; !rc && i < pack->index->ref_start[ref.blob + 1]; i++) {
		const struct tk_footer_ref *to = &pack->index->refs[i];

		if (to->pack_index > pack->index->name_count)
			return tk_err_set(err, TK_ECORRUPT, "a reference past the pack table");
		if (pack->numbers[to->pack_index] == UNRESOLVED)
			rc = tk_vwalk_number(walk, &pack->index->names[to->pack_index - 1], &pack->numbers[to->pack_index], err);
		child.pack = pack->numbers[to->pack_index];
		child.blob = to->blob;
		walk->refs_followed++;
		if (!rc)
			rc = visit(walk, child, err);
	}
	return rc;
}

enum tk_rc
tk_vwalk_run(struct tk_vwalk *walk, tk_vwalk_visit visit, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	while (!rc && walk->todo_count > 0)
		rc = tk_vwalk_follow(walk, walk->todo[--walk->todo_count], visit, err);
	return rc;
}

bool
tk_vwalk_is_live(const struct tk_pack_marks *marks, uint32_t blob)
{
	return tk_bit_get(&marks->traced, blob) && !tk_bit_get(&marks->condemned, blob);
}

enum tk_rc
tk_vwalk_store(struct tk_vwalk *walk, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < walk->pack_count && !rc; i++)
		if (walk->packs[i]->changed)
			rc = tk_vindex_put_marks(walk->vault->index, &walk->packs[i]->row.name, &walk->packs[i]->marks, err);
	return rc;
}
