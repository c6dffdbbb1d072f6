/* The content digest: however a content is fed, its digest is the one of its bytes and size. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/crypto/hash.h"
#include "engine/vault/content_digest.h"

enum { SIZE_MAX_TESTED = 400000 };

static struct tk_content_hash *
new_hash(uint64_t segment_bytes)
{
	struct tk_content_hash *hash = NULL;

	assert_int_equal(tk_content_hash_new(TK_SUITE_AES, segment_bytes, &hash, NULL), TK_OK);
	return hash;
}

/* The format's words, followed slowly. */
static struct tk_digest
reference(const uint8_t *data, size_t len, size_t segment_bytes)
{
	uint8_t *segment = malloc(1 + SIZE_MAX_TESTED), *file = malloc(9 + SIZE_MAX_TESTED);
	size_t file_len = 9;
	struct tk_digest out;

	assert_true(segment && file);
	segment[0] = 1;
	file[0] = 2;
	tk_store_u64(file + 1, len);
	for (size_t seg = 0; seg < len; seg += segment_bytes) {
		size_t seg_end = len - seg < segment_bytes ? len : seg + segment_bytes;
		size_t seg_len = 1;

		for (size_t at = seg; at < seg_end; at += TK_LEAF_BYTES) {
			size_t piece = seg_end - at < TK_LEAF_BYTES ? seg_end - at : TK_LEAF_BYTES;

			assert_int_equal(tk_hash(TK_SUITE_AES, data + at, piece, segment + seg_len, NULL), TK_OK);
			seg_len += 32;
		}
		assert_int_equal(tk_hash(TK_SUITE_AES, segment, seg_len, file + file_len, NULL), TK_OK);
		file_len += 32;
	}
	assert_int_equal(tk_hash(TK_SUITE_AES, file, file_len, out.b, NULL), TK_OK);
	free(segment);
	free(file);
	return out;
}

static const size_t sizes[] = {0, 1, 999, 1000, 1001, 32767, 32768, 32769, 65535, 65536, 65537, 98304, 98305, 131072, 199999, 200000, 200001, SIZE_MAX_TESTED};
static const uint64_t segment_sizes[] = {1000, 32768, 50000, 65536, 131072, 100000, TK_SEGMENT_BYTES};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void
expect_streamed(struct tk_content_hash *hash, const uint8_t *data, size_t len, size_t piece, const struct tk_digest *want)
{
	struct tk_digest got, combined;
	const struct tk_digest *segments;
	size_t count;

	tk_content_hash_begin(hash);
	for (size_t at = 0; at < len; at += piece)
		assert_int_equal(tk_content_hash_feed(hash, data + at, len - at < piece ? len - at : piece, NULL), TK_OK);
	assert_int_equal(tk_content_hash_finish(hash, &got, NULL), TK_OK);
	assert_memory_equal(&got, want, sizeof(got));
	segments = tk_content_hash_segments(hash, &count);
	assert_int_equal(tk_content_hash_combine(hash, len, segments, count, &combined, NULL), TK_OK);
	assert_memory_equal(&combined, want, sizeof(combined));
	assert_int_equal(tk_content_hash_combine(hash, len, segments, count + 1, &combined, NULL), TK_EINVAL);
}

static void
pieces_do_not_matter(void **state)
{
	static const size_t pieces[] = {333, 4096, 32768, 32770, 65536, 98304, 70001, SIZE_MAX_TESTED};
	uint8_t *data = malloc(SIZE_MAX_TESTED);

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < SIZE_MAX_TESTED; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	for (size_t s = 0; s < COUNT(segment_sizes); s++) {
		struct tk_content_hash *hash = new_hash(segment_sizes[s]);

		for (size_t i = 0; i < COUNT(sizes); i++) {
			struct tk_digest want = reference(data, sizes[i], (size_t)segment_sizes[s]), got;

			assert_int_equal(tk_content_hash_all(hash, data, sizes[i], &got, NULL), TK_OK);
			assert_memory_equal(&got, &want, sizeof(got));
			for (size_t p = 0; p < COUNT(pieces); p++)
				expect_streamed(hash, data, sizes[i], pieces[p], &want);
		}
		tk_content_hash_cleanup(&hash);
	}
	free(data);
}

