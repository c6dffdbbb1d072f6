#include "engine/delta/refine.h"

#include <stdlib.h>
#include <string.h>

#include "engine/delta/rollsum.h"

#define WINDOW_BYTES 32u
#define STRIDE_BYTES 16u
#define HEADS_MIN_BITS 6u
#define PROBES_MAX 8u

/* A part of the gap: new bytes, and the old ones that they are compared with. */
struct part {
	const uint8_t *old;
	size_t old_bytes;
	uint64_t old_off_bytes;
	const uint8_t *fresh;
	size_t fresh_bytes;
};

void
tk_refine_release(struct tk_refine *refine)
{
	free(refine->heads);
	*refine = (struct tk_refine){NULL, 0};
}

/* The head of a window with these bytes, or the free one where it belongs; NULL: neither is near. */
static uint32_t *
head_of(const struct tk_refine *refine, unsigned bits, const struct part *part, struct tk_rollsum sum, const uint8_t *window)
{
	size_t mask = ((size_t)1 << bits) - 1, slot = tk_rollsum_value(sum) * UINT32_C(0xe6546b65) >> (32 - bits);

	for (unsigned i = 0; i < PROBES_MAX; i++, slot = (slot + 1) & mask) {
		uint32_t *head = &refine->heads[slot];

		if (*head == 0 || memcmp(part->old + *head - 1, window, WINDOW_BYTES) == 0)
			return head;
	}
	return NULL;
}

/* Of windows with the same bytes the first is kept. */
static enum tk_rc
index_old(struct tk_refine *refine, const struct part *part, unsigned *bits, struct tk_err *err)
{
	size_t need;

	*bits = HEADS_MIN_BITS;
	while (*bits < 31 && (size_t)1 << *bits < 2 * (part->old_bytes / STRIDE_BYTES))
		(*bits)++;
	need = (size_t)1 << *bits;
	if (need > refine->heads_cap) {
		tk_refine_release(refine);
		refine->heads = malloc(need * sizeof(*refine->heads));
		if (!refine->heads)
			return tk_err_set(err, TK_ENOMEM, "no memory for an index of %zu bytes", part->old_bytes);
		refine->heads_cap = need;
	}
	memset(refine->heads, 0, need * sizeof(*refine->heads));
	for (size_t at = 0; at + WINDOW_BYTES <= part->old_bytes; at += STRIDE_BYTES) {
		const uint8_t *window = part->old + at;
		uint32_t *head = head_of(refine, *bits, part, tk_rollsum_of(window, WINDOW_BYTES), window);

		if (head && *head == 0)
			*head = (uint32_t)at + 1;
	}
	return TK_OK;
}

/* A window that is in both, made as long as it goes: not back over what is decided. */
struct match {
	size_t fresh_at, old_at, len_bytes;
};

static struct match
extend(const struct part *part, size_t decided, size_t fresh_at, size_t old_at)
{
	struct match match = {fresh_at, old_at, WINDOW_BYTES};

	while (match.fresh_at > decided && match.old_at > 0 && part->fresh[match.fresh_at - 1] == part->old[match.old_at - 1]) {
		match.fresh_at--;
		match.old_at--;
		match.len_bytes++;
	}
	while (match.fresh_at + match.len_bytes < part->fresh_bytes && match.old_at + match.len_bytes < part->old_bytes &&
	       part->fresh[match.fresh_at + match.len_bytes] == part->old[match.old_at + match.len_bytes])
		match.len_bytes++;
	return match;
}

