#include "engine/delta/predict.h"

#include <string.h>

#include "engine/delta/rollsum.h"

#define PIECE_MIN_BYTES (16u * 1024)
#define PIECE_MAX_BYTES (256u * 1024)
#define KEEP_BYTES (512u * 1024)
#define NOWHERE UINT64_MAX
/* Sums that agree where tags do not: one in so many bytes is normal, more means data whose sums tell little. */
#define FALSE_HIT_SHARE 64u

/* An old block, as it would lie in the new file. */
struct candidate {
	uint64_t at_bytes;     /* its place in the new file under the shift */
	uint64_t old_bytes;    /* its place in the old file */
	size_t len_bytes;
	size_t index;          /* in its segment's facts */
};

uint64_t
tk_predict_block_number(const struct tk_predict_past *past, size_t segment)
{
	return (uint64_t)segment * ((past->segment_bytes + past->block_bytes - 1) / past->block_bytes);
}

void
tk_predict_begin(struct tk_predict *predict, const struct tk_predict_past *past, struct tk_tagger *tagger, struct tk_facts_draft *draft, uint64_t start_bytes,
		 uint64_t end_bytes, int64_t shift_bytes)
{
	memset(predict, 0, sizeof(*predict));
	predict->past = past;
	predict->tagger = tagger;
	predict->draft = draft;
	predict->start_bytes = predict->at_bytes = predict->front_bytes = start_bytes;
	predict->end_bytes = end_bytes;
	predict->shifts[0] = shift_bytes;
	predict->piece_bytes = past->piece_min_bytes ? past->piece_min_bytes : PIECE_MIN_BYTES;
}

void
tk_predict_give_up(struct tk_predict *predict)
{
	predict->given_up = true;
}

static uint64_t
piece_max(const struct tk_predict *predict)
{
	return predict->past->piece_max_bytes ? predict->past->piece_max_bytes : PIECE_MAX_BYTES;
}

static uint64_t
gap_max(const struct tk_predict *predict)
{
	return predict->past->keep_bytes ? predict->past->keep_bytes : KEEP_BYTES;
}

uint64_t
tk_predict_slack_bytes(const struct tk_predict *predict)
{
	return predict->past->block_bytes;
}

uint64_t
tk_predict_keep_from(const struct tk_predict *predict)
{
	uint64_t slack = tk_predict_slack_bytes(predict);

	return predict->at_bytes > slack ? predict->at_bytes - slack : 0;
}

uint64_t
tk_predict_window_bytes(const struct tk_predict *predict)
{
	return gap_max(predict) + piece_max(predict) + 3 * tk_predict_slack_bytes(predict);
}

/* ---- old blocks ---- */

static enum tk_rc
old_facts(struct tk_predict *predict, size_t segment, const struct tk_facts **out, struct tk_err *err)
{
	enum tk_rc rc;

	if (!predict->old_known || predict->old_segment != segment) {
		predict->old_known = false;
		predict->old = NULL;
		if ((rc = predict->past->facts(predict->past->ctx, segment, &predict->old, err)))
			return rc;
		if (predict->old && predict->old->block_bytes != predict->past->block_bytes)
			predict->old = NULL;
		predict->old_known = true;
		predict->old_segment = segment;
	}
	*out = predict->old;
	return TK_OK;
}

struct tk_predict_block
tk_predict_block_at(const struct tk_predict_past *past, uint64_t old_bytes)
{
	uint64_t within = old_bytes % past->segment_bytes;
	uint64_t segment_left = past->segment_bytes - (within - within % past->block_bytes);
	struct tk_predict_block block = {old_bytes - within % past->block_bytes, past->block_bytes, (size_t)(within / past->block_bytes)};
	uint64_t file_left = past->len_bytes - block.old_bytes;

	if (segment_left < block.len_bytes)
		block.len_bytes = (size_t)segment_left;
	if (file_left < block.len_bytes)
		block.len_bytes = (size_t)file_left;
	return block;
}

/* The old block that holds the byte at old_bytes, under a shift. */
static bool
block_holding(const struct tk_predict *predict, uint64_t old_bytes, int64_t shift, struct candidate *out)
{
	struct tk_predict_block block;

	if (old_bytes >= predict->past->len_bytes)
		return false;
	block = tk_predict_block_at(predict->past, old_bytes);
	*out = (struct candidate){block.old_bytes + (uint64_t)shift, block.old_bytes, block.len_bytes, block.index};
	/* It would begin before the new file does. */
	return shift >= 0 || out->old_bytes >= (uint64_t)-shift;
}

