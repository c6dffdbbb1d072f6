/* Signatures: the same however the bytes arrive, and refused when they do not fit. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/delta/signature.h"

static uint8_t data[100000];

static int
fill_data(void **state)
{
	uint32_t x = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++) {
		x = x * 1664525u + 1013904223u;
		data[i] = (uint8_t)(x >> 24);
	}
	return 0;
}

static void
a_signature_does_not_depend_on_how_the_bytes_arrive(void **state)
{
	static const size_t pieces[] = {1, 63, 64, 65, 1000, 70000};
	TK_AUTO(tk_buf_release) struct tk_buf whole = {0};
	TK_AUTO(tk_buf_release) struct tk_buf pieced = {0};
	struct tk_sigbuilder *builder;
	size_t len;

	(void)state;
	assert_int_equal(tk_signature_build(data, sizeof(data), 64, 16, &whole, NULL), TK_OK);
	assert_int_equal(whole.len_bytes, 12 + (sizeof(data) + 63) / 64 * 20);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		tk_buf_clear(&pieced);
		assert_int_equal(tk_sigbuilder_new(64, 16, &builder, NULL), TK_OK);
		for (size_t at = 0; at < sizeof(data); at += len) {
			len = sizeof(data) - at < pieces[i] ? sizeof(data) - at : pieces[i];
			assert_int_equal(tk_sigbuilder_feed(builder, data + at, len, NULL), TK_OK);
		}
		assert_int_equal(tk_sigbuilder_finish(builder, &pieced, NULL), TK_OK);
		assert_int_equal(tk_sigbuilder_feed(builder, data, 1, NULL), TK_EINVAL);
		tk_sigbuilder_free(builder);
		assert_int_equal(pieced.len_bytes, whole.len_bytes);
		assert_memory_equal(pieced.data, whole.data, whole.len_bytes);
	}
}

static void
nothing_has_a_signature_of_no_blocks(void **state)
{
	TK_AUTO(tk_buf_release) struct tk_buf buf = {0};
	struct tk_signature *signature = NULL;
	struct tk_signature_view view;

	(void)state;
	assert_int_equal(tk_signature_build(NULL, 0, 64, 16, &buf, NULL), TK_OK);
	assert_int_equal(buf.len_bytes, TK_SIGNATURE_HEADER_BYTES);
	assert_int_equal(tk_signature_view_init(&view, buf.data, buf.len_bytes, 0, NULL), TK_OK);
	assert_int_equal(view.block_count, 0);
	assert_int_equal(tk_signature_load(&view, &signature, NULL), TK_EINVAL);
	assert_null(signature);
}

static void
a_view_gives_each_block_its_entry_and_its_length(void **state)
{
	TK_AUTO(tk_buf_release) struct tk_buf buf = {0};
	TK_AUTO(tk_buf_release) struct tk_buf one = {0};
	TK_AUTO(tk_signature_cleanup) struct tk_signature *signature = NULL;
	struct tk_signature_view view;

	(void)state;
	assert_int_equal(tk_signature_build(data, 1000, 64, 16, &buf, NULL), TK_OK);
	assert_int_equal(tk_signature_build(data + 15 * 64, 40, 64, 16, &one, NULL), TK_OK);
	assert_int_equal(tk_signature_view_init(&view, buf.data, buf.len_bytes, 1000, NULL), TK_OK);
	assert_int_equal(view.block_count, 16);
	assert_int_equal(tk_signature_block_len(&view, 14), 64);
	assert_int_equal(tk_signature_block_len(&view, 15), 40);
	assert_memory_equal(tk_signature_entry(&view, 15), one.data + TK_SIGNATURE_HEADER_BYTES, 20);
	assert_int_equal(tk_signature_load(&view, &signature, NULL), TK_OK);
	assert_non_null(tk_signature_raw(signature));
}

static void
a_signature_that_does_not_fit_its_segment_is_corrupt(void **state)
{
	TK_AUTO(tk_buf_release) struct tk_buf buf = {0};
	struct tk_signature_view view;

	(void)state;
	assert_int_equal(tk_signature_build(data, 1000, 64, 16, &buf, NULL), TK_OK);
	for (size_t len = 0; len < buf.len_bytes; len++)
		assert_int_equal(tk_signature_view_init(&view, buf.data, len, 1000, NULL), TK_ECORRUPT);
	assert_int_equal(tk_signature_view_init(&view, buf.data, buf.len_bytes, 1025, NULL), TK_ECORRUPT);
	assert_int_equal(tk_signature_view_init(&view, buf.data, buf.len_bytes, 960, NULL), TK_ECORRUPT);
	assert_int_equal(tk_signature_view_init(&view, buf.data, buf.len_bytes, UINT64_MAX, NULL), TK_ECORRUPT);
	buf.data[7] = 0; /* block length */
	assert_int_equal(tk_signature_view_init(&view, buf.data, buf.len_bytes, 1000, NULL), TK_ECORRUPT);
	buf.data[3] = '6'; /* MD4 sums */
	assert_int_equal(tk_signature_view_init(&view, buf.data, buf.len_bytes, 1000, NULL), TK_EUNSUPPORTED);
}

static void
lengths_out_of_range_are_refused(void **state)
{
	TK_AUTO(tk_buf_release) struct tk_buf buf = {0};

	(void)state;
	assert_int_equal(tk_signature_build(data, 100, 8, 16, &buf, NULL), TK_EINVAL);
	assert_int_equal(tk_signature_build(data, 100, 2u << 20, 16, &buf, NULL), TK_EINVAL);
	assert_int_equal(tk_signature_build(data, 100, 64, 15, &buf, NULL), TK_EINVAL);
	assert_int_equal(tk_signature_build(data, 100, 64, 33, &buf, NULL), TK_EINVAL);
	assert_int_equal(buf.len_bytes, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signature_does_not_depend_on_how_the_bytes_arrive),
		cmocka_unit_test(nothing_has_a_signature_of_no_blocks),
		cmocka_unit_test(a_view_gives_each_block_its_entry_and_its_length),
		cmocka_unit_test(a_signature_that_does_not_fit_its_segment_is_corrupt),
		cmocka_unit_test(lengths_out_of_range_are_refused),
	};

	return cmocka_run_group_tests(tests, fill_data, NULL);
}
