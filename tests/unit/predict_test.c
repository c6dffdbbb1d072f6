/* Predict, then search: what it says is always true, whatever was done to the file; and it finds what it should. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/delta/predict.h"

#define LEAF 64u
#define SEGMENTS_MAX 512u
#define BYTES_MAX (1u << 22)

static struct tk_tagger *tagger;
static uint8_t check[TK_TAG_BYTES];

static int
set_up(void **state)
{
	static const uint8_t key[TK_TAG_KEY_BYTES] = {7};

	(void)state;
	return tk_tagger_new(key, &tagger, NULL) || tk_facts_key_check(tagger, check, NULL);
}

static int
tear_down(void **state)
{
	(void)state;
	tk_tagger_cleanup(&tagger);
	return 0;
}

/* ---- chance, the same in every run ---- */

static uint64_t seed;

static uint32_t
chance(uint32_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return below ? (uint32_t)(seed >> 33) % below : 0;
}

static void
fill(uint8_t *dst, size_t len)
{
	/* Now and then bytes that repeat, as zeros and padding do. */
	if (chance(4) == 0)
		memset(dst, (int)chance(2), len);
	else
		for (size_t i = 0; i < len; i++)
			dst[i] = (uint8_t)chance(256);
}

/* ---- a version: bytes and facts ---- */

struct version {
	uint8_t *bytes;
	size_t len;
	uint32_t segment_bytes, block_bytes;
	size_t segment_count;
	struct tk_facts_draft drafts[SEGMENTS_MAX];
	bool absent[SEGMENTS_MAX];
};

static void
version_release(struct version *version)
{
	for (size_t i = 0; i < version->segment_count; i++)
		tk_facts_draft_release(&version->drafts[i]);
	free(version->bytes);
	memset(version, 0, sizeof(*version));
}

static size_t
segment_end(const struct version *version, size_t i)
{
	size_t end = (i + 1) * version->segment_bytes;

	return end < version->len ? end : version->len;
}

static void
begin_drafts(struct version *version)
{
	version->segment_count = (version->len + version->segment_bytes - 1) / version->segment_bytes;
	assert_true(version->segment_count <= SEGMENTS_MAX);
	for (size_t i = 0; i < version->segment_count; i++)
		assert_int_equal(tk_facts_draft_begin(&version->drafts[i], check, segment_end(version, i) - i * version->segment_bytes, version->block_bytes, LEAF,
						      NULL),
				 TK_OK);
}

static void
complete_drafts(struct version *version)
{
	begin_drafts(version);
	for (size_t i = 0; i < version->segment_count; i++)
		assert_int_equal(tk_facts_draft_fill(&version->drafts[i], tagger, version->bytes + i * version->segment_bytes, 0, UINT32_MAX, NULL), TK_OK);
}

/* ---- the past ---- */

struct past {
	struct tk_predict_past past;
	const struct version *old;
	struct tk_facts given;          /* lent: overwritten by the next call */
	struct tk_blockindex *index;
	size_t index_max;
};

static enum tk_rc
give_facts(void *ctx, size_t segment, const struct tk_facts **out, struct tk_err *err)
{
	struct past *past = ctx;

	(void)err;
	assert_true(segment < past->old->segment_count);
	past->given = past->old->drafts[segment].facts;
	*out = past->old->absent[segment] ? NULL : &past->given;
	return TK_OK;
}

static enum tk_rc
give_index(void *ctx, const struct tk_blockindex **out, struct tk_err *err)
{
	struct past *past = ctx;

	if (!past->index) {
		assert_int_equal(tk_blockindex_new(past->old->len / past->old->block_bytes + 1, past->index_max, &past->index, err), TK_OK);
		for (size_t i = 0; i < past->old->segment_count; i++)
			if (!past->old->absent[i])
				tk_blockindex_add(past->index, tk_predict_block_number(&past->past, i), &past->old->drafts[i].facts);
	}
	*out = past->index;
	return TK_OK;
}