/* *matches: how many there are. */
static enum tk_rc
search(struct tk_refine *refine, const struct part *part, struct tk_delta_ops *ops, size_t *matches, struct tk_err *err)
{
	size_t at = 0, decided = 0;
	struct tk_rollsum sum;
	unsigned bits;
	enum tk_rc rc = TK_OK;

	*matches = 0;
	if (part->old_bytes < WINDOW_BYTES || part->fresh_bytes < WINDOW_BYTES)
		return tk_delta_ops_literal(ops, part->fresh_bytes, err);
	if ((rc = index_old(refine, part, &bits, err)))
		return rc;
	sum = tk_rollsum_of(part->fresh, WINDOW_BYTES);
	while (!rc) {
		const uint32_t *head = head_of(refine, bits, part, sum, part->fresh + at);

		if (head && *head != 0) {
			struct match match = extend(part, decided, at, *head - 1);

			if (!(rc = tk_delta_ops_literal(ops, match.fresh_at - decided, err)))
				rc = tk_delta_ops_copy(ops, part->old_off_bytes + match.old_at, match.len_bytes, err);
			(*matches)++;
			at = decided = match.fresh_at + match.len_bytes;
			if (at + WINDOW_BYTES > part->fresh_bytes)
				break;
			sum = tk_rollsum_of(part->fresh + at, WINDOW_BYTES);
			continue;
		}
		if (at + WINDOW_BYTES == part->fresh_bytes)
			break;
		tk_rollsum_roll(&sum, WINDOW_BYTES, part->fresh[at], part->fresh[at + WINDOW_BYTES]);
		at++;
	}
	return rc ? rc : tk_delta_ops_literal(ops, part->fresh_bytes - decided, err);
}

static enum tk_rc
append(struct tk_delta_ops *ops, const struct tk_delta_ops *more, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < more->count && !rc; i++) {
		const struct tk_delta_op *op = &more->rows[i];

		rc = op->kind == TK_DELTA_COPY ? tk_delta_ops_copy(ops, op->old_off_bytes, op->len_bytes, err) :
						 tk_delta_ops_literal(ops, op->len_bytes, err);
	}
	return rc;
}

static enum tk_rc
refine_middle(struct tk_refine *refine, const struct part *part, struct tk_delta_ops *ops, struct tk_err *err)
{
	TK_AUTO(tk_delta_ops_release) struct tk_delta_ops found = {0};
	size_t matches;
	enum tk_rc rc = search(refine, part, &found, &matches, err);

	if (rc)
		return rc;
	if (matches > 1 && matches * TK_REFINE_PIECE_BYTES > part->fresh_bytes)
		return tk_delta_ops_literal(ops, part->fresh_bytes, err);
	return append(ops, &found, err);
}

static size_t
common_start(const struct part *part)
{
	size_t most = part->old_bytes < part->fresh_bytes ? part->old_bytes : part->fresh_bytes, len = 0;

	while (len < most && part->old[len] == part->fresh[len])
		len++;
	return len;
}

static size_t
common_end(const struct part *part)
{
	size_t most = part->old_bytes < part->fresh_bytes ? part->old_bytes : part->fresh_bytes, len = 0;

	while (len < most && part->old[part->old_bytes - 1 - len] == part->fresh[part->fresh_bytes - 1 - len])
		len++;
	return len;
}

enum tk_rc
tk_refine_run(struct tk_refine *refine, const struct tk_refine_gap *gap, struct tk_delta_ops *ops, struct tk_err *err)
{
	struct part part = {gap->old, gap->old_bytes, gap->old_off_bytes, gap->fresh, gap->fresh_bytes};
	size_t before = gap->begins ? common_start(&part) : 0, after;
	enum tk_rc rc = tk_delta_ops_copy(ops, part.old_off_bytes, before, err);

	part.old += before;
	part.old_off_bytes += before;
	part.old_bytes -= before;
	part.fresh += before;
	part.fresh_bytes -= before;
	after = gap->ends ? common_end(&part) : 0;
	part.old_bytes -= after;
	part.fresh_bytes -= after;
	if (!rc)
		rc = refine_middle(refine, &part, ops, err);
	return rc ? rc : tk_delta_ops_copy(ops, part.old_off_bytes + part.old_bytes, after, err);
}
