#include "engine/vault/vault_condemn.h"

#include <string.h>

#include "engine/base/hex.h"
#include "engine/vault/bitmap.h"
#include "engine/vault/counts.h"

enum tk_rc
tk_vcondemn_init(struct tk_vcondemn *self, struct tk_vault *vault, const struct tk_id *domain, struct tk_err *err)
{
	self->blobs = self->sealed_bytes = 0;
	return tk_vwalk_init(&self->walk, vault, domain, err);
}

void
tk_vcondemn_release(struct tk_vcondemn *self)
{
	tk_vwalk_release(&self->walk);
}

static enum tk_rc
condemn(struct tk_vcondemn *self, struct tk_vwalk_pack *pack, uint32_t blob, struct tk_err *err)
{
	enum tk_rc rc = tk_bit_set(&pack->marks.condemned, blob, err);

	pack->changed = pack->emptied = true;
	self->blobs++;
	if (pack->index)
		self->sealed_bytes += pack->index->blobs[blob].sealed_bytes;
	return rc;
}

static enum tk_rc
wrong_count(const struct tk_vwalk_pack *pack, uint32_t blob, struct tk_err *err)
{
	char hex[TK_VAULT_HEX_NAME];

	tk_hex_encode(pack->row.name.b, sizeof(pack->row.name.b), hex);
	return tk_err_set(err, TK_ECORRUPT, "index.db does not know who needs blob %u of pack %s: remove it while the vault is closed, and it is made anew", blob, hex);
}

/* One refers to the blob no more. */
static enum tk_rc
lose(struct tk_vwalk *walk, struct tk_blob_ref ref, struct tk_err *err)
{
	struct tk_vwalk_pack *pack = walk->packs[ref.pack];
	uint32_t left;
	enum tk_rc rc;

	if (!tk_count_take(&pack->marks.counts, ref.blob, &left))
		return wrong_count(pack, ref.blob, err);
	pack->changed = true;
	if (left > 0)
		return TK_OK;
	/* Read before it is condemned, so that its length is known. */
	rc = tk_vwalk_index(walk, ref.pack, err);
	if (!rc)
		rc = condemn((struct tk_vcondemn *)walk, pack, ref.blob, err);
	return rc ? rc : tk_vwalk_push(walk, ref, err);
}

enum tk_rc
tk_vcondemn_whole(struct tk_vcondemn *self, const struct tk_point_row *row, struct tk_err *err)
{
	struct tk_blob_ref root = {.blob = row->root_blob};
	enum tk_rc rc = tk_vwalk_number(&self->walk, &row->root_pack, &root.pack, err);

	if (!rc)
		rc = lose(&self->walk, root, err);
	return rc ? rc : tk_vwalk_run(&self->walk, lose, err);
}

/* Goes on below what was dropped: what it referred to may be here still. Nothing of it is counted, so that the marks do not tell what was met. */
static enum tk_rc
leave(struct tk_vwalk *walk, struct tk_blob_ref ref, struct tk_err *err)
{
	struct tk_vwalk_pack *pack = walk->packs[ref.pack];
	enum tk_rc rc;

	if (!pack->held || ref.blob >= pack->row.blobs || tk_vwalk_is_live(&pack->marks, ref.blob) || tk_bit_get(&pack->seen, ref.blob))
		return TK_OK;
	rc = tk_bit_set(&pack->seen, ref.blob, err);
	pack->emptied = true;
	/* Without an index there is nothing to follow, and its length is not known. */
	if (!rc && (rc = tk_vwalk_index(walk, ref.pack, err)) && (rc == TK_ENOMEM || rc == TK_EIO))
		return rc;
	if (!tk_bit_get(&pack->dropped, ref.blob) && !tk_bit_get(&pack->marks.condemned, ref.blob)) {
		if ((rc = tk_bit_set(&pack->marks.traced, ref.blob, err)) || (rc = condemn((struct tk_vcondemn *)walk, pack, ref.blob, err)))
			return rc;
	}
	return pack->index ? tk_vwalk_push(walk, ref, err) : TK_OK;
}

enum tk_rc
tk_vcondemn_uncounted(struct tk_vcondemn *self, const struct tk_point_row *row, struct tk_err *err)
{
	struct tk_blob_ref root = {.blob = row->root_blob};
	enum tk_rc rc = tk_vwalk_number(&self->walk, &row->root_pack, &root.pack, err);

	if (!rc)
		rc = leave(&self->walk, root, err);
	return rc ? rc : tk_vwalk_run(&self->walk, leave, err);
}

static bool
has_live(const struct tk_vwalk_pack *pack)
{
	for (uint32_t i = 0; i < pack->row.blobs; i++)
		if (tk_vwalk_is_live(&pack->marks, i))
			return true;
	return false;
}

enum tk_rc
tk_vcondemn_rest(struct tk_vcondemn *self, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < self->walk.pack_count && !rc; i++) {
		struct tk_vwalk_pack *pack = self->walk.packs[i];

		if (!pack->emptied || has_live(pack))
			continue;
		for (uint32_t k = 0; k < pack->row.blobs && !rc; k++)
			if (!tk_bit_get(&pack->marks.condemned, k) && !tk_bit_get(&pack->dropped, k))
				rc = condemn(self, pack, k, err);
	}
	return rc;
}
