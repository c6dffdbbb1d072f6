/* Facts of segments: they say what the bytes say, and are refused when they are another's. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/delta/facts.h"
#include "engine/delta/rollsum.h"

#define LEN 1000u
#define BLOCK 64u
#define LEAF 256u

static uint8_t data[LEN];
static struct tk_tagger *tagger;
static uint8_t check[TK_TAG_BYTES];

static int
set_up(void **state)
{
	static const uint8_t key[TK_TAG_KEY_BYTES] = {42};

	(void)state;
	for (size_t i = 0; i < LEN; i++)
		data[i] = (uint8_t)(i * i >> 3);
	return tk_tagger_new(key, &tagger, NULL) || tk_facts_key_check(tagger, check, NULL);
}

static int
tear_down(void **state)
{
	(void)state;
	tk_tagger_cleanup(&tagger);
	return 0;
}

/* The facts of data, made in pieces of step bytes. */
static struct tk_facts_draft
draft_of_data(size_t step)
{
	struct tk_facts_draft draft = {0};
	uint8_t leaf[TK_FACTS_LEAF_DIGEST_BYTES];

	assert_int_equal(tk_facts_draft_begin(&draft, check, LEN, BLOCK, LEAF, NULL), TK_OK);
	for (size_t at = 0; at < LEN; at += step) {
		assert_false(tk_facts_draft_complete(&draft));
		assert_int_equal(tk_facts_draft_fill(&draft, tagger, data, 0, at + step < LEN ? at + step : LEN, NULL), TK_OK);
	}
	for (uint8_t i = 0; i < (LEN + LEAF - 1) / LEAF; i++) {
		memset(leaf, i + 1, sizeof(leaf));
		assert_int_equal(tk_facts_draft_leaf(&draft, leaf, NULL), TK_OK);
	}
	assert_int_equal(tk_facts_draft_leaf(&draft, leaf, NULL), TK_EINVAL);
	assert_true(tk_facts_draft_complete(&draft));
	return draft;
}

static void
facts_do_not_depend_on_how_the_bytes_arrive(void **state)
{
	static const size_t steps[] = {1, 63, 64, 65, 999};
	TK_AUTO(tk_facts_draft_release) struct tk_facts_draft whole = draft_of_data(LEN);

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		TK_AUTO(tk_facts_draft_release) struct tk_facts_draft pieces = draft_of_data(steps[i]);

		assert_int_equal(pieces.bytes.len_bytes, whole.bytes.len_bytes);
		assert_memory_equal(pieces.bytes.data, whole.bytes.data, whole.bytes.len_bytes);
	}
}

static void
facts_tell_tags_sums_and_leaves_of_their_segment(void **state)
{
	TK_AUTO(tk_facts_draft_release) struct tk_facts_draft draft = draft_of_data(100);
	struct tk_facts facts;

	(void)state;
	assert_int_equal(tk_facts_view(&facts, draft.bytes.data, draft.bytes.len_bytes, check, LEN, NULL), TK_OK);
	assert_int_equal(facts.block_count, 16);
	for (size_t i = 0; i < facts.block_count; i++) {
		uint8_t tag[TK_TAG_BYTES];

		assert_int_equal(tk_facts_block_len(&facts, i), i < 15 ? BLOCK : LEN - 15 * BLOCK);
		assert_int_equal(tk_tag(tagger, data + i * BLOCK, tk_facts_block_len(&facts, i), tag, NULL), TK_OK);
		assert_memory_equal(tk_facts_tag(&facts, i), tag, sizeof(tag));
		assert_int_equal(tk_facts_sum(&facts, i), tk_rollsum_value(tk_rollsum_of(data + i * BLOCK, tk_facts_block_len(&facts, i))));
	}
	assert_int_equal(tk_facts_leaf(&facts, 256, 256)[31], 2);
	assert_int_equal(tk_facts_leaf(&facts, 768, LEN - 768)[0], 4);
	assert_null(tk_facts_leaf(&facts, 768, 256));
	assert_null(tk_facts_leaf(&facts, 0, 255));
	assert_null(tk_facts_leaf(&facts, 255, 256));
	assert_null(tk_facts_leaf(&facts, 1024, 0));
}

static void
facts_of_another_length_kind_or_key_are_refused(void **state)
{
	TK_AUTO(tk_facts_draft_release) struct tk_facts_draft draft = draft_of_data(LEN);
	uint8_t *bytes = draft.bytes.data;
	size_t len = draft.bytes.len_bytes;
	uint8_t other[TK_TAG_BYTES] = {1};
	struct tk_facts facts;

	(void)state;
	assert_int_equal(tk_facts_view(&facts, bytes, len, other, LEN, NULL), TK_EUNSUPPORTED);
	assert_int_equal(tk_facts_view(&facts, bytes, len, check, LEN - 1, NULL), TK_ECORRUPT);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(tk_facts_view(&facts, bytes, cut, check, LEN, NULL), TK_ECORRUPT);
	bytes[0] ^= 1;
	assert_int_equal(tk_facts_view(&facts, bytes, len, check, LEN, NULL), TK_EUNSUPPORTED);
	bytes[0] ^= 1;
	bytes[24] = 8; /* blocks of 8 bytes */
	assert_int_equal(tk_facts_view(&facts, bytes, len, check, LEN, NULL), TK_ECORRUPT);
}

static void
a_sum_that_rolls_is_the_sum_of_its_window(void **state)
{
	static const size_t lens[] = {1, 15, 16, 17, 64, 500};

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		size_t len = lens[i];
		struct tk_rollsum rolled = tk_rollsum_of(data, len);

		for (size_t at = 0; at + len < LEN; at++) {
			assert_int_equal(tk_rollsum_value(rolled), tk_rollsum_value(tk_rollsum_of(data + at, len)));
			tk_rollsum_roll(&rolled, (uint32_t)len, data[at], data[at + len]);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(facts_do_not_depend_on_how_the_bytes_arrive),
		cmocka_unit_test(facts_tell_tags_sums_and_leaves_of_their_segment),
		cmocka_unit_test(facts_of_another_length_kind_or_key_are_refused),
		cmocka_unit_test(a_sum_that_rolls_is_the_sum_of_its_window),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