/* The first place from at_bytes on where, under the shift, an old block begins; NOWHERE: none. */
static uint64_t
next_block(const struct tk_predict *predict, uint64_t at_bytes, int64_t shift, struct candidate *out)
{
	uint64_t old = at_bytes - (uint64_t)shift;

	if (shift > 0 && at_bytes < (uint64_t)shift)
		old = 0;
	if (!block_holding(predict, old, shift, out)) {
		if (old >= predict->past->len_bytes)
			return NOWHERE;
	} else if (out->at_bytes >= at_bytes) {
		return out->at_bytes;
	}
	return block_holding(predict, out->old_bytes + out->len_bytes, shift, out) ? out->at_bytes : NOWHERE;
}

/* The block of the new segment's own grid that is exactly the candidate's place, or SIZE_MAX. */
static size_t
own_block(const struct tk_predict *predict, const struct candidate *candidate)
{
	const struct tk_facts *own = &predict->draft->facts;
	uint64_t within = candidate->at_bytes - predict->start_bytes;
	size_t index = (size_t)(within / own->block_bytes);

	if (candidate->at_bytes < predict->start_bytes || within % own->block_bytes != 0 || index >= own->block_count)
		return SIZE_MAX;
	return tk_facts_block_len(own, index) == candidate->len_bytes ? index : SIZE_MAX;
}

/* Is the old block there, byte for byte? */
static enum tk_rc
matches(struct tk_predict *predict, const struct candidate *candidate, bool *yes, struct tk_err *err)
{
	const uint8_t *data = predict->window + (size_t)(candidate->at_bytes - predict->window_bytes);
	uint8_t computed[TK_TAG_BYTES];
	const uint8_t *tag = computed;
	const struct tk_facts *facts;
	size_t own;
	enum tk_rc rc;

	*yes = false;
	if (candidate->at_bytes < predict->window_bytes || candidate->at_bytes + candidate->len_bytes > predict->window_end_bytes)
		return TK_OK;
	if ((rc = old_facts(predict, (size_t)(candidate->old_bytes / predict->past->segment_bytes), &facts, err)) || !facts)
		return rc;
	own = own_block(predict, candidate);
	rc = own == SIZE_MAX ? tk_tag(predict->tagger, data, candidate->len_bytes, computed, err) :
			       tk_facts_draft_tag(predict->draft, predict->tagger, own, data, &tag, err);
	if (rc)
		return rc;
	*yes = memcmp(tag, tk_facts_tag(facts, candidate->index), TK_TAG_BYTES) == 0;
	if (*yes && own != SIZE_MAX)
		tk_facts_draft_carry(predict->draft, own, tk_facts_sum(facts, candidate->index));
	return TK_OK;
}

/* ---- deciding ---- */

static void
take_shift(struct tk_predict *predict, int64_t shift)
{
	if (predict->shifts[0] == shift)
		return;
	predict->shifts[1] = predict->shifts[0];
	predict->shifts[0] = shift;
}

/* Was the shift tried already, being equal to one before it? */
static bool
repeated(const struct tk_predict *predict, size_t k)
{
	for (size_t i = 0; i < k; i++)
		if (predict->shifts[i] == predict->shifts[k])
			return true;
	return false;
}

static enum tk_rc
decide_literal(struct tk_predict *predict, uint64_t to_bytes, struct tk_delta_ops *ops, struct tk_err *err)
{
	enum tk_rc rc = tk_delta_ops_literal(ops, to_bytes - predict->at_bytes, err);

	predict->at_bytes = to_bytes;
	if (predict->front_bytes < to_bytes)
		predict->front_bytes = to_bytes;
	return rc;
}

/* The rest of the old block from at_bytes on is there. */
static enum tk_rc
decide_copy(struct tk_predict *predict, const struct candidate *candidate, struct tk_delta_ops *ops, struct tk_err *err)
{
	uint64_t skipped = predict->at_bytes - candidate->at_bytes;
	uint64_t len = candidate->len_bytes - skipped, room = predict->end_bytes - predict->at_bytes;
	enum tk_rc rc;

	if (len > room)
		len = room;
	rc = tk_delta_ops_copy(ops, candidate->old_bytes + skipped, len, err);
	predict->at_bytes += len;
	predict->front_bytes = predict->at_bytes;
	predict->piece_bytes = predict->past->piece_min_bytes ? predict->past->piece_min_bytes : PIECE_MIN_BYTES;
	return rc;
}