static void
past_init(struct past *past, const struct version *old)
{
	memset(past, 0, sizeof(*past));
	past->old = old;
	past->past = (struct tk_predict_past){
		.len_bytes = old->len,
		.segment_bytes = old->segment_bytes,
		.block_bytes = old->block_bytes,
		.facts = give_facts,
		.index = give_index,
		.ctx = past,
	};
}

/* ---- one run over a segment ---- */

/* Whoever asks gives up there. */
static uint64_t give_up_at = UINT64_MAX;

/* Feeds windows of random lengths, each in memory of its own, and completes the draft on the way. */
static void
run_segment(struct past *past, struct version *fresh, size_t segment, int64_t *shift, struct tk_delta_ops *ops)
{
	uint64_t start = (uint64_t)segment * fresh->segment_bytes, end = segment_end(fresh, segment);
	struct tk_predict predict;
	uint64_t window_end = start;

	tk_predict_begin(&predict, &past->past, tagger, &fresh->drafts[segment], start, end, *shift);
	while (predict.at_bytes < end) {
		uint64_t last = end + tk_predict_slack_bytes(&predict) < fresh->len ? end + tk_predict_slack_bytes(&predict) : fresh->len;
		uint64_t from = tk_predict_keep_from(&predict), before = predict.at_bytes;
		bool enough;
		uint8_t *window;

		window_end += 1 + chance((uint32_t)tk_predict_window_bytes(&predict));
		window_end = window_end > last ? last : window_end;
		enough = window_end - from >= tk_predict_window_bytes(&predict) || window_end == last;
		window = malloc((size_t)(window_end - from) + 1);
		memcpy(window, fresh->bytes + from, (size_t)(window_end - from));
		if (predict.at_bytes >= give_up_at)
			tk_predict_give_up(&predict);
		assert_int_equal(tk_predict_run(&predict, window, from, (size_t)(window_end - from), window_end == last, ops, NULL), TK_OK);
		assert_true(!enough || predict.at_bytes > before);
		/* The draft wants whole blocks, from the first that is not complete. */
		assert_int_equal(tk_facts_draft_fill(&fresh->drafts[segment], tagger, fresh->bytes + start, 0, predict.at_bytes - start, NULL), TK_OK);
		free(window);
	}
	assert_int_equal(predict.at_bytes, end);
	*shift = predict.shifts[0];
}

/* Makes the segment from the old bytes and the literals, and compares. */
static void
check_ops(const struct version *old, const struct version *fresh, size_t segment, const struct tk_delta_ops *ops)
{
	size_t at = segment * fresh->segment_bytes;

	for (size_t i = 0; i < ops->count; i++) {
		const struct tk_delta_op *op = &ops->rows[i];

		assert_true(op->len_bytes <= segment_end(fresh, segment) - at);
		if (op->kind == TK_DELTA_COPY) {
			assert_true(op->old_off_bytes <= old->len && op->len_bytes <= old->len - op->old_off_bytes);
			assert_memory_equal(fresh->bytes + at, old->bytes + op->old_off_bytes, op->len_bytes);
		}
		at += op->len_bytes;
	}
	assert_int_equal(at, segment_end(fresh, segment));
}

/* The facts made on the way are those that the bytes alone give. */
static void
check_draft(struct version *fresh, size_t segment)
{
	TK_AUTO(tk_facts_draft_release) struct tk_facts_draft plain = {0};
	const struct tk_facts_draft *draft = &fresh->drafts[segment];

	assert_int_equal(draft->next_block, draft->facts.block_count);
	assert_int_equal(tk_facts_draft_begin(&plain, check, draft->facts.len_bytes, fresh->block_bytes, LEAF, NULL), TK_OK);
	assert_int_equal(tk_facts_draft_fill(&plain, tagger, fresh->bytes + segment * fresh->segment_bytes, 0, UINT32_MAX, NULL), TK_OK);
	assert_int_equal(plain.bytes.len_bytes, draft->bytes.len_bytes);
	assert_memory_equal(plain.bytes.data, draft->bytes.data, plain.bytes.len_bytes);
}

