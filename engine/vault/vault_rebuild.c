#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/vault/bitmap.h"
#include "engine/vault/vault_core.h"

/* Many rows a transaction: each commit costs an fsync. */
#define ROWS_PER_COMMIT 4096

struct rebuild {
	struct tk_vault *vault;
	struct tk_vindex_txn txn;
	size_t rows;
};

static enum tk_rc
pack_row(struct tk_vault *vault, const struct tk_pack_name *name, struct tk_pack_row *row, struct tk_err *err)
{
	TK_AUTO(tk_pack_index_cleanup) struct tk_pack_index *index = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf dropped = {0};
	enum tk_rc rc = tk_vpack_index(vault, name, &index, err);

	if (!rc)
		rc = tk_vdropped_get(vault, name, &dropped, err);
	if (rc)
		return rc;
	tk_vpack_row(index, row);
	if (dropped.len_bytes > 0)
		row->state = tk_bit_count(&dropped) >= row->blobs ? TK_PACK_GONE : TK_PACK_HOLED;
	return TK_OK;
}

static enum tk_rc
add_pack(void *ctx, const struct tk_pack_name *name, struct tk_err *err)
{
	struct rebuild *self = ctx;
	char hex[TK_VAULT_HEX_NAME];
	struct tk_pack_row row;
	struct tk_err why;
	enum tk_rc rc = pack_row(self->vault, name, &row, &why);

	if (rc == TK_ECORRUPT || rc == TK_EUNSUPPORTED || rc == TK_ENOENT) {
		/* Not indexed is not held: whoever needs it is asked to send it again. */
		tk_hex_encode(name->b, sizeof(name->b), hex);
		tk_log_event(self->vault->log, TK_LOG_ERROR, "pack-damaged", "pack=%s error=%s", hex, why.text);
		return TK_OK;
	}
	if (rc) {
		if (err)
			*err = why;
		return rc;
	}
	if (!self->txn.index)
		rc = tk_vindex_begin(self->vault->index, &self->txn, err);
	if (!rc)
		rc = tk_vindex_put_pack(self->vault->index, &row, err);
	if (!rc && ++self->rows % ROWS_PER_COMMIT == 0)
		rc = tk_vindex_commit(&self->txn, err);
	return rc;
}

enum tk_rc
tk_vault_rebuild(struct tk_vault *vault, struct tk_err *err)
{
	struct rebuild self = {.vault = vault};
	enum tk_rc rc;

	/* Names that a killed process left unsynced become rows here: so they are made durable first. */
	if (syncfs(vault->root_fd) < 0)
		return tk_err_errno(err, TK_EIO, "sync of the vault");
	rc = vault->driver->ops->list(vault->driver, add_pack, &self, err);
	if (!rc && self.txn.index)
		rc = tk_vindex_commit(&self.txn, err);
	tk_vindex_txn_cleanup(&self.txn);
	return rc;
}