static void
holes_are_zeros(void **state)
{
	static const size_t before[] = {0, 1, 500, 32767, 32768, 65535, 65536, 100000};
	uint8_t *data = calloc(1, SIZE_MAX_TESTED);

	(void)state;
	assert_non_null(data);
	for (size_t s = 0; s < COUNT(segment_sizes); s++) {
		struct tk_content_hash *hash = new_hash(segment_sizes[s]);

		for (size_t b = 0; b < COUNT(before); b++) {
			struct tk_digest want, got;

			memset(data, 'x', before[b]);
			memset(data + before[b], 0, SIZE_MAX_TESTED - before[b] - 7);
			memset(data + SIZE_MAX_TESTED - 7, 'y', 7);
			want = reference(data, SIZE_MAX_TESTED, (size_t)segment_sizes[s]);
			tk_content_hash_begin(hash);
			assert_int_equal(tk_content_hash_feed(hash, data, before[b], NULL), TK_OK);
			assert_int_equal(tk_content_hash_zeros(hash, SIZE_MAX_TESTED - before[b] - 7, NULL), TK_OK);
			assert_int_equal(tk_content_hash_feed(hash, data + SIZE_MAX_TESTED - 7, 7, NULL), TK_OK);
			assert_int_equal(tk_content_hash_finish(hash, &got, NULL), TK_OK);
			assert_memory_equal(&got, &want, sizeof(got));
		}
		tk_content_hash_cleanup(&hash);
	}
	free(data);
}

struct leaves {
	struct tk_digest rows[512];
	size_t count;
};

static enum tk_rc
on_leaf(void *ctx, const struct tk_digest *leaf, struct tk_err *err)
{
	struct leaves *leaves = ctx;

	if (leaves->count == COUNT(leaves->rows))
		return tk_err_set(err, TK_ENOSPC, "full");
	leaves->rows[leaves->count++] = *leaf;
	return TK_OK;
}

static size_t
leaf_len(size_t len, size_t at, uint64_t segment_bytes)
{
	size_t left = (size_t)segment_bytes - at % (size_t)segment_bytes;

	left = left < TK_LEAF_BYTES ? left : TK_LEAF_BYTES;
	return len - at < left ? len - at : left;
}

/* Every other leaf is fed as what on_leaf said it was. */
static void
a_leaf_that_is_known_need_not_be_fed(void **state)
{
	uint8_t *data = malloc(SIZE_MAX_TESTED);

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < SIZE_MAX_TESTED; i++)
		data[i] = (uint8_t)(i * 11 + i / 253);
	for (size_t s = 0; s < COUNT(segment_sizes); s++) {
		struct tk_content_hash *hash = new_hash(segment_sizes[s]);
		struct tk_digest want, got;
		struct leaves leaves = {.count = 0};
		size_t leaf = 0;

		tk_content_hash_tell_leaves(hash, on_leaf, &leaves);
		tk_content_hash_begin(hash);
		assert_int_equal(tk_content_hash_feed(hash, data, SIZE_MAX_TESTED, NULL), TK_OK);
		assert_int_equal(tk_content_hash_finish(hash, &want, NULL), TK_OK);
		tk_content_hash_tell_leaves(hash, NULL, NULL);
		tk_content_hash_begin(hash);
		for (size_t at = 0, len; at < SIZE_MAX_TESTED; at += len, leaf++) {
			len = leaf_len(SIZE_MAX_TESTED, at, segment_sizes[s]);
			if (leaf % 2)
				assert_int_equal(tk_content_hash_feed(hash, data + at, len, NULL), TK_OK);
			else
				assert_int_equal(tk_content_hash_known_leaf(hash, &leaves.rows[leaf], len, NULL), TK_OK);
		}
		assert_int_equal(leaf, leaves.count);
		assert_int_equal(tk_content_hash_finish(hash, &got, NULL), TK_OK);
		assert_memory_equal(&got, &want, sizeof(got));
		tk_content_hash_cleanup(&hash);
	}
	free(data);
}