/* Returns the literal bytes. */
static uint64_t
run_version(struct past *past, struct version *fresh)
{
	int64_t shift = 0;
	uint64_t literal = 0;

	begin_drafts(fresh);
	for (size_t i = 0; i < fresh->segment_count; i++) {
		TK_AUTO(tk_delta_ops_release) struct tk_delta_ops ops = {0};

		run_segment(past, fresh, i, &shift, &ops);
		check_ops(past->old, fresh, i, &ops);
		check_draft(fresh, i);
		literal += ops.literal_bytes;
	}
	tk_blockindex_cleanup(&past->index);
	return literal;
}

/* ---- edits ---- */

static void
replace(struct version *version, size_t at, size_t cut, const uint8_t *with, size_t with_len)
{
	uint8_t *bytes = malloc(version->len - cut + with_len + 1);

	memcpy(bytes, version->bytes, at);
	if (with_len)
		memcpy(bytes + at, with, with_len);
	memcpy(bytes + at + with_len, version->bytes + at + cut, version->len - at - cut);
	version->len = version->len - cut + with_len;
	free(version->bytes);
	version->bytes = bytes;
}

static void
swap_halves(struct version *version)
{
	size_t at = chance((uint32_t)version->len);
	uint8_t *first = malloc(at + 1);

	memcpy(first, version->bytes, at);
	replace(version, 0, at, NULL, 0);
	replace(version, version->len, 0, first, at);
	free(first);
}

static void
edit(struct version *version)
{
	size_t at = chance((uint32_t)version->len + 1), left = version->len - at;
	size_t len = chance(chance(3) ? 40 : 1500), cut = len < left ? len : left;
	uint8_t *piece = malloc(len + 1);

	fill(piece, len);
	switch (chance(9)) {
	case 0: /* overwrite */
	case 1:
		memcpy(version->bytes + at, piece, cut);
		break;
	case 2: /* insert */
		replace(version, at, 0, piece, len);
		break;
	case 3: /* delete */
		replace(version, at, cut, NULL, 0);
		break;
	case 4: /* move, or duplicate */
		memcpy(piece, version->bytes + at, cut);
		if (chance(2))
			replace(version, at, cut, NULL, 0);
		replace(version, chance((uint32_t)version->len + 1), 0, piece, cut);
		break;
	case 5: /* append */
		replace(version, version->len, 0, piece, len);
		break;
	case 6: /* truncate */
		replace(version, version->len - (len < version->len / 4 ? len : version->len / 4), len < version->len / 4 ? len : version->len / 4, NULL, 0);
		break;
	case 7: /* punch */
		memset(version->bytes + at, 0, cut);
		break;
	default:
		if (chance(4) == 0)
			swap_halves(version);
		break;
	}
	free(piece);
}

static struct version
edited(const struct version *old, unsigned edits)
{
	struct version fresh = {.len = old->len, .segment_bytes = old->segment_bytes, .block_bytes = old->block_bytes};

	fresh.bytes = malloc(old->len + 1);
	memcpy(fresh.bytes, old->bytes, old->len);
	while (edits--)
		edit(&fresh);
	return fresh;
}

static struct version
random_version(size_t len, uint32_t segment_bytes, uint32_t block_bytes)
{
	struct version version = {.len = len, .segment_bytes = segment_bytes, .block_bytes = block_bytes};

	version.bytes = malloc(len + 1);
	for (size_t i = 0; i < len; i++)
		version.bytes[i] = (uint8_t)chance(256);
	return version;
}

/* ---- tests ---- */