/* The old block that a shift expects at at_bytes: it begins there or, at the segment's start, goes on there. */
static bool
expected_here(const struct tk_predict *predict, int64_t shift, struct candidate *out)
{
	uint64_t at = predict->at_bytes;

	if (shift > 0 && at < (uint64_t)shift)
		return false;
	return block_holding(predict, at - (uint64_t)shift, shift, out) && (out->at_bytes == at || at == predict->start_bytes);
}

/* Is one of the expected old blocks at at_bytes? */
static enum tk_rc
copy_here(struct tk_predict *predict, struct tk_delta_ops *ops, bool *yes, struct tk_err *err)
{
	struct candidate candidate;
	enum tk_rc rc;

	for (size_t k = 0; k < TK_PREDICT_SHIFTS; k++) {
		int64_t shift = predict->shifts[k];

		*yes = false;
		if (repeated(predict, k) || !expected_here(predict, shift, &candidate))
			continue;
		if ((rc = matches(predict, &candidate, yes, err)))
			return rc;
		if (*yes) {
			take_shift(predict, shift);
			return decide_copy(predict, &candidate, ops, err);
		}
	}
	return TK_OK;
}

/* The gap ends at *end_bytes, where the old content goes on with a shift. */
struct landing {
	uint64_t at_bytes;
	int64_t shift;
	bool found;
};

/* The first expected old block that begins in [from, to). */
static enum tk_rc
expect(struct tk_predict *predict, uint64_t from_bytes, uint64_t to_bytes, struct landing *landing, struct tk_err *err)
{
	struct candidate candidate;
	enum tk_rc rc;

	*landing = (struct landing){to_bytes, 0, false};
	for (size_t k = 0; k < TK_PREDICT_SHIFTS; k++) {
		int64_t shift = predict->shifts[k];
		uint64_t at = repeated(predict, k) ? NOWHERE : next_block(predict, from_bytes, shift, &candidate);
		bool yes = false;

		while (at < landing->at_bytes) {
			if ((rc = matches(predict, &candidate, &yes, err)))
				return rc;
			if (yes)
				*landing = (struct landing){at, shift, true};
			at = yes ? NOWHERE : next_block(predict, at + 1, shift, &candidate);
		}
	}
	return TK_OK;
}

static enum tk_rc
verify_hit(struct tk_predict *predict, const struct tk_blockindex_slot *hit, uint64_t at_bytes, struct landing *landing, struct tk_err *err)
{
	const struct tk_predict_past *past = predict->past;
	uint64_t per_segment = tk_predict_block_number(past, 1);
	uint64_t old = hit->block / per_segment * past->segment_bytes + hit->block % per_segment * past->block_bytes;
	struct candidate candidate;
	uint8_t tag[TK_TAG_BYTES];
	enum tk_rc rc = tk_tag(predict->tagger, predict->window + (size_t)(at_bytes - predict->window_bytes), past->block_bytes, tag, err);

	landing->found = false;
	if (rc || memcmp(tag, hit->tag_start, sizeof(hit->tag_start)) != 0)
		return rc;
	*landing = (struct landing){at_bytes, (int64_t)(at_bytes - old), false};
	if (!block_holding(predict, old, landing->shift, &candidate) || candidate.len_bytes != past->block_bytes)
		return TK_OK;
	return matches(predict, &candidate, &landing->found, err);
}