/* Known ones in long runs, too: more of them than may wait behind one that is held. */
static void
known_leaves_and_others_come_in_any_order(void **state)
{
	static const uint64_t segments[] = {5 * TK_LEAF_BYTES + 77, TK_SEGMENT_BYTES};
	size_t len = 300 * TK_LEAF_BYTES + 1234;
	uint8_t *data = malloc(len);

	(void)state;
	assert_non_null(data);
	srand(7);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 13 + i / 1021);
	for (size_t round = 0; round < 40; round++) {
		uint64_t segment_bytes = segments[round % 2];
		struct tk_content_hash *hash = new_hash(segment_bytes);
		struct leaves wanted = {.count = 0}, told = {.count = 0};
		struct tk_digest want, got;
		size_t leaf = 0, left_known = 0;

		tk_content_hash_tell_leaves(hash, on_leaf, &wanted);
		tk_content_hash_begin(hash);
		assert_int_equal(tk_content_hash_feed(hash, data, len, NULL), TK_OK);
		assert_int_equal(tk_content_hash_finish(hash, &want, NULL), TK_OK);
		tk_content_hash_tell_leaves(hash, on_leaf, &told);
		tk_content_hash_begin(hash);
		for (size_t at = 0, piece; at < len; at += piece, leaf++) {
			piece = leaf_len(len, at, segment_bytes);
			if (left_known == 0 && rand() % 3 == 0)
				left_known = (size_t)rand() % (round % 4 < 2 ? 3 : 150);
			if (left_known > 0) {
				left_known--;
				assert_int_equal(tk_content_hash_known_leaf(hash, &wanted.rows[leaf], piece, NULL), TK_OK);
				continue;
			}
			for (size_t done = 0, part; done < piece; done += part) {
				part = 1 + (size_t)rand() % TK_LEAF_BYTES;
				part = part < piece - done ? part : piece - done;
				assert_int_equal(tk_content_hash_feed(hash, data + at + done, part, NULL), TK_OK);
			}
		}
		assert_int_equal(tk_content_hash_finish(hash, &got, NULL), TK_OK);
		assert_memory_equal(&got, &want, sizeof(got));
		assert_int_equal(told.count, wanted.count);
		assert_memory_equal(told.rows, wanted.rows, told.count * sizeof(told.rows[0]));
		tk_content_hash_cleanup(&hash);
	}
	free(data);
}

static void
a_known_leaf_out_of_its_place_is_refused(void **state)
{
	static const struct tk_digest leaf = {{7}};
	struct tk_content_hash *hash = new_hash(50000);

	(void)state;
	tk_content_hash_begin(hash);
	assert_int_equal(tk_content_hash_known_leaf(hash, &leaf, 0, NULL), TK_EINVAL);
	assert_int_equal(tk_content_hash_known_leaf(hash, &leaf, TK_LEAF_BYTES + 1, NULL), TK_EINVAL);
	assert_int_equal(tk_content_hash_feed(hash, "x", 1, NULL), TK_OK);
	assert_int_equal(tk_content_hash_known_leaf(hash, &leaf, TK_LEAF_BYTES - 1, NULL), TK_EINVAL);
	tk_content_hash_begin(hash);
	assert_int_equal(tk_content_hash_known_leaf(hash, &leaf, TK_LEAF_BYTES, NULL), TK_OK);
	assert_int_equal(tk_content_hash_known_leaf(hash, &leaf, 50000 - TK_LEAF_BYTES + 1, NULL), TK_EINVAL);
	assert_int_equal(tk_content_hash_known_leaf(hash, &leaf, 5, NULL), TK_OK);
	assert_int_equal(tk_content_hash_known_leaf(hash, &leaf, 5, NULL), TK_EINVAL);
	tk_content_hash_begin(hash);
	assert_int_equal(tk_content_hash_known_leaf(hash, &leaf, 5, NULL), TK_OK);
	assert_int_equal(tk_content_hash_feed(hash, "x", 1, NULL), TK_EINVAL);
	tk_content_hash_cleanup(&hash);
}