static void
every_version_is_made_exactly_whatever_was_done_to_the_one_before(void **state)
{
	static const uint32_t segments[] = {64, 200, 256, 1000, 4096}, blocks[] = {16, 17, 32, 64};

	(void)state;
	for (unsigned round = 0; round < 250; round++) {
		struct version old;

		seed = round;
		old = random_version(chance(6000), segments[chance(5)], blocks[chance(4)]);
		complete_drafts(&old);
		for (unsigned step = 0; step < 16; step++) {
			struct version fresh = edited(&old, chance(6));
			struct past past;

			past_init(&past, &old);
			past.index_max = chance(3) ? 0 : 1 + chance(64);
			past.past.piece_min_bytes = 16 + chance(64);
			past.past.piece_max_bytes = past.past.piece_min_bytes + chance(256);
			past.past.keep_bytes = 16 + chance(512);
			if (chance(8) == 0)
				fresh.block_bytes = blocks[chance(4)];
			for (size_t i = 0; i < old.segment_count; i++)
				old.absent[i] = chance(16) == 0;
			(void)run_version(&past, &fresh);
			version_release(&old);
			old = fresh;
			if (old.len > 40000 || old.len / old.segment_bytes >= SEGMENTS_MAX / 2)
				break;
		}
		version_release(&old);
	}
}

/* What a change of a random file of 256 KiB, blocks of 64 bytes, segments of 16 KiB, costs in literals. */
static uint64_t
cost_of(void (*change)(struct version *version), size_t index_max)
{
	struct version old, fresh;
	struct past past;
	uint64_t literal;

	seed = 99;
	old = random_version(256u << 10, 16384, 64);
	complete_drafts(&old);
	fresh = edited(&old, 0);
	change(&fresh);
	past_init(&past, &old);
	past.index_max = index_max;
	literal = run_version(&past, &fresh);
	version_release(&old);
	version_release(&fresh);
	return literal;
}

static void
change_nothing(struct version *version)
{
	(void)version;
}

static void
flip_twenty_bytes(struct version *version)
{
	for (size_t i = 0; i < 20; i++)
		version->bytes[1000 + i * 12345] ^= 1;
}

static void
insert_ten_bytes_early(struct version *version)
{
	replace(version, 1001, 0, (const uint8_t *)"0123456789", 10);
}

static void
delete_some_bytes(struct version *version)
{
	replace(version, 5000, 777, NULL, 0);
}

static void
insert_much(struct version *version)
{
	struct version more = random_version(100000, 16384, 64);

	replace(version, 70001, 0, more.bytes, more.len);
	free(more.bytes);
}

static void
exchange_halves(struct version *version)
{
	struct version whole = edited(version, 0);
	size_t half = 100001;

	memcpy(version->bytes, whole.bytes + half, version->len - half);
	memcpy(version->bytes + version->len - half, whole.bytes, half);
	free(whole.bytes);
}

static void
append_bytes(struct version *version)
{
	replace(version, version->len, 0, (const uint8_t *)"0123456789", 10);
}

static void
cut_the_end(struct version *version)
{
	replace(version, version->len - 10, 10, NULL, 0);
}

static void
an_edit_costs_the_blocks_it_touches(void **state)
{
	(void)state;
	assert_int_equal(cost_of(change_nothing, 0), 0);
	assert_int_equal(cost_of(flip_twenty_bytes, 0), 20 * 64);
}

static void
an_insertion_costs_itself_and_the_block_it_splits(void **state)
{
	(void)state;
	assert_int_equal(cost_of(insert_ten_bytes_early, 0), 10 + 64);
	assert_int_equal(cost_of(insert_much, 0), 100000 + 64);
}

static void
a_deletion_costs_the_blocks_at_its_ends(void **state)
{
	(void)state;
	assert_in_range(cost_of(delete_some_bytes, 0), 0, 2 * 64);
}

static void
what_moved_far_is_found(void **state)
{
	(void)state;
	assert_in_range(cost_of(exchange_halves, 0), 0, 2 * 64);
}