/* Looks at every byte of [from, to) whether any old block begins there. */
static enum tk_rc
roll(struct tk_predict *predict, uint64_t from_bytes, uint64_t to_bytes, struct landing *landing, struct tk_err *err)
{
	const uint32_t len = predict->past->block_bytes;
	const uint8_t *data = predict->window + (size_t)(from_bytes - predict->window_bytes);
	uint64_t tries = (to_bytes - from_bytes) / FALSE_HIT_SHARE + 1;
	const struct tk_blockindex *index;
	struct tk_rollsum sum;
	size_t last;
	enum tk_rc rc;

	landing->found = false;
	if (from_bytes + len > predict->window_end_bytes || from_bytes >= to_bytes)
		return TK_OK;
	if ((rc = predict->past->index(predict->past->ctx, &index, err)) || !index)
		return rc;
	last = (size_t)(predict->window_end_bytes - len - from_bytes);
	if (last > to_bytes - 1 - from_bytes)
		last = (size_t)(to_bytes - 1 - from_bytes);
	sum = tk_rollsum_of(data, len);
	for (size_t i = 0;; i++) {
		uint32_t value = tk_rollsum_value(sum);

		if (tk_blockindex_maybe(index, value)) {
			const struct tk_blockindex_slot *hit = tk_blockindex_find(index, value);

			if (hit) {
				if ((rc = verify_hit(predict, hit, from_bytes + i, landing, err)) || landing->found || --tries == 0)
					return rc;
			}
		}
		if (i == last)
			return TK_OK;
		tk_rollsum_roll(&sum, len, data[i], data[i + len]);
	}
}

/* The old content goes on at the landing; how far back does it reach into the gap? What was skipped by sampling, and the block that began before the gap. */
static enum tk_rc
extend_back(struct tk_predict *predict, const struct landing *landing, struct tk_delta_ops *ops, struct tk_err *err)
{
	uint64_t at = landing->at_bytes;
	struct candidate candidate, first = {0};
	bool yes = true, any = false;
	enum tk_rc rc;

	while (yes && at > predict->at_bytes) {
		uint64_t old = at - (uint64_t)landing->shift;

		if (old == 0 || !block_holding(predict, old - 1, landing->shift, &candidate))
			break;
		if ((rc = matches(predict, &candidate, &yes, err)))
			return rc;
		if (yes) {
			first = candidate;
			any = true;
			at = candidate.at_bytes > predict->at_bytes ? candidate.at_bytes : predict->at_bytes;
		}
	}
	if ((rc = decide_literal(predict, at, ops, err)))
		return rc;
	take_shift(predict, landing->shift);
	return any ? decide_copy(predict, &first, ops, err) : TK_OK;
}

/* Nothing is expected at at_bytes: looks a piece further for where the gap ends. */
static enum tk_rc
search_gap(struct tk_predict *predict, struct tk_delta_ops *ops, struct tk_err *err)
{
	uint64_t from = predict->front_bytes, to = from + predict->piece_bytes;
	struct landing landing, rolled;
	enum tk_rc rc;

	if (to > predict->end_bytes)
		to = predict->end_bytes;
	/* At a gap's first byte all were asked for already. */
	if ((rc = expect(predict, from == predict->at_bytes ? from + 1 : from, to, &landing, err)))
		return rc;
	/* A short gap is a change in place: what little it may hold is not worth the search. */
	if (landing.at_bytes - predict->at_bytes >= predict->past->block_bytes * 4u || !landing.found) {
		if ((rc = roll(predict, from, landing.at_bytes, &rolled, err)))
			return rc;
		if (rolled.found)
			landing = rolled;
	}
	predict->front_bytes = landing.at_bytes;
	if (landing.found)
		return extend_back(predict, &landing, ops, err);
	predict->piece_bytes = predict->piece_bytes * 2 < piece_max(predict) ? predict->piece_bytes * 2 : piece_max(predict);
	if (to == predict->end_bytes || to - predict->at_bytes >= gap_max(predict))
		return decide_literal(predict, to, ops, err);
	return TK_OK;
}

enum tk_rc
tk_predict_run(struct tk_predict *predict, const uint8_t *window, uint64_t window_bytes, size_t window_len, bool at_end, struct tk_delta_ops *ops,
	       struct tk_err *err)
{
	predict->window = window;
	predict->window_bytes = window_bytes;
	predict->window_end_bytes = window_bytes + window_len;
	predict->old_known = false;
	if (predict->given_up)
		return decide_literal(predict, predict->window_end_bytes < predict->end_bytes ? predict->window_end_bytes : predict->end_bytes, ops, err);
	while (predict->at_bytes < predict->end_bytes) {
		uint64_t need = predict->front_bytes + predict->piece_bytes + predict->past->block_bytes;
		bool copied = false;
		enum tk_rc rc = TK_OK;

		if (!at_end && predict->window_end_bytes < need)
			break;
		if (predict->front_bytes == predict->at_bytes)
			rc = copy_here(predict, ops, &copied, err);
		if (!rc && !copied)
			rc = search_gap(predict, ops, err);
		if (rc)
			return rc;
	}
	return TK_OK;
}
