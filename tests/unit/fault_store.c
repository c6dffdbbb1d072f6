#include "tests/unit/unit.h"

#include "tests/unit/fault_store.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/vault/records.h"

struct fault_store {
	struct tk_store base;
	struct tk_store *inner;
	struct fault_plan *plan;
};

static struct fault_store *
self(struct tk_store *store)
{
	return (struct fault_store *)store;
}

static struct tk_store *
inner(struct tk_store *store)
{
	return self(store)->inner;
}

static enum tk_rc
fault(enum tk_rc rc, const char *what, struct tk_err *err)
{
	return rc ? tk_err_set(err, rc, "%s: as asked for", what) : TK_OK;
}

/* Called before the site is asked (late false) and after it answered. */
static enum tk_rc
breaks(struct fault_plan *plan, bool late, struct tk_err *err)
{
	unsigned call = late ? atomic_load(&plan->calls) : atomic_fetch_add(&plan->calls, 1) + 1;

	if (call != atomic_load(&plan->break_at) || late != atomic_load(&plan->break_late))
		return TK_OK;
	return tk_err_set(err, TK_EUNREACH, "the connection broke: as asked for");
}

static void
delay(unsigned ms)
{
	struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};

	if (ms)
		(void)nanosleep(&time, NULL);
}

static enum tk_rc
fs_state(struct tk_store *store, const struct tk_id *domain, const struct tk_buf *known, struct tk_store_state *out, struct tk_err *err)
{
	struct fault_plan *plan = self(store)->plan;
	unsigned after = atomic_load(&plan->behind_after);
	enum tk_rc rc = breaks(plan, false, err);

	if (rc || (rc = inner(store)->ops->state(inner(store), domain, known, out, err)) || (rc = breaks(plan, true, err)))
		return rc;
	out->read_only |= after > 0 && atomic_load(&plan->promises) >= after;
	return rc;
}

static enum tk_rc
fs_put_genesis(struct tk_store *store, const void *record, size_t len_bytes, struct tk_err *err)
{
	return inner(store)->ops->put_genesis(inner(store), record, len_bytes, err);
}

static enum tk_rc
fs_have(struct tk_store *store, const struct tk_pack_name *names, size_t count, bool *have, struct tk_err *err)
{
	return inner(store)->ops->have(inner(store), names, count, have, err);
}

static enum tk_rc
fs_put_pack(struct tk_store *store, const struct tk_pack_name *name, int fd, uint64_t len_bytes, struct tk_err *err)
{
	struct fault_plan *plan = self(store)->plan;
	unsigned before = atomic_fetch_add(&plan->puts, 1);
	enum tk_rc rc = before >= atomic_load(&plan->put_after) ? fault(atomic_load(&plan->put_rc), "put_pack", err) : TK_OK;

	delay(atomic_load(&plan->delay_ms));
	if (rc || (rc = breaks(plan, false, err)) || (rc = inner(store)->ops->put_pack(inner(store), name, fd, len_bytes, err)))
		return rc;
	return breaks(plan, true, err);
}

static enum tk_rc
fs_flush(struct tk_store *store, struct tk_err *err)
{
	struct fault_plan *plan = self(store)->plan;
	enum tk_rc rc = breaks(plan, false, err);

	if (rc || (rc = inner(store)->ops->flush(inner(store), err)))
		return rc;
	return breaks(plan, true, err);
}

static enum tk_rc
forge(struct tk_buf *receipt, struct tk_err *err)
{
	uint8_t seed[TK_KEY_BYTES];
	struct tk_receipt fields;
	enum tk_rc rc = tk_receipt_decode(receipt->data, receipt->len_bytes, &fields, err);

	if (rc)
		return rc;
	memset(seed, 0x5a, sizeof(seed));
	tk_buf_clear(receipt);
	return tk_receipt_seal(&fields, seed, receipt, err);
}

static enum tk_rc
fs_publish(struct tk_store *store, const void *record, size_t len_bytes, struct tk_buf *receipt, struct tk_pack_names *missing, struct tk_err *err)
{
	struct fault_plan *plan = self(store)->plan;
	enum tk_rc rc = fault(atomic_load(&plan->publish_rc), "publish", err);

	atomic_fetch_add(&plan->publishes, 1);
	delay(atomic_load(&plan->delay_ms));
	if (!rc && !(rc = breaks(plan, false, err)) && !(rc = inner(store)->ops->publish(inner(store), record, len_bytes, receipt, missing, err)))
		rc = breaks(plan, true, err);
	atomic_fetch_add(&plan->promises, rc == TK_OK);
	return !rc && atomic_load(&plan->forge) ? forge(receipt, err) : rc;
}