static void
what_is_appended_or_cut_costs_one_short_block_at_most(void **state)
{
	(void)state;
	assert_int_equal(cost_of(append_bytes, 0), 10);
	assert_int_equal(cost_of(cut_the_end, 0), 54);
}

static void
a_sample_of_the_blocks_is_enough_to_find_what_moved(void **state)
{
	(void)state;
	/* 4096 blocks, one in 128 of them indexed: the blocks before one that is found are found backwards. What moved less than that before a segment's end is not
	 * found. */
	assert_int_equal(cost_of(insert_ten_bytes_early, 32), 10 + 64);
	assert_in_range(cost_of(exchange_halves, 32), 0, 128 * 64);
}

static void
data_whose_sums_all_agree_does_not_stop_the_search(void **state)
{
	struct version old, fresh;
	struct past past;

	(void)state;
	seed = 5;
	old = random_version(200000, 65536, 64);
	/* The same bytes in another order within pairs at a distance: many sums agree, no tag does. */
	for (size_t i = 0; i < old.len; i++)
		old.bytes[i] = (uint8_t)(i % 2);
	complete_drafts(&old);
	fresh = edited(&old, 0);
	for (size_t i = 0; i + 3 < fresh.len; i += 64) {
		fresh.bytes[i] ^= 1;
		fresh.bytes[i + 1] ^= 1;
		fresh.bytes[i + 2] ^= 1;
		fresh.bytes[i + 3] ^= 1;
	}
	past_init(&past, &old);
	(void)run_version(&past, &fresh);
	version_release(&old);
	version_release(&fresh);
}

static void
after_giving_up_all_is_literal(void **state)
{
	struct version old, fresh;
	struct past past;

	(void)state;
	seed = 6;
	old = random_version(3u << 20, 1u << 20, 64);
	complete_drafts(&old);
	fresh = edited(&old, 0);
	past_init(&past, &old);
	give_up_at = 1u << 20;
	assert_int_equal(run_version(&past, &fresh), 2u << 20);
	give_up_at = UINT64_MAX;
	version_release(&old);
	version_release(&fresh);
}

static void
expect_block(const struct tk_predict_past *past, uint64_t at, uint64_t old_bytes, size_t len_bytes, size_t index)
{
	struct tk_predict_block block = tk_predict_block_at(past, at);

	assert_int_equal(block.old_bytes, old_bytes);
	assert_int_equal(block.len_bytes, len_bytes);
	assert_int_equal(block.index, index);
}

static void
blocks_end_with_their_segment_and_their_file(void **state)
{
	struct tk_predict_past past = {.len_bytes = 1000, .segment_bytes = 300, .block_bytes = 64};

	(void)state;
	expect_block(&past, 0, 0, 64, 0);
	expect_block(&past, 63, 0, 64, 0);
	expect_block(&past, 64, 64, 64, 1);
	expect_block(&past, 256, 256, 44, 4);
	expect_block(&past, 299, 256, 44, 4);
	expect_block(&past, 300, 300, 64, 0);
	expect_block(&past, 963, 900, 64, 0);
	expect_block(&past, 964, 964, 36, 1);
	expect_block(&past, 999, 964, 36, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_version_is_made_exactly_whatever_was_done_to_the_one_before),
		cmocka_unit_test(an_edit_costs_the_blocks_it_touches),
		cmocka_unit_test(an_insertion_costs_itself_and_the_block_it_splits),
		cmocka_unit_test(a_deletion_costs_the_blocks_at_its_ends),
		cmocka_unit_test(what_moved_far_is_found),
		cmocka_unit_test(what_is_appended_or_cut_costs_one_short_block_at_most),
		cmocka_unit_test(a_sample_of_the_blocks_is_enough_to_find_what_moved),
		cmocka_unit_test(data_whose_sums_all_agree_does_not_stop_the_search),
		cmocka_unit_test(after_giving_up_all_is_literal),
		cmocka_unit_test(blocks_end_with_their_segment_and_their_file),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
