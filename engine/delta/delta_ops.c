#include "engine/delta/delta_ops.h"

#include <stdlib.h>
#include <string.h>

void
tk_delta_ops_init(struct tk_delta_ops *ops)
{
	memset(ops, 0, sizeof(*ops));
}

void
tk_delta_ops_release(struct tk_delta_ops *ops)
{
	free(ops->rows);
	tk_delta_ops_init(ops);
}

static enum tk_rc
ops_push(struct tk_delta_ops *ops, struct tk_delta_op op, struct tk_err *err)
{
	size_t cap = ops->cap ? ops->cap * 2 : 16;
	struct tk_delta_op *grown;

	if (ops->count == ops->cap) {
		grown = reallocarray(ops->rows, cap, sizeof(*grown));
		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for %zu delta operations", cap);
		ops->rows = grown;
		ops->cap = cap;
	}
	ops->rows[ops->count++] = op;
	return TK_OK;
}

enum tk_rc
tk_delta_ops_copy(struct tk_delta_ops *ops, uint64_t old_off_bytes, uint64_t len_bytes, struct tk_err *err)
{
	struct tk_delta_op *last = ops->count ? &ops->rows[ops->count - 1] : NULL;
	enum tk_rc rc = TK_OK;

	if (len_bytes == 0)
		return TK_OK;
	if (last && last->kind == TK_DELTA_COPY && last->old_off_bytes + last->len_bytes == old_off_bytes)
		last->len_bytes += len_bytes;
	else
		rc = ops_push(ops, (struct tk_delta_op){TK_DELTA_COPY, old_off_bytes, len_bytes}, err);
	if (!rc)
		ops->copy_bytes += len_bytes;
	return rc;
}

enum tk_rc
tk_delta_ops_literal(struct tk_delta_ops *ops, uint64_t len_bytes, struct tk_err *err)
{
	struct tk_delta_op *last = ops->count ? &ops->rows[ops->count - 1] : NULL;
	enum tk_rc rc = TK_OK;

	if (len_bytes == 0)
		return TK_OK;
	if (last && last->kind == TK_DELTA_LITERAL)
		last->len_bytes += len_bytes;
	else
		rc = ops_push(ops, (struct tk_delta_op){TK_DELTA_LITERAL, 0, len_bytes}, err);
	if (!rc)
		ops->literal_bytes += len_bytes;
	return rc;
}