static void
leaves_of_zeros_are_told_too(void **state)
{
	static const uint8_t zeros[TK_LEAF_BYTES];
	struct tk_content_hash *hash = new_hash(TK_LEAF_BYTES);
	struct leaves leaves = {.count = 0};
	struct tk_digest fed, skipped;

	(void)state;
	tk_content_hash_tell_leaves(hash, on_leaf, &leaves);
	tk_content_hash_begin(hash);
	assert_int_equal(tk_content_hash_feed(hash, zeros, sizeof(zeros), NULL), TK_OK);
	assert_int_equal(tk_content_hash_finish(hash, &fed, NULL), TK_OK);
	tk_content_hash_begin(hash);
	assert_int_equal(tk_content_hash_zeros(hash, sizeof(zeros), NULL), TK_OK);
	assert_int_equal(tk_content_hash_finish(hash, &skipped, NULL), TK_OK);
	assert_memory_equal(&fed, &skipped, sizeof(fed));
	assert_int_equal(leaves.count, 2);
	assert_memory_equal(&leaves.rows[0], &leaves.rows[1], sizeof(leaves.rows[0]));
	tk_content_hash_cleanup(&hash);
}

static void
who_is_told_of_leaves_may_stop_the_feeding(void **state)
{
	struct tk_content_hash *hash = new_hash(TK_LEAF_BYTES);
	struct leaves leaves = {.count = COUNT(leaves.rows)};

	(void)state;
	tk_content_hash_tell_leaves(hash, on_leaf, &leaves);
	tk_content_hash_begin(hash);
	assert_int_equal(tk_content_hash_zeros(hash, TK_LEAF_BYTES - 1, NULL), TK_OK);
	assert_int_equal(tk_content_hash_feed(hash, "x", 1, NULL), TK_OK);
	assert_int_equal(tk_content_hash_zeros(hash, TK_LEAF_BYTES - 1, NULL), TK_OK);
	assert_int_equal(tk_content_hash_feed(hash, "x", 1, NULL), TK_ENOSPC);
	tk_content_hash_cleanup(&hash);
}

static void
a_segment_alone_has_the_digest_it_has_in_its_file(void **state)
{
	struct tk_content_hash *hash = new_hash(70000);
	uint8_t *data = malloc(200000);
	struct tk_digest whole, again, parts[3];
	size_t count;

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < 200000; i++)
		data[i] = (uint8_t)(i / 3);
	assert_int_equal(tk_content_hash_all(hash, data, 200000, &whole, NULL), TK_OK);
	for (size_t i = 0; i < 3; i++) {
		struct tk_digest ignored;

		assert_int_equal(tk_content_hash_all(hash, data + i * 70000, i < 2 ? 70000 : 60000, &ignored, NULL), TK_OK);
		parts[i] = *tk_content_hash_segments(hash, &count);
		assert_int_equal(count, 1);
	}
	assert_int_equal(tk_content_hash_combine(hash, 200000, parts, 3, &again, NULL), TK_OK);
	assert_memory_equal(&again, &whole, sizeof(again));
	free(data);
	tk_content_hash_cleanup(&hash);
}

static void
a_huge_hole_costs_next_to_nothing(void **state)
{
	struct tk_content_hash *hash = new_hash(TK_SEGMENT_BYTES);
	struct tk_digest got;
	size_t count;

	(void)state;
	tk_content_hash_begin(hash);
	assert_int_equal(tk_content_hash_zeros(hash, (uint64_t)1 << 40, NULL), TK_OK);
	assert_int_equal(tk_content_hash_finish(hash, &got, NULL), TK_OK);
	(void)tk_content_hash_segments(hash, &count);
	assert_int_equal(count, 1 << 14);
	tk_content_hash_cleanup(&hash);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_do_not_matter),
		cmocka_unit_test(holes_are_zeros),
		cmocka_unit_test(a_leaf_that_is_known_need_not_be_fed),
		cmocka_unit_test(known_leaves_and_others_come_in_any_order),
		cmocka_unit_test(a_known_leaf_out_of_its_place_is_refused),
		cmocka_unit_test(leaves_of_zeros_are_told_too),
		cmocka_unit_test(who_is_told_of_leaves_may_stop_the_feeding),
		cmocka_unit_test(a_segment_alone_has_the_digest_it_has_in_its_file),
		cmocka_unit_test(a_huge_hole_costs_next_to_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
