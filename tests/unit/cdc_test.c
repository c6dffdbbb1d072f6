/* Content-defined chunking: cuts follow the content, and are the same for ever. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/delta/cdc.h"

#define DATA_BYTES 200000u

struct cuts {
	size_t at[8192]; /* ends of chunks */
	size_t count;
};

static const uint8_t key[TK_CDC_KEY_BYTES] = {1, 2, 3};

static uint64_t
next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void
fill(uint8_t *dst, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++)
		dst[i] = (uint8_t)(next_random(&seed) >> 32);
}

static uint8_t *
new_data(size_t len, uint64_t seed)
{
	uint8_t *data = malloc(len);

	assert_non_null(data);
	fill(data, len, seed);
	return data;
}

static struct tk_cdc
small_cdc(void)
{
	struct tk_cdc cdc;

	assert_int_equal(tk_cdc_init(&cdc, key, 64, 256, 1024, NULL), TK_OK);
	return cdc;
}

static void
cut_all(const struct tk_cdc *cdc, const uint8_t *data, size_t len, struct cuts *cuts)
{
	size_t at = 0, chunk;

	cuts->count = 0;
	while (at < len) {
		chunk = tk_cdc_cut(cdc, data + at, len - at, true);
		assert_true(chunk > 0 && chunk <= len - at);
		at += chunk;
		assert_true(cuts->count < 8192);
		cuts->at[cuts->count++] = at;
	}
}

static void
chunks_keep_their_bounds_and_their_average(void **state)
{
	struct tk_cdc cdc = small_cdc();
	uint8_t *data = new_data(DATA_BYTES, 7);
	struct cuts cuts;
	size_t begin = 0;

	(void)state;
	cut_all(&cdc, data, DATA_BYTES, &cuts);
	assert_int_equal(cuts.at[cuts.count - 1], DATA_BYTES);
	for (size_t i = 0; i + 1 < cuts.count; i++) {
		assert_in_range(cuts.at[i] - begin, 65, 1024);
		begin = cuts.at[i];
	}
	assert_in_range(DATA_BYTES / cuts.count, 200, 400);
	free(data);
}

static void
cuts_do_not_depend_on_how_many_bytes_are_at_hand(void **state)
{
	struct tk_cdc cdc = small_cdc();
	uint8_t *data = new_data(4096, 8);
	size_t whole = tk_cdc_cut(&cdc, data, 4096, false);

	(void)state;
	assert_true(whole > 0);
	for (size_t len = 0; len < 4096; len++)
		assert_int_equal(tk_cdc_cut(&cdc, data, len, false), len < whole ? 0 : whole);
	for (size_t len = 0; len < 4096; len++)
		assert_int_equal(tk_cdc_cut(&cdc, data, len, true), len < whole ? len : whole);
	free(data);
}

static void
bytes_that_come_piece_by_piece_are_cut_at_the_same_places(void **state)
{
	struct tk_cdc cdc = small_cdc();
	uint8_t *data = new_data(DATA_BYTES, 13);
	struct tk_cdc_search search = {0};
	size_t begin = 0, given = 0, count = 0, cut;
	struct cuts whole;
	uint64_t seed = 14;

	(void)state;
	memset(data + 50000, 0, 10000);
	cut_all(&cdc, data, DATA_BYTES, &whole);
	while (begin < DATA_BYTES) {
		given += next_random(&seed) % 300;
		if (given > DATA_BYTES)
			given = DATA_BYTES;
		while ((cut = tk_cdc_go_on(&cdc, &search, data + begin, given - begin, given == DATA_BYTES)) > 0) {
			begin += cut;
			assert_int_equal(begin, whole.at[count]);
			count++;
		}
	}
	assert_int_equal(count, whole.count);
	free(data);
}

static void
data_without_features_is_cut_at_the_maximum(void **state)
{
	struct tk_cdc cdc = small_cdc();
	uint8_t zeros[2048] = {0};
	size_t cut = tk_cdc_cut(&cdc, zeros, sizeof(zeros), false);

	(void)state;
	assert_true(cut == 1024 || cut == 65);
	assert_int_equal(tk_cdc_cut(&cdc, zeros, 1023, false), cut == 1024 ? 0 : 65);
}

