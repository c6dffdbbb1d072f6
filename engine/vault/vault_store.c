#include "engine/vault/vault_store.h"

#include <stdlib.h>

struct vault_store {
	struct tk_store base;
	struct tk_vault *vault;
	bool owns_vault;
};

static struct tk_vault *
vault_of(struct tk_store *store)
{
	return ((struct vault_store *)store)->vault;
}

static enum tk_rc
vs_state(struct tk_store *store, const struct tk_id *domain, const struct tk_buf *known, struct tk_store_state *out, struct tk_err *err)
{
	return tk_vault_state(vault_of(store), domain, known, out, err);
}

static enum tk_rc
vs_put_genesis(struct tk_store *store, const void *record, size_t len_bytes, struct tk_err *err)
{
	return tk_vault_put_genesis(vault_of(store), record, len_bytes, err);
}

static enum tk_rc
vs_have(struct tk_store *store, const struct tk_pack_name *names, size_t count, bool *have, struct tk_err *err)
{
	return tk_vault_have(vault_of(store), names, count, have, err);
}

static enum tk_rc
vs_put_pack(struct tk_store *store, const struct tk_pack_name *name, int fd, uint64_t len_bytes, struct tk_err *err)
{
	TK_AUTO(tk_vault_pack_cleanup) struct tk_vault_pack *pack = NULL;
	struct tk_vault *vault = vault_of(store);
	bool have = false;
	enum tk_rc rc = tk_vault_have(vault, name, 1, &have, err);

	if (rc || have)
		return rc;
	rc = tk_vault_pack_take(vault, name, fd, len_bytes, &pack, err);
	return rc ? rc : tk_vault_pack_commit(pack, err);
}

static enum tk_rc
vs_flush(struct tk_store *store, struct tk_err *err)
{
	return tk_vault_flush(vault_of(store), err);
}

static enum tk_rc
vs_publish(struct tk_store *store, const void *record, size_t len_bytes, struct tk_buf *receipt, struct tk_pack_names *missing, struct tk_err *err)
{
	return tk_vault_publish(vault_of(store), record, len_bytes, receipt, missing, err);
}

static enum tk_rc
vs_vote(struct tk_store *store, const void *grant, size_t len_bytes, struct tk_buf *vote, struct tk_err *err)
{
	return tk_vault_vote(vault_of(store), grant, len_bytes, vote, err);
}

static enum tk_rc
vs_get_range(struct tk_store *store, const struct tk_pack_name *name, uint64_t offset_bytes, uint32_t len_bytes, struct tk_buf *out,
	     struct tk_err *err)
{
	return tk_vault_get_range(vault_of(store), name, offset_bytes, len_bytes, out, err);
}

static enum tk_rc
vs_pack_size(struct tk_store *store, const struct tk_pack_name *name, uint64_t *len_bytes, struct tk_err *err)
{
	return tk_vault_pack_size(vault_of(store), name, len_bytes, err);
}

static enum tk_rc
vs_list_points(struct tk_store *store, const struct tk_id *domain, struct tk_store_point **out, size_t *count, struct tk_err *err)
{
	return tk_vault_list_points(vault_of(store), domain, out, count, err);
}

static enum tk_rc
vs_get_point(struct tk_store *store, const struct tk_id *domain, const struct tk_head *at, struct tk_buf *out, struct tk_err *err)
{
	return tk_vault_get_point(vault_of(store), domain, at, out, err);
}

static enum tk_rc
vs_get_record(struct tk_store *store, const struct tk_id *domain, int kind, uint64_t epoch, struct tk_buf *out, struct tk_err *err)
{
	return tk_vault_get_record(vault_of(store), domain, kind, epoch, out, err);
}

static enum tk_rc
vs_put_slot(struct tk_store *store, const void *slot, size_t len_bytes, const uint8_t *recovery_key, struct tk_err *err)
{
	return tk_vault_put_slot(vault_of(store), slot, len_bytes, recovery_key, err);
}

static enum tk_rc
vs_drop_slot(struct tk_store *store, const struct tk_id *slot_id, struct tk_err *err)
{
	return tk_vault_drop_slot(vault_of(store), slot_id, err);
}

static enum tk_rc
vs_get_slot(struct tk_store *store, const struct tk_id *source, unsigned index, struct tk_buf *out, struct tk_err *err)
{
	return tk_vault_get_slot(vault_of(store), source, index, out, err);
}

static enum tk_rc
vs_put_config(struct tk_store *store, const void *record, size_t len_bytes, struct tk_err *err)
{
	return tk_vault_put_config(vault_of(store), record, len_bytes, err);
}

static enum tk_rc
vs_get_config(struct tk_store *store, const struct tk_id *source, struct tk_buf *out, struct tk_err *err)
{
	return tk_vault_get_config(vault_of(store), source, out, err);
}

static enum tk_rc
vs_check_pack(struct tk_store *store, const struct tk_pack_name *name, uint32_t **bad_blobs, size_t *bad_count, struct tk_err *err)
{
	return tk_vault_check_pack(vault_of(store), name, bad_blobs, bad_count, err);
}

static void
vs_close(struct tk_store *store)
{
	struct vault_store *self = (struct vault_store *)store;

	if (self->owns_vault)
		tk_vault_close(self->vault);
	free(self);
}

static const struct tk_store_ops vault_store_ops = {
	.state = vs_state,
	.put_genesis = vs_put_genesis,
	.have = vs_have,
	.put_pack = vs_put_pack,
	.flush = vs_flush,
	.publish = vs_publish,
	.vote = vs_vote,
	.get_range = vs_get_range,
	.pack_size = vs_pack_size,
	.list_points = vs_list_points,
	.get_point = vs_get_point,
	.get_record = vs_get_record,
	.put_slot = vs_put_slot,
	.drop_slot = vs_drop_slot,
	.get_slot = vs_get_slot,
	.put_config = vs_put_config,
	.get_config = vs_get_config,
	.check_pack = vs_check_pack,
	.close = vs_close,
};

static enum tk_rc
session_new(struct tk_vault *vault, bool owns_vault, struct tk_store **out, struct tk_err *err)
{
	struct vault_store *self = calloc(1, sizeof(*self));

	if (!self)
		return tk_err_set(err, TK_ENOMEM, "no memory for a session");
	self->base.ops = &vault_store_ops;
	self->vault = vault;
	self->owns_vault = owns_vault;
	*out = &self->base;
	return TK_OK;
}

enum tk_rc
tk_vault_store_new(struct tk_vault *vault, struct tk_store **out, struct tk_err *err)
{
	return session_new(vault, false, out, err);
}

enum tk_rc
tk_vault_store_open(const char *path, enum tk_vault_mode mode, const struct tk_log *log, struct tk_store **out, struct tk_err *err)
{
	TK_AUTO(tk_vault_cleanup) struct tk_vault *vault = NULL;
	enum tk_rc rc = tk_vault_open(path, mode, log, &vault, err);

	if (!rc)
		rc = session_new(vault, true, out, err);
	if (!rc)
		vault = NULL;
	return rc;
}
