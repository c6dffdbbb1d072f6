#include "engine/delta/signature.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/cursor.h"
#include "engine/delta/rsync_job.h"

struct tk_sigbuilder {
	struct tk_rsync_job job;
	struct tk_buf signature;
};

struct tk_signature {
	rs_signature_t *raw; /* owned */
};

static enum tk_rc
lengths_check(size_t block_bytes, size_t strong_bytes, enum tk_rc rc, struct tk_err *err)
{
	if (block_bytes < TK_SIGNATURE_BLOCK_MIN_BYTES || block_bytes > TK_SIGNATURE_BLOCK_MAX_BYTES)
		return tk_err_set(err, rc, "signature: a block length of %zu bytes is out of range", block_bytes);
	if (strong_bytes < TK_SIGNATURE_STRONG_MIN_BYTES || strong_bytes > TK_SIGNATURE_STRONG_MAX_BYTES)
		return tk_err_set(err, rc, "signature: a strong sum of %zu bytes is out of range", strong_bytes);
	return TK_OK;
}

static enum tk_rc
keep_output(void *ctx, const uint8_t *data, size_t len_bytes, bool *stop, struct tk_err *err)
{
	(void)stop;
	return tk_buf_put(ctx, data, len_bytes, err);
}

enum tk_rc
tk_sigbuilder_new(size_t block_bytes, size_t strong_bytes, struct tk_sigbuilder **out, struct tk_err *err)
{
	TK_AUTO(tk_sigbuilder_cleanup) struct tk_sigbuilder *builder = NULL;
	enum tk_rc rc = lengths_check(block_bytes, strong_bytes, TK_EINVAL, err);

	if (rc)
		return rc;
	builder = calloc(1, sizeof(*builder));
	if (!builder)
		return tk_err_set(err, TK_ENOMEM, "no memory for a signature");
	tk_buf_init(&builder->signature, 0);
	rc = tk_rsync_job_init(&builder->job, rs_sig_begin(block_bytes, strong_bytes, RS_RK_BLAKE2_SIG_MAGIC), keep_output,
		&builder->signature, err);
	if (rc)
		return rc;
	*out = builder;
	builder = NULL;
	return TK_OK;
}

enum tk_rc
tk_sigbuilder_feed(struct tk_sigbuilder *builder, const void *data, size_t len_bytes, struct tk_err *err)
{
	return len_bytes ? tk_rsync_job_feed(&builder->job, data, len_bytes, false, err) : TK_OK;
}

enum tk_rc
tk_sigbuilder_finish(struct tk_sigbuilder *builder, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc = tk_rsync_job_feed(&builder->job, NULL, 0, true, err);

	return rc ? rc : tk_buf_put(out, builder->signature.data, builder->signature.len_bytes, err);
}

void
tk_sigbuilder_free(struct tk_sigbuilder *builder)
{
	if (!builder)
		return;
	tk_rsync_job_release(&builder->job);
	tk_buf_release(&builder->signature);
	free(builder);
}

void
tk_sigbuilder_cleanup(struct tk_sigbuilder **builder)
{
	tk_sigbuilder_free(*builder);
	*builder = NULL;
}

enum tk_rc
tk_signature_build(const void *data, size_t len_bytes, size_t block_bytes, size_t strong_bytes, struct tk_buf *out,
	struct tk_err *err)
{
	TK_AUTO(tk_sigbuilder_cleanup) struct tk_sigbuilder *builder = NULL;
	enum tk_rc rc = tk_sigbuilder_new(block_bytes, strong_bytes, &builder, err);

	if (!rc)
		rc = tk_sigbuilder_feed(builder, data, len_bytes, err);
	return rc ? rc : tk_sigbuilder_finish(builder, out, err);
}

static uint32_t
take_u32_be(struct tk_cursor *cur)
{
	uint32_t value = tk_cursor_u32(cur);

	return value >> 24 | (value >> 8 & 0xff00) | (value << 8 & 0xff0000) | value << 24;
}

enum tk_rc
tk_signature_view_init(struct tk_signature_view *view, const void *data, size_t len_bytes, uint64_t covered_bytes,
	struct tk_err *err)
{
	struct tk_cursor cur;
	uint64_t blocks;
	uint32_t magic;
	enum tk_rc rc;

	tk_cursor_init(&cur, data, len_bytes);
	magic = take_u32_be(&cur);
	view->data = data;
	view->len_bytes = len_bytes;
	view->covered_bytes = covered_bytes;
	view->block_bytes = take_u32_be(&cur);
	view->strong_bytes = take_u32_be(&cur);
	rc = tk_cursor_check(&cur, "signature", err);
	if (rc)
		return rc;
	if (magic != RS_RK_BLAKE2_SIG_MAGIC)
		return tk_err_set(err, TK_EUNSUPPORTED, "signature: unknown kind %08x", (unsigned)magic);
	rc = lengths_check(view->block_bytes, view->strong_bytes, TK_ECORRUPT, err);
	if (rc)
		return rc;
	blocks = covered_bytes / view->block_bytes + (covered_bytes % view->block_bytes != 0);
	/* librsync counts blocks in an int. */
	if (blocks > INT32_MAX || tk_cursor_left(&cur) != blocks * (TK_SIGNATURE_WEAK_BYTES + view->strong_bytes))
		return tk_err_set(err, TK_ECORRUPT, "signature: %zu bytes do not fit %llu blocks", len_bytes,
			(unsigned long long)blocks);
	view->block_count = (size_t)blocks;
	return TK_OK;
}

const uint8_t *
tk_signature_entry(const struct tk_signature_view *view, size_t block)
{
	return view->data + TK_SIGNATURE_HEADER_BYTES + block * (TK_SIGNATURE_WEAK_BYTES + view->strong_bytes);
}

size_t
tk_signature_block_len(const struct tk_signature_view *view, size_t block)
{
	uint64_t left = view->covered_bytes - (uint64_t)block * view->block_bytes;

	return left < view->block_bytes ? (size_t)left : view->block_bytes;
}

enum tk_rc
tk_signature_load(const struct tk_signature_view *view, struct tk_signature **out, struct tk_err *err)
{
	TK_AUTO(tk_signature_cleanup) struct tk_signature *signature = NULL;
	struct tk_rsync_job job;
	enum tk_rc rc;

	if (view->block_count == 0)
		return tk_err_set(err, TK_EINVAL, "signature: nothing to search in");
	signature = calloc(1, sizeof(*signature));
	if (!signature)
		return tk_err_set(err, TK_ENOMEM, "no memory for a signature");
	rc = tk_rsync_job_init(&job, rs_loadsig_begin(&signature->raw), NULL, NULL, err);
	if (rc)
		return rc;
	rc = tk_rsync_job_feed(&job, view->data, view->len_bytes, true, err);
	tk_rsync_job_release(&job);
	if (!rc && rs_build_hash_table(signature->raw) != RS_DONE)
		rc = tk_err_set(err, TK_ENOMEM, "no memory for a signature's hash table");
	if (rc)
		return rc;
	*out = signature;
	signature = NULL;
	return TK_OK;
}

void
tk_signature_free(struct tk_signature *signature)
{
	if (!signature)
		return;
	if (signature->raw)
		rs_free_sumset(signature->raw);
	free(signature);
}

void
tk_signature_cleanup(struct tk_signature **signature)
{
	tk_signature_free(*signature);
	*signature = NULL;
}

struct rs_signature *
tk_signature_raw(struct tk_signature *signature)
{
	return signature->raw;
}