static enum tk_rc
fs_vote(struct tk_store *store, const void *grant, size_t len_bytes, struct tk_buf *vote, struct tk_err *err)
{
	enum tk_rc rc = inner(store)->ops->vote(inner(store), grant, len_bytes, vote, err);

	atomic_fetch_add(&self(store)->plan->promises, rc == TK_OK);
	return rc;
}

static enum tk_rc
fs_get_range(struct tk_store *store, const struct tk_pack_name *name, uint64_t offset_bytes, uint32_t len_bytes, struct tk_buf *out,
	     struct tk_err *err)
{
	struct fault_plan *plan = self(store)->plan;
	enum tk_rc rc = fault(atomic_load(&plan->get_rc), "get_range", err);
	unsigned now = atomic_fetch_add(&plan->getting, 1) + 1, most = atomic_load(&plan->most_getting);

	atomic_fetch_add(&plan->gets, 1);
	while (now > most && !atomic_compare_exchange_weak(&plan->most_getting, &most, now))
		continue;
	delay(atomic_load(&plan->get_delay_ms));
	atomic_fetch_sub(&plan->getting, 1);
	if (!rc)
		rc = inner(store)->ops->get_range(inner(store), name, offset_bytes, len_bytes, out, err);
	if (!rc && atomic_load(&plan->flip) && out->len_bytes)
		out->data[out->len_bytes / 2] ^= 4;
	return rc;
}

static enum tk_rc
fs_pack_size(struct tk_store *store, const struct tk_pack_name *name, uint64_t *len_bytes, struct tk_err *err)
{
	return inner(store)->ops->pack_size(inner(store), name, len_bytes, err);
}

static enum tk_rc
fs_list_points(struct tk_store *store, const struct tk_id *domain, struct tk_store_point **out, size_t *count, struct tk_err *err)
{
	return inner(store)->ops->list_points(inner(store), domain, out, count, err);
}

static enum tk_rc
fs_get_point(struct tk_store *store, const struct tk_id *domain, const struct tk_head *at, struct tk_buf *out, struct tk_err *err)
{
	return inner(store)->ops->get_point(inner(store), domain, at, out, err);
}

static enum tk_rc
fs_get_record(struct tk_store *store, const struct tk_id *domain, int kind, uint64_t epoch, struct tk_buf *out, struct tk_err *err)
{
	return inner(store)->ops->get_record(inner(store), domain, kind, epoch, out, err);
}

static enum tk_rc
fs_put_slot(struct tk_store *store, const void *slot, size_t len_bytes, const uint8_t *recovery_key, struct tk_err *err)
{
	return inner(store)->ops->put_slot(inner(store), slot, len_bytes, recovery_key, err);
}

static enum tk_rc
fs_drop_slot(struct tk_store *store, const struct tk_id *slot_id, struct tk_err *err)
{
	return inner(store)->ops->drop_slot(inner(store), slot_id, err);
}

static enum tk_rc
fs_get_slot(struct tk_store *store, const struct tk_id *source, unsigned index, struct tk_buf *out, struct tk_err *err)
{
	return inner(store)->ops->get_slot(inner(store), source, index, out, err);
}

static enum tk_rc
fs_put_config(struct tk_store *store, const void *record, size_t len_bytes, struct tk_err *err)
{
	return inner(store)->ops->put_config(inner(store), record, len_bytes, err);
}

static enum tk_rc
fs_get_config(struct tk_store *store, const struct tk_id *source, struct tk_buf *out, struct tk_err *err)
{
	return inner(store)->ops->get_config(inner(store), source, out, err);
}

static enum tk_rc
fs_check_pack(struct tk_store *store, const struct tk_pack_name *name, uint32_t **bad_blobs, size_t *bad_count, struct tk_err *err)
{
	return inner(store)->ops->check_pack(inner(store), name, bad_blobs, bad_count, err);
}

static void
fs_close(struct tk_store *store)
{
	tk_store_cleanup(&self(store)->inner);
	free(store);
}

static const struct tk_store_ops fault_ops = {
	.state = fs_state, .put_genesis = fs_put_genesis, .have = fs_have, .put_pack = fs_put_pack, .flush = fs_flush, .publish = fs_publish,
	.vote = fs_vote, .get_range = fs_get_range, .pack_size = fs_pack_size, .list_points = fs_list_points, .get_point = fs_get_point,
	.get_record = fs_get_record, .put_slot = fs_put_slot, .drop_slot = fs_drop_slot, .get_slot = fs_get_slot, .put_config = fs_put_config,
	.get_config = fs_get_config, .check_pack = fs_check_pack, .close = fs_close,
};

void
fault_store_wrap(struct fault_plan *plan, struct tk_store **store)
{
	struct fault_store *wrapped = calloc(1, sizeof(*wrapped));

	assert_non_null(wrapped);
	wrapped->base.ops = &fault_ops;
	wrapped->inner = *store;
	wrapped->plan = plan;
	*store = &wrapped->base;
}