/* Counts the cuts of one list that the other has not, the second shifted by `shift` from `from` on. */
static size_t
cuts_lost(const struct cuts *old, const struct cuts *new, size_t from, size_t shift)
{
	size_t lost = 0, j = 0, want;

	for (size_t i = 0; i < old->count; i++) {
		want = old->at[i] + (old->at[i] > from ? shift : 0);
		while (j < new->count && new->at[j] < want)
			j++;
		lost += j == new->count || new->at[j] != want;
	}
	return lost;
}

static void
an_inserted_byte_changes_only_the_cuts_near_it(void **state)
{
	struct tk_cdc cdc = small_cdc();
	uint8_t *data = new_data(DATA_BYTES, 9);
	uint8_t *edited = malloc(DATA_BYTES + 1);
	struct cuts old, new;
	uint64_t seed = 10;
	size_t at, total = 0;

	(void)state;
	assert_non_null(edited);
	cut_all(&cdc, data, DATA_BYTES, &old);
	for (int round = 0; round < 100; round++) {
		at = (size_t)(next_random(&seed) % DATA_BYTES);
		memcpy(edited, data, at);
		edited[at] = (uint8_t)next_random(&seed);
		memcpy(edited + at + 1, data + at, DATA_BYTES - at);
		cut_all(&cdc, edited, DATA_BYTES + 1, &new);
		at = cuts_lost(&old, &new, at, 1);
		assert_true(at < 40);
		total += at;
	}
	assert_true(total < 100 * 4);
	free(edited);
	free(data);
}

static void
another_key_gives_other_cuts(void **state)
{
	static const uint8_t other_key[TK_CDC_KEY_BYTES] = {1, 2, 4};
	struct tk_cdc cdc = small_cdc(), other;
	uint8_t *data = new_data(DATA_BYTES, 11);
	struct cuts mine, theirs;

	(void)state;
	assert_int_equal(tk_cdc_init(&other, other_key, 64, 256, 1024, NULL), TK_OK);
	cut_all(&cdc, data, DATA_BYTES, &mine);
	cut_all(&other, data, DATA_BYTES, &theirs);
	assert_true(cuts_lost(&mine, &theirs, DATA_BYTES, 0) > mine.count * 9 / 10);
	free(data);
}

/* Stored dedup ids rest on these cuts: whoever changes them loses every domain's dedup. */
static void
the_cuts_of_a_key_never_change(void **state)
{
	static const size_t expected[] = {405, 569, 876, 1178, 1819, 2201, 2465, 2804, 2969, 3251, 3547, 3860};
	struct tk_cdc cdc = small_cdc();
	uint8_t *data = new_data(DATA_BYTES, 12);
	struct cuts cuts;

	(void)state;
	assert_true(cdc.gear[0] == UINT64_C(0x99ec5f36cb75f2b4));
	assert_true(cdc.gear[255] == UINT64_C(0x095191eefad8c232));
	cut_all(&cdc, data, DATA_BYTES, &cuts);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(cuts.at[i], expected[i]);
	free(data);
}

static void
sizes_out_of_order_are_refused(void **state)
{
	struct tk_cdc cdc;

	(void)state;
	assert_int_equal(tk_cdc_init(&cdc, key, 0, 256, 1024, NULL), TK_EINVAL);
	assert_int_equal(tk_cdc_init(&cdc, key, 256, 256, 1024, NULL), TK_EINVAL);
	assert_int_equal(tk_cdc_init(&cdc, key, 64, 1024, 1024, NULL), TK_EINVAL);
	assert_int_equal(tk_cdc_init(&cdc, key, 64, 300, 1024, NULL), TK_EINVAL);
	assert_int_equal(tk_cdc_init(&cdc, key, 1, 8, 1024, NULL), TK_EINVAL);
	assert_int_equal(tk_cdc_init(&cdc, key, TK_CDC_MIN_BYTES, TK_CDC_AVG_BYTES, TK_CDC_MAX_BYTES, NULL), TK_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_keep_their_bounds_and_their_average),
		cmocka_unit_test(cuts_do_not_depend_on_how_many_bytes_are_at_hand),
		cmocka_unit_test(bytes_that_come_piece_by_piece_are_cut_at_the_same_places),
		cmocka_unit_test(data_without_features_is_cut_at_the_maximum),
		cmocka_unit_test(an_inserted_byte_changes_only_the_cuts_near_it),
		cmocka_unit_test(another_key_gives_other_cuts),
		cmocka_unit_test(the_cuts_of_a_key_never_change),
		cmocka_unit_test(sizes_out_of_order_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
